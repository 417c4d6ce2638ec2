"""Bodies without loose ends.

httpx and httpcore stream through async generators inside async generators. One that is left in
the middle is ended by the garbage collector, which under trio is a ResourceWarning, and where it
happens nobody can tell. So what we send is no generator, and what we stop reading is ended.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
import httpx

from krixik_async._transport._failures import reported


class BytesBody(httpx.AsyncByteStream):
    """Send these bytes, as one piece."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __aiter__(self) -> AsyncIterator[bytes]:
        return _Once(self._content)


class _Once:
    def __init__(self, content: bytes) -> None:
        self._left = [content]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()


@asynccontextmanager
async def body_of(response: httpx.Response) -> AsyncIterator[AsyncIterator[bytes]]:
    """Give the decoded pieces of an answer; the block may be left at any of them."""
    pieces = response.aiter_bytes()
    try:
        yield pieces
    finally:
        if not response.is_closed:
            # Reading on while cancelled lets the innermost of the generators raise, and so all
            # of them end, at the first point where more would have to come over the network.
            with anyio.CancelScope(shield=True) as scope, suppress(*reported()):
                scope.cancel()
                async for _ in pieces:
                    pass
