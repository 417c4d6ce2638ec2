"""One scheduler, many waiters, in virtual time, against a service that is a table."""

from __future__ import annotations

import gc
import math
from typing import Any

import anyio
import attrs
import pytest
import tenacity

from krixik_async._durations import Durations
from krixik_async._errors import (
    AuthenticationError,
    ClientClosed,
    ConnectFailed,
    InvalidArgument,
    KrixikError,
    RequestNotFound,
    ServerError,
)
from krixik_async._models import JobRef, ProcessStatus
from krixik_async._poll_policy import PollGuards, PollPolicy
from krixik_async._polling._entries import Crowd, Entry
from krixik_async._polling._register import MOST_IDLE
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


async def test_one_quick_job_is_seen_at_twice_its_age_at_the_latest() -> None:
    """Of which nothing is known, on an idle client; jitter takes a tenth."""
    house = House({"r1": 0.05}, takes_s=0.002)
    await house.ended(house.subscribe(ref(), interval=PollPolicy.adaptive()))
    assert house.now < 0.05 + 0.05 * 1.1 + 0.01
    assert len(house.looks) <= 5


@pytest.mark.parametrize("rival", ["jobs", "rate"])
async def test_young_jobs_are_not_asked_more_where_many_wait_or_the_rate_is_low(rival: str) -> None:
    jobs = [ref(n) for n in range(40 if rival == "jobs" else 1)]
    counts = []
    for guards in (PollGuards(jitter=0), PollGuards(jitter=0, young_s=math.inf)):
        house = House(takes_s=0.002, per_s=10.0 if rival == "rate" else None)
        subscription = house.subscribe(*jobs, interval=PollPolicy.adaptive(guards=guards))
        await house.clock.sleep(5)
        counts.append(len(house.looks))
        subscription.detach()
    assert counts[0] == counts[1] > 0


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


@pytest.mark.parametrize("kind", [AuthenticationError, InvalidArgument])
async def test_rejected_credentials_and_unusable_settings_end_every_wait(
    kind: type[KrixikError],
) -> None:
    """A proxy that cannot be used, for one: to ride that out as an outage would help nobody."""
    house = House(answer=lambda i, _: kind("no") if i == "r2" else None)
    first, second = house.subscribe(ref(1)), house.subscribe(ref(2))
    for subscription in (first, second):
        with pytest.raises(kind):
            await house.ended(subscription)
    assert len(house.scheduler) == 0


async def test_a_look_that_comes_back_after_the_end_of_all_waits_is_nobodys() -> None:
    house = House({"r1": 0.0}, answer=lambda i, _: AuthenticationError("no") if i == "r2" else None)
    first = house.subscribe(ref(2))
    house.takes_s = 1.0
    await house.clock.sleep(0.5)
    second = house.subscribe(ref(1))
    with pytest.raises(AuthenticationError):
        await house.ended(first)
    with pytest.raises(AuthenticationError):
        await house.take(second)
    await house.clock.sleep(2.0)
    assert [i for i, _ in house.looks] == ["r2", "r1"]
    assert (len(house.scheduler), len(house.tasks)) == (0, 0)


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


async def test_a_bug_in_what_gives_openings_ends_the_waits_and_does_not_hang_them() -> None:
    @attrs.define
    class Shut(House):
        async def opening(self) -> House:
            raise ZeroDivisionError("a bug")

    house = Shut()
    with pytest.raises(ZeroDivisionError, match="a bug"):
        await house.take(house.subscribe(ref()))
    assert len(house.scheduler) == 0


async def test_a_bug_in_the_planning_ends_the_waits_and_does_not_hang_them() -> None:
    class Broken(Durations):
        asked = 0

        def law(self, *_: Any, **__: Any) -> None:
            self.asked += 1
            if self.asked > 1:
                raise ZeroDivisionError("a bug")

    house = House(durations=Broken())
    jobs = [ref(n) for n in range(60)]
    subscription = house.subscribe(*jobs, interval=PollPolicy.adaptive(), bulk_look=True)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        await house.take(subscription)
    assert len(house.scheduler) == 0


async def test_waiting_for_more_after_leaving_is_no_wait() -> None:
    house = House()
    subscription = house.subscribe(ref(1))
    subscription.detach()
    subscription.add([ref(2)])
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


# --- one budget ------------------------------------------------------------------------------


async def test_what_is_worth_most_is_asked_first_when_few_may_be() -> None:
    """Jobs just asked about wait; those that should have ended since their last look go first."""
    house = House(per_s=10.0)
    for seconds in (99.0, 100.0, 101.0) * 10:
        house.durations.observe("p", 0, None, seconds, seconds)
    old = [JobRef(request_id=f"o{n}", pipeline="p", submitted_at=EPOCH - 95) for n in range(50)]
    young = [JobRef(request_id=f"y{n}", pipeline="p", submitted_at=EPOCH) for n in range(150)]
    subscription = house.subscribe(*young, *old, interval=tenacity.wait_fixed(1))
    await house.clock.sleep(60.0)
    asked = [request_id[0] for request_id, at in house.looks if at > 25.0]
    assert asked.count("o") > 3 * asked.count("y") > 0
    assert len(house.looks) <= 601
    subscription.detach()


