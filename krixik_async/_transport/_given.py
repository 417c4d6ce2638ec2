"""The senders for what the user hands in: an httpx client, or a transport for one."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from krixik_async._errors import ClientClosed
from krixik_async._transport._posting import PostByOpening
from krixik_async._transport._seam import HideQueries, Progress, close_quietly, watch_httpcore

if TYPE_CHECKING:
    import httpx


class ClientSender(PostByOpening):
    """Send through the user's own `httpx.AsyncClient`, by its public `send()` only."""

    needs_own_task = True

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._filter = HideQueries()
        logging.getLogger("httpx").addFilter(self._filter)

    @asynccontextmanager
    async def open(
        self, request: httpx.Request, progress: Progress
    ) -> AsyncIterator[httpx.Response]:
        """Send it; the client's hooks, auth and proxies apply, its redirects do not."""
        if self._client.is_closed:
            raise ClientClosed(
                "the http_client that was passed has been closed: it has to outlive this client"
            )
        watch_httpcore(request, progress)
        response = await self._client.send(request, stream=True, follow_redirects=False)
        try:
            yield response
        finally:
            await close_quietly(response)

    async def aclose(self) -> None:
        """Leave the client open: it is the user's."""
        logging.getLogger("httpx").removeFilter(self._filter)


class TransportSender(PostByOpening):
    """Send straight to one `httpx.AsyncBaseTransport`."""

    def __init__(self, transport: httpx.AsyncBaseTransport, *, needs_own_task: bool) -> None:
        self._transport = transport
        self.needs_own_task = needs_own_task

    @asynccontextmanager
    async def open(
        self, request: httpx.Request, progress: Progress
    ) -> AsyncIterator[httpx.Response]:
        """Send it."""
        watch_httpcore(request, progress)
        response = await self._transport.handle_async_request(request)
        try:
            yield response
        finally:
            await close_quietly(response)

    async def aclose(self) -> None:
        """Close the transport, as httpx does with one that it is given."""
        await self._transport.aclose()
