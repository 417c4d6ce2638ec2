"""Records and files on the disk: locks, restarts, folders that cannot be used."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import attrs
import pytest

from krixik_async._errors import InvalidArgument
from krixik_async._offload import InlineOffload
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


async def test_unfinished_files_come_in_order_of_upload(tmp_path: Path) -> None:
    """Not of their tickets; those that have ended, finished or wait for an upload are left out."""
    async with opened(tmp_path) as store:
        for name, state, uploaded_at, ends_at in (
            ("2.txt", "processing", 20.0, EPOCH + 60),
            ("1.txt", "processing", 10.0, EPOCH + 60),
            ("3.txt", "processing", 30.0, EPOCH + 60),
            ("ended.txt", "processing", 1.0, EPOCH + 1),
            ("waiting.txt", "ticketed", None, EPOCH + 60),
            ("failed.txt", "failed", 1.0, EPOCH + 60),
            ("done.txt", "complete", 1.0, EPOCH + 60),
        ):
            record = attrs.evolve(
                RECORD,
                file_id=new_id(),
                process_id=new_id(),
                file_name=name,
                state=state,
                uploaded_at=uploaded_at,
                ends_at=ends_at,
            )
            await store.add(record, EPOCH)
        found = await store.unfinished(EPOCH + 1)
        assert [record.file_name for record in found] == ["1.txt", "2.txt", "3.txt"]


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
