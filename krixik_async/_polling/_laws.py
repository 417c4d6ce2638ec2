"""What was learned of the durations, at hand for many jobs at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from krixik_async._durations import Durations
from krixik_async._evidence import Watched
from krixik_async._law import Law

# A law made anew for every job would take longer than asking for the job.
_FRESH_FOR_S = 1.0

# So many jobs stand for all of a wait.
_SAMPLE = 64

# Pipeline, stage, octave of the size, and whether failures count: as they are learned.
About: TypeAlias = tuple[str, int, int | None, bool]


class Laws:
    """Give the law of each job's stage, as it was at most a second ago."""

    def __init__(self, durations: Durations) -> None:
        self._durations = durations
        self._known: dict[About, Law | None] = {}
        self._until = 0.0

    def of(self, job: Watched, now: float) -> Law | None:
        """Give the law of the time from the entry into the job's stage to its end, if known."""
        return self._find(job, len(job.entered_at), now, failures=True)

    def whole(self, job: Watched, now: float) -> Law | None:
        """Give the law of the time from the job's submission to its completion, if known."""
        return self._find(job, 0, now, failures=False)

    def _find(self, job: Watched, stage: int, now: float, *, failures: bool) -> Law | None:
        if now >= self._until:
            self._known.clear()
            self._until = now + _FRESH_FOR_S
        size = job.ref.size_bytes
        about = (job.ref.pipeline, stage, None if size is None else size.bit_length(), failures)
        if about not in self._known:
            law = self._durations.law(job.ref.pipeline, stage, size, failures=failures)
            self._known[about] = law
        return self._known[about]

    def time_left(self, jobs: Sequence[Watched], now: float) -> float | None:
        """Estimate the seconds until all of these have ended; None while nothing is known.

        The median of the time of the last of n that end independently: each keeps it with a chance
        of 2 ** (-1 / n).
        """
        longest: float | None = None
        share = 0.5 ** (1.0 / max(1, len(jobs)))
        for job in jobs[:: max(1, len(jobs) // _SAMPLE)]:
            law = self.of(job, now)
            if law is not None:
                age = now - (job.entered_at[-1] if job.entered_at else job.started_at)
                left = max(0.0, law.quantile(share, after_s=age) - age)
                longest = left if longest is None else max(longest, left)
        return longest


def learn(durations: Durations, job: Watched, *, low_at: float | None, ended_by: float) -> None:
    """Teach what a job that has ended shows: it did after `low_at` (None: unknown), by `ended_by`.

    Of a job whose submission is unknown only the modules seen to begin tell anything, and nothing
    does where the interval says too little.
    """
    failed = job.state == "failed"
    entered = [*enumerate(job.entered_at, 1)]
    if job.ref.submitted_at is not None:
        entered.append((0, job.started_at))
    for stage, at in entered:
        low = max(0.0, (at if low_at is None else low_at) - at)
        high = ended_by - at
        if not 0.0 < high <= 2.0 * low + 1.0:
            continue
        teach = durations.observe_failure if failed else durations.observe
        teach(job.ref.pipeline, stage, job.ref.size_bytes, low, high)
