"""Waiting for many jobs: all, first, first failure, one by one; in virtual time."""

from __future__ import annotations

import gc
from typing import Any

import anyio
import pytest
import tenacity

from krixik_async._errors import (
    AuthenticationError,
    InvalidArgument,
    InvalidArgumentType,
    RequestNotFound,
)
from krixik_async._models import JobOutcome, JobRef
from krixik_async._poll_policy import PollPolicy
from krixik_async._results import WaitResult, fate
from krixik_async._streaming import AsCompleted
from krixik_async._waiting import (
    OnUpdate,
    ReturnWhen,
    Schedule,
    check_max_waiting,
    check_on_update,
    check_poll,
    check_return_when,
    check_timeout,
    unseen_yet,
)
from tests.polled_service import EACH_SECOND, EPOCH, FIXED, House, ref

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


async def wait(
    house: House,
    *jobs: JobRef,
    timeout: float | None = 100.0,
    return_when: ReturnWhen = "all",
    on_update: OnUpdate | None = None,
) -> WaitResult:
    return await house.waiter.wait(
        jobs, timeout=timeout, return_when=return_when, on_update=on_update, schedule=EACH_SECOND
    )


def stream(house: House, *jobs: JobRef, timeout: float | None = 100.0, **kw: Any) -> AsCompleted:
    given = {"on_update": None, "max_waiting": None, "schedule": EACH_SECOND, **kw}
    return AsCompleted(house.waiter, jobs, lambda job: job, timeout=timeout, **given)


def states(result: WaitResult) -> dict[str, str]:
    return {request_id: outcome.state for request_id, outcome in result.items()}


# --- wait ------------------------------------------------------------------------------------


async def test_all_jobs_come_back_in_input_order_once_each_has_ended() -> None:
    house = House({"r1": 5.0, "r2": 2.0})
    result = await wait(house, ref(1), ref(2), ref(1))
    assert states(result) == {"r1": "complete", "r2": "complete"}
    assert list(result) == ["r1", "r2"]
    assert (result.timed_out, house.now, len(house.scheduler)) == (False, 5.0, 0)


async def test_no_jobs_are_no_wait() -> None:
    assert len(await wait(House())) == 0


async def test_first_returns_with_the_first_that_ended_whatever_its_fate() -> None:
    house = House({"r1": 50.0, "r2": 2.0})
    result = await wait(house, ref(1), ref(2), return_when="first")
    assert states(result) == {"r1": "pending", "r2": "complete"}
    assert (house.now, result.timed_out) == (2.0, False)


async def test_first_failure_passes_over_complete_jobs() -> None:
    house = House(
        {"r1": 1.0},
        answer=lambda i, now: RequestNotFound("gone") if i == "r2" and now > 3 else None,
    )
    result = await wait(house, ref(1), ref(2), ref(3), return_when="first_failure")
    assert states(result) == {"r1": "complete", "r2": "deleted", "r3": "pending"}


async def test_first_failure_without_a_failure_waits_for_all() -> None:
    house = House({"r1": 1.0, "r2": 4.0})
    result = await wait(house, ref(1), ref(2), return_when="first_failure")
    assert len(result.complete) == 2


async def test_a_time_out_gives_the_partial_result_and_what_was_seen() -> None:
    house = House({"r1": 1.0})
    result = await wait(house, ref(1), ref(2), timeout=10.0)
    assert states(result) == {"r1": "complete", "r2": "pending"}
    assert (result.timed_out, house.now) == (True, 10.0)
    assert result["r2"].modules == {"module_1": False}


async def test_a_time_out_of_zero_ends_at_once_without_a_verdict() -> None:
    result = await wait(House({"r1": 0.0}), ref(1), timeout=0.0)
    assert (result.timed_out, states(result)) == (True, {"r1": "pending"})


def test_a_job_of_which_nothing_is_known_has_an_empty_file_id() -> None:
    outcome = unseen_yet(JobRef(request_id="r1", pipeline="p"))
    assert (outcome.file_id, outcome.job.file_id, fate(outcome).file_id) == ("", None, None)


