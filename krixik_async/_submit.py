"""The exchange that sends one file, as a generator without I/O.

It yields what it wants done and is sent the result, or has the error thrown in; a driver adds the
network and the clock. Written this way because the hard part is not sending, but what to do when
an answer is lost (the facts: an upload ticket lives about 60 s, `list` shows finished files only,
so a lost ticket cannot be looked up):

- a lost *ticket* answer does not matter: no upload follows it, nothing runs, its record vanishes.
  Under a name of our own making the next try simply takes a fresh name. Under the caller's name
  the lost record may hold the name until it vanishes: ask on until 90 s after the last lost try.
- a lost *upload* answer is looked up by the ticket's request_id: any flag true, complete or failed
  means it arrived; all false is told apart from "never arrived" by outliving the ticket; not found
  means it did not, and a new ticket is asked for. The form is only repeated on the same ticket
  where the body demonstrably did not get through. Not found means neither where so much time has
  gone by that the record may have expired: a process may have been suspended meanwhile.

An exchange that its process did not live to end is taken up by `resume`, from the ids that were
written down before its upload began: it starts with that look-up.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Literal, TypeAlias

import attrs

from krixik_async._errors import (
    AnswerLost,
    AuthenticationError,
    KrixikError,
    RequestNotFound,
    RequestRejected,
    ServerError,
    ServiceError,
    SubmitUncertain,
    TransportError,
    UploadInterrupted,
    UploadRejected,
)
from krixik_async._models import ProcessStatus
from krixik_async._reply import Reply
from krixik_async._wire import PIPELINE_MISMATCH, SAME_NAME_OTHER_CHAIN, GetStatus, Submit, Ticket

# How long a ticket without an upload is on record, and how much later it is surely gone.
TICKET_LIFE_S = 60.0
TICKET_GONE_S = 75.0
# How long a record that was made may not be readable.
LAG_S = 15.0
# How long after a lost try "taken" may still be our own lost ticket.
NAME_HELD_S = 90.0
# What two machines' clocks may differ by, where a journal is carried from one to the other.
CLOCKS_DIFFER_S = 300.0
TRIES = 4
LOOK_EVERY_S = 2.0
TOO_MANY, FORBIDDEN = 429, 403
ASK_AGAIN_S = 5.0


@attrs.frozen
class AskTicket:
    """Wants `request` sent; is sent a `Ticket`."""

    request: Submit


@attrs.frozen
class SendForm:
    """Wants the form uploaded once with `ticket`; is sent None."""

    ticket: Ticket


@attrs.frozen
class LookUp:
    """Wants the status of the ticket's process; is sent a `ProcessStatus`."""

    request: GetStatus


@attrs.frozen
class Pause:
    """Wants to wait; is sent None."""

    seconds: float


@attrs.frozen(kw_only=True)
class RecordedTicket:
    """Hold what was written down of a ticket before its upload began.

    `age_s` is its age by the wall clock when it is taken up again, `life_s` the expire time that
    it was asked for with: the request that takes it up may have another one.
    """

    request_id: str
    file_id: str
    age_s: float
    life_s: float


Step: TypeAlias = AskTicket | SendForm | LookUp | Pause
StepResult: TypeAlias = Ticket | ProcessStatus | None
Exchange: TypeAlias = Generator[Step, StepResult, "Submitted"]


@attrs.frozen(kw_only=True)
class Submitted:
    """Hold the end of the exchange: the file is stored, under this name, with this ticket."""

    ticket: Ticket | RecordedTicket
    request: Submit
    asked_at: float


@attrs.define
class _Attempt:
    """Count what one exchange has been through. Times are of the injected monotonic clock.

    Which may stand still while the machine sleeps; `wall` does not, and may be set. `asked_wall` is
    its time when the last ticket was asked for.
    """

    request: Submit
    fresh_name: Callable[[], str] | None
    now: Callable[[], float]
    wall: Callable[[], float]
    what: str
    asked_wall: float = 0.0
    tickets: int = 0
    refused: bool = False
    lost_at: float | None = None

    @property
    def spent(self) -> bool:
        """Tell whether no further ticket may be asked for."""
        return self.tickets >= TRIES


def _start_over(attempt: _Attempt) -> Generator[Step, StepResult, Literal[False]]:
    """Note that a record of ours may hold the name, take a fresh one where we may, and breathe."""
    attempt.lost_at = attempt.now()
    if attempt.fresh_name is not None:
        attempt.request = attrs.evolve(attempt.request, file_name=attempt.fresh_name())
    yield Pause(LOOK_EVERY_S)
    return False


