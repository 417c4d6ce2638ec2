"""When to look, as mathematics: schedules over a law of durations, and what they cost.

A job takes T seconds; F is the law of T, f its density, S = 1 - F, h = f / S. A look costs as much
as `worth` seconds of delay, so that a schedule costs worth * E[looks] + E[delay], in seconds; the
last look is the first one at or after T. From the best to the plainest:

- `Plan`: the exact optimum on the law's own grid, by dynamic programming.
- `Quantiles`: the same chance of finding it done at each look. A. G. Munford and A. K. Shahani, "A
  nearly optimal inspection policy", Operational Research Quarterly 23 (1972). Mostly 1 to 2 % above
  the optimum, 8 % on laws of two humps.
- `growing_interval`, if nothing is known, by J. B. Keller, "Optimum checking schedules for systems
  subject to random failure", Management Science 21 (1974).

Pure: no clock and no randomness.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Protocol

import attrs

from krixik_async._law import Law

# The conditional chances that `Quantiles.best` tries: from "hardly ever" to "almost surely".
SHARES = (0.08, 0.12, 0.16, 0.2, 0.25, 0.3, 0.37, 0.43, 0.5, 0.6, 0.75, 0.9)
# With fewer left than this a quantile schedule looks once more, at the law's end.
ALMOST_NONE = 1e-3
# Seconds to hours: ln(22,026).
LOG_RANGE = 10.0


def growing_interval(elapsed_s: float, scale: float) -> float:
    """Give sqrt(2 scale elapsed), at least scale / 2: the seconds between looks, knowing nothing.

    Keller's density for a log-uniform duration, h = 1 / (L t), with scale = worth L: the k-th look
    falls near (scale / 2) k**2. Doubling would be right only if delay were valued relative to the
    duration; its mean delay is 44 % of that.
    """
    return max(scale / 2.0, math.sqrt(2.0 * scale * max(0.0, elapsed_s)))


def urgency(law: Law | None, *, age_s: float, since_look_s: float) -> float:
    """Rank due jobs when there are more than may be asked about: the largest first. In seconds.

    P(done since the last look) times the time since that look. With R looks a second for many jobs
    of hazards h the sum of the delays is least at the rates R sqrt(h) / sum of sqrt(h) (by
    Lagrange), and there h times the squared interval, which is this index, is the same for all: so
    asking the largest first finds those rates without knowing R. `age_s` is the age now, in the
    stage that `law` is of; without a law a duration is taken to be log-uniform over 22,000 to 1.
    """
    since = max(0.0, since_look_s)
    before = age_s - since
    if law is None:
        return since * (min(1.0, math.log(age_s / before) / LOG_RANGE) if before > 0 else 1.0)
    left = law.survival(before)
    return since * (1.0 - law.survival(age_s) / left if left > 0 else 1.0)


def looks_and_delay(
    law: Law, times: Sequence[float], *, after_s: float = 0.0
) -> tuple[float, float]:
    """Give (expected looks, expected delay in seconds) of a job still running at `after_s`.

    `times` are the looks, increasing, after `after_s`; the last must not come before the law's end.
    """
    looks = delay = 0.0
    before = after_s
    for at in times:
        looks += law.survival(before)
        gone = law.share(at) - law.share(before)
        delay += at * gone - (law.moment(at) - law.moment(before))
        before = at
    left = law.survival(after_s)
    return (looks / left, delay / left) if left > 0 else (1.0, 0.0)


def cost(law: Law, times: Sequence[float], worth: float) -> float:
    """Give what a schedule costs, in seconds: worth * looks + delay."""
    looks, delay = looks_and_delay(law, times)
    return worth * looks + delay


class Schedule(Protocol):
    """Be a schedule of looks that depends on nothing but a job's age."""

    def next_look(self, after_s: float) -> float | None:
        """Give the next look at a job that was not done at `after_s`; None beyond the law's end."""


def times(schedule: Schedule, after_s: float = 0.0) -> Iterator[float]:
    """Give the looks of a schedule, in order."""
    at = schedule.next_look(after_s)
    while at is not None:
        yield at
        at = schedule.next_look(at)


@attrs.frozen(eq=False)
class Quantiles:
    """Look when a job still running has got done with chance `share`, 0 to 1."""

    law: Law
    share: float

    @classmethod
    def best(cls, law: Law, worth: float) -> Quantiles:
        """Give the one that costs least, out of a dozen."""
        return min(
            (cls(law, share) for share in SHARES),
            key=lambda schedule: cost(law, list(times(schedule)), worth),
        )

    def next_look(self, after_s: float) -> float | None:
        """Give the next look at a job that was not done at `after_s`; None beyond the law's end."""
        if after_s >= self.law.times[-1]:
            return None
        if self.law.survival(after_s) <= ALMOST_NONE:
            return self.law.times[-1]
        return self.law.quantile(self.share, after_s=after_s)


@attrs.frozen(eq=False)
class Plan:
    """Know the cheapest looks at a job of a known law, from any age on.

    W(t_i) = min over j > i of worth S(t_i) + (the delay of what ends in between) + W(t_j) on the
    law's grid (the dynamic programme of Barlow, Hunter and Proschan, "Optimum checking procedures",
    J. SIAM 11 (1963)). With M the integral of u f(u) the delay is t_j (F_j - F_i) - (M_j - M_i), so
    the minimum is over lines in F_i, of slope -t_j: their lower envelope gives all of it in linear
    time (the "convex hull trick"). Made once per law, read by every job.
    """

    law: Law
    worth: float
    cost: float = attrs.field(init=False)
    _next: Sequence[int] = attrs.field(init=False, repr=False)
    _lines: Sequence[float] = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        times, done, moments = self.law.times, self.law.done, self.law.moments
        last = len(times) - 1
        following = [last] * (last + 1)
        lines = [times[last] - moments[last]] * (last + 1)
        hull, front, value = [last], 0, 0.0
        for i in range(last - 1, -1, -1):
            at = done[i]
            while front + 1 < len(hull) and (
                lines[hull[front + 1]] - times[hull[front + 1]] * at
                <= lines[hull[front]] - times[hull[front]] * at
            ):
                front += 1
            best = hull[front]
            following[i] = best
            value = self.worth * (1.0 - at) + moments[i] + lines[best] - times[best] * at
            lines[i] = times[i] * at - moments[i] + value
            while len(hull) - front >= 2 and _hidden(times, lines, hull[-2], hull[-1], i):
                hull.pop()
            hull.append(i)
        object.__setattr__(self, "cost", value)
        object.__setattr__(self, "_next", array("l", following))
        object.__setattr__(self, "_lines", array("d", lines))

    def next_look(self, after_s: float) -> float | None:
        """Give the next look at a job that was not done at `after_s`; None beyond the law's end."""
        i = bisect_right(self.law.times, after_s) - 1
        if i + 1 >= len(self.law.times):
            return None
        # The best next look moves one way only as a job ages, so between two points of the grid it
        # is one of those between theirs.
        between = range(self._next[i], self._next[i + 1] + 1)
        if len(between) == 1:
            return self.law.times[between[0]]
        at, times, lines = self.law.share(after_s), self.law.times, self._lines
        return times[min(between, key=lambda j: lines[j] - times[j] * at)]


def _hidden(
    times: Sequence[float], lines: Sequence[float], first: int, middle: int, last: int
) -> bool:
    """Tell whether the middle one of three lines, of rising slope, is nowhere below both others."""
    return (lines[last] - lines[first]) * (times[first] - times[middle]) <= (
        lines[middle] - lines[first]
    ) * (times[first] - times[last])
