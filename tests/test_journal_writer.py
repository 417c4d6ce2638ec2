"""The journal as a run uses it: groups, leases, and what a cancelled or locked-out writer does."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest

from krixik_async import JournalDamaged, JournalError
from krixik_async._clock import AnchoredClock
from krixik_async._journal import ENDS, ClaimLost, Entry, Journal, Owner, open_journal
from krixik_async._journal import _writer as writer_room
from krixik_async._journal._alive import is_dead, name_of
from krixik_async._journal._file import Busy, JournalFile, Written
from krixik_async._offload import InlineOffload, ThreadOffload

pytestmark = pytest.mark.anyio

OWNER = Owner(pipeline="books", chain=("keyword-db",), account=lambda salt: salt.hex())


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.db"


@pytest.fixture
def clock() -> AnchoredClock:
    return AnchoredClock(1_780_000_000.0)


@asynccontextmanager
async def joined(path: Path, clock: AnchoredClock) -> AsyncIterator[Journal]:
    journal = await open_journal(path, OWNER, clock=clock, offload=InlineOffload())
    try:
        yield journal
    finally:
        await journal.aclose()


def rows(path: Path, question: str) -> list[Any]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(question).fetchall()


async def step(journal: Journal, entry: Entry, name: Any, **changes: Any) -> Entry:
    return await journal.write(attrs.evolve(entry, step=name, **changes))


# --- damage that SQLite does not see -------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        "request_id = '22222222-2222-4222-8222-222222222222'",
        "request_id = NULL",
        "asked_at = asked_at + 1",
        "step = 'planned'",
        "saved = '['",
        "saved = CAST(x'ff5b5d' AS TEXT)",
        "file_name = CAST(x'ff' AS TEXT)",
    ],
)
async def test_an_entry_that_is_not_what_was_written_is_refused(
    path: Path, clock: AnchoredClock, damage: str
) -> None:
    """It would be taken for vanished, or sent once more."""
    async with joined(path, clock) as journal:
        _, entry = await journal.enter("a", ENDS)
        written = await step(
            journal, entry, "ticketed", request_id="r1", asked_at=1.5e9, file_name="a.txt", size=7
        )
        assert await journal.enter("a", ENDS) == ("mine", written)
        await journal.enter("b", ENDS)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"UPDATE files SET {damage} WHERE key = 'a'")
    async with joined(path, clock) as journal:
        with pytest.raises(JournalDamaged, match="entry of 'a' is damaged"):
            await journal.enter("a", ENDS)
        assert (await journal.enter("b", ENDS))[0] == "mine"


async def test_an_entry_that_cannot_be_read_for_another_reason_is_told_as_that(
    path: Path, clock: AnchoredClock
) -> None:
    async with joined(path, clock) as journal:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("ALTER TABLE files RENAME TO gone")
        with pytest.raises(JournalError, match="cannot be used: no such table"):
            await journal.enter("a", ENDS)


# --- leases --------------------------------------------------------------------------------------


@asynccontextmanager
async def beating(*journals: Journal) -> AsyncIterator[None]:
    """Let these workers be heard of, and hear."""
    async with anyio.create_task_group() as group:
        for journal in journals:
            group.start_soon(journal.heartbeat)
        yield
        group.cancel_scope.cancel()


async def test_an_entry_is_its_workers_until_the_lease_runs_out(
    path: Path, clock: AnchoredClock
) -> None:
    async with joined(path, clock) as one, joined(path, clock) as other, beating(other):
        verdict, entry = await one.enter("a", ENDS)
        assert (verdict, entry) == ("mine", Entry(key="a"))
        entry = await step(one, entry, "ticketed", request_id="r1")
        await clock.sleep(59)
        assert await other.enter("a", ENDS) == ("theirs", entry)
        await clock.sleep(2)
        assert await other.enter("a", ENDS) == ("mine", entry)


async def test_a_worker_that_slept_through_its_lease_can_write_nothing_any_more(
    path: Path, clock: AnchoredClock
) -> None:
    """What it was about to do it must not do: the note before it fails."""
    async with joined(path, clock) as one, joined(path, clock) as other, beating(other):
        _, entry = await one.enter("a", ENDS)
        await clock.sleep(61)
        await other.enter("a", ENDS)
        with pytest.raises(ClaimLost):
            await step(one, entry, "ticketed")
        assert (await step(other, entry, "ticketed")).step == "ticketed"


async def test_heartbeats_keep_a_lease_for_as_long_as_it_takes(
    path: Path, clock: AnchoredClock
) -> None:
    async with joined(path, clock) as one, joined(path, clock) as other, beating(one, other):
        _, entry = await one.enter("a", ENDS)
        await clock.sleep(10_000)
        assert await other.enter("a", ENDS) == ("theirs", entry)


@pytest.mark.parametrize("ahead_s", [-86_400.0, -3600.0, 3600.0, 1e9])
async def test_no_clock_makes_a_lease_shorter_or_longer(
    path: Path, clock: AnchoredClock, ahead_s: float
) -> None:
    """Work that goes on is left alone, that of a silent worker taken over after a minute."""
    wrong = AnchoredClock(clock.wall() + ahead_s)
    async with joined(path, clock) as one, joined(path, wrong) as other, beating(other):
        _, entry = await one.enter("a", ENDS)
        _, another = await other.enter("b", ENDS)
        async with beating(one):
            await clock.sleep(300)
            assert await other.enter("a", ENDS) == ("theirs", entry)
            assert await one.enter("b", ENDS) == ("theirs", another)
        await clock.sleep(76)
        assert await other.enter("a", ENDS) == ("mine", entry)


async def test_whoever_was_suspended_together_with_the_others_gives_nobody_up(
    path: Path, clock: AnchoredClock
) -> None:
    """As on a machine that sleeps: the first to wake up must not take all for dead."""
    async with joined(path, clock) as one, joined(path, clock) as other:
        _, entry = await one.enter("a", ENDS)
        await clock.sleep(86_400)
        async with beating(other):
            await clock.sleep(59)
            assert await other.enter("a", ENDS) == ("theirs", entry)
            await clock.sleep(2)
            assert await other.enter("a", ENDS) == ("mine", entry)


async def test_a_worker_that_leaves_gives_up_its_claims_at_once(
    path: Path, clock: AnchoredClock
) -> None:
    async with joined(path, clock) as other:
        async with joined(path, clock) as one:
            _, entry = await one.enter("a", ENDS)
            assert (await other.enter("a", ENDS))[0] == "theirs"
        assert await other.enter("a", ENDS) == ("mine", entry)
    assert rows(path, "SELECT id FROM workers") == []


async def test_an_error_is_an_end_for_this_round_and_a_beginning_for_the_next(
    path: Path, clock: AnchoredClock
) -> None:
    async with joined(path, clock) as other:
        async with joined(path, clock) as one:
            _, entry = await one.enter("a", ENDS)
            failed = await step(one, entry, "error", after="planned", fate="InvalidArgument")
            assert await one.enter("a", ENDS) == ("ended", failed)
            assert await other.enter("a", ENDS) == ("ended", failed)
        assert await other.enter("a", ENDS) == ("mine", failed)


async def test_an_end_is_everyones(path: Path, clock: AnchoredClock) -> None:
    """Also while its worker lives; and an end that is none for a caller is claimed by him."""
    async with joined(path, clock) as one, joined(path, clock) as other:
        _, entry = await one.enter("a", ENDS)
        for name in ("ticketed", "uploaded", "complete"):
            entry = await step(one, entry, name)
        assert await other.enter("a", ENDS) == ("ended", entry)
        assert await other.enter("a", ENDS - {"complete"}) == ("theirs", entry)
        assert await one.enter("a", ENDS - {"complete"}) == ("mine", entry)


# --- groups --------------------------------------------------------------------------------------


class Counting(JournalFile):
    """A journal's file that tells of its groups, and does as it is told before each."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, OWNER, busy_s=0.01)
        self.groups: list[int] = []
        self.before: Callable[[], object] = lambda: None

    def write(self, group: Any) -> None:
        self.groups.append(len(group))
        self.before()
        super().write(group)