def submit(
    request: Submit,
    *,
    now: Callable[[], float],
    wall: Callable[[], float],
    what: str,
    fresh_name: Callable[[], str] | None = None,
    perhaps_asked: bool = False,
) -> Exchange:
    """Send one file and return `Submitted` once the service has confirmed that it is stored.

    `fresh_name` makes another name where the file's name is ours to choose; `what` names the file
    in errors; `now` gives monotonic seconds and `wall` epoch seconds. `perhaps_asked` tells that a
    process which is no more may have asked for a ticket under this name just now. Raises what the
    service refused, SubmitUncertain where a lost answer could not be cleared up, and the last
    transport error after 4 tickets. Errors after a ticket carry its ids.
    """
    attempt = _Attempt(request, fresh_name, now, wall, what)
    if perhaps_asked:
        attempt.lost_at = now()
    return (yield from _until_stored(attempt))


def resume(
    request: Submit,
    recorded: RecordedTicket,
    *,
    now: Callable[[], float],
    wall: Callable[[], float],
    what: str,
    fresh_name: Callable[[], str] | None = None,
) -> Exchange:
    """Take up an exchange whose ticket was recorded and whose process did not live to end it.

    Arguments, result and errors as `submit`; `request` is the one that the ticket was given for,
    with a name that may be asked for again. Ages count from now on, not from the ticket: that only
    makes it wait longer, and no clock of another machine can hasten a verdict.
    """
    attempt = _Attempt(request, fresh_name, now, wall, what, asked_wall=wall(), tickets=1)
    begun = now()
    try:
        stored = yield from _settle(attempt, recorded, begun)
    except KrixikError as error:
        _fill(error, attempt, recorded)
        raise
    if stored:
        return Submitted(ticket=recorded, request=attempt.request, asked_at=begun - recorded.age_s)
    return (yield from _until_stored(attempt))


def _until_stored(attempt: _Attempt) -> Exchange:
    while True:
        ticket, asked_at = yield from _ticket(attempt)
        try:
            stored = yield from _upload(attempt, ticket, asked_at)
        except KrixikError as error:
            _fill(error, attempt, ticket)
            raise
        if stored:
            return Submitted(ticket=ticket, request=attempt.request, asked_at=asked_at)


def _fill(error: KrixikError, attempt: _Attempt, ticket: Ticket | RecordedTicket) -> None:
    error.fill(
        request_id=ticket.request_id,
        file_id=ticket.file_id,
        pipeline=attempt.request.pipeline,
    )


def _refuse_to_guess(attempt: _Attempt, ticket: Ticket | RecordedTicket, asked_at: float) -> None:
    """Raise where "not found" may also mean: taken, processed, and expired since."""
    age_s = max(attempt.now() - asked_at, attempt.wall() - attempt.asked_wall)
    life_s = float(attempt.request.expire_time)
    if isinstance(ticket, RecordedTicket):
        age_s, life_s = age_s + ticket.age_s, ticket.life_s
    if -CLOCKS_DIFFER_S <= age_s < life_s - CLOCKS_DIFFER_S:
        return
    raise _uncertain(
        attempt,
        f"its record, {age_s:.0f} s old by this machine's clock, is gone: it was never uploaded, "
        "or was processed and has expired",
    )


def _ticket(attempt: _Attempt) -> Generator[Step, StepResult, tuple[Ticket, float]]:
    while True:
        asked_at, attempt.asked_wall = attempt.now(), attempt.wall()
        attempt.tickets += 1
        try:
            result = yield AskTicket(attempt.request)
        except (AnswerLost, ServerError):
            if attempt.spent:
                raise
            yield from _start_over(attempt)
        except RequestRejected as refusal:
            attempt.tickets -= 1  # nothing was made: this try costs nothing
            if not _may_be_our_own(refusal, attempt):
                raise
            _give_up_on_name(refusal, attempt)
            yield Pause(ASK_AGAIN_S)
        else:
            assert isinstance(result, Ticket)
            return result, asked_at


def _may_be_our_own(refusal: RequestRejected, attempt: _Attempt) -> bool:
    """Tell whether "taken" may come from a ticket of this very exchange.

    The service's words for a taken path are not public, so any refusal after a lost try may be
    it, except the two that are known to mean something else.
    """
    known = any(words in refusal.message for words in (SAME_NAME_OTHER_CHAIN, PIPELINE_MISMATCH))
    return attempt.lost_at is not None and attempt.fresh_name is None and not known


