"""What many durations looked like, in half a kilobyte: a log-spaced histogram that forgets.

64 bins, 32, 16 or 8 to an octave: it starts fine and halves its resolution, by adding bins up in
pairs, when the durations do not fit in (after I. Epicoco and others, "UDDSketch: accurate tracking
of quantiles in data streams", IEEE Access 8 (2020)). So two sketches can be brought to one
resolution and added, and the coarsest spans 256 to 1. What lies farther out is counted in the
outermost bin, unless it is more than a tenth of all.

Pure: no clock, no randomness.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, Self

import attrs

from krixik_async._law import Law

BINS = 64
FINEST, COARSEST = 32, 8
# Each observation leaves this much of the older ones: half the weight is of the last 138 jobs.
KEPT = 0.995
# A duration is taken to be between a millisecond and three years.
SHORTEST_S, LONGEST_S = 1e-3, 1e8
# In an interval that durations were never seen in before they are taken to lie evenly; that belief
# weighs as much as this many jobs.
EVEN_JOBS = 0.8
# Of an interval that begins at 0 no more than the upper two thirds decide which bins are needed.
OPEN = 3.0
# Where room is needed this share of the shortest and of the longest durations is given up, that is
# counted at the edge: of the short ones more, for they cost little, and many are only made up of
# intervals that begin at 0.
GIVEN_UP = (0.03, 0.002)
# What is out of reach is counted at the edge as long as it is less than this share of all.
OUTLYING = 0.1
# Until it is known better, the standard deviation of log2(duration) is taken to be about this,
# as if it had been seen in so many jobs.
PRIOR_SPREAD, PRIOR_JOBS = 0.5, 1.0
# B. W. Silverman, "Density estimation" (1986), section 3.4.2, equation 3.31.
SILVERMAN = 0.9
BANDWIDTHS = 3.0
# Half of the jobs, even if rounding has made it a little less.
HALF = 0.499


@attrs.define(eq=False)
class Sketch:
    """Hold how many jobs took how long: bin i begins at 2**((low + i) / per_octave) seconds.

    `jobs` is the number ever seen; in `counts` the older ones weigh less.
    """

    per_octave: int = FINEST
    low: int = 0
    jobs: int = 0
    counts: array[float] = attrs.field(factory=lambda: array("f", bytes(4 * BINS)))

    @property
    def weight(self) -> float:
        """Give the number of jobs, the older ones weighing less."""
        return sum(self.counts)

    def observe(self, low_s: float, high_s: float) -> None:
        """Take in that a duration lay in (low_s, high_s] seconds.

        It is shared out within that as the durations so far are, or evenly where there are none:
        one step towards the self-consistent estimate of B. W. Turnbull, "The empirical distribution
        function with arbitrarily grouped, censored and truncated data", J. Royal Statistical
        Society B 38 (1976).
        """
        high_s = min(LONGEST_S, max(SHORTEST_S, high_s))
        low_s = min(max(0.0, low_s), high_s)
        for i, count in enumerate(self.counts):
            self.counts[i] = count * KEPT
        if sum(self._known(low_s, high_s)) < EVEN_JOBS:
            self._make_room(_index(max(low_s, high_s / OPEN)), _index(high_s), 1.0)
        self._share_out(low_s, high_s)
        self.jobs += 1

    def _share_out(self, low_s: float, high_s: float) -> None:
        first, last = self._bin(_index(max(SHORTEST_S, low_s))), self._bin(_index(high_s))
        if first == last:
            self.counts[first] += 1.0
            return
        even = EVEN_JOBS / (high_s - low_s)
        shares = [
            known + even * self._overlap(i, low_s, high_s)
            for i, known in enumerate(self._known(low_s, high_s), first)
        ]
        total = sum(shares)
        for i, share in enumerate(shares, first):
            self.counts[i] += share / total

    def _known(self, low_s: float, high_s: float) -> list[float]:
        """Give how many of the jobs so far took so long, by bins."""
        first, last = self._bin(_index(max(SHORTEST_S, low_s))), self._bin(_index(high_s))
        return [
            self.counts[i] * self._overlap(i, low_s, high_s) / self._overlap(i, 0.0, math.inf)
            for i in range(first, last + 1)
        ]

    def _overlap(self, i: int, low_s: float, high_s: float) -> float:
        return max(0.0, min(self._edge(i + 1), high_s) - max(self._edge(i), low_s))

    def _edge(self, i: int) -> float:
        return float(2.0 ** ((self.low + i) / self.per_octave))

    def _bin(self, index: int) -> int:
        """Give the bin that holds an index of the finest resolution, or the outermost one."""
        return min(BINS - 1, max(0, index * self.per_octave // FINEST - self.low))

    def _make_room(self, first: int, last: int, weight: float) -> None:
        """Move or widen the window until it holds these finest indices and what it held."""
        total = self.weight
        while True:
            scale = FINEST // self.per_octave
            need_first, need_last = first // scale, last // scale
            held = self._held(total) if total else (need_first, need_last)
            low, high = min(need_first, held[0]), max(need_last, held[1])
            if high - low < BINS:
                if not self.low <= low <= high < self.low + BINS:
                    self._move(low - (BINS - 1 - high + low) // 2)
                return
            if self.per_octave > COARSEST:
                self._halve()
            elif weight < OUTLYING * total:
                return
            else:
                self._move(need_first if need_first < self.low else need_last - BINS + 1)
                return

    def _held(self, total: float) -> tuple[int, int]:
        """Give the outermost of the bins that hold more than can be given up."""
        inside = [*accumulate(self.counts)]
        low = bisect_right(inside, GIVEN_UP[0] * total)
        high = bisect_left(inside, (1.0 - GIVEN_UP[1]) * total)
        return self.low + low, self.low + high

    def _move(self, low: int) -> None:
        counts = array("f", bytes(4 * BINS))
        for i, count in enumerate(self.counts):
            counts[min(BINS - 1, max(0, self.low + i - low))] += count
        self.low, self.counts = low, counts

    def _halve(self) -> None:
        counts = array("f", bytes(4 * BINS))
        low = self.low // 2
        for i, count in enumerate(self.counts):
            counts[(self.low + i) // 2 - low] += count
        self.per_octave, self.low, self.counts = self.per_octave // 2, low, counts

    def add(self, other: Sketch) -> None:
        """Count the durations that another sketch has seen, of other jobs, here too."""
        held = [i for i, count in enumerate(other.counts) if count > 0]
        if not held:
            return
        while self.per_octave > other.per_octave:
            self._halve()
        scale = FINEST // other.per_octave
        first, last = (other.low + held[0]) * scale, (other.low + held[-1] + 1) * scale - 1
        self._make_room(first, last, other.weight)
        for i in held:
            self.counts[self._bin((other.low + i) * scale)] += other.counts[i]
        self.jobs += other.jobs

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain values; counts to four digits."""
        held = [i for i, count in enumerate(self.counts) if count > 0]
        first, last = (held[0], held[-1] + 1) if held else (0, 0)
        return {
            "jobs": self.jobs,
            "per_octave": self.per_octave,
            "low": self.low + first,
            "counts": [float(f"{count:.4g}") for count in self.counts[first:last]],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Give back what `to_dict` gave; ValueError, TypeError or LookupError for anything else."""
        counts = array("f", map(float, values["counts"]))
        per_octave, low, jobs = (int(values[name]) for name in ("per_octave", "low", "jobs"))
        if not (
            per_octave in (COARSEST, 16, FINEST)
            and abs(low) < 100 * per_octave
            and 0 < len(counts) <= BINS
            and jobs > 0
            and sum(counts) > 0
            and all(0 <= count < math.inf for count in counts)
        ):
            raise ValueError("not a sketch of durations")
        counts.extend([0.0] * (BINS - len(counts)))
        return cls(per_octave, low, jobs, counts)

    def law(self) -> Law:
        """Give the smoothed law; at least one job must have been seen."""
        weight = self.weight
        step = FINEST // self.per_octave
        held = [(i * step, count / weight) for i, count in enumerate(self.counts) if count > 0]
        kernel, reach = _kernel(_bandwidth(held, step, weight), step)
        start = held[0][0] - reach
        cells = [0.0] * (held[-1][0] + reach + step - start)
        for i, share in held:
            for j, part in enumerate(kernel, i - reach - start):
                cells[j] += share * part
        return _law(cells, self.low * step + start, self.jobs)


def _bandwidth(held: Sequence[tuple[int, float]], step: int, weight: float) -> float:
    """Give the smoothing in cells, by Silverman's rule of thumb with a spread of our own.

    That is the geometric mean of the standard deviation and of the shortest half's length (the
    "shorth"; 1.349 standard deviations of a normal law): the former alone blurs two humps, the
    latter alone is too noisy at twenty jobs. Over nine laws after 20 jobs the schedule's cost above
    the optimum fell from 38 to 25 % on two humps, and rose by under 1 % elsewhere.
    """
    mean = sum(i * share for i, share in held)
    deviation = math.sqrt(sum((i - mean) ** 2 * share for i, share in held))
    half = min(deviation, _shortest_half(held, step) / 1.349)
    prior = (PRIOR_SPREAD * FINEST) ** 2
    spread = math.sqrt((deviation * half * weight + prior * PRIOR_JOBS) / (weight + PRIOR_JOBS))
    return SILVERMAN * spread / math.pow(weight, 0.2)


def _shortest_half(held: Sequence[tuple[int, float]], step: int) -> int:
    shortest, inside, last = held[-1][0] + step - held[0][0], 0.0, 0
    for i, share in held:
        while inside < HALF and last < len(held):
            inside += held[last][1]
            last += 1
        if inside < HALF:
            break
        shortest = min(shortest, held[last - 1][0] + step - i)
        inside -= share
    return shortest


def _index(seconds: float) -> int:
    return math.floor(math.log2(seconds) * FINEST)


def _kernel(bandwidth: float, step: int) -> tuple[list[float], int]:
    """Give what a bin of `step` cells becomes, and how many cells sooner that begins."""
    width = math.sqrt(bandwidth * bandwidth + step * step / 12.0)
    reach = math.ceil(BANDWIDTHS * width)
    edges = [(j - reach - step / 2) / (width * math.sqrt(2)) for j in range(2 * reach + step + 1)]
    heights = [math.erf(edge) for edge in edges]
    total = heights[-1] - heights[0]
    return [(b - a) / total for a, b in pairwise(heights)], reach


def _law(cells: Sequence[float], start: int, known: int) -> Law:
    times, done, total = [0.0], [0.0], 0.0
    for i, share in enumerate(cells):
        times.append(2.0 ** ((start + i) / FINEST))
        done.append(min(1.0, total))
        total += share
    times.append(2.0 ** ((start + len(cells)) / FINEST))
    return Law(times, [*done, 1.0], known)
