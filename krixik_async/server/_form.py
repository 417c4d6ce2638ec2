"""A streaming parser of multipart/form-data (RFC 7578): bytes in, events out, no I/O.

The states are preamble, headers, content, end; whatever comes in is either given out as an event
at once or held back because it may be the beginning of a delimiter, so that at most one delimiter,
one part's headers or one field's value is in memory, each bounded.

How a stream reads: events of `Field` for form fields; for a file `FileStart`, any number of
`FileData`, `FileEnd`. After the closing delimiter everything is ignored, as RFC 2046 says.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

import attrs

# S3 takes 20 KB of fields in all (its developer guide, POST object); the boundary's length is
# RFC 2046's; the rest is ours.
MOST_FIELD_BYTES = 20 * 1024
MOST_FIELDS = 100
MOST_HEADER_BYTES = 8 * 1024
_BOUNDARY = re.compile(
    r"""multipart/form-data\s*;(?:.*;)?\s*boundary=(?:"([^"]{1,70})"|([^\s";,]{1,70}))\s*(?:;.*)?""",
    re.IGNORECASE,
)
_PARAMETER = re.compile(r';\s*(name|filename)="((?:[^"\\\r\n]|\\.)*)"', re.IGNORECASE)
_DISPOSITION = re.compile(r"content-disposition:\s*form-data\s*(;.*)", re.IGNORECASE)


class MalformedForm(ValueError):
    """Say what is wrong with a form."""


@attrs.frozen
class Field:
    """Give one form field, whole."""

    name: str
    value: str


@attrs.frozen
class FileStart:
    """Announce a file; its bytes follow as `FileData`."""

    name: str
    filename: str


@attrs.frozen
class FileData:
    """Give the next bytes of the file, never empty."""

    data: bytes = attrs.field(repr=False)


@attrs.frozen
class FileEnd:
    """Say that the file was whole."""


Event: TypeAlias = Field | FileStart | FileData | FileEnd


def boundary_of(content_type: str) -> bytes:
    """Give the boundary named in a Content-Type. Raises MalformedForm."""
    match = _BOUNDARY.fullmatch(content_type.strip())
    if match is None:
        raise MalformedForm("the Content-Type is not multipart/form-data with a boundary")
    boundary = match[1] or match[2]
    if not boundary.isascii():
        raise MalformedForm("the boundary is not ASCII")
    return boundary.encode("ascii")


class FormParser:
    """Turn the bytes of one form into events.

    `feed` raises MalformedForm at the first byte that cannot be right; `finish` raises it if the
    closing delimiter has not come.
    """

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"\r\n--" + boundary
        # The first delimiter may stand at the very beginning, without its line end.
        self._buffer = bytearray(b"\r\n")
        self._state: Literal["preamble", "delimited", "headers", "content", "end"] = "preamble"
        self._part: Field | FileStart | None = None
        self._value = bytearray()
        self._field_bytes = 0
        self._fields = 0

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes, give what is known by them."""
        events: list[Event] = []
        if self._state != "end":
            self._buffer += data
            while self._step(events):
                pass
        return events

    def finish(self) -> None:
        """Say that there are no more bytes."""
        if self._state != "end":
            raise MalformedForm("the form ends before its closing delimiter")

    def _step(self, events: list[Event]) -> bool:
        """Do what can be done with the buffer; tell whether there may be more to do."""
        if self._state in ("preamble", "content"):
            return self._read_content(events)
        if self._state == "delimited":
            return self._read_delimiter_tail()
        if self._state == "headers":
            return self._read_headers(events)
        self._buffer.clear()
        return False

    def _read_content(self, events: list[Event]) -> bool:
        end = self._buffer.find(self._delimiter)
        found = end >= 0
        if not found:
            # A delimiter may have begun; all before it is content.
            end = max(0, len(self._buffer) - len(self._delimiter) + 1)
        if self._state == "content":
            self._take(bytes(self._buffer[:end]), events)
        if not found:
            del self._buffer[:end]
            return False
        del self._buffer[: end + len(self._delimiter)]
        if self._state == "content":
            self._close_part(events)
        self._state = "delimited"
        return True

    def _take(self, content: bytes, events: list[Event]) -> None:
        if isinstance(self._part, FileStart):
            if content:
                events.append(FileData(content))
            return
        self._value += content
        self._count(len(content))

    def _close_part(self, events: list[Event]) -> None:
        if isinstance(self._part, Field):
            try:
                value = self._value.decode("utf-8")
            except UnicodeDecodeError:
                raise MalformedForm("a field's value is not UTF-8") from None
            events.append(Field(self._part.name, value))
            self._value.clear()
        else:
            events.append(FileEnd())
        self._part = None

    def _read_delimiter_tail(self) -> bool:
        if len(self._buffer) < 2:
            return False
        tail = bytes(self._buffer[:2])
        if tail == b"--":
            self._state = "end"
        elif tail == b"\r\n":
            # Kept: the headers end at an empty line, also where there are none.
            self._state = "headers"
        else:
            raise MalformedForm("a delimiter is followed by neither a line end nor '--'")
        return True

    def _read_headers(self, events: list[Event]) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if (len(self._buffer) if end < 0 else end) > MOST_HEADER_BYTES:
            raise MalformedForm(f"a part has more than {MOST_HEADER_BYTES} bytes of headers")
        if end < 0:
            return False
        headers = bytes(self._buffer[2:end])
        del self._buffer[: end + 4]
        self._part = _read_part(headers)
        if isinstance(self._part, FileStart):
            events.append(self._part)
        self._fields += 1
        if self._fields > MOST_FIELDS:
            raise MalformedForm(f"the form has more than {MOST_FIELDS} parts")
        self._count(len(self._part.name))
        self._state = "content"
        return True

    def _count(self, size: int) -> None:
        self._field_bytes += size
        if self._field_bytes > MOST_FIELD_BYTES:
            raise MalformedForm(f"the fields have more than {MOST_FIELD_BYTES} bytes")


def _read_part(headers: bytes) -> Field | FileStart:
    try:
        lines = headers.decode("utf-8").split("\r\n")
    except UnicodeDecodeError:
        raise MalformedForm("a part's headers are not UTF-8") from None
    matches = [match for line in lines if (match := _DISPOSITION.fullmatch(line)) is not None]
    if len(matches) != 1:
        raise MalformedForm("a part has no Content-Disposition of form-data, or two")
    given = {key.lower(): value for key, value in _PARAMETER.findall(matches[0][1])}
    name = given.get("name")
    if not name:
        raise MalformedForm("a part has no name")
    if "filename" in given:
        return FileStart(name, given["filename"])
    return Field(name, "")
