"""A job: one file on its way through a pipeline, and the ways to name one."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Generator, Iterable
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from krixik_async._arguments import names_checked
from krixik_async._errors import InvalidArgument, InvalidArgumentType
from krixik_async._models import JobOutcome, JobRef, Value
from krixik_async._progress import ProgressDisplay, check_progress
from krixik_async._reply import JSON, Reply
from krixik_async._results import WaitResult, fate
from krixik_async._session import Session
from krixik_async._streaming import MAX_WAITING, AsCompleted
from krixik_async._validation import check_bool, kind_of
from krixik_async._waiting import (
    OnUpdate,
    Poll,
    ReturnWhen,
    StopWaiting,
    check_max_waiting,
    check_on_update,
    check_poll,
    check_return_when,
    check_timeout,
)
from krixik_async._watching import Watch
from krixik_async._wire import Submit

if TYPE_CHECKING:
    from krixik_async._pipeline import Pipeline


@names_checked
class Job(Value):
    """Follow one file through a pipeline: `process` returns one of these. Await it to wait for it.

    `await job` returns the `JobOutcome` if the job completes; otherwise it raises ProcessFailed,
    RequestVanished or, when the record expires, WaitTimeout. Cancel-safe: waiting never touches
    the job itself. `ref` is the part that can be stored. `reply` is the service's answer to the
    upload request, without the upload form, whose fields are secret. `status_code` is 200 if
    `process` has waited for it, as in the official client's dict.
    """

    def __init__(
        self,
        ref: JobRef,
        pipeline: Pipeline,
        request: Submit,
        *,
        reply: Reply | None = None,
        status_code: int | None = None,
    ) -> None:
        self.ref = ref
        self.pipeline = pipeline
        self.file_name = request.file_name
        self.symbolic_directory_path = request.symbolic_directory_path
        self.file_tags = request.file_tags
        self.file_description = request.file_description
        self.reply = reply
        self.status_code = status_code

    @property
    def warnings(self) -> tuple[JSON, ...]:
        """Give the service's warnings about the upload request."""
        warnings = ((self.reply and self.reply.json_object()) or {}).get("warnings")
        return tuple(warnings) if isinstance(warnings, list) else ()

    @property
    def request_id(self) -> str:
        """Give the id that `process_status` and the waits take."""
        return self.ref.request_id

    @property
    def file_id(self) -> str:
        """Give the id that `fetch_output`, `list` and `delete` take."""
        return str(self.ref.file_id)

    @property
    def expires_at(self) -> float:
        """Give the time, in epoch seconds, from which the service may forget the file.

        A little early: counted from before the upload, where the service counts from the upload.
        """
        return float(self.ref.expires_at or 0.0)

    def to_dict(self) -> dict[str, JSON]:
        """Give the official client's dict; tags and description are None where not given."""
        shape: dict[str, JSON] = {
            "file_id": self.file_id,
            "request_id": self.request_id,
            "file_name": self.file_name,
            "symbolic_directory_path": self.symbolic_directory_path,
            "file_tags": [dict(tag) for tag in self.file_tags] or None,
            "file_description": self.file_description or None,
        }
        if self.status_code is not None:
            shape["status_code"] = self.status_code
        return shape

    async def wait(
        self, *, timeout: float | None = None, stop: StopWaiting | None = None
    ) -> JobOutcome:
        """Wait for the job, at most `timeout` seconds; returns and raises as `await job` does.

        `stop` is as in `Pipeline.wait_until_complete`; if it stops the job, WaitTimeout is raised.
        """
        result = await self.pipeline.wait_until_complete(self, timeout=timeout, stop=stop)
        outcome = result[self.request_id]
        if not outcome.ok:
            raise fate(outcome)
        return outcome

    def __reduce__(self) -> NoReturn:
        # Task queues and worker processes pickle what they hand on.
        raise TypeError(
            "a Job belongs to its client and cannot be pickled or copied: hand on job.ref, or "
            "job.request_id, which every wait takes"
        )

    def __await__(self) -> Generator[object, None, JobOutcome]:
        return self.wait().__await__()

    def __repr__(self) -> str:
        return f"<Job {self.request_id} of {self.file_name!r} in pipeline {self.pipeline.name!r}>"


