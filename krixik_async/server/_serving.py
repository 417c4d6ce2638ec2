"""A process around the app: socket, signals, uvicorn, worker processes.

The socket is bound here, so that port 0 is known before anyone is told and a taken port is said
plainly. The lifespan is entered around uvicorn rather than by it, for uvicorn would log a data
folder that is in use as a traceback. SIGINT and SIGTERM end the server gracefully, status 0.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

import anyio
import attrs

from krixik_async._errors import KrixikError, MissingExtra
from krixik_async._offload import ProcessOffload
from krixik_async.server import ServerSettings, create_app
from krixik_async.server._plan import FaultPlan

if TYPE_CHECKING:
    from starlette.applications import Starlette

T = TypeVar("T")

# Longer than any client's polling interval should be: a connection is there for the next look.
_KEEP_ALIVE_SECONDS = 75
_GRACE_SECONDS = 3
_STOPS = (signal.SIGINT, signal.SIGTERM)
# Behind the server itself, whose answers take a moment each and must not wait for computations.
_NICENESS = 10
# A worker for each processor and a thread for each of a worker's libraries: more would only be in
# each other's way. Read by the libraries as they are imported, Tesseract included.
_ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OMP_THREAD_LIMIT": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


class CannotServe(KrixikError):
    """Say in one line why this address cannot be listened on."""


@attrs.frozen
class Raised:
    """Carry an error out of a worker process as a value."""

    error: Exception


def run_in_worker(function: Callable[..., T], *args: object) -> T | Raised:
    """Call a function in a worker process that leaves signals and processors to its server.

    Ctrl-C reaches every process of a terminal, and a service manager stops all of a group: what a
    worker was doing then must not look like a module that failed. Its owner ends it (SIGKILL), or
    the end of its input does.
    """
    for number in _STOPS:
        signal.signal(number, signal.SIG_IGN)
    os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)
    for name, value in _ONE_THREAD.items():
        os.environ.setdefault(name, value)
    try:
        return function(*args)
    except Exception as error:  # noqa: BLE001  # carried to the caller, all of them
        return Raised(error)


class WorkerProcesses:
    """Run functions in processes of their own.

    What the function raises is raised. Whatever else goes wrong is the worker's death, and is
    raised as BrokenWorkerProcess: one that is killed while it starts shows in several ways.
    """

    def __init__(self, workers: int) -> None:
        self._offload = ProcessOffload(workers)

    async def __call__(self, function: Callable[..., T], /, *args: object) -> T:
        """Call it in a worker process."""
        outcome: T | Raised
        try:
            outcome = await self._offload(run_in_worker, function, *args)
        except (Exception, KeyboardInterrupt, SystemExit) as error:
            raise anyio.BrokenWorkerProcess from error
        if isinstance(outcome, Raised):
            raise outcome.error
        return outcome


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CannotServe(f"{host!r} is no address to listen on: {error.strerror}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise CannotServe(f"cannot listen on {host} port {port}: {error.strerror}") from error
    return listener


def _url(host: str, listener: socket.socket) -> str:
    shown = f"[{host}]" if listener.family == socket.AF_INET6 else host
    return f"http://{shown}:{listener.getsockname()[1]}"


def serve(
    settings: ServerSettings,
    *,
    host: str,
    port: int,
    ready: Callable[[str], object],
    faults: FaultPlan | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; call `ready` with the url once connections are accepted.

    Raises before anything has been accepted: MissingExtra; CannotServe for a port that is taken;
    InvalidArgument for a data folder that is in use or cannot be used.
    """
    if importlib.util.find_spec("uvicorn") is None:
        raise MissingExtra('the embedded server needs uvicorn: pip install "krixik-async[server]"')
    app = create_app(
        settings,
        compute=WorkerProcesses(settings.workers),
        search=WorkerProcesses(1),
        faults=faults,
    )
    listener = _bind(host, port)
    try:
        _serve_on(listener, app, lambda: ready(_url(host, listener)))
    finally:
        listener.close()


def _serve_on(listener: socket.socket, app: Starlette, ready: Callable[[], object]) -> None:
    import uvicorn

    from krixik_async.server._connections import BoundedConnection, allow_open_files

    allow_open_files()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            ready()

    # asyncio on 3.11 and 3.12 warns where it finds that it has reaped a worker already; a worker
    # that is stopped together with its server can be reaped by either of two of its parts.
    logging.getLogger("asyncio").addFilter(lambda record: "Unknown child process" not in record.msg)
    config = uvicorn.Config(
        app,
        access_log=False,
        http=BoundedConnection,
        lifespan="off",
        log_config=None,
        log_level="error",  # what a client does wrong is answered, not logged
        loop="asyncio",
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        ws="none",
    )
    server = Server(config)

    def stop(_: int, __: FrameType | None) -> None:
        # uvicorn puts its own handlers in place while it serves and, at the end, sends itself the
        # signals it was sent: they end here and not the process.
        server.should_exit = True

    async def run() -> None:
        async with app.router.lifespan_context(app):
            await server.serve([listener])

    handlers = {number: signal.signal(number, stop) for number in _STOPS}
    try:
        with quiet_about_late_ends():
            anyio.run(run)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def quiet_about_late_ends() -> Iterator[None]:
    """Keep back what asyncio says of workers whose pipes end after the loop has.

    They have been killed and waited for by then, but on a busy machine the loop may be closed
    before it has read the end of their output. Python 3.13 complains of that when the pipe's
    keeper is collected, which is done here so that it happens now.
    """
    heard = sys.unraisablehook

    def hear(unraisable: sys.UnraisableHookArgs) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            heard(unraisable)

    sys.unraisablehook = hear
    try:
        yield
    finally:
        gc.collect()
        sys.unraisablehook = heard
