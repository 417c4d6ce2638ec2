"""What is known of how long jobs take: a law of durations, as a table.

Pure: no clock, no randomness, and no library, for a law has a few hundred points.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

import attrs

# A step of F is taken within this share of its time.
STEP = 1e-9
# How far a tail reaches.
BELOW, ABOVE = 8.0, 16.0


def _table(values: Iterable[float]) -> Sequence[float]:
    return array("d", values)


@attrs.frozen(eq=False)
class Law:
    """Hold a law of durations: F at times in seconds that never decrease, linear between them.

    `times` starts with 0 and `done` (F there) ends with 1. `known` is the number of jobs that it
    was learned from. Compared and hashed by identity.
    """

    times: Sequence[float] = attrs.field(converter=_table, repr=False)
    done: Sequence[float] = attrs.field(converter=_table, repr=False)
    known: float = math.inf
    moments: Sequence[float] = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        moments = [0.0]
        for i in range(1, len(self.times)):
            share = self.done[i] - self.done[i - 1]
            moments.append(moments[-1] + share * (self.times[i] + self.times[i - 1]) / 2)
        object.__setattr__(self, "moments", _table(moments))

    @classmethod
    def of(cls, durations: Iterable[float]) -> Law:
        """Give the law of durations drawn from exactly these, each as likely as the others.

        Its steps are taken within a billionth of each duration.
        """
        ordered = sorted(durations)
        times, done = [0.0], [0.0]
        for i, duration in enumerate(ordered):
            if i + 1 < len(ordered) and ordered[i + 1] == duration:
                continue
            times += [max(times[-1], duration * (1 - STEP)), duration]
            done += [done[-1], (i + 1) / len(ordered)]
        return cls(times, done)

    @property
    def mean(self) -> float:
        """Give E[T] in seconds."""
        return self.moments[-1]

    def share(self, by_s: float) -> float:
        """Give F: the chance, 0 to 1, that a job takes at most `by_s` seconds."""
        i = bisect_right(self.times, by_s) - 1
        if i < 0 or i + 1 >= len(self.times):
            return 0.0 if i < 0 else self.done[-1]
        low, high = self.times[i], self.times[i + 1]
        return self.done[i] + (self.done[i + 1] - self.done[i]) * (by_s - low) / (high - low)

    def survival(self, after_s: float) -> float:
        """Give S: the chance, 0 to 1, that a job takes longer than `after_s` seconds."""
        return 1.0 - self.share(after_s)

    def density(self, at_s: float) -> float:
        """Give f per second, of the piece that ends after `at_s`; 0 outside."""
        i = bisect_right(self.times, at_s) - 1
        if i < 0 or i + 1 >= len(self.times):
            return 0.0
        return (self.done[i + 1] - self.done[i]) / (self.times[i + 1] - self.times[i])

    def quantile(self, share: float, *, after_s: float = 0.0) -> float:
        """Give the duration that `share` (0 to 1) of the jobs longer than `after_s` stay within.

        At least `after_s`, which it is if no job is known to take longer.
        """
        before = self.share(after_s)
        target = min(1.0, before + share * (1.0 - before))
        i = bisect_left(self.done, target)
        if i == 0:
            return after_s
        part = (target - self.done[i - 1]) / (self.done[i] - self.done[i - 1])
        return max(after_s, self.times[i - 1] + part * (self.times[i] - self.times[i - 1]))

    def moment(self, by_s: float) -> float:
        """Give the integral of u f(u) from 0 to `by_s`, in seconds."""
        i = min(bisect_right(self.times, by_s), len(self.times)) - 1
        if i + 1 >= len(self.times):
            return self.moments[-1]
        low = self.times[i]
        return self.moments[i] + self.density(by_s) * (by_s * by_s - low * low) / 2

    def with_tail(self, share: float) -> Law:
        """Mix in a log-uniform law from 8 times under to 16 times over what is known.

        `share` of 0 to 1 is what it gets: a guard against a law that is too sure of itself.
        """
        known = (t for t, done in zip(self.times, self.done, strict=True) if done > 0)
        low, high = math.log2(next(known) / BELOW), math.log2(self.times[-1] * ABOVE)
        # Eight points an octave where nothing else is known.
        extra = [*(2 ** (low + i / 8) for i in range(int((high - low) * 8))), 2**high]
        head = [t for t in extra if t < self.times[1]]
        tail = [t for t in extra if t > self.times[-1]]
        times = [0.0, *head, *self.times[1:], *tail]
        done = [0.0]
        for t in times[1:]:
            spread = min(1.0, max(0.0, (math.log2(t) - low) / (high - low)))
            done.append((1.0 - share) * self.share(t) + share * spread)
        return Law(times, [*done[:-1], 1.0], self.known)
