"""The text inside a pdf, docx or pptx, taken out away from the event loop.

Borders are kept: what stands inside a paragraph is joined as it is, a paragraph ends with a line
feed, and a blank line stands between pages and between slides. Nothing else is changed.

A file is not trusted. How much of it is unpacked and how much text it may give are bounded, so
that a small file which unpacks to a huge one is refused and not followed. How long that takes is
not bounded: reading a thread cannot be stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import aclosing
from pathlib import PurePath

from krixik_async._conversion._limits import Unconvertible
from krixik_async._errors import InvalidArgument, MissingExtra
from krixik_async._offload import Offload
from krixik_async._sources import UploadSource

# The official client (1.1.19, read 2026-11) allows 100.000001 MiB and asks for ten words.
MAX_BYTES = 100 * 2**20 + 1
MIN_WORDS = 10

_HEADS = {".pdf": b"%PDF-", ".docx": b"PK", ".pptx": b"PK"}
# A pdf may have other bytes in front of its header (PDF 1.7, annex H.3.4.1).
_HEAD_WITHIN = {".pdf": 1024, ".docx": 2, ".pptx": 2}
_OLE_HEAD = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def converted_name(local_name: str) -> str:
    """Give the file name the text is uploaded under, the official client's."""
    return f"krixik_converted_version_{PurePath(local_name).stem}.txt"


async def to_text(source: UploadSource, extension: str, *, what: str, offload: Offload) -> bytes:
    """Read the source and give its text in UTF-8; it has ten words at least.

    `extension` is .pdf, .docx or .pptx in lower case; `what` is how messages call the file. The
    work runs through `offload`, and a worker process will do. Whether the text fits a pipeline is
    still to be checked.

    Raises:
        InvalidArgument: the file is too large, encrypted, damaged, not what its extension says,
            or has no text or fewer than ten words in it.
        MissingExtra: what reads it is not installed.
        OSError, ValueError, FileChanged: what the source raises.
    """
    _check_size(await source.size(offload), what)
    pieces, total = [], 0
    async with aclosing(source.chunks(offload)) as chunks:
        async for piece in chunks:
            total += len(piece)
            _check_size(total, what)
            pieces.append(piece)
    return await offload(convert, pieces, extension, what)


def convert(pieces: Sequence[bytes], extension: str, what: str) -> bytes:
    """Do the work of `to_text` on a file in memory."""
    content = b"".join(pieces)
    kind = extension[1:]
    try:
        _check_head(content, extension)
        text = "\n".join(_reader(extension)(content))
    except Unconvertible as error:
        raise InvalidArgument(f"{what} {error}") from None
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        raise MissingExtra(
            f'{what}: reading this {kind} needs {package}: pip install "krixik-async[convert]"'
        ) from error
    except MemoryError:
        raise  # says nothing about the file
    except Exception as error:
        raise InvalidArgument(
            f"{what} cannot be read as {kind} ({type(error).__name__}): it is damaged or something "
            f"else; open it in a program that reads it and save it again as {extension} or as .txt"
        ) from error
    _check_words(len(text.split()), what)
    return text.encode("utf-8", "replace")  # a pdf may name halves of characters


def _reader(extension: str) -> Callable[[bytes], list[str]]:
    """Give what turns a file into blocks of text, one for each page or slide with any."""
    match extension:
        case ".pdf":
            from krixik_async._conversion._pdf import blocks
        case ".docx":
            from krixik_async._conversion._docx import blocks
        case _:
            from krixik_async._conversion._pptx import blocks
    return blocks


def _check_size(size: int, what: str) -> None:
    if size > MAX_BYTES:
        raise InvalidArgument(
            f"{what} has more than the {MAX_BYTES} bytes that are allowed: split it into parts, "
            "or save it as .txt"
        )


def _check_head(content: bytes, extension: str) -> None:
    kind = extension[1:]
    if extension != ".pdf" and content.startswith(_OLE_HEAD):
        raise Unconvertible(
            f"is not a {kind} but an old Office file or one encrypted with a password: save it "
            f"as {extension} without a password, or as .txt"
        )
    if _HEADS[extension] not in content[: _HEAD_WITHIN[extension]]:
        found = "is empty" if not content else f"is no {kind}, whatever its name says"
        raise Unconvertible(f"{found}: save it as {extension} or as .txt and send that")


def _check_words(words: int, what: str) -> None:
    if not words:
        raise InvalidArgument(
            f"{what} has no text in it, as with scanned pages: save the pages as images and read "
            "them with a pipeline that starts with the module ocr, or save the text as .txt"
        )
    if words < MIN_WORDS:
        raise InvalidArgument(f"{what} has {words} word(s) but must have at least {MIN_WORDS}")
