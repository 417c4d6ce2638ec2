"""The default sender on trio: httpx's own transports, one connection each.

One httpx pool slows down with its size (96 CPU seconds for 1,000 requests over 256 connections,
0.9 over as many pools of one; 2026-11), because each pass over it polls every idle socket. A pool
of one has no such pass, and one that a failure may have upset is simply thrown away.
"""

from __future__ import annotations

import ssl
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import httpx

from krixik_async._transport._machine import proxy_for, tls_context
from krixik_async._transport._posting import PostByOpening
from krixik_async._transport._seam import CLOSE_WITHIN_S, Progress, close_quietly, watch_httpcore

# As for the aiohttp sender: longer than a poll interval, shorter than load balancers allow.
KEEPALIVE_S = 55.0


class ShardedSender(PostByOpening):
    """Send through as many one-connection transports as are busy at once."""

    needs_own_task = True

    def __init__(self) -> None:
        self._idle: defaultdict[tuple[str, str, int | None], list[httpx.AsyncHTTPTransport]]
        self._idle = defaultdict(list)
        self._ssl: ssl.SSLContext | None = None
        self._closed = False

    @asynccontextmanager
    async def open(
        self, request: httpx.Request, progress: Progress
    ) -> AsyncIterator[httpx.Response]:
        """Send it over the connection used last for its origin, or a new one."""
        watch_httpcore(request, progress)
        origin = (request.url.scheme, request.url.host, request.url.port)
        idle = self._idle[origin]
        shard = idle.pop() if idle else self._make(request.url)
        healthy = False
        try:
            response = await shard.handle_async_request(request)
            try:
                yield response
                healthy = not self._closed
            finally:
                await close_quietly(response)
        finally:
            if healthy:
                idle.append(shard)
            else:
                with anyio.move_on_after(CLOSE_WITHIN_S, shield=True):
                    await shard.aclose()

    async def aclose(self) -> None:
        """Close the idle connections; a busy one is closed by its task."""
        self._closed = True
        for shards in self._idle.values():
            while shards:
                await shards.pop().aclose()

    def _make(self, url: httpx.URL) -> httpx.AsyncHTTPTransport:
        if self._ssl is None:
            self._ssl = tls_context()
        return httpx.AsyncHTTPTransport(
            verify=self._ssl,
            limits=httpx.Limits(
                max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEPALIVE_S
            ),
            proxy=proxy_for(url),
        )
