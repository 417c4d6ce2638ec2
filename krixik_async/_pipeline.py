"""A pipeline: a name and a chain of modules; each method is one call or one short flow."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Iterable, Iterator
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack, overload

from krixik_async import _description, _fetching, _sending, _validation
from krixik_async._arguments import names_checked
from krixik_async._config import BULK_IN_FLIGHT
from krixik_async._errors import InvalidArgument
from krixik_async._files import SaveTo
from krixik_async._job import AnyJob, Job, as_completed, as_list, ref_of, wait_for, watch
from krixik_async._models import JobRef, Output, ProcessStatus
from krixik_async._progress import ProgressDisplay
from krixik_async._reply import JSON
from krixik_async._results import WaitResult
from krixik_async._searching import SearchableFiles
from krixik_async._selectors import Tags
from krixik_async._sending import GivenFile, LocalFile, Modules
from krixik_async._streaming import AsCompleted
from krixik_async._waiting import OnUpdate, Poll, ReturnWhen, StopWaiting
from krixik_async._watching import Watch

if TYPE_CHECKING:
    from krixik_async._bulk import BulkStream, Files, OnError


class FileOptions(TypedDict, total=False):
    """Hold what `process` may be told of a file; see there."""

    file_name: str | None
    symbolic_directory_path: str | None
    symbolic_file_path: str | None
    file_tags: Tags | None
    file_description: str | None
    modules: Modules | None
    expire_time: int | None
    verbose: bool
    local_save_directory: SaveTo | None


@names_checked
class Pipeline(SearchableFiles):
    """Send files through one chain of modules, wait for them, fetch and search the results.

    Made by `Krixik.create_pipeline`. The service knows a pipeline by its name: two objects of one
    name are the same pipeline. May be shared between tasks. Every method that sends something
    raises AuthenticationError for a rejected key, TransportError if no answer came after the
    retries, and ClientClosed on a closed client.
    """

    @property
    def name(self) -> str:
        """Give the pipeline's name."""
        return self._name

    @property
    def pipeline_name(self) -> str:
        """Give the pipeline's name, as the official client calls it."""
        return self._name

    @property
    def module_chain(self) -> list[str]:
        """Give the names of its modules in order."""
        return list(self._chain)

    @property
    def config(self) -> dict[str, JSON]:
        """Give the pipeline as a dict: its name, and each module's models and formats."""
        return _description.pipeline_config(self._name, self._chain)

    async def save_pipeline(self, *, config_path: str | os.PathLike[str]) -> None:
        """Write `config` to a .yml or .yaml file, for `Krixik.load_pipeline`; sends nothing.

        Raises InvalidArgument for a path that cannot be written, and MissingExtra without
        `pip install "krixik-async[yaml]"`. Idempotent (overwrites); the file appears whole.
        """
        await self._session.offload(_description.write_pipeline_file, self.config, config_path)

    def __repr__(self) -> str:
        return f"<Pipeline {self._name!r}: {' -> '.join(self._chain)}>"

    # --- sending -----------------------------------------------------------------------------

    @overload
    async def process(
        self,
        *,
        local_file_path: LocalFile,
        wait_for_process: Literal[False] = False,
        download_output: bool = True,
        **options: Unpack[FileOptions],
    ) -> Job: ...

    @overload
    async def process(
        self,
        *,
        local_file_path: LocalFile,
        wait_for_process: Literal[True],
        download_output: Literal[True] = True,
        **options: Unpack[FileOptions],
    ) -> Output: ...

    @overload
    async def process(
        self,
        *,
        local_file_path: LocalFile,
        wait_for_process: Literal[True],
        download_output: Literal[False],
        **options: Unpack[FileOptions],
    ) -> Job: ...

    @overload
    async def process(
        self,
        *,
        local_file_path: LocalFile,
        wait_for_process: bool,
        download_output: bool = True,
        **options: Unpack[FileOptions],
    ) -> Job | Output: ...

    async def process(
        self,
        *,
        local_file_path: LocalFile,
        wait_for_process: bool = False,
        file_name: str | None = None,
        symbolic_directory_path: str | None = None,
        symbolic_file_path: str | None = None,
        file_tags: Tags | None = None,
        file_description: str | None = None,
        modules: Modules | None = None,
        expire_time: int | None = _validation.DEFAULT_EXPIRE_TIME_S,
        verbose: bool = True,
        local_save_directory: SaveTo | None = None,
        download_output: bool = True,
    ) -> Job | Output:
        """Send one file. Return a `Job` as soon as the service has confirmed that it is stored.

        `local_file_path` is a path; or bytes or a seekable binary file object, which need a
        `file_name`. `file_name` defaults to a generated one, `symbolic_directory_path` to "/etc";
        `symbolic_file_path` gives both in one. The service keeps the file for `expire_time`
        seconds, 1800 to 2592000. `modules` chooses models and parameters; `verbose` does nothing.

        With `wait_for_process=True` it waits until the job is complete, fetches the output into
        `local_save_directory` (default: the working folder) and returns the `Output`; with
        `download_output=False` too, it returns the completed `Job`. The wait ends when the record
        expires.

        Raises InvalidArgument before anything is sent, RequestRejected if the service refuses,
        SubmitUncertain if nobody can tell whether the service has the file, and while waiting
        ProcessFailed, RequestVanished or WaitTimeout, each with `.job`. Not idempotent: each call
        makes a new record. Cancelled before the upload is confirmed, the file may or may not be
        processed; cancelled while waiting, the job goes on.
        """
        _validation.check_bool("verbose", verbose)
        given = GivenFile(
            local_file_path=local_file_path,
            file_name=file_name,
            symbolic_directory_path=symbolic_directory_path,
            symbolic_file_path=symbolic_file_path,
            file_tags=file_tags,
            file_description=file_description,
            modules=modules,
            expire_time=expire_time,
        )
        return await self._process(given, wait_for_process, download_output, local_save_directory)

    async def _process(
        self, given: GivenFile, wait: bool, download: bool, save_to: SaveTo | None
    ) -> Job | Output:
        _validation.check_bool("wait_for_process", wait)
        _validation.check_bool("download_output", download)
        directory = _fetching.check_directory(save_to)
        shipment = await _sending.prepare(self._session, self._name, self._chain, given)
        ref, request, reply = await _sending.send(self._session, shipment)
        job = Job(ref, self, request, reply=reply)
        if not wait:
            return job
        await job
        if not download:
            return Job(ref, self, request, reply=reply, status_code=200)
        return await _fetching.fetch_output(self._session, self._name, job.file_id, directory)

    def process_many(
        self,
        files: Files,
        *,
        max_in_flight: int = BULK_IN_FLIGHT,
        journal: str | os.PathLike[str] | None = None,
        on_error: OnError = "collect",
        symbolic_directory_path: str | None = None,
        file_tags: Tags | None = None,
        file_description: str | None = None,
        modules: Modules | None = None,
        expire_time: int = _validation.DEFAULT_EXPIRE_TIME_S,
        local_save_directory: SaveTo | None = None,
        download_output: bool | None = None,
        poll: Poll | None = None,
    ) -> BulkStream:
        """Send many files, and iterate over what became of each while the rest is being sent.

        `files` is a folder, a glob pattern, or an iterable or async iterable of paths, `FileInput`s
        or mappings with `process`'s arguments. Arguments given here are for files without their
        own. At most `max_in_flight` files are held, each from being picked up until its outcome is
        taken. Outputs are fetched if `local_save_directory` is given or `download_output` is true.
        With `journal`, a path, each step is written there before it is taken: the same call again,
        in any process or several, goes on where it stopped, and yields what had ended as `resumed`.
        While the service is away files wait for it, up to ten minutes each. A failure is that
        file's outcome, or raised with `on_error="raise"`. AuthenticationError, ClientClosed,
        JournalError and what the iterable raises end the run.
        """
        from krixik_async._bulk import FileInput, process_many  # a database comes with it

        return process_many(
            self._session,
            self._name,
            self._chain,
            files,
            defaults=FileInput(
                b"",
                symbolic_directory_path=symbolic_directory_path,
                file_tags=file_tags,
                file_description=file_description,
                modules=modules,
                expire_time=expire_time,
            ),
            max_in_flight=max_in_flight,
            journal=journal,
            on_error=on_error,
            save_to=local_save_directory,
            download=download_output,
            poll=poll,
        )

    async def test_input(self, *, local_file_path: LocalFile, file_name: str | None = None) -> None:
        """Check a file as `process` would, and send nothing.

        Takes what `process` takes: a path, or bytes or a binary file object with a `file_name`.
        Raises InvalidArgument naming the first rule that the file breaks. Idempotent, cancel-safe.
        """
        given = GivenFile(local_file_path=local_file_path, file_name=file_name)
        await _sending.prepare(self._session, self._name, self._chain, given)

    # --- asking and waiting ------------------------------------------------------------------

    async def process_status(self, *, request_id: str) -> ProcessStatus:
        """Ask once for a job's status.

        Raises RequestNotFound, with the service's words, if no process of that id is on record:
        never there, deleted or expired. Idempotent, cancel-safe.
        """
        return await self._session.status(self._ref(request_id))

    async def wait_until_complete(
        self,
        jobs: AnyJob | Iterable[AnyJob],
        *,
        timeout: float | None = None,
        return_when: ReturnWhen = "all",
        on_update: OnUpdate | None = None,
        poll: Poll | None = None,
        stop: StopWaiting | None = None,
        progress: bool | ProgressDisplay = False,
        raise_on_failure: bool = False,
    ) -> WaitResult:
        """Wait until every job is complete, has failed, or is no longer on record.

        `jobs` are request_ids, `Job`s or `JobRef`s, one or many. `timeout` is in seconds; None
        waits until each record expires (30 days for a bare request_id). `return_when` is "all",
        "first" or "first_failure". `on_update`, sync or async, is called with a `JobOutcome` at
        each change that is seen. `progress=True` draws a bar on a terminal (extra `cli`).

        `poll` says when to ask: a `PollPolicy` or any tenacity `wait_*` object. The default learns
        how long jobs take, and from 50 jobs on checks them by list. `stop`, any tenacity `stop_*`
        object, is asked after each look at an unfinished job, with the looks and seconds of this
        wait; a job that it stops is pending, as at a time-out. With a `stop` nothing is checked by
        list.

        Does not raise for a time-out or a job's fate: read `.complete`, `.failed`, `.vanished`,
        `.pending` and `.errors` of the result, or use `raise_on_failure=True`. Raises
        AuthenticationError, with the result so far as `.partial`. Idempotent, cancel-safe: the
        jobs go on.
        """
        return await wait_for(
            self._session,
            self._refs(jobs),
            timeout=timeout,
            return_when=return_when,
            on_update=on_update,
            poll=poll,
            stop=stop,
            progress=progress,
            raise_on_failure=raise_on_failure,
        )

    def as_completed(
        self,
        jobs: AnyJob | Iterable[AnyJob] | AsyncIterable[AnyJob],
        *,
        timeout: float | None = None,
        on_update: OnUpdate | None = None,
        poll: Poll | None = None,
        stop: StopWaiting | None = None,
        max_waiting: int | None = None,
    ) -> AsCompleted:
        """Iterate over the jobs' outcomes as they end; arguments as in `wait_until_complete`.

        Each job comes once; those still running at the time-out come last, as pending. `jobs` may
        be an async iterable that is still growing: jobs are taken from it only while fewer than
        `max_waiting` (1,000 by default) are running or not yet yielded. A plain iterable is taken
        whole, unless `max_waiting` is given. Leaving the iteration early only stops the waiting.
        """
        return as_completed(
            self._session,
            jobs,
            self._ref,
            timeout=timeout,
            on_update=on_update,
            poll=poll,
            stop=stop,
            max_waiting=max_waiting,
        )

    def watch(
        self,
        jobs: AnyJob | Iterable[AnyJob],
        *,
        timeout: float | None = None,
        poll: Poll | None = None,
        stop: StopWaiting | None = None,
    ) -> Watch:
        """Iterate over what happens to the jobs; arguments as in `wait_until_complete`.

        Events are `ModuleDone`, `JobEnded`, `LookFailed`, `PaceChanged`, and at the time-out
        `WatchTimedOut`. Where many jobs are checked by list, their modules are reported only when
        they have ended: to see them sooner, pass a `poll` of your own, or `bulk_look=False` to the
        client. Leaving the iteration early only stops the waiting.
        """
        return watch(self._session, self._refs(jobs), timeout=timeout, poll=poll, stop=stop)

    def _refs(self, jobs: AnyJob | Iterable[AnyJob]) -> Iterator[JobRef]:
        # One by one: a hundred thousand references are not held besides what holds them anyway.
        return map(self._ref, as_list(jobs))

    def _ref(self, job: object) -> JobRef:
        if not isinstance(job, Job | JobRef):
            return JobRef(
                request_id=_validation.check_id("request_id", job),
                pipeline=self._name,
                module_count=len(self._chain),
                account=self._session.account,
            )
        ref = ref_of(job, self._session)
        if ref.pipeline != self._name:
            raise InvalidArgument(
                f"job {ref.request_id} is of pipeline {ref.pipeline!r}, not of {self._name!r}: "
                "ask that pipeline, or wait with the client's own wait_until_complete"
            )
        return ref
