"""Records and files on the disk: locks, restarts, folders that cannot be used."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import attrs
import pytest

from krixik_async._errors import InvalidArgument
from krixik_async._offload import InlineOffload
from krixik_async.server._database import Turns
from krixik_async.server._records import Record, account_of, new_id
from krixik_async.server._store import Store, open_store
from tests.server_side import EPOCH, mode, names, serving, settle, write

pytestmark = pytest.mark.anyio

RECORD = Record(
    file_id="00000000-0000-4000-8000-000000000001",
    process_id="00000000-0000-4000-8000-000000000002",
    account="account",
    pipeline="books",
    chain=("parser", "json-to-txt"),
    modules={"module_1": {"model": "sentence", "params": {}}},
    file_name="a.txt",
    symbolic_directory_path="/",
    file_tags=({"a": "b"},),
    file_description="d",
    expire_time=1800,
    ends_at=EPOCH + 60,
)


@asynccontextmanager
async def opened(folder: Path, now: float = EPOCH) -> AsyncIterator[Store]:
    store = await open_store(folder, InlineOffload(), now)
    try:
        yield store
    finally:
        await store.aclose()


async def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    """Also from the disk, after the folder was closed and opened again."""
    async with opened(tmp_path) as store:
        assert await store.add(RECORD, EPOCH) is None
    async with opened(tmp_path) as store:
        assert await store.any_file(RECORD.file_id, EPOCH) == RECORD
        assert await store.by_file("account", RECORD.file_id, EPOCH) == RECORD
        assert await store.by_file("other", RECORD.file_id, EPOCH) is None
        assert await store.by_process("account", RECORD.process_id, EPOCH) == RECORD
        assert await store.by_process("other", RECORD.process_id, EPOCH) is None
        assert await store.any_file(RECORD.file_id, EPOCH + 60) is None


async def test_a_writer_that_fails_changes_nothing(tmp_path: Path) -> None:
    """The transaction is rolled back and the next call works."""
    async with opened(tmp_path) as store:
        await store.add(RECORD, EPOCH)
        with pytest.raises(sqlite3.IntegrityError):
            await store.add(attrs.evolve(RECORD, file_name="b.txt"), EPOCH)
        other = attrs.evolve(RECORD, file_id=new_id(), process_id=new_id(), file_name="c.txt")
        assert await store.add(other, EPOCH) is None
        for record in (RECORD, other):
            assert await store.any_file(record.file_id, EPOCH) == record


async def test_what_ends_while_it_is_worked_on_is_gone_for_the_worker_too(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.add(RECORD, EPOCH)
        late = EPOCH + 60
        assert await store.fail(RECORD, "reason", late) is None
        assert await store.advance(RECORD, tmp_path / "none", {}, late) is None
        writing = await store.begin_upload(RECORD.file_id)
        assert await store.accept(RECORD.file_id, writing, writing.finish(), late) == "gone"
        writing.discard()


async def test_more_ids_than_sql_takes_are_no_trouble(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.add(attrs.evolve(RECORD, state="complete"), EPOCH)
        ids = [new_id() for _ in range(950)]
        for wanted in (ids[:5], ids):
            found = await store.complete("account", "books", EPOCH, [*wanted, RECORD.file_id])
            assert RECORD.file_id in [record.file_id for record in found]
        assert await store.complete("account", "books", EPOCH, ids[:5]) == []


async def test_a_second_opener_is_told_that_the_folder_is_in_use(tmp_path: Path) -> None:
    async with opened(tmp_path):
        with pytest.raises(InvalidArgument, match=f"data_dir '{tmp_path}' is in use by another"):
            await open_store(tmp_path, InlineOffload(), EPOCH)
    async with opened(tmp_path):
        pass


async def test_a_folder_that_cannot_be_used_is_named_with_the_reason(tmp_path: Path) -> None:
    """A file in the way, a database that is none or another's, a secret that cannot be read."""
    (tmp_path / "file").write_bytes(b"x")
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "krixik.sqlite3").write_bytes(b"no database" * 1000)
    (tmp_path / "b" / "krixik.sqlite3").mkdir()
    (tmp_path / "c" / "secret").mkdir()
    (tmp_path / "d").mkdir()
    with closing(sqlite3.connect(tmp_path / "d" / "krixik.sqlite3")) as other:
        other.execute("PRAGMA user_version = 7")
    for name, words in (
        ("file", "cannot be used: File exists"),
        ("file/below", "cannot be used: Not a directory"),
        ("a", "is no database"),
        ("b", "cannot be used: unable to open database file"),
        ("c", "cannot be used: Is a directory"),
        ("d", "another version of krixik-async"),
    ):
        with pytest.raises(InvalidArgument, match=f"data_dir '{tmp_path / name}' .*{words}"):
            await open_store(tmp_path / name, InlineOffload(), EPOCH)


