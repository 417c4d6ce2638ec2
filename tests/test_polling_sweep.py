"""The bulk look: what it costs, what it finds, what it must not conclude; in virtual time."""

from __future__ import annotations

import gc
import logging
import random
import tracemalloc
from typing import Any

import anyio
import pytest

from krixik_async._clock import LoopClock
from krixik_async._durations import Durations
from krixik_async._errors import (
    AuthenticationError,
    ConnectFailed,
    RequestNotFound,
    RequestRejected,
)
from krixik_async._law import Law
from krixik_async._models import JobRef
from krixik_async._poll_policy import PollPolicy
from krixik_async._polling._entries import Crowd, Entry
from krixik_async._polling._planner import Planner
from krixik_async._polling._rounds import Chunk
from krixik_async._polling._sweep import BAD_LIMIT, OFF_S, SLOW_S, Sweep, expected_per_s
from tests.polled_service import EPOCH, FIXED, House, ref

pytestmark = pytest.mark.anyio

ADAPTIVE = PollPolicy.adaptive()
MINUTE = Law.of([60.0] * 4)


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


def jobs(count: int, *, submitted_at: float | None = EPOCH, first: int = 0) -> list[JobRef]:
    return [
        JobRef(request_id=f"r{n}", pipeline="p", file_id=f"f{n}", submitted_at=submitted_at)
        for n in range(first, first + count)
    ]


def lognormal(count: int, median_s: float = 20.0) -> dict[str, float]:
    rng = random.Random(5)
    return {f"r{n}": median_s * rng.lognormvariate(0.0, 0.5) for n in range(count)}


# --- what it is for --------------------------------------------------------------------------


async def test_two_thousand_jobs_cost_little_more_than_a_request_each() -> None:
    house = House(lognormal(2000), takes_s=0.05)
    subscription = house.subscribe(
        *jobs(2000), interval=ADAPTIVE, wants_changes=False, bulk_look=True
    )
    outcomes: list[Any] = []
    delays: list[float] = []
    while len(outcomes) < 2000:
        fresh = await house.take(subscription)
        outcomes += fresh
        delays += [house.now - house.done_at[o.request_id] for o in fresh]
    assert {o.state for o in outcomes} == {"complete"}
    statistics = subscription.statistics
    assert (statistics.status_requests, statistics.list_requests) == (
        len(house.looks),
        len(house.lists),
    )
    assert statistics.requests_per_job < 1.15
    assert sum(delays) / len(delays) < 0.8
    assert sum(delays) / len(delays) <= statistics.delay_bound_mean_s


async def test_a_job_waited_for_by_its_bare_request_id_takes_four_hundred_bytes() -> None:
    """With what was learned of it by a look: its reference, and when it was asked and will be."""
    count = 3000
    ids = [f"r{n}" for n in range(count)]
    house = House(dict.fromkeys(ids, 1e6), max_looks=4)
    bare = (JobRef(request_id=request_id, pipeline="p") for request_id in ids)
    gc.collect()
    tracemalloc.start()
    try:
        subscription = house.scheduler.subscribe(ADAPTIVE, wants_changes=False, bulk_look=True)
        subscription.add(bare)
        await anyio.sleep(60)
        house.looks.clear()
        gc.collect()
        held = tracemalloc.get_traced_memory()[0] / count
    finally:
        tracemalloc.stop()
    assert subscription.statistics.status_requests >= count
    assert held < 420
    subscription.detach()


async def test_what_falls_on_one_point_of_the_grid_shares_its_float() -> None:
    """The grid is a quarter of a second, or up to a 128th of a long delay; few points are kept."""
    house = House()
    planner = house.scheduler._planner
    assert planner._on_grid(7.1, 20.0) == 7.25
    assert planner._on_grid(7.1, 20.0) is planner._on_grid(7.2, 30.0)
    assert planner._on_grid(1000.1, 600.0) == 1004.0
    for n in range(5000):
        planner._on_grid(float(n), 1.0)
    assert 0 < len(planner._times) <= 1025
    house.subscribe(ref()).detach()
    await house.clock.sleep(1)
    assert not planner._times


