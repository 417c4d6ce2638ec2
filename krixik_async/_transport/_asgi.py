"""An ASGI application as the other end of httpx, in the same process and without a socket.

httpx has one of its own that buffers whole downloads, skips the lifespan, lets the application's
errors through as they are and cancels the application along with the caller. This one does what
a server does: the lifespan runs, each request has a task of its own that a caller's leaving does
not cancel, bodies stream both ways at the pace of the reader, an error is an answer of 500.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

import anyio
import httpx

from krixik_async._errors import ClientClosed, KrixikError, ServiceError
from krixik_async._tasks import OwnedTask, TaskSet

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

logger = logging.getLogger("krixik_async.server")

_VERSIONS = {"version": "3.0", "spec_version": "2.4"}
# By this ASGI extension an application can close its connection; the embedded server's faults do.
HANG_UP = "krixik_async.hang_up"
# What a client over a socket has handed to the system before it notices such an end: its own and
# the other end's buffers, about so much on a loopback connection.
_UNREAD_BYTES = 2**20
# What requests under way, and then the application's shutdown, may take when it is closed.
_END_WITHIN_S = 5.0


class InProcessTransport(httpx.AsyncBaseTransport):
    """Send httpx's requests to `app`. The application starts with the first request."""

    def __init__(self, app: Application, *, tasks: TaskSet) -> None:
        self._app = app
        self._tasks = tasks
        self._lifespan: _Lifespan | None = None
        self._exchanges: dict[_AppExchange, OwnedTask] = {}
        self._closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Give the answer's head as soon as the application sends it; the body streams.

        Cancel-safe: the application is told with `http.disconnect`. Raises what made its startup
        fail if that is a KrixikError, else ServiceError; ClientClosed after `aclose()`.
        """
        if self._closed:
            raise ClientClosed("the server in this process is closed: make a new client")
        if self._lifespan is None:
            self._lifespan = _Lifespan(self._app, self._tasks)
        await self._lifespan.wait_started()
        exchange = _AppExchange(self._app, request, self._lifespan.state)
        self._exchanges[exchange] = self._tasks.spawn(
            lambda: self._serve(exchange), name="krixik_async in-process request"
        )
        return await exchange.answer()

    async def aclose(self) -> None:
        """Let requests under way end, then shut the application down. Idempotent; shielded."""
        self._closed = True
        with anyio.CancelScope(shield=True):
            for exchange in tuple(self._exchanges):
                exchange.disconnect()
            with anyio.move_on_after(_END_WITHIN_S):
                for task in tuple(self._exchanges.values()):
                    await task.wait()
            for task in tuple(self._exchanges.values()):
                task.cancel()
            if self._lifespan is not None:
                await self._lifespan.shut_down()

    async def _serve(self, exchange: _AppExchange) -> None:
        try:
            await exchange.run()
        finally:
            self._exchanges.pop(exchange, None)


class _Lifespan:
    """Run the application's startup and shutdown in one task, as the protocol wants it."""

    def __init__(self, app: Application, tasks: TaskSet) -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._settled = anyio.Event()
        self._leaving = anyio.Event()
        self._asked = False
        self._failure: KrixikError | None = None
        self._task = tasks.spawn(self._run, name="krixik_async in-process lifespan")

    async def wait_started(self) -> None:
        await self._settled.wait()
        if self._failure is not None:
            raise self._failure

    async def shut_down(self) -> None:
        self._leaving.set()
        with anyio.move_on_after(_END_WITHIN_S):
            await self._task.wait()
        self._task.cancel()

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": _VERSIONS, "state": self.state}
        try:
            await self._app(scope, self._receive, self._send)
        except KrixikError as error:
            self._failure = error
        except Exception:
            if self._settled.is_set():
                logger.exception("the server in this process failed while it shut down")
            elif self._failure is not None:
                logger.exception("the server in this process could not start")
            # Else it knows no lifespan at all, which the protocol lets it say this way.
        finally:
            self._settled.set()

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": "lifespan.startup"}
        await self._leaving.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "lifespan.startup.complete":
            self._settled.set()
        elif message["type"] == "lifespan.startup.failed":
            # The application raises the reason next, and the waiting go on only after that.
            said = str(message.get("message", "")).strip().rpartition("\n")[2]
            self._failure = ServiceError(f"the server in this process could not start: {said}")


