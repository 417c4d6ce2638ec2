"""The client: owns the resources, wires the rooms together, closes them."""

from __future__ import annotations

import copy
import os
import random
import warnings
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Self, Unpack

from krixik_async import _wire
from krixik_async._account import Account
from krixik_async._arguments import names_checked
from krixik_async._clock import Clock
from krixik_async._closing import Closing
from krixik_async._config import Config, Options, Settings, read_credentials
from krixik_async._durations import Durations
from krixik_async._errors import (
    InvalidArgument,
    InvalidArgumentType,
)
from krixik_async._job import Job, as_completed, as_list, ref_of, wait_for, watch
from krixik_async._models import JobRef, ResetResult
from krixik_async._offload import Offload
from krixik_async._pipeline import Pipeline
from krixik_async._progress import ProgressDisplay
from krixik_async._resetting import reset
from krixik_async._results import WaitResult, read_token
from krixik_async._session import open_session
from krixik_async._streaming import AsCompleted
from krixik_async._tasks import TaskSet
from krixik_async._validation import kind_of
from krixik_async._waiting import OnUpdate, Poll, ReturnWhen, StopWaiting
from krixik_async._watching import Watch

if TYPE_CHECKING:
    import httpx

    from krixik_async.server._plan import FaultPlan

# The embedded server in process: any key would do, and nothing is listening at the address.
LOCAL_KEY = "00000000-0000-4000-8000-000000000000"
LOCAL_URL = "http://krixik.local"


