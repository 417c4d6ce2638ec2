"""One input's way: from the journal's word on it to its end, each step noted before it is taken.

    planned, ticketed -> sent (or found to have been sent) -> uploaded
    uploaded, running -> waited for -> complete | failed | vanished
    complete          -> fetched, where that was asked for

Without a journal the way is the same and the notes are kept in memory only.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import attrs

from krixik_async import _fetching, _sending
from krixik_async._bulk._inputs import FileInput, Taken, called, given_file, key_of
from krixik_async._bulk._outages import Outages
from krixik_async._bulk._outcomes import BulkOutcome, begun_at, ended_as, job_of, outcome_of
from krixik_async._bulk._prints import arguments_of, is_same, noted, position_of
from krixik_async._errors import (
    AuthenticationError,
    ClientClosed,
    ConnectFailed,
    FileChanged,
    InvalidArgument,
    JournalError,
    KrixikError,
    RequestRejected,
    SubmitUncertain,
    UploadInterrupted,
    UploadRejected,
)
from krixik_async._journal import (
    ENDS,
    OPEN_ENDS,
    SENT,
    ClaimLost,
    Entry,
    Journal,
    Owner,
    Step,
    account_digest,
)
from krixik_async._models import JobOutcome, JobRef, Output
from krixik_async._results import fate
from krixik_async._session import Session
from krixik_async._submit import CLOCKS_DIFFER_S, NAME_HELD_S, RecordedTicket
from krixik_async._waiting import Schedule
from krixik_async._wire import Submit, Ticket

# An error's text in the journal: enough for what our messages say.
MESSAGE_CHARACTERS = 1000
# What concerns every file, and is no single one's fate.
FATAL = (AuthenticationError, ClientClosed, JournalError)
# What an upload may end with that says: nothing of it is on the service.
NOT_ARRIVED = (ConnectFailed, FileChanged, UploadInterrupted, UploadRejected)


@attrs.frozen(kw_only=True, eq=False)
class Work:
    """Hold what all inputs of one call share; `save_to` is None where nothing is to be fetched."""

    session: Session
    pipeline: str
    chain: tuple[str, ...]
    defaults: FileInput
    save_to: Path | None
    schedule: Schedule
    outages: Outages = attrs.field(
        init=False, default=attrs.Factory(lambda work: Outages(work.session.clock), takes_self=True)
    )

    @property
    def owner(self) -> Owner:
        """Say whose a journal of it is."""
        key, url = self.session.transport.credentials
        return Owner(
            pipeline=self.pipeline,
            chain=self.chain,
            account=lambda salt: account_digest(salt, key, url),
        )


class _LeaveAlone(Exception):
    """Carry an error that is this call's only: the journal is right and stays as it is."""

    def __init__(self, error: KrixikError) -> None:
        self.error = error


