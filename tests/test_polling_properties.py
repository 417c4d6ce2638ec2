"""Whatever jobs, faults, waiters and cancellations meet: laws that hold for every wait."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import anyio
import attrs
import pytest
import tenacity
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from krixik_async._errors import (
    ConnectFailed,
    KrixikError,
    RequestNotFound,
    RequestRejected,
    UnexpectedReply,
)
from krixik_async._models import FailureStatus, JobRef, ProcessStatus
from krixik_async._poll_policy import PollPolicy
from krixik_async._results import WaitResult
from krixik_async._streaming import AsCompleted
from krixik_async._waiting import Schedule
from krixik_async.testing import VirtualTimeLoop
from tests.polled_service import EPOCH, House

BACKENDS = {
    "asyncio": lambda: {"loop_factory": VirtualTimeLoop},
    "trio": lambda: {"clock": trio.testing.MockClock(autojump_threshold=0)},
}
SECONDS = st.floats(0, 120).map(lambda s: round(s, 2))
MAX_LOOKS = 3
# The slowest schedule asks every 20 s, and after trouble a look is held back for 11 s at most.
NOTICED_WITHIN_S = dict.fromkeys(["complete", "failed", "deleted", "refused"], 35.0)
# Lists that are wrong or fail are found out about within three rounds and a pause after trouble;
# what lists cannot show is up to the slow schedule.
NOTICED_BY_LIST_WITHIN_S = {"complete": 60.0}


@attrs.frozen
class Story:
    """What becomes of one job, and when; `trouble` is when looking at it fails, and how."""

    end: str
    at: float
    trouble: tuple[float, float, str]

    def answer(self, now: float, file_id: str) -> ProcessStatus | KrixikError:
        begins, lasts, kind = self.trouble
        if begins <= now < begins + lasts:
            return {
                "network": ConnectFailed("down"),
                "proxy": UnexpectedReply("a proxy's page"),
                "lag": RequestNotFound("process_id was not found"),
            }[kind]
        over = now >= self.at
        if over and self.end == "deleted":
            return RequestNotFound("process_id was not found")
        if over and self.end == "refused":
            return RequestRejected("pipeline of process_id does not match")
        failed = over and self.end == "failed"
        done = over and self.end == "complete"
        return ProcessStatus(
            status_code=200,
            request_id="call",
            file_id=file_id,
            message="",
            pipeline="p",
            modules={"module_1": done},
            overall_status="failed" if failed else "complete" if done else "ongoing",
            failure_status=FailureStatus(process_id=None, failure_module="m") if failed else None,
        )


@attrs.frozen
class Wait:
    """One caller's wait: for which jobs, from when, how long, and when it is cancelled."""

    jobs: tuple[int, ...]
    starts: float
    timeout: float
    cancelled_after: float
    return_when: str


STORIES = st.builds(
    Story,
    st.sampled_from(["complete", "failed", "deleted", "refused", "never"]),
    SECONDS,
    st.tuples(SECONDS, st.floats(0, 20), st.sampled_from(["network", "proxy", "lag"])),
)
WAITS = st.builds(
    Wait,
    st.lists(st.integers(0, 5), min_size=1, max_size=8).map(tuple),
    SECONDS,
    SECONDS,
    st.one_of(st.just(1e6), SECONDS),
    st.sampled_from(["all", "first", "first_failure"]),
)
SCHEDULES = st.sampled_from(
    [tenacity.wait_fixed(0.7), tenacity.wait_fixed(9), tenacity.wait_exponential(0.1, max=20)]
)


STOPS = st.sampled_from(
    [
        None,
        tenacity.stop_after_attempt(1),
        tenacity.stop_after_attempt(4),
        tenacity.stop_after_delay(5),
        tenacity.stop_before_delay(5),
    ]
)
CROWDS = st.builds(
    Wait,
    st.integers(0, 60).map(lambda first: tuple(range(first, first + 70))),
    SECONDS,
    SECONDS,
    st.one_of(st.just(1e6), SECONDS),
    st.sampled_from(["all", "first", "first_failure"]),
)