AnyJob: TypeAlias = Job | JobRef | str


def ref_of(job: Job | JobRef, session: Session) -> JobRef:
    """Give the reference. Refuses one of another account, and a `Job` of another client.

    A service says of a job of another account that there is none; with what the reference knows
    that would be taken for a job that was deleted.
    """
    if isinstance(job, JobRef):
        if job.account not in (None, session.account):
            raise InvalidArgument(
                f"job {job.request_id} was sent with another api_key or to another api_url "
                f"(account {job.account}, this client's is {session.account}): wait with those, "
                "or, if only the key is new, with attrs.evolve(job_ref, account=None)"
            )
        return job
    if not job.pipeline._session.shares_with(session):
        raise InvalidArgument(
            f"job {job.request_id} was sent by another client, perhaps of another account: wait "
            "with that one, or pass job.ref if the account is the same"
        )
    return job.ref


def as_list(jobs: object) -> list[object]:
    """Give one job or many as a list; a str is one request_id."""
    if isinstance(jobs, str | Job | JobRef):
        return [jobs]
    if not isinstance(jobs, Iterable) or isinstance(jobs, bytes):
        raise InvalidArgumentType(
            f"jobs is {kind_of(jobs)} but must be request_ids, Jobs or JobRefs"
        )
    return list(jobs)


async def wait_for(
    session: Session,
    refs: Iterable[JobRef],
    *,
    timeout: float | None,
    return_when: ReturnWhen,
    on_update: OnUpdate | None,
    poll: Poll | None,
    stop: StopWaiting | None,
    progress: bool | ProgressDisplay,
    raise_on_failure: bool,
) -> WaitResult:
    """Check the arguments and wait; serves `Pipeline` and `Krixik` alike."""
    check_bool("raise_on_failure", raise_on_failure)
    result = await session.waiter.wait(
        refs,
        timeout=check_timeout(timeout),
        return_when=check_return_when(return_when),
        on_update=check_on_update(on_update),
        schedule=check_poll(poll, stop),
        display=check_progress(progress),
    )
    if raise_on_failure:
        result.raise_for_failures()
    return result


def as_completed(
    session: Session,
    jobs: object,
    read: Callable[[object], JobRef],
    *,
    timeout: float | None,
    on_update: OnUpdate | None,
    poll: Poll | None,
    stop: StopWaiting | None,
    max_waiting: int | None,
) -> AsCompleted:
    """Check the arguments and make the stream; serves `Pipeline` and `Krixik` alike.

    Jobs that are all there are checked here, others as they come.
    """
    most = check_max_waiting(max_waiting)
    source: Iterable[object] | AsyncIterable[object]
    if isinstance(jobs, AsyncIterable):
        source, most = jobs, MAX_WAITING if most is None else most
    elif most is None or not isinstance(jobs, Iterable):
        source, read = [read(job) for job in as_list(jobs)], _as_it_is
    else:
        source = [jobs] if isinstance(jobs, str) else jobs
    return AsCompleted(
        session.waiter,
        source,
        read,
        timeout=check_timeout(timeout),
        on_update=check_on_update(on_update),
        schedule=check_poll(poll, stop),
        max_waiting=most,
    )


def watch(
    session: Session,
    refs: Iterable[JobRef],
    *,
    timeout: float | None,
    poll: Poll | None,
    stop: StopWaiting | None,
) -> Watch:
    """Check the arguments and make the stream; serves `Pipeline` and `Krixik` alike."""
    return Watch(
        session.waiter, list(refs), timeout=check_timeout(timeout), schedule=check_poll(poll, stop)
    )


def _as_it_is(job: object) -> JobRef:
    assert isinstance(job, JobRef)
    return job
