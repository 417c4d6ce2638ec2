"""A job in the hand: what it says of itself, waiting for it, and the ways to name many."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import warnings
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
import tenacity
from rich.console import Console

from krixik_async import (
    AuthenticationError,
    ClientClosed,
    Durations,
    InvalidArgument,
    InvalidArgumentType,
    Job,
    JobEnded,
    JobOutcome,
    JobRef,
    JobsFailed,
    KrixikError,
    ModuleDone,
    ProcessFailed,
    ProgressDisplay,
    RequestVanished,
    UnexpectedReply,
    WaitTimeout,
)
from krixik_async._job import as_list
from tests.client_side import EPOCH, STATUS, TEXT, UNKNOWN, World, forbidden, says, states, world

pytestmark = pytest.mark.anyio

HALF_A_PAIR = b'[{"snippet": "\\ud800 half a pair"}]'


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


@pytest.fixture
async def w(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, min_module_seconds=10) as here:
        yield here


@pytest.fixture
async def job(w: World) -> Job:
    return await w.books().process(local_file_path=TEXT, file_name="a.txt")


async def failing(w: World) -> Job:
    pipeline = w.books("json-to-txt", name="texts")
    return await pipeline.process(local_file_path=HALF_A_PAIR, file_name="a.json")


# --- what it says ----------------------------------------------------------------------------


async def test_a_job_has_the_official_shape(job: Job) -> None:
    """Tags and description are None where none were given, as the official client has it."""
    assert job.to_dict() == {
        "file_id": job.file_id,
        "request_id": job.request_id,
        "file_name": "a.txt",
        "symbolic_directory_path": "/etc",
        "file_tags": None,
        "file_description": None,
    }
    assert list(job.to_dict()) == [
        *("file_id", "request_id", "file_name", "symbolic_directory_path"),
        *("file_tags", "file_description"),
    ]


async def test_a_job_carries_what_was_given(w: World) -> None:
    job = await w.books().process(
        local_file_path=TEXT,
        symbolic_file_path="/Novels/A.txt",
        file_tags=[{"Author": "Orwell"}],
        file_description="A novel.",
        expire_time=3600,
    )
    assert job.to_dict() == {
        "file_id": job.file_id,
        "request_id": job.request_id,
        "file_name": "a.txt",
        "symbolic_directory_path": "/novels",
        "file_tags": [{"author": "orwell"}],
        "file_description": "A novel.",
    }
    assert job.expires_at == EPOCH + 3600
    assert repr(job) == f"<Job {job.request_id} of 'a.txt' in pipeline 'books'>"


async def test_a_dict_of_a_job_is_the_callers_own(w: World) -> None:
    tags = [{"a": "b"}]
    job = await w.books().process(local_file_path=TEXT, file_name="a.txt", file_tags=tags)
    tags[0]["a"] = "c"
    first: Any = job.to_dict()
    first["file_tags"][0]["a"] = "d"
    assert job.to_dict()["file_tags"] == [{"a": "b"}]


async def test_the_reference_of_a_job_can_travel(w: World, job: Job) -> None:
    copy = pickle.loads(pickle.dumps(job.ref))
    assert copy == job.ref
    assert (await w.client.wait_until_complete(copy))[job.request_id].state == "complete"


# --- waiting for one -------------------------------------------------------------------------


async def test_a_job_itself_says_that_it_cannot_travel(job: Job) -> None:
    """What a task queue does to its arguments ends with a sentence that tells what can."""
    for hand_on in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match=r"hand on job.ref, or job.request_id"):
            hand_on(job)


async def test_a_job_takes_no_subscript_and_says_what_to_write(job: Job) -> None:
    with pytest.raises(TypeError, match=r"write .request_id, or .to_dict\(\)\['request_id'\]"):
        job["request_id"]


async def test_awaiting_a_job_gives_its_outcome(w: World, job: Job) -> None:
    outcome = await job
    assert isinstance(outcome, JobOutcome)
    assert (outcome.request_id, outcome.file_id) == (job.request_id, job.file_id)
    assert (outcome.state, dict(outcome.modules)) == ("complete", {"module_1": True})
    assert 10 <= w.clock.now() <= 13


async def test_a_job_can_be_awaited_more_than_once_and_by_many(w: World, job: Job) -> None:
    outcomes: list[JobOutcome] = []

    async def wait() -> None:
        outcomes.append(await job)

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(wait)
    assert states(outcomes) == ["complete"] * 5
    asked = w.sent.count(STATUS)
    assert (await job).state == "complete"
    assert asked < 20
    assert w.sent.count(STATUS) == asked + 1


async def test_a_job_that_failed_raises_with_the_job(w: World) -> None:
    job = await failing(w)
    with pytest.raises(
        ProcessFailed,
        match=r"failed at module_1\.json-to-txt: the JSON input has half",
    ) as caught:
        await job
    error = caught.value
    assert (error.request_id, error.file_id) == (job.request_id, job.file_id)
    assert (error.pipeline, error.failure_module) == ("texts", "module_1.json-to-txt")
    assert error.job == job.ref
    assert error.outcome is not None
    assert error.outcome.last_status is not None
    assert error.outcome.last_status.to_dict() == {
        "status_code": 200,
        "request_id": error.outcome.last_status.request_id,
        "file_id": job.file_id,
        "message": "SUCCESS: process_status found",
        "pipeline": "texts",
        "failure_status": {
            "process_id": job.request_id,
            "failure_module": "module_1.json-to-txt",
            "message": "the JSON input has half of a surrogate pair in a text",
        },
        "overall_status": "failed",
    }


async def test_a_wait_that_takes_too_long_raises_and_deletes_nothing(w: World, job: Job) -> None:
    with pytest.raises(WaitTimeout, match="It goes on: wait again") as caught:
        await job.wait(timeout=5)
    assert (w.clock.now(), caught.value.job, caught.value.file_id) == (5, job.ref, job.file_id)
    assert (await job.wait(timeout=60)).state == "complete"
    assert await w.names(w.books()) == ["a.txt"]


async def test_a_job_whose_record_expires_while_it_is_waited_for(tmp_path: Path) -> None:
    """Without a time-out the wait ends when the service forgets the file, and says so."""
    async with world(tmp_path, min_module_seconds=5000) as w:
        job = await w.books().process(local_file_path=TEXT, file_name="a.txt")
        with pytest.raises(RequestVanished, match="is gone: expired") as caught:
            await job
        assert 1800 <= w.clock.now() <= 1815
        assert caught.value.outcome is not None
        assert caught.value.outcome.state == "expired"


async def test_a_job_whose_file_is_deleted_while_it_is_waited_for(w: World, job: Job) -> None:
    """Its upload was confirmed, so it was there: gone before its time means deleted."""

    async def delete_when_done() -> None:
        await w.clock.sleep(12)
        await w.books(client=w.another()).delete(file_id=job.file_id)

    async with anyio.create_task_group() as group:
        group.start_soon(delete_when_done)
        result = await w.books().wait_until_complete(job, poll=tenacity.wait_fixed(30))
    assert states(result) == states(result.vanished) == ["deleted"]
    assert 30 <= w.clock.now() <= 33
    with pytest.raises(RequestVanished, match="is gone: deleted") as caught:
        await job
    assert (caught.value.job, caught.value.pipeline) == (job.ref, "books")


async def test_a_job_nothing_can_be_learned_of_raises_why(w: World, job: Job) -> None:
    """Three answers in a row that are not of this protocol: the last one is the error."""
    w.fail(STATUS, answer=says(200, b"<html>"), times=99)
    with pytest.raises(UnexpectedReply) as caught:
        await job
    assert (caught.value.request_id, caught.value.pipeline) == (job.request_id, "books")
    assert w.sent.count(STATUS) == 3


async def test_a_rejected_key_ends_the_wait_with_what_is_known(w: World, job: Job) -> None:
    w.fail(STATUS, answer=forbidden(), times=99, skip=2)
    with pytest.raises(AuthenticationError) as caught:
        await job
    assert states(caught.value.partial) == ["pending"]


async def test_an_outage_is_ridden_out(w: World, job: Job) -> None:
    w.fail(STATUS, answer=says(503, b""), times=40)
    assert (await job).state == "complete"


async def test_cancelling_a_wait_leaves_the_job_alone(w: World, job: Job) -> None:
    with anyio.move_on_after(5) as scope:
        await job
    assert scope.cancelled_caught
    assert len(w.client._opened.scheduler) == 0
    assert (await job).state == "complete"


async def test_closing_the_client_ends_the_wait(w: World, job: Job) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(w.client.aclose)
        with pytest.raises(ClientClosed):
            await job
    with pytest.raises(ClientClosed):
        await job


@pytest.mark.parametrize("timeout", ["5", True, -1, float("inf"), float("nan")])
async def test_a_time_out_that_is_none(w: World, job: Job, timeout: Any) -> None:
    before = len(w.sent)
    with pytest.raises((InvalidArgument, InvalidArgumentType), match="timeout is"):
        await job.wait(timeout=timeout)
    assert len(w.sent) == before


async def test_a_job_that_is_never_awaited_warns_of_nothing(w: World, job: Job) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del job
        gc.collect()


# --- naming many -----------------------------------------------------------------------------


def test_one_is_a_list_of_one() -> None:
    ref = JobRef(request_id=UNKNOWN, pipeline="books")
    assert (as_list(ref), as_list(UNKNOWN)) == ([ref], [UNKNOWN])


def test_anything_that_can_be_gone_through_once_is_a_list() -> None:
    refs = [JobRef(request_id=str(i), pipeline="books") for i in range(3)]
    assert as_list(tuple(refs)) == as_list(iter(refs)) == as_list(r for r in refs) == refs


def test_a_mapping_counts_by_its_keys() -> None:
    """So a `WaitResult` of one wait can be handed to the next."""
    assert as_list({"a": 1, "b": 2}) == ["a", "b"]


@pytest.mark.parametrize("jobs", [None, 7, b"abc", object()])
def test_what_is_no_list_of_jobs(jobs: Any) -> None:
    with pytest.raises(InvalidArgumentType, match=f"jobs is {type(jobs).__name__} but must be"):
        as_list(jobs)


BAD_OPTIONS: list[tuple[dict[str, Any], str, type[KrixikError]]] = [
    ({"timeout": "5"}, "timeout is str", InvalidArgumentType),
    ({"timeout": -1}, "timeout is -1", InvalidArgument),
    ({"timeout": float("inf")}, "None waits until", InvalidArgument),
    ({"poll": 3}, "poll is 3", InvalidArgumentType),
    ({"poll": tenacity.wait_fixed}, "or a tenacity wait strategy", InvalidArgumentType),
    ({"on_update": "print"}, "on_update is str", InvalidArgumentType),
    ({"return_when": "any"}, "return_when is 'any'", InvalidArgument),
    ({"return_when": None}, "return_when is None", InvalidArgument),
    ({"raise_on_failure": 1}, "raise_on_failure is int", InvalidArgumentType),
]


@pytest.mark.parametrize(("given", "said", "kind"), BAD_OPTIONS)
@pytest.mark.parametrize("by", ["pipeline", "client", "resume"])
async def test_options_of_a_wait_that_are_none(
    w: World, by: str, given: dict[str, Any], said: str, kind: type[KrixikError]
) -> None:
    ref = JobRef(request_id=UNKNOWN, pipeline="books")
    token = (await w.client.wait_until_complete(ref, timeout=0)).resume_token
    before = len(w.sent)
    wait: dict[str, Any] = {
        "pipeline": partial(w.books().wait_until_complete, ref),
        "client": partial(w.client.wait_until_complete, ref),
        "resume": partial(w.client.resume, token),
    }
    with pytest.raises(kind) as caught:
        await wait[by](**given)
    assert said in str(caught.value)
    assert len(w.sent) == before


@pytest.mark.parametrize(("given", "said", "kind"), BAD_OPTIONS[:6])
@pytest.mark.parametrize("by", ["pipeline", "client"])
async def test_options_of_a_stream_that_are_none(
    w: World, by: str, given: dict[str, Any], said: str, kind: type[KrixikError]
) -> None:
    """Said when it is made, not when it is gone through."""
    ref = JobRef(request_id=UNKNOWN, pipeline="books")
    waiter: Any = w.books() if by == "pipeline" else w.client
    with pytest.raises(kind) as caught:
        waiter.as_completed(ref, **given)
    assert said in str(caught.value)
    assert w.sent == []


async def test_failures_raise_only_where_that_was_asked_for(w: World, job: Job) -> None:
    failed = await failing(w)
    result = await w.client.wait_until_complete([job, failed])
    assert states(result) == ["complete", "failed"]
    with pytest.raises(JobsFailed, match=f"1 of 2 jobs did not complete: {failed.request_id}") as c:
        await w.client.wait_until_complete([job, failed], raise_on_failure=True)
    assert (states(c.value.outcomes), type(c.value.__cause__)) == (["failed"], ProcessFailed)


# --- streams over what is still coming in, and over every step ---------------------------------


async def test_jobs_can_be_waited_on_while_they_are_sent(w: World) -> None:
    pipeline = w.books()

    async def sending() -> AsyncIterator[Job]:
        for n in range(4):
            yield await pipeline.process(local_file_path=TEXT, file_name=f"{n}.txt")

    for stream in (pipeline.as_completed(sending(), max_waiting=2), w.client.as_completed([])):
        seen = states([outcome async for outcome in stream])
        assert seen in (["complete"] * 4, [])
    assert w.sent.count(STATUS) > 0


@pytest.mark.parametrize("kind", ["one id", "ids"])
async def test_a_bound_holds_for_jobs_that_are_all_there_too(w: World, job: Job, kind: str) -> None:
    jobs = job.request_id if kind == "one id" else [job.request_id, job, job.ref]
    stream = w.books().as_completed(jobs, max_waiting=1)
    assert states([outcome async for outcome in stream]) == ["complete"]


async def test_an_id_that_is_none_is_refused_when_it_comes(w: World) -> None:
    async def jobs() -> AsyncIterator[str]:
        yield "no uuid"

    with pytest.raises(InvalidArgument, match="request_id"):
        await w.books().as_completed(jobs()).__anext__()


@pytest.mark.parametrize("by", ["pipeline", "client"])
async def test_every_step_can_be_watched(w: World, job: Job, by: str) -> None:
    source = w.books() if by == "pipeline" else w.client
    async with source.watch(job, timeout=60.0) as events:
        seen = [event async for event in events]
    assert seen[0] == ModuleDone(attrs.evolve(job.ref), "module_1")
    assert isinstance(seen[1], JobEnded)
    assert (seen[1].outcome.state, len(seen)) == ("complete", 2)
    assert events.statistics.jobs == 1


@pytest.mark.parametrize("by", ["pipeline", "client", "resume"])
async def test_a_wait_can_be_drawn(w: World, job: Job, by: str) -> None:
    text = io.StringIO()
    display = ProgressDisplay(console=Console(file=text, width=80), force=True)
    if by == "pipeline":
        await w.books().wait_until_complete(job, progress=display)
    elif by == "client":
        await w.client.wait_until_complete(job, progress=display)
    else:
        token = (await w.books().wait_until_complete(job, timeout=0)).resume_token
        await w.client.resume(token, progress=display)
    assert "1/1" in text.getvalue()


async def test_what_was_learned_can_be_kept_and_given_to_another_client(w: World, job: Job) -> None:
    await job
    assert len(w.client.durations) == 1
    known = Durations.from_json(w.client.durations.to_json())
    other = w.another(durations=known)
    assert other.durations is known
