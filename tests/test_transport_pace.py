"""How fast and how often, without a loop: `now` goes in, decisions come out."""

from __future__ import annotations

import asyncio
from functools import partial

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from krixik_async._transport._pace import Pace, retry_after_s
from krixik_async._transport._permits import Permits
from krixik_async._transport._retry import BUDGET, RETRY_COST, RetryBudget

DAY = 1_445_412_480.0  # Wed, 21 Oct 2015 07:28:00 GMT


def test_without_a_limit_every_request_goes_at_once() -> None:
    pace = Pace(None)
    assert [pace.reserve(5.0) for _ in range(3)] == [5.0, 5.0, 5.0]
    assert pace.rate is None


def test_a_limit_spaces_requests_evenly() -> None:
    pace = Pace(2.0)
    assert [pace.reserve(1.0) for _ in range(3)] == [1.0, 1.5, 2.0]
    assert pace.reserve(10.0) == 10.0


def test_too_many_halves_the_limit_once_a_second() -> None:
    pace = Pace(8.0)
    assert pace.throttled(0.0, None)
    assert not pace.throttled(0.9, None)
    assert pace.rate == 4.0
    assert pace.throttled(1.0, None)
    assert pace.rate == 2.0


def test_too_many_without_a_limit_halves_what_was_measured() -> None:
    pace = Pace(None)
    for _ in range(100):
        pace.reserve(10.0)
    assert pace.throttled(10.5, None)
    assert pace.rate == 50.0


def test_what_was_measured_is_a_rate_and_not_a_count() -> None:
    pace = Pace(None)
    for _ in range(30):
        pace.reserve(0.0)
    pace.reserve(3.0)
    pace.throttled(3.0, None)
    assert pace.rate == 5.0


def test_however_often_it_is_halved_something_still_goes() -> None:
    pace = Pace(40.0)
    for second in range(20):
        pace.throttled(float(second), None)
    assert pace.rate == 1.0
    slow = Pace(0.05)
    slow.throttled(0.0, None)
    assert slow.rate == 0.05


def test_good_answers_bring_the_limit_back_in_half_a_minute() -> None:
    pace = Pace(8.0)
    pace.throttled(0.0, None)
    pace.succeeded(15.0)
    assert pace.rate == 6.0
    pace.succeeded(30.0)
    assert pace.rate == 8.0
    pace.succeeded(60.0)
    assert pace.rate == 8.0


def test_good_answers_lift_a_limit_that_was_never_the_users() -> None:
    pace = Pace(None)
    for _ in range(10):
        pace.reserve(0.0)
    pace.throttled(0.0, None)
    assert pace.rate == 5.0
    pace.succeeded(44.0)
    assert pace.rate is not None
    pace.succeeded(60.0)
    assert pace.rate is None


def test_retry_after_stops_everything_until_then_and_is_not_shortened() -> None:
    pace = Pace(None)
    pace.throttled(0.0, 10.0)
    pace.throttled(0.5, 2.0)
    assert [pace.is_blocked(t) for t in (0.0, 9.9, 10.0)] == [True, True, False]
    # At two a second (the least that counts as measured), halved.
    assert [pace.reserve(1.0), pace.reserve(1.0)] == [11.0, 12.0]


def test_a_retry_after_that_comes_in_the_second_of_a_halving_still_counts() -> None:
    pace = Pace(None)
    pace.throttled(0.0, None)
    pace.throttled(0.5, 9.0)
    assert [pace.reserve(1.0), pace.reserve(1.0)] == [9.5, 10.5]


@given(
    st.lists(
        st.tuples(st.sampled_from(["reserve", "throttled", "succeeded"]), st.floats(0, 5)),
        max_size=60,
    ),
    st.one_of(st.none(), st.floats(0.125, 100)),
)
def test_a_slot_is_never_past_and_the_rate_never_above_the_limit(
    steps: list[tuple[str, float]], limit: float | None
) -> None:
    pace, now = Pace(limit), 0.0
    for step, seconds in steps:
        now += seconds
        if step == "reserve":
            assert pace.reserve(now) >= now
        elif step == "throttled":
            pace.throttled(now, seconds)
        else:
            pace.succeeded(now)
        assert pace.rate is None or 0 < pace.rate <= (limit or float("inf"))


def test_the_budget_lets_a_hundred_retries_pass_and_successes_earn_more() -> None:
    budget = RetryBudget()
    assert sum(budget.spend() for _ in range(200)) == BUDGET // RETRY_COST
    for _ in range(RETRY_COST - 1):
        budget.succeeded()
    assert not budget.spend()
    budget.succeeded()
    assert budget.spend()


