"""What docx and pptx have in common: a zip of XML parts, and paragraphs in them.

The paragraphs are read from the XML itself, in document order. What python-docx and python-pptx
call a paragraph's text leaves out what stands in content controls, tracked insertions, simple
fields and text boxes, and asking a table for its cells makes as many as the file claims.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from io import BytesIO
from itertools import islice
from typing import Protocol

import attrs

from krixik_async._conversion._limits import Unconvertible

# Measured 2026-11 with lxml 6.1: a tree takes up to 225 bytes for each element and attribute, so
# these hold it below 1 GB. 2 MiB of text, each word a plain run of its own, have 1.8 million.
MAX_XML = 64 * 2**20
MAX_MARKUP = 4_000_000
MAX_PARTS = 10_000

_PIECE = 256 * 1024
_CENTRAL_HEADER = b"PK\x01\x02"
_ALTERNATIVES = "{http://schemas.openxmlformats.org/markup-compatibility/2006}AlternateContent"


class Element(Protocol):
    """One element of a parsed part."""

    @property
    def tag(self) -> str:
        """Its name with its namespace; for comments and the like another object."""

    @property
    def text(self) -> str | None:
        """What stands in it before its first child."""

    def __iter__(self) -> Iterator[Element]:
        """Its children."""


@attrs.frozen
class Vocabulary:
    """Hold which elements are a paragraph, hold text, stand for a character, are passed over."""

    paragraph: str
    text: frozenset[str]
    characters: Mapping[str, str]
    passed_over: frozenset[str]


def repack(content: bytes) -> BytesIO:
    """Give the package again with its XML only, within limits; other parts are emptied.

    A zip entry may unpack to more than it claims, and both libraries unpack each in one go: so
    each is unpacked here, in pieces, and stored as it is.
    """
    if content.count(_CENTRAL_HEADER) > MAX_PARTS:
        raise _over("has", MAX_PARTS, "parts")
    package, left, markup_left = BytesIO(), MAX_XML, MAX_MARKUP
    with zipfile.ZipFile(BytesIO(content)) as packed, zipfile.ZipFile(package, "w") as plain:
        for name in dict.fromkeys(packed.namelist()):
            with plain.open(name, "w") as target:
                if not name.lower().endswith((".xml", ".rels")):
                    continue
                for piece in _unpacked(packed, name):
                    left -= len(piece)
                    markup_left -= piece.count(b"<") + piece.count(b"=")
                    if left < 0:
                        raise _over("unpacks to", MAX_XML, "bytes of XML")
                    if markup_left < 0:
                        raise _over("has", MAX_MARKUP, "elements and attributes")
                    target.write(piece)
    package.seek(0)
    return package


def _unpacked(packed: zipfile.ZipFile, name: str) -> Iterator[bytes]:
    entry = packed.getinfo(name)
    if entry.flag_bits & 1:
        raise Unconvertible("is encrypted with a password: save a copy without one and send that")
    # Others may ask for gigabytes before the first byte; Office files use these two only.
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise zipfile.BadZipFile("a compression that Office files do not use")
    with packed.open(entry) as source:
        while piece := source.read(_PIECE):
            yield piece


def _over(verb: str, limit: int, unit: str) -> Unconvertible:
    return Unconvertible(
        f"{verb} more than {limit} {unit}, and no more are read: split it into parts, or save it "
        "as .txt"
    )


def paragraphs(root: Element, words: Vocabulary) -> Iterator[str]:
    """Give each paragraph with a line feed at its end; those of a text box after their anchor's."""
    way = [(root, iter(root))]  # no recursion: a file may be nested deeper than Python's stack
    open_pieces: list[list[str]] = [[]]  # the first takes what stands in no paragraph: nothing
    boxes: list[str] = []
    while way:
        element, children = way[-1]
        child = next(children, None)
        if child is not None:
            tag = child.tag
            if tag in words.text:
                open_pieces[-1].append(child.text or "")
            elif tag in words.characters:
                open_pieces[-1].append(words.characters[tag])
            elif tag == _ALTERNATIVES:
                way.append((child, islice(child, 1)))
            elif tag not in words.passed_over:
                if tag == words.paragraph:
                    open_pieces.append([])
                way.append((child, iter(child)))
            continue
        way.pop()
        if element.tag != words.paragraph:
            continue
        text = "".join(open_pieces.pop()) + "\n"
        if len(open_pieces) > 1:
            boxes.append(text)
        else:
            yield text
            yield from boxes
            boxes.clear()
