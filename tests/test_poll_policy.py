"""Policies: what each asks for, and what none may ever ask for."""

from __future__ import annotations

import gc
import math
import random
from typing import Any

import attrs
import pytest
import tenacity
from hypothesis import given, settings
from hypothesis import strategies as st
from tenacity import RetryCallState

from krixik_async import (
    Durations,
    InvalidArgument,
    InvalidArgumentType,
    JobView,
    PollGuards,
    PollPolicy,
    PollState,
)
from krixik_async._timing import Plan, Quantiles, times

BARE = PollGuards.none()


def learned(*jobs: float, stage: int = 0) -> Durations:
    durations = Durations()
    for seconds in jobs:
        durations.observe("p", stage, None, seconds, seconds)
    return durations


def around(mean: float, count: int = 20) -> list[float]:
    rng = random.Random(5)
    return [rng.gauss(mean, mean / 10) for _ in range(count)]


def state_at(
    age: float, durations: Durations | None = None, *, looks: int = 1, seed: int = 0, **job: Any
) -> PollState:
    state = PollState(durations, rng=random.Random(seed))
    state.start_time, state.outcome_timestamp, state.attempt_number = 0.0, age, looks
    state.job = attrs.evolve(JobView(pipeline="p", age_s=age, stage_age_s=age), **job)
    return state


def ages(policy: PollPolicy, durations: Durations | None = None, count: int = 8) -> list[float]:
    """The first looks at a job, seen from its submission."""
    found = [0.0]
    for looks in range(1, count + 1):
        found.append(found[-1] + policy(state_at(found[-1], durations, looks=looks)))
    return found[1:]


# --- the plain ones --------------------------------------------------------------------------


def test_fixed_is_the_same_each_time() -> None:
    assert ages(PollPolicy.fixed(3), count=4) == [3.0, 6.0, 9.0, 12.0]


def test_exponential_grows_to_its_cap() -> None:
    policy = PollPolicy.exponential(1, 2, 5, jitter=0)
    assert ages(policy, count=5) == pytest.approx([1, 3, 7, 12, 17])
    assert policy(state_at(0, looks=10**9)) == 5.0
    assert PollPolicy.exponential(9, 2, 5, jitter=0)(state_at(0)) == 5.0


def test_exponential_jitter_is_of_the_interval() -> None:
    delays = [PollPolicy.exponential(1, jitter=0.2)(state_at(0, seed=seed)) for seed in range(300)]
    assert 0.8 <= min(delays) < 0.81
    assert 1.19 < max(delays) <= 1.2


def test_a_schedule_is_ages_and_goes_on_as_it_ended() -> None:
    assert ages(PollPolicy.schedule([1, 5, 8]), count=6) == pytest.approx([1, 5, 8, 11, 14, 17])
    assert ages(PollPolicy.schedule([0.1]), count=40) == pytest.approx(
        [n / 10 for n in range(1, 41)]
    )


def test_a_schedule_takes_a_job_up_at_any_age() -> None:
    policy = PollPolicy.schedule([1, 5, 8])
    delays = [policy(state_at(age)) for age in (0.5, 1.0, 7.9, 9.0, 11.0)]
    assert delays == pytest.approx([0.5, 4.0, 0.1, 2.0, 3.0])


# --- the adaptive one ------------------------------------------------------------------------


def test_knowing_nothing_it_asks_less_and_less_often() -> None:
    """The k-th look near worth / 8 * k**2."""
    found = ages(PollPolicy.adaptive(2.0, guards=BARE), count=40)
    assert found[0] == 0.25
    assert found[-1] == pytest.approx(40**2 / 4, rel=0.1)


@pytest.mark.parametrize(("count", "worth"), [(5, 5 / 16), (12, 12 / 16), (16, 1.0), (40, 1.0)])
def test_knowing_five_jobs_it_follows_the_plan(count: int, worth: float) -> None:
    """Of looks that cost less while there is much to learn."""
    durations = learned(*around(60, count))
    law = durations.law("p")
    assert law is not None
    expected = list(times(Plan(law, worth)))[:5]
    assert ages(PollPolicy.adaptive(guards=BARE), durations, 5) == pytest.approx(expected)


def test_knowing_fewer_it_asks_by_quantiles_and_closer() -> None:
    durations = learned(*around(60, 4))
    law = durations.law("p", at_least=1)
    assert law is not None
    expected = list(times(Quantiles.best(law, 0.25)))[:5]
    assert ages(PollPolicy.adaptive(guards=BARE), durations, 5) == pytest.approx(expected)


