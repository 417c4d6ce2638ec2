"""The body of an upload: a form around a file that is read from disk as it is sent."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from types import AsyncGeneratorType
from typing import cast

import httpx

from krixik_async._errors import FileChanged
from krixik_async._offload import Offload
from krixik_async._sources import UploadSource
from krixik_async._wire import Form


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
