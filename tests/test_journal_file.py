"""The journal's file: what it refuses, what it survives, and that it is never made worse."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from krixik_async import JournalDamaged, JournalError, JournalMismatch, KrixikError
from krixik_async._journal import Entry, JournalLook, Owner, _file, _rows, account_digest
from krixik_async._journal._file import Busy, JournalFile, Written
from krixik_async._journal._rows import Claims
from krixik_async._journal._schema import is_whole, set_mark

KEY, URL = "canary-5b1d7c", "https://api.krixik.test"


def account(salt: bytes) -> str:
    return account_digest(salt, KEY, URL)


OWNER = Owner(pipeline="books", chain=("parser", "keyword-db"), account=account)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.db"


@contextmanager
def opened(path: Path, owner: Owner = OWNER) -> Iterator[JournalFile]:
    with closing(JournalFile(path, owner, busy_s=0.05)) as file:
        yield file


def enter(key: str, **changes: object) -> Callable[[sqlite3.Connection], object]:
    """Give an operation that claims an entry, and writes into it."""

    def operation(connection: sqlite3.Connection) -> object:
        claims = Claims(worker=1, has_ended=lambda *_: True, is_dead=lambda _: True)
        _, entry = _rows.enter(connection, key, claims)
        return _rows.write(connection, attrs.evolve(entry, **changes), 1) if changes else entry

    return operation


def put(file: JournalFile, *keys: str, durable: bool = False) -> list[Written]:
    group = [Written(enter(key), durable) for key in keys]
    file.write(group)
    return group


def keys(path: Path) -> list[str]:
    """Read the keys as anyone could, changing nothing."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return [key for (key,) in connection.execute("SELECT key FROM files ORDER BY id")]


def contents(path: Path) -> dict[str, bytes]:
    """Give what is on the disk, but for the index of the -wal, which any reader makes."""
    files = path.parent.iterdir()
    return {file.name: file.read_bytes() for file in files if not file.name.endswith("-shm")}


def refused(path: Path, error: type[JournalError], match: str, owner: Owner = OWNER) -> None:
    """Claim that opening fails with this, and leaves every byte as it was."""
    before = contents(path)
    with pytest.raises(error, match=match) as info, opened(path, owner):
        pass
    assert type(info.value) is error
    assert str(path) in str(info.value)
    assert contents(path) == before


# --- that it keeps what it was told --------------------------------------------------------------


def test_what_was_written_is_there_when_it_is_opened_again(path: Path) -> None:
    with opened(path) as file:
        put(file, "a", "b")
    with opened(path) as file:
        (written,) = put(file, "a")
    assert written.result == Entry(key="a")
    assert keys(path) == ["a", "b"]


def test_it_is_its_owners_alone(path: Path) -> None:
    """It names the files that were sent: nobody else's business on a shared machine."""
    with opened(path) as file:
        put(file, "a")
        modes = {name: (path.parent / name).stat().st_mode & 0o777 for name in contents(path)}
    assert modes == {"run.db": 0o600, "run.db-wal": 0o600}


def test_it_writes_in_wal_mode_and_syncs_where_it_must(path: Path) -> None:
    """NORMAL for what can be found out again, FULL for what must outlive a power cut."""
    levels: list[int] = []

    def level(connection: sqlite3.Connection) -> object:
        levels.append(connection.execute("PRAGMA synchronous").fetchone()[0])
        return connection.execute("PRAGMA journal_mode").fetchone()[0]

    with opened(path) as file:
        groups = [[Written(level, False)], [Written(level, False), Written(level, True)]]
        for group in groups:
            file.write(group)
    assert levels == [1, 2, 2]
    assert [one.result for group in groups for one in group] == ["wal"] * 3


