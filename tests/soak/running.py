"""What the programs have in common: options, the end of a run, the summary line."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean, linear_regression

import attrs


@attrs.define
class Run:
    """Hold one run's options, and what it has come to."""

    name: str
    seed: int
    runs: int
    seconds: float
    found: list[str] = attrs.field(factory=list)
    _began: float = attrs.field(factory=time.monotonic)

    @property
    def elapsed_s(self) -> float:
        """Give real seconds since the start."""
        return time.monotonic() - self._began

    def numbers(self) -> Iterator[int]:
        """Count the runs, until there have been enough or the time is over."""
        for number in range(self.runs):
            if self.elapsed_s >= self.seconds:
                return
            yield number

    def finding(self, what: str) -> None:
        """Note something that should not be, and say it at once."""
        self.found.append(what)
        print(f"{self.name}: FOUND {what}", file=sys.stderr, flush=True)

    def end(self, **said: object) -> None:
        """Print the summary line and exit."""
        words = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in said.items())
        findings = f"{len(self.found)} findings, {self.elapsed_s:.0f} s, seed {self.seed}"
        print(f"{self.name}: {words}; {findings}", flush=True)
        sys.exit(bool(self.found))


def begin(name: str, *, runs: int, seconds: float = 3600.0) -> Run:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog=f"python -m tests.soak.{name}")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=runs)
    parser.add_argument("--seconds", type=float, default=seconds)
    given = parser.parse_args()
    return Run(name, given.seed, given.runs, given.seconds)


def counted(counts: Counter[str]) -> str:
    """Give counts as words, the largest first."""
    return "/".join(f"{name} {count}" for name, count in counts.most_common())


def resident_kib(process: int | str = "self") -> int:
    """Give the resident memory of a process in KiB (Linux)."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0])


def own_kib(process: int | str = "self") -> int:
    """Give the resident memory of a process that is no file's, in KiB (Linux).

    Pages of programs and libraries come and go as the machine has room for them.
    """
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return int(status.partition("RssAnon:")[2].split()[0])


# Student's t for 95 %, two-sided, and 1, 2, ... degrees of freedom (any table of it); for more the
# last, which is too large rather than too small.
T_95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
)  # fmt: skip


def slope_with_margin(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Give the slope of (x, y) by least squares, and its 95 % margin by Student's t.

    The points have to be independent of each other. Infinite for fewer than three.
    """
    free = len(points) - 2
    if free < 1:
        return 0.0, math.inf
    xs, ys = zip(*points, strict=True)
    slope, level = linear_regression(xs, ys)
    rest = sum((y - level - slope * x) ** 2 for x, y in points)
    spread = sum((x - fmean(xs)) ** 2 for x in xs)
    return slope, T_95[min(free, len(T_95)) - 1] * math.sqrt(rest / free / spread)