def test_beyond_what_is_known_it_goes_on_as_if_it_knew_nothing() -> None:
    state = state_at(1000.0, learned(*around(60)))
    unknown = PollPolicy.adaptive(guards=BARE)(state_at(1000.0))
    assert PollPolicy.adaptive(guards=BARE)(state) == unknown == pytest.approx(math.sqrt(500))


def test_less_worth_asks_more_often() -> None:
    durations = learned(*around(60))
    looks = [
        len([age for age in ages(PollPolicy.adaptive(w, guards=BARE), durations, 60) if age < 70])
        for w in (0.1, 1.0, 10.0)
    ]
    assert looks == sorted(looks, reverse=True)
    assert looks[0] > 2 * looks[2] > 0


def test_a_job_seen_at_a_later_stage_goes_by_the_law_of_that_stage() -> None:
    durations = learned(*around(600, 30))
    durations.merge(learned(*around(5, 30), stage=1))
    policy = PollPolicy.adaptive(guards=BARE)
    delay = policy(state_at(590, durations, modules_done=1, stage_age_s=0.5))
    assert 2 < delay < 6
    law = durations.law("p", 1)
    assert law is not None
    assert delay == pytest.approx(next(times(Plan(law, 1.0), 0.5)) - 0.5)


def test_an_unknown_stage_goes_by_the_law_of_the_whole_job() -> None:
    durations = learned(*around(600, 30))
    durations.observe("p", 1, None, 1.0, 1.0)
    policy = PollPolicy.adaptive(guards=BARE)
    whole = policy(state_at(300, durations))
    assert policy(state_at(300, durations, modules_done=1, stage_age_s=1.0)) == whole
    assert policy(state_at(300, durations, modules_done=2, stage_age_s=1.0)) == whole


def test_a_plan_is_made_once_per_law_and_goes_with_it() -> None:
    durations = learned(*around(60, 100))
    policy: Any = PollPolicy.adaptive(guards=BARE)
    ages(policy, durations)
    (first,) = policy._schedules.values()
    ages(policy, durations)
    assert list(policy._schedules.values()) == [first]
    for seconds in around(60, 100):
        durations.observe("p", 0, None, seconds, seconds)
    ages(policy, durations)
    gc.collect()
    assert len(policy._schedules) == 1
    assert list(policy._schedules.values()) != [first]


# --- the guards ------------------------------------------------------------------------------


def test_no_two_looks_are_farther_apart_than_ten_seconds_or_15_percent() -> None:
    found = ages(PollPolicy.adaptive(50.0), learned(*around(3600)), 80)
    gaps = [(b - a, a) for a, b in zip([0.0, *found], found, strict=False)]
    assert all(gap <= max(10.0, 0.15 * age) * (1 + 1e-9) for gap, age in gaps)
    assert max(gap for gap, _ in gaps) > 200


def test_no_two_looks_are_nearer_than_a_fiftieth_of_a_second() -> None:
    found = ages(PollPolicy.adaptive(1e-9), learned(*around(0.2)), 30)
    assert min(b - a for a, b in zip([0.0, *found], found, strict=False)) >= 0.02 - 1e-12


YOUNG = PollPolicy.adaptive(guards=attrs.evolve(BARE, young_s=0.02))


def test_a_young_job_is_looked_at_again_at_twice_its_age_until_the_plain_schedule_is_nearer() -> (
    None
):
    plain = 0.64 + (0.5 * 0.64) ** 0.5
    assert ages(YOUNG, count=7) == pytest.approx([0.02, 0.04, 0.08, 0.16, 0.32, 0.64, plain])
    assert YOUNG(state_at(0.03)) == pytest.approx(0.03)


def test_that_takes_no_more_than_four_looks_more() -> None:
    """Up to any age, whatever the age at the first look, against the schedule without it."""

    def count(policy: PollPolicy, first: float, until: float) -> int:
        age, looks = first, 0
        while age < until:
            age, looks = age + policy(state_at(age)), looks + 1
        return looks

    bare = PollPolicy.adaptive(guards=BARE)
    more = {
        count(YOUNG, first, until) - count(bare, first, until)
        for first in (0.0, 0.005, 0.02, 0.05, 0.2, 1.0)
        for until in (0.5, 2.0, 20.0, 600.0)
    }
    assert (min(more), max(more)) == (0, 4)