class OneFile:
    """Take one input as far as it can go. Is the `Notes` of its own sending."""

    def __init__(self, work: Work, taken: Taken, journal: Journal | None) -> None:
        self._work = work
        self._file = taken.file
        self._error = taken.error
        self._journal = journal
        self._key = key_of(taken.file)
        self._entry = Entry(key=self._key or "")
        self._noted = self._entry
        self._has_ticket = False
        self._ended: JobOutcome | None = None
        self._output: Output | None = None

    @property
    def job(self) -> JobRef | None:
        """Give the job as far as it is known: from its ticket on."""
        work = self._work
        return job_of(
            self._entry,
            pipeline=work.pipeline,
            modules=len(work.chain),
            account=work.session.account,
        )

    async def run(self) -> BulkOutcome | None:
        """Give the outcome, or None while another worker is at this input.

        Raises what concerns every input: a rejected key, a closed client, a journal in trouble.
        """
        if self._error is None and self._journal is not None and self._key is None:
            self._error = InvalidArgument(
                "with a journal, bytes and file objects need a name that lasts: give FileInput("
                "..., key=...) with a key of your own"
            )
        if self._error is not None:
            return self._as_error(self._error)
        try:
            return await self._enter_and_go()
        except ClaimLost:
            return None
        except _LeaveAlone as way_out:
            return self._as_error(way_out.error)

    async def _enter_and_go(self) -> BulkOutcome | None:
        if self._journal is not None:
            assert self._key is not None
            wanted = ENDS if self._work.save_to is None else ENDS - {"complete"}
            verdict, self._entry = await self._journal.enter(self._key, wanted)
            if verdict == "ended" and await self._lost_output():
                verdict, self._entry = await self._journal.enter(self._key, wanted - {"fetched"})
            if verdict == "theirs":
                return None
            if self._entry.reached in SENT:
                await self._refuse_a_change()
            if verdict == "ended":
                return self._outcome(resumed=True)
        return await self._go()

    async def _go(self) -> BulkOutcome:
        error: KrixikError | None = None
        try:
            if self._entry.reached in ("planned", "ticketed"):
                await self._send()
            if self._entry.reached in ("uploaded", "running"):
                await self._wait()
            if self._work.save_to is not None and self._entry.reached in ("complete", "fetched"):
                fetch = partial(self._fetch, self._work.save_to)
                await self._work.outages.ride_out(fetch)
            elif self._entry.step in OPEN_ENDS and self._entry.reached in ENDS:
                # Only its output could not be fetched, which is not asked for now.
                await self._write(self._entry.reached)
        except (*FATAL, ClaimLost):
            raise
        except SubmitUncertain as raised:
            error = raised
            await self._write("undecided", error=raised)
        except KrixikError as raised:
            error = raised
            await self._write("error", error=raised)
        return self._outcome(error=error)

    # --- sending -----------------------------------------------------------------------------

    async def _send(self) -> None:
        work, entry = self._work, self._entry
        given = given_file(self._file, work.defaults)
        start = position_of(given.local_file_path)
        shipment = await _sending.prepare(work.session, work.pipeline, work.chain, given)
        if self._journal is not None:
            self._noted = await work.session.offload(
                noted, entry, given.local_file_path, arguments_of(given), start
            )
        await work.outages.ride_out(partial(self._exchange, shipment))

    async def _exchange(self, shipment: _sending.Shipment) -> None:
        """Send it, or find out that it was sent, from what the entry tells."""
        entry = self._entry
        recorded = None
        if entry.reached == "ticketed":
            recorded = self._recorded(entry)
            if shipment.fresh_name is not None and entry.file_name is not None:
                request = attrs.evolve(shipment.request, file_name=entry.file_name)
                shipment = attrs.evolve(shipment, request=request)
        try:
            ref, _, _ = await _sending.send(
                self._work.session,
                shipment,
                notes=self,
                recorded=recorded,
                perhaps_asked=recorded is None and self._asked_just_now(entry),
            )
        except KrixikError as error:
            self._step_back(error)
            raise
        await self._write("uploaded")
        if recorded is not None and ref.request_id == recorded.request_id:
            await self._refuse_a_change()

    def _recorded(self, entry: Entry) -> RecordedTicket:
        assert entry.request_id is not None
        assert entry.file_id is not None
        asked_at = entry.asked_at or 0.0
        return RecordedTicket(
            request_id=entry.request_id,
            file_id=entry.file_id,
            age_s=self._work.session.clock.wall() - asked_at,
            life_s=(entry.expires_at or asked_at) - asked_at,
        )

    def _asked_just_now(self, entry: Entry) -> bool:
        """Tell whether a ticket that nobody knows of may hold the name."""
        if entry.asked_at is None:
            return False
        age_s = self._work.session.clock.wall() - entry.asked_at
        return age_s < NAME_HELD_S + CLOCKS_DIFFER_S

    async def asking(self, request: Submit) -> None:
        """Note the name under which a ticket is about to be asked for; see `Notes`."""
        look = self._noted
        await self._write(
            "planned",
            size=look.size,
            mtime_ns=look.mtime_ns,
            sha256=look.sha256,
            arguments=look.arguments,
            file_name=request.file_name,
            symbolic_directory_path=request.symbolic_directory_path,
            asked_at=self._work.session.clock.wall(),
            request_id=None,
            file_id=None,
            submitted_at=None,
            expires_at=None,
        )

    async def ticketed(self, ticket: Ticket, request: Submit) -> None:
        """Note the ids under which an upload is about to begin; see `Notes`."""
        asked_at = self._entry.asked_at
        assert asked_at is not None
        await self._write(
            "ticketed",
            request_id=ticket.request_id,
            file_id=ticket.file_id,
            submitted_at=asked_at,
            expires_at=asked_at + request.expire_time,
        )
        self._has_ticket = True

    # --- waiting and fetching ----------------------------------------------------------------

    async def _wait(self) -> None:
        job = self.job
        assert job is not None
        ended = await self._ended_of(job)
        if ended.state == "pending":
            # It has outlived its end: the clock that told when that is was another one, or was set.
            ended = await self._ended_of(begun_at(job, self._work.session.clock.wall()))
        self._ended = ended
        if ended.ok:
            await self._write("complete")
        elif ended.state == "failed":
            await self._write("failed", fate=ended.failure_module)
        elif ended.vanished:
            await self._write("vanished", fate=ended.state)
        else:
            raise fate(ended)

    async def _ended_of(self, job: JobRef) -> JobOutcome:
        result = await self._work.session.waiter.wait(
            [job],
            timeout=None,
            return_when="all",
            on_update=self._seen,
            schedule=self._work.schedule,
        )
        return result[job.request_id]

    async def _seen(self, outcome: JobOutcome) -> None:
        if outcome.last_status is not None and self._entry.reached == "uploaded":
            await self._write("running")

    async def _fetch(self, save_to: Path) -> None:
        file_id = self._entry.file_id
        assert file_id is not None
        work = self._work
        self._output = await _fetching.fetch_output(work.session, work.pipeline, file_id, save_to)
        await self._write("fetched", saved=self._output.process_output_files)

    async def _lost_output(self) -> bool:
        """Tell whether an output that was fetched is to be fetched again: it is not there."""
        if self._work.save_to is None or self._entry.step != "fetched":
            return False
        return not await self._work.session.offload(all_there, self._entry.saved)

    # --- the journal -------------------------------------------------------------------------

    async def _write(
        self, step: Step, *, error: KrixikError | None = None, **changes: object
    ) -> None:
        """Note a step. `error` goes with the open ends, whose `after` is the step before."""
        after = None
        if error is not None:
            # A name on disk may hold bytes that are no text, which a database would not take.
            message = str(error).encode("utf-8", "backslashreplace").decode("utf-8")
            changes = {"fate": type(error).__name__, "message": message[:MESSAGE_CHARACTERS]}
            after = self._entry.reached
        told = {"fate": None, "message": None, **changes}
        entry = attrs.evolve(self._entry, step=step, after=after, **told)  # type: ignore[arg-type]  # names of Entry
        if self._journal is not None:
            await self._journal.write(entry)
        self._entry = entry

    def _step_back(self, error: KrixikError) -> None:
        """Find from where to send it again, now or in the next run, after it could not be sent."""
        entry = self._entry
        if entry.reached == "planned" and isinstance(error, RequestRejected):
            # Refused: no ticket of ours holds the name.
            self._entry = attrs.evolve(entry, asked_at=None)
        if entry.reached == "ticketed" and self._has_ticket and isinstance(error, NOT_ARRIVED):
            # There is nothing to look up: the next try asks for a ticket, however late it comes.
            self._entry = attrs.evolve(entry, step="planned", after=None)

    async def _refuse_a_change(self) -> None:
        """Refuse an input that is not what was sent: its outcome would be another file's."""
        error = await change_in(self._work, self._entry, self._file)
        if error is not None:
            raise _LeaveAlone(error)

    # --- outcomes ----------------------------------------------------------------------------

    def _outcome(self, *, error: KrixikError | None = None, resumed: bool = False) -> BulkOutcome:
        job = self.job
        ended = self._ended
        if ended is None and job is not None:
            ended = ended_as(job, self._entry)
        return outcome_of(
            self._entry,
            self._file,
            job=job,
            ended=ended,
            error=error,
            output=self._output,
            resumed=resumed,
        )

    def _as_error(self, error: KrixikError) -> BulkOutcome:
        self._entry = attrs.evolve(self._entry, step="error", after=self._entry.reached)
        return self._outcome(error=error)


async def change_in(work: Work, entry: Entry, file: FileInput) -> KrixikError | None:
    """Give why an input is not what was sent, or None if it is."""
    error: KrixikError
    if not await work.session.offload(is_same, entry, file.local_file_path):
        error = FileChanged(
            f"{called(file)} has changed since it was sent (the journal knows its size and its "
            "SHA-256). To send the new one, give it a key of its own, FileInput(..., key=...), "
            "or use another journal"
        )
    elif entry.arguments != arguments_of(given_file(file, work.defaults)):
        error = InvalidArgument(
            f"{called(file)} was sent with other arguments. To send it again with these, give it "
            "a key of its own, FileInput(..., key=...), or use another journal"
        )
    else:
        return None
    error.fill(request_id=entry.request_id, file_id=entry.file_id, pipeline=work.pipeline)
    return error


def all_there(paths: tuple[str, ...]) -> bool:
    """Tell whether what was saved is there still. Blocking."""
    return all(Path(path).is_file() for path in paths)
