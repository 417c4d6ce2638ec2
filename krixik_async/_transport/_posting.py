"""A call over httpx: the request made anew from what all calls share, the answer read whole."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager

import anyio
import httpx

from krixik_async._errors import UnexpectedReply
from krixik_async._reply import Reply
from krixik_async._transport._bodies import BytesBody, body_of
from krixik_async._transport._seam import Progress, Target

# A list of 10,000 records is about 8 MB; what is larger than this is no answer of this protocol.
LARGEST_REPLY_BYTES = 64 * 1024 * 1024


class PostByOpening(ABC):
    """Post calls by way of `open`: for senders whose library has nothing shorter."""

    @abstractmethod
    def open(
        self, request: httpx.Request, progress: Progress
    ) -> AbstractAsyncContextManager[httpx.Response]:
        """Send `request`; see `Sender`."""

    def limit(self, seconds: float) -> anyio.CancelScope:
        """Make the scope of one post; see `Sender`."""
        return anyio.move_on_after(seconds)

    async def post(self, target: Target, content: bytes, progress: Progress) -> Reply:
        """Post and read the answer whole; see `Sender`."""
        request = httpx.Request(
            "POST",
            target.url,
            headers=target.headers,
            content=content,
            extensions=timeouts(target.connect_timeout_s),
        )
        request.stream = BytesBody(content)
        async with self.open(request, progress) as response:
            return await read_whole(response, target.name)


def timeouts(connect_s: float) -> dict[str, dict[str, float | None]]:
    """Give httpx's extension for them: reading and writing are bounded by the attempt's limit."""
    return {"timeout": {"connect": connect_s, "pool": connect_s, "read": None, "write": None}}


async def read_whole(response: httpx.Response, name: str) -> Reply:
    """Read the body, decoded. Raises UnexpectedReply beyond 64 MiB."""
    pieces: list[bytes] = []
    size = 0
    async with body_of(response) as body:
        async for piece in body:
            size += len(piece)
            if size > LARGEST_REPLY_BYTES:
                raise UnexpectedReply(
                    f"{name} was answered with more than {LARGEST_REPLY_BYTES} bytes",
                    reply=Reply(response.status_code, dict(response.headers.items())),
                )
            pieces.append(piece)
    # httpx gives header names in lower case and joins repeated ones.
    return Reply(response.status_code, dict(response.headers.items()), b"".join(pieces))