async def test_who_comes_late_to_jobs_that_lists_look_for_brings_no_look_forward() -> None:
    """Where nothing else looks for a job, it is looked at for the late one at once."""
    looks = []
    for bulk_look in (True, False):
        house = House(bulk_look=bulk_look)
        first = house.subscribe(*jobs(100), interval=ADAPTIVE, bulk_look=True)
        await house.clock.sleep(20)
        before = len(house.looks)
        late = house.subscribe(*jobs(100), interval=FIXED, bulk_look=True)
        await house.clock.sleep(0.1)
        looks.append(len(house.looks) - before)
        first.detach()
        late.detach()
    assert looks[0] < 10
    assert looks[1] == 100


async def test_a_job_that_is_being_asked_for_as_a_list_shows_it_is_not_asked_for_twice() -> None:
    house = House()
    subscription = house.subscribe(*jobs(60), interval=ADAPTIVE, bulk_look=True)
    one, other, *_ = house.scheduler._register.everything()
    one.place = "asked"
    chunk = Chunk(one.crowd, (one, other), ())
    house.scheduler._answers.listed(chunk, {"f0", "f1"}, house.clock.now())
    assert [(entry.listed, entry.place) for entry in chunk.entries] == [
        (False, "asked"),
        (True, "ready"),
    ]
    subscription.detach()


async def test_lists_go_before_what_is_to_be_confirmed_while_that_is_little() -> None:
    """So that there is always something to confirm: at a low rate, an end is seen sooner."""
    house = House({f"r{n}": 10.0 + n / 50 for n in range(1000)}, takes_s=0.5, per_s=40.0)
    subscription = house.subscribe(
        *jobs(1000), interval=ADAPTIVE, wants_changes=False, bulk_look=True
    )
    await house.ended(subscription, 1000)
    # At 40 a second a thousand confirmations take 25 s, whatever finds them.
    assert house.now < 38.3


async def test_a_crowd_that_ends_in_order_teaches_its_durations_and_not_its_slowest() -> None:
    house = House(lognormal(3000), takes_s=0.01)
    await house.ended(house.subscribe(*jobs(3000), interval=ADAPTIVE, bulk_look=True), 3000)
    law = house.durations.law("p", failures=False)
    assert law is not None
    assert 60 <= law.known <= 150
    assert 15.0 < law.quantile(0.5) < 27.0


async def test_below_fifty_jobs_and_where_it_is_off_each_is_asked_for() -> None:
    few, off = House(lognormal(49)), House(lognormal(60), bulk_look=False)
    for house, count in ((few, 49), (off, 60)):
        subscription = house.subscribe(*jobs(count), interval=ADAPTIVE, bulk_look=True)
        await house.ended(subscription, count)
        assert house.lists == []


async def test_a_schedule_of_the_callers_own_is_kept_to() -> None:
    house = House({f"r{n}": 2.5 for n in range(60)})
    await house.ended(house.subscribe(*jobs(60), interval=FIXED), 60)
    assert (house.lists, len(house.looks)) == ([], 4 * 60)


async def test_bare_ids_are_swept_once_their_file_ids_are_known() -> None:
    house = House({f"r{n}": 30.0 for n in range(80)})
    bare = [JobRef(request_id=f"r{n}", pipeline="p") for n in range(80)]
    subscription = house.subscribe(*bare, interval=ADAPTIVE, bulk_look=True)
    await house.ended(subscription, 80)
    assert len(house.lists) > 10
    # One look for the file_id, one that confirms, and a few of the slow schedule.
    assert 160 <= len(house.looks) < 260


async def test_jobs_of_two_waits_are_swept_together() -> None:
    house = House({f"r{n}": 5.0 for n in range(60)})
    first = house.subscribe(*jobs(30), interval=ADAPTIVE, bulk_look=True)
    second = house.subscribe(*jobs(30, first=30), interval=ADAPTIVE, bulk_look=True)
    await house.ended(first, 30)
    await house.ended(second, 30)
    assert first.statistics.list_requests == second.statistics.list_requests > 0


async def test_lists_keep_to_half_of_a_limited_rate() -> None:
    house = House({f"r{n}": 60.0 for n in range(3000)}, per_s=20.0)
    subscription = house.subscribe(*jobs(3000), interval=ADAPTIVE, bulk_look=True)
    await house.clock.sleep(30.0)
    assert 0 < len(house.lists) <= 0.5 * 20.0 * 30.0 + 7
    subscription.detach()