def test_the_budget_does_not_grow_beyond_its_start() -> None:
    budget = RetryBudget()
    for _ in range(1000):
        budget.succeeded()
    assert sum(budget.spend() for _ in range(200)) == BUDGET // RETRY_COST


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        (" 1.5 ", 1.5),
        ("3600", 60.0),
        ("-3", None),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("", None),
        ("Wed, 21 Oct 2015 07:28:20 GMT", 20.0),
        ("Wed, 21 Oct 2015 07:28:20 -0000", 20.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", 0.0),
        ("Wed, 21 Oct 2015 09:00:00 GMT", 60.0),
        ("Wed, 99 Oct 2015 07:28:20 GMT", None),
    ],
)
def test_retry_after_in_all_its_forms(said: str, seconds: float | None) -> None:
    assert retry_after_s({"retry-after": said}, DAY) == seconds


def test_no_retry_after_is_none() -> None:
    assert retry_after_s({}, DAY) is None


@given(st.text(max_size=40))
def test_any_retry_after_is_a_pause_of_a_minute_at_most_or_nothing(said: str) -> None:
    pause = retry_after_s({"retry-after": said}, DAY)
    assert pause is None or 0 <= pause <= 60


@pytest.mark.anyio
async def test_permits_are_handed_on_in_order_and_bounded() -> None:
    permits, order = Permits(2), []
    running = most = 0

    async def worker(number: int) -> None:
        nonlocal running, most
        await permits.acquire()
        order.append(number)
        running += 1
        most = max(most, running)
        await anyio.lowlevel.checkpoint()
        running -= 1
        permits.release()

    async with anyio.create_task_group() as group:
        for number in range(50):
            group.start_soon(worker, number)
    assert (most, permits.free, sorted(order)) == (2, 2, list(range(50)))


@pytest.mark.anyio
async def test_a_waiter_that_gives_up_takes_no_permit() -> None:
    permits, got = Permits(1), []
    await permits.acquire()
    scopes = [anyio.CancelScope() for _ in range(3)]

    async def waiter(number: int) -> None:
        with scopes[number]:
            await permits.acquire()
            got.append(number)
            permits.release()

    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(waiter, number)
            await anyio.wait_all_tasks_blocked()
        scopes[1].cancel()
        await anyio.wait_all_tasks_blocked()
        permits.release()
    assert (got, permits.free) == ([0, 2], 1)


@pytest.mark.asyncio
async def test_a_waiter_cancelled_as_it_is_handed_a_permit_passes_it_on() -> None:
    """The classic lost wake-up: release and cancellation in the same turn of the loop."""
    permits = Permits(1)
    await permits.acquire()
    first = asyncio.create_task(permits.acquire())
    second = asyncio.create_task(permits.acquire())
    await asyncio.sleep(0)
    permits.release()
    first.cancel()
    await asyncio.wait([first, second])
    assert (first.cancelled(), second.cancelled(), permits.free) == (True, False, 0)


def test_an_upload_takes_the_next_slot() -> None:
    pace = Pace(2.0)
    assert pace.reserve(0.0) == 0.0
    assert (pace.next_slot(0.1), pace.follow(0.1)) == (0.5, 0.5)
    assert pace.next_slot(0.1) == 1.0


def test_however_low_the_rate_an_upload_comes_within_its_tickets_life() -> None:
    """And what comes after it pays for that."""
    pace = Pace(0.01)
    assert pace.reserve(0.0) == 0.0
    assert pace.follow(0.5) == 10.5
    assert pace.reserve(0.5) == 200.0


def test_an_upload_waits_as_everything_does_when_the_service_says_stop() -> None:
    pace = Pace(1.0)
    pace.reserve(0.0)
    pace.throttled(0.5, 30.0)
    assert [pace.follow(0.5), pace.follow(0.5), pace.reserve(0.5)] == [31.5, 32.5, 33.5]


@pytest.mark.anyio
async def test_the_urgent_are_served_first() -> None:
    permits = Permits(1)
    await permits.acquire()
    served: list[str] = []

    async def waits(name: str, *, urgent: bool) -> None:
        await permits.acquire(urgent=urgent)
        served.append(name)
        permits.release()

    async with anyio.create_task_group() as group:
        for name in ("first", "second", "urgent"):
            group.start_soon(partial(waits, name, urgent=name == "urgent"))
            for _ in range(3):
                await anyio.lowlevel.checkpoint()
        permits.release()
    assert served == ["urgent", "first", "second"]
    assert permits.free == 1
