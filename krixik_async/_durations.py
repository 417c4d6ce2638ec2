"""How long jobs take: learned from looks, per pipeline, stage and size, in bounded memory.

Pure: no clock, no randomness. A look tells only that a job ended between two looks, so what is
learned from are intervals.
"""

from __future__ import annotations

import attrs


@attrs.frozen(eq=False)
class Law:
    """Hold a distribution of durations in seconds, and from how many jobs it was learned."""

    known: float

    def survival(self, after_s: float) -> float:
        """Give the chance that a job takes longer than `after_s` seconds, 0 to 1."""
        raise NotImplementedError

    def quantile(self, share: float, *, after_s: float = 0.0) -> float:
        """Give the duration that `share` (0 to 1) of those that take longer than `after_s` keep."""
        raise NotImplementedError


class Durations:
    """Learn how long jobs take; one per client."""

    def observe(
        self, pipeline: str, stage: int, size_bytes: int | None, low_s: float, high_s: float
    ) -> None:
        """Take in that a job completed in (low_s, high_s] seconds from its entry into `stage`."""

    def observe_failure(
        self, pipeline: str, stage: int, size_bytes: int | None, low_s: float, high_s: float
    ) -> None:
        """Take in that a job failed in (low_s, high_s] seconds from its entry into `stage`."""

    def law(self, pipeline: str, stage: int = 0, size_bytes: int | None = None) -> Law | None:
        """Give the law of the time from the entry into `stage` to the end; None while unknown."""
        return None

    def to_json(self) -> str:
        """Give all that was learned as JSON text."""
        return "{}"

    @classmethod
    def from_json(cls, text: str) -> Durations:
        """Give back what `to_json` gave."""
        return cls()

    def merge(self, other: Durations) -> None:
        """Add what another has learned, of other jobs, to this."""
