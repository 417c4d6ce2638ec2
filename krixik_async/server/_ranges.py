"""Which bytes of a file a request is for: the part of RFC 9110 that downloads are resumed with."""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@attrs.frozen
class Span:
    """Hold what is sent of a file: `status_code`, the first byte, how many, and the headers."""

    status_code: int
    start: int
    length: int
    headers: Mapping[str, str]


def span_of(headers: Mapping[str, str], *, size: int, etag: str) -> Span:
    """Give what a request asks for of `size` bytes known as `etag` (strong, in quotes).

    One range is answered with 206, or with 416 where no byte is in it. The whole is sent, as the
    RFC allows, where no range, several, or none that can be read is asked for, and as it demands
    where `If-Range` names other bytes.
    """
    known = {"accept-ranges": "bytes", "etag": etag}
    asked = _RANGE.fullmatch(headers.get("range", ""))
    bounds = None if asked is None else _bounds(asked[1], asked[2], size)
    if bounds is None or headers.get("if-range", etag) != etag:
        return Span(200, 0, size, known)
    start, end = bounds
    if start >= end:
        return Span(416, 0, 0, {**known, "content-range": f"bytes */{size}"})
    said = f"bytes {start}-{end - 1}/{size}"
    return Span(206, start, end - start, {**known, "content-range": said})


def _bounds(first: str, last: str, size: int) -> tuple[int, int] | None:
    """Give the first byte and the one after the last; None for what is no range."""
    if not first:
        return (max(0, size - int(last)), size) if last else None
    if last and int(last) < int(first):
        return None
    return int(first), min(size, int(last) + 1) if last else size
