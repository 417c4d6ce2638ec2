"""What one waited-for job has shown so far, and what each answer means.

Pure functions: nothing here awaits or reads a clock. `now` is monotonic seconds, `wall` epoch
seconds. When to ask next is for a schedule to say (`_strategies`); here it is moved up where the
record's expiry would hide the evidence, and held back while looks fail.

The meaning of "not found". A record may be not readable yet, expired, deleted or never there; the
answer is the same words. What tells them apart is the job's age and whether it was ever seen, and
a verdict needs two looks.
"""

from __future__ import annotations

import attrs

from krixik_async._errors import (
    KrixikError,
    RequestNotFound,
    RequestRejected,
    UnexpectedReply,
)
from krixik_async._models import JobOutcome, JobRef, JobState, ProcessStatus

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


@attrs.frozen
class Trouble:
    """Hold what is wrong with the last looks at a job.

    So many in a row found it `absent`, or could not read the answer; `since` is when those began
    that failed for another reason than its absence.
    """

    error: KrixikError
    since: float
    absent: int = 0
    unreadable: int = 0


# Without weak references: a hundred thousand of them are held at once. What few have is apart.
@attrs.define(eq=False, weakref_slot=False)
class Watched:
    """Hold what one waited-for job has shown; one per job however many wait for it.

    Monotonic seconds: `started_at` is the submission, or the first look where that is unknown;
    `looked_at` is when the last question was sent whose answer showed the job unfinished;
    `entered_at` is when each of the modules done was, midway between the two looks around it.
    `trouble` is there only if the last look failed.
    """

    ref: JobRef
    started_at: float
    looks: int = 0
    looked_at: float | None = None
    entered_at: tuple[float, ...] = ()
    state: JobState = "pending"
    last_status: ProcessStatus | None = None
    trouble: Trouble | None = None

    @property
    def error(self) -> KrixikError | None:
        """Give what the last look raised, if it failed."""
        return None if self.trouble is None else self.trouble.error

    @property
    def unfinished_at(self) -> float | None:
        """Give the last time at which it was not complete yet, if it was ever seen."""
        return self.looked_at

    @property
    def in_doubt(self) -> bool:
        """Tell whether the last look failed; the next one is timed to confirm it, or to wait."""
        return self.trouble is not None

    @property
    def ended(self) -> bool:
        """Tell whether the job has its verdict."""
        return self.state != "pending"

    @property
    def own_status(self) -> ProcessStatus | None:
        """Give the last answer that could be read, with the ids of this job."""
        status = self.last_status
        if status is None or status.file_id == self.ref.file_id:
            return status
        # One that is shared by many jobs; see `shared_status`.
        return attrs.evolve(status, file_id=self.ref.file_id or "", modules=dict(status.modules))

    def outcome(self) -> JobOutcome:
        """Give what is known, as a value."""
        status = self.own_status
        failure = None if status is None else status.failure_status
        return JobOutcome(
            request_id=self.ref.request_id,
            state=self.state,
            job=self.ref,
            file_id=self.ref.file_id or "",
            modules={} if status is None else status.modules,
            failure_module=None if failure is None else failure.failure_module,
            last_status=status,
            error=self.error,
        )


def shared_status(status: ProcessStatus) -> ProcessStatus:
    """Give what jobs that have come equally far have in common: no ids and no raw answer.

    A waiting job keeps this alone of its last answer: the whole is 2 kB.
    """
    return attrs.evolve(status, request_id="", file_id="", raw={}, reply=None)


