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
    """Be one account's connection to Krixik: an async context manager that makes pipelines.

    `api_key` and `api_url` are required; see `from_env` and `local` for the other two ways in.
    Settings, all optional: `max_in_flight` (64) bounds the requests under way and `rate_limit`
    (requests per second, default none) what is sent over time, both over everything the client
    sends; `attempts` (4) is tries a call, `backoff_s` (0.5) and `backoff_cap_s` (30) bound the
    random pause between them; `connect_timeout_s` is 10; `attempt_timeout_s` overrides each call's
    own bound; `bulk_look` (True) lets waits look at many jobs with one list request.
    `http_client`, an `httpx.AsyncClient`, replaces the default transport (for proxies,
    certificates, hooks, respx) and stays the caller's to close; `http_transport`, an
    `httpx.AsyncBaseTransport`, replaces it too and is closed with the client. `durations` is what
    was learned before of how long jobs take. `clock`, `offload` and `rng` are for virtual time and
    repeatable tests.

    Does no I/O before the first call and holds no global state: any number of clients and accounts
    live in one process, each on the event loop of its first call. Runs on asyncio and trio. May be
    opened in one task and closed in another. Raises InvalidArgument for settings out of range.
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
        """Give what was learned of how long jobs take, to keep it for another process."""
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
        **settings: Unpack[Settings],
    ) -> Self:
        """Make a client of KRIXIK_API_KEY and KRIXIK_API_URL.

        Looked up in this order: argument, KRIXIK_*, MY_* (MY_API_KEY, MY_API_URL), and the same
        names in `.env` in the working folder. `environ` and `dotenv_path` stand in for the
        process's own; the rest as in `Krixik`. Raises InvalidArgument naming the variables if one
        is found nowhere.
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
        **settings: Unpack[Settings],
    ) -> Self:
        """Make a client on an embedded server inside this process: no account, no socket.

        Without `data_dir` everything lives in a temporary folder that goes with the client; with
        it the files last, and a second opener of the same folder gets a clear error.
        `model_dir` is where model weights are (`<model_dir>/<model>/`, or a Hugging Face cache).
        For tests and demos: the modules named in `simulate` put out a well-formed placeholder
        instead of computing, `min_module_seconds` makes each take at least that long, and `faults`
        lets calls go wrong as a `krixik_async.testing.FaultPlan` says. Raises InvalidArgument for
        a name that is no module, and MissingExtra without `pip install "krixik-async[server]"`.
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
            **settings,
        )

    # --- life --------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """End what is under way and close the connections, within 5 s. Idempotent.

        Jobs on the service go on; waits of this client raise ClientClosed. Safe to call from a
        cancelled task and from another task than the one that opened the client.
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
        """Give a light copy whose calls, and whose pipelines' calls, have other limits.

        `attempts`, `attempt_timeout_s`, `connect_timeout_s`, `backoff_s` and `backoff_cap_s` as in
        `Krixik`; `headers` are sent with each call besides the protocol's own. What is not given
        stays as it is here. The copy shares connections and limits over all requests with this
        client, and the waits, whose looks go as this client's; closing either closes both. Raises
        InvalidArgument for a value out of range.
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
        """Make a pipeline object; the name and the chain are checked here, nothing is sent.

        `name` has 1 to 64 characters, `module_chain` 1 to 10 module names whose neighbours fit.
        Raises InvalidArgument naming the pair that does not, or the nearest name.
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

        Arguments and result as `Pipeline.wait_until_complete`. Raises InvalidArgument for a text
        that is no token, and for one of another api_key or api_url. Idempotent, cancel-safe.
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
        """Delete every finished file of the pipeline, however many; files in work stay.

        Concurrent; a file that cannot be deleted is named in `.failures` with its error and does
        not stop the others; one that is gone already is no failure. Raises AuthenticationError and
        what `list` raises. Idempotent; cancelled, some files are deleted and some are not.
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
