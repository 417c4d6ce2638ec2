"""An embedded, Krixik-compatible server: real records, real files, modules that really compute.

`create_app` gives an ASGI app for use in process or under any ASGI server; the command
`krixik-async serve` runs it in a process of its own. Accounts are api keys and never see each
other's files; records and files live in one folder and survive a restart, a kill included.

    _settings       what a server is told
    _records        one file on record, as a value        _database   its rows, in SQLite
    _store          records and files together            _engine     runs the chains
    _selection      which files a query means             _searching  what is in them
    _form           multipart, bytes to events            _uploads    signed forms, download links
    _bucket         the upload and download host          _answers    reply bodies
    _service        what each API path does               _app        HTTP in, HTTP out
    _connections    bounds on what a client may do        _openapi    what it says of itself
    _faults, _plan  what can be made to go wrong          _mischief, _young  how it then does
    _serving        a process around it all
    runners/        one file per module that computes
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from krixik_async._errors import MissingExtra
from krixik_async.server._settings import ServerSettings

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from krixik_async._clock import Clock
    from krixik_async._offload import Offload
    from krixik_async.server._plan import FaultPlan

__all__ = ["ServerSettings", "create_app"]


def create_app(
    settings: ServerSettings,
    *,
    clock: Clock | None = None,
    offload: Offload | None = None,
    compute: Offload | None = None,
    search: Offload | None = None,
    faults: FaultPlan | None = None,
) -> Starlette:
    """Give the server as an ASGI app; nothing is opened before its lifespan starts.

    `clock` tells the time (the running loop's by default), `offload` does file and database work
    and `compute` runs the modules (both in worker threads by default). `search` runs the models of
    queries: by default `compute` if that is given, else one thread. `faults` lets calls go wrong,
    for tests (`krixik_async.testing`). Runs on asyncio and trio.

    Raises:
        MissingExtra: Starlette is not installed.

    Starting the lifespan raises InvalidArgument if the data folder cannot be used, or is in use
    by another server.
    """
    try:
        from krixik_async.server._app import build
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        raise MissingExtra(
            f'the embedded server needs {package}: pip install "krixik-async[server]"'
        ) from error
    return build(
        settings, clock=clock, offload=offload, compute=compute, search=search, faults=faults
    )
