"""When to ask next, and what an answer means: pure functions over what one job has shown so far.

Nothing here awaits or reads a clock. `now` is monotonic seconds, `wall` epoch seconds.

The schedule. Nothing is known of the durations yet, so the interval grows with the square root of
the time elapsed: the k-th look falls near (a / 2) k**2, which keeps the delay small against the
requests spent whatever the duration turns out to be (doubling is only right if delay is valued
relative to the duration, and its mean delay is 44 % of it). In place of it any tenacity `wait_*`
object may be used: it is shown a `RetryCallState` whose times are ours.

The meaning of "not found". A record may be not readable yet, expired, deleted or never there; the
answer is the same words. What tells them apart is the job's age and whether it was ever seen, and
a verdict needs two looks.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import attrs
from tenacity import Future, RetryCallState
from tenacity.wait import wait_base

from krixik_async._errors import (
    KrixikError,
    RequestNotFound,
    RequestRejected,
    UnexpectedReply,
)
from krixik_async._models import JobOutcome, JobRef, JobState, ProcessStatus

# The first interval, and the a of the square-root law: 0.2 s at first, 2 s at an age of 10 s,
# 15 s at 10 minutes, 38 s at an hour.
FIRST_INTERVAL_S = 0.2
JITTER = 0.1
# A record may not be readable for this long after it was made (read-after-write lag).
LAG_S = 15.0
# Between the first "not found" and the look that confirms it.
CONFIRM_S = 2.0
# Our expiry is counted from before the ticket was asked for, the service's from about the upload.
EXPIRY_SLACK_S = 5.0
# The last look before expiry: afterwards the evidence is gone.
LAST_LOOK_S, LAST_LOOK_SHARE = 5.0, 0.02
# A look just after expiry, and the time it may take to confirm.
AFTER_EXPIRY_S = 1.0
EXPIRY_MARGIN_S = 15.0
# A bare request_id tells no expiry: no file is kept longer than 30 days.
LONGEST_LIFE_S = 2_592_000.0
UNREADABLE_LIMIT = 3
# How long an outage is ridden out before a job's outcome is "error".
OUTAGE_S = 600.0
OUTAGE_PAUSE_S = (1.0, 30.0)


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


@attrs.define(eq=False)
class Watched:
    """Hold what one waited-for job has shown; one per job however many wait for it.

    `started_at` is the submission in monotonic seconds, or the first look where that is unknown.
    """

    ref: JobRef
    started_at: float
    looks: int = 0
    absent: int = 0
    unreadable: int = 0
    failing_since: float | None = None
    state: JobState = "pending"
    last_status: ProcessStatus | None = None
    error: KrixikError | None = None

    @property
    def in_doubt(self) -> bool:
        """Tell whether the last look failed; the next one is timed to confirm it, or to wait."""
        return bool(self.absent) or self.failing_since is not None

    @property
    def ended(self) -> bool:
        """Tell whether the job has its verdict."""
        return self.state != "pending"

    def outcome(self) -> JobOutcome:
        """Give what is known, as a value."""
        status = self.last_status
        failure = None if status is None else status.failure_status
        return JobOutcome(
            request_id=self.ref.request_id,
            state=self.state,
            job=self.ref,
            file_id=self.ref.file_id,
            modules={} if status is None else status.modules,
            failure_module=None if failure is None else failure.failure_module,
            last_status=status,
            error=self.error,
        )


def note_status(watched: Watched, status: ProcessStatus) -> bool:
    """Take a status in; return whether anything a caller could see has changed."""
    before = watched.last_status
    changed = (
        before is None
        or before.modules != status.modules
        or before.overall_status != status.overall_status
        or watched.error is not None
    )
    if watched.ref.file_id != status.file_id:
        watched.ref = attrs.evolve(watched.ref, file_id=status.file_id)
    if status.overall_status != "ongoing":
        watched.state = status.overall_status
    if status.overall_status == "failed" and not status.modules and before is not None:
        # The service sends no flags with a failure: keep the last that were seen.
        status = attrs.evolve(status, modules=before.modules)
    watched.looks += 1
    watched.absent = watched.unreadable = 0
    watched.failing_since = watched.error = None
    watched.last_status = status
    return changed


def note_error(watched: Watched, error: KrixikError, *, now: float, wall: float) -> bool:
    """Take a failed look in; return whether anything a caller could see has changed."""
    first = watched.error is None
    watched.looks += 1
    watched.error = error
    if isinstance(error, RequestNotFound):
        watched.absent += 1
        watched.unreadable = 0
        watched.failing_since = None
        if watched.absent >= 2:
            watched.state = gone(watched, now=now, wall=wall)
    elif isinstance(error, RequestRejected):
        watched.state = "error"
    else:
        watched.absent = 0
        watched.unreadable += isinstance(error, UnexpectedReply)
        watched.failing_since = now if watched.failing_since is None else watched.failing_since
        if watched.unreadable >= UNREADABLE_LIMIT or now - watched.failing_since >= OUTAGE_S:
            watched.state = "error"
    return first or watched.ended


def gone(watched: Watched, *, now: float, wall: float) -> JobState:
    """Say what a confirmed "not found" means, by the job's age and whether it was ever there.

    A reference that knows its submission comes from a confirmed upload: the record was there. Of a
    bare request_id the age is counted from the first look.
    """
    ref = watched.ref
    if ref.expires_at is not None and wall >= ref.expires_at - EXPIRY_SLACK_S:
        return "expired"
    if watched.last_status is not None:
        return "deleted"
    if now - watched.started_at < LAG_S:
        return "pending"
    return "not_found" if ref.submitted_at is None else "deleted"


def merged(known: JobRef, other: JobRef) -> JobRef:
    """Give one reference to a job out of two, with whatever either knows."""
    fields = [field.name for field in attrs.fields(JobRef)]
    missing = {name: getattr(other, name) for name in fields if getattr(known, name) is None}
    return attrs.evolve(known, **missing)


def ends_at(ref: JobRef, *, now: float, wall: float) -> float:
    """Give the monotonic time at which waiting for this record makes no sense any more."""
    left = LONGEST_LIFE_S if ref.expires_at is None else ref.expires_at - wall
    return now + max(0.0, left) + EXPIRY_MARGIN_S


def delay_by(watched: Watched, interval: Callable[[Any], float], now: float) -> float:
    """Ask one waiter's schedule; raises what a caller's schedule raises."""
    return max(0.0, float(interval(retry_state(watched, now))))


def next_look(watched: Watched, delays: Sequence[float], *, now: float, wall: float) -> float:
    """Give the monotonic time of the next look: the soonest that any waiter's schedule asks for.

    Moved up where a look just before or just after the record's expiry would otherwise be missed;
    held back while looks fail.
    """
    delay = min(delays)
    if watched.absent:
        delay = CONFIRM_S
    elif watched.failing_since is not None:
        low, high = OUTAGE_PAUSE_S
        delay = max(delay, min(high, low + (now - watched.failing_since) / 2))
    return now + min([delay, *_expiry_looks(watched.ref, wall)])


def _expiry_looks(ref: JobRef, wall: float) -> list[float]:
    if ref.expires_at is None:
        return []
    lifetime = ref.expires_at - (ref.submitted_at or wall)
    last = ref.expires_at - max(LAST_LOOK_S, LAST_LOOK_SHARE * lifetime)
    return [at - wall for at in (last, ref.expires_at + AFTER_EXPIRY_S) if at > wall]


def retry_state(watched: Watched, now: float) -> RetryCallState:
    """Give a tenacity state that carries our times, for its `wait_*` objects to read.

    Fresh at each call: such a state must never be shared by two jobs.
    """
    state = RetryCallState(None, None, (), {})  # type: ignore[arg-type]  # not under a retrying
    state.start_time = watched.started_at
    state.outcome_timestamp = now
    state.attempt_number = max(1, watched.looks)
    outcome = Future(state.attempt_number)
    outcome.set_result(watched.last_status)
    state.outcome = outcome
    return state