async def test_jobs_of_like_worth_take_turns() -> None:
    house = House(per_s=10.0)
    jobs = [ref(n) for n in range(200)]
    subscription = house.subscribe(*jobs, interval=tenacity.wait_fixed(1))
    await house.clock.sleep(100.0)
    counts = [sum(i == job.request_id for i, _ in house.looks) for job in jobs]
    assert sum(counts) in (1000, 1001)
    assert min(counts) >= 3
    assert max(counts) <= 8
    subscription.detach()


async def test_a_look_that_confirms_comes_before_all_others() -> None:
    house = House(
        per_s=10.0, answer=lambda i, now: RequestNotFound("gone") if i == "r1" and now > 1 else None
    )
    crowd = house.subscribe(*[ref(n) for n in range(2, 300)], interval=tenacity.wait_fixed(1))
    one = house.subscribe(ref(1))
    (outcome,) = await house.ended(one)
    first, second = [at for i, at in house.looks if i == "r1"][-2:]
    assert (outcome.state, second - first < 3.0) == ("not_found", True)
    crowd.detach()


# --- outages ---------------------------------------------------------------------------------


async def test_in_an_outage_one_job_is_asked_for_all() -> None:
    house = House(
        {f"r{n}": 0.0 for n in range(1000)},
        answer=lambda _, now: ConnectFailed("down") if now < 120.0 else None,
        takes_s=0.1,
    )
    subscription = house.subscribe(*[ref(n) for n in range(1000)])
    outcomes = await house.ended(subscription, 1000)
    assert {o.state for o in outcomes} == {"complete"}
    tried = [at for _, at in house.looks if at < 119.0]
    # Those under way when it was noticed, then one at a time, up to 30 s apart.
    assert len(tried) <= 64 + 15
    assert house.busiest == 64
    assert house.now < 120.0 + 31.0 + 3.0