async def test_without_a_time_out_it_waits_until_the_records_end() -> None:
    """The record is gone at its expiry, and the wait says so just after it."""
    job = JobRef(request_id="r1", pipeline="p", submitted_at=EPOCH, expires_at=EPOCH + 1800.0)
    house = House(answer=lambda _, now: RequestNotFound("gone") if now >= 1800 else None)
    result = await wait(house, job, timeout=None)
    assert states(result) == {"r1": "expired"}
    assert 1800.0 <= house.now <= 1805.0


async def test_a_record_that_outlives_its_expiry_comes_back_as_pending() -> None:
    job = JobRef(request_id="r1", pipeline="p", submitted_at=EPOCH, expires_at=EPOCH + 100.0)
    house = House()
    result = await wait(house, job, timeout=None)
    assert (states(result), result.timed_out, house.now) == ({"r1": "pending"}, True, 115.0)


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_on_update_sees_each_change_sync_or_async(asynchronous: bool) -> None:
    house = House({"r1": 3.0})
    seen: list[tuple[str, float]] = []

    def note(outcome: JobOutcome) -> None:
        seen.append((outcome.state, house.now))

    async def note_later(outcome: JobOutcome) -> None:
        await house.clock.sleep(0.1)
        note(outcome)

    await wait(house, ref(1), on_update=note_later if asynchronous else note)
    late = 0.1 if asynchronous else 0.0
    assert seen == [("pending", late), ("complete", 3.0 + late)]


async def test_an_error_in_on_update_leaves_unchanged_and_only_detaches() -> None:
    def broken(_: JobOutcome) -> None:
        raise ZeroDivisionError("the caller's")

    house = House({"r1": 3.0})
    with pytest.raises(ZeroDivisionError, match="the caller's"):
        await wait(house, ref(1), on_update=broken)
    assert len(house.scheduler) == 0


async def test_rejected_credentials_raise_with_what_was_reached() -> None:
    house = House(
        {"r1": 1.0},
        answer=lambda i, now: AuthenticationError("no") if i == "r2" and now > 3 else None,
    )
    with pytest.raises(AuthenticationError) as info:
        await wait(house, ref(1), ref(2))
    assert isinstance(info.value.partial, WaitResult)
    assert states(info.value.partial) == {"r1": "complete", "r2": "pending"}


async def test_a_cancelled_wait_only_detaches() -> None:
    house = House({"r1": 50.0})
    with anyio.move_on_after(5.5):
        await wait(house, ref(1))
    assert (house.now, len(house.scheduler)) == (5.5, 0)
    assert states(await wait(house, ref(1))) == {"r1": "complete"}


# --- as_completed ----------------------------------------------------------------------------


async def test_outcomes_come_as_they_are_known_each_once() -> None:
    house = House({"r1": 5.0, "r2": 2.0, "r3": 9.0})
    seen = [(o.request_id, house.now) async for o in stream(house, ref(1), ref(2), ref(3), ref(1))]
    assert seen == [("r2", 2.0), ("r1", 5.0), ("r3", 9.0)]
    assert len(house.scheduler) == 0


async def test_at_the_time_out_the_rest_comes_out_as_pending() -> None:
    house = House({"r1": 1.0})
    seen = [(o.request_id, o.state) async for o in stream(house, ref(1), ref(2), timeout=4.0)]
    assert (seen, house.now) == ([("r1", "complete"), ("r2", "pending")], 4.0)


async def test_leaving_early_only_detaches() -> None:
    house = House({"r1": 1.0, "r2": 50.0})
    async with stream(house, ref(1), ref(2)) as outcomes:
        async for outcome in outcomes:
            assert outcome.request_id == "r1"
            break
        assert len(house.scheduler) == 1
    assert len(house.scheduler) == 0
    assert [o async for o in outcomes] == []


async def test_a_stream_that_is_dropped_detaches() -> None:
    house = House({"r1": 1.0, "r2": 50.0})
    outcomes = stream(house, ref(1), ref(2))
    await outcomes.__anext__()
    del outcomes
    gc.collect()
    assert len(house.scheduler) == 0


async def test_a_stream_that_is_never_used_asks_nothing() -> None:
    house = House()
    stream(house, ref(1))
    await house.clock.sleep(5)
    assert house.looks == []


