"""The default sender on asyncio: aiohttp's connections, behind httpx's types for large bodies.

It survives cancellation, so calls run in the caller's own task. A call is posted by the session
itself: what httpx makes of a request and an answer costs more than all that aiohttp does with them
(1,000 status requests through the transport for httpx: 0.29 CPU seconds, straight: 0.10; through
an httpx pool of 64 connections: 11.9; 2026-11). Uploads and downloads, and the rare answer to a
call that is compressed or does not say how long it is, go by way of httpx's types, which know how
to stream and decode. Its reports of failures need care: see `_failures`.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import aiohttp
import attrs
import httpx
from httpx_aiohttp import AiohttpTransport

from krixik_async._reply import Reply
from krixik_async._transport import _posting
from krixik_async._transport._limits import Limit, Limits
from krixik_async._transport._machine import proxy_for, tls_context
from krixik_async._transport._seam import Progress, Target, close_quietly

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace
    from multidict import CIMultiDictProxy

# Longer than any poll interval, or every poll would make a new TLS connection; shorter than the
# 60 s after which load balancers drop idle connections (AWS ALB default, 2026-11).
KEEPALIVE_S = 55.0

# What the connector has to say about a connection being made reaches the attempt by way of the
# task's context: no argument of aiohttp's or of httpx's leads there.
_progress: ContextVar[Progress] = ContextVar("krixik_async_progress")


class AiohttpSender:
    """Send through one aiohttp session; made at first use, inside the running loop."""

    needs_own_task = False

    def __init__(self) -> None:
        connector = _Connector(
            # Permits bound the requests; a second bound could only make them wait twice.
            limit=0,
            keepalive_timeout=KEEPALIVE_S,
            ssl=tls_context(),
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            response_class=_Response,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None),
        )
        self._limits = Limits()
        self._transports: dict[tuple[str, str], AiohttpTransport] = {}
        # Weak: a copy of a client with other options brings targets of its own, and may go again.
        self._ways: WeakKeyDictionary[Target, _Way] = WeakKeyDictionary()

    def limit(self, seconds: float) -> Limit:
        """Make the scope of one post; see `Sender`."""
        return self._limits.limit(seconds)

    async def post(self, target: Target, content: bytes, progress: Progress) -> Reply:
        """Post and read the answer whole; see `Sender`."""
        way = self._ways.get(target)
        if way is None:
            way = self._ways[target] = _Way.to(target)
        token = _progress.set(progress)
        try:
            response = await self._session.request(
                "POST",
                way.url,
                data=content,
                headers=way.headers,
                allow_redirects=False,
                timeout=way.timeout,
                proxy=way.proxy,
                proxy_headers=way.proxy_headers,
            )
        finally:
            _progress.reset(token)
        length = response.content_length
        if length is None or length > _posting.LARGEST_REPLY_BYTES or _is_encoded(response):
            return await _read_by_httpx(response, target.name)
        # A small answer came in whole with its head, and its connection has been given back by now.
        # Of any other, `read` closes the connection where it cannot read to the end.
        stream = response.content
        body = stream.read_nowait() if stream.is_eof() else await response.read()
        return Reply(response.status, _named(response.headers), body)

    @asynccontextmanager
    async def open(
        self, request: httpx.Request, progress: Progress
    ) -> AsyncIterator[httpx.Response]:
        """Send it."""
        transport = self._transport_for(request.url)
        token = _progress.set(progress)
        try:
            response = await transport.handle_async_request(request)
        finally:
            _progress.reset(token)
        try:
            yield response
        finally:
            await close_quietly(response)

    async def aclose(self) -> None:
        """Close the session and let its connections end."""
        await self._session.close()
        # The loop closes a socket one turn after its transport was told to.
        await asyncio.sleep(0)

    def _transport_for(self, url: httpx.URL) -> AiohttpTransport:
        origin = (url.scheme, url.host)
        if origin not in self._transports:
            self._transports[origin] = AiohttpTransport(
                # The session has its own TLS context; without this one more would be read.
                verify=False,
                client=self._session,
                proxy=_with_credentials(proxy_for(url)),
            )
        return self._transports[origin]


@attrs.frozen(kw_only=True)
class _Way:
    """Hold a target in aiohttp's terms."""

    url: str
    headers: Mapping[str, str] = attrs.field(repr=False)
    timeout: aiohttp.ClientTimeout
    proxy: str | None
    proxy_headers: Mapping[str, str] | None = attrs.field(repr=False)

    @classmethod
    def to(cls, target: Target) -> _Way:
        connect = target.connect_timeout_s
        proxy = _with_credentials(proxy_for(target.url))
        return cls(
            url=str(target.url),
            headers={name.decode(): value.decode() for name, value in target.headers.raw},
            timeout=aiohttp.ClientTimeout(total=None, connect=connect, sock_connect=connect),
            proxy=None if proxy is None else str(proxy.url),
            proxy_headers=None if proxy is None else dict(proxy.headers.items()),
        )


class _Connector(aiohttp.TCPConnector):
    """Make connections, and say so while one is made."""

    async def connect(
        self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        progress = _progress.get()
        progress.is_connecting = True
        connection = await super().connect(req, traces, timeout)
        # Left as it is by an error: nothing was sent then.
        progress.is_connecting = False
        return connection


class _Response(aiohttp.ClientResponse):
    """Be an answer whose reason is ASCII.

    httpx-aiohttp (0.2.0) encodes it as UTF-8, and leaves the connection open where that fails.
    """

    async def start(self, connection: Connection) -> _Response:
        await super().start(connection)
        if self.reason is not None and not self.reason.isascii():
            self.reason = self.reason.encode("ascii", "replace").decode("ascii")
        return self


class _Pieces(httpx.AsyncByteStream):
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._response.content.iter_any())

    async def aclose(self) -> None:
        self._response.release()


async def _read_by_httpx(response: aiohttp.ClientResponse, name: str) -> Reply:
    answer = httpx.Response(
        response.status, headers=list(response.raw_headers), stream=_Pieces(response)
    )
    try:
        return await _posting.read_whole(answer, name)
    finally:
        await close_quietly(answer)


def _is_encoded(response: aiohttp.ClientResponse) -> bool:
    return "Content-Encoding" in response.headers


def _named(given: CIMultiDictProxy[str]) -> dict[str, str]:
    """Give the headers as httpx would: names in lower case, repeated ones joined."""
    headers = {name.lower(): value for name, value in given.items()}
    if len(headers) < len(given):
        for name in headers:
            headers[name] = ", ".join(given.getall(name))
    return headers


def _with_credentials(proxy: httpx.Proxy | None) -> httpx.Proxy | None:
    if proxy is None or proxy.auth is None:
        return proxy
    # aiohttp 3.14 deprecates its `proxy_auth`, which httpx-aiohttp would use. Under this name it
    # moves the header to where it belongs, for plain requests and for CONNECT.
    pair = base64.b64encode(":".join(proxy.auth).encode()).decode("ascii")
    return httpx.Proxy(proxy.url, headers={"Authorization": f"Basic {pair}"})
