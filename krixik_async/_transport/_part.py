"""The file that a download grows in, from one try, call or process to the next.

`<name>.part` lies beside the place where the output will be, and `<name>.part.validator` beside
that: the word (an ETag, or a date) by which the host tells whether it still holds the same bytes.
Both go when the output is whole. Only who holds the lock on the part writes to it; the operating
system takes the lock back when a process ends, however it ends. Where there is no lock to be had
(another download of the same output has it; no `fcntl` on this system), and where the host gives
no validator, a file of a private name is written that nobody goes on with.

All functions block; they are called off the event loop.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Self

import attrs

# No ETag is longer (S3's has 32 to 40 characters, 2026-11); what is longer is no validator.
_LONGEST_VALIDATOR = 256


@attrs.frozen
class Held:
    """Hold what an earlier try has left: so many bytes of what the host calls `validator`."""

    size: int
    validator: str


def part_of(destination: Path) -> Path:
    """Give the place where an output grows."""
    return destination.with_name(f"{destination.name}.part")


def _mark_of(part: Path) -> Path:
    return part.with_name(f"{part.name}.validator")


def look(destination: Path) -> Held | None:
    """Give what can be gone on with, or None: nothing there, in use, or not to be trusted."""
    part = part_of(destination)
    try:
        with part.open("r+b") as file:
            return _held(file, part) if _lock(file, part) else None
    except OSError:
        return None


def _held(file: BinaryIO, part: Path) -> Held | None:
    size = os.fstat(file.fileno()).st_size
    try:
        with _mark_of(part).open("rb") as mark:
            validator = mark.read(_LONGEST_VALIDATOR + 1).decode("ascii")
    except (OSError, ValueError):
        return None
    return Held(size, validator) if size and is_validator(validator) else None


def is_validator(word: str) -> bool:
    """Tell whether a host's word can be kept in a file and sent back in a header."""
    return 0 < len(word) <= _LONGEST_VALIDATOR and word.isascii() and word.isprintable()


def _lock(file: BinaryIO, path: Path) -> bool:
    """Take the lock, and see that the path still names this file."""
    try:
        import fcntl
    except ImportError:
        return False
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


class Part:
    """Be an open file that grows into an output."""

    def __init__(self, file: BinaryIO, path: Path, destination: Path, *, lasting: bool) -> None:
        self._file = file
        self._path = path
        self._destination = destination
        self._lasting = lasting
        self.placed = False

    @classmethod
    def begin(cls, destination: Path, private: Path, validator: str | None) -> Self:
        """Open an empty one, which can be gone on with later if there is a validator."""
        if validator is not None:
            path = part_of(destination)
            file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
            # What holds bytes and no mark is not of our making, and not ours to write over.
            if _lock(file, path) and (_held(file, path) or not os.fstat(file.fileno()).st_size):
                file.truncate(0)
                _mark_of(path).write_text(validator, encoding="ascii")
                return cls(file, path, destination, lasting=True)
            file.close()
        # "x": never over a file that is there, whatever its name.
        return cls(private.open("xb"), private, destination, lasting=False)

    @classmethod
    def go_on(cls, destination: Path, held: Held) -> Self | None:
        """Open the one that `look` has found, at its end; None if it is another by now."""
        path = part_of(destination)
        try:
            file = path.open("r+b")
        except FileNotFoundError:
            return None
        if not _lock(file, path) or _held(file, path) != held:
            file.close()
            return None
        file.seek(held.size)
        return cls(file, path, destination, lasting=True)

    def write(self, content: bytes) -> int:
        """Add to its end."""
        return self._file.write(content)

    def settle(self) -> int:
        """See that all of it is on the disk, and give its size."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return os.fstat(self._file.fileno()).st_size

    def place(self) -> None:
        """Give it its final name."""
        if not self._lasting:
            self._file.close()  # some systems do not rename what is open
        self._path.replace(self._destination)
        self.placed = True

    def put_away(self, keep: bool) -> bool:
        """Close it; what is not kept, or cannot be gone on with, goes. Tells whether it stays."""
        stays = False
        # Writing out what is buffered fails on a full disk, like the write before.
        with suppress(OSError):
            if keep and self._lasting:
                self._file.flush()
                stays = os.fstat(self._file.fileno()).st_size > 0
        # In this order: a part without a mark would never be touched again.
        if not self.placed and not stays:
            self._path.unlink(missing_ok=True)
        if self._lasting and not stays:
            _mark_of(self._path).unlink(missing_ok=True)
        with suppress(OSError):
            self._file.close()
        return stays