async def test_a_stream_tells_updates() -> None:
    house = House({"r1": 2.0})
    seen: list[str] = []
    outcomes = stream(house, ref(1), on_update=lambda o: seen.append(o.state))
    assert [o.state async for o in outcomes] == ["complete"]
    assert seen == ["pending", "complete"]


async def test_a_stream_whose_on_update_raised_loses_nothing() -> None:
    house = House({f"r{n}": 2.0 for n in range(3)})
    calls = iter([False, False, False, False, True])

    def note(_: JobOutcome) -> None:
        if next(calls, False):
            raise ZeroDivisionError("once")

    outcomes = stream(house, *[ref(n) for n in range(3)], on_update=note)
    seen: list[str] = []
    with pytest.raises(ZeroDivisionError):
        seen += [o.state async for o in outcomes]
    seen += [o.state async for o in outcomes]
    assert (seen, house.now) == (["complete"] * 3, 2.0)


async def test_references_to_one_job_are_collapsed_with_what_either_knows() -> None:
    bare = JobRef(request_id="r1", pipeline="p")
    known = JobRef(request_id="r1", pipeline="p", submitted_at=EPOCH, expires_at=EPOCH + 9)
    result = await wait(House({"r1": 1.0}), bare, known)
    assert result["r1"].job == JobRef(
        request_id="r1", pipeline="p", file_id="None", submitted_at=EPOCH, expires_at=EPOCH + 9
    )


async def test_rejected_credentials_raise_out_of_a_stream_with_what_was_reached() -> None:
    house = House(answer=lambda _, __: AuthenticationError("no"))
    with pytest.raises(AuthenticationError) as info:
        await stream(house, ref(1)).__anext__()
    assert isinstance(info.value.partial, WaitResult)
    assert states(info.value.partial) == {"r1": "pending"}


async def test_a_cancelled_step_loses_nothing() -> None:
    house = House({"r1": 7.0})
    outcomes = stream(house, ref(1))
    with anyio.move_on_after(3):
        await outcomes.__anext__()
    assert (await outcomes.__anext__()).state == "complete"


# --- arguments -------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [float("inf"), float("nan"), -1, 10**400])
def test_a_time_out_out_of_range_is_refused(timeout: float) -> None:
    with pytest.raises(InvalidArgument, match=r"timeout is .* 0 or more and finite"):
        check_timeout(timeout)


@pytest.mark.parametrize("timeout", ["5", True])
def test_a_time_out_of_another_type_is_refused(timeout: object) -> None:
    with pytest.raises(InvalidArgumentType, match="must be seconds, or None"):
        check_timeout(timeout)


def test_good_arguments_come_back() -> None:
    assert (check_timeout(None), check_timeout(3)) == (None, 3.0)
    assert check_poll(None) == Schedule(PollPolicy.adaptive(), bulk_look=True)
    assert check_poll(PollPolicy.adaptive(9)).bulk_look
    assert check_poll(FIXED) == Schedule(FIXED, bulk_look=False)
    assert check_return_when("first_failure") == "first_failure"
    assert check_on_update(print) is print


@pytest.mark.parametrize("poll", [3.0, "fast", tenacity.wait_fixed])
def test_a_schedule_that_is_none_is_refused(poll: object) -> None:
    with pytest.raises(InvalidArgumentType, match=r"tenacity\.wait_fixed\(3\)"):
        check_poll(poll)


@pytest.mark.parametrize(
    ("max_waiting", "kind"),
    [(0, InvalidArgument), (True, InvalidArgumentType), (2.5, InvalidArgumentType)],
)
def test_a_bound_on_the_waiting_is_a_whole_number(max_waiting: object, kind: type) -> None:
    assert (check_max_waiting(None), check_max_waiting(7)) == (None, 7)
    with pytest.raises(kind, match=r"max_waiting is .* but must be"):
        check_max_waiting(max_waiting)


def test_an_unknown_return_when_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"'any'.*first_failure"):
        check_return_when("any")


def test_an_on_update_that_cannot_be_called_is_refused() -> None:
    with pytest.raises(InvalidArgumentType, match="function of one JobOutcome"):
        check_on_update("print")
