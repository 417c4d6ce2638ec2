"""What the transport's tests have in common: a server of raw bytes, and transports to try on it."""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import anyio.lowlevel
import attrs
import httpx
from anyio.abc import SocketAttribute, SocketStream

from krixik_async import _wire
from krixik_async._clock import LoopClock
from krixik_async._config import Config
from krixik_async._offload import InlineOffload
from krixik_async._reply import Reply
from krixik_async._tasks import TaskSet
from krixik_async._transport import Transport

KEY = "the-secret-key"

STATUS = _wire.GetStatus(pipeline="books", process_id="some-process")
SUBMIT = _wire.Submit(
    pipeline="books",
    pipeline_ordered_modules=("keyword-db",),
    pipeline_output_process_keys=(None,),
    modules={},
    file_name="a.txt",
    symbolic_directory_path="/etc",
    file_tags=(),
    file_description="",
    expire_time=1800,
)


def read_text(endpoint: _wire.Endpoint, reply: Reply) -> str:
    """Read what a test's server said, or raise what its status means."""
    _wire.read_check_in(endpoint, reply)
    return reply.body.decode()


@attrs.frozen
class Got:
    """Hold one request as the server saw it."""

    head: str
    body: bytes = b""

    @property
    def headers(self) -> dict[str, str]:
        pairs = (line.split(": ", 1) for line in self.head.split("\r\n")[1:] if line)
        return {name.lower(): value for name, value in pairs}


class Peer:
    """Be one connection to the raw server."""

    def __init__(self, stream: SocketStream, number: int) -> None:
        self._stream = stream
        self._pending = b""
        self.number = number

    async def head(self) -> Got:
        """Read up to the empty line. Raises EndOfStream if the client closes first."""
        while b"\r\n\r\n" not in self._pending:
            self._pending += await self._stream.receive()
        head, _, self._pending = self._pending.partition(b"\r\n\r\n")
        return Got(head.decode())

    async def take(self, size: int) -> bytes:
        """Read that many bytes of a body."""
        while len(self._pending) < size:
            self._pending += await self._stream.receive()
        body, self._pending = self._pending[:size], self._pending[size:]
        return body

    async def request(self) -> Got:
        """Read a whole request."""
        got = await self.head()
        return attrs.evolve(got, body=await self.take(int(got.headers.get("content-length", "0"))))

    async def send(self, content: bytes) -> None:
        await self._stream.send(content)

    async def answer(self, status: int = 200, body: bytes = b"ok", *, head: str = "") -> None:
        await self.send(
            f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{head}\r\n".encode() + body
        )

    async def closed_by_client(self) -> None:
        """Wait until the client closes."""
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            while await self._stream.receive():
                pass

    async def reset(self) -> None:
        """Close at once, throwing away what was not read."""
        await anyio.aclose_forcefully(self._stream)


Handler = Callable[[Peer], Awaitable[None]]


@attrs.define
class RawServer:
    """Be a listening server; `url` is its address and `connections` how many it has had."""

    url: str
    connections: int = 0


@asynccontextmanager
async def raw_server(handler: Handler) -> AsyncIterator[RawServer]:
    """Serve each connection with `handler` until the block ends."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    server = RawServer(f"http://127.0.0.1:{port}")

    async def serve(stream: SocketStream) -> None:
        server.connections += 1
        async with stream:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                await handler(Peer(stream, server.connections))

    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, serve)
        yield server
        group.cancel_scope.cancel()


class QuickClock(LoopClock):
    """Let waits between tries pass a hundred times as fast."""

    def now(self) -> float:
        return super().now() * 100

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / 100)


@attrs.frozen
class World:
    """Hold a transport and what it was made of."""

    transport: Transport
    tasks: TaskSet

    def check_nothing_leaked(self, max_in_flight: int = 64) -> None:
        exchanges: Any = self.transport._exchanges
        assert exchanges._permits.free == max_in_flight
        assert exchanges._under_way == set()


SENDERS = ["default", "http_client", "http_transport"]


@asynccontextmanager
async def transport_by(sender: str, url: str, **options: Any) -> AsyncIterator[World]:
    """Give a transport to `url` that sends by way of the sender of that name."""
    if sender == "http_client":
        async with httpx.AsyncClient() as client:
            async with transport_to(url, http_client=client, **options) as world:
                yield world
            assert not client.is_closed
        return
    given = httpx.AsyncHTTPTransport() if sender == "http_transport" else None
    async with transport_to(url, http_transport=given, **options) as world:
        yield world


@asynccontextmanager
async def transport_to(
    url: str,
    *,
    http_client: httpx.AsyncClient | None = None,
    http_transport: httpx.AsyncBaseTransport | None = None,
    clock: Any = None,
    offload: Any = None,
    tasks: TaskSet | None = None,
    **options: Any,
) -> AsyncIterator[World]:
    """Give a transport that hardly waits between tries, and close it."""
    tasks = tasks or TaskSet()
    config = Config(
        **{"api_url": url, "api_key": KEY, "backoff_s": 0.001, "backoff_cap_s": 0.001} | options
    )
    transport = Transport(
        config,
        clock=clock or QuickClock(),
        offload=offload or InlineOffload(),
        rng=random.Random(1),
        tasks=tasks,
        http_client=http_client,
        http_transport=http_transport,
    )
    try:
        yield World(transport, tasks)
    finally:
        await transport.aclose()
        await tasks.aclose()


def ticket_for(url: str) -> _wire.Ticket:
    """Give an upload ticket whose fields and query are secrets to look for."""
    return _wire.Ticket(
        request_id="r",
        file_id="f",
        url=f"{url}/bucket?X-Signature=SECRET-QUERY",
        fields=(("key", "SECRET-FIELD"), ("policy", "SECRET-POLICY")),
        reply=Reply(200),
    )


SECRETS = re.compile(r"SECRET|" + KEY)


async def settled(tasks: TaskSet) -> None:
    """Wait until every task of the set has ended."""
    with anyio.fail_after(10):
        for task in tuple(tasks._tasks):
            await task.wait()
        # A task leaves the set one step after it says that it has ended.
        await anyio.lowlevel.checkpoint()
    assert len(tasks) == 0