def note_status(watched: Watched, status: ProcessStatus, *, asked_at: float, now: float) -> bool:
    """Take a status in; return whether anything a caller could see has changed.

    `asked_at` is when the question was sent, `now` when the answer had come.
    """
    before = watched.last_status
    changed = (
        before is None
        or before.modules != status.modules
        or before.overall_status != status.overall_status
        or watched.error is not None
    )
    if watched.ref.file_id != status.file_id:
        watched.ref = attrs.evolve(watched.ref, file_id=status.file_id)
    if status.overall_status == "failed" and not status.modules and before is not None:
        # The service sends no flags with a failure: keep the last that were seen.
        status = attrs.evolve(status, modules=dict(before.modules))
    watched.looks += 1
    watched.trouble = None
    watched.last_status = status
    if status.overall_status != "ongoing":
        watched.state = status.overall_status
        return changed
    done, known = sum(status.modules.values()), len(watched.entered_at)
    if done > known:
        since = asked_at if watched.looked_at is None else watched.looked_at
        watched.entered_at += (midway(watched, since, now),) * (done - known)
    watched.looked_at = asked_at
    return changed


def midway(watched: Watched, low: float, high: float) -> float:
    """Give the moment between two looks that an event is taken to have happened at.

    The geometric mean of the job's ages then, as durations are spread over scales.
    """
    ages = max(0.0, low - watched.started_at), max(0.0, high - watched.started_at)
    return float(watched.started_at + (ages[0] * ages[1]) ** 0.5) if ages[0] else (low + high) / 2


def note_error(watched: Watched, error: KrixikError, *, now: float, wall: float) -> bool:
    """Take a failed look in; return whether anything a caller could see has changed."""
    before = watched.trouble
    watched.looks += 1
    watched.trouble = trouble = _one_more(before, error, now)
    if trouble.absent:
        if trouble.absent >= 2:
            watched.state = gone(watched, now=now, wall=wall)
    elif (
        isinstance(error, RequestRejected)
        or trouble.unreadable >= UNREADABLE_LIMIT
        or now - trouble.since >= OUTAGE_S
    ):
        watched.state = "error"
    return before is None or watched.ended


def _one_more(before: Trouble | None, error: KrixikError, now: float) -> Trouble:
    if before is None:
        before = Trouble(error, now)
    if isinstance(error, RequestNotFound):
        return Trouble(error, now, absent=before.absent + 1)
    unreadable = before.unreadable + isinstance(error, UnexpectedReply)
    return Trouble(error, now if before.absent else before.since, unreadable=unreadable)


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
    more = {
        name: getattr(other, name)
        for name in fields
        if getattr(known, name) is None and getattr(other, name) is not None
    }
    return attrs.evolve(known, **more) if more else known


def ends_at(ref: JobRef, *, now: float, wall: float) -> float:
    """Give the monotonic time at which waiting for this record makes no sense any more."""
    left = LONGEST_LIFE_S if ref.expires_at is None else ref.expires_at - wall
    return now + max(0.0, left) + EXPIRY_MARGIN_S


def next_look(watched: Watched, delay: float, *, now: float, wall: float) -> float:
    """Give the monotonic time of the next look, `delay` seconds from now if nothing is against it.

    Moved up where a look just before or just after the record's expiry would otherwise be missed;
    held back while looks fail.
    """
    trouble = watched.trouble
    if trouble is not None:
        least = outage_pause(now - trouble.since)
        delay = CONFIRM_S if trouble.absent else max(delay, least)
    return now + min([delay, *_expiry_looks(watched.ref, wall)])


def outage_pause(failing_s: float) -> float:
    """Give the pause after a failed look: the longer it fails, the longer, 1 s to 30 s."""
    low, high = OUTAGE_PAUSE_S
    return min(high, low + failing_s / 2)


def is_ending(ref: JobRef, wall: float) -> bool:
    """Tell whether the record's expiry is so near that no look may be put off."""
    return ref.expires_at is not None and wall >= _last_look(ref, ref.expires_at, wall) - 1e-3


def _last_look(ref: JobRef, expires_at: float, wall: float) -> float:
    lifetime = expires_at - (ref.submitted_at or wall)
    return expires_at - max(LAST_LOOK_S, LAST_LOOK_SHARE * lifetime)


def _expiry_looks(ref: JobRef, wall: float) -> list[float]:
    if ref.expires_at is None:
        return []
    last = _last_look(ref, ref.expires_at, wall)
    return [at - wall for at in (last, ref.expires_at + AFTER_EXPIRY_S) if at > wall]
