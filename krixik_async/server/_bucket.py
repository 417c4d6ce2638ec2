"""The upload and download host: S3-like forms in, files out, errors in S3's XML.

A form is a POST of the signed fields first and the file last, with its Content-Length, answered
with 204 and nothing else. 204 means that the file and its record are on the disk.

What a second upload to one ticket does is not public. Here the first upload that is stored wins:
the same bytes once more are answered with 204 again and change nothing, so that a client whose
answer was lost may repeat itself; other bytes are refused with 409, for a 204 would claim that
they had been taken. S3 itself would replace the object, but by then it is being processed.
"""

from __future__ import annotations

import contextlib
from html import escape
from typing import TYPE_CHECKING, BinaryIO

import anyio
from starlette.responses import Response

from krixik_async._clock import Clock
from krixik_async._offload import Offload
from krixik_async.server._engine import Engine
from krixik_async.server._form import (
    Event,
    Field,
    FileData,
    FileStart,
    FormParser,
    MalformedForm,
    boundary_of,
)
from krixik_async.server._plan import FaultPlan
from krixik_async.server._ranges import Span, span_of
from krixik_async.server._records import Record, new_id
from krixik_async.server._store import Store, Writing
from krixik_async.server._uploads import Allowance, Refused, Signer

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

UPLOAD_PATH = "/upload"
OUTPUT_PATH = "/outputs"

_STATUS = {
    "AccessDenied": 403,
    "EntityTooLarge": 400,
    "EntityTooSmall": 400,
    "InvalidArgument": 400,
    "MalformedPOSTRequest": 400,
    "MissingContentLength": 411,
    "NoSuchKey": 404,
    "OperationAborted": 409,
    "SignatureDoesNotMatch": 403,
}
_KEY_PREFIX = "uploads/"
_FILE_ID_LENGTH = 36
# One hop to a thread for so many bytes, in and out.
_PIECE_BYTES = 2**18


def upload_key(file_id: str) -> str:
    """Give what a form for this file may store."""
    return _KEY_PREFIX + file_id


def refusal(error: Refused) -> Response:
    """Say no as S3 does."""
    return Response(
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{error.code}</Code><Message>{escape(error.message)}</Message>"
        f"<RequestId>{new_id()}</RequestId></Error>",
        status_code=_STATUS[error.code],
        media_type="application/xml",
    )


class _FilePart:
    """Write the file of one form, within what the form allows."""

    def __init__(self, allowance: Allowance, writing: Writing, offload: Offload) -> None:
        self.file_id = allowance.key.removeprefix(_KEY_PREFIX)
        self.writing = writing
        self.sha256 = ""
        self._allowance = allowance
        self._offload = offload
        self._pending = bytearray()
        self._size = 0

    async def write(self, data: bytes) -> None:
        self._size += len(data)
        most = self._allowance.most_bytes
        if self._size > most:
            raise Refused("EntityTooLarge", f"the file has more than the {most} bytes allowed")
        self._pending += data
        if len(self._pending) >= _PIECE_BYTES:
            await self._flush()

    async def _flush(self) -> None:
        pending, self._pending = self._pending, bytearray()
        await self._offload(self.writing.write, pending)

    async def finish(self) -> None:
        least = self._allowance.least_bytes
        if self._size < least:
            raise Refused("EntityTooSmall", f"the file has fewer than the {least} bytes needed")
        await self._flush()
        self.sha256 = await self._offload(self.writing.finish)


