"""HTTP in, HTTP out: routes, keys, limits; thin around `_service` and `_bucket`.

What does not reach the service is answered as an API gateway in front of it would: 403 with a
message and no request_id, for a bad key as for a path or a method that is not there.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import attrs
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from krixik_async._clock import Clock, LoopClock
from krixik_async._offload import Offload, ThreadOffload
from krixik_async._wire import FORBIDDEN, KEY_HEADER
from krixik_async.server import _answers as answers
from krixik_async.server._answers import Answer
from krixik_async.server._bucket import OUTPUT_PATH, UPLOAD_PATH, Bucket
from krixik_async.server._engine import Engine
from krixik_async.server._mischief import FaultMiddleware
from krixik_async.server._openapi import OPENAPI_PATH, describe
from krixik_async.server._plan import FaultPlan
from krixik_async.server._records import account_of, new_id
from krixik_async.server._searching import Searching
from krixik_async.server._service import Service
from krixik_async.server._settings import ServerSettings
from krixik_async.server._store import Store, open_store
from krixik_async.server._uploads import Signer

# 500 ids, names, directories, paths and tags of the longest kind are 0.3 MB of JSON.
MAX_BODY_BYTES = 2**20
# What AWS's gateway says of a path it does not know, keys or no keys.
_NO_SUCH_PATH = "Missing Authentication Token"
_METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]


@attrs.frozen
class Running:
    """Hold what exists between the start and the end of the app's lifespan."""

    service: Service
    bucket: Bucket
    store: Store


def _response(answer: Answer) -> Response:
    return Response(
        json.dumps(answer.body), status_code=answer.status_code, media_type="application/json"
    )


async def _read_body(request: Request) -> bytes | None:
    """Give the body, or None if it is too large."""
    body = bytearray()
    async with contextlib.aclosing(request.stream()) as stream:
        async for chunk in stream:
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                return None
    return bytes(body)


class _Api:
    """Answer requests to the API's paths."""

    def __init__(self, accounts: frozenset[str]) -> None:
        self._accounts = accounts

    async def answer(self, request: Request) -> Response:
        """Check key and size, then let the service answer."""
        running: Running = request.app.state.running
        path = f"/{request.path_params['path']}"
        if request.method == "GET" and path == OPENAPI_PATH:
            return _response(Answer(200, describe(running.service.paths)))
        if request.method != "POST" or path not in running.service.paths:
            return _response(answers.gateway(_NO_SUCH_PATH))
        # Digests are compared, not keys: how long that takes says nothing of a key.
        account = account_of(request.headers.get(KEY_HEADER, ""))
        if account not in self._accounts:
            return _response(answers.gateway(FORBIDDEN))
        body = await _read_body(request)
        if body is None:
            reason = f"the body has more than {MAX_BODY_BYTES} bytes"
            return _response(answers.refused(new_id(), reason, status_code=413))
        base_url = str(request.base_url).rstrip("/")
        return _response(await running.service.answer(path, account, base_url, body))


async def _upload(request: Request) -> Response:
    running: Running = request.app.state.running
    return await running.bucket.upload(request)


async def _download(request: Request) -> Response:
    running: Running = request.app.state.running
    return await running.bucket.download(request)


async def _gone(_: Request, __: Exception) -> Response:
    # The client hung up in the middle of its request: nobody reads this.
    return Response(status_code=400)


async def _no_such_method(_: Request, __: Exception) -> Response:
    return _response(answers.gateway(_NO_SUCH_PATH))


async def _broken(_: Request, __: Exception) -> Response:
    return _response(answers.broken(new_id()))


@contextlib.asynccontextmanager
async def _data_folder(settings: ServerSettings, offload: Offload) -> AsyncIterator[Path]:
    """Give the server's folder; a temporary one is removed at the end."""
    if settings.data_dir is not None:
        yield settings.data_dir
        return
    temporary = await offload(partial(tempfile.TemporaryDirectory, prefix="krixik-async-"))
    try:
        yield Path(temporary.name)
    finally:
        with anyio.CancelScope(shield=True):
            await offload(temporary.cleanup)


def _routes(accounts: frozenset[str]) -> list[Route]:
    return [
        Route(UPLOAD_PATH, _upload, methods=["POST"]),
        Route(f"{OUTPUT_PATH}/{{name}}", _download, methods=_METHODS),
        Route("/{path:path}", _Api(accounts).answer, methods=_METHODS),
    ]


async def _forget(app: Starlette, file_id: str) -> None:
    running: Running = app.state.running
    await running.store.delete(file_id)


async def _known(app: Starlette) -> set[str]:
    running: Running = app.state.running
    return await running.store.file_ids()


_HANDLERS: Mapping[Any, Any] = {
    ClientDisconnect: _gone,
    HTTPException: _no_such_method,
    Exception: _broken,
}


def build(
    settings: ServerSettings,
    *,
    clock: Clock | None = None,
    offload: Offload | None = None,
    compute: Offload | None = None,
    search: Offload | None = None,
    faults: FaultPlan | None = None,
) -> Starlette:
    """Put the app together; see `krixik_async.server.create_app`."""
    the_clock = clock or LoopClock()
    the_offload = offload or ThreadOffload()
    the_compute = compute or ThreadOffload(settings.workers)
    the_search = search or compute or ThreadOffload(1)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with _data_folder(settings, the_offload) as folder:
            store = await open_store(folder, the_offload, the_clock.wall())
            engine = Engine(store, settings, the_clock, the_compute)
            try:
                signer = Signer(store.secret)
                bucket = Bucket(store, signer, engine, the_clock, the_offload, faults=faults)
                searching = Searching(settings, store, the_clock, the_offload, the_search)
                service = Service(settings, store, signer, bucket, the_clock, searching)
                app.state.running = Running(service, bucket, store)
                engine.start()
                yield
            finally:
                with anyio.CancelScope(shield=True):
                    await engine.aclose()
                    await store.aclose()

    accounts = frozenset(account_of(key) for key in settings.api_keys)
    app = Starlette(routes=_routes(accounts), exception_handlers=_HANDLERS, lifespan=lifespan)
    if faults is not None:
        app.add_middleware(
            FaultMiddleware,
            plan=faults,
            clock=the_clock,
            accounts=accounts,
            forget=partial(_forget, app),
            known=partial(_known, app),
        )
    return app
