"""A look into a journal that leaves no trace: at a copy, checked as one that is opened is.

SQLite cannot do that itself: to read what is in the -wal it makes files beside it.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory

from krixik_async._errors import JournalError
from krixik_async._journal._alive import is_dead
from krixik_async._journal._file import JournalFile, Written
from krixik_async._journal._leases import Leases
from krixik_async._journal._rows import Claims, beats, find
from krixik_async._journal._schema import Owner
from krixik_async._journal._steps import Entry

# A copy is of one moment if nothing was written meanwhile; a busy journal is written every second.
COPIES = 20


class JournalLook:
    """Be a copy of a journal, to be closed. Blocking. Raises as `JournalFile` does."""

    def __init__(self, path: Path, owner: Owner) -> None:
        self._folder = TemporaryDirectory(prefix="krixik_async-")
        try:
            copy = Path(self._folder.name) / "journal.db"
            _copy(path, copy)
            self._file = JournalFile(copy, owner, called=path)
        except BaseException:
            self._folder.cleanup()
            raise

    def find(self, key: str, now: float) -> tuple[Entry, bool] | None:
        """Give the entry and whether another worker may be at it; None if there is none."""

        def operation(connection: sqlite3.Connection) -> tuple[Entry, bool] | None:
            found = find(connection, key)
            if found is None:
                return None
            leases = Leases()
            leases.judge(beats(connection), now)
            claims = Claims(worker=0, has_ended=leases.has_ended, is_dead=is_dead)
            return found[0], claims.is_others(connection, found[1])

        one = Written(operation, durable=False)
        self._file.write([one])
        if one.error is not None:
            raise one.error
        found: tuple[Entry, bool] | None = one.result
        return found

    def close(self) -> None:
        """Throw the copy away."""
        self._file.close()
        self._folder.cleanup()


def _copy(path: Path, copy: Path) -> None:
    source = os.path.realpath(path)
    pairs = [(source, str(copy)), (f"{source}-wal", f"{copy}-wal")]
    try:
        for _ in range(COPIES):
            before = [_mark(name) for name, _ in pairs]
            for name, to in pairs:
                Path(to).unlink(missing_ok=True)
                if _mark(name) is not None:
                    shutil.copyfile(name, to)
            if before == [_mark(name) for name, _ in pairs]:
                return
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise JournalError(f"journal {str(path)!r} cannot be read: {why}") from error
    raise JournalError(
        f"journal {str(path)!r} is being written by another process all the time: look again later"
    )


def _mark(name: str) -> tuple[int, int, int] | None:
    try:
        found = Path(name).stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