@names_checked
class Krixik(Account, Closing):
    """Connect to one Krixik account: an async context manager that makes pipelines.

    `api_key` and `api_url` are required; `from_env` and `local` are the two other ways to make a
    client. All else is optional. Settings, which hold for everything that the client sends:

    - `max_in_flight` (64): requests under way at once; `rate_limit` (None): requests per second
    - `attempts` (4): tries per call; `backoff_s` (0.5) and `backoff_cap_s` (30) bound the random
      pause between them
    - `connect_timeout_s` (10); `attempt_timeout_s` (None: each call has its own limit)
    - `bulk_look` (True): whether a wait may check many jobs with one list request

    `http_client`, an `httpx.AsyncClient`, replaces the default transport (for proxies,
    certificates, hooks, respx) and is yours to close; `http_transport`, an
    `httpx.AsyncBaseTransport`, replaces it too and is closed with the client. `durations` is what
    an earlier client learned of how long jobs take. `clock`, `offload` and `rng` are for tests.

    Does no I/O before the first call and has no global state: a process may hold any number of
    clients, each on the event loop of its first call (asyncio or trio). May be opened in one task
    and closed in another. Raises InvalidArgument for settings out of range.
    """

    # Of a copy that `with_options` made: keeps what it was made of from being collected.
    _origin: Self | None = None

    def __init__(
        self,
        *,
        api_key: str,
        api_url: str,
        http_client: httpx.AsyncClient | None = None,
        http_transport: httpx.AsyncBaseTransport | None = None,
        clock: Clock | None = None,
        offload: Offload | None = None,
        rng: random.Random | None = None,
        durations: Durations | None = None,
        **settings: Unpack[Settings],
    ) -> None:
        _check_http(http_client, http_transport)
        self._session = open_session(
            Config(api_key=api_key, api_url=api_url, **settings),
            clock=clock,
            offload=offload,
            rng=rng,
            durations=durations,
            http_client=http_client,
            http_transport=http_transport,
        )

    @property
    def durations(self) -> Durations:
        """Return what was learned of how long jobs take, to keep it for another client."""
        return self._opened.scheduler.durations

    @classmethod
    def from_env(
        cls,
        *,
        api_key: str | None = None,
        api_url: str | None = None,
        environ: Mapping[str, str] | None = None,
        dotenv_path: str | os.PathLike[str] | None = None,
        http_client: httpx.AsyncClient | None = None,
        http_transport: httpx.AsyncBaseTransport | None = None,
        clock: Clock | None = None,
        offload: Offload | None = None,
        rng: random.Random | None = None,
        durations: Durations | None = None,
        **settings: Unpack[Settings],
    ) -> Self:
        """Make a client from KRIXIK_API_KEY and KRIXIK_API_URL in the environment or `.env`.

        The first that is set counts: the argument, KRIXIK_*, MY_* (MY_API_KEY, MY_API_URL), the
        same names in `.env` in the working folder. `environ` and `dotenv_path` replace the
        process's own; all else is as in `Krixik`. Raises InvalidArgument, naming the variables, if
        none is set.
        """
        key, url = read_credentials(api_key, api_url, environ=environ, dotenv_path=dotenv_path)
        return cls(
            api_key=key,
            api_url=url,
            http_client=http_client,
            http_transport=http_transport,
            clock=clock,
            offload=offload,
            rng=rng,
            durations=durations,
            **settings,
        )

    @classmethod
    def local(
        cls,
        data_dir: str | os.PathLike[str] | None = None,
        *,
        model_dir: str | os.PathLike[str] | None = None,
        simulate: Iterable[str] = (),
        min_module_seconds: float = 0.0,
        faults: FaultPlan | None = None,
        clock: Clock | None = None,
        offload: Offload | None = None,
        rng: random.Random | None = None,
        durations: Durations | None = None,
        **settings: Unpack[Settings],
    ) -> Self:
        """Make a client of an embedded server inside this process: no account, no socket.

        Files are kept in `data_dir`, which one process at a time can open, or without it in a
        temporary folder that is removed with the client. `model_dir` is where model weights are
        (`<model_dir>/<model>/`, or a Hugging Face cache).

        For tests: the modules named in `simulate` put out a well-formed placeholder instead of
        computing; `min_module_seconds` makes each module take at least that long; `faults` is a
        `krixik_async.testing.FaultPlan` of calls that go wrong.

        Raises InvalidArgument for an unknown module, and MissingExtra without
        `pip install "krixik-async[server]"`.
        """
        from krixik_async._transport import InProcessTransport
        from krixik_async.server import ServerSettings, create_app

        if data_dir is not None and not isinstance(data_dir, str | os.PathLike):
            raise InvalidArgumentType(f"data_dir is {kind_of(data_dir)} but must be a path or None")
        server = ServerSettings(
            data_dir=data_dir,
            api_keys=(LOCAL_KEY,),
            model_dir=model_dir,
            simulate=simulate,
            min_module_seconds=min_module_seconds,
        )
        app = create_app(server, clock=clock, offload=offload, compute=offload, faults=faults)
        return cls(
            api_key=LOCAL_KEY,
            api_url=LOCAL_URL,
            http_transport=InProcessTransport(app, tasks=TaskSet()),
            clock=clock,
            offload=offload,
            rng=rng,
            durations=durations,
            **settings,
        )

    # --- life --------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """End what is under way and close the connections, within 5 s. Idempotent.

        Jobs on the service go on; waits of this client raise ClientClosed. May be called from a
        cancelled task, and from another task than the one that opened the client.
        """
        await self._opened.aclose()

    def __del__(self) -> None:
        session = self._session
        if session is None or self._origin is not None or session.transport.closed:
            return
        if session.transport.statistics.requests:
            warnings.warn(
                f"{self!r} was dropped open: use `async with` or `await krixik.aclose()`",
                ResourceWarning,
                source=self,
                stacklevel=2,
            )

    def __repr__(self) -> str:
        session = self._opened
        state = "closed" if session.transport.closed else "open"
        return f"<Krixik {session.config.api_url} ({state})>"

    def with_options(self, **options: Unpack[Options]) -> Self:
        """Return a light copy with other settings for its calls and for its pipelines' calls.

        Takes `attempts`, `attempt_timeout_s`, `connect_timeout_s`, `backoff_s` and `backoff_cap_s`
        as `Krixik` does, and `headers` to send with each call; what is not given stays. The copy
        shares connections, `max_in_flight` and `rate_limit` with this client, and its waits look
        at jobs with this client's settings. Closing either closes both. Raises InvalidArgument for
        a value out of range.
        """
        other = copy.copy(self)
        other._session = self._opened.with_options(options)
        # Not this one, if it is a copy itself: a copy of a copy of a copy would keep them all.
        other._origin = self._origin or self
        return other

    # --- calls -------------------------------------------------------------------------------

    async def check_in(self) -> None:
        """Ask the service whether the api key is good (`/cli-checkin`).

        Raises AuthenticationError if it is not. Idempotent, cancel-safe.
        """
        await self._opened.transport.call(_wire.CheckIn(), _wire.read_check_in)

    def create_pipeline(self, *, name: str, module_chain: Sequence[str]) -> Pipeline:
        """Make a pipeline object. Checks the name and the chain, and sends nothing.

        `name` has 1 to 64 characters; `module_chain` has 1 to 10 module names, each of which fits
        the next. Raises InvalidArgument that names the pair that does not fit or, for an unknown
        module, the nearest name.
        """
        return Pipeline(self._opened, name, module_chain)

    async def wait_until_complete(
        self,
        jobs: Job | JobRef | Iterable[Job | JobRef],
        *,
        timeout: float | None = None,
        return_when: ReturnWhen = "all",
        on_update: OnUpdate | None = None,
        poll: Poll | None = None,
        stop: StopWaiting | None = None,
        progress: bool | ProgressDisplay = False,
        raise_on_failure: bool = False,
    ) -> WaitResult:
        """Wait for jobs of any of this account's pipelines; see `Pipeline.wait_until_complete`."""
        return await wait_for(
            self._opened,
            map(self._ref, as_list(jobs)),
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
        jobs: Job | JobRef | Iterable[Job | JobRef] | AsyncIterable[Job | JobRef],
        *,
        timeout: float | None = None,
        on_update: OnUpdate | None = None,
        poll: Poll | None = None,
        stop: StopWaiting | None = None,
        max_waiting: int | None = None,
    ) -> AsCompleted:
        """Iterate over outcomes of jobs of any pipeline; see `Pipeline.as_completed`."""
        return as_completed(
            self._opened,
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
        jobs: Job | JobRef | Iterable[Job | JobRef],
        *,
        timeout: float | None = None,
        poll: Poll | None = None,
        stop: StopWaiting | None = None,
    ) -> Watch:
        """Iterate over what happens to jobs of any pipeline; see `Pipeline.watch`."""
        return watch(
            self._opened, map(self._ref, as_list(jobs)), timeout=timeout, poll=poll, stop=stop
        )

    async def resume(
        self,
        token: str,
        *,
        timeout: float | None = None,
        return_when: ReturnWhen = "all",
        on_update: OnUpdate | None = None,
        poll: Poll | None = None,
        stop: StopWaiting | None = None,
        progress: bool | ProgressDisplay = False,
        raise_on_failure: bool = False,
    ) -> WaitResult:
        """Go on waiting for the jobs of a `WaitResult.resume_token`, in any process.

        Arguments and result are those of `Pipeline.wait_until_complete`. Raises InvalidArgument
        for a text that is not a token, or a token of another api_key or api_url. Idempotent,
        cancel-safe.
        """
        return await self.wait_until_complete(
            read_token(token),
            timeout=timeout,
            return_when=return_when,
            on_update=on_update,
            poll=poll,
            stop=stop,
            progress=progress,
            raise_on_failure=raise_on_failure,
        )

    def _ref(self, job: object) -> JobRef:
        if not isinstance(job, Job | JobRef):
            raise InvalidArgumentType(
                f"jobs holds {kind_of(job)}, but a client waits for Job or JobRef: for a bare "
                "request_id call wait_until_complete of the pipeline it is of"
            )
        return ref_of(job, self._opened)

    async def reset_pipeline(self, pipeline: Pipeline) -> ResetResult:
        """Delete all finished files of the pipeline, however many. Unfinished files stay.

        A file that cannot be deleted does not stop the others: `.failures` of the result has its
        error. Raises AuthenticationError and what `list` raises. Idempotent. If it is cancelled,
        some files are deleted and some are not.
        """
        if not isinstance(pipeline, Pipeline):
            raise InvalidArgumentType(
                f"pipeline is {kind_of(pipeline)} but must be a Pipeline, as create_pipeline gives"
            )
        if not pipeline._session.shares_with(self._opened):
            raise InvalidArgument(
                f"pipeline {pipeline.name!r} was made by another client, perhaps of another "
                "account: nothing was deleted; call reset_pipeline of the client that made it"
            )
        return await reset(pipeline)


def _check_http(http_client: object, http_transport: object) -> None:
    """Refuse what cannot send; known by its methods, for httpx is not imported here."""
    if http_client is not None and http_transport is not None:
        raise InvalidArgument("http_client and http_transport were both given: give one")
    if http_client is not None and not hasattr(http_client, "aclose"):
        raise InvalidArgumentType(
            f"http_client is {kind_of(http_client)} but must be an httpx.AsyncClient"
        )
    if http_transport is not None and not hasattr(http_transport, "handle_async_request"):
        raise InvalidArgumentType(
            f"http_transport is {kind_of(http_transport)} but must be an httpx.AsyncBaseTransport"
        )
