"""The engine: order, time, failures, and what a stop in the middle leaves."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import anyio
import pytest

from krixik_async._offload import InlineOffload
from krixik_async.server import _engine
from krixik_async.server._records import Record, new_id
from krixik_async.server._store import open_store
from krixik_async.server.runners import RunRequest
from tests.server_side import EPOCH, TEXT, Api, names, serving, settle, submission, write

pytestmark = pytest.mark.anyio

CHAIN = ("parser", "json-to-txt", "keyword-db")


class Scripted(InlineOffload):
    """Compute as usual, but raise what a list says first, one an attempt; remember the order."""

    def __init__(self, *errors: Exception | None) -> None:
        self.errors = list(errors)
        self.ran: list[str] = []

    async def __call__(self, function: Any, /, *args: Any) -> Any:
        request: RunRequest = args[0]
        self.ran.append(request.module)
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        return await super().__call__(function, *args)


async def failure(api: Api, ticket: dict[str, Any]) -> Any:
    return (await api.status(ticket["request_id"])).json()["failure_status"]


async def test_files_are_processed_in_order_of_upload_so_many_at_a_time(tmp_path: Path) -> None:
    """The ticket's order does not count; one worker does one file after the other."""
    async with serving(tmp_path, min_module_seconds=10, workers=2) as api:
        tickets = [await api.submit(file_name=f"{number}.txt") for number in range(4)]
        for ticket in reversed(tickets):
            await api.upload(ticket)
        await settle()
        done = []
        for _ in range(2):
            api.clock.advance(10)
            await settle()
            done.append(
                {item["file_name"] for item in (await api.list(created_at_start=0))["items"]}
            )
        assert done == [{"2.txt", "3.txt"}, {"0.txt", "1.txt", "2.txt", "3.txt"}]


class Ordered(InlineOffload):
    """Compute as usual; remember the file of each run."""

    def __init__(self) -> None:
        self.files: list[str] = []

    async def __call__(self, function: Any, /, *args: Any) -> Any:
        self.files.append(args[0].source.parent.name)
        return await super().__call__(function, *args)


async def test_who_sends_many_files_delays_others_by_one_at_most(tmp_path: Path) -> None:
    compute = Ordered()
    async with serving(tmp_path, compute=compute, workers=1, min_module_seconds=1) as api:
        many = [await api.process(file_name=f"{number}.txt") for number in range(3)]
        other_pipeline = await api.process(pipeline="letters")
        other_account = await api.as_other().process()
        for _ in range(5):
            api.clock.advance(1)
            await settle()
    expected = [many[0], other_account, other_pipeline, many[1], many[2]]
    assert compute.files == [ticket["file_id"] for ticket in expected]


async def test_no_more_is_taken_while_too_much_waits(tmp_path: Path) -> None:
    """The answer is one that clients repeat; what has been taken is not in doubt."""
    async with serving(tmp_path, max_waiting=2, workers=1, min_module_seconds=1) as api:
        for number in range(2):
            await api.process(file_name=f"{number}.txt")
        refused = await api.post("/krixik-core-process", submission(file_name="2.txt"))
        assert (refused.status_code, refused.json()["message"]) == (
            429,
            "TOO MANY REQUESTS: 2 files wait to be processed, try again later",
        )
        api.clock.advance(1)
        await settle()
        await api.process(file_name="2.txt")


