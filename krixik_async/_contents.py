"""What a file must contain to be worth sending: text, JSON, images, arrays.

Read piece by piece as it will be sent, and never interpreted further than the header that tells
what it is. The rules are the official client's (1.1.19, read 2026-11), which loads the whole file
with a library for each kind; where it counts wrongly (only a JSON file's last entry) ours does not.
Audio, faiss and db files are known by their size alone, there and here.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import NoReturn, Protocol

from krixik_async._catalogue import input_format
from krixik_async._errors import InvalidArgument

MIN_WORDS = 6
MAX_LINES = 100_000
# The shorter side of an image must be this part of the longer one; a twentieth.
MIN_SIDE_RATIO = 0.05

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
# ITU T.81, table B.1: the frame headers, SOF0 to SOF15 without DHT, JPG and DAC between them.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# ... and the markers that stand alone: TEM, RST0 to RST7, SOI, EOI.
_BARE = frozenset({0x01, *range(0xD0, 0xDA)})
_START_OF_SCAN = 0xDA
_NPY = b"\x93NUMPY"
# A type of fixed size: order, kind, bytes an item ("U": characters of four bytes each).
_DTYPE = re.compile(r"[<>|=]([biufcSUVmM])(\d{1,9})(\[\w+\])?")
_LONGEST_NPY_HEADER = 10_000  # as numpy reads (2.4): evaluating a longer one is not safe


class ContentCheck(Protocol):
    """Check a file piece by piece."""

    def feed(self, piece: bytes) -> None:
        """Take the next bytes. Raises InvalidArgument."""

    def finish(self) -> None:
        """Raise InvalidArgument if the file as a whole breaks a rule."""


def content_check(chain: Sequence[str], what: str) -> ContentCheck | None:
    """Give what checks a file for the first module; None where only the size counts."""
    match input_format(chain):
        case "text":
            return TextCheck(what)
        case "json":
            return JsonCheck(what)
        case "image":
            return ImageCheck(what)
        case "npy":
            return ArrayCheck(what)
        case _:
            return None


class TextCheck:
    """Check a text piece by piece: UTF-8, at least 6 words, at most 100,000 lines.

    A line ends with a line feed, a carriage return or both, the last one with the text.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._rest = b""
        self._words = 0
        self._line_ends = 0
        self._last = ""

    def feed(self, piece: bytes) -> None:
        """Take the next bytes. Raises InvalidArgument at the first that are not UTF-8."""
        whole = self._rest + piece
        try:
            text, self._rest = whole.decode("utf-8"), b""
        except UnicodeDecodeError as error:
            # A character may be cut by the end of the piece; anything earlier is wrong.
            if error.start < len(whole) - 3:
                self._refuse_encoding()
            text, self._rest = whole[: error.start].decode("utf-8"), whole[error.start :]
        self._count(text)

    def finish(self) -> None:
        """Raise InvalidArgument if the text as a whole breaks a rule."""
        if self._rest:
            self._refuse_encoding()
        if self._words < MIN_WORDS:
            raise InvalidArgument(
                f"{self._what} has {self._words} word(s) but must have at least {MIN_WORDS}"
            )
        lines = self._line_ends + (self._last not in "\r\n")
        if lines > MAX_LINES:
            raise InvalidArgument(
                f"{self._what} has {lines} lines but at most {MAX_LINES} are allowed: "
                "split it into parts"
            )

    def _count(self, text: str) -> None:
        if not text:
            return
        self._words += len(text.split()) - _joins_words(self._last, text[0])
        self._line_ends += text.count("\n") + text.count("\r") - text.count("\r\n")
        self._line_ends -= self._last == "\r" and text[0] == "\n"
        self._last = text[-1]

    def _refuse_encoding(self) -> None:
        raise InvalidArgument(
            f"{self._what} is not UTF-8 text: save it with that encoding and send it again"
        )


def _joins_words(last: str, first: str) -> bool:
    """Tell whether a word goes on from one piece, which ends in `last`, to the next."""
    return last != "" and not last.isspace() and not first.isspace()


class JsonCheck:
    """Check a JSON input as a whole: a list of dicts, each with a text under the module's key.

    At most 1,000,000 entries; keys of at most 255 characters; each text, also under other keys,
    of 1 to 255 words separated by white space.
    """

    MAX_ENTRIES = 1_000_000
    MAX_WORDS = 255
    MAX_KEY = 255

    def __init__(self, what: str) -> None:
        self._what = what
        self._pieces: list[bytes] = []

    def feed(self, piece: bytes) -> None:
        """Take the next bytes (3 MiB in all at most: the size was checked before)."""
        self._pieces.append(piece)

    def finish(self) -> None:
        """Raise InvalidArgument naming the first entry that breaks a rule."""
        try:
            entries = json.loads(b"".join(self._pieces).decode("utf-8"))
        except (ValueError, RecursionError):
            raise InvalidArgument(f"{self._what} is not JSON in UTF-8") from None
        if not isinstance(entries, list) or not 1 <= len(entries) <= self.MAX_ENTRIES:
            raise InvalidArgument(
                f"{self._what} must be a JSON list of 1 to {self.MAX_ENTRIES} objects, such as "
                '[{"snippet": "some text", "line_numbers": [1]}]'
            )
        for position, entry in enumerate(entries):
            if not isinstance(entry, dict) or not isinstance(entry.get("snippet"), str):
                raise InvalidArgument(
                    f"{self._what}: entry {position} must be an object with a text under 'snippet'"
                )
            for key, text in entry.items():
                self._check_text(position, key, text)

    def _check_text(self, position: int, key: str, text: object) -> None:
        if len(key) > self.MAX_KEY:
            raise InvalidArgument(
                f"{self._what}: entry {position} has a key of {len(key)} characters but at most "
                f"{self.MAX_KEY} are allowed"
            )
        if isinstance(text, str) and not 1 <= len(text.split()) <= self.MAX_WORDS:
            raise InvalidArgument(
                f"{self._what}: entry {position} has {len(text.split())} words under {key[:50]!r} "
                f"but must have 1 to {self.MAX_WORDS}: split it over several entries"
            )


