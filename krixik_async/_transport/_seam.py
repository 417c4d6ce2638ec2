"""The seam behind which HTTP libraries sit: what a sender is, and what all of them share.

A sender does two things. It posts the small body of a call and gives the whole answer, which it
may do by any short way that its library has; and it opens one request and gives the answer's head
with the body still to be read, for what is too large to hold. Whether a call may be cancelled
inside it, or has to run in a task of its own, is the sender's to say: cancelling a task inside
httpx's own pool (httpx 0.28.1 on httpcore 1.0.9) leaks the slot.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Protocol

import anyio
import attrs
import httpx

from krixik_async._errors import UnexpectedReply
from krixik_async._reply import Reply

# How long an answer that is not wanted any more may take to be put away.
CLOSE_WITHIN_S = 5.0


@attrs.define
class Progress:
    """Be told by the sender how far one request is; what it cannot tell stays as it is."""

    is_connecting: bool = False


@attrs.frozen(eq=False)
class Target:
    """Name where calls of one kind go, and the headers that they carry.

    Made once for all of them, so that a sender can keep what it makes of it (compared by identity).
    """

    name: str
    url: httpx.URL
    headers: httpx.Headers = attrs.field(repr=False)
    connect_timeout_s: float


class Scope(Protocol):
    """End a block by its limit, or when cancelled; the program goes on after it."""

    def cancel(self) -> None:
        """End the block now; returns at once."""

    def __enter__(self) -> object: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> bool: ...


class Sender(Protocol):
    """Send requests as they are: no redirects, cookies, retries or decoding of its own."""

    needs_own_task: bool

    def limit(self, seconds: float) -> Scope:
        """Make the scope of one post."""

    async def post(self, target: Target, content: bytes, progress: Progress) -> Reply:
        """Post `content` and read the answer to its end, decoded.

        Raises UnexpectedReply for an answer that is too long to be one of this protocol.
        """

    def open(
        self, request: httpx.Request, progress: Progress
    ) -> AbstractAsyncContextManager[httpx.Response]:
        """Send `request`; inside the block the answer's body can be streamed."""

    async def aclose(self) -> None:
        """Close what the sender made itself."""


class PresignedURL(httpx.URL):
    """A URL whose query is a secret: its repr does not show it."""

    def __repr__(self) -> str:
        return f"PresignedURL({hidden(self)!r})"


def signed_url(url: str, name: str, *, base: httpx.URL | None = None) -> PresignedURL:
    """Give a link of the service as a URL. Raises UnexpectedReply if it is no http(s) URL."""
    try:
        parsed = PresignedURL(url if base is None else base.join(url))
    except (httpx.InvalidURL, ValueError):  # of half a surrogate pair, for one
        parsed = None
    if parsed is None or parsed.scheme not in ("http", "https") or not parsed.host:
        raise UnexpectedReply(f"{name}: the service gave a link that is no http(s) URL")
    return parsed


def hidden(url: httpx.URL) -> str:
    """Give host and path of a URL, and nothing that could be a secret."""
    port = f":{url.port}" if url.port is not None else ""
    return f"{url.scheme}://{url.host}{port}{url.path}"


def host_of(url: httpx.URL) -> str:
    """Give "host:port", the port of the scheme where none is named."""
    port = url.port or (443 if url.scheme == "https" else 80)
    return f"[{url.host}]:{port}" if ":" in url.host else f"{url.host}:{port}"


class HideQueries(logging.Filter):
    """Take the query out of the line that httpx logs at INFO for each request."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every record; ours among them lose their query."""
        if isinstance(record.args, tuple):
            record.args = tuple(
                hidden(value) if isinstance(value, PresignedURL) else value for value in record.args
            )
        return True


async def close_quietly(response: httpx.Response) -> None:
    """Close an answer even while being cancelled, within a few seconds."""
    if not response.is_closed:
        with anyio.move_on_after(CLOSE_WITHIN_S, shield=True):
            await response.aclose()


def watch_httpcore(request: httpx.Request, progress: Progress) -> None:
    """Let httpcore, where it is what sends the request, report on the connection."""

    async def trace(event: str, _info: Mapping[str, object]) -> None:
        if event == "connection.connect_tcp.started":
            progress.is_connecting = True
        elif event.endswith(".send_request_headers.started"):
            progress.is_connecting = False

    request.extensions["trace"] = trace