def test_one_refusal_does_not_concern_the_others_of_its_group(path: Path) -> None:
    def no(connection: sqlite3.Connection) -> object:
        raise KrixikError("no")

    with opened(path) as file:
        group = [Written(enter("a"), False), Written(no, False), Written(enter("b"), False)]
        file.write(group)
    assert [str(one.error or "") for one in group] == ["", "no", ""]
    assert [one.done for one in group] == [True] * 3
    assert keys(path) == ["a", "b"]


def test_a_group_that_fails_is_not_written_at_all(path: Path) -> None:
    def broken(connection: sqlite3.Connection) -> object:
        return connection.execute("INSERT INTO nowhere VALUES (1)")

    with opened(path) as file:
        group = [Written(enter("a"), False), Written(broken, False)]
        with pytest.raises(JournalError, match="no such table: nowhere"):
            file.write(group)
        assert [one.done for one in group] == [False, False]
        put(file, "b")
    assert keys(path) == ["b"]


def test_the_wal_is_folded_into_the_file_when_it_has_grown(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_file, "FOLD_BYTES", 50_000)
    with opened(path) as file:
        for n in range(60):
            put(file, f"{n:03}")
        grown = (path.parent / "run.db-wal").stat().st_size
        assert grown < 200_000
        assert path.stat().st_size > 12_000
    assert len(keys(path)) == 60


