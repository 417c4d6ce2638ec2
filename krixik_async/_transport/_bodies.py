"""Bodies without loose ends, decoded.

httpx and httpcore stream through async generators inside async generators. One that is left in
the middle is ended by the garbage collector, which under trio is a ResourceWarning, and where it
happens nobody can tell. So what we send is no generator, and what we stop reading is ended.
"""

from __future__ import annotations

import zlib
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
    """Give the decoded pieces of an answer; the block may be left at any of them.

    Iterating raises httpx.DecodingError for what is not encoded as the answer says.
    """
    if response.is_stream_consumed:
        yield response.aiter_bytes()  # it was in memory from the start
        return
    pieces = response.aiter_raw()
    try:
        yield _Decoded(pieces, response.headers.get("content-encoding", ""))
    finally:
        if not response.is_closed:
            # Reading on while cancelled lets the innermost of the generators raise, and so all
            # of them end, at the first point where more would have to come over the network.
            with anyio.CancelScope(shield=True) as scope, suppress(*reported()):
                scope.cancel()
                async for _ in pieces:
                    pass


class _Decoded:
    """Undo the encodings that are asked for: gzip and deflate. Any other passes as it is.

    httpx's decoding stands in the middle of its generators: where it fails, those behind it are
    left to the garbage collector.
    """

    def __init__(self, pieces: AsyncIterator[bytes], encodings: str) -> None:
        self._pieces = pieces
        names = [name.strip().lower() for name in encodings.split(",")]
        # The last encoding was applied last: it comes off first.
        self._decoders = [_Inflating(n) for n in reversed(names) if n in ("gzip", "deflate")]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        piece = await anext(self._pieces)
        for decoder in self._decoders:
            piece = decoder.decode(piece)
        return piece


class _Inflating:
    def __init__(self, name: str) -> None:
        # 16 more than the largest window means a gzip header and trailer (zlib's manual).
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS + (16 if name == "gzip" else 0))
        # Some servers say deflate and leave its header away; that shows in the first bytes.
        self._may_be_bare = name == "deflate"

    def decode(self, piece: bytes) -> bytes:
        try:
            decoded = self._inflate.decompress(piece)
        except zlib.error as error:
            if not self._may_be_bare:
                raise httpx.DecodingError(str(error)) from error
            self._may_be_bare = False
            self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
            return self.decode(piece)
        self._may_be_bare = self._may_be_bare and not piece
        return decoded
