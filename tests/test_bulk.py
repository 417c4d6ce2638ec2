"""Many files in one call: what comes out, what is refused, what bounds it, how it ends.

Everything against the real server in process, in virtual time; what a journal adds is in
`test_bulk_journal.py`.
"""

from __future__ import annotations

import gc
import os
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest

from krixik_async import (
    AuthenticationError,
    BulkOutcome,
    BulkStream,
    ClientClosed,
    FileInput,
    InvalidArgument,
    InvalidArgumentType,
    JobRef,
    Krixik,
    KrixikError,
    ProcessFailed,
    SubmitUncertain,
)
from krixik_async._bulk._apart import takes_from
from krixik_async._bulk._inputs import pull
from krixik_async._bulk._patterns import matching
from krixik_async._offload import InlineOffload
from tests.client_side import (
    LINK,
    OUTPUT,
    STATUS,
    TEXT,
    TICKET,
    UNKNOWN,
    UPLOAD,
    World,
    entries,
    forbidden,
    nothing_runs,
    says,
    world,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A folder of three files."""
    return filled(tmp_path / "shelf", 3)


def filled(folder: Path, count: int) -> Path:
    folder.mkdir()
    for n in range(count):
        (folder / f"{n:02}.txt").write_bytes(b"In chapter %d: " % n + TEXT)
    return folder


async def collected(stream: BulkStream) -> list[BulkOutcome]:
    """Give all outcomes, by input."""
    async with stream:
        outcomes = [outcome async for outcome in stream]
    return sorted(outcomes, key=lambda one: str(one.input.local_file_path))


def tidied(paths: list[str]) -> set[str]:
    return {os.path.normpath(path) for path in paths}


def states(outcomes: list[BulkOutcome]) -> list[str]:
    return [outcome.state for outcome in outcomes]


def inputs(outcomes: list[BulkOutcome]) -> list[str]:
    return [Path(str(outcome.input.local_file_path)).name for outcome in outcomes]


async def test_a_stream_tells_of_itself_and_no_secret(
    w: World, shelf: Path, tmp_path: Path
) -> None:
    journal = tmp_path / "run.db"
    stream = w.books().process_many(shelf, journal=journal)
    told = f"<BulkStream of 'books', journal {str(journal)!r}: "
    assert repr(stream) == told + "not begun, outcomes: 0>"
    await anext(stream)
    assert repr(stream) == told + "under way, outcomes: 1>"
    assert len([outcome async for outcome in stream]) == 2
    assert repr(stream) == told + "ended, outcomes: 3>"
    await stream.aclose()
    assert repr(stream) == told + "closed, outcomes: 3>"
    unused = w.books().process_many(shelf)
    await unused.aclose()
    assert repr(unused) == "<BulkStream of 'books': closed, outcomes: 0>"


# --- what comes out ------------------------------------------------------------------------------


async def test_each_file_of_a_folder_comes_out_once_complete_with_its_job(
    w: World, shelf: Path
) -> None:
    (shelf / ".hidden.txt").write_bytes(TEXT)
    (shelf / "folder").mkdir()
    books = w.books()
    outcomes = await collected(books.process_many(shelf))
    assert inputs(outcomes) == ["00.txt", "01.txt", "02.txt"]
    for outcome in outcomes:
        assert (outcome.state, outcome.ok, outcome.error) == ("complete", True, None)
        assert (outcome.saved, outcome.output, outcome.resumed) == ((), None, False)
        assert isinstance(outcome.job, JobRef)
        assert outcome.outcome is not None
        assert outcome.outcome.state == "complete"
        assert (outcome.request_id, outcome.file_id) == (
            outcome.job.request_id,
            outcome.job.file_id,
        )
        found = await books.list(file_ids=[outcome.file_id])
        assert [record.file_name for record in found] == [outcome.file_name]
        assert found.items[0].symbolic_directory_path == outcome.symbolic_directory_path == "/etc"


async def test_outputs_are_fetched_where_a_folder_is_named(w: World, shelf: Path) -> None:
    outcomes = await collected(w.books().process_many(shelf, local_save_directory=w.folder / "out"))
    for outcome in outcomes:
        assert outcome.output is not None
        assert [str(path) for path in outcome.saved] == list(outcome.output.process_output_files)
        assert outcome.saved[0].name.startswith(outcome.file_id)
        assert outcome.saved[0].stat().st_size > 0
    assert entries(w.folder / "out") == sorted(one.saved[0].name for one in outcomes)


async def test_outputs_are_fetched_into_the_working_folder_where_they_are_asked_for(
    w: World, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (w.folder / "here").mkdir()
    monkeypatch.chdir(w.folder / "here")
    outcomes = await collected(w.books().process_many(shelf, download_output=True))
    assert entries(w.folder / "here") == sorted(one.saved[0].name for one in outcomes)


async def test_outputs_are_not_fetched_where_that_is_declined(w: World, shelf: Path) -> None:
    out = w.folder / "out"
    stream = w.books().process_many(shelf, local_save_directory=out, download_output=False)
    assert states(await collected(stream)) == ["complete"] * 3
    assert not out.exists()


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("*.txt", ["00.txt", "01.txt", "02.txt"]),
        ("0[12].txt", ["01.txt", "02.txt"]),
        ("**/*.txt", ["00.txt", "01.txt", "02.txt", "deep.txt"]),
        ("*/deep.*", ["deep.txt"]),
        (".*", [".hidden.txt"]),
        ("01.txt", ["01.txt"]),
        ("none*", []),
    ],
)
async def test_a_text_is_a_folder_a_file_or_a_pattern(
    w: World, shelf: Path, given: str, names: list[str]
) -> None:
    (shelf / "in").mkdir()
    (shelf / "in" / "deep.txt").write_bytes(TEXT)
    (shelf / ".hidden.txt").write_bytes(TEXT)
    outcomes = await collected(w.books().process_many(f"{shelf}/{given}"))
    assert sorted(inputs(outcomes)) == names
    assert set(states(outcomes)) <= {"complete"}


async def test_links_that_lead_in_circles_name_no_file_twice_and_stop_nothing(
    w: World, shelf: Path
) -> None:
    (shelf / "self.txt").symlink_to("self.txt")
    deep = shelf / "deep" / "deeper"
    deep.mkdir(parents=True)
    (deep / "up.txt").write_bytes(TEXT)
    for name in ("one", "two"):
        (deep / name).symlink_to("../..")
    books = w.books()
    assert inputs(await collected(books.process_many(shelf))) == ["00.txt", "01.txt", "02.txt"]
    found = inputs(await collected(books.process_many(f"{shelf}/**/*.txt")))
    assert sorted(found) == ["00.txt", "01.txt", "02.txt", "up.txt"]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("**", ["00.txt", "a/1.txt", "a/b/2.txt"]),
        ("**/**/*.txt", ["00.txt", "a/1.txt", "a/b/2.txt"]),
        ("*/*.txt", ["a/1.txt", "link/1.txt"]),
        ("a/**/*.txt", ["a/1.txt", "a/b/2.txt"]),
        ("*/b/../1.txt", ["a/b/../1.txt", "link/b/../1.txt"]),
        ("*/b/*.txt", ["a/b/2.txt", "link/b/2.txt"]),
        (".h/*.txt", [".h/3.txt"]),
        ("[a]/*/nothing.txt", []),
        ("self*/*.txt", []),
    ],
)
def test_a_pattern_names_what_a_shell_with_globstar_would(
    tmp_path: Path, pattern: str, names: list[str]
) -> None:
    for name in ("00.txt", "a/1.txt", "a/b/2.txt", ".h/3.txt", "a/.hidden.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(TEXT)
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "self").symlink_to("self")
    found = [name.removeprefix(f"{tmp_path}/") for name in matching(f"{tmp_path}/{pattern}")]
    assert sorted(found) == names


async def test_a_pattern_without_a_folder_is_of_the_working_folder(
    w: World, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shelf)
    outcomes = await collected(w.books().process_many("0[01].txt"))
    assert [one.input.local_file_path for one in outcomes] == ["00.txt", "01.txt"]


async def test_files_may_come_from_an_async_iterable_in_any_shape(w: World, shelf: Path) -> None:
    async def given() -> AsyncIterator[Any]:
        yield shelf / "00.txt"
        await anyio.sleep(5)
        yield str(shelf / "01.txt")
        yield {"local_file_path": shelf / "02.txt", "file_name": "two.txt"}
        yield FileInput(TEXT, file_name="bytes.txt", symbolic_directory_path="/novels")
        yield FileInput(BytesIO(TEXT + b"again"), symbolic_file_path="/novels/stream.txt")

    outcomes = await collected(w.books().process_many(given(), symbolic_directory_path="/all"))
    assert states(outcomes) == ["complete"] * 5
    paths = [f"{one.symbolic_directory_path}/{one.file_name}" for one in outcomes]
    made_up = [path for path in paths if path.startswith("/all/krixik_generated_file_name_")]
    assert sorted(set(paths) - set(made_up)) == [
        "/all/two.txt",
        "/novels/bytes.txt",
        "/novels/stream.txt",
    ]
    assert len(made_up) == 2


async def test_arguments_of_the_call_hold_where_an_input_has_none_of_its_own(w: World) -> None:
    tags, own = [{"kind": "novel"}], [{"kind": "poem"}]
    files = [
        FileInput(TEXT, file_name="a.txt"),
        FileInput(TEXT + b"b", file_name="b.txt", file_tags=own, expire_time=7200),
    ]
    books = w.books()
    stream = books.process_many(files, file_tags=tags, file_description="old", expire_time=3600)
    outcomes = await collected(stream)
    found = await books.list(file_names=["a.txt", "b.txt"], sort_order="ascending")
    told = {record.file_name: record for record in found}
    assert [dict(tag) for tag in told["a.txt"].file_tags] == tags
    assert [dict(tag) for tag in told["b.txt"].file_tags] == own
    assert {record.file_description for record in found} == {"old"}
    lives = {
        str(one.file_name): round(one.job.expires_at - one.job.submitted_at)  # type: ignore[operator, union-attr]
        for one in outcomes
    }
    assert lives == {"a.txt": 3600, "b.txt": 7200}


# --- failures are values -------------------------------------------------------------------------


async def test_what_is_wrong_with_one_input_is_its_outcome_and_stops_no_other(
    w: World, shelf: Path
) -> None:
    files: list[Any] = [
        shelf / "00.txt",
        shelf / "missing.txt",
        42,
        {"local_file_path": shelf / "01.txt", "file_tag": []},
        {"file_name": "nothing.txt"},
        FileInput(TEXT),
        FileInput(TEXT, file_name="x.txt", key=""),
        FileInput(TEXT, file_name="y.txt", expire_time=0),
        shelf / "02.txt",
    ]
    async with w.books().process_many(files, max_in_flight=1) as stream:
        outcomes = [outcome async for outcome in stream]
    assert states(outcomes) == ["complete", *["error"] * 7, "complete"]
    told = [(type(one.error), str(one.error)) for one in outcomes[1:8]]
    for (kind, message), (expected, words) in zip(
        told,
        [
            (InvalidArgument, "missing.txt' cannot be read: No such file"),
            (InvalidArgumentType, "local_file_path is int"),
            (InvalidArgumentType, "'file_tag', which is no argument of a file. Did you mean"),
            (InvalidArgumentType, "local_file_path is NoneType"),
            (InvalidArgument, "has no name of its own"),
            (InvalidArgumentType, "key is '' but must be a text"),
            (InvalidArgument, "expire_time"),
        ],
        strict=True,
    ):
        assert issubclass(kind, expected), message
        assert words in message
    assert outcomes[2].input.local_file_path == 42
    assert [one.job for one in outcomes[1:8]] == [None] * 7
    assert {(one.request_id, one.file_id) for one in outcomes[1:8]} == {("", "")}
    known_by_id = attrs.evolve(outcomes[0], job=JobRef(request_id=UNKNOWN, pipeline="books"))
    assert (known_by_id.request_id, known_by_id.file_id) == (UNKNOWN, "")
    with pytest.raises(InvalidArgument) as info:
        outcomes[1].raise_for_failure()
    assert "missing.txt" in info.value.__notes__[0]
    outcomes[0].raise_for_failure()


async def test_an_input_that_comes_twice_is_sent_once(w: World, shelf: Path) -> None:
    files = [shelf / "00.txt", f"{shelf}/./00.txt", FileInput(shelf / "00.txt", key="again")]
    async with w.books().process_many(files, max_in_flight=1) as stream:
        outcomes = [outcome async for outcome in stream]
    assert states(outcomes) == ["complete", "error", "complete"]
    assert "was given twice in one call" in str(outcomes[1].error)
    assert w.sent.count(UPLOAD) == 2


async def test_two_inputs_for_one_path_on_the_service_are_told_before_anything_is_sent(
    w: World,
) -> None:
    files = [
        FileInput(TEXT, file_name="a.txt", symbolic_directory_path="/novels"),
        FileInput(TEXT + b"b", symbolic_file_path="/novels/A.txt"),  # stored in lower case
        FileInput(TEXT + b"c", file_name="a.txt"),
    ]
    async with w.books().process_many(files, max_in_flight=1) as stream:
        outcomes = [outcome async for outcome in stream]
    assert states(outcomes) == ["complete", "error", "complete"]
    assert "the path '/novels/a.txt' on the service, which another input" in str(outcomes[1].error)
    assert w.sent.count(TICKET) == 2


async def test_a_name_that_is_no_text_is_an_error_of_its_input_alone(w: World, shelf: Path) -> None:
    files = [FileInput(shelf / "00.txt", file_name="\ud800.txt"), shelf / "01.txt"]
    assert states(await collected(w.books().process_many(files))) == ["error", "complete"]


async def test_a_module_that_fails_is_an_outcome_with_its_job(w: World) -> None:
    bad = FileInput(TEXT, file_name="bad.txt")
    w.fail(
        STATUS,
        answer=lambda _request, response: says(
            200,
            {
                "request_id": "00000000-0000-4000-8000-000000000000",
                "file_id": response.json().get("file_id"),
                "message": "SUCCESS: process_status found",
                "process_status": None,
                "failure_status": {"process_id": "x", "failure_module": "module_1.keyword-db"},
            },
        ),
        times=9,
    )
    (outcome,) = await collected(w.books().process_many([bad]))
    assert (outcome.state, outcome.ok) == ("failed", False)
    assert isinstance(outcome.error, ProcessFailed)
    assert outcome.error.failure_module == "module_1.keyword-db"
    assert outcome.error.job == outcome.job
    assert outcome.outcome is not None
    assert outcome.outcome.failure_module == "module_1.keyword-db"


async def test_a_record_that_is_gone_is_an_outcome(w: World, shelf: Path) -> None:
    gone = says(400, {"request_id": "x", "message": "process_id was not found - x"})
    w.fail(STATUS, answer=gone, times=99)
    (outcome,) = await collected(w.books().process_many(shelf / "00.txt"))
    assert (outcome.state, outcome.outcome and outcome.outcome.state) == ("vanished", "deleted")


async def test_what_cannot_be_decided_is_said_with_its_ids(w: World, shelf: Path) -> None:
    w.fail(UPLOAD, after=_lost())
    w.fail(STATUS, before=_lost(), times=10_000)
    (outcome,) = await collected(w.books().process_many(shelf / "00.txt"))
    assert outcome.state == "undecided"
    assert isinstance(outcome.error, SubmitUncertain)
    assert outcome.error.request_id is not None
    assert outcome.request_id == outcome.error.request_id


def _lost() -> Exception:
    import httpx

    return httpx.ReadError("connection reset")


async def test_an_output_that_cannot_be_fetched_is_an_error_of_a_complete_job(
    w: World, shelf: Path
) -> None:
    w.fail(OUTPUT, answer=says(400, {"request_id": "x", "message": "no"}), times=9)
    stream = w.books().process_many(shelf / "00.txt", local_save_directory=w.folder / "out")
    (outcome,) = await collected(stream)
    assert (outcome.state, outcome.outcome and outcome.outcome.state) == ("error", "complete")
    assert outcome.job is not None


async def test_an_outage_of_ten_minutes_while_waiting_is_an_error_with_its_job(
    w: World, shelf: Path
) -> None:
    w.fail(STATUS, before=_lost(), times=10_000)
    (outcome,) = await collected(w.books().process_many(shelf / "00.txt"))
    assert (outcome.state, outcome.outcome and outcome.outcome.state) == ("error", "error")
    assert isinstance(outcome.error, KrixikError)
    assert outcome.job is not None


async def test_on_error_raise_raises_the_first_failure_naming_its_input(
    w: World, shelf: Path
) -> None:
    files = [shelf / "00.txt", shelf / "missing.txt", shelf / "01.txt"]
    stream = w.books().process_many(files, on_error="raise", max_in_flight=1)
    assert (await anext(stream)).ok
    with pytest.raises(InvalidArgument, match="missing") as info:
        await anext(stream)
    assert "missing.txt" in info.value.__notes__[0]
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


# --- bounds --------------------------------------------------------------------------------------


async def test_no_more_than_the_window_is_pulled_and_a_slow_caller_holds_it_back(w: World) -> None:
    """An input counts from being pulled until its outcome is taken."""
    pulled = 0

    def endless() -> Iterator[FileInput]:
        nonlocal pulled
        while True:
            pulled += 1
            yield FileInput(TEXT + b"%d" % pulled, file_name=f"{pulled}.txt")

    async with w.books().process_many(endless(), max_in_flight=4) as stream:
        assert pulled == 0
        for taken in range(1, 30):
            await anext(stream)
            await w.clock.sleep(60)
            assert pulled == taken + 4
    assert pulled == 33


async def test_inputs_that_are_done_with_are_not_kept(w: World) -> None:
    """What is alive of them is no more than the window, once the collector has come by."""

    class Wrong:
        alive = 0

        def __init__(self) -> None:
            Wrong.alive += 1

        def __del__(self) -> None:
            Wrong.alive -= 1

    count, alive = 0, set[int]()
    async with w.books().process_many(Wrong() for _ in range(3_000)) as stream:  # type: ignore[misc]
        async for outcome in stream:
            count += outcome.state == "error"
            del outcome
            if count % 300 == 0:
                gc.collect()
                alive.add(Wrong.alive)
    assert count == 3_000
    assert max(alive) <= 64, alive


async def test_names_of_a_folder_are_read_in_batches(w: World, tmp_path: Path) -> None:
    filled(tmp_path / "big", 70)
    for path in (tmp_path / "big").iterdir():
        path.rename(path.with_suffix(".odd"))  # refused before anything is sent
    async with w.books().process_many(tmp_path / "big", max_in_flight=50) as stream:
        names = {Path(str(one.input.local_file_path)).name async for one in stream}
    assert len(names) == 70


async def test_under_a_rate_limit_no_ticket_dies_waiting_in_line_for_its_upload(
    tmp_path: Path,
) -> None:
    # A ticket lives 60 s; each of 100 files takes two requests, and only one a second may go.
    files = [FileInput(TEXT, file_name=f"{n}.txt") for n in range(100)]
    async with world(tmp_path, rate_limit=1.0) as w:
        outcomes = await collected(w.books().process_many(files, max_in_flight=100))
        assert states(outcomes) == ["complete"] * 100
        assert w.wire.paths.count(TICKET) == w.wire.paths.count(UPLOAD) == 100


async def test_with_a_slot_a_minute_no_ticket_dies_while_all_permits_wait_for_slots(
    tmp_path: Path,
) -> None:
    # A ticket lives 60 s; the two permits are with files whose turn comes minutes later.
    files = [FileInput(TEXT, file_name=f"{n}.txt") for n in range(6)]
    async with world(tmp_path, rate_limit=1 / 60, max_in_flight=2) as w:
        outcomes = await collected(w.books().process_many(files, expire_time=86_400))
        assert states(outcomes) == ["complete"] * 6
        assert w.wire.paths.count(TICKET) == w.wire.paths.count(UPLOAD) == 6


# --- the end -------------------------------------------------------------------------------------


async def test_nothing_is_done_before_the_first_outcome_is_asked_for(w: World, shelf: Path) -> None:
    stream = w.books().process_many(shelf)
    await w.clock.sleep(60)
    assert w.sent == []
    await stream.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_at_its_end_it_stays_at_its_end(w: World, shelf: Path) -> None:
    stream = w.books().process_many(shelf)
    assert len([outcome async for outcome in stream]) == 3
    assert [outcome async for outcome in stream] == []
    await stream.aclose()
    await stream.aclose()


async def test_left_early_it_stops_pulling_and_leaves_no_task(w: World, tmp_path: Path) -> None:
    filled(tmp_path / "big", 40)
    async with w.books().process_many(tmp_path / "big", max_in_flight=4) as stream:
        async for _ in stream:
            break
    sent = len(w.sent)
    await w.clock.sleep(600)
    assert len(w.sent) == sent
    await nothing_runs(w)
    assert await w.done(w.books(), "after.txt")


async def test_what_was_sent_and_not_yet_yielded_is_known_by_its_ids(
    w: World, tmp_path: Path
) -> None:
    """After leaving too: nothing of it is on the service that cannot be waited for."""
    filled(tmp_path / "big", 40)
    books = w.books()
    stream = books.process_many(tmp_path / "big", max_in_flight=4)
    assert stream.outstanding == ()
    first = await anext(stream)
    await stream.aclose()
    left = await books.wait_until_complete(stream.outstanding)
    assert 2 <= len(left) <= 4
    known = {outcome.file_id for outcome in left.complete} | {first.file_id}
    stored = books.iter_files(symbolic_directory_paths=["/*"])
    assert {record.file_id async for record in stored} == known


async def test_at_the_end_nothing_is_outstanding(w: World, shelf: Path) -> None:
    (shelf / "03.odd").write_bytes(b"refused before anything is sent")
    async with w.books().process_many(shelf) as stream:
        assert len([outcome async for outcome in stream]) == 4
    assert stream.outstanding == ()


async def test_dropped_it_stops_by_itself(w: World, tmp_path: Path) -> None:
    filled(tmp_path / "big", 40)
    stream = w.books().process_many(tmp_path / "big", max_in_flight=4)
    await anext(stream)
    del stream
    gc.collect()
    await w.clock.sleep(1)
    sent = len(w.sent)
    await w.clock.sleep(600)
    assert len(w.sent) == sent
    await nothing_runs(w)


async def test_a_cancelled_wait_for_the_next_loses_no_outcome(w: World, shelf: Path) -> None:
    async with w.books().process_many(shelf) as stream:
        outcomes: list[BulkOutcome] = []
        while len(outcomes) < 3:
            with anyio.move_on_after(0.05):
                outcomes.append(await anext(stream))
    assert sorted(inputs(outcomes)) == ["00.txt", "01.txt", "02.txt"]


async def test_a_rejected_key_ends_it_all(w: World, shelf: Path) -> None:
    w.fail(TICKET, answer=forbidden(), times=99)
    stream = w.books().process_many(shelf)
    with pytest.raises(AuthenticationError):
        await anext(stream)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_client_that_is_closed_meanwhile_is_no_end_of_the_files(
    w: World, shelf: Path
) -> None:
    client: Krixik = w.another()
    w.fail(STATUS, before=_lost(), times=10_000)
    stream = w.books(client=client).process_many(shelf)
    async with anyio.create_task_group() as group:

        async def close() -> None:
            await w.clock.sleep(30)
            await client.aclose()

        group.start_soon(close)
        with pytest.raises(ClientClosed):
            await anext(stream)


async def test_a_client_that_is_closed_while_files_are_looked_for_is_no_end_either(
    w: World,
) -> None:
    async def slow() -> AsyncIterator[Path]:
        await anyio.sleep(1000)
        yield Path("never")

    client = w.another()
    await client.check_in()
    stream = w.books(client=client).process_many(slow())
    async with anyio.create_task_group() as group:

        async def close() -> None:
            await w.clock.sleep(30)
            await client.aclose()

        group.start_soon(close)
        with pytest.raises(ClientClosed, match="before all files were done"):
            await anext(stream)


async def test_an_error_of_the_callers_own_iterable_comes_after_what_was_begun(
    w: World, shelf: Path
) -> None:
    def given() -> Iterator[Path]:
        yield shelf / "00.txt"
        yield shelf / "01.txt"
        raise LookupError("my own")

    stream = w.books().process_many(given())
    outcomes = [await anext(stream), await anext(stream)]
    with pytest.raises(LookupError, match="my own"):
        await anext(stream)
    assert states(outcomes) == ["complete"] * 2


# --- arguments -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "given", "match"),
    [
        (5, {}, "files is int but must be a folder"),
        ("", {}, "files is an empty text"),
        (TEXT, {}, "files is bytes"),
        (FileInput("a.txt"), {}, "files is .*FileInput"),
        ({"local_file_path": "a"}, {}, "files is dict"),
        ([], {"max_in_flight": 0}, "max_in_flight is 0 but must be 1 or more"),
        ([], {"max_in_flight": True}, "max_in_flight is bool"),
        ([], {"max_in_flight": 1.5}, "max_in_flight is float"),
        ([], {"journal": ""}, "journal is '', which cannot be the name"),
        ([], {"journal": "a\0b"}, "cannot be the name of a file"),
        ([], {"journal": 5}, "journal is int but must be a path"),
        ([], {"on_error": "ignore"}, "on_error is 'ignore' but must be one of"),
        ([], {"download_output": "yes"}, "download_output is str"),
        ([], {"local_save_directory": 5}, "local_save_directory is int"),
        ([], {"poll": 3}, "poll is 3"),
        ([], {"local_save_directory": "out", "max_in_flight": -1}, "max_in_flight is -1"),
        ("shelf", {"local_save_directory": "shelf"}, "is a folder that the files are taken from"),
        ("shelf/*.txt", {"local_save_directory": "./shelf"}, "is a folder that the files"),
        ("shelf/**/*.txt", {"local_save_directory": "shelf/out"}, "is a folder that the files"),
    ],
)
async def test_what_is_wrong_for_all_is_refused_at_once(
    w: World, files: Any, given: dict[str, Any], match: str
) -> None:
    with pytest.raises((InvalidArgument, InvalidArgumentType), match=match):
        w.books().process_many(files, **given)
    assert w.sent == []


@pytest.mark.parametrize(
    "source",
    [
        "", "in", "in/*", "in/*.txt", "in/**", "in/**/*.txt", "in/**/b/*.txt",
        "in/a/../**/x.txt", "in/*/x.txt", "in/*/*/x.txt", "in/?/b/*", "in/[!a]*/x.txt", "in/a**/x*",
        "**/a/*.txt", "*/*.txt", "in/.*/*.txt", "in/**/.h/*.txt",
    ],
)  # fmt: skip
async def test_outputs_may_be_saved_wherever_no_file_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """Held against what is found: of every folder of a tree, those that a source takes from."""
    monkeypatch.chdir(tmp_path)
    folders = [Path(name) for name in ("", "in", "in/a", "in/a/b", "in/b", "in/.h", "in/.h/a", "k")]
    for folder in folders:
        folder.mkdir(exist_ok=True)
        (folder / "x.txt").touch()
    found = [str(name) async for name in pull(source, InlineOffload(), lambda _: False)]
    by_name = [str(folder / "x.txt") for folder in folders if takes_from(source, folder)]
    assert tidied(by_name) == tidied(found)
    assert not takes_from("in/x.txt", Path("in"))  # one file is not looked for


async def test_a_file_whose_name_looks_like_a_pattern_is_one_file(
    w: World, shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shelf.parent)
    (shelf / "a[1].txt").write_bytes(TEXT)
    name = f"{shelf.name}/a[1].txt"
    (outcome,) = await collected(w.books().process_many(name, local_save_directory=shelf))
    assert outcome.ok
    assert outcome.input.local_file_path == name


class BytesPath:
    def __fspath__(self) -> bytes:
        return b"shelf"


async def test_a_path_of_bytes_is_refused(w: World) -> None:
    with pytest.raises(InvalidArgumentType, match="BytesPath whose path is not a str"):
        w.books().process_many(BytesPath())  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentType, match="BytesPath whose path is not a str"):
        w.books().process_many([], journal=BytesPath())  # type: ignore[arg-type]
    (outcome,) = await collected(w.books().process_many([BytesPath()]))  # type: ignore[list-item]
    assert isinstance(outcome.error, InvalidArgumentType)


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ("nowhere", "'nowhere' is neither a folder, nor a file, nor a pattern"),
        ("no\0where", "is neither"),
        ("x" * 5000, "cannot be read: File name too long"),
        ("nowhere/*.txt", "'nowhere' cannot be read: No such file"),
    ],
)
async def test_files_that_are_not_there_are_refused(w: World, files: str, match: str) -> None:
    with pytest.raises(InvalidArgument, match=match):
        await anext(w.books().process_many(files, local_save_directory="out"))


def test_bytes_are_not_shown() -> None:
    assert "striking" not in repr(FileInput(TEXT, file_name="a.txt"))
    assert repr(FileInput("a.txt")).startswith("FileInput(local_file_path='a.txt'")


async def test_links_that_expire_are_asked_for_again(w: World, shelf: Path) -> None:
    w.fail(LINK, answer=says(403, b"expired"))
    stream = w.books().process_many(shelf, local_save_directory=w.folder / "out")
    assert states(await collected(stream)) == ["complete"] * 3