def test_it_is_folded_once_and_not_after_each_group_from_then_on(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folding takes two syncs of the disk: milliseconds, where a group takes tenths of one."""
    monkeypatch.setattr(_file, "FOLD_BYTES", 200_000)
    with opened(path) as file:
        fold, folds = file._fold, []
        monkeypatch.setattr(file, "_fold", lambda: (folds.append(1), fold()))
        for n in range(120):
            put(file, f"{n:03}")
    assert 1 < len(folds) < 12


def test_a_fold_that_fails_is_no_failure_of_the_group_before_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is written: to be told otherwise its writer would write it a second time."""
    monkeypatch.setattr(_file, "FOLD_BYTES", 0)
    with closing(sqlite3.connect(path, isolation_level=None)) as other, opened(path) as file:
        fold = file._fold

        def locked_meanwhile() -> None:
            other.execute("BEGIN IMMEDIATE")
            try:
                fold()
            finally:
                other.execute("ROLLBACK")

        monkeypatch.setattr(file, "_fold", locked_meanwhile)
        (written,) = put(file, "a")
        assert written.done
        monkeypatch.undo()
    assert keys(path) == ["a"]


def test_two_open_it_at_once_and_both_write(path: Path) -> None:
    with opened(path) as one, opened(path) as other:
        put(one, "a")
        put(other, "b")
        put(one, "c")
    assert keys(path) == ["a", "b", "c"]


def test_one_opens_it_while_another_makes_it_and_folds(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There was no -wal when it looked, and the mark is not repeated yet: still nothing is lost."""
    make = _file._make
    others: list[JournalFile] = []

    def meanwhile(here: Path) -> None:
        monkeypatch.setattr(_file, "_make", make)
        other = JournalFile(here, OWNER)
        others.append(other)
        put(other, "a")
        with other._transaction():
            set_mark(other._connection)

    monkeypatch.setattr(_file, "_make", meanwhile)
    with opened(path) as file:
        put(file, "b")
        others[0].close()
    assert keys(path) == ["a", "b"]
    with opened(path):
        pass


# --- kills ---------------------------------------------------------------------------------------


def killed(path: Path, folder: Path) -> Path:
    """Give the journal as a kill at this moment would leave it: file and -wal, as they are."""
    folder.mkdir()
    for name in ("run.db", "run.db-wal"):
        shutil.copy2(path.with_name(name), folder)
    return folder / "run.db"


def test_a_kill_loses_nothing_that_was_written(path: Path, tmp_path: Path) -> None:
    with opened(path) as file:
        put(file, "a", "b")
        copy = killed(path, tmp_path / "killed")
    with opened(copy) as file:
        put(file, "c")
    assert keys(copy) == ["a", "b", "c"]


def test_a_file_carried_away_without_its_wal_is_refused(path: Path, tmp_path: Path) -> None:
    """Its newest steps would be missing, and what they stand for would be done again."""
    with opened(path) as file:
        put(file, "a", durable=True)
        copy = killed(path, tmp_path / "killed")
    copy.with_name("run.db-wal").unlink()
    refused(copy, JournalDamaged, "with -wal at its end, which is not beside it")


def test_so_it_is_after_the_wal_was_folded(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_file, "FOLD_BYTES", 0)
    with opened(path) as file:
        put(file, "a")
        copy = killed(path, tmp_path / "killed")
    copy.with_name("run.db-wal").unlink()
    refused(copy, JournalDamaged, "not beside it")


@attrs.define
class Interrupted:
    """Be a connection on which something happens just before the -wal is folded."""

    real: sqlite3.Connection
    happens: Callable[[], object]

    def execute(self, statement: str, *given: Any) -> sqlite3.Cursor:
        if "wal_checkpoint" in statement:
            happens, self.happens = self.happens, lambda: None
            happens()
        return self.real.execute(statement, *given)

    def __getattr__(self, name: str) -> object:
        return getattr(self.real, name)


def test_so_it_is_where_two_have_folded_at_once(path: Path, tmp_path: Path) -> None:
    """What the one has noted as folded is folded by the other: so that one does it over."""
    with opened(path) as one, opened(path) as other:
        one._connection = Interrupted(one._connection, other._fold)  # type: ignore[assignment]
        one._fold()
        put(one, "a")
        copy = killed(path, tmp_path / "killed")
    copy.with_name("run.db-wal").unlink()
    refused(copy, JournalDamaged, "not beside it")


def test_the_earlier_of_two_that_fold_at_once_leaves_the_end_of_it_to_the_later(
    path: Path,
) -> None:
    with opened(path) as one, opened(path) as other:

        def set_only() -> None:
            with other._transaction():
                set_mark(other._connection)

        one._connection = Interrupted(one._connection, set_only)  # type: ignore[assignment]
        one._fold()
        assert not is_whole(one._connection)
        other._fold()
        assert is_whole(one._connection)


@pytest.mark.parametrize("error", [KeyboardInterrupt, sqlite3.OperationalError])
def test_a_fold_that_was_cut_short_does_not_make_a_journal_that_is_whole_look_torn(
    path: Path, error: type[BaseException]
) -> None:
    """Whoever closes it in order leaves no -wal; the mark must not say that there was one."""

    def cut() -> None:
        raise error

    with opened(path) as file:
        put(file, "a")
        real = file._connection
        file._connection = Interrupted(real, cut)  # type: ignore[assignment]
        with pytest.raises(error):
            file._fold()
        file._connection = real
    assert list(contents(path)) == ["run.db"]
    with opened(path) as file:
        put(file, "b")
    assert keys(path) == ["a", "b"]


def test_so_it_is_where_another_program_has_changed_the_mode(path: Path, tmp_path: Path) -> None:
    """Then SQLite makes no -wal at all when the file is read."""
    with opened(path) as file:
        put(file, "a")
        copy = killed(path, tmp_path / "killed")
    copy.with_name("run.db-wal").unlink()
    with closing(sqlite3.connect(copy)) as shell:
        assert shell.execute("PRAGMA journal_mode = DELETE").fetchone() == ("delete",)
    refused(copy, JournalDamaged, "not beside it")


def test_an_empty_wal_is_as_good_as_none(path: Path, tmp_path: Path) -> None:
    """SQLite makes one as soon as it reads, and leaves it behind if it is killed then."""
    with opened(path) as file:
        put(file, "a")
        copy = killed(path, tmp_path / "killed")
    copy.with_name("run.db-wal").write_bytes(b"")
    with pytest.raises(JournalDamaged, match="not beside it"), opened(copy):
        pass


def test_a_file_that_another_program_has_looked_into_is_whole(path: Path, tmp_path: Path) -> None:
    """The sqlite3 shell folds the -wal when it is closed: nothing is missing then."""
    with opened(path) as file:
        put(file, "a")
        copy = killed(path, tmp_path / "killed")
    with closing(sqlite3.connect(copy)) as shell:
        shell.execute("SELECT * FROM files").fetchall()
    assert not copy.with_name("run.db-wal").exists()
    with opened(copy) as file:
        put(file, "b")
    assert keys(copy) == ["a", "b"]


def test_a_kill_while_it_folds_loses_nothing_and_in_doubt_it_is_refused(
    path: Path, tmp_path: Path
) -> None:
    """Folded by another program then, it is to the byte what it is when its -wal was lost."""
    copies: list[Path] = []
    with opened(path) as file:
        put(file, "a")
        real = file._connection
        file._connection = Interrupted(  # type: ignore[assignment]
            real, lambda: copies.extend(killed(path, tmp_path / name) for name in ("one", "two"))
        )
        file._fold()
        file._connection = real
    with opened(copies[0]) as file:
        put(file, "b")
    assert keys(copies[0]) == ["a", "b"]
    with closing(sqlite3.connect(copies[1])) as shell:
        shell.execute("SELECT * FROM files").fetchall()
    refused(copies[1], JournalDamaged, "another program has folded")


def test_a_kill_while_it_was_made_leaves_what_can_be_begun_with(path: Path) -> None:
    path.touch()
    with opened(path) as file:
        put(file, "a")
    assert keys(path) == ["a"]


# --- what is not ours ----------------------------------------------------------------------------


def made(path: Path) -> None:
    with opened(path) as file:
        put(file, "a")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"pipeline": "films"}, "of pipeline books, this one is films"),
        ({"chain": ("keyword-db",)}, r'of module chain \["parser", "keyword-db"\]'),
        ({"account": lambda salt: account_digest(salt, "another", URL)}, "another account"),
        ({"account": lambda salt: account_digest(salt, KEY, URL + "x")}, "another account"),
    ],
)
def test_a_journal_of_something_else_is_refused(
    path: Path, changes: dict[str, object], match: str
) -> None:
    made(path)
    refused(path, JournalMismatch, match, attrs.evolve(OWNER, **changes))


@pytest.mark.parametrize(("layout", "whose"), [(1, "an older"), (2, "an older"), (4, "a newer")])
def test_a_journal_of_another_layout_is_refused(path: Path, layout: int, whose: str) -> None:
    made(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {layout}")
    refused(path, JournalMismatch, f"{whose} krixik_async .its layout is {layout}, this one knows")


def test_a_layout_that_never_was_is_damage(path: Path) -> None:
    made(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 0")
    refused(path, JournalDamaged, "its layout is 0, which no release has written")


def test_a_database_of_another_program_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE journal (name, value)")
    refused(path, JournalMismatch, "a database of another program")


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_text("Dear diary, " * 400)
    refused(path, JournalMismatch, "no database")


@pytest.mark.parametrize("content", [b"d", b"\0", b"SQLite format 3\0", b"Dear diary", b"\0" * 511])
def test_a_file_too_short_for_a_database_is_damage_and_not_written_over(
    path: Path, content: bytes
) -> None:
    """SQLite itself takes one of a single byte for new."""
    path.write_bytes(content)
    refused(path, JournalDamaged, f"cut off, or never was a journal: {len(content)} bytes")


def test_of_a_file_cut_off_to_nothing_the_newest_steps_are_not_thrown_away(path: Path) -> None:
    """SQLite itself takes the file for new, and deletes its -wal."""
    with opened(path) as file:
        put(file, "a")
        wal = Path(f"{path}-wal").read_bytes()
    copy = path.with_name("copy.db")
    copy.write_bytes(b"")
    Path(f"{copy}-wal").write_bytes(wal)
    refused(copy, JournalDamaged, "cut off, or never was a journal: 0 bytes")
    assert Path(f"{copy}-wal").read_bytes() == wal


def test_a_file_of_no_bytes_is_a_new_journal(path: Path) -> None:
    path.touch()
    with opened(path) as file:
        put(file, "a")


def test_a_folder_is_refused(path: Path) -> None:
    path.mkdir()
    with pytest.raises(JournalError, match="cannot be opened: Is a directory"), opened(path):
        pass


def test_a_path_without_a_name_is_refused_as_a_folder_is() -> None:
    with pytest.raises(JournalError, match=r"journal '\.' cannot be opened"), opened(Path()):
        pass


def test_a_path_that_cannot_be_is_refused(path: Path) -> None:
    with pytest.raises(JournalError, match="No such file or directory"), opened(path / "x"):
        pass


# --- what has gone wrong -------------------------------------------------------------------------


def test_a_journal_damaged_in_the_middle_is_refused_and_left_alone(path: Path) -> None:
    with opened(path) as file:
        put(file, *(f"a file with a long name, number {n:05}" for n in range(2000)))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = b"\xa5" * 2000
    path.write_bytes(content)
    refused(path, JournalDamaged, "is damaged")


def test_damage_that_only_a_comparison_shows_is_found(path: Path) -> None:
    """One letter of one name: the page is well-formed, but the index tells otherwise."""
    with opened(path) as file:
        put(file, *(f"a file with a long name, number {n:05}" for n in range(200)))
    content = path.read_bytes()
    assert content.count(b"number 00150") == 2  # in the table and in its index
    path.write_bytes(content.replace(b"number 00150", b"number 90150", 1))
    refused(path, JournalDamaged, "is damaged: row 151 missing from index")


def test_a_journal_cut_short_is_refused(path: Path) -> None:
    with opened(path) as file:
        put(file, *(f"a file with a long name, number {n:05}" for n in range(2000)))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    refused(path, JournalDamaged, "is damaged")


@pytest.mark.parametrize("name", ["salt", "pipeline"])
def test_a_journal_that_does_not_say_whose_it_is_is_refused(path: Path, name: str) -> None:
    made(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DELETE FROM journal WHERE name = ?", (name,))
    error = JournalDamaged if name == "salt" else JournalMismatch
    refused(path, error, "whose it is" if name == "salt" else "of pipeline None")


@pytest.mark.parametrize("what", ["deleted", "moved", "replaced"])
def test_a_journal_that_is_taken_away_while_in_use_is_not_written_any_more(
    path: Path, what: str
) -> None:
    """SQLite would go on in a file that has no name any more, and the next run send all again."""
    with opened(path) as file:
        put(file, "a")
        if what == "deleted":
            path.unlink()
        else:
            path.rename(path.with_name("moved.db"))
        if what == "replaced":
            path.write_bytes(b"")
        with pytest.raises(JournalError, match="moved, deleted or replaced while it was in use"):
            put(file, "b")


@pytest.mark.parametrize("what", ["deleted", "replaced"])
def test_without_the_name_of_its_wal_no_step_is_taken_and_none_was_lost(
    path: Path, what: str
) -> None:
    """A kill would lose them. In order, what is in it is folded in from where it is."""
    with opened(path) as file:
        put(file, "a")
        wal = path.with_name("run.db-wal")
        wal.unlink()
        if what == "replaced":
            wal.write_bytes(b"")
        with pytest.raises(JournalError, match="or its -wal, was moved, deleted or replaced"):
            put(file, "b")
    assert contents(path).keys() == {"run.db"}
    with opened(path) as file:
        put(file, "c")
    assert keys(path) == ["a", "c"]


def test_damage_that_shows_while_writing_is_told_and_nothing_is_written(path: Path) -> None:
    with opened(path) as file:
        put(file, *(f"a file with a long name, number {n:05}" for n in range(2000)))
    with opened(path) as file:
        file.write([Written(lambda c: c.execute("PRAGMA shrink_memory").fetchone(), False)])
        content = bytearray(path.read_bytes())
        content[8192:] = bytes(len(content) - 8192)
        path.write_bytes(content)
        group = [Written(enter(f"a file with a long name, number {n:05}"), False) for n in (7, 9)]
        with pytest.raises(JournalDamaged, match="is damaged"):
            file.write(group)
        assert [one.done for one in group] == [False, False]


def test_a_full_disk_is_told_and_the_journal_is_as_it_was(path: Path) -> None:
    with opened(path) as file:
        put(file, "a")
        file.write([Written(lambda c: c.execute("PRAGMA max_page_count = 1").fetchone(), False)])
        long = [Written(enter(f"{n} {'x' * 3000}"), False) for n in range(50)]
        with pytest.raises(JournalError, match=r"the disk is full.*as it was before"):
            file.write(long)
        file.write(
            [Written(lambda c: c.execute("PRAGMA max_page_count = 99999").fetchone(), False)]
        )
        put(file, "b")
    assert keys(path) == ["a", "b"]


def test_a_read_only_journal_is_told(path: Path) -> None:
    with opened(path) as file:
        file.write([Written(lambda c: c.execute("PRAGMA query_only = ON").fetchone(), False)])
        with pytest.raises(JournalError, match=r"read-only.*nothing is sent without it"):
            put(file, "a")


def test_a_locked_journal_is_told_as_one_that_may_be_tried_again(path: Path) -> None:
    made(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other, opened(path) as file:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Busy, match="locked by another program"):
            put(file, "b")
        other.execute("ROLLBACK")
        put(file, "c")
    assert keys(path) == ["a", "c"]


def test_a_place_without_wal_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some network file systems cannot: SQLite then quietly stays in another mode."""
    connect = sqlite3.connect
    monkeypatch.setattr(_file.sqlite3, "connect", lambda _, **given: connect(":memory:", **given))
    with pytest.raises(JournalError, match=r"WAL mode here .its mode is memory"), opened(path):
        pass


# --- secrets -------------------------------------------------------------------------------------


def test_the_account_is_told_apart_without_its_key(path: Path) -> None:
    """The digest is salted anew for each journal, and the key is nowhere in the file."""
    with opened(path) as file:
        put(file, "a")
        assert KEY.encode() not in b"".join(contents(path).values())
    assert account(b"one") != account(b"two")
    # Were they simply joined, the boundary could be moved.
    assert account_digest(b"", "ab", "c") != account_digest(b"", "a", "bc")


# --- a look that leaves no trace -----------------------------------------------------------------


def test_a_look_is_refused_where_it_cannot_be_of_one_moment(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process writes as it is copied."""
    made(path)

    def copied(source: str, to: str) -> None:
        Path(to).write_bytes(Path(source).read_bytes())
        path.write_bytes(path.read_bytes() + b"?")

    monkeypatch.setattr("krixik_async._journal._look.shutil.copyfile", copied)
    with pytest.raises(JournalError, match="being written by another process all the time"):
        JournalLook(path, OWNER)


def test_a_look_at_what_cannot_be_read_or_trusted_is_refused(path: Path) -> None:
    path.mkdir()
    with pytest.raises(JournalError, match=r"run.db. cannot be read: Is a directory"):
        JournalLook(path, OWNER)


def test_a_look_finds_a_damaged_entry(path: Path) -> None:
    with opened(path) as file:
        put(file, "a")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE files SET file_name = 'b.txt'")
    look = JournalLook(path, OWNER)
    try:
        assert look.find("b", 0.0) is None
        with pytest.raises(JournalDamaged, match="entry of 'a' is damaged"):
            look.find("a", 0.0)
    finally:
        look.close()