def test_many_waiting_jobs_or_a_low_rate_leave_the_plain_schedule_as_it_is() -> None:
    bare = PollPolicy.adaptive(guards=BARE)
    for age in (0.0, 0.03, 0.2, 1.0):
        plain = bare(state_at(age))
        assert YOUNG(state_at(age, waiting=100)) == plain
        assert YOUNG(state_at(age, rate_per_s=2.0)) == plain
    # Of three jobs each is asked a third as often; half of the rate may go there.
    assert YOUNG(state_at(0.0, waiting=3)) == pytest.approx(0.06)
    assert YOUNG(state_at(0.0, rate_per_s=40.0)) == pytest.approx(0.05)
    assert YOUNG(state_at(0.0, rate_per_s=1e6)) == pytest.approx(0.02)


def test_a_job_of_which_something_is_known_is_not_young() -> None:
    assert YOUNG(state_at(0.0, learned(60.0))) > 10


def test_what_is_asked_of_young_jobs_is_explained() -> None:
    assert str(PollPolicy.adaptive().explain()).startswith(
        "asks at twice its age at first, then less and less often, nothing being known of such jobs"
    )
    assert str(PollPolicy.adaptive(guards=BARE).explain()).startswith("asks less and less often")


@pytest.mark.parametrize("young_s", [0.0, -1.0, math.nan])
def test_a_pause_between_young_jobs_is_more_than_nothing(young_s: float) -> None:
    with pytest.raises(InvalidArgument, match="young_s"):
        PollGuards(young_s=young_s)


def test_jitter_is_of_the_spacing_of_looks_not_of_the_way_there() -> None:
    """The first look at a job of 60 s varies by a tenth of the few seconds up to the next."""
    durations = learned(*around(60, 50))
    guards = attrs.evolve(BARE, jitter=0.1)
    policy, bare = (PollPolicy.adaptive(guards=g) for g in (guards, BARE))
    first, second = ages(bare, durations, 2)
    found = [policy(state_at(0.0, durations, seed=seed)) for seed in range(200)]
    width = max(found) - min(found)
    assert 0.17 * (second - first) < width <= 0.2 * (second - first)
    assert sum(found) / 200 == pytest.approx(first, rel=0.01)


def test_a_tenth_of_the_jobs_is_probed_early_once() -> None:
    durations = learned(*around(60, 50))
    guards = attrs.evolve(BARE, probe=0.1)
    policy, bare = (PollPolicy.adaptive(guards=g) for g in (guards, BARE))
    first = bare(state_at(0.0, durations))
    found = [policy(state_at(0.0, durations, seed=seed)) for seed in range(1000)]
    probes = [at for at in found if at < 0.9 * first]
    assert 70 < len(probes) < 130
    assert min(probes) >= first / 8
    assert max(probes) <= first / 2
    again = [policy(state_at(min(probes), durations, seed=seed)) for seed in range(200)]
    assert set(again) == {bare(state_at(min(probes), durations))}
    later = [policy(state_at(0, durations, seed=seed, modules_done=1)) for seed in range(99)]
    assert set(later) == {first}


def test_with_a_tail_a_job_that_outlives_all_others_is_still_planned_for() -> None:
    durations = learned(*around(60, 50))
    law = durations.law("p")
    assert law is not None
    policy = PollPolicy.adaptive(guards=attrs.evolve(BARE, tail=0.03))
    beyond = law.times[-1] + 5
    looks = times(Plan(law.with_tail(0.03), 1.0), beyond)
    assert policy(state_at(beyond, durations)) == pytest.approx(next(looks) - beyond)


@pytest.mark.parametrize(
    "values",
    [
        {"shortest_s": -1.0},
        {"shortest_s": 11.0},
        {"shortest_s": 0.0, "longest_s": 0.0},
        {"longest_s": math.nan},
        {"tail": 1.5},
        {"jitter": -0.1},
        {"probe": math.nan},
        {"longest_share": 2.0},
    ],
    ids=str,
)
def test_guards_that_make_no_sense_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(InvalidArgument, match="PollGuards"):
        PollGuards(**values)


# --- what holds for all ----------------------------------------------------------------------

PLAIN = [
    PollPolicy.fixed(2),
    PollPolicy.exponential(),
    PollPolicy.exponential(0.001, 1.0, 1e6),
    PollPolicy.schedule([0.5, 1, 20]),
]
ADAPTIVE = [PollPolicy.adaptive(w) for w in (1e-6, 1.0, 1e6)] + [
    PollPolicy.adaptive(guards=BARE),
    PollPolicy.adaptive(guards=PollGuards(1.0, 2.0, 0.0, 1.0, 1.0, 1.0)),
]


