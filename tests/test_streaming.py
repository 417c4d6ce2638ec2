"""Outcomes of jobs that are still coming in: with back-pressure, each once; in virtual time."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest

from krixik_async._models import JobRef, WaitStatistics
from krixik_async._streaming import AsCompleted
from krixik_async._waiting import check_poll
from tests.polled_service import EACH_SECOND, EPOCH, House, ref

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


def read(job: object) -> JobRef:
    assert isinstance(job, JobRef)
    return job


def stream(
    house: House,
    jobs: Any,
    *,
    max_waiting: int | None = 3,
    timeout: float | None = 100.0,
    **given: Any,
) -> AsCompleted:
    return AsCompleted(
        house.waiter,
        jobs,
        read,
        timeout=timeout,
        max_waiting=max_waiting,
        **{"on_update": None, "schedule": EACH_SECOND, **given},
    )


class Source:
    """An async source of jobs, one every `every_s` seconds, that knows how far it was taken."""

    def __init__(self, house: House, count: int, every_s: float = 0.0) -> None:
        self.house = house
        self.count = count
        self.every_s = every_s
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[JobRef]:
        for n in range(1, self.count + 1):
            await self.house.clock.sleep(self.every_s)
            self.taken = n
            yield ref(n)


def done(count: int, at: float) -> dict[str, float]:
    return {f"r{n}": at for n in range(1, count + 1)}


@pytest.mark.parametrize("kind", ["iterable", "async iterable"])
async def test_no_more_are_taken_than_may_wait(kind: str) -> None:
    """Ten jobs, each done at once, three under way at most, a slow taker."""
    house = House(done(10, 0.0))
    source = Source(house, 10)
    pulled = 0

    def plain() -> Iterator[JobRef]:
        nonlocal pulled
        for n in range(1, 11):
            pulled = n
            yield ref(n)

    seen: list[str] = []
    ahead: list[int] = []
    async for outcome in stream(house, plain() if kind == "iterable" else source):
        seen.append(outcome.request_id)
        await house.clock.sleep(5.0)
        ahead.append(max(pulled, source.taken) - len(seen))
    assert sorted(seen) == sorted(done(10, 0.0))
    assert max(ahead) <= 3
    assert len(house.scheduler) == 0


async def test_a_growing_source_is_waited_on_to_its_end() -> None:
    house = House(done(5, 0.0))
    outcomes = stream(house, Source(house, 5, every_s=10.0), timeout=None)
    assert [(o.request_id, house.now) async for o in outcomes] == [
        (f"r{n}", 10.0 * n) for n in range(1, 6)
    ]
    assert (outcomes.statistics.jobs, outcomes.statistics.requests) == (5, 5)


async def test_outcomes_come_while_the_source_goes_on() -> None:
    house = House({"r1": 3.0, "r2": 4.0})
    outcomes = stream(house, Source(house, 1000, every_s=2.5))
    assert (await outcomes.__anext__()).request_id == "r1"
    assert house.now == 3.5
    await outcomes.aclose()
    await house.clock.sleep(1.0)
    assert (len(house.scheduler), len(house.tasks)) == (0, 0)


async def test_a_job_that_comes_twice_comes_out_once() -> None:
    house = House(done(3, 1.0))
    twice = [ref(1), ref(2), ref(1), ref(3), ref(2), ref(1)]
    assert sorted([o.request_id async for o in stream(house, twice, max_waiting=1)]) == [
        "r1",
        "r2",
        "r3",
    ]


async def test_at_the_time_out_the_rest_comes_out_as_pending_and_no_more_are_taken() -> None:
    house = House({"r1": 1.0})
    source = Source(house, 9)
    outcomes = [(o.request_id, o.state) async for o in stream(house, source, timeout=5.0)]
    assert outcomes == [("r1", "complete"), ("r2", "pending"), ("r3", "pending"), ("r4", "pending")]
    assert (house.now, source.taken) == (5.0, 4)


async def test_without_a_time_out_a_finished_source_is_waited_for_until_its_records_end() -> None:
    house = House()
    jobs = [JobRef(request_id="r1", pipeline="p", submitted_at=EPOCH, expires_at=EPOCH + 50.0)]
    outcomes = [o.state async for o in stream(house, jobs, timeout=None)]
    assert (outcomes, house.now) == (["pending"], 65.0)


async def test_an_error_of_the_source_comes_out_and_the_jobs_so_far_can_still_be_had() -> None:
    house = House(done(2, 5.0))

    async def source() -> AsyncIterator[JobRef]:
        yield ref(1)
        yield ref(2)
        raise ZeroDivisionError("the caller's source")

    outcomes = stream(house, source())
    with pytest.raises(ZeroDivisionError, match="the caller's source"):
        await outcomes.__anext__()
    assert [o.state async for o in outcomes] == ["complete", "complete"]


async def test_what_is_no_job_is_refused_when_it_comes() -> None:
    house = House(done(2, 0.0))
    outcomes = stream(house, iter([ref(1), "no job", ref(2)]), max_waiting=1)
    assert (await outcomes.__anext__()).request_id == "r1"
    with pytest.raises(AssertionError):
        await outcomes.__anext__()
    assert (await outcomes.__anext__()).request_id == "r2"


@pytest.mark.parametrize("count", [0, 3])
async def test_an_empty_source_is_no_wait(count: int) -> None:
    house = House(done(3, 0.0))
    assert len([o async for o in stream(house, Source(house, count))]) == count
    assert house.now == 0.0


async def test_a_dropped_stream_lets_go_of_its_source() -> None:
    house = House()
    outcomes = stream(house, Source(house, 100, every_s=1.0))
    with anyio.move_on_after(2.5):
        await outcomes.__anext__()
    assert (len(house.scheduler), len(house.tasks)) != (0, 0)
    del outcomes
    gc.collect()
    await house.clock.sleep(1.5)
    assert (len(house.scheduler), len(house.tasks)) == (0, 0)


async def test_a_stream_that_is_left_just_as_there_is_room_takes_no_more() -> None:
    house = House(done(9, 0.0))
    source = Source(house, 9)
    outcomes = stream(house, source, max_waiting=1)
    assert (await outcomes.__anext__()).request_id == "r1"
    await outcomes.aclose()
    await house.clock.sleep(1.0)
    assert (source.taken, len(house.scheduler), len(house.tasks)) == (1, 0, 0)


async def test_a_stream_that_was_not_begun_has_cost_nothing() -> None:
    assert stream(House(), []).statistics == WaitStatistics()


async def test_a_long_stream_does_not_hold_what_has_ended() -> None:
    house = House(done(1000, 0.0))
    outcomes = stream(house, (ref(n) for n in range(1, 1001)), max_waiting=10)
    count = 0
    async for _ in outcomes:
        count += 1
        subscription = outcomes._subscription
        assert subscription is not None
        assert len(subscription.entries) <= 100
    assert count == 1000


@pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration])
@pytest.mark.parametrize("where", ["on_update", "async on_update", "schedule", "stop", "source"])
async def test_an_iterators_end_out_of_a_callers_function_does_not_pass_for_the_end(
    where: str, kind: type[Exception]
) -> None:
    """As in generators (PEP 479): it would hide that jobs are still waited for."""

    def ends(*_: object) -> Any:
        raise kind("mine")

    async def ends_later(_: object) -> None:
        ends()

    class Source:
        def __iter__(self) -> Any:
            return self

        def __next__(self) -> JobRef:
            raise StopAsyncIteration("mine")

    given: dict[str, Any] = {
        "on_update": {"on_update": ends},
        "async on_update": {"on_update": ends_later},
        "schedule": {"schedule": check_poll(ends)},
        "stop": {"schedule": check_poll(None, ends)},
        "source": {},
    }[where]
    jobs = Source() if where == "source" else [ref(1)]
    with pytest.raises(RuntimeError, match=r"raised Stop(Async)?Iteration") as raised:
        await anext(stream(House({"r1": 9.0}), jobs, **given))
    assert repr(raised.value.__cause__) in ("StopAsyncIteration('mine')", repr(kind("mine")))
