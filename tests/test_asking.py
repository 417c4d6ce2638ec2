"""Asking over a real server in process: one budget for looks and submits; in virtual time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
import tenacity

from krixik_async import Job, RequestNotFound
from krixik_async._asking import ServiceAsker
from krixik_async._models import JobRef
from tests.client_side import LIST, STATUS, TICKET, UNKNOWN, UPLOAD, World, says, states, world

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


async def sent(w: World, count: int) -> list[Job]:
    return [
        await w.books().process(
            local_file_path=f"one two three four five six {n}".encode(), file_name=f"{n}.txt"
        )
        for n in range(count)
    ]


def free(w: World) -> int:
    return w.client._opened.transport._exchanges._permits.free


async def test_sixty_jobs_are_found_by_list_and_asked_for_once(tmp_path: Path) -> None:
    async with world(tmp_path, min_module_seconds=1) as w:
        jobs = await sent(w, 60)
        result = await w.books().wait_until_complete(jobs)
        assert states(result) == ["complete"] * 60
        assert result.statistics.list_requests == w.sent.count(LIST) > 1
        assert result.statistics.status_requests == w.sent.count(STATUS) < 90
        assert all(outcome.last_status.reply for outcome in result.values() if outcome.last_status)
        await w.clock.sleep(1)
        assert free(w) == 64


async def test_it_is_off_where_the_client_says_so(tmp_path: Path) -> None:
    async with world(tmp_path, min_module_seconds=5, bulk_look=False) as w:
        jobs = await sent(w, 60)
        assert states(await w.books().wait_until_complete(jobs)) == ["complete"] * 60
        assert w.sent.count(LIST) == 0


async def test_an_asker_knows_the_finished_files_of_a_list(tmp_path: Path) -> None:
    async with world(tmp_path) as w:
        (job,) = await sent(w, 1)
        await job
        asker = ServiceAsker(w.client._opened.transport)
        opening = await asker.opening()
        assert free(w) == 63
        assert await opening.finished("books", [job.file_id, UNKNOWN]) == {job.file_id}
        opening.release()
        assert (free(w), asker.rate, asker.throttled) == (64, None, 0)


async def test_an_opening_that_was_not_used_is_given_back(tmp_path: Path) -> None:
    async with world(tmp_path, max_in_flight=1) as w:
        asker = ServiceAsker(w.client._opened.transport)
        opening = await asker.opening()
        with anyio.move_on_after(1) as scope:
            await asker.opening()
        assert scope.cancelled_caught
        opening.release()
        opening.release()
        assert free(w) == 1
        used = await asker.opening()
        with pytest.raises(RequestNotFound):
            await used.status(JobRef(request_id=UNKNOWN, pipeline="books"))
        used.release()
        assert free(w) == 1


async def test_a_retry_of_a_look_takes_an_opening_of_its_own(tmp_path: Path) -> None:
    async with world(tmp_path, max_in_flight=1, rate_limit=1.0) as w:
        (job,) = await sent(w, 1)
        w.fail(STATUS, answer=says(500, {"request_id": "r", "message": "no"}), times=2)
        assert states(await w.books().wait_until_complete(job)) == ["complete"]
        assert (w.sent.count(STATUS), free(w)) == (3, 1)


async def test_looks_and_submits_share_the_rate_and_neither_starves(tmp_path: Path) -> None:
    """Thirty jobs that want to be asked for 600 times a second, and ten requests a second."""
    async with world(tmp_path, min_module_seconds=1000, rate_limit=10.0) as w:
        jobs = await sent(w, 30)
        began, before = w.clock.now(), len(w.sent)
        took: list[float] = []

        async def submit() -> None:
            for n in range(5):
                at = w.clock.now()
                await w.books().process(local_file_path=b"a b c d e f", file_name=f"late{n}.txt")
                took.append(w.clock.now() - at)

        async with anyio.create_task_group() as group:
            for _ in range(1):
                group.start_soon(submit)
            await w.books().wait_until_complete(jobs, timeout=30.0, poll=tenacity.wait_fixed(0.05))
        # A submit is two requests, each behind at most four looks in line.
        assert max(took) <= 2 * 5 / 10.0 + 0.11
        requests = len(w.sent) - before
        assert requests <= 10.0 * (w.clock.now() - began) + 1
        looks = requests - w.sent[before:].count(TICKET) - w.sent[before:].count(UPLOAD)
        assert looks > 250


async def test_looks_and_submits_share_what_may_be_in_flight(tmp_path: Path) -> None:
    async with world(tmp_path, min_module_seconds=3, max_in_flight=2) as w:
        jobs = await sent(w, 10)

        async def submit() -> None:
            await w.books().process(local_file_path=b"a b c d e f", file_name="late.txt")

        async with anyio.create_task_group() as group:
            group.start_soon(submit)
            await w.books().wait_until_complete(jobs, poll=tenacity.wait_fixed(0.05))
        assert w.wire.busiest <= 2
        assert free(w) == 2


async def test_too_many_slows_looks_and_submits_and_submits_nothing_twice(tmp_path: Path) -> None:
    async with world(tmp_path, min_module_seconds=3) as w:
        jobs = await sent(w, 5)
        w.fail(STATUS, answer=says(429, {"message": "slow down"}, **{"retry-after": "7"}))
        began = w.clock.now()
        result = await w.books().wait_until_complete(jobs)
        assert states(result) == ["complete"] * 5
        assert w.clock.now() - began >= 7.0
        assert (w.sent.count(UPLOAD), result.statistics.throttles) == (5, 1)