@pytest.mark.timeout(20)  # a scheduler that turns on the spot would stop virtual time for ever
async def test_more_turn_up_than_the_rate_lets_be_confirmed() -> None:
    """A round is then due and does not begin: the scheduler sleeps until there is room."""
    ends = {f"r{n}": 15.0 + n / 200.0 for n in range(2000)}
    house = House(ends, per_s=100.0, takes_s=0.05)
    subscription = house.subscribe(*jobs(2000), interval=ADAPTIVE, bulk_look=True)
    outcomes = await house.ended(subscription, 2000)
    assert {outcome.state for outcome in outcomes} == {"complete"}
    assert house.now < 60.0


async def test_nothing_is_swept_that_everybody_has_left() -> None:
    house = House(per_s=1.0)
    subscription = house.subscribe(*jobs(3000), interval=ADAPTIVE, bulk_look=True)
    await house.clock.sleep(0.5)
    subscription.detach()
    await house.clock.sleep(20.0)
    assert (len(house.lists), len(house.looks), len(house.tasks)) == (1, 0, 0)


async def test_no_more_is_looked_for_while_much_is_still_to_be_confirmed() -> None:
    house = House({f"r{n}": 0.0 for n in range(1000)}, per_s=20.0)
    subscription = house.subscribe(*jobs(1500), interval=ADAPTIVE, bulk_look=True)
    await house.clock.sleep(30.0)
    assert (len(house.lists), len(house.looks) > 590) == (2, True)
    await house.ended(subscription, 1000)
    await house.clock.sleep(20.0)
    assert len(house.lists) > 10
    subscription.detach()


async def test_looks_besides_the_lists_stay_few_while_nothing_is_known() -> None:
    house = House()
    subscription = house.subscribe(*jobs(200), interval=ADAPTIVE, bulk_look=True)
    await house.clock.sleep(400.0)
    assert len(house.lists) > 40
    assert 10 < len(house.looks) <= 5 + 0.1 * 400 + 0.02 * (len(house.lists) + len(house.looks))
    subscription.detach()


# --- what it cannot see ----------------------------------------------------------------------


async def test_failures_are_found_by_the_slow_schedule_underneath() -> None:
    done_at = lognormal(2000)
    failed = {f"r{n}" for n in range(0, 2000, 20)}
    durations = Durations()
    for seconds in list(done_at.values())[:100]:
        durations.observe("p", 0, None, seconds, seconds)
    law = durations.law("p", failures=False)
    assert law is not None
    house = House(done_at, failed=failed, takes_s=0.05, durations=durations)
    subscription = house.subscribe(*jobs(2000), interval=ADAPTIVE, bulk_look=True)
    found: dict[str, float] = {}
    states: dict[str, int] = {}
    while sum(states.values()) < 2000:
        for outcome in await house.ended(subscription):
            states[outcome.state] = states.get(outcome.state, 0) + 1
            if outcome.state == "failed":
                found[outcome.request_id] = house.now
    assert states == {"complete": 1900, "failed": 100}
    in_time = [at for at in found.values() if at <= law.quantile(0.99) + SLOW_S]
    assert len(in_time) >= 95
    assert len(house.looks) < 1.3 * 2000


async def test_deleted_jobs_are_found_and_nothing_is_concluded_from_an_absence() -> None:
    """Not in any list, as unfinished ones are: only two statuses make a verdict."""
    house = House(
        {f"r{n}": 20.0 for n in range(60)},
        answer=lambda i, now: RequestNotFound("gone") if i in ("r3", "r4") and now > 10 else None,
        hidden={"f3", "f4"},
    )
    subscription = house.subscribe(*jobs(60), interval=ADAPTIVE, bulk_look=True)
    outcomes = {o.request_id: o.state for o in await house.ended(subscription, 60)}
    assert [outcomes[i] for i in ("r2", "r3", "r4")] == ["complete", "deleted", "deleted"]
    assert len([i for i, _ in house.looks if i in ("r3", "r4")]) >= 4