async def test_a_probe_that_stands_in_line_is_waited_for_at_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its time has come and the rate does not let it go yet: nothing is to be done meanwhile."""
    house = House(
        {"r1": 60.0, "r2": 60.0, "r3": 60.0},
        answer=lambda _, now: ConnectFailed("down") if now < 300.0 else None,
        per_s=0.05,
    )
    planner, rounds = house.scheduler._planner, list[float]()
    gather = planner.gather

    def counted() -> None:
        rounds.append(house.now)
        assert len(rounds) < 1000, "it goes round and round"
        gather()

    monkeypatch.setattr(planner, "gather", counted)
    await house.ended(house.subscribe(ref(1), ref(2), ref(3)), 3)
    assert len(rounds) < 10 * len(house.looks)


async def test_an_outage_of_ten_minutes_ends_the_jobs_as_errors_of_their_own() -> None:
    house = House(answer=lambda _, __: ConnectFailed("down"))
    subscription = house.subscribe(*[ref(n) for n in range(200)])
    outcomes = await house.ended(subscription, 200)
    assert {o.state for o in outcomes} == {"error"}
    assert all(o.error is not None and o.error.request_id == o.request_id for o in outcomes[10:])
    assert 600.0 <= house.now < 640.0
    assert len(house.looks) < 64 + 40


async def test_who_came_late_into_an_outage_waits_ten_minutes_of_his_own() -> None:
    house = House(answer=lambda _, __: ConnectFailed("down"))
    early = house.subscribe(*[ref(n) for n in range(20)])
    await house.clock.sleep(300.0)
    late = house.subscribe(ref(99))
    await house.ended(early, 20)
    assert 600.0 <= house.now < 640.0
    (outcome,) = await house.ended(late)
    assert (outcome.state, 900.0 <= house.now < 1300.0) == ("error", True)


async def test_a_job_that_breaks_the_service_does_not_stop_the_others() -> None:
    house = House(
        {f"r{n}": 20.0 for n in range(1, 5)},
        answer=lambda i, _: ServerError("500") if i == "r0" else None,
    )
    subscription = house.subscribe(*[ref(n) for n in range(5)])
    outcomes = await house.ended(subscription, 4)
    assert (sorted(o.request_id for o in outcomes), house.now) == (["r1", "r2", "r3", "r4"], 20.0)
    subscription.detach()


# --- what is learned -------------------------------------------------------------------------


async def test_ends_teach_how_long_jobs_take_where_the_submission_is_known() -> None:
    house = House({"r1": 9.5, "r2": 9.5, "r3": 9.5}, failed={"r2"})
    known = [JobRef(request_id=i, pipeline="p", submitted_at=EPOCH) for i in ("r1", "r2")]
    subscription = house.subscribe(*known, JobRef(request_id="r3", pipeline="p"))
    await house.ended(subscription, 3)
    completed = house.durations.law("p", failures=False, at_least=1)
    assert completed is not None
    assert (completed.known, 8.0 < completed.quantile(0.5) < 11.0) == (1, True)
    both = house.durations.law("p", at_least=1)
    assert both is not None
    assert both.known == 2


async def test_a_job_seen_only_when_it_had_ended_teaches_nothing() -> None:
    house = House({"r1": 0.0})
    old = JobRef(request_id="r1", pipeline="p", submitted_at=EPOCH - 500.0)
    await house.ended(house.subscribe(old))
    assert house.durations.law("p", at_least=1) is None


async def test_the_time_left_is_estimated_from_what_was_learned() -> None:
    house = House()
    for n in range(10):
        house.durations.observe("p", 0, None, 60.0 + n, 60.0 + n)
    assert house.scheduler.time_left(house.subscribe()) is None
    subscription = house.subscribe(JobRef(request_id="r1", pipeline="p", submitted_at=EPOCH - 20))
    left = house.scheduler.time_left(subscription)
    assert left is not None
    assert 40.0 < left < 55.0
    unknown = house.subscribe(JobRef(request_id="r1", pipeline="other"))
    assert house.scheduler.time_left(unknown) is None
    subscription.detach()
    unknown.detach()


# --- many waiters ----------------------------------------------------------------------------


async def test_ten_thousand_waiters_of_one_job_come_and_go() -> None:
    """Each comes and goes in a time that does not depend on how many others there are."""
    house = House({"r1": 3.0})
    waiters = [house.subscribe(ref()) for _ in range(10_000)]
    for waiter in waiters[:9_000]:
        waiter.detach()
    for waiter in waiters[9_000:]:
        assert [o.state for o in await house.ended(waiter)] == ["complete"]
    assert (len(house.looks), len(house.scheduler)) == (4, 0)


async def test_detached_jobs_do_not_pile_up() -> None:
    house = House()
    staying = house.subscribe(ref(0), interval=tenacity.wait_fixed(1000))
    await house.take(staying)
    for n in range(1, 3000):
        leaving = house.subscribe(ref(n), interval=tenacity.wait_fixed(1000))
        await house.take(leaving)
        leaving.detach()
    assert len(house.scheduler._planner._agenda) < 1100
    staying.detach()


@pytest.mark.usefixtures("what_is_new")
async def test_when_nobody_waits_no_job_is_kept() -> None:
    """Whether they ended or were left, and wherever in line they were."""
    house = House({f"r{n}": 40.0 + n / 10 for n in range(200)}, max_looks=4)
    house.hidden = {f"f{n}" for n in range(150, 200)}
    for jobs in (range(200), range(100, 300)):
        waiter = house.subscribe(
            *[ref(n) for n in jobs], interval=PollPolicy.adaptive(), bulk_look=True
        )
        with anyio.move_on_after(45.0):
            await house.ended(waiter, 200)
        crowd = waiter.entries[-1].crowd
        waiter.detach()
        await house.clock.sleep(5.0)
        gc.collect()
        assert [one for one in gc.get_objects() if type(one) is Entry] == []
        assert not crowd.unpaid
    assert crowd.sweep.under_way == 0


async def test_of_pipelines_that_nobody_waits_for_only_the_latest_are_remembered() -> None:
    house = House({"r1": 0.0})
    crowds: list[Crowd] = []
    for n in [*range(MOST_IDLE + 2), 2, 0]:
        waiter = house.subscribe(attrs.evolve(ref(), pipeline=f"p{n}"))
        crowds.append(waiter.entries[0].crowd)
        await house.ended(waiter)
    assert crowds[-2] is crowds[2]
    assert crowds[-1] is not crowds[0]
    waiter.detach()


async def test_last_answers_that_are_all_different_do_not_pile_up() -> None:
    class Talking(House):
        def status_of(self, job: JobRef) -> ProcessStatus:
            return attrs.evolve(super().status_of(job), message=f"{job.request_id} at {self.now}")

    house = Talking()
    subscription = house.subscribe(*[ref(n) for n in range(300)])
    await house.clock.sleep(10.0)
    assert len(house.looks) >= 3000
    assert len(house.scheduler._answers._statuses) <= 1024
    subscription.detach()


async def test_a_hundred_different_last_answers_do_not_cross() -> None:
    """What equally far jobs share is shared by no others."""
    house = House({"r1": 50.0}, takes_s=0.01)
    first = house.subscribe(ref(1), ref(2))
    await house.take(first)
    late = house.subscribe(ref(1), ref(2))
    seen = {o.request_id: o.last_status for o in await house.take(late)}
    assert seen["r1"] is not None
    assert seen["r2"] is not None
    assert (seen["r1"].file_id, seen["r2"].file_id) == ("f1", "f2")
    assert seen["r1"].modules == seen["r2"].modules == {"module_1": False}
    assert seen["r1"].modules is not seen["r2"].modules
    first.detach()
    late.detach()
