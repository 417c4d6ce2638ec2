"""What a file must contain: texts, JSON, images and arrays, each rule with both its sides."""

from __future__ import annotations

import io
import json
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krixik_async import _contents
from krixik_async._catalogue import MODULES
from krixik_async._contents import (
    MAX_LINES,
    MIN_WORDS,
    ArrayCheck,
    ImageCheck,
    JsonCheck,
    TextCheck,
    content_check,
)
from krixik_async._errors import InvalidArgument

WHITE_SPACE = "".join(chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace())


def error_of(function: Callable[..., object], *args: Any, **options: Any) -> Exception:
    with pytest.raises(InvalidArgument) as caught:
        function(*args, **options)
    return caught.value


def test_each_module_has_its_inputs_checked() -> None:
    """By the format of what it takes; audio, faiss and db have a size and nothing more."""
    kinds = {name: type(content_check([name], "x")).__name__ for name in MODULES}
    assert kinds == {
        "caption": "ImageCheck",
        "json-to-txt": "JsonCheck",
        "keyword-db": "TextCheck",
        "ocr": "ImageCheck",
        "parser": "TextCheck",
        "sentiment": "JsonCheck",
        "summarize": "TextCheck",
        "text-embedder": "JsonCheck",
        "transcribe": "NoneType",
        "translate": "JsonCheck",
        "vector-db": "ArrayCheck",
    }


# --- text and JSON ---------------------------------------------------------------------------


def verdict(pieces: list[bytes]) -> str:
    """Give what TextCheck says of a text that comes in these pieces."""
    check = TextCheck("x")
    try:
        for piece in pieces:
            check.feed(piece)
        check.finish()
    except InvalidArgument as error:
        return str(error)
    return "good"


def reference(whole: bytes, least: int = MIN_WORDS, most: int = MAX_LINES) -> str:
    """Give what is true of the whole text, read as Python reads a text file."""
    try:
        text = whole.decode("utf-8")
    except UnicodeDecodeError:
        return "x is not UTF-8 text: save it with that encoding and send it again"
    words = len(text.split())
    if words < least:
        return f"x has {words} word(s) but must have at least {least}"
    lines = len(list(io.StringIO(text, newline=None)))
    if lines > most:
        return f"x has {lines} lines but at most {most} are allowed: split it into parts"
    return "good"