async def test_a_status_that_lags_behind_a_list_is_asked_for_again() -> None:
    """The list shows them at 20 s, their statuses are complete at 27 s."""
    house = House({f"r{n}": 20.0 for n in range(60)}, status_lag_s=7.0)
    subscription = house.subscribe(*jobs(60), interval=ADAPTIVE, bulk_look=True)
    outcomes = await house.ended(subscription, 60)
    assert {o.state for o in outcomes} == {"complete"}
    assert 60 * 2 < len(house.looks) < 60 * 6
    assert house.now < 34.0


async def test_the_last_look_before_expiry_is_not_put_off() -> None:
    refs = [
        JobRef(
            request_id=f"r{n}",
            pipeline="p",
            file_id=f"f{n}",
            submitted_at=EPOCH,
            expires_at=EPOCH + 100.0,
        )
        for n in range(60)
    ]
    house = House(answer=lambda _, now: RequestNotFound("gone") if now >= 100.0 else None)
    subscription = house.subscribe(*refs, interval=ADAPTIVE, bulk_look=True)
    outcomes = await house.ended(subscription, 60)
    assert {o.state for o in outcomes} == {"expired"}
    assert {i for i, at in house.looks if 95.0 <= at < 100.0} == {r.request_id for r in refs}


# --- when it is wrong ------------------------------------------------------------------------


async def test_lists_that_contradict_statuses_switch_it_off_for_five_minutes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = House({f"r{n}": 5.0 for n in range(20)})
    subscription = house.subscribe(*jobs(80), interval=ADAPTIVE, bulk_look=True)
    with caplog.at_level(logging.INFO, "krixik_async"):
        await house.ended(subscription, 20)
        house.hidden.update(f"f{n}" for n in range(20))
        await house.clock.sleep(60.0)
        swept = len(house.lists)
        await house.clock.sleep(200.0)
        assert len(house.lists) == swept
        house.hidden.clear()
        await house.clock.sleep(100.0)
    assert len(house.lists) > swept
    said = [r.getMessage() for r in caplog.records if "no bulk looks" in r.getMessage()]
    assert len(said) == 1
    assert "for 300 s" in said[0]
    assert "whose status is complete" in said[0]
    subscription.detach()


async def test_complete_files_that_their_owner_deletes_are_no_contradiction() -> None:
    house = House(
        {f"r{n}": 5.0 for n in range(20)},
        answer=lambda i, now: RequestNotFound("gone") if int(i[1:]) < 20 and now > 8.0 else None,
    )
    # More than one list: both miss the same file.
    house.takes_s = 0.05
    subscription = house.subscribe(*jobs(600), interval=ADAPTIVE, bulk_look=True)
    await house.ended(subscription, 20)
    await house.clock.sleep(4.0)
    house.hidden.update(f"f{n}" for n in range(20))
    await house.clock.sleep(5.0)
    swept = len(house.lists)
    await house.clock.sleep(30.0)
    assert len(house.lists) > swept + 5
    subscription.detach()


async def test_a_canary_that_cannot_be_asked_for_says_nothing() -> None:
    house = House(
        {f"r{n}": 5.0 for n in range(20)},
        answer=lambda i, now: ConnectFailed("no") if int(i[1:]) < 20 and now > 8.0 else None,
    )
    subscription = house.subscribe(*jobs(80), interval=ADAPTIVE, bulk_look=True)
    await house.ended(subscription, 20)
    await house.clock.sleep(4.0)
    house.hidden.update(f"f{n}" for n in range(20))
    await house.clock.sleep(30.0)
    swept = len(house.lists)
    await house.clock.sleep(10.0)
    assert len(house.lists) > swept
    subscription.detach()


async def test_lists_that_are_refused_switch_it_off_and_the_jobs_are_asked_for() -> None:
    house = House(
        {f"r{n}": 20.0 for n in range(60)}, list_answer=lambda _: RequestRejected("no lists here")
    )
    subscription = house.subscribe(*jobs(60), interval=ADAPTIVE, bulk_look=True)
    await house.ended(subscription, 60)
    assert len(house.lists) == BAD_LIMIT
    assert house.now < 30.0


async def test_lists_that_fail_like_an_outage_open_the_breaker() -> None:
    house = House(
        {f"r{n}": 20.0 for n in range(60)},
        answer=lambda _, now: ConnectFailed("down") if now < 15 else None,
        list_answer=lambda now: ConnectFailed("down") if now < 15 else None,
    )
    subscription = house.subscribe(*jobs(60), interval=ADAPTIVE, bulk_look=True)
    await house.ended(subscription, 60)
    early = [at for _, at in (*house.looks, *house.lists) if at < 15]
    assert len(early) < 15


