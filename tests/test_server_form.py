"""The streaming parser of multipart forms."""

from __future__ import annotations

import contextlib

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from krixik_async.server._form import (
    MOST_FIELD_BYTES,
    MOST_FIELDS,
    MOST_HEADER_BYTES,
    Event,
    Field,
    FileData,
    FileEnd,
    FileStart,
    FormParser,
    MalformedForm,
    boundary_of,
)
from tests.server_side import multipart

HEAD = b'--frontier\r\nContent-Disposition: form-data; name="a"'


def parse(body: bytes, *, piece: int = 10**9, boundary: bytes = b"frontier") -> list[Event]:
    """Feed a body in pieces and join what came of the file."""
    parser = FormParser(boundary)
    events: list[Event] = []
    for start in range(0, len(body), piece):
        for event in parser.feed(body[start : start + piece]):
            last = events[-1] if events else None
            if isinstance(event, FileData) and isinstance(last, FileData):
                events[-1] = FileData(last.data + event.data)
            else:
                events.append(event)
    parser.finish()
    return events


def test_fields_then_a_file_come_out_in_order() -> None:
    assert parse(multipart({"key": "uploads/1", "policy": "é"}, b"some bytes")) == [
        Field("key", "uploads/1"),
        Field("policy", "é"),
        FileStart("file", "/x/a b"),
        FileData(b"some bytes"),
        FileEnd(),
    ]


@given(
    fields=st.dictionaries(st.text("abc-", min_size=1), st.text(max_size=50), max_size=4),
    file=st.lists(st.sampled_from([b"\r\n", b"--", b"frontier", b"\r", b"x", b"\x00"])),
    piece=st.integers(1, 40),
)
def test_however_a_form_is_cut_the_same_comes_out(
    fields: dict[str, str], file: list[bytes], piece: int
) -> None:
    """Any piece size gives the fields and the file, also one full of almost-delimiters."""
    content = b"".join(file).replace(b"\r\n--frontier", b"")
    data = [FileData(content)] if content else []
    expected = [
        *(Field(name, value) for name, value in fields.items()),
        FileStart("file", "/x/a b"),
        *data,
        FileEnd(),
    ]
    assert parse(multipart(fields, content), piece=piece) == expected


def test_what_httpx_encodes_is_understood() -> None:
    """A second, independent encoder: its forms come out as they went in."""
    request = httpx.Request("POST", "http://x", data={"key": "k"}, files={"file": ("n.txt", b"T")})
    boundary = boundary_of(request.headers["content-type"])
    assert parse(request.read(), boundary=boundary) == [
        Field("key", "k"),
        FileStart("file", "n.txt"),
        FileData(b"T"),
        FileEnd(),
    ]


def test_a_preamble_and_an_epilogue_are_ignored() -> None:
    body = b"hello\r\n" + multipart({"a": "1"}, None) + b"bye\r\n--frontier\r\n"
    assert parse(body) == [Field("a", "1")]
    assert parse(body, piece=1) == [Field("a", "1")]


def test_memory_stays_bounded_whatever_comes() -> None:
    """Of a long file no more than a delimiter's length is held back."""
    parser = FormParser(b"frontier")
    parser.feed(HEAD + b'; filename="f"\r\n\r\n')
    given_out = sum(
        len(event.data)
        for _ in range(100)
        for event in parser.feed(b"\r\n--frontie" * 1000)
        if isinstance(event, FileData)
    )
    assert 100 * 11_000 - given_out <= len(b"\r\n--frontier")


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('Multipart/Form-Data; boundary="a b;c"', b"a b;c"),
        ("multipart/form-data; charset=utf-8; boundary=abc; x=y", b"abc"),
    ],
)
def test_the_boundary_is_read_from_the_content_type(content_type: str, boundary: bytes) -> None:
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "x" * 71,
        "multipart/mixed; boundary=abc",
        "multipart/form-data; boundary=ä",
    ],
)
def test_a_content_type_without_a_good_boundary_is_refused(content_type: str) -> None:
    with pytest.raises(MalformedForm):
        boundary_of(content_type)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "closing delimiter"),
        (multipart({"a": "1"}, b"x")[:-6], "closing delimiter"),
        (b"--frontierX\r\n", "neither a line end"),
        (b"--frontier\r\n\r\n\r\n", "no Content-Disposition"),
        (b"--frontier\r\nX: y\r\n\r\n", "no Content-Disposition"),
        (HEAD + HEAD[10:] + b"\r\n\r\n", "or two"),
        (b"--frontier\r\nContent-Disposition: form-data; x=y\r\n\r\n", "no name"),
        (b'--frontier\r\nContent-Disposition: form-data; name=""\r\n\r\n', "no name"),
        (HEAD + b"\xff\r\n\r\n", "headers are not UTF-8"),
        (HEAD + b"\r\n\r\n\xff\r\n--frontier--", "value is not UTF-8"),
        (HEAD + b"\r\nX: " + b"y" * MOST_HEADER_BYTES, "bytes of headers"),
        (HEAD + b"\r\nX: " + b"y" * MOST_HEADER_BYTES + b"\r\n\r\n", "bytes of headers"),
        (HEAD + b"\r\n\r\n" + b"y" * (MOST_FIELD_BYTES + 20), "fields have more"),
        (multipart([("a", "")] * (MOST_FIELDS + 1), None), "parts"),
    ],
)
def test_what_is_no_form_is_refused_with_the_reason(body: bytes, words: str) -> None:
    with pytest.raises(MalformedForm, match=words):
        parse(body)


@given(st.binary(max_size=300), st.integers(1, 50))
def test_random_bytes_give_events_or_malformed_form(body: bytes, piece: int) -> None:
    """Nothing but MalformedForm ever comes out of garbage."""
    with contextlib.suppress(MalformedForm):
        parse(b"--frontier\r\n" + body, piece=piece)