class _AppExchange(httpx.AsyncByteStream):
    """Be one request inside the application, and the stream of its answer outside of it."""

    def __init__(self, app: Application, request: httpx.Request, state: dict[str, Any]) -> None:
        self._app = app
        self._request = request
        self._scope = _scope_of(request, state)
        self._scope["extensions"] = {HANG_UP: self.hang_up}
        self._upload: AsyncIterator[bytes] | None = None
        self._gone = anyio.Event()
        self._head_known = anyio.Event()
        self._head: Message | None = None
        self._failure: Exception | None = None
        self._complete = False
        self._upload_ended = False
        self._hung_up = False
        self._taken_since = 0
        # No buffer: the application goes on when its reader has taken what it sent.
        self._into, self._out_of = anyio.create_memory_object_stream[bytes](0)

    # --- the caller's side ---------------------------------------------------------------

    async def answer(self) -> httpx.Response:
        try:
            await self._head_known.wait()
        except BaseException:
            self.disconnect()
            raise
        if self._failure is not None:
            self.disconnect()
            raise self._failure
        if self._head is None:
            self.disconnect()
            return httpx.Response(500, headers={"content-type": "text/plain"}, content=b"")
        return httpx.Response(
            self._head["status"], headers=list(self._head.get("headers", ())), stream=self
        )

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._out_of:
            yield piece
        if not self._complete:
            raise httpx.RemoteProtocolError("the server in this process broke off its answer")

    async def aclose(self) -> None:
        self.disconnect()

    def hang_up(self) -> None:
        """Close the connection from the application's side."""
        self._hung_up = True

    def disconnect(self) -> None:
        self._gone.set()
        self._out_of.close()

    # --- the application's side ----------------------------------------------------------

    async def run(self) -> None:
        try:
            await self._app(self._scope, self._receive, self._send)
            if self._head is None and not self._gone.is_set():
                logger.error("the server in this process ended without an answer")
        except Exception:
            # One whose client left is expected to stumble over that.
            if self._complete or not self._gone.is_set():
                logger.exception("the server in this process failed")
        finally:
            self._head_known.set()
            self._into.close()

    async def _receive(self) -> Message:
        if self._gone.is_set() or self._complete:
            return {"type": "http.disconnect"}
        if self._hung_up and (self._upload_ended or self._taken_since > _UNREAD_BYTES):
            return self._break_off()
        if self._upload is None:
            self._upload = aiter(self._request.stream)  # type: ignore[arg-type] # async by httpx's own contract
        elif self._upload_ended:
            await self._gone.wait()
            return {"type": "http.disconnect"}
        try:
            piece = await anext(self._upload, None)
        except Exception as error:  # noqa: BLE001 - the caller's own, handed back to it
            self._failure = error
            self._gone.set()
            self._head_known.set()
            return {"type": "http.disconnect"}
        if self._gone.is_set():
            # An upload that was given up ends like a whole one: it must not be taken for one.
            return {"type": "http.disconnect"}
        self._upload_ended = piece is None
        if self._hung_up:
            self._taken_since += len(piece or b"")
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    def _break_off(self) -> Message:
        if self._head is None:
            self._failure = httpx.RemoteProtocolError(
                "the server in this process closed the connection without an answer"
            )
        self._gone.set()
        self._head_known.set()
        self._into.close()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self._gone.is_set():
            raise OSError("the client has gone")
        if message["type"] == "http.response.start":
            self._head = message
            return
        self._head_known.set()
        try:
            if message.get("body"):
                await self._into.send(message["body"])
        except anyio.BrokenResourceError:
            raise OSError("the client has gone") from None
        if not message.get("more_body", False):
            self._complete = True
            self._into.close()


def _scope_of(request: httpx.Request, state: dict[str, Any]) -> Message:
    url = request.url
    raw_path, _, query = url.raw_path.partition(b"?")
    return {
        "type": "http",
        "asgi": _VERSIONS,
        "http_version": "1.1",
        "method": request.method,
        "scheme": url.scheme,
        "path": url.path,
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "client": None,
        "server": (url.host, url.port),
        "state": state.copy(),
    }
