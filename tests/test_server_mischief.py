"""Faults carried out: over a socket and in process the client meets the same."""

from __future__ import annotations

import gc
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from krixik_async import KrixikError, PollPolicy, RequestNotFound, RequestRejected
from krixik_async._offload import InlineOffload
from krixik_async._sources import BytesSource
from krixik_async.server import ServerSettings, _young, create_app
from krixik_async.testing import (
    Answer,
    Corrupt,
    Delay,
    DropAfter,
    DropBefore,
    ExpireEarly,
    Fault,
    FaultPlan,
    Lag,
    Refuse,
    SpoilSecondUpload,
    Throttle,
    Truncate,
)
from tests.faulty import TEXT, local
from tests.meetings import every_meeting, meet, ticket
from tests.server_side import BASE_URL, KEY, HandClock, InProcess, http_scope, serving

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    """Run all of it in virtual time."""
    return virtual_backend


@every_meeting
async def test_what_is_met_in_process(act: Any, fault: Fault, meets: str, tmp_path: Path) -> None:
    async with local(None, fault, attempts=1) as world:
        assert await meet(act, world.krixik, tmp_path) == meets
        assert world.plan.fired >= 1  # a refused link is asked for anew once


# --- what is done and what is not ----------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "done"),
    [
        (Refuse("update"), False),
        (DropBefore("update"), False),
        (DropAfter("update"), True),
        (Truncate("update"), True),
        (Corrupt("update"), True),
        (Throttle("update"), False),
        (Answer("update"), False),
        (Answer("update", carry_out=True), True),
    ],
)
async def test_it_is_carried_out_or_not_as_the_fault_says(fault: Fault, done: bool) -> None:
    async with local(None, attempts=1) as world:
        pipeline = world.krixik.create_pipeline(name="books", module_chain=["parser"])
        job = await pipeline.process(local_file_path=TEXT, file_name="f1.txt")
        await job
        world.plan.add(fault)
        with pytest.raises(KrixikError):
            await pipeline.update(file_id=job.file_id, file_description="told anew")
        (record,) = await pipeline.list(file_ids=[job.file_id])
        assert (record.file_description == "told anew") is done


# --- records -------------------------------------------------------------------------------


async def test_delays_take_their_time() -> None:
    async with local(None, Delay("check_in", seconds=3), Delay(seconds=4), attempts=1) as world:
        began = world.clock.now()
        await world.krixik.check_in()
        assert world.clock.now() - began == pytest.approx(7)


async def test_a_lagging_record_is_read_late_and_listed_late() -> None:
    """Another record of the same moment does not lag."""
    async with local(None, Lag(seconds=5, on=1)) as world:
        pipeline = world.krixik.create_pipeline(name="books", module_chain=["parser"])
        began = world.clock.now()
        late = await pipeline.process(local_file_path=TEXT, file_name="f2.txt")
        soon = await pipeline.process(local_file_path=TEXT, file_name="f3.txt")
        await pipeline.wait_until_complete(soon, poll=PollPolicy.fixed(0.1))

        async def seen() -> tuple[bool, list[str]]:
            ids = [late.file_id, soon.file_id]
            names = {late.file_id: "late", soon.file_id: "soon"}
            listed = [names[record.file_id] for record in await pipeline.list(file_ids=ids)]
            try:
                await pipeline.process_status(request_id=late.request_id)
            except RequestNotFound:
                return False, listed
            return True, listed

        assert await seen() == (False, ["soon"])
        await world.clock.sleep(began + 4.9 - world.clock.now())
        assert await seen() == (False, ["soon"])
        await world.clock.sleep(1.2)
        assert await seen() == (True, ["soon", "late"])
        assert [item.file_id for item in await pipeline.list(file_ids=[late.file_id])]


async def test_a_list_of_nothing_but_lagging_records_says_so() -> None:
    async with local(None, Lag(seconds=5)) as world:
        pipeline = world.krixik.create_pipeline(name="books", module_chain=["parser"])
        job = await pipeline.process(local_file_path=TEXT, file_name="f4.txt")
        found = await pipeline.list(file_ids=[job.file_id])
        assert (list(found), found.message) == ([], "No items found for input query arguments")


async def test_of_too_many_lagging_records_the_oldest_lag_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_young, "_MOST", 1)
    async with local(None, Lag(seconds=500)) as world:
        pipeline = world.krixik.create_pipeline(name="books", module_chain=["parser"])
        old = await pipeline.process(local_file_path=TEXT, file_name="f5.txt")
        new = await pipeline.process(local_file_path=TEXT, file_name="f6.txt")
        assert (await pipeline.process_status(request_id=old.request_id)).file_id == old.file_id
        with pytest.raises(RequestNotFound):
            await pipeline.process_status(request_id=new.request_id)