async def counted(path: Path, clock: AnchoredClock) -> tuple[Counting, Journal]:
    """Give a file that counts its groups, and its journal, joined."""
    file = Counting(path)
    journal = Journal(file, clock=clock, offload=InlineOffload())
    await journal.join()
    return file, journal


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Be another program that has the file locked, to the end of the block or until ROLLBACK."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


async def test_what_is_asked_for_meanwhile_is_written_in_one_group(
    path: Path, clock: AnchoredClock
) -> None:
    file, journal = await counted(path, clock)
    entries: dict[str, Entry] = {}

    async def enter(key: str) -> None:
        entries[key] = (await journal.enter(key, ENDS))[1]

    async with anyio.create_task_group() as group:
        for n in range(100):
            group.start_soon(enter, f"{n}")
    await journal.aclose()
    assert file.groups == [1, 100, 1]  # joined; all that came in one turn of the loop; left
    assert sorted(entries) == sorted(f"{n}" for n in range(100))
    assert len(rows(path, "SELECT key FROM files")) == 100


async def test_a_writer_that_is_cancelled_while_it_waits_takes_its_step_back(
    path: Path, clock: AnchoredClock
) -> None:
    _file, journal = await counted(path, clock)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await journal.enter("given up", ENDS)
    await journal.enter("last", ENDS)
    await journal.aclose()
    assert sorted(rows(path, "SELECT key FROM files")) == [("last",)]


async def test_the_others_steps_are_written_when_the_one_whose_turn_it_is_gives_up(
    path: Path, clock: AnchoredClock
) -> None:
    """A lock is waited for by one for all; if that one is cancelled, the next one waits."""
    _file, journal = await counted(path, clock)
    scopes: list[anyio.CancelScope] = []

    async def enter(key: str) -> None:
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            await journal.enter(key, ENDS)

    with locked(path) as other:
        async with anyio.create_task_group() as group:
            for key in ("a", "b", "c"):
                group.start_soon(enter, key)
            await clock.sleep(0.5)
            scopes[0].cancel()  # of the first that ran: it has the turn
            await clock.sleep(0.5)
            other.execute("ROLLBACK")
    assert len(rows(path, "SELECT key FROM files")) == 2
    await journal.aclose()


