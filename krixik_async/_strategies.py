"""Asking a wait's strategies, tenacity's or ours: when to look again, and whether to stop.

Each is shown one scratch state, filled anew for each job. Pure: nothing here awaits or reads a
clock. `now` is monotonic seconds, `wall` epoch seconds.

The schedules are in `_poll_policy`. The one here is for users who build their own of tenacity's:
where nothing is known of the durations, the interval grows with the square root of the time
elapsed. The k-th look falls near (a / 2) k**2, which keeps the delay small against the requests
spent whatever the duration turns out to be (doubling is only right if delay is valued relative to
the duration, and its mean delay is 44 % of it).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, TypeAlias

import attrs
from tenacity import Future, RetryCallState
from tenacity.wait import wait_base

from krixik_async._evidence import Watched
from krixik_async._numbers import pause
from krixik_async._poll_policy import PollPolicy, PollState

Interval: TypeAlias = Callable[[Any], float]
Stop: TypeAlias = Callable[[Any], bool]

# The first interval, and the a of the square-root law: 0.2 s at first, 2 s at an age of 10 s,
# 15 s at 10 minutes, 38 s at an hour.
FIRST_INTERVAL_S = 0.2
JITTER = 0.1


class wait_sqrt(wait_base):  # noqa: N801 - named as tenacity names its strategies
    """Wait max(first, sqrt(2 * first * elapsed)) seconds, give or take `jitter` of it.

    `first` is in seconds; elapsed counts from the job's submission. A tenacity strategy.
    """

    def __init__(
        self,
        first: float = FIRST_INTERVAL_S,
        *,
        jitter: float = JITTER,
        rng: random.Random | None = None,
    ) -> None:
        self.first = first
        self.jitter = jitter
        self.rng = random.Random() if rng is None else rng

    def __call__(self, retry_state: RetryCallState) -> float:
        elapsed = max(0.0, retry_state.seconds_since_start or 0.0)
        interval = max(self.first, (2.0 * self.first * elapsed) ** 0.5)
        return float(interval * (1.0 + self.jitter * (2.0 * self.rng.random() - 1.0)))


def fill(
    state: PollState,
    watched: Watched,
    *,
    now: float,
    wall: float,
    waiting: int,
    rate_per_s: float | None = None,
) -> None:
    """Let the scratch state show this job, to a policy of ours or to a tenacity `wait_*` object.

    Tenacity's own reads the real clock; that it does not is because the times are set here.
    """
    job, ref = state.job, watched.ref
    job.pipeline, job.module_count, job.size_bytes = ref.pipeline, ref.module_count, ref.size_bytes
    job.modules_done = len(watched.entered_at)
    job.age_s = max(0.0, now - watched.started_at)
    job.stage_age_s = max(0.0, now - watched.entered_at[-1]) if watched.entered_at else job.age_s
    job.since_look_s = job.age_s if watched.unfinished_at is None else now - watched.unfinished_at
    job.expires_in_s = None if ref.expires_at is None else ref.expires_at - wall
    job.waiting, job.rate_per_s = waiting, rate_per_s
    state.start_time = watched.started_at
    state.outcome_timestamp = now
    state.attempt_number = max(1, watched.looks)


def delay_by(interval: Interval, state: PollState, watched: Watched) -> float:
    """Ask one waiter's schedule; raises what a caller's schedule raises, or for what it gives."""
    if not isinstance(interval, PollPolicy):
        # Tenacity's strategies may read the outcome; ours never do, and a Future is 1 kB.
        state.outcome = _outcome(state, watched)
    return pause(interval, interval(state))


@attrs.frozen
class Begun:
    """Hold when a wait began to wait for a job, in monotonic seconds, and its looks by then."""

    at: float
    looks: int


def is_stopped(
    stop: Stop, state: PollState, watched: Watched, begun: Begun, upcoming_sleep: float
) -> bool:
    """Ask one waiter's stop strategy after a look; raises what it raises.

    It is shown the wait, not the job: the seconds and the looks since the wait began.
    """
    started_at, looks = state.start_time, state.attempt_number
    state.start_time, state.attempt_number = begun.at, max(1, watched.looks - begun.looks)
    state.upcoming_sleep = upcoming_sleep
    state.outcome = _outcome(state, watched)
    try:
        return bool(stop(state))
    finally:
        state.start_time, state.attempt_number = started_at, looks


def _outcome(state: PollState, watched: Watched) -> Future:
    """Give what the last look gave or raised, as tenacity has it."""
    outcome = Future(state.attempt_number)
    if watched.error is None:
        outcome.set_result(watched.own_status)
    else:
        outcome.set_exception(watched.error)
    return outcome