async def test_the_worker_of_a_file_that_expires_is_stopped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It would go on for nobody; its worker takes the next file, and nothing of it stays."""

    class Endless(InlineOffload):
        async def __call__(self, function: Any, /, *args: Any) -> Any:
            if args[0].module == "parser":
                write(args[0].destination, b"half an out")
                await anyio.sleep_forever()
            return await super().__call__(function, *args)

    async with serving(tmp_path, compute=Endless(), workers=1) as api:
        ended = await api.process(chain=("parser",), pipeline="endless")
        waiting = await api.process(expire_time=5000)
        api.clock.advance(1800)
        await settle()
        assert (await api.status(waiting["request_id"])).json()["process_status"] == {
            "module_1.keyword-db": True
        }
        assert names(tmp_path / "files") == [waiting["file_id"]]
        assert (await api.status(ended["request_id"], pipeline="endless")).status_code == 400
    assert caplog.messages == []


async def test_a_stop_in_the_middle_goes_on_from_the_last_module_done(tmp_path: Path) -> None:
    """Nothing that was done is done again, nothing is lost, the output is the same."""
    first, second = Scripted(), Scripted()
    async with serving(tmp_path, compute=first, min_module_seconds=10) as api:
        ticket = await api.process(chain=CHAIN)
        waiting = await api.process(chain=CHAIN, file_name="b.txt")
        api.clock.advance(10)
        await settle()
        flags = (await api.status(ticket["request_id"])).json()["process_status"]
        assert list(flags.values()) == [True, False, False]
    async with serving(tmp_path, compute=second) as api:
        await settle()
        assert second.ran == ["json-to-txt", "json-to-txt", "keyword-db", "keyword-db"]
        for each in (ticket, waiting):
            flags = (await api.status(each["request_id"])).json()["process_status"]
            assert list(flags.values()) == [True, True, True]
        found = await api.search("clock", symbolic_directory_paths=["/*"])
        assert len(found["items"]) == 2


@pytest.mark.parametrize(("limit", "failed"), [(200, True), (300, False)])
async def test_an_output_over_the_limit_fails_at_the_last_module(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    limit: int,
    failed: bool,
) -> None:
    """Text and JSON within the limit come out; databases, and what goes on, may be larger."""
    monkeypatch.setattr(_engine, "MAX_OUTPUT_BYTES", limit)
    async with serving(tmp_path) as api:
        ticket = await api.process(chain=("parser",), pipeline="parsed")
        larger = await api.process(chain=CHAIN)
        assert (await failure(api, larger)) is None
        status = (await api.status(ticket["request_id"], pipeline="parsed")).json()
    why = "the output has 232 bytes, the limit is 200"
    where = {
        "process_id": ticket["request_id"],
        "failure_module": "module_1.parser",
        "message": why,
    }
    said = f"process {ticket['request_id']} failed at module_1.parser: {why}"
    assert status["failure_status"] == (where if failed else None)
    assert caplog.messages == ([said] if failed else [])


def test_the_limit_on_outputs_is_the_documented_one() -> None:
    assert _engine.MAX_OUTPUT_BYTES == 5 * 1024 * 1024


async def test_a_module_is_told_the_process_key_of_the_one_before(tmp_path: Path) -> None:
    """After ocr that is "text", not the "snippet" of an upload."""
    store = await open_store(tmp_path, InlineOffload(), EPOCH)
    record = Record(
        file_id=new_id(),
        process_id=new_id(),
        account="account",
        pipeline="books",
        chain=("ocr", "json-to-txt"),
        modules={"module_2": {"model": "base", "params": {}}},
        file_name="a.png",
        symbolic_directory_path="/",
        file_tags=(),
        file_description="",
        expire_time=1800,
        ends_at=EPOCH + 1800,
        state="processing",
        modules_done=1,
        uploaded_at=EPOCH,
    )
    await store.add(record, EPOCH)
    await store.aclose()
    seen: list[RunRequest] = []

    class Seeing(InlineOffload):
        async def __call__(self, function: Any, /, *args: Any) -> Any:
            seen.append(args[0])
            return await super().__call__(function, *args)

    folder = tmp_path / "files" / record.file_id
    async with serving(tmp_path, compute=Seeing()):
        await settle()
    (request,) = seen
    assert (request.module, request.model, request.params) == ("json-to-txt", "base", {})
    assert (request.source, request.input_key) == (folder / "module_1", "text")
    assert request.destination.parent == folder


async def test_a_failure_takes_as_long_as_a_module_and_is_logged_without_the_text(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tmp_path, min_module_seconds=5) as api:
        ticket = await api.process(b"secret \xff text", chain=("parser",))
        assert await failure(api, ticket) is None
        api.clock.advance(5)
        await settle()
        assert (await failure(api, ticket))["failure_module"] == "module_1.parser"
    assert caplog.messages == [
        (
            f"process {ticket['request_id']} failed at module_1.parser: "
            "the input is not valid UTF-8 text"
        )
    ]


async def test_a_bug_in_a_module_fails_its_file_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tmp_path, compute=Scripted(None, KeyError("a bug"))) as api:
        ticket = await api.process(chain=("parser", "json-to-txt"))
        assert (await failure(api, ticket))["failure_module"] == "module_2.json-to-txt"
        after = await api.process(chain=("parser", "json-to-txt"), file_name="b.txt")
        assert await failure(api, after) is None
    assert caplog.messages == [f"process {ticket['request_id']} failed at module_2.json-to-txt"]
    assert caplog.records[0].exc_info is not None


@pytest.mark.parametrize("deaths", [1, 2, 3])
async def test_a_worker_that_dies_takes_down_a_try_and_not_the_file(
    tmp_path: Path, deaths: int
) -> None:
    """Killed, or out of memory: three tries, then it is the file that fails."""
    compute = Scripted(*[anyio.BrokenWorkerProcess()] * deaths)
    async with serving(tmp_path, compute=compute) as api:
        ticket = await api.process()
        for _ in range(2):
            api.clock.advance(1)
            await settle()
        assert len(compute.ran) == min(deaths + 1, 3)
        assert (await failure(api, ticket) is None) == (deaths < 3)


async def test_a_file_that_expires_while_it_is_processed_is_dropped_in_silence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its files go, the module's error over that is no one's, and the next file is processed."""
    async with serving(tmp_path, workers=1, min_module_seconds=1795) as api:
        ticket = await api.process(chain=("parser", "json-to-txt"))
        waiting = await api.process(file_name="b.txt", pipeline="other", expire_time=10_000)
        for _ in range(3):
            api.clock.advance(1795)
            await settle()
        assert (await api.status(ticket["request_id"])).status_code == 400
        status = await api.status(waiting["request_id"], pipeline="other")
        assert status.json()["process_status"] == {"module_1.keyword-db": True}
    assert caplog.messages == []