async def test_rejected_credentials_of_a_list_end_every_wait() -> None:
    house = House(list_answer=lambda _: AuthenticationError("no"))
    subscription = house.subscribe(*jobs(60), interval=ADAPTIVE, bulk_look=True)
    with pytest.raises(AuthenticationError):
        await house.take(subscription)
    assert len(house.scheduler) == 0


async def test_rejected_credentials_of_a_canary_end_every_wait() -> None:
    house = House(
        {f"r{n}": 5.0 for n in range(20)},
        answer=lambda _, now: AuthenticationError("no") if now > 8.0 else None,
    )
    subscription = house.subscribe(*jobs(80), interval=ADAPTIVE, bulk_look=True)
    await house.ended(subscription, 20)
    await house.clock.sleep(4.0)
    house.hidden.update(f"f{n}" for n in range(20))
    with pytest.raises(AuthenticationError):
        await house.take(subscription)


async def test_a_bug_in_a_list_ends_the_waits_and_does_not_hang_them() -> None:
    def bug(_now: float) -> None:
        raise ZeroDivisionError("a bug")

    house = House(list_answer=bug, takes_s=1.0)
    subscription = house.subscribe(*jobs(60), interval=ADAPTIVE, bulk_look=True)
    leaving = house.subscribe(*jobs(5, first=60), interval=ADAPTIVE, bulk_look=True)
    await house.clock.sleep(0.5)
    leaving.detach()
    with pytest.raises(ZeroDivisionError):
        await house.take(subscription)


# --- pure ------------------------------------------------------------------------------------


def swept(jobs: int = 60, now: float = 0.0) -> Sweep:
    sweep = Sweep(enabled=True)
    sweep.settle(jobs, now)
    return sweep


def round_of(sweep: Sweep, now: float, **given: Any) -> float:
    """Begin and end a round; give when the next one begins, from `now`."""
    asked = {"age_s": 1000.0, "expected_per_s": 0.0, "rate": None, **given}
    sweep.begin(now, 1, **asked)
    sweep.answered(now + 0.01, 0)
    return sweep.next_round - now


def test_it_goes_on_at_fifty_and_off_below_four() -> None:
    sweep = Sweep(enabled=True)
    told = [sweep.settle(jobs, 0.0) for jobs in (49, 50, 49, 4, 3, 49)]
    assert told == [False, True, False, False, True, False]


def test_it_never_goes_on_where_it_is_not_allowed() -> None:
    assert Sweep(enabled=False).settle(1000, 0.0) is False


def test_after_three_bad_ones_in_a_row_it_is_off_for_five_minutes() -> None:
    sweep = swept()
    assert [sweep.disagreed(1.0), sweep.disagreed(2.0)] == [False, False]
    sweep.agreed()
    assert [sweep.disagreed(3.0) for _ in range(3)] == [False, False, True]
    assert sweep.settle(60, 3.0 + OFF_S - 1)
    assert not sweep.on
    assert sweep.settle(60, 3.0 + OFF_S)
    assert sweep.on


def test_rounds_follow_the_rate_at_which_jobs_end() -> None:
    slow, quick = swept(), swept()
    for n in range(20):
        now = float(n)
        for sweep, ends in ((slow, 1), (quick, 100)):
            sweep.begin(now, 1, age_s=1000.0, expected_per_s=0.0, rate=None)
            sweep.answered(now, ends)
    assert slow.next_round - 19 == pytest.approx((2 * 10.0 / 1) ** 0.5, rel=0.01)
    assert quick.next_round - 19 == pytest.approx((2 * 10.0 / 100) ** 0.5, rel=0.01)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({}, 50.0),  # nothing ends: a twentieth of the age
        ({"age_s": 2.0}, 1.0),
        ({"expected_per_s": 1e9}, 0.25),
        ({"expected_per_s": 20.0}, 1.0),
        ({"expected_per_s": 1e9, "rate": 0.5}, 4.0),
    ],
)
def test_rounds_are_neither_too_near_nor_too_far_apart(
    given: dict[str, Any], seconds: float
) -> None:
    assert round_of(swept(), 0.0, **given) == pytest.approx(seconds)


