"""Parts of an output: what a request's Range and If-Range get, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from krixik_async.server._ranges import Span, span_of
from tests.server_side import serving, settle

TAG = '"a-10"'
KNOWN = {"accept-ranges": "bytes", "etag": TAG}


@pytest.mark.parametrize(
    ("asked", "start", "length"),
    [
        ("bytes=0-", 0, 10),
        ("bytes=3-", 3, 7),
        ("bytes=9-", 9, 1),
        ("bytes=3-5", 3, 3),
        ("bytes=3-99", 3, 7),
        ("bytes=-4", 6, 4),
        ("bytes=-99", 0, 10),
    ],
)
def test_a_range_is_answered_with_its_bytes(asked: str, start: int, length: int) -> None:
    for condition in ({}, {"if-range": TAG}):
        span = span_of({"range": asked, **condition}, size=10, etag=TAG)
        said = f"bytes {start}-{start + length - 1}/10"
        assert span == Span(206, start, length, {**KNOWN, "content-range": said})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"range": "bytes="},
        {"range": "bytes=-"},
        {"range": "bytes=5-3"},
        {"range": "bytes=1-2,4-5"},
        {"range": "lines=1-2"},
        {"range": "bytes=3-", "if-range": '"other"'},
        {"range": "bytes=3-", "if-range": f"W/{TAG}"},
        {"range": "bytes=99-", "if-range": '"other"'},
    ],
)
def test_anything_else_gets_the_whole(headers: dict[str, str]) -> None:
    assert span_of(headers, size=10, etag=TAG) == Span(200, 0, 10, KNOWN)


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=99-100", "bytes=-0"])
def test_a_range_without_a_byte_is_refused(asked: str) -> None:
    span = span_of({"range": asked}, size=10, etag=TAG)
    assert span == Span(416, 0, 0, {**KNOWN, "content-range": "bytes */10"})


@pytest.mark.anyio
async def test_an_output_is_sent_in_parts(tmp_path: Path) -> None:
    """Over the wire: the rest of an output by its link, until the output is another one."""
    async with serving(tmp_path) as api:
        ticket = await api.process()
        await settle()
        url = (await api.fetch_output(ticket["file_id"])).json()["process_output"][0]["url"]
        whole = await api.http.get(url)
        tag, size = whole.headers["etag"], len(whole.content)
        assert whole.headers["accept-ranges"] == "bytes"
        rest = await api.http.get(url, headers={"Range": "bytes=7-", "If-Range": tag})
        assert (rest.status_code, rest.content) == (206, whole.content[7:])
        assert rest.headers["content-range"] == f"bytes 7-{size - 1}/{size}"
        assert rest.headers["content-length"] == str(size - 7)
        few = await api.http.get(url, headers={"Range": "bytes=1-3"})
        assert (few.status_code, few.content) == (206, whole.content[1:4])
        none = await api.http.get(url, headers={"Range": f"bytes={size}-"})
        assert (none.status_code, none.content) == (416, b"")
        other = await api.http.get(url, headers={"Range": "bytes=7-", "If-Range": '"x"'})
        assert (other.status_code, other.content) == (200, whole.content)
