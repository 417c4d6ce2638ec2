"""Many files with a journal: taken up again from wherever it stopped, alone and by several.

Kills are exact here: at a chosen call the plug is pulled (the call hangs, carried out or not), the
journal is copied as it is on the disk, and another run goes on with the copy. Real kills of real
processes are in `test_bulk_kills.py`.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from io import StringIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

import anyio
import attrs
import httpx
import pytest

from krixik_async import (
    BulkOutcome,
    FileChanged,
    FileInput,
    InvalidArgument,
    JournalError,
    JournalMismatch,
    Krixik,
    Pipeline,
    ProcessFailed,
    RequestRejected,
    RequestVanished,
    SubmitUncertain,
    _sending,
)
from krixik_async._bulk import _prints, _run
from krixik_async._clock import AnchoredClock
from krixik_async._journal import Entry, _writer
from krixik_async._journal._file import JournalFile
from krixik_async._offload import InlineOffload
from tests.client_side import (
    KEY,
    LINK,
    OTHER_KEY,
    OUTPUT,
    STATUS,
    TEXT,
    TICKET,
    UPLOAD,
    URL,
    World,
    entries,
    nothing_runs,
    says,
    world,
)
from tests.test_bulk import collected, filled, inputs, states

pytestmark = pytest.mark.anyio

LOST = httpx.ReadError("connection reset")
SLOW = {"max_in_flight": 1}


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    return filled(tmp_path / "shelf", 3)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "run.db"


def steps(journal: Path) -> dict[str, str]:
    """Read what the journal says, changing nothing."""
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT key, step FROM files").fetchall()
    return {Path(key).name: step for key, step in rows}


async def uploaded(w: World, pipeline: Pipeline) -> int:
    """Count what the server has processed."""
    return len(await pipeline.list(symbolic_directory_paths=["/*"]))


# --- again ---------------------------------------------------------------------------------------


async def test_the_same_call_again_gives_what_had_ended_out_of_the_journal(
    w: World, shelf: Path, journal: Path
) -> None:
    """Nothing is sent or asked again, and the outcomes are the same but for being marked."""
    given = {"journal": journal, "local_save_directory": w.folder / "out"}
    first = await collected(w.books().process_many(shelf, **given))
    sent = len(w.sent)
    second = await collected(w.books().process_many(shelf, **given))
    assert len(w.sent) == sent
    assert states(first) == states(second) == ["complete"] * 3
    assert [one.resumed for one in first] == [False] * 3
    assert [one.resumed for one in second] == [True] * 3
    for one, again in zip(first, second, strict=True):
        assert one.outcome is not None
        assert again.outcome is not None
        assert again.outcome.modules == one.outcome.modules == {"module_1": True}
        for name in ("input", "job", "saved", "file_name", "symbolic_directory_path", "error"):
            assert getattr(again, name) == getattr(one, name), name
    assert steps(journal) == {"00.txt": "fetched", "01.txt": "fetched", "02.txt": "fetched"}


async def test_new_files_are_sent_and_old_ones_are_not(
    w: World, shelf: Path, journal: Path
) -> None:
    books = w.books()
    await collected(books.process_many(shelf, journal=journal))
    (shelf / "99.txt").write_bytes(TEXT)
    outcomes = await collected(books.process_many(shelf, journal=journal))
    assert [one.resumed for one in outcomes] == [True, True, True, False]
    assert await uploaded(w, books) == 4


async def test_a_journal_among_the_files_is_none_of_them(w: World, shelf: Path) -> None:
    books = w.books()
    for _ in range(2):
        outcomes = await collected(books.process_many(shelf, journal=shelf / "run.db"))
        assert inputs(outcomes) == ["00.txt", "01.txt", "02.txt"]


async def test_outputs_asked_for_later_are_fetched_without_sending_anything(
    w: World, shelf: Path, journal: Path
) -> None:
    books = w.books()
    await collected(books.process_many(shelf, journal=journal))
    sent = len(w.sent)
    out = w.folder / "out"
    outcomes = await collected(books.process_many(shelf, journal=journal, local_save_directory=out))
    assert len(entries(out)) == 3
    assert set(w.sent[sent:]) - {OUTPUT} == {path for path in w.sent[sent:] if LINK in path}
    assert [one.resumed for one in outcomes] == [False] * 3


async def test_an_output_that_is_not_on_the_disk_any_more_is_fetched_again(
    w: World, shelf: Path, journal: Path
) -> None:
    books, out = w.books(), w.folder / "out"
    first = await collected(books.process_many(shelf, journal=journal, local_save_directory=out))
    first[1].saved[0].unlink()
    again = await collected(books.process_many(shelf, journal=journal, local_save_directory=out))
    assert [one.resumed for one in again] == [True, False, True]
    assert again[1].saved == first[1].saved
    assert len(entries(out)) == 3
    assert await uploaded(w, books) == 3


async def test_bytes_with_a_key_are_known_again_and_without_one_refused(
    w: World, journal: Path
) -> None:
    files = [
        FileInput(TEXT, file_name="a.txt", key="first"),
        FileInput(TEXT + b"b", file_name="b.txt"),
    ]
    books = w.books()
    for resumed in (False, True):
        async with books.process_many(files, journal=journal, **SLOW) as stream:
            first, second = [outcome async for outcome in stream]
        assert (first.state, first.resumed) == ("complete", resumed)
        assert (second.state, second.job) == ("error", None)
        assert "need a name that lasts" in str(second.error)
    assert steps(journal) == {"first": "complete"}


async def test_a_file_object_with_a_key_is_compared_by_its_content(
    w: World, shelf: Path, journal: Path
) -> None:
    books = w.books()
    for number, state in ((0, "complete"), (0, "complete"), (1, "error")):
        with (shelf / f"{number:02}.txt").open("rb") as file:
            given = FileInput(file, file_name="a.txt", key="mine")
            (outcome,) = await collected(books.process_many([given], journal=journal))
        assert outcome.state == state
    assert isinstance(outcome.error, FileChanged)
    assert await uploaded(w, books) == 1


async def test_a_name_that_is_no_text_is_a_key_all_the_same(w: World, tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    (shelf / b"caf\xe9.txt".decode("utf-8", "surrogateescape")).write_bytes(TEXT)
    books = w.books()
    for resumed in (False, True):
        (outcome,) = await collected(books.process_many(shelf, journal=tmp_path / "run.db"))
        assert (outcome.state, outcome.resumed) == ("complete", resumed)


# --- the plug ------------------------------------------------------------------------------------


@attrs.define
class Plug(httpx.AsyncBaseTransport):
    """Carry calls to the server until the plug is pulled: then every call hangs for ever.

    Pulled at the `at`-th call, before it is carried out or, with `after`, once it was.
    """

    wire: httpx.AsyncBaseTransport
    at: int
    after: bool = False
    calls: int = 0
    pulled: anyio.Event = attrs.field(factory=anyio.Event)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        if self.calls > self.at or (self.calls == self.at and not self.after):
            self.pulled.set()
            await anyio.sleep_forever()
        response = await self.wire.handle_async_request(request)
        if self.calls == self.at:
            await response.aread()
            await response.aclose()
            self.pulled.set()
            await anyio.sleep_forever()
        return response


def client_over(w: World, transport: httpx.AsyncBaseTransport, name: str = "books") -> Pipeline:
    """Give a pipeline of a client of its own over this transport."""
    client = Krixik(
        api_key=KEY,
        api_url=URL,
        http_transport=transport,
        clock=w.clock,
        offload=InlineOffload(),
        rng=random.Random(len(w.clients) + 100),
    )
    w.clients.append(client)
    return w.books(client=client, name=name)


def copied(journal: Path, name: str) -> Path:
    """Give the journal as it is on the disk at this moment, as another file."""
    folder = journal.with_name(name)
    folder.mkdir()
    for suffix in ("", "-wal"):
        if journal.with_name(f"{journal.name}{suffix}").exists():
            shutil.copy2(journal.with_name(f"{journal.name}{suffix}"), folder)
    return folder / journal.name


async def go_on_after(w: World, shelf: Path, at: int, after: bool) -> bool:
    """Pull the plug at the n-th call, go on with a copy; tell whether there was an n-th call."""
    name = f"books_{at}_{after}"
    plug = Plug(w.wire, at, after)
    stream = client_over(w, plug, name).process_many(
        shelf, journal=w.folder / f"{name}.db", local_save_directory=w.folder / "out"
    )
    async with anyio.create_task_group() as group, stream:

        async def run() -> None:
            async for _ in stream:
                pass
            plug.pulled.set()

        group.start_soon(run)
        await plug.pulled.wait()
        there_was = plug.calls >= at
        journal = copied(w.folder / f"{name}.db", name)
        group.cancel_scope.cancel()
    books = w.books(name=name)
    outcomes = await collected(
        books.process_many(shelf, journal=journal, local_save_directory=w.folder / "out")
    )
    assert states(outcomes) == ["complete"] * 2, (at, after)
    assert set(steps(journal).values()) == {"fetched"}
    assert await uploaded(w, books) == 2, (at, after)
    return there_was


async def test_pulling_the_plug_at_any_call_loses_nothing_and_sends_nothing_twice(
    w: World, tmp_path: Path, virtual_backend: Any
) -> None:
    """At every single call of a run: carried out and not answered, and (on trio) not even that."""
    shelf, after = filled(tmp_path / "two", 2), virtual_backend[0] == "asyncio"
    at = 1
    while await go_on_after(w, shelf, at, after):
        at += 1
    assert at > 10


@pytest.mark.parametrize(("at", "after"), [(1, True), (2, False), (2, True)])
async def test_a_name_of_the_callers_is_kept_through_a_kill(
    w: World, journal: Path, monkeypatch: pytest.MonkeyPatch, at: int, after: bool
) -> None:
    """A ticket that the killed process asked for or had holds the name for a minute."""
    monkeypatch.setattr(_writer, "is_dead", lambda _: True)  # taken over at once
    plug = Plug(w.wire, at, after)
    given = [FileInput(TEXT, file_name="mine.txt", key="mine")]
    stream = client_over(w, plug).process_many(given, journal=journal)
    async with anyio.create_task_group() as group, stream:
        group.start_soon(anext, stream)
        await plug.pulled.wait()
        copy = copied(journal, "killed")
        group.cancel_scope.cancel()
    (outcome,) = await collected(w.books().process_many(given, journal=copy))
    assert (outcome.state, outcome.file_name) == ("complete", "mine.txt")
    assert await w.names(w.books()) == ["mine.txt"]


# --- what cannot be gone on with -----------------------------------------------------------------


async def killed_at_upload(w: World, shelf: Path, journal: Path, *, stored: bool = True) -> Path:
    """Send one file, lose its upload, or the answer, with the process; give the journal's copy."""
    plug = Plug(w.wire, 2, after=stored)
    stream = client_over(w, plug).process_many(shelf / "00.txt", journal=journal)
    async with anyio.create_task_group() as group, stream:
        group.start_soon(anext, stream)
        await plug.pulled.wait()
        copy = copied(journal, "killed")
        group.cancel_scope.cancel()
    assert steps(copy) == {"00.txt": "ticketed"}
    return copy