async def test_a_record_that_ends_early_is_gone_to_the_moment() -> None:
    async with local(None, ExpireEarly(seconds=10, on=1)) as world:
        pipeline = world.krixik.create_pipeline(name="books", module_chain=["parser"])
        job = await pipeline.process(local_file_path=TEXT, file_name="f7.txt")
        await job
        await world.clock.sleep(9)
        assert await pipeline.list(file_ids=[job.file_id])
        await world.clock.sleep(1)
        assert not await pipeline.list(file_ids=[job.file_id])
        result = await pipeline.wait_until_complete([job])
        assert [outcome.state for outcome in result.vanished] == ["deleted"]


async def nothing() -> set[str]:
    return set()


async def unexpected(_: str) -> None:
    raise AssertionError("nothing was to end early")


async def test_early_ends_that_are_due_at_once_end_once_each() -> None:
    """Also where two calls come while the first of them still removes."""
    clock, forgotten = HandClock(), list[str]()

    async def forget(file_id: str) -> None:
        await anyio.sleep(1)
        forgotten.append(file_id)

    young = _young.YoungRecords(clock, forget=forget, known=nothing)
    for name in ("a", "b"):
        told = json.dumps({"file_id": name, "request_id": name}).encode()
        young.seen("process", _young.Given.whole(200, told), (ExpireEarly(seconds=1),))
    clock.advance(1)
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(young.tidy)
    assert forgotten == ["a", "b"]


def born(young: _young.YoungRecords, name: str, *faults: Fault) -> None:
    told = json.dumps({"file_id": name, "request_id": name}).encode()
    young.seen("process", _young.Given.whole(200, told), faults)


async def test_of_records_that_are_gone_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """What begins while that is being found out is not taken for gone."""
    monkeypatch.setattr(_young, "_MANY", 4)
    asked: list[int] = []

    async def known() -> set[str]:
        asked.append(len(young._lagging))
        born(young, f"new {len(asked)}", Lag(seconds=9))
        return {"0", "1", "2"}

    young = _young.YoungRecords(HandClock(), forget=unexpected, known=known)
    for number in range(12):
        born(young, str(number), Lag(seconds=9))
        await young.tidy()
    assert asked == [4, 8, 8]
    assert [*young._lagging] == ["0", "1", "2", "new 3"]


@pytest.mark.usefixtures("what_is_new")
async def test_deleted_records_lag_no_more_and_nothing_of_them_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_young, "_MANY", 4)
    async with local(None, Lag(seconds=0.1)) as world:
        pipeline = world.krixik.create_pipeline(name="books", module_chain=["parser"])
        for number in range(12):
            job = await pipeline.process(local_file_path=TEXT, file_name=f"d{number}.txt")
            await job
            if number:
                await pipeline.delete(file_id=job.file_id)
        (young,) = (one for one in gc.get_objects() if isinstance(one, _young.YoungRecords))
        assert len(young._lagging) < 5


async def test_a_refused_ticket_begins_no_record() -> None:
    async with local(None, Lag(), attempts=1) as world:
        pipeline = world.krixik.create_pipeline(name="books", module_chain=["parser"])
        await pipeline.process(local_file_path=TEXT, file_name="a.txt")
        with pytest.raises(RequestRejected):
            await pipeline.process(local_file_path=TEXT, file_name="a.txt")


@pytest.mark.parametrize("again", [TEXT, TEXT + b"and more of it"])
async def test_a_second_upload_ruins_its_record_if_the_worst_is_true(again: bytes) -> None:
    """204 and failed; without the fault the same file is confirmed and another refused."""
    async with local(None, SpoilSecondUpload(on=1), attempts=1) as world:
        transport = world.krixik._session.transport
        pipeline = world.krixik.create_pipeline(name="forms", module_chain=["parser"])
        form = await ticket(world.krixik, "a.txt")
        await transport.upload(form, BytesSource(TEXT), file_name="a.txt")
        await world.clock.sleep(1)
        status = await pipeline.process_status(request_id=form.request_id)
        assert status.overall_status == "complete"
        await transport.upload(form, BytesSource(again), file_name="a.txt")
        status = await pipeline.process_status(request_id=form.request_id)
        assert status.failure_status is not None
        assert status.failure_status.failure_module == "module_1.parser"
        await transport.upload(form, BytesSource(TEXT), file_name="a.txt")
        assert world.plan.fired == 1


async def test_a_record_ruined_in_the_middle_of_its_work_stays_so() -> None:
    async with local(None, SpoilSecondUpload(), min_module_seconds=5) as world:
        transport = world.krixik._session.transport
        pipeline = world.krixik.create_pipeline(name="forms", module_chain=["parser"])
        form = await ticket(world.krixik, "a.txt")
        for _ in range(2):
            await transport.upload(form, BytesSource(TEXT), file_name="a.txt")
            await world.clock.sleep(1)
        await world.clock.sleep(10)
        status = await pipeline.process_status(request_id=form.request_id)
        assert status.overall_status == "failed"


# --- on the wire ---------------------------------------------------------------------------


