"""The journal's file: opened, checked, written in groups. Blocking; nothing else touches it.

WAL: several processes write one file, readers do not hold up the writer, and a commit is one
append. A killed process loses nothing that was committed, whatever `synchronous` says: the pages
are the operating system's by then. A power cut may take with it what was not synced; so a group
that holds a step which must not be lost is committed with synchronous=FULL (everything committed
before it is then on the disk, too), the others with NORMAL.

A group that fails is rolled back whole and the file is as it was.

After a kill the newest commits are in `-wal` beside the file. Whoever carries the file away without
it would send again what had been sent since. So it can be told: a mark is set before the `-wal` is
folded into the file, and repeated after; the repetition then is in the `-wal` only. A file in which
the two differ, without a `-wal` that holds anything beside it, is refused. Whoever closes the file
in order sees to it that they do not differ: the last one leaves no `-wal`.

It takes two transactions, with the folding between them: what tells the file from the file with its
`-wal` must be in the one and not in the other. So two moments stay. A process is killed between the
two, and a program that knows nothing of marks is the next to open the file, and folds it: that
leaves, to the byte, what a fold leaves whose `-wal` was lost. In doubt it is refused. And two
processes fold at once, one of them is killed after it has folded the other's repetition and before
it does its own over: until the next fold, of whomever, a `-wal` that is lost is not missed.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

import attrs

from krixik_async._errors import (
    JournalError,
    JournalMismatch,
    KrixikError,
)
from krixik_async._journal._schema import (
    Owner,
    check,
    create,
    damaged,
    is_blank,
    is_whole,
    repeat_mark,
    set_mark,
)

# How long a thread waits for another process's transaction, which takes milliseconds.
BUSY_S = 1.0
# SQLite's own default for a checkpoint: 1,000 pages of 4 kB.
FOLD_BYTES = 4_096_000
# The smallest page that an SQLite database has one of (its file format, 1.3.2).
SMALLEST_BYTES = 512

Operation: TypeAlias = Callable[[sqlite3.Connection], object]


class Busy(JournalError):
    """Report that another process held the file for longer than one wait; may be tried again."""


@attrs.define(eq=False)
class Written:
    """Hold one operation of a group, and what became of it."""

    operation: Operation
    durable: bool
    result: Any = None
    error: KrixikError | None = None
    done: bool = False


class JournalFile:
    """Own the connection; made by opening it, of no use after `close()`.

    Raises JournalError, JournalMismatch or JournalDamaged, and then has changed nothing; these name
    it as it is `called`, if it is a copy.
    """

    def __init__(
        self, path: Path, owner: Owner, *, busy_s: float = BUSY_S, called: Path | None = None
    ) -> None:
        self._where = f"journal {str(called or path)!r}"
        # What a link leads to, whatever the working folder is later; the -wal is beside it.
        self._path = Path(os.path.realpath(path))
        self._wal = Path(f"{self._path}-wal")
        self._level = "NORMAL"
        with self._explained():
            _make(self._path)
            self._refuse_a_stump()
            self._connection = sqlite3.connect(
                path, timeout=busy_s, isolation_level=None, check_same_thread=False
            )
        try:
            with self._explained():
                self._prepare(owner)
                self._identities = self._look()
        except BaseException:
            self._connection.close()
            raise

    def _refuse_a_stump(self) -> None:
        """Refuse what is too short for a database: SQLite takes up to a byte for a new one.

        And it deletes the -wal of a file of no bytes. One that is new has none, for the first page
        is written before it; the -wal is looked at first, as another process may be making both.
        """
        wal, size = _size(self._wal), _size(self._path)
        if 0 < size < SMALLEST_BYTES or (not size and wal):
            raise damaged(self._where, f"it was cut off, or never was a journal: {size} bytes")

    def _prepare(self, owner: Owner) -> None:
        connection = self._connection
        if not is_blank(connection):
            check(connection, owner, self._where)
            # Reading makes one of no bytes if there was none. One that another process makes
            # meanwhile is not empty, and not taken away as long as this connection is open.
            if not is_whole(connection) and not _size(self._wal):
                raise damaged(
                    self._where,
                    "its newest steps are in a file of the same name with -wal at its end, which "
                    "is not beside it (or, very rarely, another program has folded that in after "
                    "a kill)",
                )
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise JournalError(
                f"{self._where} cannot be written in SQLite's WAL mode here (its mode is {mode}): "
                "put it on a local disk that can be written"
            )
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        # Else it keeps its greatest size for good, and would be folded after each group from then.
        connection.execute("PRAGMA journal_size_limit = 0").fetchone()
        # Nothing was sent yet that a power cut could make us forget.
        connection.execute(f"PRAGMA synchronous = {self._level}")
        with self._transaction():
            # Another process may have been quicker.
            if is_blank(connection):
                create(connection, owner)
        check(connection, owner, self._where)
        self._fold()

    def _fold(self) -> None:
        """Fold the -wal into the file, as far as no other process reads from it.

        Done over where another process has folded meanwhile, for then its repetition of the mark
        may have been folded, too.
        """
        settled = False
        while not settled:
            with self._transaction():
                mark = set_mark(self._connection)
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            with self._transaction():
                settled = repeat_mark(self._connection, mark)

    def write(self, group: Sequence[Written]) -> None:
        """Carry the operations out in one transaction, in order.

        One that is refused (it raises a KrixikError before it has written anything) does not
        concern the others. Raises JournalError if the group cannot be written, and then none is.
        """
        level = "FULL" if any(one.durable for one in group) else "NORMAL"
        with self._explained():
            self._refuse_if_moved()
            if level != self._level:
                self._connection.execute(f"PRAGMA synchronous = {level}")
                self._level = level
            with self._transaction():
                for one in group:
                    one.error = None
                    try:
                        one.result = one.operation(self._connection)
                    except KrixikError as refusal:
                        one.error = refusal
        for one in group:
            one.done = True
        # The group is written, whatever becomes of this: one that fails is made up for later.
        with suppress(sqlite3.Error, OSError):
            if _size(self._wal) > FOLD_BYTES:
                self._fold()

    def _refuse_if_moved(self) -> None:
        """Refuse to write what nobody would find again: SQLite goes on in a file without a name.

        Without the name of the -wal the newest steps would be lost by a kill only; in order, they
        are folded into the file from where they are.
        """
        if self._look() != self._identities:
            raise JournalError(
                f"{self._where}, or its -wal, was moved, deleted or replaced while it was in use, "
                "so no further step is taken: put back what is missing (a -wal that was deleted is "
                "not needed: it is folded in now) and make the same call again"
            )

    def _look(self) -> list[tuple[int, int] | None]:
        return [_identity(path) for path in (self._path, self._wal)]

    def close(self) -> None:
        """Close it; the last process to do so folds the -wal into the file."""
        # A fold that failed, or whose process was killed, has left the mark without repetition.
        with suppress(sqlite3.Error):
            if not is_whole(self._connection):
                self._fold()
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            # A full disk ends the transaction by itself.
            if self._connection.in_transaction:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise explained(error, self._where) from error
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise JournalError(f"{self._where} cannot be opened: {why}") from error


def explained(error: sqlite3.Error, where: str) -> JournalError:
    """Say what an error of SQLite means to the caller."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Busy(
            f"{where} is locked by another program, or by a worker that was suspended as it wrote: "
            "close what has it open, or let it go on; nothing is lost, the same call goes on where "
            "it stopped"
        )
    if code == sqlite3.SQLITE_FULL:
        return JournalError(
            f"{where} cannot be written: the disk is full. It is as it was before; make room and "
            "make the same call again"
        )
    if code == sqlite3.SQLITE_READONLY:
        return JournalError(
            f"{where} cannot be written: it, or its folder, is read-only. A journal is written "
            "before each step, so nothing is sent without it"
        )
    if code == sqlite3.SQLITE_NOTADB:
        return JournalMismatch(f"{where} is not a journal, and no database: name another file")
    if code == sqlite3.SQLITE_CORRUPT:
        return damaged(where, str(error))
    return JournalError(f"{where} cannot be used: {error}")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _make(path: Path) -> None:
    """Make the file if it is missing, for its owner only: it names the files that were sent.

    One that is there is not opened: to close it again would end the locks that another connection
    of this process holds on it (POSIX).
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