async def test_the_start_sweeps_files_without_a_record_and_records_that_have_ended(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as store:
        await store.add(RECORD, EPOCH)
        (await store.begin_upload(RECORD.file_id)).discard()
        (tmp_path / "files" / "orphan").mkdir()
        (tmp_path / "files" / "orphan" / "input").write_bytes(b"x")
    async with opened(tmp_path):
        assert names(tmp_path / "files") == [RECORD.file_id]
    async with opened(tmp_path, EPOCH + 60) as store:
        assert names(tmp_path / "files") == []
        assert await store.any_file(RECORD.file_id, EPOCH) is None


async def test_the_folder_is_the_owners_alone(tmp_path: Path) -> None:
    async with serving(tmp_path / "new" / "folder") as api:
        await api.process()
        await settle()
    for path in ("new/folder", "new/folder/files"):
        assert mode(tmp_path / path) == 0o700


async def test_a_secret_half_written_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "secret.part").write_bytes(b"half")
    async with opened(tmp_path) as store:
        assert len(store.secret) == 32
    assert names(tmp_path) == ["files", "krixik.sqlite3", "secret"]


async def add(store: Store, name: str, **given: Any) -> Record:
    fields: dict[str, Any] = {"state": "processing", "ends_at": EPOCH + 60, **given}
    ids = {"file_id": new_id(), "process_id": new_id()}
    record = attrs.evolve(RECORD, **ids, file_name=name, **fields)
    assert await store.add(record, EPOCH) is None
    return record


async def turns(store: Store, served: Turns, skipped: set[str]) -> list[str]:
    """Take all that waits, in turn."""
    order = []
    while (record := await store.next_waiting(served, skipped, EPOCH + 1)) is not None:
        order.append(record.file_name)
        served.served(record)
        skipped.add(record.file_id)
    return order


async def test_a_pipelines_files_come_in_order_of_upload(tmp_path: Path) -> None:
    """Not of their tickets; those that have ended, finished or wait for an upload are left out."""
    async with opened(tmp_path) as store:
        await add(store, "2.txt", uploaded_at=20.0)
        await add(store, "1.txt", uploaded_at=10.0)
        await add(store, "3.txt", uploaded_at=30.0)
        await add(store, "ended.txt", uploaded_at=1.0, ends_at=EPOCH + 1)
        await add(store, "waiting.txt", state="ticketed")
        await add(store, "failed.txt", state="failed", uploaded_at=1.0)
        await add(store, "done.txt", state="complete", uploaded_at=1.0)
        skipped = await add(store, "skipped.txt", uploaded_at=1.0)
        assert await turns(store, Turns(), {skipped.file_id}) == ["1.txt", "2.txt", "3.txt"]
        assert [await store.waiting(most) for most in (1, 5, 9)] == [1, 5, 5]


