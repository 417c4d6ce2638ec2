"""What becomes of one input, as a value; made of what just happened, or of the journal's entry."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias, cast

import attrs

from krixik_async import _errors
from krixik_async._bulk._inputs import FileInput, called
from krixik_async._errors import KrixikError
from krixik_async._journal import Entry
from krixik_async._models import JobOutcome, JobRef, JobState, Output
from krixik_async._results import fate

BulkState: TypeAlias = Literal["complete", "failed", "vanished", "undecided", "error"]


@attrs.frozen(kw_only=True)
class BulkOutcome:
    """Hold what became of one file of `process_many`.

    `state` is "complete", "failed" (a module failed), "vanished" (the record is gone: expired,
    deleted, not found), "undecided" (nobody can tell whether the service has the file) or "error".
    `error` says why, for every state but "complete". `job` can be waited for; it is None if
    nothing was sent. `outcome` is how its process ended, if it did. `saved` are the paths of its
    output, `output` that output if this run fetched it. `resumed` means that all this comes from
    the journal, and nothing was asked of the service.
    """

    input: FileInput
    state: BulkState
    file_name: str | None = None
    symbolic_directory_path: str | None = None
    job: JobRef | None = None
    outcome: JobOutcome | None = None
    output: Output | None = None
    saved: tuple[Path, ...] = ()
    error: KrixikError | None = None
    resumed: bool = False

    @property
    def ok(self) -> bool:
        """Tell whether it is complete, and saved where that was asked for."""
        return self.state == "complete"

    @property
    def request_id(self) -> str:
        """Give the id of the process; empty if nothing was sent."""
        return "" if self.job is None else self.job.request_id

    @property
    def file_id(self) -> str:
        """Give the id of the file on the service; empty if nothing was sent."""
        return "" if self.job is None else self.job.file_id or ""

    def raise_for_failure(self) -> None:
        """Raise `error`, with a note that names the input, unless it is complete."""
        if self.error is not None:
            self.error.add_note(f"input of process_many: {called(self.input)}")
            raise self.error


def job_of(entry: Entry, *, pipeline: str, modules: int, account: str) -> JobRef | None:
    """Give the job that an entry tells of, if it has come that far."""
    if entry.request_id is None:
        return None
    return JobRef(
        request_id=entry.request_id,
        pipeline=pipeline,
        file_id=entry.file_id,
        submitted_at=entry.submitted_at,
        expires_at=entry.expires_at,
        module_count=modules,
        account=account,
    )


def begun_at(job: JobRef, now: float) -> JobRef:
    """Give the job as if it had been submitted at `now`: it lives as long from there."""
    life_s = (job.expires_at or 0.0) - (job.submitted_at or 0.0)
    return attrs.evolve(job, submitted_at=now, expires_at=now + life_s)


def ended_as(job: JobRef, entry: Entry) -> JobOutcome | None:
    """Give how a process ended by the entry's account; None if it did not."""
    step = entry.reached
    state: JobState
    if step in ("complete", "fetched"):
        state = "complete"
    elif step == "failed":
        state = "failed"
    elif step == "vanished":
        state = cast("JobState", entry.fate)
    else:
        return None
    done = {f"module_{n}": True for n in range(1, (job.module_count or 0) + 1)}
    return JobOutcome(
        request_id=job.request_id,
        state=state,
        job=job,
        file_id=job.file_id or "",
        modules=done if state == "complete" else {},
        failure_module=entry.fate if state == "failed" else None,
    )


def outcome_of(
    entry: Entry,
    file: FileInput,
    *,
    job: JobRef | None,
    ended: JobOutcome | None,
    error: KrixikError | None = None,
    output: Output | None = None,
    resumed: bool = False,
) -> BulkOutcome:
    """Give the outcome that an entry at an end stands for.

    `error` is what was raised, where that was just now; of what another run or worker met, the
    error is made again of what it wrote down.
    """
    state = "complete" if entry.step == "fetched" else entry.step
    if error is None and state != "complete":
        error = _error_of(entry, ended)
    return BulkOutcome(
        input=file,
        state=cast("BulkState", state),
        file_name=entry.file_name,
        symbolic_directory_path=entry.symbolic_directory_path,
        job=job,
        outcome=ended,
        output=output,
        saved=tuple(map(Path, entry.saved)),
        error=error,
        resumed=resumed,
    )


def _error_of(entry: Entry, ended: JobOutcome | None) -> KrixikError:
    if ended is not None and not ended.ok:
        return fate(ended)
    kind = getattr(_errors, entry.fate or "", KrixikError)
    return cast(
        "KrixikError", kind(entry.message or "", request_id=entry.request_id, file_id=entry.file_id)
    )
