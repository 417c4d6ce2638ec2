"""Writing an answer's body to disk so that a file of the final name is always a whole one."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeVar

import anyio

from krixik_async._errors import DownloadInterrupted
from krixik_async._offload import Offload
from krixik_async._transport._bodies import body_of

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

# As for reading (`_upload`): large enough that the hop to a thread does not count.
WRITE_BYTES = 512 * 1024


class Saving:
    """Save one answer under `destination`, by way of the temporary name `part` beside it."""

    def __init__(self, destination: Path, part: Path, offload: Offload) -> None:
        self._destination = destination
        self._part = part
        self._offload = offload
        self._buffer = bytearray()
        self._written = 0

    async def save(
        self,
        response: httpx.Response,
        *,
        on_bytes: Callable[[], None],
        is_wanted: Callable[[], bool],
    ) -> int:
        """Give the number of bytes written; leaves nothing behind on an error or cancellation.

        `on_bytes` is called as bytes arrive; the file is not put in place unless `is_wanted`.
        Raises DownloadInterrupted (caused by an OSError where it was the disk).
        """
        file = await self._disk(self._create)
        placed = False
        try:
            async with body_of(response) as body:
                async for piece in body:
                    on_bytes()
                    if not is_wanted():
                        break
                    self._buffer += piece
                    if len(self._buffer) >= WRITE_BYTES:
                        await self._flush(file)
            await self._flush(file)
            self._check_length(response)
            await self._disk(_settle, file)
            if is_wanted():
                await self._disk(self._part.replace, self._destination)
                placed = True
        finally:
            with anyio.CancelScope(shield=True):
                await self._offload(self._clean_up, file, placed)
        return self._written

    def _create(self) -> BinaryIO:
        # "x": never over a file that is there, whatever its name.
        return self._part.open("xb")

    async def _flush(self, file: BinaryIO) -> None:
        self._written += await self._disk(file.write, bytes(self._buffer))
        self._buffer.clear()

    def _check_length(self, response: httpx.Response) -> None:
        said = response.headers.get("content-length", "")
        # httpx counts nothing where the answer was in memory from the start (its MockTransport).
        received = response.num_bytes_downloaded or self._written
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

    def _clean_up(self, file: BinaryIO, placed: bool) -> None:
        # Closing writes what is still buffered; on a full disk that fails like the write before.
        with suppress(OSError):
            file.close()
        if not placed:
            self._part.unlink(missing_ok=True)


def _settle(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.close()