async def test_accounts_take_turns_and_so_do_an_accounts_pipelines(tmp_path: Path) -> None:
    """Two of a's pipelines and b's only one: b is served as often as a, not half as often."""
    async with opened(tmp_path) as store:
        for account, pipeline, count in (("a", "x", 3), ("a", "y", 2), ("b", "z", 3)):
            for number in range(count):
                name = f"{pipeline}{number}.txt"
                await add(
                    store, name, account=account, pipeline=pipeline, uploaded_at=float(number)
                )
        served = Turns(account="a", pipelines={"a": "x"})
        order = await turns(store, served, set())
        assert [name.removesuffix(".txt") for name in order] == (
            ["z0", "y0", "z1", "x0", "z2", "y1", "x1", "x2"]
        )
        assert served == Turns(account="a", pipelines={"a": "x", "b": "z"})


async def test_two_uploads_at_one_moment_keep_their_order(tmp_path: Path) -> None:
    """However coarse the clock is, or if it goes backwards."""
    async with opened(tmp_path) as store:
        for name, now in (("b.txt", EPOCH), ("a.txt", EPOCH), ("c.txt", EPOCH - 5)):
            record = await add(store, name, state="ticketed")
            writing = await store.begin_upload(record.file_id)
            assert await store.accept(record.file_id, writing, writing.finish(), now) == "stored"
        assert await turns(store, Turns(), set()) == ["b.txt", "a.txt", "c.txt"]


async def test_an_index_that_came_later_is_made_at_the_next_opening(tmp_path: Path) -> None:
    async with opened(tmp_path):
        pass
    with closing(sqlite3.connect(tmp_path / "krixik.sqlite3")) as database:
        database.execute("DROP INDEX by_turn")
        database.commit()
    async with opened(tmp_path) as store:
        assert await turns(store, Turns(), set()) == []


async def test_what_is_acknowledged_has_been_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill cannot show it, so the calls are watched: the file before, the folder after a rename.

    Each fsync is written down with the path that its handle had at that time.
    """
    synced: list[str] = []
    fsync = os.fsync

    def watched(handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        synced.append(re.sub(r"[0-9a-f-]{36}\.part", "*", str(path.relative_to(tmp_path))))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", watched)
    async with opened(tmp_path) as store:
        assert synced == ["secret.part", "."]
        synced.clear()
        await store.add(RECORD, EPOCH)
        writing = await store.begin_upload(RECORD.file_id)
        writing.write(b"x")
        folder = f"files/{RECORD.file_id}"
        assert synced == ["files"]
        assert await store.accept(RECORD.file_id, writing, writing.finish(), EPOCH) == "stored"
        assert synced == ["files", f"{folder}/input.*", folder]
        record = await store.any_file(RECORD.file_id, EPOCH)
        assert record is not None
        temporary = store.temporary_path(record)
        write(temporary, b"output")
        assert await store.seal(temporary) == 6
        await store.advance(record, temporary, {}, EPOCH)
        assert synced[3:] == [f"{folder}/module_1.*", folder]
        assert names(tmp_path / folder) == ["input", "module_1"]


def test_accounts_are_digests() -> None:
    assert account_of("k") == "8254c329a92850f6d539dd376f4816ee2764517da5e0235514af433164480d7a"


async def test_lists_of_ever_other_lengths_are_one_statement(tmp_path: Path) -> None:
    """SQLite keeps the last 128 statements made ready; one with 500 marks takes 0.1 MB."""
    prepared: list[object] = []

    def note(*what: object) -> int:
        prepared.append(what)
        return sqlite3.SQLITE_OK

    async with opened(tmp_path) as store:
        await store.add(attrs.evolve(RECORD, state="complete"), EPOCH)
        # Asked while a statement is made ready, and not when it is carried out.
        store._database._connection.set_authorizer(note)
        found = []
        for length in (1, 2, 500, 1000):
            ids = [RECORD.file_id, *(new_id() for _ in range(length - 1))]
            found += await store.complete("account", "books", EPOCH, ids)
            made, prepared[:] = len(prepared), []
            assert (made > 0) is (length == 1)
    assert [one.file_id for one in found] == [RECORD.file_id] * 4
