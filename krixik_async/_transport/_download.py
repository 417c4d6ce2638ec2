"""Downloads: an answer's body on disk, where a file of the final name is always a whole one.

A download that broke off is gone on with where it stopped: by the next try, or by a later call, if
what was written is still there (`_part`) and the host has the same bytes still (RFC 9110, 13.1.5:
`If-Range` lets it send the rest or, if they have changed, the whole).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import anyio

from krixik_async._errors import (
    DownloadInterrupted,
    DownloadRejected,
    RateLimited,
    ServerError,
    ServiceError,
)
from krixik_async._offload import Offload
from krixik_async._reply import Reply
from krixik_async._transport._bodies import body_of
from krixik_async._transport._exchange import Consume, Streamed
from krixik_async._transport._part import Held, Part, is_validator, part_of
from krixik_async._transport._posting import read_whole
from krixik_async._transport._seam import PresignedURL, hidden, signed_url

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

# As for reading (`_sources`): large enough that the hop to a thread does not count.
WRITE_BYTES = 512 * 1024
WHOLE, REST, NO_REST = 200, 206, 416
_FOLLOWED = frozenset({301, 302, 303, 307, 308})

_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


class Saving:
    """Save one answer under `destination`, going on with `held` if the host agrees.

    `private` is a name beside it for a part that nobody goes on with.
    """

    def __init__(
        self, destination: Path, private: Path, offload: Offload, held: Held | None
    ) -> None:
        self._destination = destination
        self._private = private
        self._offload = offload
        self._held = held
        self._buffer = bytearray()
        self._received = 0
        self.is_kept = False

    @property
    def headers(self) -> Mapping[str, str]:
        """Give what asks for the rest only."""
        if self._held is None:
            return {}
        return {"Range": f"bytes={self._held.size}-", "If-Range": self._held.validator}

    def takes(self, status_code: int) -> bool:
        """Tell whether an answer of that status is one to save."""
        return status_code == WHOLE or (self._held is not None and status_code in (REST, NO_REST))

    async def save(
        self,
        response: httpx.Response,
        *,
        on_bytes: Callable[[], None],
        is_wanted: Callable[[], bool],
    ) -> int | None:
        """Give the file's size, or None where the rest does not fit: ask again, for the whole.

        On an error or cancellation only a part that can be gone on with is left behind (then
        `is_kept`). `on_bytes` is called as bytes arrive; the file is not put in place unless
        `is_wanted`. Raises DownloadInterrupted (caused by an OSError where it was the disk).
        """
        part, total = await self._open(response)
        if part is None:
            return None
        keep = True
        try:
            await self._take(part, response, on_bytes, is_wanted)
            self._check_length(response)
            size = await self._disk(part.settle)
            if total is not None and size != total:
                keep = False
                raise DownloadInterrupted(
                    f"the download for {self._destination.name} came to {size} of {total} bytes"
                )
            if is_wanted():
                await self._disk(part.place)
        except DownloadInterrupted as error:
            keep = keep and not isinstance(error.__cause__, OSError)
            raise
        else:
            return size
        finally:
            with anyio.CancelScope(shield=True):
                self.is_kept = await self._offload(part.put_away, keep and not part.placed)

    async def _open(self, response: httpx.Response) -> tuple[Part | None, int | None]:
        """Give the part to write to and the size that it must come to, if that is known."""
        held = self._held
        if response.status_code == WHOLE or held is None:
            begin = (self._destination, self._private, validator_of(response.headers))
            return await self._disk(Part.begin, *begin), None
        said = _RANGE.fullmatch(response.headers.get("content-range", ""))
        fits = (
            response.status_code == REST
            and said is not None
            and int(said[1]) == held.size
            and validator_of(response.headers) in (None, held.validator)
        )
        part = await self._disk(Part.go_on, self._destination, held)
        if part is None:
            raise DownloadInterrupted(f"{part_of(self._destination).name} was changed meanwhile")
        if not fits or said is None:
            await self._offload(part.put_away, False)
            return None, None
        return part, int(said[2])

    async def _take(
        self,
        part: Part,
        response: httpx.Response,
        on_bytes: Callable[[], None],
        is_wanted: Callable[[], bool],
    ) -> None:
        try:
            async with body_of(response) as body:
                async for piece in body:
                    on_bytes()
                    if not is_wanted():
                        break
                    self._received += len(piece)
                    self._buffer += piece
                    if len(self._buffer) >= WRITE_BYTES:
                        await self._flush(part)
        finally:
            with anyio.CancelScope(shield=True):
                await self._flush(part)

    async def _flush(self, part: Part) -> None:
        content = bytes(self._buffer)
        self._buffer.clear()
        await self._disk(part.write, content)

    def _check_length(self, response: httpx.Response) -> None:
        said = response.headers.get("content-length", "")
        # httpx counts nothing where the answer was in memory from the start (its MockTransport).
        received = response.num_bytes_downloaded or self._received
        if said.isdecimal() and int(said) != received:
            raise DownloadInterrupted(
                f"the download for {self._destination.name} ended after {received} of {said} bytes"
            )

    async def _disk(self, function: Callable[..., T], *args: object) -> T:
        try:
            return await self._offload(function, *args)
        except OSError as error:
            raise DownloadInterrupted(
                f"{self._destination} could not be written: {error.strerror}"
            ) from error


def validator_of(headers: Mapping[str, str]) -> str | None:
    """Give the word by which the host knows these bytes, if a rest of them can be asked for.

    Not a weak ETag, which is allowed to stand for other bytes; and not where the bytes on the way
    are not those that are saved.
    """
    encoding = headers.get("content-encoding", "identity")
    if encoding != "identity" or headers.get("accept-ranges") == "none":
        return None
    word = headers.get("etag") or headers.get("last-modified", "")
    return word if is_validator(word) and not word.startswith("W/") else None


def save_or_follow(saving: Saving) -> Consume[int | PresignedURL | None]:
    """Give what saves a file, gives the place a redirect names, and refuses anything else."""

    async def consume(
        response: httpx.Response, attempt: Streamed[int | PresignedURL | None]
    ) -> int | PresignedURL | None:
        url = attempt.request.url
        if saving.takes(response.status_code):
            return await saving.save(
                response, on_bytes=attempt.restart_limit, is_wanted=lambda: attempt.is_wanted
            )
        target = response.headers.get("location")
        if response.status_code in _FOLLOWED and target is not None:
            return signed_url(target, "download", base=url)
        raise _refused(url, await read_whole(response, attempt.name))

    return consume


def _refused(url: httpx.URL, reply: Reply) -> ServiceError:
    said = f"the download of {hidden(url)} was answered with {reply.status_code}"
    if reply.status_code == 429:
        return RateLimited(said, reply=reply)
    if reply.status_code >= 500:
        return ServerError(said, reply=reply)
    return DownloadRejected(f"{said}: the link may have expired", reply=reply)
