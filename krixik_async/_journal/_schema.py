"""The journal's tables, whose journal it is, and the checks on opening one.

Everything that is wrong with a file is found before anything is written to it.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sqlite3
from collections.abc import Callable, Sequence

import attrs

from krixik_async._errors import JournalDamaged, JournalMismatch
from krixik_async._journal._steps import STEPS

# "krxj" as SQLite's application id, so that a database of something else is told from a journal.
APPLICATION_ID = 0x6B72786A
# 1, without checksums, and 2, with leases by the clock, were in use before the first release.
VERSION = 3

_STEPS = ", ".join(f"'{step}'" for step in STEPS)
_CREATE = f"""
CREATE TABLE journal (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE marks (
    mark INTEGER NOT NULL,
    repeated INTEGER NOT NULL
);
CREATE TABLE workers (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    process TEXT NOT NULL,
    beats INTEGER NOT NULL,
    heard_at REAL NOT NULL
);
CREATE TABLE files (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    step TEXT NOT NULL CHECK (step IN ({_STEPS})),
    after TEXT CHECK (after IN ({_STEPS})),
    arguments TEXT,
    size INTEGER,
    mtime_ns INTEGER,
    sha256 TEXT,
    file_name TEXT,
    symbolic_directory_path TEXT,
    asked_at REAL,
    request_id TEXT,
    file_id TEXT,
    submitted_at REAL,
    expires_at REAL,
    fate TEXT,
    message TEXT,
    saved TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    owner INTEGER
);
"""


@attrs.frozen(kw_only=True)
class Owner:
    """Say whose a journal is: a pipeline, its chain, and an account.

    `account` gives a salted digest of the api key and url; the key itself comes nowhere near.
    """

    pipeline: str
    chain: Sequence[str]
    account: Callable[[bytes], str]

    def identity(self, salt: str) -> dict[str, str]:
        """Give the rows that say so."""
        return {
            "salt": salt,
            "pipeline": self.pipeline,
            "chain": json.dumps(list(self.chain)),
            "account": self.account(bytes.fromhex(salt)),
        }


def create(connection: sqlite3.Connection, owner: Owner) -> None:
    """Make the tables, within the caller's transaction."""
    for statement in _CREATE.split(";"):
        connection.execute(statement)
    rows = owner.identity(secrets.token_hex(16))
    connection.executemany("INSERT INTO journal VALUES (?, ?)", rows.items())
    connection.execute("INSERT INTO marks VALUES (0, 0)")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def is_blank(connection: sqlite3.Connection) -> bool:
    """Tell whether the file is a database without anything in it: new, or killed while made."""
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return not tables and not _pragma(connection, "application_id")


def check(connection: sqlite3.Connection, owner: Owner, where: str) -> None:
    """Raise JournalMismatch or JournalDamaged for a file that this run must not go on with."""
    if _pragma(connection, "application_id") != APPLICATION_ID:
        raise JournalMismatch(
            f"{where} is a database of another program, not a journal: name another file"
        )
    version = _pragma(connection, "user_version")
    if version < 1:
        raise damaged(where, f"its layout is {version}, which no release has written")
    if version != VERSION:
        whose = "a newer" if version > VERSION else "an older"
        raise JournalMismatch(
            f"{where} was written by {whose} krixik_async (its layout is {version}, this one "
            f"knows {VERSION}): go on with that release; nothing was changed"
        )
    found = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
    if found != ["ok"]:
        raise damaged(where, "; ".join(map(str, found)))
    rows = dict(connection.execute("SELECT name, value FROM journal").fetchall())
    try:
        ours = owner.identity(rows["salt"])
    except (KeyError, ValueError) as error:
        raise damaged(where, "it does not say whose it is") from error
    for name, what in (("pipeline", "pipeline"), ("chain", "module chain")):
        if rows.get(name) != ours[name]:
            raise JournalMismatch(
                f"{where} is of {what} {rows.get(name)}, this one is {ours[name]}: use a journal "
                "of its own for each pipeline; nothing was changed"
            )
    if rows.get("account") != ours["account"]:
        raise JournalMismatch(
            f"{where} is of another account (another api_key or api_url): go on with those, or "
            "use another journal; nothing was changed"
        )


def set_mark(connection: sqlite3.Connection) -> int:
    """Raise the mark, and give it."""
    cursor = connection.execute("UPDATE marks SET mark = mark + 1 RETURNING mark")
    (mark,) = cursor.fetchone()
    return int(mark)


def repeat_mark(connection: sqlite3.Connection, mark: int) -> bool:
    """Note that everything up to this mark was folded into the file, if it is the last one still.

    Tells whether that is settled: by this, or because the process that has set a later mark has
    yet to repeat it. If it has done so already, its repetition may have been folded with the rest.
    """
    last, repeated = connection.execute("SELECT mark, repeated FROM marks").fetchone()
    if last != mark:
        return bool(last != repeated)
    connection.execute("UPDATE marks SET repeated = mark")
    return True


def is_whole(connection: sqlite3.Connection) -> bool:
    """Tell whether what is read holds everything that was written after the last mark."""
    (whole,) = connection.execute("SELECT mark = repeated FROM marks").fetchone()
    return bool(whole)


def damaged(where: str, why: str) -> JournalDamaged:
    """Give the error for a journal that cannot be trusted any more."""
    return JournalDamaged(
        f"{where} is damaged: {why}. Nothing was changed. Restore a copy (the file together with "
        "its -wal, if there is one); what was sent since that copy was made will be found by its "
        "ids only if the copy knows them, so do not start over with an empty journal blindly"
    )


def account_digest(salt: bytes, api_key: str, api_url: str) -> str:
    """Give a digest that tells accounts apart and gives no key away.

    PBKDF2 rather than one hash: a server of one's own may have keys that are short.
    """
    secret = f"{len(api_key)} {api_key} {api_url}".encode()
    return hashlib.pbkdf2_hmac("sha256", secret, salt, 100_000).hex()


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)