async def test_a_record_that_may_have_come_and_gone_is_undecided_and_stays_so(
    w: World, shelf: Path, journal: Path
) -> None:
    """The file was taken, done and has expired; to send it again would be to guess."""
    copy = await killed_at_upload(w, shelf, journal)
    await w.clock.sleep(2000)
    sent = w.sent.count(TICKET)
    for _ in range(2):
        (outcome,) = await collected(w.books().process_many(shelf / "00.txt", journal=copy))
        assert outcome.state == "undecided"
        assert isinstance(outcome.error, SubmitUncertain)
        assert outcome.request_id == outcome.error.request_id
        assert "is gone: it was never uploaded, or was processed" in str(outcome.error)
    assert w.sent.count(TICKET) == sent
    assert steps(copy) == {"00.txt": "undecided"}


async def test_what_was_sent_with_one_expire_time_is_not_judged_by_another(
    w: World, shelf: Path, journal: Path
) -> None:
    """It was taken and has expired: a longer life asked for now does not make it a lost upload."""
    copy = await killed_at_upload(w, shelf, journal)
    await w.clock.sleep(2000)
    sent = w.sent.count(TICKET)
    stream = w.books().process_many(shelf / "00.txt", journal=copy, expire_time=100_000)
    (outcome,) = await collected(stream)
    assert (outcome.state, w.sent.count(TICKET)) == ("undecided", sent)


