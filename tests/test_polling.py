"""One scheduler, many waiters, in virtual time, against a service that is a table."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
import tenacity

from krixik_async._errors import (
    AuthenticationError,
    ClientClosed,
    ConnectFailed,
    RequestNotFound,
)
from krixik_async._models import JobRef
from tests.polled_service import EPOCH, House, ref

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


async def test_the_first_look_is_at_once_and_the_next_when_the_schedule_says() -> None:
    house = House({"r1": 2.5})
    subscription = house.subscribe(ref())
    (outcome,) = await house.ended(subscription)
    assert (outcome.state, outcome.modules) == ("complete", {"module_1": True})
    assert house.looks == [("r1", 0.0), ("r1", 1.0), ("r1", 2.0), ("r1", 3.0)]


async def test_an_ended_job_is_forgotten_and_the_pump_ends_with_the_last() -> None:
    house = House({"r1": 0.0})
    subscription = house.subscribe(ref())
    await house.ended(subscription)
    await house.clock.sleep(1)
    assert (len(house.scheduler), len(house.tasks)) == (0, 0)


async def test_two_waiters_of_one_job_share_its_looks() -> None:
    house = House({"r1": 2.0})
    first, second = house.subscribe(ref()), house.subscribe(ref())
    assert [o.state for o in await house.ended(first)] == ["complete"]
    assert [o.state for o in await house.ended(second)] == ["complete"]
    assert [at for _, at in house.looks] == [0.0, 1.0, 2.0]


async def test_a_late_waiter_sees_the_last_status_and_brings_the_next_look_forward() -> None:
    house = House({"r1": 100.0})
    slow = house.subscribe(ref(), interval=tenacity.wait_fixed(50))
    await house.clock.sleep(10)
    late = house.subscribe(ref(), interval=tenacity.wait_fixed(7))
    (seen,) = await house.take(late)
    assert seen.modules == {"module_1": False}
    await house.clock.sleep(15)
    assert [at for _, at in house.looks] == [0.0, 10.0, 17.0, 24.0]
    slow.detach()
    late.detach()


async def test_a_job_named_twice_is_told_once() -> None:
    house = House({"r1": 0.0})
    subscription = house.subscribe(ref(), ref())
    assert len(await house.ended(subscription)) == 1
    assert len(house.looks) == 1


async def test_looks_in_flight_are_bounded() -> None:
    jobs = [ref(n) for n in range(50)]
    house = House({job.request_id: 0.0 for job in jobs}, takes_s=1.0, max_looks=4)
    subscription = house.subscribe(*jobs)
    await house.ended(subscription, 50)
    assert house.busiest == 4
    assert house.now == 13.0


async def test_detaching_forgets_the_job_and_a_look_in_flight_goes_nowhere() -> None:
    house = House({"r1": 0.0}, takes_s=1.0)
    subscription = house.subscribe(ref())
    await house.clock.sleep(0.5)
    subscription.detach()
    subscription.detach()
    assert await house.take(subscription, 5.0) == []
    assert (len(house.scheduler), len(house.looks)) == (0, 1)


async def test_one_waiter_leaving_does_not_disturb_the_other() -> None:
    house = House({"r1": 5.0})
    leaving, staying = house.subscribe(ref()), house.subscribe(ref())
    await house.take(leaving)
    leaving.detach()
    assert [o.state for o in await house.ended(staying)] == ["complete"]


async def test_a_job_subscribed_again_after_leaving_is_asked_at_once() -> None:
    house = House({"r1": 3.0})
    house.subscribe(ref(), interval=tenacity.wait_fixed(60)).detach()
    again = house.subscribe(ref())
    assert (await house.ended(again))[0].state == "complete"
    assert house.now == 3.0


async def test_taking_times_out_with_nothing_and_loses_nothing() -> None:
    house = House({"r1": 3.0})
    subscription = house.subscribe(ref())
    await house.take(subscription)
    assert await house.take(subscription, 1.5) == []
    assert house.now == 1.5
    assert [o.state for o in await house.ended(subscription)] == ["complete"]


async def test_what_was_not_taken_yet_is_replaced_by_what_is_newer() -> None:
    house = House({"r1": 2.0})
    subscription = house.subscribe(ref())
    await house.clock.sleep(10)
    assert [o.state for o in await house.take(subscription)] == ["complete"]


async def test_an_error_is_told_once_while_it_lasts_and_the_job_goes_on() -> None:
    house = House(
        {"r1": 8.0},
        answer=lambda _, now: ConnectFailed("down") if now < 6 else None,
        takes_s=0.1,
    )
    subscription = house.subscribe(ref())
    (down,) = await house.take(subscription)
    assert (down.state, str(down.error)) == ("pending", "down")
    (outcome,) = await house.ended(subscription)
    assert (outcome.state, outcome.error) == ("complete", None)


async def test_a_job_that_was_seen_and_vanished_ends_after_two_looks() -> None:
    house = House(answer=lambda _, now: RequestNotFound("gone") if now >= 1 else None)
    subscription = house.subscribe(ref())
    (outcome,) = await house.ended(subscription)
    assert (outcome.state, [at for _, at in house.looks]) == ("deleted", [0.0, 1.0, 3.0])


async def test_an_id_never_seen_is_not_found_once_a_record_would_be_readable() -> None:
    house = House(answer=lambda _, __: RequestNotFound("process_id was not found"))
    subscription = house.subscribe(ref())
    (outcome,) = await house.ended(subscription)
    assert (outcome.state, house.now) == ("not_found", 16.0)


async def test_a_late_waiter_does_not_hurry_the_look_that_confirms() -> None:
    house = House(answer=lambda _, now: RequestNotFound("gone") if now >= 1 else None)
    first = house.subscribe(ref())
    await house.clock.sleep(1.1)
    second = house.subscribe(ref())
    assert [o.state for o in await house.ended(second)] == ["deleted"]
    assert [at for _, at in house.looks] == [0.0, 1.0, 3.0]
    first.detach()


async def test_what_a_late_waiter_knows_of_the_job_is_kept() -> None:
    """A bare request_id was waited for first; its verdict needs the expiry the other knows."""
    house = House(answer=lambda _, now: RequestNotFound("gone") if now >= 5 else None)
    bare = house.subscribe(JobRef(request_id="r1", pipeline="p"))
    await house.take(bare)
    known = JobRef(request_id="r1", pipeline="p", submitted_at=EPOCH, expires_at=EPOCH + 5)
    house.subscribe(known)
    (outcome,) = await house.ended(bare)
    assert (outcome.state, outcome.job.expires_at) == ("expired", EPOCH + 5)


async def test_a_look_in_flight_is_adopted_by_who_comes_next() -> None:
    """Short waits one after the other see the answer to the first one's question."""
    house = House({"r1": 0.0}, takes_s=1.0)
    for _ in range(3):
        subscription = house.subscribe(ref())
        assert await house.take(subscription, 0.3) == []
        subscription.detach()
    last = house.subscribe(ref())
    assert [o.state for o in await house.ended(last)] == ["complete"]
    assert (house.looks, house.now) == ([("r1", 0.0)], 1.0)


