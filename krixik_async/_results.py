"""What a wait gives back: outcomes by key, whole or in part, and the token to go on from."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, cast

import attrs

from krixik_async._catalogue import MAX_CHAIN, check_pipeline_name
from krixik_async._errors import (
    InvalidArgument,
    InvalidArgumentType,
    JobError,
    JobsFailed,
    KrixikError,
    ProcessFailed,
    RequestVanished,
    WaitTimeout,
)
from krixik_async._models import JobOutcome, JobRef, WaitStatistics
from krixik_async._validation import check_id, kind_of

TOKEN_VERSION = 1
# A token is meant for a queue message or a log line; more ids belong in a file.
TOKEN_IDS = 1000
_FEWEST_FIELDS = 6
_ACCOUNT = re.compile(r"[0-9a-f]{8}")
# Epoch seconds of the year 9999: no time in a token is later.
_LATEST = 253_402_300_799.0


class WaitResult(Mapping[str, JobOutcome]):
    """Map request_ids to `JobOutcome`s, in the order given, without duplicates.

    `timed_out` tells whether time ran out, or a `stop` stopped a job, before all had ended;
    `statistics` is what the wait has cost.
    """

    def __init__(
        self,
        outcomes: Iterable[JobOutcome],
        *,
        timed_out: bool = False,
        statistics: WaitStatistics | None = None,
    ) -> None:
        self._outcomes = {outcome.request_id: outcome for outcome in outcomes}
        self.timed_out = timed_out
        self.statistics = WaitStatistics() if statistics is None else statistics

    def __getitem__(self, request_id: str) -> JobOutcome:
        return self._outcomes[request_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._outcomes)

    def __len__(self) -> int:
        return len(self._outcomes)

    def __repr__(self) -> str:
        counts = {
            "complete": len(self.complete),
            "failed": len(self.failed),
            "vanished": len(self.vanished),
            "pending": len(self.pending),
            "errors": len(self.errors),
        }
        shown = ", ".join(f"{name}={count}" for name, count in counts.items() if count)
        return f"<WaitResult of {len(self)}: {shown or 'empty'}>"

    def _where(self, *states: str) -> tuple[JobOutcome, ...]:
        return tuple(outcome for outcome in self._outcomes.values() if outcome.state in states)

    @property
    def complete(self) -> tuple[JobOutcome, ...]:
        """Give the jobs whose module flags are all true."""
        return self._where("complete")

    @property
    def failed(self) -> tuple[JobOutcome, ...]:
        """Give the jobs that the service reports as failed."""
        return self._where("failed")

    @property
    def vanished(self) -> tuple[JobOutcome, ...]:
        """Give the jobs whose record is gone: expired, deleted, not_found."""
        return self._where("expired", "deleted", "not_found")

    @property
    def pending(self) -> tuple[JobOutcome, ...]:
        """Give the jobs that had not ended when the wait did."""
        return self._where("pending")

    @property
    def errors(self) -> tuple[JobOutcome, ...]:
        """Give the jobs whose state could not be found out; each `error` says why."""
        return self._where("error")

    def raise_for_failures(self) -> None:
        """Raise JobsFailed if a job failed, vanished or ended as error; pending is no failure."""
        bad = (*self.failed, *self.vanished, *self.errors)
        if not bad:
            return
        named = ", ".join(f"{outcome.request_id} ({outcome.state})" for outcome in bad[:5])
        more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        failure = JobsFailed(f"{len(bad)} of {len(self)} jobs did not complete: {named}{more}")
        failure.outcomes = bad
        raise failure from fate(bad[0])

    @property
    def resume_token(self) -> str:
        """Give a short JSON text for `krixik.resume(token)`; it holds no secret.

        If nothing is `pending` it holds no job, and resuming gives an empty result. For more than
        1,000 pending jobs, raises InvalidArgument: use `save_token(path)` instead.
        """
        if len(self.pending) > TOKEN_IDS:
            raise InvalidArgument(
                f"{len(self.pending)} jobs are pending but a token holds at most {TOKEN_IDS}: "
                "use save_token(path)"
            )
        return self._token()

    def save_token(self, path: str | os.PathLike[str]) -> None:
        """Write the resume token, for any number of pending jobs, to a file (blocking, small).

        An older token in that file is replaced only when the new one is written whole.
        """
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():
            target.write_text(self._token(), encoding="utf-8")  # a pipe or a device
            return
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            part.write_text(self._token(), encoding="utf-8")
            part.replace(target)
        except OSError:
            part.unlink(missing_ok=True)
            raise

    def _token(self) -> str:
        jobs = [attrs.astuple(outcome.job) for outcome in self.pending]
        return json.dumps({"krixik_async": TOKEN_VERSION, "jobs": jobs}, separators=(",", ":"))


def read_token(token: object) -> tuple[JobRef, ...]:
    """Give the jobs of a resume token. Raises InvalidArgument for anything else."""
    if not isinstance(token, str):
        raise InvalidArgumentType(f"token is {kind_of(token)} but must be a str")
    wrong = InvalidArgument(
        "this is no resume token of krixik_async: pass the text of result.resume_token, "
        "or the contents of the file that save_token() wrote"
    )
    try:
        parsed = json.loads(token)
        version, jobs = parsed["krixik_async"], parsed["jobs"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise wrong from None
    if isinstance(version, bool) or not isinstance(jobs, list):
        raise wrong
    if version != TOKEN_VERSION:
        raise InvalidArgument(
            f"the token is of version {version!r}, this krixik_async reads {TOKEN_VERSION}: "
            "use the release that wrote it"
        )
    try:
        return tuple(_read_job(job) for job in jobs)
    except (ValueError, TypeError):
        raise wrong from None


def _read_job(job: list[Any]) -> JobRef:
    names = [field.name for field in attrs.fields(JobRef)]
    # A token of before sizes and accounts were kept has none at its end.
    if not _FEWEST_FIELDS <= len(job) <= len(names):
        raise ValueError
    ref = JobRef(**dict(zip(names, job, strict=False)))
    check_id("request_id", ref.request_id)
    check_pipeline_name(ref.pipeline)
    if not isinstance(ref.file_id, str | None):
        raise TypeError
    if ref.account is not None and not _ACCOUNT.fullmatch(ref.account):
        raise ValueError
    # What it says decides how long is waited, and how much is kept: a token that was tampered with
    # is refused rather than believed.
    _check_number(ref.submitted_at, int | float, 0, _LATEST)
    _check_number(ref.expires_at, int | float, 0, _LATEST)
    _check_number(ref.module_count, int, 1, MAX_CHAIN)
    _check_number(ref.size_bytes, int, 0, 2**63)
    return ref


def _check_number(value: object, kind: type | UnionType, least: float, most: float) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, kind):
        raise TypeError
    if not least <= cast("float", value) <= most:
        raise ValueError


def fate(outcome: JobOutcome) -> KrixikError:
    """Give the error that stands for an outcome that is not complete."""
    about = f"job {outcome.request_id} in pipeline {outcome.job.pipeline!r}"
    error: JobError
    if outcome.state == "failed":
        module = outcome.failure_module or "a module the service does not name"
        error = ProcessFailed(f"{about} failed at {module}{_reason(outcome)}")
        error.failure_module = outcome.failure_module
    elif outcome.vanished:
        says = f" ({outcome.error})" if outcome.error else ""
        error = RequestVanished(f"{about} is gone: {outcome.state}{says}")
    elif outcome.error is not None and outcome.state == "error":
        return outcome.error
    else:
        error = WaitTimeout(
            f"{about} had not ended in time. It goes on: wait again with the `job` of this error"
        )
    error.reply = outcome.reply
    error.fill(
        request_id=outcome.request_id, file_id=outcome.job.file_id, pipeline=outcome.job.pipeline
    )
    error.job, error.outcome = outcome.job, outcome
    return error


def _reason(outcome: JobOutcome) -> str:
    status = outcome.last_status
    failure = None if status is None else status.failure_status
    return f": {failure.message}" if failure is not None and failure.message else ""