def job(number: int) -> JobRef:
    return JobRef(request_id=f"r{number}", pipeline="p", submitted_at=EPOCH)


def known_job(number: int) -> JobRef:
    return attrs.evolve(job(number), file_id=f"f{number}")


class Told(House):
    """A house whose answers come from the stories."""

    stories: tuple[Story, ...] = ()
    list_trouble: tuple[float, float, str] = (0.0, 0.0, "network")

    async def status(self, ref: JobRef) -> ProcessStatus:
        await self.work()
        number = int(ref.request_id[1:])
        answer = self.stories[number % len(self.stories)].answer(self.now, f"f{number}")
        if isinstance(answer, KrixikError):
            raise answer
        return answer

    async def finished(self, _pipeline: str, file_ids: Sequence[str]) -> set[str]:
        await self.work()
        begins, lasts, kind = self.list_trouble
        if begins <= self.now < begins + lasts:
            if kind == "lag":
                return set()
            raise ConnectFailed("down") if kind == "network" else RequestRejected("no lists")
        stories = {i: self.stories[int(i[1:]) % len(self.stories)] for i in file_ids}
        return {i for i, s in stories.items() if s.end == "complete" and self.now >= s.at}


async def one_wait(
    house: House, wait: Wait, schedule: Schedule, results: list[Any], make: Any = job
) -> None:
    await house.clock.sleep(wait.starts)
    with anyio.move_on_after(wait.cancelled_after):
        result = await house.waiter.wait(
            [make(n) for n in wait.jobs],
            timeout=wait.timeout,
            return_when=wait.return_when,  # type: ignore[arg-type]
            on_update=None,
            schedule=schedule,
        )
        results.append((wait, house.now, result))


