"""What the programs have in common: options, the end of a run, the summary line."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
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


# Student's t for 95 %, two-sided, and BLOCKS - 2 degrees of freedom.
BLOCKS, T_95 = 10, 2.306


def slope_kib_per_minute(samples: list[tuple[float, int]]) -> tuple[float, float]:
    """Give the slope of (seconds, KiB) without the first half (warming up), and its 95 % margin.

    By least squares over the means of ten blocks: samples that follow each other are alike, and
    would make the margin too small. Infinite for fewer samples than twenty.
    """
    kept = samples[len(samples) // 2 :]
    if len(samples) < 2 * BLOCKS:
        return 0.0, math.inf
    cuts = [len(kept) * n // BLOCKS for n in range(BLOCKS + 1)]
    blocks = [kept[first:end] for first, end in pairwise(cuts)]
    ts = [fmean(t / 60 for t, _ in block) for block in blocks]
    ys = [fmean(y for _, y in block) for block in blocks]
    slope, level = linear_regression(ts, ys)
    rest = sum((y - level - slope * t) ** 2 for t, y in zip(ts, ys, strict=True))
    spread = sum((t - fmean(ts)) ** 2 for t in ts)
    return slope, T_95 * math.sqrt(rest / (BLOCKS - 2) / spread)
