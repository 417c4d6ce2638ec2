"""The body of an upload: a form around a file that is read from disk as it is sent."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from types import AsyncGeneratorType
from typing import BinaryIO, Protocol, cast

import anyio.lowlevel
import httpx

from krixik_async._errors import FileChanged
from krixik_async._offload import Offload
from krixik_async._wire import Form

# Measured 2026-11: reads of 256 kB to 1 MB in a thread give 1.1 GB/s and 28 ms of worst lag.
READ_BYTES = 512 * 1024


class UploadSource(Protocol):
    """Give the bytes of one file, as often as asked."""

    async def size(self, offload: Offload) -> int:
        """Measure it, in bytes. Raises OSError."""

    def chunks(self, offload: Offload) -> AsyncGenerator[bytes, None]:
        """Read it from its start to its end. Raises OSError."""


class PathSource:
    """Read a file on disk.

    It is opened for each read and not held open between them, so that an upload that is cancelled
    in the middle of a read leaves nothing behind to be closed; a file put in its place meanwhile
    is noticed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    async def size(self, offload: Offload) -> int:
        """Measure it, in bytes. Raises OSError."""
        return (await offload(self._path.stat)).st_size

    async def chunks(self, offload: Offload) -> AsyncGenerator[bytes, None]:
        """Read it. Raises OSError, FileChanged if the path came to name another file."""
        offset, first = 0, None
        while True:
            chunk, identity = await offload(self._read, offset)
            if first is None:
                first = identity
            if identity != first:
                raise FileChanged(f"{self._path} was replaced by another file while it was sent")
            if not chunk:
                return
            offset += len(chunk)
            yield chunk

    def _read(self, offset: int) -> tuple[bytes, tuple[int, int]]:
        with self._path.open("rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            file.seek(offset)
            return file.read(READ_BYTES), (status.st_dev, status.st_ino)


class BytesSource:
    """Send bytes that are in memory already."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def size(self, offload: Offload) -> int:  # noqa: ARG002 - the protocol's
        """Give their number."""
        return len(self._content)

    async def chunks(self, offload: Offload) -> AsyncGenerator[bytes, None]:  # noqa: ARG002
        """Give them in pieces."""
        for start in range(0, len(self._content), READ_BYTES):
            await anyio.lowlevel.checkpoint()
            yield self._content[start : start + READ_BYTES]


class FileSource:
    """Read an open, seekable binary file from where it stands when first measured to its end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._start: int | None = None

    async def size(self, offload: Offload) -> int:
        """Measure what is left of it, in bytes. Raises OSError; ValueError if it is closed."""
        return await offload(self._measure)

    async def chunks(self, offload: Offload) -> AsyncGenerator[bytes, None]:
        """Read it; moves its position. Raises OSError; ValueError if it is closed."""
        offset = 0
        while chunk := await offload(self._read, offset):
            offset += len(chunk)
            yield chunk

    def _measure(self) -> int:
        if self._start is None:
            self._start = self._file.tell()
        return self._file.seek(0, os.SEEK_END) - self._start

    def _read(self, offset: int) -> bytes:
        self._file.seek((self._start or 0) + offset)
        return self._file.read(READ_BYTES)


class UploadBody(httpx.AsyncByteStream):
    """Stream one form once, counting; stops where the file is not what was measured."""

    def __init__(self, form: Form, source: UploadSource, size: int, offload: Offload) -> None:
        self._form = form
        self._source = source
        self._size = size
        self._offload = offload
        self._pieces: AsyncGeneratorType[bytes, None] | None = None
        self.length = form.content_length(size)
        # Counted when handed over, before it can be known to have left: what is not counted was
        # demonstrably not sent.
        self.handed_over = 0
        self.failure: FileChanged | None = None
        # Set when nobody waits any more: the next piece is not sent, the connection closed.
        self.abandoned = False

    @property
    def is_through(self) -> bool:
        """Tell whether all of it was handed to the connection."""
        return self.handed_over >= self.length

    def __aiter__(self) -> AsyncIterator[bytes]:
        self._pieces = cast("AsyncGeneratorType[bytes, None]", self._stream())
        return self._pieces

    async def aclose(self) -> None:
        """End the stream where the sender left it. A step still under way ends on its own."""
        if self._pieces is not None and not self._pieces.ag_running:
            await self._pieces.aclose()

    async def _stream(self) -> AsyncGenerator[bytes, None]:
        yield self._hand_over(self._form.head)
        left = self._size
        try:
            async with aclosing(self._source.chunks(self._offload)) as chunks:
                async for chunk in chunks:
                    left -= len(chunk)
                    if left < 0 or self.abandoned:
                        break
                    yield self._hand_over(chunk)
        except FileChanged as error:
            self.failure = error
            raise
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or type(error).__name__
            raise self._fail(f"could not be read any more ({why})") from error
        if self.abandoned:
            raise self._fail("is not waited for any more")
        if left:
            than = "grew beyond" if left < 0 else f"ended {left} bytes short of"
            raise self._fail(f"{than} the {self._size} bytes measured before")
        yield self._hand_over(self._form.tail)

    def _hand_over(self, piece: bytes) -> bytes:
        self.handed_over += len(piece)
        return piece

    def _fail(self, how: str) -> FileChanged:
        self.failure = FileChanged(f"the file {how}: the upload was stopped, send it again")
        return self.failure
