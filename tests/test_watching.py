"""Every step of many jobs as a stream of events; in virtual time."""

from __future__ import annotations

import gc
from typing import Any

import anyio
import attrs
import pytest

from krixik_async._errors import AuthenticationError, ConnectFailed, KrixikError
from krixik_async._models import JobRef, ProcessStatus, WaitStatistics
from krixik_async._results import WaitResult
from krixik_async._watching import (
    JobEnded,
    LookFailed,
    ModuleDone,
    PaceChanged,
    Watch,
    WatchTimedOut,
)
from tests.polled_service import EACH_SECOND, House, ref

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


@attrs.define
class Chains(House):
    """Each job has three modules, done at `done_at`, 2 s and 4 s later."""

    def status_of(self, job: JobRef) -> ProcessStatus:
        error: KrixikError | None = self.answer(job.request_id, self.now)
        if error is not None:
            raise error
        first = self.done_at.get(job.request_id, float("inf"))
        flags = {f"module_{n}": self.now >= first + 2.0 * (n - 1) for n in (1, 2, 3)}
        return ProcessStatus(
            status_code=200,
            request_id="call",
            file_id=str(job.file_id),
            message="",
            pipeline="p",
            modules=flags,
            overall_status="complete" if all(flags.values()) else "ongoing",
        )


def watch(house: House, *jobs: JobRef, timeout: float | None = 100.0) -> Watch:
    return Watch(house.waiter, jobs, timeout=timeout, schedule=EACH_SECOND)


def said(event: Any) -> tuple[str, ...]:
    match event:
        case ModuleDone(job, module):
            return ("module", job.request_id, module)
        case JobEnded(outcome):
            return ("ended", outcome.request_id, outcome.state)
        case LookFailed(job, error):
            return ("failed", job.request_id, str(error))
        case PaceChanged(reason):
            return ("pace", reason)
        case _:
            return ("over", *(outcome.request_id for outcome in event.pending))


async def test_modules_and_ends_come_in_order() -> None:
    house = Chains({"r1": 3.0, "r2": 8.0})
    events = [(house.now, *said(event)) async for event in watch(house, ref(1), ref(2), ref(1))]
    assert events == [
        (3.0, "module", "r1", "module_1"),
        (5.0, "module", "r1", "module_2"),
        (7.0, "module", "r1", "module_3"),
        (7.0, "ended", "r1", "complete"),
        (8.0, "module", "r2", "module_1"),
        (10.0, "module", "r2", "module_2"),
        (12.0, "module", "r2", "module_3"),
        (12.0, "ended", "r2", "complete"),
    ]
    assert len(house.scheduler) == 0


async def test_who_takes_slowly_misses_no_module_and_no_end() -> None:
    house = Chains({"r1": 3.0, "r2": 4.0})
    events: list[tuple[str, ...]] = []
    async for event in watch(house, ref(1), ref(2)):
        events.append(said(event))
        await house.clock.sleep(5.0)
    assert sorted(events) == sorted(
        [
            (kind, job, what)
            for job in ("r1", "r2")
            for kind, what in (
                ("module", "module_1"),
                ("module", "module_2"),
                ("module", "module_3"),
                ("ended", "complete"),
            )
        ]
    )


async def test_the_time_out_is_the_last_event_and_names_what_goes_on() -> None:
    house = Chains({"r1": 0.0})
    events = [said(event) async for event in watch(house, ref(1), ref(2), timeout=6.5)]
    assert events[-2:] == [("ended", "r1", "complete"), ("over", "r2")]
    assert (house.now, len(house.scheduler)) == (6.5, 0)


async def test_looks_that_fail_and_outages_are_told() -> None:
    house = Chains({"r1": 0.0}, answer=lambda _, now: ConnectFailed("down") if now < 30.0 else None)
    events = [said(event) async for event in watch(house, ref(1))]
    assert events[:3] == [
        ("failed", "r1", "down"),
        ("pace", "unreachable"),
        ("pace", "reachable"),
    ]
    assert events[-1] == ("ended", "r1", "complete")


async def test_throttling_is_told_with_the_pace_that_is_left() -> None:
    house = Chains({"r1": 0.0}, per_s=2.0)
    events: list[Any] = []
    async with watch(house, ref(1)) as stream:
        async for event in stream:
            if not events:
                house.throttled += 3
            events.append(event)
        assert stream.statistics.throttles == 3
    (told,) = [event for event in events if isinstance(event, PaceChanged)]
    assert (told.reason, told.rate_per_s) == ("throttled", 2.0)
    assert "2.00 a second" in told.message


async def test_without_a_limit_throttling_says_no_pace() -> None:
    house = Chains({"r1": 0.0})
    stream = watch(house, ref(1))
    await stream.__anext__()
    house.throttled += 1
    (told,) = [event async for event in stream if isinstance(event, PaceChanged)]
    assert told == PaceChanged("throttled", None, "the service asks for fewer requests")


async def test_no_jobs_are_no_wait() -> None:
    house = Chains()
    assert [event async for event in watch(house)] == []
    assert (house.now, watch(house).statistics) == (0.0, WaitStatistics())


@pytest.mark.parametrize("how", ["break", "drop"])
async def test_leaving_early_only_detaches(how: str) -> None:
    house = Chains({"r1": 0.0})
    stream = watch(house, ref(1))
    async for _ in stream:
        break
    assert len(house.scheduler) == 1
    if how == "break":
        await stream.aclose()
        assert [event async for event in stream] == []
    else:
        del stream
        gc.collect()
    assert len(house.scheduler) == 0


async def test_a_cancelled_step_loses_nothing() -> None:
    house = Chains({"r1": 5.0})
    stream = watch(house, ref(1))
    with anyio.move_on_after(2.0):
        await stream.__anext__()
    assert said(await stream.__anext__()) == ("module", "r1", "module_1")


async def test_rejected_credentials_raise_with_what_was_reached() -> None:
    house = Chains(answer=lambda _, __: AuthenticationError("no"))
    with pytest.raises(AuthenticationError) as info:
        await watch(house, ref(1)).__anext__()
    assert isinstance(info.value.partial, WaitResult)
    assert list(info.value.partial) == ["r1"]


def test_a_time_out_holds_outcomes() -> None:
    assert WatchTimedOut(()).pending == ()