async def test_rejected_credentials_end_every_wait() -> None:
    house = House(answer=lambda i, _: AuthenticationError("no") if i == "r2" else None)
    first, second = house.subscribe(ref(1)), house.subscribe(ref(2))
    for subscription in (first, second):
        with pytest.raises(AuthenticationError):
            await house.ended(subscription)
    assert len(house.scheduler) == 0


def broken(_state: Any) -> float:
    raise ZeroDivisionError("the caller's schedule")


async def test_a_schedule_that_raises_ends_its_own_wait_and_no_other() -> None:
    house = House({"r1": 3.0})
    innocent = house.subscribe(ref())
    guilty = house.subscribe(ref(), interval=broken)
    with pytest.raises(ZeroDivisionError, match="the caller's schedule"):
        await house.ended(guilty)
    assert [o.state for o in await house.ended(innocent)] == ["complete"]
    alone = house.subscribe(ref(2), interval=broken)
    with pytest.raises(ZeroDivisionError):
        await house.ended(alone)
    assert len(house.scheduler) == 0


async def test_a_bug_in_the_check_ends_the_wait_and_does_not_hang_it() -> None:
    def check(_id: str, _now: float) -> None:
        raise ZeroDivisionError("a bug")

    house = House(answer=check)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        await house.ended(house.subscribe(ref()))
    assert len(house.scheduler) == 0


async def test_closing_ends_the_waits() -> None:
    house = House()
    subscription = house.subscribe(ref())
    await house.take(subscription)
    house.scheduler.close()
    with pytest.raises(ClientClosed):
        await house.take(subscription)
    await house.tasks.aclose()
    assert len(house.tasks) == 0


async def test_a_look_cut_off_by_closing_leaves_nothing_behind() -> None:
    house = House(takes_s=100.0)
    house.subscribe(ref())
    await house.clock.sleep(1)
    await house.tasks.aclose()
    assert (len(house.tasks), house.busy) == (0, 0)


async def test_a_cancelled_take_loses_nothing() -> None:
    house = House({"r1": 5.0})
    subscription = house.subscribe(ref())
    with anyio.move_on_after(3):
        while True:
            await house.take(subscription)
    assert [o.state for o in await house.ended(subscription)] == ["complete"]


async def test_three_thousand_jobs_each_end_once_with_bounded_looks() -> None:
    jobs = [ref(n) for n in range(3_000)]
    house = House({job.request_id: n / 100 for n, job in enumerate(jobs)}, takes_s=0.01)
    subscription = house.subscribe(*jobs, interval=tenacity.wait_fixed(30))
    outcomes = await house.ended(subscription, len(jobs))
    assert sorted(o.request_id for o in outcomes) == sorted(job.request_id for job in jobs)
    assert house.busiest == 64
