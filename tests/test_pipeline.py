"""A pipeline: sending with and without waiting, asking, waiting for many, one by one."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
import tenacity

from krixik_async import (
    AuthenticationError,
    ClientClosed,
    InvalidArgument,
    InvalidArgumentType,
    Job,
    JobOutcome,
    JobRef,
    KrixikError,
    Output,
    Pipeline,
    ProcessFailed,
    RequestNotFound,
    RequestRejected,
    RequestVanished,
    SaveFailed,
    UnexpectedReply,
)
from tests.client_side import (
    OUTPUT,
    STATUS,
    TEXT,
    TICKET,
    UNKNOWN,
    UPLOAD,
    World,
    entries,
    forbidden,
    says,
    states,
    world,
)

pytestmark = pytest.mark.anyio

RESET = httpx.ReadError("connection reset")
HALF_A_PAIR = b'[{"snippet": "\\ud800 half a pair"}]'


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


@pytest.fixture
async def w(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, min_module_seconds=10) as here:
        yield here


async def jobs_of(pipeline: Pipeline, count: int) -> list[Job]:
    return [
        await pipeline.process(local_file_path=TEXT, file_name=f"{n}.txt") for n in range(count)
    ]


# --- the object ------------------------------------------------------------------------------


async def test_a_pipeline_says_what_it_is(w: World) -> None:
    pipeline = w.books("parser", "json-to-txt")
    assert (pipeline.name, pipeline.module_chain) == ("books", ["parser", "json-to-txt"])
    assert repr(pipeline) == "<Pipeline 'books': parser -> json-to-txt>"
    pipeline.module_chain.append("keyword-db")
    assert pipeline.module_chain == ["parser", "json-to-txt"]
    assert w.sent == []


async def test_a_pipeline_gives_its_config(w: World) -> None:
    pipeline = w.books("keyword-db")
    assert pipeline.pipeline_name == "books"
    assert pipeline.config == {
        "pipeline": {
            "name": "books",
            "modules": [
                {
                    "name": "keyword-db",
                    "models": [{"name": "sqlite"}],
                    "defaults": {"model": "sqlite"},
                    "input": {
                        "type": "text",
                        "permitted_extensions": [".txt", ".pdf", ".docx", ".pptx"],
                    },
                    "output": {"type": "db"},
                }
            ],
        }
    }


async def test_a_pipeline_is_saved_where_it_can_be(w: World, tmp_path: Path) -> None:
    await w.books().save_pipeline(config_path=tmp_path / "saved.yml")
    assert (entries(tmp_path), w.sent) == (["saved.yml"], [])
    with pytest.raises(InvalidArgument, match=r"must end in \.yml or \.yaml"):
        await w.books().save_pipeline(config_path=tmp_path / "saved.json")


async def test_an_input_is_tested_as_process_would_and_not_sent(w: World, tmp_path: Path) -> None:
    good, short = tmp_path / "Good.TXT", tmp_path / "short.txt"
    good.write_bytes(TEXT)
    short.write_bytes(b"five words are too few")
    await w.books().test_input(local_file_path=good)
    await w.books("parser").test_input(local_file_path=str(good))
    with pytest.raises(InvalidArgument, match="must have at least 6"):
        await w.books().test_input(local_file_path=short)
    with pytest.raises(InvalidArgument, match="'transcribe'"):
        await w.books("transcribe").test_input(local_file_path=good)
    with pytest.raises(InvalidArgument, match=r"'\.xlsx'"):
        await w.books("parser").test_input(local_file_path=tmp_path / "sheet.xlsx")
    await w.books().test_input(local_file_path=TEXT, file_name="a.txt")
    await w.books().test_input(local_file_path=io.BytesIO(TEXT), file_name="a.txt")
    with pytest.raises(InvalidArgument, match="must have at least 6"):
        await w.books().test_input(local_file_path=b"too short", file_name="a.txt")
    with pytest.raises(InvalidArgument, match="has no name of its own"):
        await w.books().test_input(local_file_path=TEXT)
    with pytest.raises(InvalidArgument, match=r"must end in '\.txt'"):
        await w.books().test_input(local_file_path=good, file_name="a.pdf")
    assert w.sent == []


# --- process ---------------------------------------------------------------------------------


async def test_process_returns_as_soon_as_the_upload_is_confirmed(w: World) -> None:
    job = await w.books().process(local_file_path=TEXT, file_name="a.txt")
    assert (type(job), w.sent, w.clock.now()) == (Job, [TICKET, UPLOAD], 0.0)
    assert await w.names(w.books()) == []


async def test_process_that_waits_gives_the_output(w: World, tmp_path: Path) -> None:
    output = await w.books("parser").process(
        local_file_path=TEXT,
        file_name="a.txt",
        wait_for_process=True,
        local_save_directory=tmp_path / "out",
    )
    assert isinstance(output, Output)
    assert output.process_output == [{"snippet": TEXT.decode().strip(), "line_numbers": [1]}]
    assert output.process_output_files == (str(tmp_path / "out" / f"{output.file_id}.json"),)
    assert 10 <= w.clock.now() <= 13


async def test_process_that_waits_but_does_not_download_gives_the_job(w: World) -> None:
    job = await w.books().process(
        local_file_path=TEXT, file_name="a.txt", wait_for_process=True, download_output=False
    )
    assert isinstance(job, Job)
    assert list(job.to_dict())[-2:] == ["file_description", "status_code"]
    assert job.to_dict()["status_code"] == 200
    assert OUTPUT not in w.sent
    assert await w.names(w.books()) == ["a.txt"]


async def test_download_output_means_nothing_without_waiting(w: World) -> None:
    job = await w.books().process(
        local_file_path=TEXT, file_name="a.txt", wait_for_process=False, download_output=True
    )
    assert (type(job), w.sent) == (Job, [TICKET, UPLOAD])


async def test_process_that_waits_for_a_job_that_fails(w: World) -> None:
    with pytest.raises(ProcessFailed) as caught:
        await w.books("json-to-txt").process(
            local_file_path=HALF_A_PAIR, file_name="a.json", wait_for_process=True
        )
    assert caught.value.job is not None
    assert caught.value.job.pipeline == "books"


async def test_process_that_waits_longer_than_the_record_lives_deletes_nothing(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, min_module_seconds=5000) as w:
        with pytest.raises(RequestVanished) as caught:
            await w.books().process(local_file_path=TEXT, file_name="a.txt", wait_for_process=True)
        assert caught.value.job is not None
        assert {path for path in w.sent if path not in (TICKET, UPLOAD)} == {STATUS}


async def test_process_whose_output_cannot_be_saved_keeps_the_file(
    w: World, tmp_path: Path
) -> None:
    def in_the_way(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        (tmp_path / "out").write_text("in the way")
        return response

    w.fail(OUTPUT, answer=in_the_way)
    with pytest.raises(SaveFailed) as caught:
        await w.books().process(
            local_file_path=TEXT,
            file_name="a.txt",
            wait_for_process=True,
            local_save_directory=tmp_path / "out",
        )
    assert caught.value.file_id is not None
    assert await w.names(w.books()) == ["a.txt"]


async def test_process_prints_nothing(w: World, capsys: pytest.CaptureFixture[str]) -> None:
    await w.books().process(
        local_file_path=TEXT, file_name="a.txt", wait_for_process=True, download_output=False
    )
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


@pytest.mark.parametrize("name", ["wait_for_process", "download_output", "verbose"])
@pytest.mark.parametrize("value", [None, 1, "True"])
async def test_a_switch_that_is_none(w: World, name: str, value: Any) -> None:
    with pytest.raises(InvalidArgumentType, match=f"{name} is .* but must be True or False"):
        await w.books().process(local_file_path=TEXT, file_name="a.txt", **{name: value})
    assert w.sent == []


async def test_many_files_at_once_each_get_their_own_job(w: World) -> None:
    """Nothing of a call is kept on the pipeline: each name comes back with its own record."""
    pipeline = w.books()
    jobs: dict[int, Job] = {}

    async def send(n: int) -> None:
        text = b" ".join(b"word%d" % (n * 10 + i) for i in range(6))
        jobs[n] = await pipeline.process(local_file_path=text, file_name=f"{n}.txt")

    async with anyio.create_task_group() as group:
        for n in range(20):
            group.start_soon(send, n)
    assert [jobs[n].file_name for n in range(20)] == [f"{n}.txt" for n in range(20)]
    assert len({job.file_id for job in jobs.values()}) == 20
    result = await pipeline.wait_until_complete(jobs.values())
    assert len(result.complete) == 20
    for n in (0, 7, 19):
        found = await pipeline.keyword_search(query=f"word{n * 10 + 3}", file_names=["*.txt"])
        assert [item.file_id for item in found] == [jobs[n].file_id]


async def test_a_process_that_is_cancelled_leaves_nothing_behind(w: World) -> None:
    w.fail(UPLOAD, before=RESET, swallow=True)
    with anyio.move_on_after(30) as scope:
        await w.books().process(local_file_path=TEXT, file_name="a.txt")
    assert scope.cancelled_caught
    await w.clock.sleep(60)
    assert (await w.books().process(local_file_path=TEXT, file_name="a.txt")).file_name == "a.txt"


# --- process_status --------------------------------------------------------------------------


async def test_a_status_has_the_official_shape_while_ongoing_and_when_complete(w: World) -> None:
    pipeline = w.books("parser", "json-to-txt")
    job = await pipeline.process(local_file_path=TEXT, file_name="a.txt")
    shapes = []
    for _ in range(3):
        status = await pipeline.process_status(request_id=job.request_id)
        shapes.append(status.to_dict())
        assert status.request_id != job.request_id
        await w.clock.sleep(10.5)
    assert [shape.pop("request_id") is not None for shape in shapes] == [True] * 3
    same = {
        "status_code": 200,
        "file_id": job.file_id,
        "message": "SUCCESS: process_status found",
        "pipeline": "books",
    }
    assert shapes == [
        {**same, "process_status": {"module_1": a, "module_2": b}, "overall_status": overall}
        for a, b, overall in (
            (False, False, "ongoing"),
            (True, False, "ongoing"),
            (True, True, "complete"),
        )
    ]
    assert list(status.to_dict()) == [
        *("status_code", "request_id", "file_id", "message", "pipeline"),
        *("process_status", "overall_status"),
    ]


async def test_a_status_of_a_failure_has_the_official_shape(w: World) -> None:
    pipeline = w.books("json-to-txt")
    job = await pipeline.process(local_file_path=HALF_A_PAIR, file_name="a.json")
    await w.clock.sleep(11)
    status = await pipeline.process_status(request_id=job.request_id)
    assert status.to_dict() == {
        "status_code": 200,
        "request_id": status.request_id,
        "file_id": job.file_id,
        "message": "SUCCESS: process_status found",
        "pipeline": "books",
        "failure_status": {
            "process_id": job.request_id,
            "failure_module": "module_1.json-to-txt",
            "message": "the JSON input has half of a surrogate pair in a text",
        },
        "overall_status": "failed",
    }
    assert list(status.to_dict())[-2:] == ["failure_status", "overall_status"]


async def test_a_bare_id_is_complete_only_with_every_module_of_this_pipeline(w: World) -> None:
    """A reply that leaves a module out, all its flags true, is not taken for the end."""
    body = {"request_id": "r", "file_id": "f", "process_status": {"module_1": True}}
    w.fail(STATUS, answer=says(200, body), times=99)
    pipeline = w.books("parser", "json-to-txt")
    assert (await pipeline.process_status(request_id=UNKNOWN)).overall_status == "ongoing"
    assert states(await pipeline.wait_until_complete(UNKNOWN, timeout=5)) == ["pending"]


async def test_unknown_deleted_and_expired_are_not_found_in_the_services_words(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as w:
        deleted = await w.done(w.books(), "a.txt")
        expired = await w.done(w.books(), "b.txt")
        await w.books().delete(file_id=deleted.file_id)
        await w.clock.sleep(1801)
        for request_id in (UNKNOWN, deleted.request_id, expired.request_id):
            with pytest.raises(RequestNotFound) as caught:
                await w.books().process_status(request_id=request_id)
            assert f"process_id was not found - {request_id}" in str(caught.value)
            assert (caught.value.request_id, caught.value.pipeline) == (request_id, "books")


async def test_a_process_of_another_pipeline_is_refused_not_missing(w: World) -> None:
    job = await w.books().process(local_file_path=TEXT, file_name="a.txt")
    with pytest.raises(RequestRejected, match="does not match associated file pipeline") as caught:
        await w.books(name="others").process_status(request_id=job.request_id)
    assert not isinstance(caught.value, RequestNotFound)


async def test_a_proxys_404_is_no_verdict(w: World) -> None:
    w.fail(STATUS, answer=says(404, {"message": "not found"}))
    with pytest.raises(UnexpectedReply, match="check api_url, or a proxy"):
        await w.books().process_status(request_id=UNKNOWN)


async def test_a_status_of_capital_letters_is_asked_for_in_small_ones(w: World) -> None:
    job = await w.books().process(local_file_path=TEXT, file_name="a.txt")
    status = await w.books().process_status(request_id=job.request_id.upper())
    assert status.file_id == job.file_id


@pytest.mark.parametrize(
    ("request_id", "said", "kind"),
    [
        ("x", "request_id is 'x' but must be a uuid", InvalidArgument),
        (UNKNOWN + "\n", "must be a uuid", InvalidArgument),
        (None, "request_id is NoneType", InvalidArgumentType),
        (b"x", "request_id is bytes", InvalidArgumentType),
    ],
)
async def test_a_request_id_that_is_none(
    w: World, request_id: Any, said: str, kind: type[KrixikError]
) -> None:
    with pytest.raises(kind, match=said):
        await w.books().process_status(request_id=request_id)
    for jobs in (request_id, [request_id]):
        if isinstance(jobs, str | list):
            with pytest.raises(kind, match=said):
                await w.books().wait_until_complete(jobs)
            with pytest.raises(kind, match=said):
                w.books().as_completed(jobs)
    assert w.sent == []


async def test_two_hundred_concurrent_calls_each_get_their_own_answer(tmp_path: Path) -> None:
    async with world(tmp_path, min_module_seconds=10_000, max_in_flight=16) as w:
        pipeline = w.books()
        jobs = await jobs_of(pipeline, 20)
        right: list[bool] = []

        async def ask(job: Job) -> None:
            status = await pipeline.process_status(request_id=job.request_id)
            right.append(status.file_id == job.file_id)

        async with anyio.create_task_group() as group:
            for n in range(200):
                group.start_soon(ask, jobs[n % 20])
        assert right == [True] * 200
        assert w.wire.busiest == 16


async def test_a_closed_client_asks_nobody(w: World) -> None:
    pipeline = w.books()
    await w.client.aclose()
    with pytest.raises(ClientClosed):
        await pipeline.process_status(request_id=UNKNOWN)
    with pytest.raises(ClientClosed):
        await pipeline.wait_until_complete(UNKNOWN)
    with pytest.raises(ClientClosed):
        await anext(pipeline.as_completed(UNKNOWN))
    assert w.sent == []


# --- wait_until_complete ---------------------------------------------------------------------


async def test_jobs_references_and_ids_can_be_mixed(w: World) -> None:
    """The result is by request_id in input order, a job named twice is in it once."""
    first, second, third = await jobs_of(w.books(), 3)
    result = await w.books().wait_until_complete(
        [third, first.ref, second.request_id, third.request_id.upper(), first]
    )
    assert list(result) == [third.request_id, first.request_id, second.request_id]
    assert states(result) == ["complete"] * 3
    assert [outcome.file_id for outcome in result.complete] == [
        third.file_id,
        first.file_id,
        second.file_id,
    ]


@pytest.mark.parametrize("name", ["job", "ref", "id"])
async def test_one_job_need_not_be_a_list(w: World, name: str) -> None:
    (job,) = await jobs_of(w.books(), 1)
    one = {"job": job, "ref": job.ref, "id": job.request_id}[name]
    result = await w.books().wait_until_complete(one)
    assert list(result) == [job.request_id]
    assert states([outcome async for outcome in w.books().as_completed(one)]) == ["complete"]


async def test_no_jobs_are_no_wait(w: World) -> None:
    assert (len(await w.books().wait_until_complete([])), w.sent) == (0, [])
    assert [o async for o in w.books().as_completed([])] == []


async def test_a_result_can_be_waited_on_again(w: World) -> None:
    jobs = await jobs_of(w.books(), 2)
    result = await w.books().wait_until_complete(jobs, timeout=1)
    assert (result.timed_out, states(result.pending)) == (True, ["pending"] * 2)
    assert states(await w.books().wait_until_complete(result)) == ["complete"] * 2


@pytest.mark.parametrize("as_ref", [True, False])
async def test_a_job_of_another_pipeline_is_refused(w: World, as_ref: bool) -> None:
    (job,) = await jobs_of(w.books(), 1)
    before = len(w.sent)
    others = w.books(name="others")
    said = f"job {job.request_id} is of pipeline 'books', not of 'others'"
    with pytest.raises(InvalidArgument, match=said):
        await others.wait_until_complete([job.ref if as_ref else job])
    with pytest.raises(InvalidArgument, match=said):
        others.as_completed([job.ref if as_ref else job])
    assert len(w.sent) == before


async def test_a_pipeline_object_of_the_same_name_will_do(w: World) -> None:
    (job,) = await jobs_of(w.books(), 1)
    assert states(await w.books().wait_until_complete(job)) == ["complete"]


@pytest.mark.parametrize("jobs", [None, 7, b"abc"])
async def test_jobs_that_are_none(w: World, jobs: Any) -> None:
    with pytest.raises(InvalidArgumentType, match="must be request_ids, Jobs or JobRefs"):
        await w.books().wait_until_complete(jobs)
    with pytest.raises(InvalidArgumentType, match="must be request_ids, Jobs or JobRefs"):
        w.books().as_completed(jobs)
    assert w.sent == []


async def test_first_and_first_failure_return_early(w: World) -> None:
    pipeline = w.books("json-to-txt")
    good = b'[{"snippet": "a whole pair"}]'
    jobs = [
        await pipeline.process(local_file_path=content, file_name=f"{n}.json")
        for n, content in enumerate((good, HALF_A_PAIR, good, good))
    ]
    first = await pipeline.wait_until_complete(jobs, return_when="first")
    assert (len(first.pending) in (2, 3), first.timed_out) == (True, False)
    failure = await pipeline.wait_until_complete(jobs, return_when="first_failure")
    assert (states(failure.failed), len(failure.pending) in (2, 3)) == (["failed"], True)
    assert failure.failed[0].failure_module == "module_1.json-to-txt"


async def test_updates_tell_each_step(w: World) -> None:
    pipeline = w.books("parser", "json-to-txt")
    (job,) = await jobs_of(pipeline, 1)
    steps: list[tuple[str, dict[str, bool]]] = []
    told: list[str] = []

    async def note(outcome: JobOutcome) -> None:
        await anyio.lowlevel.checkpoint()
        told.append(outcome.state)

    await pipeline.wait_until_complete(
        job, on_update=lambda outcome: steps.append((outcome.state, dict(outcome.modules)))
    )
    await pipeline.wait_until_complete(job, on_update=note)
    assert steps == [
        ("pending", {"module_1": False, "module_2": False}),
        ("pending", {"module_1": True, "module_2": False}),
        ("complete", {"module_1": True, "module_2": True}),
    ]
    assert told == ["complete"]


async def test_poll_is_the_schedule(w: World) -> None:
    (job,) = await jobs_of(w.books(), 1)
    await w.books().wait_until_complete(job, poll=tenacity.wait_fixed(4))
    assert (w.clock.now(), w.sent.count(STATUS)) == (12.0, 4)


async def test_an_unknown_id_is_not_found(w: World) -> None:
    result = await w.books().wait_until_complete(UNKNOWN)
    assert (states(result), states(result.vanished)) == (["not_found"], ["not_found"])
    assert isinstance(result[UNKNOWN].error, RequestNotFound)
    assert result[UNKNOWN].file_id == ""
    assert w.clock.now() == pytest.approx(16, abs=0.5)


async def test_a_time_out_deletes_nothing_and_another_client_can_go_on(w: World) -> None:
    """By the token alone, over another client: another process might be one."""
    jobs = await jobs_of(w.books(), 3)
    result = await w.books().wait_until_complete(jobs, timeout=5)
    assert (result.timed_out, len(result.pending), w.clock.now()) == (True, 3, 5)
    with pytest.raises(InvalidArgument, match="no resume token"):
        await w.client.resume("nonsense")
    token = result.resume_token
    await w.client.aclose()
    resumed = await w.another().resume(token, timeout=100)
    assert list(resumed) == [job.request_id for job in jobs]
    assert (states(resumed), resumed.timed_out) == (["complete"] * 3, False)
    assert {path for path in w.sent if path not in (TICKET, UPLOAD)} == {STATUS}


async def test_a_rejected_key_ends_the_wait_with_the_partial_result(w: World) -> None:
    jobs = await jobs_of(w.books(), 2)
    w.fail(STATUS, answer=forbidden(), times=99, skip=6)
    with pytest.raises(AuthenticationError) as caught:
        await w.books().wait_until_complete(jobs)
    assert states(caught.value.partial) == ["pending", "pending"]


# --- as_completed ----------------------------------------------------------------------------


async def test_outcomes_come_as_they_come_each_once(tmp_path: Path) -> None:
    async with world(tmp_path, min_module_seconds=10) as w:
        pipeline = w.books()
        jobs = await jobs_of(pipeline, 4)  # two at a time are worked on
        came: list[tuple[str, int]] = []
        async for outcome in pipeline.as_completed([*jobs[::-1], jobs[0]]):
            came.append((outcome.request_id, int(w.clock.now() // 10)))
        order = [job.request_id for job in jobs]
        assert {rid for rid, decade in came if decade == 1} == set(order[:2])
        assert {rid for rid, decade in came if decade == 2} == set(order[2:])
        assert len(came) == 4


async def test_what_still_runs_at_the_time_out_comes_last_as_pending(w: World) -> None:
    jobs = await jobs_of(w.books(), 4)
    stream = w.books().as_completed(jobs, timeout=15)
    assert states([outcome async for outcome in stream]) == [
        *("complete", "complete", "pending", "pending"),
    ]
    assert w.clock.now() == 15


async def test_leaving_early_only_stops_the_waiting(w: World) -> None:
    jobs = await jobs_of(w.books(), 3)
    async with w.books().as_completed(jobs) as stream:
        async for _ in stream:
            break
    await w.clock.sleep(0.01)  # looks under way come back
    assert len(w.client._opened.scheduler) == 0
    assert states(await w.books().wait_until_complete(jobs)) == ["complete"] * 3


async def test_updates_and_poll_of_a_stream(w: World) -> None:
    (job,) = await jobs_of(w.books(), 1)
    told: list[str] = []
    stream = w.books().as_completed(
        job, on_update=lambda o: told.append(o.state), poll=tenacity.wait_fixed(4)
    )
    assert states([outcome async for outcome in stream]) == ["complete"]
    assert (told, w.clock.now()) == (["pending", "complete"], 12.0)


def test_a_reference_alone_names_a_job() -> None:
    """What it needs at least is the id and the pipeline."""
    ref = JobRef(request_id=UNKNOWN, pipeline="books")
    assert (ref.file_id, ref.submitted_at, ref.expires_at, ref.module_count) == (None,) * 4