def cut(whole: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({place % (len(whole) + 1) for place in places})
    return [whole[a:b] for a, b in zip([0, *edges], [*edges, len(whole)], strict=True)]


texts = st.text(st.sampled_from("ab\r\n é€😀\ufeff" + WHITE_SPACE), max_size=40)
places = st.lists(st.integers(min_value=0, max_value=200), max_size=12)


@pytest.fixture(scope="module", params=[(0, 0), (1, 2), (3, 5), (MIN_WORDS, MAX_LINES)])
def limits(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """Set the least words and the most lines, so that short texts meet both limits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_contents, "MIN_WORDS", request.param[0])
        patch.setattr(_contents, "MAX_LINES", request.param[1])
        yield request.param


@given(texts, places)
def test_a_text_in_pieces_is_judged_like_the_whole(
    limits: tuple[int, int], text: str, places: list[int]
) -> None:
    whole = text.encode()
    assert verdict(cut(whole, places)) == reference(whole, *limits)


@given(texts)
def test_a_text_byte_by_byte_is_judged_like_the_whole(limits: tuple[int, int], text: str) -> None:
    whole = text.encode()
    assert verdict([whole[i : i + 1] for i in range(len(whole))]) == reference(whole, *limits)


@given(texts, st.binary(max_size=6), texts, places)
def test_wrong_bytes_are_found_wherever_the_pieces_end(
    before: str, wrong: bytes, after: str, places: list[int]
) -> None:
    whole = before.encode() + wrong + after.encode()
    assert verdict(cut(whole, places)) == reference(whole)


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
@pytest.mark.parametrize("last", ["", "end"])
@pytest.mark.parametrize("size", [65_535, 65_536])
def test_a_hundred_thousand_lines_are_the_most(end: str, last: str, size: int) -> None:
    """The last line counts whether or not it is ended."""
    lines = MAX_LINES - bool(last)
    whole = (f"w{end}" * lines + last).encode()
    for text in (whole, f"w{end}".encode() + whole):
        pieces = [text[i : i + size] for i in range(0, len(text), size)]
        assert verdict(pieces) == reference(text)
    assert reference(whole) == "good"


@pytest.mark.parametrize(("text", "good"), [("a b c d e f", True), ("a b c d e", False)])
def test_six_words_are_the_least(text: str, good: bool) -> None:
    assert (verdict([text.encode()]) == "good") is good


def test_a_byte_order_mark_is_text() -> None:
    assert verdict(["\ufeffa b c d e f".encode()]) == "good"


def test_a_cut_character_at_the_very_end_is_wrong() -> None:
    assert verdict([b"a b c d e f \xe2\x82"]).startswith("x is not UTF-8")


def test_pieces_of_no_whole_character_count_as_nothing() -> None:
    """An empty one, and the three bytes of a sign that come one by one."""
    euro = [bytes([byte]) for byte in "€".encode()]
    assert verdict([b"", b"one two ", *euro, b" four five six seven eight nine ten", b""]) == "good"
    said = verdict([b"", *euro, b""])
    assert said.startswith("x has 1 word(s)")


def test_the_first_wrong_byte_ends_the_reading() -> None:
    check = TextCheck("x")
    with pytest.raises(InvalidArgument):
        check.feed(b"a b\xff c d e f g")


def of_json(body: bytes, size: int = 7) -> str:
    check = JsonCheck("x")
    try:
        for start in range(0, len(body), size):
            check.feed(body[start : start + size])
        check.finish()
    except InvalidArgument as error:
        return str(error)
    return "good"


@pytest.mark.parametrize(
    "entries",
    [
        [{"snippet": "a"}],
        [{"snippet": "é " * 255, "line_numbers": [1], "k" * 255: None}],
        [{"snippet": "a", "author": "w " * 255}, {"snippet": "b"}],
    ],
)
def test_a_list_of_objects_with_snippets_is_json_input(entries: Any) -> None:
    assert of_json(json.dumps(entries).encode()) == "good"
    assert of_json(json.dumps(entries, ensure_ascii=False).encode(), size=1) == "good"


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"snippet": "a"}, "must be a JSON list of 1 to 1000000 objects"),
        ([], "must be a JSON list"),
        ("a", "must be a JSON list"),
        (None, "must be a JSON list"),
        (["a"], "entry 0 must be an object with a text under 'snippet'"),
        ([{}], "entry 0 must be an object"),
        ([{"text": "a"}], "entry 0 must be an object"),
        ([{"snippet": 5}], "entry 0 must be an object"),
        ([{"snippet": "a"}, {"text": "a"}], "entry 1 must be an object"),
        ([{"snippet": "a"}, {"snippet": " \n"}], "entry 1 has 0 words under 'snippet'"),
        ([{"snippet": "w " * 256}, {"snippet": "a"}], "entry 0 has 256 words under 'snippet'"),
        ([{"snippet": "a", "b": "w " * 256}], "entry 0 has 256 words under 'b'"),
        ([{"snippet": "a", "b": ""}], "entry 0 has 0 words under 'b'"),
        ([{"snippet": "a", "k" * 256: 1}], "entry 0 has a key of 256 characters but at most 255"),
    ],
)
def test_other_json_is_refused_naming_the_entry(entries: Any, words: str) -> None:
    assert words in of_json(json.dumps(entries).encode())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[{",
        b'[{"snippet": "\xff"}]',
        b"[" * 200_000,
        json.dumps([{"snippet": "a"}]).encode("utf-16"),
        b"\xef\xbb\xbf" + json.dumps([{"snippet": "a"}]).encode(),
    ],
)
def test_what_is_not_json_in_utf_8_is_refused(body: bytes) -> None:
    assert of_json(body, size=100_000) == "x is not JSON in UTF-8"


def test_a_million_entries_are_the_most(monkeypatch: pytest.MonkeyPatch) -> None:
    assert JsonCheck.MAX_ENTRIES == 1_000_000
    monkeypatch.setattr(JsonCheck, "MAX_ENTRIES", 3)
    assert of_json(json.dumps([{"snippet": "a"}] * 3).encode()) == "good"
    assert "of 1 to 3 objects" in of_json(json.dumps([{"snippet": "a"}] * 4).encode())


# --- images ----------------------------------------------------------------------------------


def said_of(check: _contents.ContentCheck, content: bytes, piece: int = 7) -> str:
    """Give what a check says of a file that comes in pieces; "" for a good one."""
    try:
        for at in range(0, len(content), piece):
            check.feed(content[at : at + piece])
        check.finish()
    except InvalidArgument as error:
        return str(error)
    return ""


def png(width: int, height: int) -> bytes:
    header = struct.pack(">II5B", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header + bytes(40)


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def jpeg(width: int, height: int, *, frame: int = 0xC0, before: bytes = b"") -> bytes:
    """Give a JPEG's segments: JFIF, a table, what is to come before the frame, frame, scan."""
    return (
        b"\xff\xd8"
        + segment(0xE0, b"JFIF\0" + bytes(9))
        + segment(0xC4, b"\xff\xc0" * 9)
        + before
        + segment(frame, struct.pack(">BHHB", 8, height, width, 3) + bytes(9))
        + segment(0xDA, bytes(10))
        + bytes(100)
        + b"\xff\xd9"
    )


RATIO = "but the shorter side must be at least 0.05 of the longer one: cut it into parts"


@pytest.mark.parametrize("make", [png, jpeg])
@pytest.mark.parametrize(
    ("width", "height", "good"),
    [
        (640, 480, True),
        (1, 1, True),
        (20, 1, True),
        (1, 20, True),
        (21, 1, False),
        (1, 21, False),
        (0, 5, False),
        (5, 0, False),
    ],
)
def test_an_image_may_be_twenty_times_as_long_as_wide(
    make: Any, width: int, height: int, good: bool
) -> None:
    said = said_of(ImageCheck("x"), make(width, height))
    assert said == ("" if good else f"x is {width} x {height} pixels, {RATIO}")


@pytest.mark.parametrize("frame", [0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xCF])
def test_every_kind_of_jpeg_frame_tells_its_size(frame: int) -> None:
    assert said_of(ImageCheck("x"), jpeg(30, 1, frame=frame)) == f"x is 30 x 1 pixels, {RATIO}"


def test_fill_bytes_and_bare_markers_in_a_jpeg_are_passed_over() -> None:
    before = b"\xff\xff\xff" + segment(0xFE, b"comment")[1:] + b"\xff\x01" + b"\xff\xd0"
    assert said_of(ImageCheck("x"), jpeg(30, 1, before=before)) == f"x is 30 x 1 pixels, {RATIO}"


@pytest.mark.parametrize(
    "content",
    [
        png(10, 10)[:23],
        png(10, 10).replace(b"IHDR", b"IDAT"),
        b"\xff\xd8\xff",
        jpeg(10, 10)[:-140][:50],
        b"\xff\xd8" + segment(0xE0, bytes(9)) + b"no marker",
        b"\xff\xd8" + segment(0xE0, bytes(9)) + segment(0xDA, bytes(10)),
        b"\xff\xd8\xff\xe0\x00\x00",
        b"\xff\xd8" + segment(0xC0, b"\x08\x00"),
    ],
)
def test_an_image_that_tells_no_size_is_refused(content: bytes) -> None:
    assert said_of(ImageCheck("x"), content) == (
        "x begins as an image but tells no size: it is cut off or damaged"
    )


@pytest.mark.parametrize("content", [b"GIF89a" + bytes(50), b"BM", b"\xff\xd8", b"plain text"])
def test_other_images_are_refused(content: bytes) -> None:
    assert said_of(ImageCheck("x"), content) == (
        "x is neither a JPEG nor a PNG image by its first bytes: convert it to one of them"
    )


@given(st.binary(max_size=80), st.sampled_from([b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b""]))
def test_no_bytes_are_too_odd_to_be_judged(content: bytes, start: bytes) -> None:
    said_of(ImageCheck("x"), start + content)
    said_of(ArrayCheck("x"), b"\x93NUMPY" + start + content)


# --- arrays ----------------------------------------------------------------------------------


def npy(
    descr: object = "<f4",
    shape: object = (2, 3),
    *,
    version: int = 1,
    data: int | None = None,
    order: object = False,
) -> bytes:
    header = repr({"descr": descr, "fortran_order": order, "shape": shape}).encode() + b"   \n"
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return (
        b"\x93NUMPY" + bytes([version, 0]) + length + header + bytes(24 if data is None else data)
    )


@pytest.mark.parametrize(
    ("content", "good"),
    [
        (npy(), True),
        (npy(version=2), True),
        (npy(version=3), True),
        (npy(order=True), True),
        (npy(data=23), False),
        (npy(data=25), True),
        (npy("<f8", (3,)), True),
        (npy("<f8", (4,)), False),
        (npy("<U2", (3,)), True),
        (npy("<U3", (3,)), False),
        (npy("|b1", (24,)), True),
        (npy("<M8[ns]", (3,)), True),
        (npy("<i8", ()), True),
        (npy("<i8", (0, 5), data=0), True),
    ],
)
def test_an_array_has_as_many_bytes_as_it_says(content: bytes, good: bool) -> None:
    assert (said_of(ArrayCheck("x"), content) == "") == good


def test_what_is_missing_of_an_array_is_said() -> None:
    assert said_of(ArrayCheck("x"), npy(data=23)) == (
        "x holds 23 bytes of data, but an array of shape (2, 3) has 24: it is cut off"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04 a zip", "x does not begin as a .npy file: save it with numpy.save"),
        (b"\x93NUMPY", "x has a .npy header that is cut off or of an unknown version"),
        (npy()[:40], "x has a .npy header that is cut off or of an unknown version"),
        (
            npy().replace(b"NUMPY\x01", b"NUMPY\x04"),
            "x has a .npy header that is cut off or of an unknown version",
        ),
        (npy(version=2)[:11], "x has a .npy header that is cut off or of an unknown version"),
        (npy("|O"), "x is an array of '|O', which is no plain number or text: save it as float32"),
        (
            npy([("a", "<f4")]),
            (
                "x is an array of \"[('a', '<f4')]\", which is no plain number or text: "
                "save it as float32"
            ),
        ),
        (npy(shape=[2, 3]), "x has a .npy header that cannot be read"),
        (npy(shape=(-1, 3)), "x has a .npy header that cannot be read"),
        (npy(shape=(True,)), "x has a .npy header that cannot be read"),
        (npy(order=0), "x has a .npy header that cannot be read"),
        (npy().replace(b"descr", b"dtype"), "x has a .npy header that cannot be read"),
        (npy().replace(b"{", b"("), "x has a .npy header that cannot be read"),
        (npy().replace(b"False", b"open("), "x has a .npy header that cannot be read"),
        (npy().replace(b"{'descr': ", b"[1, 'des, '"), "x has a .npy header that cannot be read"),
    ],
)
def test_an_array_that_is_none_is_refused(content: bytes, said: str) -> None:
    assert said_of(ArrayCheck("x"), content) == said


def test_a_header_longer_than_any_is_not_evaluated() -> None:
    header = b"{" + b" " * 20_000 + b"}"
    content = b"\x93NUMPY\x02\x00" + struct.pack("<I", len(header)) + header
    assert "cut off or of an unknown version" in said_of(ArrayCheck("x"), content)


def test_of_a_large_array_only_the_head_is_kept() -> None:
    check = ArrayCheck("x")
    for piece in (npy("<f4", (250_000, 3), data=0), *[bytes(300_000)] * 10):
        check.feed(piece)
    check.finish()
    assert len(check._head) <= 10_012
