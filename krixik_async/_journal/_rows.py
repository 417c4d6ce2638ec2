"""What is read and written of a journal, each as one operation within a transaction.

Claims: an entry belongs to the worker in its `owner` column as long as that worker is heard of.
Everything that a worker writes of an entry is written only if the entry is still its own, so a
worker that slept through its lease and lost an entry can do no harm when it wakes up.

Each entry carries a checksum: SQLite finds a damaged page out, but not a damaged text, and with a
wrong request_id a file would be called vanished.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeAlias

import attrs

from krixik_async._errors import JournalError, KrixikError
from krixik_async._journal._leases import Beat
from krixik_async._journal._schema import damaged
from krixik_async._journal._steps import ENDS, OPEN_ENDS, Entry, Step, may_follow

_FIELDS = tuple(field.name for field in attrs.fields(Entry))
_COLUMNS = ", ".join(_FIELDS)

Verdict: TypeAlias = Literal["mine", "theirs", "ended"]


class ClaimLost(KrixikError):
    """Report that another worker has taken this entry over; never leaves the package."""


class StepRefused(JournalError):
    """Report a step that the table does not allow: a bug of ours, before it does harm."""


@attrs.frozen(kw_only=True)
class Claims:
    """Judge who owns what.

    `has_ended` tells of a worker and its heartbeats so far whether its lease has ended, `is_dead`
    knows processes by their names.
    """

    worker: int
    has_ended: Callable[[int, int], bool]
    is_dead: Callable[[str], bool]

    def is_others(self, connection: sqlite3.Connection, owner: int | None) -> bool:
        """Tell whether an entry's owner is another worker that may still be at it."""
        if owner is None or owner == self.worker:
            return False
        row = connection.execute(
            "SELECT process, beats FROM workers WHERE id = ?", (owner,)
        ).fetchone()
        return row is not None and not self.has_ended(owner, row[1]) and not self.is_dead(row[0])


def register(connection: sqlite3.Connection, process: str, now: float) -> int:
    """Add a worker and give its id, which no other worker of this journal has ever had."""
    cursor = connection.execute(
        "INSERT INTO workers (process, beats, heard_at) VALUES (?, 0, ?)", (process, now)
    )
    return int(cursor.lastrowid or 0)


def beat(connection: sqlite3.Connection, worker: int, now: float) -> None:
    """Let a worker be heard of once more."""
    connection.execute(
        "UPDATE workers SET beats = beats + 1, heard_at = ? WHERE id = ?", (now, worker)
    )


def beats(connection: sqlite3.Connection) -> list[Beat]:
    """Give how often each worker has been heard of."""
    return [Beat(*row) for row in connection.execute("SELECT id, beats, heard_at FROM workers")]


def retire(connection: sqlite3.Connection, worker: int) -> None:
    """Forget a worker: what it has claimed is anyone's from now on."""
    connection.execute("DELETE FROM workers WHERE id = ?", (worker,))


def find(connection: sqlite3.Connection, key: str) -> tuple[Entry, int | None] | None:
    """Give the entry of a key and its owner, or None."""
    row = _row(connection, key)
    if row is None:
        return None
    *fields, checksum, owner = row
    if checksum != _checksum(fields):
        raise damaged(f"the journal's entry of {key!r}", "it is not what was written")
    values: dict[str, Any] = dict(zip(_FIELDS, fields, strict=True))
    values["saved"] = tuple(json.loads(values["saved"]))
    return Entry(**values), owner


def _row(connection: sqlite3.Connection, key: str) -> tuple[Any, ...] | None:
    try:
        row: tuple[Any, ...] | None = connection.execute(
            f"SELECT {_COLUMNS}, checksum, owner FROM files WHERE key = ?",  # noqa: S608 - ours
            (key,),
        ).fetchone()
    except sqlite3.OperationalError as error:
        if hasattr(error, "sqlite_errorcode"):
            raise
        # Of Python's own: a text that is not UTF-8.
        raise damaged(f"the journal's entry of {key!r}", str(error)) from error
    return row


def _checksum(fields: Iterable[object]) -> int:
    """Give what tells a damaged entry from the one that was written."""
    # SQLite gives whole numbers back as floats where the column says so.
    told = (str(float(one)) if isinstance(one, int | float) else str(one) for one in fields)
    return zlib.crc32("\0".join(told).encode())


def enter(
    connection: sqlite3.Connection, key: str, claims: Claims, final: frozenset[Step] = ENDS
) -> tuple[Verdict, Entry]:
    """Claim the entry of a key, made if missing; say if it has ended, or is another worker's.

    `final` are the steps that are an end for this caller. An error of a worker that is still at
    work is an end for all of its companions; of one that is no more, it is to be tried again.
    """
    found = find(connection, key)
    if found is None:
        entry = Entry(key=key)
        _insert(connection, entry, claims.worker)
        return "mine", entry
    entry, owner = found
    if entry.step in final:
        return "ended", entry
    if claims.is_others(connection, owner):
        return ("ended" if entry.step in OPEN_ENDS else "theirs"), entry
    if owner == claims.worker and entry.step in OPEN_ENDS:
        return "ended", entry
    connection.execute("UPDATE files SET owner = ? WHERE key = ?", (claims.worker, key))
    return "mine", entry


def write(connection: sqlite3.Connection, entry: Entry, worker: int) -> Entry:
    """Write an entry's next step, and give the entry.

    Raises ClaimLost if it is another worker's by now, StepRefused if the table does not allow it;
    then nothing is written.
    """
    found = find(connection, entry.key)
    if found is None or found[1] != worker:
        raise ClaimLost(f"{entry.key!r} was taken over by another worker")
    if not may_follow(found[0], entry.step):
        raise StepRefused(f"{entry.key!r} cannot go from {found[0].step} to {entry.step}")
    names = ", ".join(f"{name} = :{name}" for name in (*_FIELDS, "checksum"))
    connection.execute(
        f"UPDATE files SET {names} WHERE key = :key",  # noqa: S608 - names of ours
        _values(entry),
    )
    return entry


def _insert(connection: sqlite3.Connection, entry: Entry, worker: int) -> None:
    marks = ", ".join(f":{name}" for name in _FIELDS)
    connection.execute(
        f"INSERT INTO files ({_COLUMNS}, checksum, owner) "  # noqa: S608 - names of ours
        f"VALUES ({marks}, :checksum, :owner)",
        {**_values(entry), "owner": worker},
    )


def _values(entry: Entry) -> dict[str, object]:
    values = {**attrs.asdict(entry), "saved": json.dumps(entry.saved)}
    return {**values, "checksum": _checksum(values[name] for name in _FIELDS)}