async def test_a_group_that_was_begun_is_seen_through_by_a_cancelled_writer(
    path: Path, clock: AnchoredClock
) -> None:
    """It carries the others' steps, too."""
    file, journal = await counted(path, clock)
    with anyio.CancelScope() as scope:
        file.before = scope.cancel
        await journal.enter("a", ENDS)
    assert rows(path, "SELECT key FROM files") == [("a",)]
    assert (await journal.enter("b", ENDS))[0] == "mine"
    await journal.aclose()


# --- a file in use -------------------------------------------------------------------------------


async def test_a_lock_is_waited_for(path: Path, clock: AnchoredClock) -> None:
    file, journal = await counted(path, clock)
    with locked(path) as other:
        tries = iter(range(5))
        file.before = lambda: next(tries, 9) == 3 and other.execute("ROLLBACK")
        assert (await journal.enter("a", ENDS))[0] == "mine"
    assert len(file.groups) == 5
    await journal.aclose()


async def test_a_lock_that_stays_is_an_error_after_30_s_and_no_later_step_is_lost(
    path: Path, clock: AnchoredClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_room, "ASK_AGAIN_S", 6.0)
    _file, journal = await counted(path, clock)
    began = clock.now()
    with locked(path) as other:
        with pytest.raises(Busy, match="locked by another program"):
            await journal.enter("a", ENDS)
        assert 30 <= clock.now() - began <= 40
        other.execute("ROLLBACK")
    assert (await journal.enter("a", ENDS))[0] == "mine"
    await journal.aclose()


async def test_a_journal_that_cannot_be_left_in_order_is_closed_all_the_same(
    path: Path, clock: AnchoredClock
) -> None:
    """Then the lease runs out."""
    file, journal = await counted(path, clock)
    with locked(path):
        await journal.aclose()
    assert len(rows(path, "SELECT id FROM workers")) == 1
    with pytest.raises(JournalError, match="closed"):
        file.write([Written(lambda _: None, False)])


async def test_a_journal_that_cannot_be_joined_is_closed(
    path: Path, clock: AnchoredClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with joined(path, clock):
        pass
    monkeypatch.setattr(writer_room, "LOCKED_S", 0.0)
    monkeypatch.setattr(writer_room, "JournalFile", partial(JournalFile, busy_s=0.01))
    with locked(path), pytest.raises(Busy):
        await open_journal(path, OWNER, clock=clock, offload=InlineOffload())
    async with joined(path, clock) as journal:
        assert (await journal.enter("a", ENDS))[0] == "mine"


async def test_one_that_cannot_join_after_opening_is_closed_too(
    path: Path, clock: AnchoredClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[Journal] = []
    aclose = Journal.aclose

    async def noted(self: Journal) -> None:
        closed.append(self)
        await aclose(self)

    async def never(self: Journal) -> None:
        raise JournalError("full")

    monkeypatch.setattr(Journal, "aclose", noted)
    monkeypatch.setattr(Journal, "join", never)
    with pytest.raises(JournalError, match="full"):
        await open_journal(path, OWNER, clock=clock, offload=InlineOffload())
    assert len(closed) == 1


# --- who lives -----------------------------------------------------------------------------------


def test_this_process_lives_and_one_that_has_ended_is_dead() -> None:
    me = name_of(os.getpid())
    assert len(me.split()) == 4
    assert not is_dead(me)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        name = name_of(child.pid)
        assert not is_dead(name)
        child.kill()
        # Not waited for yet: it is in the process table still.
        while name_of(child.pid):
            pass
        assert is_dead(name)
    assert is_dead(name)


def test_a_process_id_that_was_given_out_again_is_not_the_old_process() -> None:
    *place, started = name_of(os.getpid()).split()
    assert is_dead(" ".join([*place, str(int(started) - 1)]))


@pytest.mark.parametrize("part", [0, 1])
def test_of_other_machines_and_containers_nothing_is_claimed_to_be_known(part: int) -> None:
    parts = name_of(os.getpid()).split()
    parts[part] = "another"
    parts[3] = "1"
    assert not is_dead(" ".join(parts))


@pytest.mark.parametrize("name", ["", "of another release"])
def test_a_name_that_says_nothing_is_left_to_the_lease(name: str) -> None:
    assert not is_dead(name)


def test_where_the_system_does_not_tell_nobody_is_dead(tmp_path: Path) -> None:
    me = name_of(os.getpid())
    assert name_of(os.getpid(), proc=tmp_path) == ""
    assert not is_dead(" ".join([*me.split()[:3], "1"]), proc=tmp_path)


# --- in threads ----------------------------------------------------------------------------------


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_it_works_through_threads(path: Path, clock: AnchoredClock) -> None:
    journal = await open_journal(path, OWNER, clock=clock, offload=ThreadOffload())
    async with anyio.create_task_group() as group:
        for n in range(50):
            group.start_soon(journal.enter, f"{n}", ENDS)
    await journal.aclose()
    assert len(rows(path, "SELECT key FROM files")) == 50