@asynccontextmanager
async def plain(*faults: Fault) -> AsyncIterator[tuple[httpx.AsyncClient, FaultPlan, InProcess]]:
    """Give a plain HTTP client of an app with faults, under a host that cannot hang up."""
    plan, inline = FaultPlan(*faults), InlineOffload()
    app = create_app(
        ServerSettings(api_keys=(KEY,)),
        clock=HandClock(),
        offload=inline,
        compute=inline,
        faults=plan,
    )
    wire = InProcess(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=wire, base_url=BASE_URL, headers={"krixikApiKey": KEY}
        ) as client,
    ):
        yield client, plan, wire


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Throttle(retry_after=1.5), "2"),
        (Throttle(retry_after=1.5, form="float"), "1.5"),
        (Throttle(retry_after=1.5, form="date"), "Sun, 15 Jun 2025 15:06:42 GMT"),
        (Throttle(retry_after=None), None),
    ],
)
async def test_retry_after_in_its_forms(fault: Fault, said: str | None) -> None:
    async with plain(fault) as (client, _, __):
        answer = await client.post("/cli-checkin", content=b"x" * 100)
    assert (answer.status_code, answer.headers.get("retry-after")) == (429, said)
    assert answer.json() == {"message": "Too Many Requests"}


@pytest.mark.parametrize(
    ("fault", "status", "body", "kind"),
    [
        (Answer(status=504), 504, b'{"message": "Endpoint request timed out"}', "application/json"),
        (Answer(status=502), 502, b'{"message": "Internal server error"}', "application/json"),
        (Answer(status=200, body="<p>"), 200, b"<p>", None),
        (
            Answer(status=200, body={"a": 1}, headers={"X-A": "b"}), 200, b'{"a": 1}',
            "application/json",
        ),
        (Answer(status=204), 204, b"", None),
    ],
)  # fmt: skip
async def test_answers_are_those_of_a_gateway_or_as_told(
    fault: Answer, status: int, body: bytes, kind: str | None
) -> None:
    async with plain(fault) as (client, _, __):
        answer = await client.post("/cli-checkin")
    assert (answer.status_code, answer.content) == (status, body)
    assert answer.headers.get("content-type") == kind
    for name, value in fault.headers.items():
        assert answer.headers[name] == value


@pytest.mark.parametrize(("method", "path"), [("POST", "/upload"), ("GET", "/outputs/x")])
async def test_the_hosts_for_files_refuse_in_xml(method: str, path: str) -> None:
    async with plain(Answer(status=503)) as (client, _, __):
        answer = await client.request(method, path)
    assert answer.text == (
        "<Error><Code>ServiceUnavailable</Code><Message>Service Unavailable</Message></Error>"
    )


async def test_a_host_that_cannot_hang_up_breaks_off_after_the_head() -> None:
    """The length that was promised does not come: to a client that is a broken connection."""
    async with plain(DropAfter(on=1), Truncate(on=2)) as (client, plan, wire):
        await client.post("/cli-checkin")
        assert (wire.last.headers["content-length"], wire.last.content) == ("1", b"")
        await client.post("/cli-checkin")
        assert int(wire.last.headers["content-length"]) // 2 == len(wire.last.content) > 10
        assert plan.fired == 2


async def test_a_request_that_ends_early_ends_the_reading_of_it() -> None:
    async with plain(DropBefore()) as (_, plan, wire):
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message["type"])

        url = httpx.URL(f"{BASE_URL}/cli-checkin")
        await wire.app(http_scope("POST", url, []), receive, send)
        assert (sent, plan.fired) == (["http.response.start"], 1)


async def test_paths_that_are_no_calls_are_left_alone() -> None:
    async with plain(Answer(status=599)) as (client, plan, _):
        assert (await client.get("/openapi.json")).status_code == 200
        assert (await client.get("/nowhere")).status_code == 403
        assert plan.fired == 0


async def test_the_plan_is_read_and_changed_by_who_has_a_key() -> None:
    async with plain(Answer("check_in", times=1)) as (client, plan, _):
        await client.post("/cli-checkin")
        told = (await client.get("/-/faults")).json()
        assert told == {"plan": plan.describe(), "counts": [{"matched": 1, "fired": 1}]}
        other = FaultPlan(Refuse("list"), seed=5)
        answer = await client.put("/-/faults", content=other.to_json())
        assert (answer.status_code, plan) == (200, other)
        answer = await client.put("/-/faults", content="{}")
        assert (answer.status_code, plan) == (400, other)
        assert answer.json()["message"].startswith("BAD REQUEST: a fault plan is an object")
        for key in ("wrong", "é"):
            headers = {"krixikApiKey": key.encode()}
            assert (await client.get("/-/faults", headers=headers)).status_code == 403
        async with httpx.AsyncClient(transport=client._transport, base_url=BASE_URL) as nobody:
            assert (await nobody.get("/-/faults")).json() == {"message": "Forbidden"}


async def test_without_faults_there_is_no_such_path(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        assert (await api.http.get("/-/faults", headers={"krixikApiKey": KEY})).status_code == 403