def _give_up_on_name(refusal: RequestRejected, attempt: _Attempt) -> None:
    assert attempt.lost_at is not None
    waited = attempt.now() - attempt.lost_at
    if waited < NAME_HELD_S:
        return
    path = f"{attempt.request.symbolic_directory_path.rstrip('/')}/{attempt.request.file_name}"
    raise SubmitUncertain(
        f"it cannot be told whether {attempt.what} was taken: an answer was lost {waited:.0f} s "
        f"ago, and the service still refuses {path!r} (it says: {refusal.message}). "
        "Look for it with list(symbolic_file_paths=[...]), or send it under another name",
        pipeline=attempt.request.pipeline,
        reply=refusal.reply,
    ) from refusal


def _upload(
    attempt: _Attempt, ticket: Ticket, asked_at: float
) -> Generator[Step, StepResult, bool]:
    """Return True if stored, False if a new ticket is needed."""
    tries = 0
    while True:
        tries += 1
        try:
            yield SendForm(ticket)
        except UploadInterrupted:
            if tries >= TRIES or attempt.now() - asked_at >= TICKET_LIFE_S:
                if attempt.spent:
                    raise
                return (yield from _start_over(attempt))
        except UploadRejected as refusal:
            if _may_be_stored(refusal.status_code or 0):
                return (yield from _settle(attempt, ticket, asked_at))
            if not _another_may_do(attempt, refusal.status_code):
                raise
            return (yield from _start_over(attempt))
        except AnswerLost:
            return (yield from _settle(attempt, ticket, asked_at))
        else:
            return True
        yield Pause(min(2.0**tries, LOOK_EVERY_S * 2))


def _another_may_do(attempt: _Attempt, status_code: int | None) -> bool:
    """Tell whether a form that was refused may be taken with a new ticket.

    After 429 it may: it was refused for now, not for what it is, and whether the same ticket may be
    used again nobody has said. After 403 once: the ticket has expired or was altered. Anything else
    a new one won't change.
    """
    if status_code == TOO_MANY:
        return not attempt.spent
    if status_code != FORBIDDEN or attempt.refused:
        return False
    attempt.refused = True
    return True


def _may_be_stored(status_code: int) -> bool:
    """Tell whether an upload's answer, which is no 204, may come after the file was stored.

    5xx may; and so may what says that all is well in another way than asked for: 200, 201, or 303
    to a page that says so (the S3 documentation, POST object, 2026-11).
    """
    return status_code >= 500 or 200 <= status_code < 300 or status_code == 303


def _settle(
    attempt: _Attempt, ticket: Ticket | RecordedTicket, asked_at: float
) -> Generator[Step, StepResult, bool]:
    """Find out whether an unanswered upload arrived: True or False, from the service's records.

    From here on nothing may leave that reads as "nothing was done": where it cannot be found out,
    SubmitUncertain says so.
    """
    request = GetStatus(pipeline=attempt.request.pipeline, process_id=ticket.request_id)
    absent = 0
    while True:
        age = attempt.now() - asked_at
        try:
            status = yield LookUp(request)
        except RequestNotFound as missing:
            # A record may not be readable yet; after that, two looks in a row are a verdict.
            absent += age >= LAG_S
            if absent >= 2:
                _refuse_to_guess(attempt, ticket, asked_at)
                if attempt.spent:
                    raise _never_arrived(attempt) from missing
                return (yield from _start_over(attempt))
        except AuthenticationError as error:
            raise _uncertain(attempt, "the api key was rejected meanwhile", error.reply) from error
        except (TransportError, ServiceError) as error:
            absent = 0
            if age >= NAME_HELD_S:
                raise _uncertain(
                    attempt, f"asking failed for {age:.0f} s ({error})", error.reply
                ) from error
        else:
            assert isinstance(status, ProcessStatus)
            absent = 0
            if _in_work(status) or age >= TICKET_GONE_S:
                return True
        yield Pause(LOOK_EVERY_S)


def _uncertain(attempt: _Attempt, why: str, reply: Reply | None = None) -> SubmitUncertain:
    path = f"{attempt.request.symbolic_directory_path.rstrip('/')}/{attempt.request.file_name}"
    return SubmitUncertain(
        f"it cannot be told whether {attempt.what} was taken: the upload's answer was lost, and "
        f"{why}. Ask process_status for the request_id of this error, or look for {path!r} with "
        "list(symbolic_file_paths=[...]), before you send it again",
        reply=reply,
    )


def _never_arrived(attempt: _Attempt) -> UploadInterrupted:
    return UploadInterrupted(
        f"{attempt.what} did not arrive with any of {attempt.tickets} tickets: each upload's "
        "answer was lost, and then the record was not found. Sending it again is safe"
    )


def _in_work(status: ProcessStatus) -> bool:
    """Tell whether a status shows that the file is there: nothing runs without an upload."""
    return status.overall_status != "ongoing" or any(status.modules.values())