def hold(
    stories: tuple[Story, ...],
    wait: Wait,
    ended: float,
    result: WaitResult,
    noticed_within_s: dict[str, float],
    *,
    stopping: bool = False,
) -> None:
    """Hold one result against the stories."""
    assert list(result) == [f"r{n}" for n in dict.fromkeys(wait.jobs)]
    assert ended <= wait.starts + wait.timeout + 1e-6
    out_of_time = ended >= wait.starts + wait.timeout - 1e-6 and bool(result.pending)
    if stopping:
        assert not result.timed_out or result.pending
    elif wait.return_when == "all" or not any(outcome.ended for outcome in result.values()):
        assert result.timed_out == out_of_time
    else:  # what it waited for may have come at the very end
        assert out_of_time or not result.timed_out
    for number, outcome in zip(dict.fromkeys(wait.jobs), result.values(), strict=True):
        story = stories[number % len(stories)]
        expected = {
            "complete": {"complete"},
            "failed": {"failed"},
            "deleted": {"deleted", "not_found"},
            "refused": {"error"},
            "never": set(),
        }[story.end]
        # Three unreadable replies in a row, or a record unreadable for long, are verdicts too.
        kind = story.trouble[2]
        expected |= {"proxy": {"error"}, "lag": {"deleted", "not_found"}, "network": set()}[kind]
        assert outcome.state in {"pending", *expected}
        if outcome.state in ("complete", "failed"):
            assert ended >= story.at
        quiet_since = max(story.at, wait.starts, story.trouble[0] + story.trouble[1])
        noticed_within = float("inf") if stopping else noticed_within_s.get(story.end, float("inf"))
        if ended >= quiet_since + noticed_within:
            assert outcome.ended
    if wait.return_when == "all" and not result.timed_out:
        assert not result.pending


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=60, deadline=None)
@given(
    stories=st.tuples(*[STORIES] * 6),
    waits=st.lists(WAITS, min_size=1, max_size=4),
    schedule=SCHEDULES,
    stop=STOPS,
)
def test_every_wait_gives_each_job_one_true_outcome_in_time(
    backend: str, stories: tuple[Story, ...], waits: list[Wait], schedule: Any, stop: Any
) -> None:
    """Never past its time, never more looks than allowed, nothing left behind.

    Every other wait has a stop, if there is one; the others are not touched by it.
    """

    async def run() -> None:
        house = Told(max_looks=MAX_LOOKS, takes_s=0.05)
        house.stories = stories
        results: list[Any] = []
        async with anyio.create_task_group() as group:
            for wait, stops in zip(waits, (stop, None, stop, None), strict=False):
                how = Schedule(schedule, bulk_look=False, stop=stops)
                group.start_soon(one_wait, house, wait, how, results)
        for wait, ended, result in results:
            number = next(n for n, given in enumerate(waits) if given is wait)
            stopping = stop is not None and number % 2 == 0
            hold(stories, wait, ended, result, NOTICED_WITHIN_S, stopping=stopping)
        assert house.busiest <= MAX_LOOKS
        await house.clock.sleep(1)
        assert (len(house.scheduler), len(house.tasks), house.busy) == (0, 0, 0)

    anyio.run(run, backend=backend, backend_options=BACKENDS[backend]())


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=25, deadline=None)
@given(
    stories=st.tuples(*[STORIES] * 6),
    waits=st.lists(CROWDS, min_size=1, max_size=3),
    list_trouble=st.tuples(SECONDS, st.floats(0, 20), st.sampled_from(["network", "proxy", "lag"])),
    bulk_look=st.booleans(),
)
def test_with_bulk_looks_too_each_job_has_one_true_outcome_in_time(
    backend: str,
    stories: tuple[Story, ...],
    waits: list[Wait],
    list_trouble: tuple[float, float, str],
    bulk_look: bool,
) -> None:
    """Whatever lists say or fail to say, on or off: the same laws hold."""

    async def run() -> None:
        house = Told(max_looks=MAX_LOOKS, takes_s=0.05, bulk_look=bulk_look)
        house.stories, house.list_trouble = stories, list_trouble
        results: list[Any] = []
        schedule = Schedule(PollPolicy.adaptive(), bulk_look=True)
        async with anyio.create_task_group() as group:
            for wait in waits:
                group.start_soon(one_wait, house, wait, schedule, results, known_job)
        for wait, ended, result in results:
            hold(stories, wait, ended, result, NOTICED_BY_LIST_WITHIN_S)
            assert result.statistics.jobs == 70
        assert house.busiest <= MAX_LOOKS
        await house.clock.sleep(1)
        assert (len(house.scheduler), len(house.tasks), house.busy) == (0, 0, 0)

    anyio.run(run, backend=backend, backend_options=BACKENDS[backend]())


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=25, deadline=None)
@given(
    stories=st.tuples(*[STORIES] * 6),
    max_waiting=st.integers(1, 12),
    takes=st.integers(0, 40),
    timeout=SECONDS,
)
def test_a_growing_wait_gives_each_job_once_and_takes_no_more_than_may_wait(
    backend: str, stories: tuple[Story, ...], max_waiting: int, takes: int, timeout: float
) -> None:
    """Left after any number of outcomes: nothing is left behind."""

    async def run() -> None:
        house = Told(max_looks=MAX_LOOKS, takes_s=0.05)
        house.stories = stories
        taken = 0

        async def source() -> AsyncIterator[JobRef]:
            nonlocal taken
            for n in range(40):
                taken = n + 1
                yield known_job(n)

        jobs = source()
        seen: list[str] = []
        async with (
            aclosing(jobs),
            AsCompleted(
                house.waiter,
                jobs,
                lambda given: given,  # type: ignore[arg-type,return-value]
                timeout=timeout,
                on_update=None,
                schedule=Schedule(PollPolicy.adaptive(), bulk_look=True),
                max_waiting=max_waiting,
            ) as stream,
        ):
            while len(seen) < takes:
                try:
                    outcome = await stream.__anext__()
                except StopAsyncIteration:
                    break
                seen.append(outcome.request_id)
                assert taken - len(seen) <= max_waiting
                assert house.now <= timeout + 1e-6
            await stream.aclose()
            await house.clock.sleep(1)
        assert len(seen) == len(set(seen))
        assert (len(house.scheduler), len(house.tasks), house.busy) == (0, 0, 0)

    anyio.run(run, backend=backend, backend_options=BACKENDS[backend]())