class _Intake:
    """Take the events of one form: fields, then a file if they allow it; store it, clean up."""

    def __init__(
        self,
        store: Store,
        signer: Signer,
        clock: Clock,
        offload: Offload,
        faults: FaultPlan | None,
    ) -> None:
        self._faults = faults
        self._store = store
        self._signer = signer
        self._clock = clock
        self._offload = offload
        self._fields: dict[str, str] = {}
        self._part: _FilePart | None = None

    async def take(self, event: Event) -> None:
        part = self._part
        if isinstance(event, Field):
            if part is not None or event.name in self._fields:
                raise MalformedForm("a field comes twice, or after the file: the file is last")
            self._fields[event.name] = event.value
            return
        if isinstance(event, FileStart):
            if part is not None or event.name != "file":
                raise MalformedForm("one file is expected, in a part named 'file'")
            self._part = await self._open()
            return
        assert part is not None  # the parser gives FileStart first
        if isinstance(event, FileData):
            await part.write(event.data)
        else:
            await part.finish()

    async def _open(self) -> _FilePart:
        now = self._clock.wall()
        allowance = self._signer.check_form(self._fields, now)
        file_id = allowance.key.removeprefix(_KEY_PREFIX)
        if await self._store.any_file(file_id, now) is None:
            raise Refused("AccessDenied", "the record this form was made for is gone")
        return _FilePart(allowance, await self._store.begin_upload(file_id), self._offload)

    async def store(self) -> str | None:
        """Give the file_id of a new upload, None for one that was there before."""
        part = self._part
        if part is None:
            raise Refused("InvalidArgument", "POST requires exactly one file upload per request.")
        accepted = await self._store.accept(
            part.file_id, part.writing, part.sha256, self._clock.wall()
        )
        if accepted == "gone":
            raise Refused("AccessDenied", "Invalid according to Policy: Policy expired.")
        again = accepted in ("repeated", "other")
        if again and self._faults is not None and self._faults.spoils_second_upload():
            reason = "a second upload, which a fault lets ruin the record"
            await self._store.spoil(part.file_id, reason, self._clock.wall())
            return None
        if accepted == "other":
            raise Refused("OperationAborted", "another file has been uploaded with this form")
        return part.file_id if accepted == "stored" else None

    async def discard(self) -> None:
        if self._part is not None:
            with anyio.CancelScope(shield=True):
                await self._offload(self._part.writing.discard)


class _FileReply(Response):
    """Stream a span of an open file with its length, and close it whatever happens."""

    def __init__(self, file: BinaryIO, span: Span, offload: Offload) -> None:
        self.status_code = span.status_code
        self.background = None
        self.init_headers(
            {
                "content-length": str(span.length),
                "content-type": "binary/octet-stream",
                **span.headers,
            }
        )
        self._file = file
        self._span = span
        self._offload = offload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        try:
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            await self._offload(self._file.seek, self._span.start)
            left = self._span.length
            while piece := await self._offload(self._file.read, min(left, _PIECE_BYTES)):
                left -= len(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            with anyio.CancelScope(shield=True):
                await self._offload(self._file.close)


class Bucket:
    """Answer the upload form and the download links."""

    def __init__(
        self,
        store: Store,
        signer: Signer,
        engine: Engine,
        clock: Clock,
        offload: Offload,
        *,
        faults: FaultPlan | None = None,
    ) -> None:
        self._faults = faults
        self._store = store
        self._signer = signer
        self._engine = engine
        self._clock = clock
        self._offload = offload

    async def upload(self, request: Request) -> Response:
        """Take a form: 204, or S3's refusal."""
        try:
            await self._receive(request)
        except MalformedForm as error:
            return refusal(Refused("MalformedPOSTRequest", str(error)))
        except Refused as error:
            return refusal(error)
        return Response(status_code=204)

    async def _receive(self, request: Request) -> None:
        if "content-length" not in request.headers:
            raise Refused(
                "MissingContentLength", "You must provide the Content-Length HTTP header."
            )
        parser = FormParser(boundary_of(request.headers.get("content-type", "")))
        intake = _Intake(self._store, self._signer, self._clock, self._offload, self._faults)
        try:
            async with contextlib.aclosing(request.stream()) as stream:
                async for chunk in stream:
                    for event in parser.feed(chunk):
                        await intake.take(event)
            parser.finish()
            file_id = await intake.store()
        finally:
            await intake.discard()
        if file_id is not None:
            self._engine.wake()

    def output_url(self, base_url: str, record: Record, *, link_seconds: float) -> str:
        """Give a link to a complete file's output, good for so long."""
        path = f"{OUTPUT_PATH}/{record.file_id}{record.output_extension}"
        expires_at = int(self._clock.wall() + link_seconds)
        return f"{base_url}{path}?{self._signer.link_query(path, expires_at=expires_at)}"

    async def download(self, request: Request) -> Response:
        """Stream an output to whoever holds its link."""
        name = request.path_params["name"]
        now = self._clock.wall()
        try:
            if request.method != "GET":
                raise Refused("AccessDenied", "the link is for GET only")
            self._signer.check_link(f"{OUTPUT_PATH}/{name}", request.query_params, now)
            record = await self._store.any_file(name[:_FILE_ID_LENGTH], now)
            if record is None:
                raise Refused("NoSuchKey", "The specified key does not exist.")
            try:
                file, size = await self._store.open_output(record)
            except OSError:
                raise Refused("NoSuchKey", "The specified key does not exist.") from None
        except Refused as error:
            return refusal(error)
        # An output is written once, so a file's id and its size name the bytes.
        span = span_of(request.headers, size=size, etag=f'"{record.file_id}-{size}"')
        return _FileReply(file, span, self._offload)