def test_a_round_that_takes_long_is_followed_at_once() -> None:
    sweep = swept()
    sweep.begin(0.0, 2, age_s=1.0, expected_per_s=0.0, rate=None)
    sweep.answered(1.0, 0)
    assert sweep.under_way == 1
    sweep.answered(30.0, 0)
    assert (sweep.under_way, sweep.next_round) == (0, 30.0)


def test_what_is_expected_counts_for_as_many_as_it_was_learned_from() -> None:
    law = Law.of([10.0] * 4)
    assert expected_per_s([(9.5, law), (1.0, law)], 100) == pytest.approx(100 * 0.5)
    known = Law([0.0, 10.0, 20.0], [0.0, 0.5, 1.0], 100.0)
    assert expected_per_s([(0.0, known)], 300) == pytest.approx(300 * 0.05 / 4)
    assert expected_per_s([(0.0, None), (99.0, law)], 300) == 0.0


def test_the_purse_pays_for_few_looks_and_for_more_where_they_find_something() -> None:
    sweep = swept()
    assert [sweep.pay(0.0) for _ in range(6)] == [True] * 5 + [False]
    for _ in range(50):
        sweep.earn()
    assert [sweep.pay(0.0) for _ in range(2)] == [True, False]
    sweep.found()
    sweep.found()
    assert [sweep.pay(0.0) for _ in range(4)] == [True] * 3 + [False]
    assert (sweep.pay(9.9), sweep.pay(10.1)) == (False, True)
    sweep.give_back()
    assert sweep.pay(10.1)


def test_a_long_overdue_job_needs_no_purse() -> None:
    assert not Sweep.is_overdue(MINUTE, 209.0, 0)
    assert Sweep.is_overdue(MINUTE, 211.0, 0)
    assert [Sweep.is_overdue(None, age, 0) for age in (479.0, 480.0)] == [False, True]
    assert not Sweep.is_overdue(None, 480.0, 1)


def test_the_slow_schedule_begins_where_all_but_one_in_a_hundred_have_ended() -> None:
    rng = random.Random(1)

    def at(law: Law | None, age: float, *, early: bool = False) -> list[float]:
        delays = (Sweep(enabled=True).slow_delay(law, age, rng, early=early) for _ in range(400))
        return sorted(age + delay for delay in delays)

    assert 60.0 <= at(MINUTE, 10.0)[0] <= at(MINUTE, 10.0)[-1] <= 84.0
    assert SLOW_S <= at(None, 0.0)[0] <= at(None, 0.0)[-1] <= 54.0
    # Later on further and further apart, and first looks at old jobs soon.
    assert 400 + 160 <= at(MINUTE, 400.0)[0] <= at(MINUTE, 400.0)[-1] <= 400 + 240
    assert 400 <= at(MINUTE, 400.0, early=True)[0] <= at(MINUTE, 400.0, early=True)[-1] <= 430
    probed = [age for age in at(MINUTE, 0.0, early=True) if age <= 60.0]
    assert 5 <= len(probed) <= 40
    assert all(age >= 60 or age <= 10 for age in at(None, 20.0, early=True) if age < 30) is True


def planner_with_one_to_confirm() -> tuple[Planner, Entry, Chunk]:
    """And a list to send whose jobs are not waited for any more."""
    crowd = Crowd("p", Sweep(enabled=True))
    entry, gone = (Entry(JobRef(request_id=n, pipeline="p"), 0.0, crowd=crowd) for n in "ab")
    planner = Planner(asker=House(), clock=LoopClock(), durations=Durations(), rng=random.Random(1))
    planner.confirm(entry)
    gone.place = "gone"
    chunk = Chunk(crowd, (gone,), ())
    planner._rounds.chunks.append(chunk)
    return planner, entry, chunk


async def test_a_list_that_nobody_needs_any_more_does_not_hide_a_confirmation() -> None:
    planner, entry, _ = planner_with_one_to_confirm()
    assert planner.pick() is entry


async def test_once_nobody_waits_nothing_is_held() -> None:
    planner, entry, _ = planner_with_one_to_confirm()
    entry.place = "gone"
    planner.clear()
    assert planner.work() == 0
