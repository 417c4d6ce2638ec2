"""When to look at a job next: policies, each of them a tenacity wait strategy."""

from __future__ import annotations

import random
from typing import cast

import attrs
from tenacity import RetryCallState
from tenacity.wait import wait_base

from krixik_async._durations import Durations


@attrs.define
class JobView:
    """Show a policy the job that it is asked about; a scratch object, refilled for each call.

    `age_s` counts from the submission, or from the first look where that is unknown;
    `stage_age_s` from when `modules_done` modules were done; `since_look_s` from the last look
    before this one. `waiting` is the number of jobs the client waits for.
    """

    pipeline: str = ""
    module_count: int | None = None
    modules_done: int = 0
    size_bytes: int | None = None
    age_s: float = 0.0
    stage_age_s: float = 0.0
    since_look_s: float = 0.0
    expires_in_s: float | None = None
    waiting: int = 1


class PollState(RetryCallState):
    """Be what a policy reads: tenacity's state of a retried call, and what we know of the job."""

    def __init__(
        self, durations: Durations | None = None, *, rng: random.Random | None = None
    ) -> None:
        super().__init__(None, None, (), {})  # type: ignore[arg-type]  # not under a retrying
        self.job = JobView()
        self.durations = Durations() if durations is None else durations
        self.rng = random.Random() if rng is None else rng


class PollPolicy(wait_base):
    """Say when to look next. A policy is called with a state and gives seconds.

    To write one of your own, derive from this and define `delay`.
    """

    def __call__(self, retry_state: RetryCallState) -> float:
        """Give the seconds until the next look."""
        state = cast(PollState, retry_state)
        return self.delay(state.job, state.durations, state.rng)

    def delay(self, job: JobView, durations: Durations, rng: random.Random) -> float:
        """Give the seconds until the next look at a job that was not done just now."""
        raise NotImplementedError

    @staticmethod
    def adaptive(delay_worth: float = 1.0) -> PollPolicy:
        """Ask when it pays, by what was learned of the durations; `delay_worth` is in seconds."""
        return _Adaptive(delay_worth)

    @staticmethod
    def fixed(seconds: float) -> PollPolicy:
        """Ask every `seconds` seconds."""
        return _Fixed(seconds)


@attrs.frozen
class _Fixed(PollPolicy):
    seconds: float

    def delay(self, job: JobView, durations: Durations, rng: random.Random) -> float:
        return self.seconds


@attrs.frozen
class _Adaptive(PollPolicy):
    delay_worth: float

    def delay(self, job: JobView, durations: Durations, rng: random.Random) -> float:
        return float(max(0.1, (0.5 * self.delay_worth * job.age_s) ** 0.5))
