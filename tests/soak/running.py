"""What the programs have in common: options, the end of a run, the summary line."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

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


def slope_kib_per_minute(samples: list[tuple[float, int]]) -> float:
    """Give the slope of (seconds, KiB) by least squares, without the first half (warming up)."""
    kept = samples[len(samples) // 2 :]
    mean_t = sum(t for t, _ in kept) / len(kept)
    mean_y = sum(y for _, y in kept) / len(kept)
    spread = sum((t - mean_t) ** 2 for t, _ in kept)
    return 60 * sum((t - mean_t) * (y - mean_y) for t, y in kept) / spread if spread else 0.0
