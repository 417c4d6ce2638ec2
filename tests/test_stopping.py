"""Tenacity's `stop_*` strategies in a wait: what they see, and what becomes of what they stop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tenacity

from krixik_async import Krixik, WaitTimeout
from krixik_async._errors import ConnectFailed, InvalidArgument, InvalidArgumentType
from krixik_async._models import JobRef
from krixik_async._poll_policy import PollPolicy
from krixik_async._results import WaitResult
from krixik_async._streaming import AsCompleted
from krixik_async._waiting import Schedule, Stop, check_poll
from krixik_async._watching import JobEnded, Watch, WatchTimedOut
from tests.client_side import TEXT, world
from tests.polled_service import FIXED, House, ref

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


def until(stop: Stop, interval: Any = FIXED) -> Schedule:
    return check_poll(interval, stop)


async def wait(
    house: House, *jobs: JobRef, stop: Stop, interval: Any = FIXED, **given: Any
) -> WaitResult:
    given = {"timeout": 100.0, "return_when": "all", "on_update": None, **given}
    return await house.waiter.wait(jobs, schedule=until(stop, interval), **given)


def states(result: WaitResult) -> dict[str, str]:
    return {request_id: outcome.state for request_id, outcome in result.items()}


class Seen:
    """A strategy that notes what it is shown, and stops when told to."""

    def __init__(self, when: Callable[[tenacity.RetryCallState], bool] = lambda _: False) -> None:
        self.when = when
        self.shown: list[tuple[int, float | None, float]] = []

    def __call__(self, state: tenacity.RetryCallState) -> bool:
        since = state.seconds_since_start
        assert since is not None
        self.shown.append((state.attempt_number, round(since, 6), round(state.upcoming_sleep, 6)))
        return self.when(state)


# --- what stops ------------------------------------------------------------------------------


async def test_a_job_is_stopped_after_so_many_looks_and_the_wait_ends() -> None:
    house = House({"r1": 50.0})
    result = await wait(house, ref(), stop=tenacity.stop_after_attempt(4))
    assert [at for _, at in house.looks] == [0.0, 1.0, 2.0, 3.0]
    assert (house.now, result.timed_out, states(result)) == (3.0, True, {"r1": "pending"})
    assert result["r1"].modules == {"module_1": False}
    assert result.resume_token
    assert (len(house.scheduler), result.statistics.status_requests) == (0, 4)


async def test_delays_count_from_the_beginning_of_the_wait_and_not_of_the_job() -> None:
    """A job sent an hour ago is waited for as long as one that was sent now."""
    house = House()
    old = JobRef(request_id="r1", pipeline="p", submitted_at=house.clock.wall() - 3600.0)
    after = await wait(house, old, stop=tenacity.stop_after_delay(4.5))
    assert (house.now, after.timed_out) == (5.0, True)
    await wait(house, old, stop=tenacity.stop_before_delay(4.5))
    assert house.now == 5.0 + 4.0


@pytest.mark.parametrize(
    ("stop", "ends"),
    [
        (tenacity.stop_after_attempt(3) | tenacity.stop_after_delay(60), 2.0),
        (tenacity.stop_after_attempt(3) & tenacity.stop_after_delay(6), 6.0),
        (tenacity.stop_never, 100.0),
    ],
)
async def test_strategies_are_put_together_as_tenacity_does(stop: Stop, ends: float) -> None:
    house = House()
    assert (await wait(house, ref(), stop=stop)).timed_out
    assert house.now == ends


async def test_a_job_that_ends_at_the_last_look_has_ended() -> None:
    house = House({"r1": 2.0})
    result = await wait(house, ref(), stop=tenacity.stop_after_attempt(3))
    assert (result.timed_out, states(result)) == (False, {"r1": "complete"})


async def test_each_job_has_its_own_count_and_the_others_are_waited_for() -> None:
    house = House({"r2": 7.0}, answer=lambda i, _: ConnectFailed("x") if i == "r3" else None)

    def stop(state: tenacity.RetryCallState) -> bool:
        assert state.outcome is not None
        return state.outcome.failed and isinstance(state.outcome.exception(), ConnectFailed)

    result = await wait(house, ref(1), ref(2), ref(3), stop=stop, timeout=20.0)
    # The third is stopped at its first look, which fails; the first runs on to the time-out.
    assert states(result) == {"r1": "pending", "r2": "complete", "r3": "pending"}
    assert sum(request_id == "r3" for request_id, _ in house.looks) == 1
    assert isinstance(result["r3"].error, ConnectFailed)
    assert (house.now, result.timed_out) == (20.0, True)


async def test_what_stops_is_shown_looks_and_seconds_of_this_wait_and_the_next_pause() -> None:
    house, seen = House({"r1": 6.0}), Seen()
    first = house.subscribe(ref(), interval=tenacity.wait_fixed(2))
    await house.clock.sleep(3.0)
    await wait(house, ref(), stop=seen)
    first.detach()
    # It came between the other's looks, and had one at once; each look counts for both.
    assert seen.shown == [(1, 0.0, 1.0), (2, 1.0, 1.0), (3, 2.0, 1.0)]


async def test_a_first_that_ended_is_no_time_out_though_another_was_stopped() -> None:
    house = House({"r2": 5.0})

    def stop(state: tenacity.RetryCallState) -> bool:
        return state.attempt_number >= 2 and not state_is_of_second(state)

    def state_is_of_second(state: tenacity.RetryCallState) -> bool:
        assert state.outcome is not None
        return bool(state.outcome.result().file_id == "f2")

    result = await wait(house, ref(1), ref(2), stop=stop, return_when="first")
    assert (house.now, result.timed_out) == (5.0, False)
    assert states(result) == {"r1": "pending", "r2": "complete"}


async def test_a_stop_ends_only_its_own_wait() -> None:
    house = House({"r1": 9.0})
    other = house.subscribe(ref())
    result = await wait(house, ref(), stop=tenacity.stop_after_attempt(2))
    assert result.timed_out
    assert [o.state for o in await house.ended(other)] == ["complete"]
    assert house.now == 9.0


async def test_a_stop_that_raises_ends_its_own_wait_with_that_error() -> None:
    house = House({"r1": 9.0})
    other = house.subscribe(ref())

    def stop(_: tenacity.RetryCallState) -> bool:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        await wait(house, ref(), stop=stop)
    assert [o.state for o in await house.ended(other)] == ["complete"]


@pytest.mark.parametrize("given", [-1.0, float("nan"), float("inf"), 10**400])
async def test_a_schedule_that_gives_no_pause_ends_its_own_wait(given: float) -> None:
    """It was asked again without a rest, or ended in a raw OverflowError; others wait on."""
    house = House({"r1": 9.0})
    other = house.subscribe(ref())
    with pytest.raises(InvalidArgument, match="must give 0 or more seconds, finite"):
        await wait(house, ref(), stop=Seen(), interval=lambda _: given)
    assert [o.state for o in await house.ended(other)] == ["complete"]
    assert house.now == 9.0


async def test_the_schedule_beside_it_sees_the_job_as_without_it() -> None:
    """Its age from the submission, and all looks at it."""
    house = House()
    job = JobRef(request_id="r1", pipeline="p", submitted_at=house.clock.wall() - 10.0)
    ages: list[tuple[int, float]] = []

    def interval(state: tenacity.RetryCallState) -> float:
        assert state.seconds_since_start is not None
        ages.append((state.attempt_number, state.seconds_since_start))
        return 1.0

    stopping = house.waiter.subscribe(until(tenacity.stop_after_attempt(9), interval))
    stopping.add([job])
    plain = house.subscribe(job, interval=interval)
    await house.clock.sleep(1.5)
    assert sorted(set(ages)) == [(1, 10.0), (2, 11.0)]
    stopping.detach()
    plain.detach()


async def test_a_hundred_jobs_with_a_stop_are_each_asked_and_not_listed() -> None:
    house = House({f"r{n}": 4.0 for n in range(100)})
    schedule = check_poll(None, tenacity.stop_after_delay(60))
    result = await house.waiter.wait(
        [ref(n) for n in range(100)],
        timeout=None,
        return_when="all",
        on_update=None,
        schedule=schedule,
    )
    assert (len(result.complete), house.lists) == (100, [])


# --- streams ---------------------------------------------------------------------------------


async def test_a_stopped_job_comes_out_of_a_stream_as_pending_when_it_is_stopped() -> None:
    house = House({"r2": 8.0})

    def stop(state: tenacity.RetryCallState) -> bool:
        assert state.outcome is not None
        return bool(state.outcome.result().file_id == "f1" and state.attempt_number >= 3)

    stream = AsCompleted(
        house.waiter,
        [ref(1), ref(2), ref(3)],
        lambda job: job,  # type: ignore[arg-type, return-value]
        timeout=20.0,
        on_update=None,
        schedule=until(stop),
        max_waiting=None,
    )
    came = [(o.request_id, o.state, house.now) async for o in stream]
    assert came == [("r1", "pending", 2.0), ("r2", "complete", 8.0), ("r3", "pending", 20.0)]
    assert len(house.scheduler) == 0


async def test_a_job_that_others_wait_for_comes_out_of_each_stream_once() -> None:
    """Stopped in one, where its end is not told any more; at the time-out in the other."""
    house = House({"r1": 5.0})
    other = house.subscribe(ref(1), ref(2))
    given = {"on_update": None, "max_waiting": None, "timeout": 8.0}
    came = []
    for schedule in (until(tenacity.stop_after_attempt(1)), until(tenacity.stop_never)):
        stream = AsCompleted(
            house.waiter,
            [ref(1), ref(2), ref(3)],
            lambda job: job,  # type: ignore[arg-type, return-value]
            schedule=schedule,
            **given,  # type: ignore[arg-type]
        )
        came.append(sorted([(o.request_id, o.state) async for o in stream]))
        await house.clock.sleep(6.0)
    assert came[0] == [("r1", "pending"), ("r2", "pending"), ("r3", "pending")]
    assert came[1] == [("r1", "complete"), ("r2", "pending"), ("r3", "pending")]
    other.detach()


async def test_a_stopped_job_tells_its_wait_nothing_more() -> None:
    house, told = House({"r1": 5.0, "r2": 9.0}), []

    def stop(state: tenacity.RetryCallState) -> bool:
        assert state.outcome is not None
        return bool(state.outcome.result().file_id == "f1")

    other = house.subscribe(ref(1))
    result = await wait(house, ref(1), ref(2), stop=stop, on_update=lambda o: told.append(o))
    assert states(result) == {"r1": "pending", "r2": "complete"}
    assert [o.state for o in told if o.request_id == "r1"] == ["pending"]
    assert [o.state for o in await house.ended(other)] == ["complete"]


async def test_a_long_stream_does_not_hold_what_it_stopped() -> None:
    """And what is stopped makes room for the next."""
    house, came = House(), 0
    stream = AsCompleted(
        house.waiter,
        (ref(n) for n in range(400)),
        lambda job: job,  # type: ignore[arg-type, return-value]
        timeout=None,
        on_update=None,
        schedule=until(tenacity.stop_after_attempt(1)),
        max_waiting=10,
    )
    async for outcome in stream:
        came += 1
        assert outcome.state == "pending"
        assert stream._subscription is not None
        assert len(stream._subscription.entries) < 100
        assert len(stream._subscription._begun) < 100
    assert came == 400


async def test_a_watch_ends_with_what_was_stopped_once_all_others_have_ended() -> None:
    house = House({"r2": 5.0})

    def stop(state: tenacity.RetryCallState) -> bool:
        assert state.outcome is not None
        return bool(state.outcome.result().file_id == "f1")

    events = Watch(house.waiter, [ref(1), ref(2)], timeout=50.0, schedule=until(stop))
    came = [event async for event in events]
    assert [e.outcome.request_id for e in came if isinstance(e, JobEnded)] == ["r2"]
    assert isinstance(came[-1], WatchTimedOut)
    assert [o.request_id for o in came[-1].pending] == ["r1"]
    assert (house.now, sum(isinstance(e, WatchTimedOut) for e in came)) == (5.0, 1)


async def test_a_watch_that_runs_out_of_time_names_the_stopped_too() -> None:
    def stop(state: tenacity.RetryCallState) -> bool:
        assert state.outcome is not None
        return bool(state.outcome.result().file_id == "f1")

    house = House()
    events = Watch(house.waiter, [ref(1), ref(2)], timeout=5.0, schedule=until(stop))
    (last,) = [event async for event in events]
    assert isinstance(last, WatchTimedOut)
    assert [o.request_id for o in last.pending] == ["r1", "r2"]
    assert house.now == 5.0


# --- through the client ----------------------------------------------------------------------


async def test_a_stopped_wait_loses_nothing_and_can_be_gone_on_with(tmp_path: Path) -> None:
    async with world(tmp_path, min_module_seconds=30.0) as w:
        pipeline = w.books()
        job = await pipeline.process(local_file_path=TEXT, file_name="a.txt")
        stop = tenacity.stop_after_attempt(2)
        with pytest.raises(WaitTimeout) as raised:
            await job.wait(stop=stop)
        assert raised.value.job == job.ref
        for waiter in (pipeline, w.client):
            assert (await waiter.wait_until_complete([job], stop=stop)).timed_out
            assert [o.state async for o in waiter.as_completed([job], stop=stop)] == ["pending"]
            events = [event async for event in waiter.watch([job], stop=stop)]
            assert isinstance(events[-1], WatchTimedOut)
        result = await w.client.resume(
            (await pipeline.wait_until_complete(job, stop=stop)).resume_token, stop=stop
        )
        assert result.timed_out
        assert len((await w.client.resume(result.resume_token)).complete) == 1


# --- the argument ----------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [3, "never", tenacity.stop_after_attempt])
def test_a_stop_that_is_none_is_refused(stop: object) -> None:
    with pytest.raises(InvalidArgumentType, match="must be a tenacity stop strategy"):
        check_poll(None, stop)


def test_bulk_looks_do_not_look_for_jobs_with_a_stop() -> None:
    stop = tenacity.stop_never
    assert check_poll(None, stop).bulk_look is False
    assert check_poll(PollPolicy.adaptive(), stop).bulk_look is False
    assert check_poll(FIXED, stop) == Schedule(FIXED, bulk_look=False, stop=stop)
    assert check_poll(None).bulk_look is True


async def test_process_says_where_a_stop_goes() -> None:
    async with Krixik(api_key="k", api_url="http://x") as krixik:
        pipeline: Any = krixik.create_pipeline(name="p", module_chain=["parser"])
        with pytest.raises(TypeError, match=r"await job.wait\(stop=...\)"):
            await pipeline.process(local_file_path="x", stop=1)