async def test_a_module_that_misses_its_input_after_the_end_says_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The record ended while the module ran: its error is a consequence, not a fault."""
    holder: list[Api] = []

    class Late(InlineOffload):
        async def __call__(self, _: Any, /, *args: Any) -> Any:
            holder[0].clock.advance(1800)
            raise FileNotFoundError(args[0].source)

    async with serving(tmp_path, compute=Late()) as api:
        holder.append(api)
        ticket = await api.process()
        assert (await api.status(ticket["request_id"])).status_code == 400
    assert caplog.messages == []


async def test_a_fault_of_the_disk_leaves_the_file_for_the_next_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither worker nor sweeper dies of it."""

    class Faulty(InlineOffload):
        broken = False

        async def __call__(self, function: Any, /, *args: Any) -> Any:
            if self.broken and function.__name__ in ("change", "expire", "next_waiting"):
                raise OSError("no space left")
            return await super().__call__(function, *args)

    offload = Faulty()
    async with serving(tmp_path, offload=offload, workers=1, min_module_seconds=1) as api:
        ticket = await api.process()
        offload.broken = True
        api.clock.advance(1)
        await settle()
        api.clock.advance(5)
        await settle()
        offload.broken = False
        assert (await api.status(ticket["request_id"])).json()["process_status"] == {
            "module_1.keyword-db": False
        }
        after = await api.process(file_name="b.txt")
        for _ in range(2):  # the worker's pause, then the module's second
            api.clock.advance(5)
            await settle()
        assert (await api.status(after["request_id"])).json()["process_status"] == {
            "module_1.keyword-db": True
        }
    assert caplog.messages[:2] == [
        f"file {ticket['file_id']} was left unfinished until the next start",
        "what waits could not be read; trying again",
    ]
    # At the same moment, in no order.
    assert set(caplog.messages[2:]) == {
        "what waits could not be read; trying again",
        "what has expired could not be removed; trying again",
    }
    async with serving(tmp_path) as api:
        await settle()
        assert (await api.status(ticket["request_id"])).json()["process_status"] == {
            "module_1.keyword-db": True
        }


async def test_a_file_that_was_left_and_has_ended_is_forgotten(tmp_path: Path) -> None:
    class Faulty(InlineOffload):
        file_id = ""
        skipped: object = None

        async def __call__(self, function: Any, /, *args: Any) -> Any:
            if function.__name__ == "next_waiting":
                self.skipped = set(args[1])
            if function.__name__ == "change" and args[0] == self.file_id:
                raise OSError("no space left")
            return await super().__call__(function, *args)

    offload = Faulty()
    async with serving(tmp_path, offload=offload, workers=1, min_module_seconds=1) as api:
        ticket = await api.process()
        offload.file_id = ticket["file_id"]
        api.clock.advance(1)
        await settle()
        assert offload.skipped == {ticket["file_id"]}
        api.clock.advance(1800)
        await settle()
        await api.process(file_name="b.txt")
        assert offload.skipped == set()


async def test_good_work_is_not_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="krixik_async")
    async with serving(tmp_path) as api:
        await api.process(TEXT)
    assert [record for record in caplog.records if record.name.startswith("krixik_async")] == []
