"""The records in SQLite. Blocking: `_store` calls it one call at a time, off the event loop.

WAL with synchronous=FULL: when a call that writes returns, the row is on the disk. The file is
locked for as long as it is open (locking_mode=EXCLUSIVE), by the operating system, so that a kill
leaves no stale lock behind. Every reader is given `now` and does not see what has ended by then.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias

import attrs

from krixik_async._errors import InvalidArgument
from krixik_async.server._records import Record

Refusal: TypeAlias = Literal["path_taken", "other_chain"]

FILE_NAME = "krixik.sqlite3"
_VERSION = 1
_CREATE = """
CREATE TABLE files (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    file_id TEXT NOT NULL UNIQUE,
    process_id TEXT NOT NULL UNIQUE,
    account TEXT NOT NULL,
    pipeline TEXT NOT NULL,
    chain TEXT NOT NULL,
    modules TEXT NOT NULL,
    file_name TEXT NOT NULL,
    symbolic_directory_path TEXT NOT NULL,
    file_tags TEXT NOT NULL,
    file_description TEXT NOT NULL,
    expire_time INTEGER NOT NULL,
    ends_at REAL NOT NULL,
    state TEXT NOT NULL,
    modules_done INTEGER NOT NULL,
    modules_data TEXT NOT NULL,
    failure_module TEXT,
    failure TEXT,
    input_sha256 TEXT,
    uploaded_at REAL,
    created_at REAL NOT NULL,
    last_updated REAL NOT NULL
);
"""
# Made at every opening, so that a later version may add one.
_INDEXES = """
CREATE INDEX IF NOT EXISTS by_pipeline ON files (account, pipeline, state);
CREATE INDEX IF NOT EXISTS by_path
    ON files (account, pipeline, symbolic_directory_path, file_name);
CREATE INDEX IF NOT EXISTS by_end ON files (ends_at);
CREATE INDEX IF NOT EXISTS by_turn
    ON files (account, pipeline, uploaded_at) WHERE state = 'processing';