class ImageCheck:
    """Check an image: a JPEG or PNG, by its first bytes, and no strip.

    What the file is called does not matter. The sides are read from the header (PNG: IHDR, JPEG:
    the first frame header); the rest is not decoded.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._pieces: list[bytes] = []

    def feed(self, piece: bytes) -> None:
        """Take the next bytes (5 MiB in all at most: the size was checked before)."""
        self._pieces.append(piece)

    def finish(self) -> None:
        """Raise InvalidArgument for what is no image, is cut off, or too long for its width."""
        image = b"".join(self._pieces)
        if image.startswith(_PNG):
            sides = _png_sides(image)
        elif image.startswith(_JPEG):
            sides = _jpeg_sides(image)
        else:
            raise InvalidArgument(
                f"{self._what} is neither a JPEG nor a PNG image by its first bytes: "
                "convert it to one of them"
            )
        if sides is None:
            raise InvalidArgument(
                f"{self._what} begins as an image but tells no size: it is cut off or damaged"
            )
        width, height = sides
        if not width or not height or min(sides) / max(sides) < MIN_SIDE_RATIO:
            raise InvalidArgument(
                f"{self._what} is {width} x {height} pixels, but the shorter side must be at "
                f"least {MIN_SIDE_RATIO:g} of the longer one: cut it into parts"
            )


def _png_sides(image: bytes) -> tuple[int, int] | None:
    """Read the IHDR chunk, which is always the first (PNG specification, third edition, 5.6)."""
    if len(image) < 24 or image[12:16] != b"IHDR":
        return None
    return int.from_bytes(image[16:20]), int.from_bytes(image[20:24])


def _jpeg_sides(image: bytes) -> tuple[int, int] | None:
    """Read the first frame header (ITU T.81, B.2.2): height before width."""
    for marker, start in _segments(image):
        if marker in _FRAMES and start + 7 <= len(image):
            height = int.from_bytes(image[start + 3 : start + 5])
            return int.from_bytes(image[start + 5 : start + 7]), height
    return None


def _segments(image: bytes) -> Iterator[tuple[int, int]]:
    """Give (marker, where its length stands) of each segment before the picture itself."""
    at = 2
    while at + 1 < len(image) and image[at] == 0xFF:
        marker = image[at + 1]
        at += 1 if marker == 0xFF else 2  # any marker may have fill bytes before it
        if marker == 0xFF or marker in _BARE:
            continue
        if marker == _START_OF_SCAN:
            return
        yield marker, at
        at += int.from_bytes(image[at : at + 2])


class ArrayCheck:
    """Check a .npy file: its header can be read, and as many bytes follow as it says.

    The format is numpy's (NEP 1, versions 1.0 to 3.0). Arrays of Python objects are pickles, which
    nobody should load, and are refused like records, which no module takes.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._head = b""
        self._size = 0

    def feed(self, piece: bytes) -> None:
        """Take the next bytes; only the first few thousand are kept."""
        self._size += len(piece)
        wanted = _LONGEST_NPY_HEADER + 12
        if len(self._head) < wanted:
            self._head = (self._head + piece)[:wanted]

    def finish(self) -> None:
        """Raise InvalidArgument saying what is wrong with the header, or how much is missing."""
        if not self._head.startswith(_NPY):
            self._refuse("does not begin as a .npy file: save it with numpy.save")
        wide = self._head[6:7] in (b"\x02", b"\x03")
        start = 12 if wide else 10
        length = int.from_bytes(self._head[8:start], "little")
        header = self._head[start : start + length]
        if self._head[6:7] not in (b"\x01", b"\x02", b"\x03") or len(header) < length:
            self._refuse("has a .npy header that is cut off or of an unknown version")
        shape, item_bytes = self._read(header)
        expected = math.prod(shape) * item_bytes
        found = self._size - start - length
        # numpy reads what it needs and leaves what follows.
        if found < expected:
            self._refuse(
                f"holds {found} bytes of data, but an array of shape {shape} has {expected}: "
                "it is cut off"
            )

    def _read(self, header: bytes) -> tuple[tuple[int, ...], int]:
        try:
            read = ast.literal_eval(header.decode("utf-8").strip())
            dtype, shape, order = read["descr"], read["shape"], read["fortran_order"]
        except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError):
            dtype = shape = order = None
        right = isinstance(shape, tuple) and all(type(side) is int and side >= 0 for side in shape)
        if not right or not isinstance(order, bool):
            self._refuse("has a .npy header that cannot be read")
        known = _DTYPE.fullmatch(dtype) if isinstance(dtype, str) else None
        if known is None:
            self._refuse(
                f"is an array of {str(dtype)[:50]!r}, which is no plain number or text: "
                "save it as float32"
            )
        return shape, int(known[2]) * (4 if known[1] == "U" else 1)

    def _refuse(self, why: str) -> NoReturn:
        raise InvalidArgument(f"{self._what} {why}")
