"""Telling whether an input is still the one that was sent.

Size and time of change are compared first: that costs nothing for a hundred thousand files. Where
they differ the content decides, by SHA-256: copying a folder to another machine changes every
time and no content, while an edit may well keep the size.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import attrs

from krixik_async._journal import Entry
from krixik_async._sending import GivenFile, LocalFile
from krixik_async._sources import open_regular


@attrs.frozen(kw_only=True)
class Print:
    """Hold what an input looks like; `sha256` reads it, so it is asked for only in need."""

    size: int
    mtime_ns: int | None
    sha256: Callable[[], str]


def print_of(file: LocalFile, start: int | None = None) -> Print | None:
    """Look at an input; None if it is not there (any more). Blocking.

    A file object is looked at from `start`, by default from where it stands.
    """
    if isinstance(file, bytes):
        return Print(size=len(file), mtime_ns=None, sha256=lambda: _digest(BytesIO(file)))
    if not isinstance(file, str | os.PathLike):
        return _print_of_stream(file, file.tell() if start is None else start)
    path = Path(file)
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return Print(size=found.st_size, mtime_ns=found.st_mtime_ns, sha256=lambda: _of_path(path))


def is_same(entry: Entry, file: LocalFile) -> bool:
    """Tell whether the input is what the journal says was sent. Blocking.

    One that is gone, or cannot be read, counts as the same: it was sent, and is not needed now.
    """
    try:
        look = print_of(file)
        if look is None or entry.sha256 is None:
            return True
        if look.mtime_ns is not None and (look.size, look.mtime_ns) == (entry.size, entry.mtime_ns):
            return True
        return look.size == entry.size and look.sha256() == entry.sha256
    except (OSError, ValueError):
        return True
    except (AttributeError, TypeError):
        return False  # no file at all


def position_of(file: LocalFile) -> int | None:
    """Give where a file object stands; None for what is none, which is found out later."""
    try:
        return None if isinstance(file, str | bytes | os.PathLike) else file.tell()
    except (AttributeError, OSError, ValueError):
        return None


def noted(entry: Entry, file: LocalFile, arguments: str, start: int | None) -> Entry:
    """Give the entry with what the input looks like now. Blocking.

    What cannot be read is not noted: the upload will say so.
    """
    try:
        look = print_of(file, start)
        digest = None if look is None else look.sha256()
    except OSError:
        look = digest = None
    return attrs.evolve(
        entry,
        size=None if look is None else look.size,
        mtime_ns=None if look is None else look.mtime_ns,
        sha256=digest,
        arguments=arguments,
    )


def arguments_of(given: GivenFile) -> str:
    """Give a digest of the arguments that go with a file, so that a change is noticed."""
    told = [
        given.file_name,
        given.symbolic_directory_path,
        given.symbolic_file_path,
        given.file_tags,
        given.file_description,
        given.modules,
        given.expire_time,
    ]
    try:
        text = json.dumps(told, sort_keys=True, default=_plain)
    except (TypeError, ValueError, RecursionError):
        text = repr(told)  # wrong altogether: never what something was sent with
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _plain(value: object) -> object:
    """Give what JSON knows of what may be any mapping or sequence, or wrong altogether."""
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, Sequence) else str(value)


def _of_path(path: Path) -> str:
    with open_regular(path) as file:
        return _digest(file)


def _print_of_stream(file: BinaryIO, start: int) -> Print:
    size = file.seek(0, 2) - start
    file.seek(start)

    def sha256() -> str:
        try:
            return _digest(file)
        finally:
            file.seek(start)

    return Print(size=size, mtime_ns=None, sha256=sha256)


def _digest(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while piece := file.read(1 << 20):
        digest.update(piece)
    return digest.hexdigest()