"""
# What waits to be processed, but for what is named by its file_id in a JSON list.
_WAITING = """
FROM files INDEXED BY by_turn WHERE state = 'processing' AND ends_at > ?
AND file_id NOT IN (SELECT value FROM json_each(?))"""
_FIELDS = tuple(field.name for field in attrs.fields(Record))
_COLUMNS = ", ".join(_FIELDS)
_AS_JSON = frozenset({"chain", "modules", "file_tags", "modules_data"})
_AS_TUPLE = frozenset({"chain", "file_tags"})


@attrs.define
class Turns:
    """Remember who was served last, so that the next one is served next.

    Accounts take turns, and so do the pipelines of an account; the files of a pipeline go in order
    of upload. So who sends a thousand files delays nobody else by more than one of them.
    """

    account: str = ""
    pipelines: dict[str, str] = attrs.field(factory=dict)

    def served(self, record: Record) -> None:
        """Note that a file was given a worker."""
        self.account = record.account
        self.pipelines[record.account] = record.pipeline


def _row(record: Record) -> dict[str, Any]:
    values = attrs.asdict(record, recurse=False)
    return {name: json.dumps(v) if name in _AS_JSON else v for name, v in values.items()}


def _record(row: sqlite3.Row) -> Record:
    values = dict(zip(_FIELDS, row, strict=True))
    for name in _AS_JSON:
        values[name] = json.loads(values[name])
    for name in _AS_TUPLE:
        values[name] = tuple(values[name])
    return Record(**values)


def open_database(folder: Path) -> Database:
    """Open a folder's database, making it if need be.

    Raises InvalidArgument if it is in use, is none, or is of another version.
    """
    where = f"data_dir {str(folder)!r}"
    try:
        return Database(folder)
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise InvalidArgument(
                f"{where} is in use by another krixik-async server: stop that one, or choose "
                "another folder"
            ) from None
        raise InvalidArgument(f"{where} cannot be used: {error}") from error
    except sqlite3.DatabaseError as error:
        raise InvalidArgument(
            f"{where} holds a {FILE_NAME} that is no database ({error}): choose another folder"
        ) from error


class Database:
    """Own the connection; made by opening it, of no use after `close()`."""

    def __init__(self, folder: Path) -> None:
        self._connection = sqlite3.connect(
            folder / FILE_NAME, timeout=0, isolation_level=None, check_same_thread=False
        )
        try:
            version = self._prepare()
        except BaseException:
            self._connection.close()
            raise
        if version != _VERSION:
            self._connection.close()
            raise InvalidArgument(
                f"data_dir {str(folder)!r} was written by another version of krixik-async (its "
                f"layout is {version}, this one reads {_VERSION}): choose another folder"
            )

    def _prepare(self) -> int:
        for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
            self._connection.execute(f"PRAGMA {pragma}")
        with self._transaction("EXCLUSIVE"):
            (version,) = self._connection.execute("PRAGMA user_version").fetchone()
            if version == 0:
                for statement in _CREATE.split(";"):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {_VERSION}")
            if version in (0, _VERSION):
                for statement in _INDEXES.split(";"):
                    self._connection.execute(statement)
        return int(version) or _VERSION

    def close(self) -> None:
        """Close it and give up the lock."""
        self._connection.close()

    @contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[None]:
        self._connection.execute(f"BEGIN {kind}")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def _select(self, where: str, values: Sequence[object]) -> list[Record]:
        cursor = self._connection.execute(f"SELECT {_COLUMNS} FROM files WHERE {where}", values)  # noqa: S608  # both are ours
        return [_record(row) for row in cursor]

    def _one(self, where: str, *values: object) -> Record | None:
        found = self._select(where, values)
        return found[0] if found else None

    def _write(self, record: Record) -> Record:
        assignments = ", ".join(f"{name} = :{name}" for name in _FIELDS)
        self._connection.execute(
            f"UPDATE files SET {assignments} WHERE file_id = :file_id",  # noqa: S608  # names of ours
            _row(record),
        )
        return record

    def add(self, record: Record, now: float) -> Refusal | None:
        """Write a new record, unless its path or its pipeline's name is taken.

        A failed file takes nothing: it shows in no list, so nobody could tell what is in the way.
        """
        where = "account = ? AND pipeline = ? AND state != 'failed' AND ends_at > ?"
        values = (record.account, record.pipeline, now)
        marks = ", ".join(f":{name}" for name in _FIELDS)
        with self._transaction():
            if self._one(f"{where} AND chain != ? LIMIT 1", *values, json.dumps(record.chain)):
                return "other_chain"
            if self.path_taken(record, now):
                return "path_taken"
            self._connection.execute(
                f"INSERT INTO files ({_COLUMNS}) VALUES ({marks})",  # noqa: S608  # names of ours
                _row(record),
            )
        return None

    def path_taken(self, record: Record, now: float) -> bool:
        """Tell whether a file on record has the path of `record`, which is to be written there."""
        where = (
            "account = ? AND pipeline = ? AND state != 'failed' AND ends_at > ? "
            "AND symbolic_directory_path = ? AND file_name = ?"
        )
        path = (record.symbolic_directory_path, record.file_name)
        return self._one(where, record.account, record.pipeline, now, *path) is not None

    def by_process(self, account: str, process_id: str, now: float) -> Record | None:
        """Give the record of a process."""
        return self._one("process_id = ? AND account = ? AND ends_at > ?", process_id, account, now)

    def by_file(self, file_id: str, now: float) -> Record | None:
        """Give the record of a file, of whatever account."""
        return self._one("file_id = ? AND ends_at > ?", file_id, now)

    def complete(
        self, account: str, pipeline: str, now: float, file_ids: Sequence[str] | None = None
    ) -> list[Record]:
        """Give a pipeline's complete files, newest first; of `file_ids` only, if given."""
        order = " ORDER BY created_at DESC, seq DESC"
        values = (account, pipeline, now)
        if file_ids is None:
            where = "account = ? AND pipeline = ? AND state = 'complete' AND ends_at > ?"
            return self._select(where + order, values)
        # One statement however many ids: with a mark for each, 130 lists of as many lengths left
        # 13 MB of prepared statements behind. The "+" has the ids looked up one by one, and not all
        # of the pipeline's files looked through: of 50,000 files 500 in 1 ms for 12.
        where = (
            "+account = ? AND +pipeline = ? AND +state = 'complete' AND ends_at > ? "
            "AND file_id IN (SELECT value FROM json_each(?))"
        )
        return self._select(where + order, (*values, json.dumps(list(file_ids))))

    def next_waiting(self, turns: Turns, skipped: Collection[str], now: float) -> Record | None:
        """Give the file whose turn it is, None if none waits; see `Turns`.

        Two or four steps in an index, however many files wait.
        """
        given = (now, json.dumps(list(skipped)))
        account = None
        for last in (turns.account, ""):
            account = account or self._value(
                f"SELECT account {_WAITING} AND account > ? ORDER BY account LIMIT 1", *given, last
            )
        row = None
        for last in (turns.pipelines.get(account or "", ""), ""):
            row = (
                row
                or self._connection.execute(
                    f"SELECT {_COLUMNS} {_WAITING} AND account = ? AND pipeline > ? "
                    "ORDER BY pipeline, uploaded_at, seq LIMIT 1",
                    (*given, account, last),
                ).fetchone()
            )
        return None if row is None else _record(row)

    def waiting(self, most: int) -> int:
        """Count the files that wait or are being processed, up to `most`."""
        return int(
            self._value(
                "SELECT COUNT(*) FROM (SELECT 1 FROM files INDEXED BY by_turn "
                "WHERE state = 'processing' LIMIT ?)",
                most,
            )
        )

    def _value(self, select: str, *values: object) -> Any:  # noqa: ANN401 - what is asked for
        row = self._connection.execute(select, values).fetchone()
        return None if row is None else row[0]

    def change(self, file_id: str, now: float, decide: Callable[[Record], Record]) -> Record | None:
        """Give the record as `decide` makes it, written; None if there is none (any more).

        What `decide` does is done before the commit: files that the row speaks of are in place
        when it says so. Raising in it changes nothing.
        """
        with self._transaction():
            record = self.by_file(file_id, now)
            if record is None:
                return None
            changed = decide(record)
            return record if changed is record else self._write(changed)

    def delete(self, file_id: str) -> None:
        """Remove a record."""
        self._connection.execute("DELETE FROM files WHERE file_id = ?", (file_id,))

    def expire(self, now: float) -> list[str]:
        """Remove what has ended and give its file_ids."""
        with self._transaction():
            cursor = self._connection.execute(
                "DELETE FROM files WHERE ends_at <= ? RETURNING file_id", (now,)
            )
            return [file_id for (file_id,) in cursor]

    def file_ids(self) -> set[str]:
        """Give the file_ids of all records."""
        return {file_id for (file_id,) in self._connection.execute("SELECT file_id FROM files")}