@pytest.mark.parametrize(
    "fault",
    [
        {"answer": says(400, b"<Error><Code>EntityTooLarge</Code></Error>")},
        {"answer": says(403, b"<Error><Code>AccessDenied</Code></Error>")},
        {"before": httpx.ConnectError("refused")},
        {"before": LOST},
    ],
)
async def test_an_upload_that_did_not_arrive_is_made_by_the_next_run_however_late(
    w: World, shelf: Path, journal: Path, fault: dict[str, Any]
) -> None:
    """There is nothing to be undecided about, though no record of the ticket is left by then."""
    w.fail(UPLOAD, times=1000, **fault)
    (outcome,) = await collected(w.books().process_many(shelf / "00.txt", journal=journal))
    assert outcome.state == "error"
    w.wire.faults.clear()
    await w.clock.sleep(86_400)
    (outcome,) = await collected(w.books().process_many(shelf / "00.txt", journal=journal))
    assert outcome.state == "complete"
    assert await uploaded(w, w.books()) == 1


async def test_an_error_before_the_look_up_leaves_the_look_up_to_be_made(
    w: World, shelf: Path, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that changes while it is checked says nothing of the upload before the kill."""
    copy = await killed_at_upload(w, shelf, journal)

    async def changed(*_: Any) -> int:
        raise FileChanged("replaced")

    with monkeypatch.context() as patch:
        patch.setattr(_sending, "_check_content", changed)
        (outcome,) = await collected(w.books().process_many(shelf / "00.txt", journal=copy))
    assert (outcome.state, type(outcome.error)) == ("error", FileChanged)
    (outcome,) = await collected(w.books().process_many(shelf / "00.txt", journal=copy))
    assert (outcome.state, w.sent.count(UPLOAD)) == ("complete", 1)


@pytest.mark.parametrize("killed", [False, True])
async def test_a_name_that_was_refused_is_refused_again_at_once(
    w: World, journal: Path, killed: bool
) -> None:
    """No ticket of this journal's holds it: refused, or (after a kill) too long ago."""
    given = [FileInput(TEXT, file_name="mine.txt", key="mine")]
    if killed:
        plug = Plug(w.wire, 1)
        stream = client_over(w, plug).process_many(given, journal=journal)
        async with anyio.create_task_group() as group, stream:
            group.start_soon(anext, stream)
            await plug.pulled.wait()
            group.cancel_scope.cancel()
        await w.clock.sleep(400)
    await w.done(w.books(), "mine.txt")
    for _ in range(2):
        began = w.clock.now()
        (outcome,) = await collected(w.books().process_many(given, journal=journal))
        assert (outcome.state, type(outcome.error)) == ("error", RequestRejected)
        assert w.clock.now() - began < 30


async def test_what_was_undecided_in_an_outage_is_decided_by_the_next_run(
    w: World, shelf: Path, journal: Path
) -> None:
    copy = await killed_at_upload(w, shelf, journal)
    w.fail(STATUS, before=LOST, times=1000)
    (outcome,) = await collected(w.books().process_many(shelf / "00.txt", journal=copy))
    assert outcome.state == "undecided"
    w.wire.faults.clear()
    (outcome,) = await collected(w.books().process_many(shelf / "00.txt", journal=copy))
    assert outcome.state == "complete"
    assert await uploaded(w, w.books()) == 1


@pytest.mark.parametrize("stored", [True, False])
async def test_an_input_that_changed_after_a_kill_is_sent_only_if_the_old_one_did_not_arrive(
    w: World, shelf: Path, journal: Path, stored: bool
) -> None:
    copy = await killed_at_upload(w, shelf, journal, stored=stored)
    (shelf / "00.txt").write_bytes(b"Something else: " + TEXT)
    (outcome,) = await collected(w.books().process_many(shelf / "00.txt", journal=copy))
    if stored:
        assert isinstance(outcome.error, FileChanged)
        assert outcome.error.request_id == outcome.request_id is not None
        assert steps(copy) == {"00.txt": "uploaded"}
    else:
        assert outcome.state == "complete"
        (again,) = await collected(w.books().process_many(shelf / "00.txt", journal=copy))
        assert (again.state, again.resumed) == ("complete", True)
    assert await uploaded(w, w.books()) == 1


async def test_an_input_that_changed_since_is_told_and_the_journal_left_alone(
    w: World, shelf: Path, journal: Path
) -> None:
    books = w.books()
    await collected(books.process_many(shelf, journal=journal))
    old = (shelf / "00.txt").read_bytes()
    (shelf / "00.txt").write_bytes(old[::-1])  # of the same size
    (shelf / "01.txt").write_bytes((shelf / "01.txt").read_bytes())  # touched only
    (shelf / "02.txt").unlink()
    files = [shelf / f"{n:02}.txt" for n in range(3)]
    changed, touched, gone = await collected(books.process_many(files, journal=journal))
    assert (changed.state, type(changed.error)) == ("error", FileChanged)
    assert "has changed since it was sent" in str(changed.error)
    assert changed.outcome is not None  # what it was stays known
    assert (touched.state, touched.resumed, gone.state, gone.resumed) == (
        "complete", True, "complete", True,
    )  # fmt: skip
    (shelf / "00.txt").write_bytes(old)
    outcomes = await collected(books.process_many(files, journal=journal))
    assert states(outcomes) == ["complete"] * 3
    assert await uploaded(w, books) == 3


async def test_other_arguments_than_it_was_sent_with_are_told(
    w: World, shelf: Path, journal: Path
) -> None:
    books = w.books()
    given: dict[str, Any] = {"journal": journal, "file_tags": [{"kind": "novel"}]}
    await collected(books.process_many(shelf, **given))
    given["file_tags"] = ({"kind": "novel"},)
    assert states(await collected(books.process_many(shelf, **given))) == ["complete"] * 3
    for tags in ([{"kind": "poem"}], None, {1}, [{1: "a", "b": "c"}], [{"kind": "\ud800"}]):
        given["file_tags"] = tags
        (outcome,) = await collected(books.process_many(shelf / "00.txt", **given))
        assert isinstance(outcome.error, InvalidArgument)
        assert "was sent with other arguments" in str(outcome.error)


async def test_an_error_is_tried_again_by_the_next_run(
    w: World, shelf: Path, journal: Path
) -> None:
    """What was wrong may have been put right: the file, the network, the disk."""
    books = w.books()
    files = [shelf / "00.txt", shelf / "later.txt"]
    first = await collected(books.process_many(files, journal=journal))
    assert states(first) == ["complete", "error"]
    assert steps(journal)["later.txt"] == "error"
    (shelf / "later.txt").write_bytes(TEXT)
    assert states(await collected(books.process_many(files, journal=journal))) == ["complete"] * 2


async def test_what_is_no_file_at_all_any_more_is_told(
    w: World, shelf: Path, journal: Path
) -> None:
    books = w.books()
    good = FileInput(TEXT, file_name="a.txt", key="mine", modules={"keyword-db": {}})
    await collected(books.process_many([good], journal=journal))
    for bad in (42, StringIO("text")):
        wrong = attrs.evolve(good, local_file_path=bad)
        (outcome,) = await collected(books.process_many([wrong], journal=journal))
        assert isinstance(outcome.error, FileChanged)
    with (shelf / "00.txt").open("rb") as file:
        file.close()
        closed = attrs.evolve(good, local_file_path=file, modules=MappingProxyType(good.modules))
        (outcome,) = await collected(books.process_many([closed], journal=journal))
    assert (outcome.state, outcome.resumed) == ("complete", True)


async def test_an_error_of_one_worker_is_the_others_outcome_too(
    w: World, shelf: Path, journal: Path
) -> None:
    """While that worker is at work: they need not all stumble over the same stone."""
    files = [shelf / "missing.txt", shelf / "00.txt"]
    async with w.books().process_many(files, journal=journal, **SLOW) as one:
        first = await anext(one)
        other = w.books(client=w.another()).process_many(files, journal=journal, **SLOW)
        second = await anext(other)
        await other.aclose()
    assert (first.resumed, second.resumed) == (False, True)
    for outcome in (first, second):
        assert outcome.state == "error"
        assert isinstance(outcome.error, InvalidArgument)
    assert str(first.error) == str(second.error)


async def test_a_file_that_cannot_be_read_any_more_when_it_is_noted_is_not_noted(
    w: World, shelf: Path, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def torn(path: Path) -> str:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(_prints, "_of_path", torn)
    books = w.books()
    (outcome,) = await collected(books.process_many(shelf / "00.txt", journal=journal))
    assert outcome.state == "complete"
    os.utime(shelf / "00.txt", (1, 1))
    (outcome,) = await collected(books.process_many(shelf / "00.txt", journal=journal))
    assert (outcome.state, outcome.resumed) == ("complete", True)


async def test_a_pipe_put_in_the_place_of_a_file_holds_nothing_up(
    w: World, shelf: Path, journal: Path
) -> None:
    """Neither where it is noted, nor where it is sent."""
    pipes = [shelf / f"pipe {n}.txt" for n in range(3)]
    for pipe in pipes:
        os.mkfifo(pipe)
    entry = _prints.noted(Entry(key="a"), pipes[0], "", None)
    assert (entry.size, entry.sha256) == (None, None)
    outcomes = await collected(w.books().process_many(pipes, journal=journal))
    assert states(outcomes) == ["error"] * 3


async def test_an_outage_while_waiting_is_gone_on_with_and_not_sent_again(
    w: World, shelf: Path, journal: Path
) -> None:
    books = w.books()
    w.fail(STATUS, before=LOST, times=10_000)
    (outcome,) = await collected(books.process_many(shelf / "00.txt", journal=journal))
    assert outcome.state == "error"
    w.wire.faults.clear()
    (outcome,) = await collected(books.process_many(shelf / "00.txt", journal=journal))
    assert (outcome.state, w.sent.count(UPLOAD)) == ("complete", 1)


async def test_an_output_that_could_not_be_fetched_is_fetched_by_the_next_run(
    w: World, shelf: Path, journal: Path
) -> None:
    books, given = w.books(), {"journal": journal, "local_save_directory": w.folder / "out"}
    w.fail(OUTPUT, answer=says(400, {"request_id": "x", "message": "no"}))
    (outcome,) = await collected(books.process_many(shelf / "00.txt", **given))
    assert (outcome.state, outcome.outcome and outcome.outcome.state) == ("error", "complete")
    (outcome,) = await collected(books.process_many(shelf / "00.txt", **given))
    assert (outcome.state, w.sent.count(UPLOAD)) == ("complete", 1)


async def test_an_output_that_could_not_be_fetched_and_is_not_asked_for_now_is_no_error(
    w: World, shelf: Path, journal: Path
) -> None:
    books = w.books()
    w.fail(OUTPUT, answer=says(400, {"request_id": "x", "message": "no"}))
    stream = books.process_many(shelf / "00.txt", journal=journal, local_save_directory=w.folder)
    assert states(await collected(stream)) == ["error"]
    for resumed in (False, True):
        (outcome,) = await collected(books.process_many(shelf / "00.txt", journal=journal))
        assert (outcome.state, outcome.error, outcome.resumed) == ("complete", None, resumed)
    assert steps(journal) == {"00.txt": "complete"}


async def test_an_error_whose_words_are_no_text_is_one_files_all_the_same(
    w: World, shelf: Path, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names a path as the disk has it; a database takes text only."""

    async def changed(*_: Any) -> int:
        raise FileChanged("caf\udce9.txt was replaced by another file")

    with monkeypatch.context() as patch:
        patch.setattr(_sending, "_check_content", changed)
        outcomes = await collected(w.books().process_many(shelf, journal=journal))
    assert states(outcomes) == ["error"] * 3
    again = await collected(w.books().process_many(shelf, journal=journal))
    assert states(again) == ["complete"] * 3


async def test_a_journal_behind_a_link_and_a_folder_that_is_left_are_no_matter(
    w: World, shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite keeps the -wal beside the file itself."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "link.db").symlink_to(tmp_path / "deep" / "run.db")
    monkeypatch.chdir(tmp_path)
    async with w.books().process_many(shelf, journal="link.db", **SLOW) as stream:
        outcomes = [await anext(stream)]
        monkeypatch.chdir(tmp_path / "deep")
        outcomes += [outcome async for outcome in stream]
    assert states(outcomes) == ["complete"] * 3
    assert entries(tmp_path / "deep") == ["run.db"]
    assert (tmp_path / "deep" / "run.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("hours", [-30, 3, 100_000])
async def test_a_journal_gone_on_with_by_another_clock_waits_for_what_is_alive(
    tmp_path: Path, shelf: Path, journal: Path, hours: int
) -> None:
    """By that clock its records have expired long ago; the service says otherwise."""
    async with world(tmp_path, min_module_seconds=200) as w:
        async with w.books().process_many(shelf, journal=journal) as stream:
            with anyio.move_on_after(60):
                await anext(stream)
        assert steps(journal) == dict.fromkeys(["00.txt", "01.txt", "02.txt"], "running")
        other = Krixik(
            api_key=KEY,
            api_url=URL,
            http_transport=w.wire,
            clock=AnchoredClock(w.clock.wall() + 3600.0 * hours),
            offload=InlineOffload(),
            rng=random.Random(1),
        )
        w.clients.append(other)
        outcomes = await collected(w.books(client=other).process_many(shelf, journal=journal))
        assert states(outcomes) == ["complete"] * 3
        assert await uploaded(w, w.books()) == 3


async def test_failures_and_vanished_records_come_out_of_the_journal_as_they_were(
    w: World, shelf: Path, journal: Path
) -> None:
    books = w.books()
    failure = {"process_id": "x", "failure_module": "module_1.keyword-db"}
    told = {"request_id": "x", "file_id": "y", "message": "", "process_status": None}
    gone = says(400, {"request_id": "x", "message": "process_id was not found - x"})
    w.fail(STATUS, answer=says(200, {**told, "failure_status": failure}))
    (failed,) = await collected(books.process_many(shelf / "00.txt", journal=journal))
    w.fail(STATUS, answer=gone, times=99)
    (vanished,) = await collected(books.process_many(shelf / "01.txt", journal=journal))
    sent = len(w.sent)
    again = await collected(
        books.process_many([shelf / "00.txt", shelf / "01.txt"], journal=journal)
    )
    assert len(w.sent) == sent
    assert states(again) == ["failed", "vanished"] == [failed.state, vanished.state]
    assert isinstance(again[0].error, ProcessFailed)
    assert again[0].error.failure_module == "module_1.keyword-db"
    assert isinstance(again[1].error, RequestVanished)
    assert again[1].outcome is not None
    assert again[1].outcome.state == "deleted"


async def test_a_journal_of_another_account_ends_it_before_anything_is_sent(
    w: World, shelf: Path, journal: Path
) -> None:
    await collected(w.books().process_many(shelf, journal=journal))
    sent = len(w.sent)
    other = w.books(client=w.another(OTHER_KEY))
    with pytest.raises(JournalMismatch, match="another account"):
        await anext(other.process_many(shelf, journal=journal))
    with pytest.raises(JournalMismatch, match="of pipeline books"):
        await anext(w.books(name="films").process_many(shelf, journal=journal))
    assert len(w.sent) == sent


async def test_a_disk_that_fills_up_ends_it_and_the_same_call_goes_on(
    w: World, tmp_path: Path, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = filled(tmp_path / "many", 12)
    books, write, writes = w.books(), JournalFile.write, 0

    def filling(self: JournalFile, group: Any) -> None:
        nonlocal writes
        writes += 1
        if writes == 25:
            self._connection.execute("PRAGMA max_page_count = 1")
            raise sqlite3_full(self)
        write(self, group)

    def sqlite3_full(self: JournalFile) -> Exception:
        with pytest.raises(JournalError) as info, self._explained(), self._transaction():
            self._connection.execute("CREATE TABLE filler AS SELECT zeroblob(100000)")
        return info.value

    monkeypatch.setattr(JournalFile, "write", filling)
    outcomes: list[BulkOutcome] = []

    async def collect() -> None:
        async for outcome in books.process_many(shelf, journal=journal, max_in_flight=3):
            outcomes.append(outcome)

    with pytest.raises(JournalError, match="the disk is full"):
        await collect()
    assert 0 < len(outcomes) < 12
    await nothing_runs(w)
    again = await collected(books.process_many(shelf, journal=journal))
    assert states(again) == ["complete"] * 12
    assert await uploaded(w, books) == 12


async def test_a_lease_that_cannot_be_renewed_ends_it(
    w: World, shelf: Path, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(self: Any) -> None:
        await w.clock.sleep(15)
        raise JournalError("the disk is full")

    monkeypatch.setattr(_writer.Journal, "heartbeat", failing)
    w.fail(STATUS, before=LOST, times=1000)
    with pytest.raises(JournalError, match="the disk is full"):
        await anext(w.books().process_many(shelf, journal=journal))


async def test_no_secret_is_in_the_journal(w: World, shelf: Path, journal: Path) -> None:
    """Neither the key, nor the url with it, nor what the upload's form is signed with."""
    seen: list[bytes] = []

    def keep(_: httpx.Request, response: httpx.Response) -> httpx.Response:
        form = response.json()["presigned_post_url_results"]
        seen.extend(str(value).encode() for value in form["fields"].values())
        seen.append(form["url"].encode())
        return response

    w.fail(TICKET, answer=keep, times=9)
    w.fail(UPLOAD, answer=says(403, b"<Error>SignatureDoesNotMatch canary-4711</Error>"), times=4)
    stream = w.books().process_many(shelf, journal=journal, max_in_flight=1)
    content = b""
    async for _ in stream:
        content += b"".join(p.read_bytes() for p in journal.parent.glob("run.db*"))
    secrets = [secret for secret in seen if len(secret) > 8]
    assert len(secrets) > 10
    assert [s for s in [*secrets, KEY.encode(), b"canary-4711", URL.encode()] if s in content] == []
    assert b"ticketed" in content


# --- several workers -----------------------------------------------------------------------------


async def test_four_workers_share_the_work_and_each_yields_every_outcome(
    w: World, tmp_path: Path, journal: Path
) -> None:
    shelf = filled(tmp_path / "many", 24)
    found: list[list[BulkOutcome]] = []

    async def work() -> None:
        books = w.books(client=w.another())
        found.append(await collected(books.process_many(shelf, journal=journal, max_in_flight=3)))

    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(work)
    own = [sum(not one.resumed for one in outcomes) for outcomes in found]
    assert [len(outcomes) for outcomes in found] == [24] * 4
    assert {state for outcomes in found for state in states(outcomes)} == {"complete"}
    assert sum(own) == 24
    assert min(own) > 0
    assert await uploaded(w, w.books()) == 24


@pytest.fixture
def first_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first worker of a journal not be heard of, as one that is suspended."""
    heartbeat = _writer.Journal.heartbeat

    async def unless_first(self: Any) -> None:
        if self.worker == 1:
            await anyio.sleep_forever()
        await heartbeat(self)

    monkeypatch.setattr(_writer.Journal, "heartbeat", unless_first)


@pytest.mark.usefixtures("first_is_silent")
async def test_the_share_of_a_worker_that_froze_is_taken_over_and_it_finds_out_when_it_wakes(
    w: World, tmp_path: Path, journal: Path
) -> None:
    """It does nothing more to what is not its own, and gives the outcomes of whoever took over."""
    shelf = filled(tmp_path / "many", 12)
    frozen = Freezing(w.wire, at=7)
    results: dict[str, list[BulkOutcome]] = {}
    began = w.clock.now()

    async def work(name: str, books: Pipeline) -> None:
        stream = books.process_many(shelf, journal=journal, max_in_flight=3)
        results[name] = await collected(stream)
        if name != "frozen":
            assert 60 <= w.clock.now() - began < 200

    async with anyio.create_task_group() as group:
        group.start_soon(work, "frozen", client_over(w, frozen))
        await frozen.froze.wait()
        for name in ("b", "c", "d"):
            group.start_soon(work, name, w.books(client=w.another()))
        await w.clock.sleep(1000)
        assert sorted(results) == ["b", "c", "d"]
        frozen.thaw.set()
    assert sorted(results) == ["b", "c", "d", "frozen"]
    assert {name: states(outcomes) for name, outcomes in results.items()} == dict.fromkeys(
        results, ["complete"] * 12
    )
    assert await uploaded(w, w.books()) == 12
    assert Counter(steps(journal).values()) == {"complete": 12}


@attrs.define
class Freezing(httpx.AsyncBaseTransport):
    """Carry calls until the n-th; from then on hold all back until it thaws."""

    wire: httpx.AsyncBaseTransport
    at: int
    calls: int = 0
    froze: anyio.Event = attrs.field(factory=anyio.Event)
    thaw: anyio.Event = attrs.field(factory=anyio.Event)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        if self.calls >= self.at:
            self.froze.set()
            with anyio.CancelScope(shield=True):
                await self.thaw.wait()
        return await self.wire.handle_async_request(request)


@pytest.mark.usefixtures("first_is_silent")
async def test_what_others_are_at_is_set_aside_in_bounds(
    w: World, tmp_path: Path, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that finds everything taken waits, instead of pulling all there is."""
    monkeypatch.setattr(_run, "SET_ASIDE_MOST", 2)
    shelf = filled(tmp_path / "many", 6)
    frozen = Freezing(w.wire, at=1)
    pulled = 0

    def counting() -> Any:
        nonlocal pulled
        for path in sorted(shelf.iterdir()):
            pulled += 1
            yield path

    async with anyio.create_task_group() as group:
        one = client_over(w, frozen).process_many(sorted(shelf.iterdir()), journal=journal)
        group.start_soon(anext, one)
        await frozen.froze.wait()
        other = w.books().process_many(counting(), journal=journal, max_in_flight=1)
        with anyio.move_on_after(20):
            await anext(other)
        assert pulled <= 4
        assert states(await collected(other)) == ["complete"] * 6
        group.cancel_scope.cancel()
        frozen.thaw.set()


@pytest.mark.usefixtures("first_is_silent")
async def test_what_was_set_aside_does_not_wait_for_a_source_that_has_nothing_to_give(
    w: World, tmp_path: Path, journal: Path
) -> None:
    """As of a queue that gives the next file when it hears of the last one's outcome."""
    shelf = filled(tmp_path / "many", 2)
    first, second = sorted(shelf.iterdir())
    frozen, ended = Freezing(w.wire, at=1), anyio.Event()

    async def queue() -> Any:
        yield first
        await ended.wait()
        yield second

    async with anyio.create_task_group() as group:
        group.start_soon(anext, client_over(w, frozen).process_many([first], journal=journal))
        await frozen.froze.wait()
        found: list[str] = []
        async for outcome in w.books().process_many(queue(), journal=journal, max_in_flight=1):
            found.append(outcome.state)
            ended.set()
        assert found == ["complete"] * 2
        group.cancel_scope.cancel()
        frozen.thaw.set()