@settings(max_examples=50)
@given(
    policy=st.sampled_from(PLAIN + ADAPTIVE),
    known=st.lists(st.floats(0, 1e6), max_size=8),
    age=st.floats(-1e3, 1e9),
    stage_age=st.floats(-1e3, 1e9),
    stage=st.integers(0, 2),
    looks=st.integers(1, 10**6),
    seed=st.integers(0, 99),
)
def test_a_delay_is_never_negative_infinite_or_nothing_at_all(
    policy: PollPolicy,
    known: list[float],
    age: float,
    stage_age: float,
    stage: int,
    looks: int,
    seed: int,
) -> None:
    """Whatever the job; within its guards; the same again for the same randomness."""
    durations = learned(*known)
    delays = [
        policy(
            state_at(
                age, durations, looks=looks, seed=seed, modules_done=stage, stage_age_s=stage_age
            )
        )
        for _ in range(2)
    ]
    assert delays[0] == delays[1]
    assert 0 <= delays[0] < math.inf
    if policy in ADAPTIVE:
        guards: PollGuards = policy.guards  # type: ignore[attr-defined]
        assert guards.shortest_s <= delays[0] <= guards.longest(age)
        assert delays[0] > 0


@pytest.mark.parametrize("policy", PLAIN + ADAPTIVE)
def test_every_policy_is_a_tenacity_strategy(policy: PollPolicy) -> None:
    """It can be added to others, and drive tenacity's own retrying."""
    assert isinstance(policy, tenacity.wait.wait_base)
    state = state_at(3.0)
    alone = policy(state_at(3.0))
    assert (policy + tenacity.wait_fixed(1))(state) == pytest.approx(alone + 1)
    slept: list[float] = []
    retrying = tenacity.Retrying(
        wait=policy, sleep=slept.append, stop=tenacity.stop_after_attempt(3), reraise=True
    )
    with pytest.raises(ZeroDivisionError):
        retrying(lambda: 1 // 0)
    assert len(slept) == 2


def test_before_any_outcome_the_age_is_nought() -> None:
    state = RetryCallState(None, None, (), {})  # type: ignore[arg-type]
    assert PollPolicy.schedule([4])(state) == 4.0


class Odd(PollPolicy):
    """A user's own, that gives what it is told to."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def delay(self, job: JobView, durations: Durations, rng: random.Random) -> float:
        return self.seconds + (job.looks and len(durations) and int(rng.random()))


@pytest.mark.parametrize("seconds", [-1.0, math.inf, math.nan, 10**400])
def test_a_users_policy_must_give_seconds(seconds: Any) -> None:
    assert Odd(2)(state_at(0)) == 2.0
    with pytest.raises(InvalidArgument, match="must give 0 or more seconds"):
        Odd(seconds)(state_at(0))
    with pytest.raises(InvalidArgument, match="must give 0 or more seconds"):
        Odd(seconds).explain()


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: PollPolicy.fixed(0), InvalidArgument),
        (lambda: PollPolicy.fixed(math.inf), InvalidArgument),
        (lambda: PollPolicy.fixed("3"), InvalidArgumentType),  # type: ignore[arg-type]
        (lambda: PollPolicy.fixed(True), InvalidArgumentType),
        (lambda: PollPolicy.adaptive(-1), InvalidArgument),
        (lambda: PollPolicy.exponential(factor=0.5), InvalidArgument),
        (lambda: PollPolicy.exponential(factor=math.nan), InvalidArgument),
        (lambda: PollPolicy.exponential(jitter=2), InvalidArgument),
        (lambda: PollPolicy.exponential(cap=math.nan), InvalidArgument),
        (lambda: PollPolicy.schedule([]), InvalidArgument),
        (lambda: PollPolicy.schedule([2, 1]), InvalidArgument),
        (lambda: PollPolicy.schedule([1, 1]), InvalidArgument),
        (lambda: PollPolicy.schedule([0, 1]), InvalidArgument),
        (lambda: PollPolicy.schedule(5), InvalidArgumentType),  # type: ignore[arg-type]
        (lambda: PollPolicy.schedule("15"), InvalidArgumentType),  # type: ignore[arg-type]
        (lambda: PollPolicy.schedule([1, "5"]), InvalidArgumentType),  # type: ignore[list-item]
        (lambda: PollPolicy.adaptive(10**400), InvalidArgument),
        (lambda: PollPolicy.adaptive(-(10**5000)), InvalidArgument),
        (lambda: PollPolicy.adaptive(guards=3), InvalidArgumentType),  # type: ignore[arg-type]
        (lambda: PollPolicy.exponential(factor="2"), InvalidArgumentType),  # type: ignore[arg-type]
        (lambda: PollPolicy.exponential(factor=math.inf), InvalidArgument),
        (lambda: PollPolicy.exponential(jitter=None), InvalidArgumentType),  # type: ignore[arg-type]
        (lambda: PollGuards(longest_s="x"), InvalidArgumentType),  # type: ignore[arg-type]
        (lambda: PollGuards(longest_s=10**400), InvalidArgument),
        (lambda: PollGuards(tail=True), InvalidArgumentType),
        (lambda: PollPolicy.fixed(1).explain("x"), InvalidArgumentType),  # type: ignore[arg-type]
        (lambda: PollPolicy.fixed(1).explain(5), InvalidArgumentType),  # type: ignore[arg-type]
        (lambda: PollPolicy.fixed(1).explain([1, -1]), InvalidArgument),
        (lambda: PollPolicy.fixed(1).explain(["x" * 100]), InvalidArgumentType),  # type: ignore[list-item]
        (lambda: PollPolicy.fixed(1).explain(stage="x"), InvalidArgumentType),  # type: ignore[arg-type]
        (lambda: PollPolicy.fixed(1).explain(stage=-1), InvalidArgument),
        (lambda: PollPolicy.fixed(1).explain(size_bytes=1.5), InvalidArgumentType),  # type: ignore[arg-type]
        (lambda: PollPolicy.fixed(1).explain(age_s=math.nan), InvalidArgument),
    ],
)
def test_arguments_that_make_no_schedule_are_refused(make: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="must be"):
        make()


# --- explain ---------------------------------------------------------------------------------


def test_explain_tells_when_why_and_what_it_costs() -> None:
    told = PollPolicy.adaptive(guards=BARE).explain(around(60, 30))
    assert told.looks_at == pytest.approx(ages(PollPolicy.adaptive(guards=BARE), _unnamed(30), 8))
    assert told.known_jobs == 30
    assert told.expected_looks == pytest.approx(2.5, abs=0.5)
    assert told.expected_delay_s == pytest.approx(2.65, abs=0.2)
    assert told.ends_at_s == pytest.approx((60, 70), abs=3)
    assert str(told).splitlines()[0] == (
        "asks by the cheapest plan for what 30 such jobs took; a look being worth 1 s of delay"
    )
    assert len(str(told).splitlines()) == 4


def _unnamed(count: int) -> Durations:
    durations = Durations()
    for seconds in around(60, count):
        durations.observe("p", 0, None, seconds, seconds)
    return durations


def test_explain_knows_what_it_does_not_know() -> None:
    told = PollPolicy.adaptive().explain()
    assert (told.known_jobs, told.expected_looks, told.ends_at_s) == (0, None, None)
    assert "nothing being known" in str(told)
    assert len(told.looks_at) == 8
    beyond = PollPolicy.adaptive().explain(around(60), age_s=1e5)
    assert (beyond.looks_at[0] > 1e5, beyond.expected_looks) == (True, None)


def test_explain_tells_from_any_stage_and_age_of_what_a_client_has_learned() -> None:
    durations = learned(*around(600, 30))
    durations.merge(learned(*around(30), stage=1))
    told = PollPolicy.fixed(2).explain(durations, pipeline="p", stage=1, age_s=20.0)
    assert told.looks_at[:3] == (22.0, 24.0, 26.0)
    assert told.expected_delay_s == pytest.approx(1.0, abs=0.1)
    assert told.expected_looks == pytest.approx(5.5, abs=1)


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (PollPolicy.fixed(3), "asks every 3 s"),
        (PollPolicy.exponential(), "asks 1.5 times later each time, from 0.5 to 30 s"),
        (PollPolicy.schedule([1, 2]), "asks at 2 given ages"),
        (PollPolicy.adaptive(), "asks by the 2 such jobs known"),
        (Odd(1), "asks as Odd says"),
    ],
)
def test_every_policy_says_what_it_does(policy: PollPolicy, words: str) -> None:
    assert str(policy.explain([10, 11])).startswith(words)


def test_explain_gives_up_on_a_policy_that_hardly_moves() -> None:
    told = Odd(0.0).explain([10.0])
    assert told.looks_at == (0.0,) * 8
    assert told.expected_looks == pytest.approx(10_001)
