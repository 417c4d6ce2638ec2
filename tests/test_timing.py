"""The mathematics of schedules, each formula against a direct reckoning of what it says."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from krixik_async._law import Law
from krixik_async._timing import (
    Plan,
    Quantiles,
    cost,
    growing_interval,
    looks_and_delay,
    times,
    urgency,
)
from krixik_async.testing._laws import SHAPES, named_law

LAWS = {name: named_law(name) for name in SHAPES}
every_law = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)


@st.composite
def laws(draw: st.DrawFn) -> Law:
    """Any law on a small grid, flat pieces and steep ones among them."""
    gaps = draw(st.lists(st.floats(0.01, 50.0), min_size=1, max_size=25))
    parts = draw(st.lists(st.integers(0, 9), min_size=len(gaps), max_size=len(gaps)))
    parts[-1] += 1
    at, done, total = [0.0], [0.0], 0
    for gap, part in zip(gaps, parts, strict=True):
        total += part
        at.append(at[-1] + gap)
        done.append(total / sum(parts))
    return Law(at, done)


def brute_force(law: Law, worth: float) -> float:
    """The dynamic programme as it is written down, every pair of points tried."""
    t, done, moments = law.times, law.done, law.moments
    value = [0.0] * len(t)
    for i in range(len(t) - 2, -1, -1):
        value[i] = min(
            worth * (1 - done[i]) + t[j] * (done[j] - done[i]) - moments[j] + moments[i] + value[j]
            for j in range(i + 1, len(t))
        )
    return value[0]


def memoryless_interval(mean_s: float, worth: float) -> float:
    """Give sqrt(2 worth mean): the seconds between looks if only the mean is known.

    For durations without memory; R. E. Barlow and F. Proschan, "Mathematical theory of
    reliability" (1965), chapter 4, for looks that cost little against the mean.
    """
    return math.sqrt(2.0 * worth * mean_s)


def keller_times(law: Law, worth: float) -> list[float]:
    """Give the looks of Keller's schedule: where the integral of sqrt(h / 2 worth) is k - 1/2.

    J. B. Keller, "Optimum checking schedules for systems subject to random failure", Management
    Science 21 (1974): density sqrt(h / (2 worth)), 0 to 19 % above the optimum. And a last one at
    the law's end. The integral over a piece of the law is exact:
    sqrt(2 / (worth f)) (sqrt S(a) - sqrt S(b)).
    """
    looks: list[float] = []
    total, due = 0.0, 0.5
    for i in range(1, len(law.times)):
        low, high = law.times[i - 1], law.times[i]
        share = law.done[i] - law.done[i - 1]
        if share <= 0:
            continue
        left = 1.0 - law.done[i - 1]
        scale = math.sqrt(2.0 * (high - low) / (worth * share))
        piece = scale * (math.sqrt(left) - math.sqrt(max(0.0, left - share)))
        while total + piece >= due:
            gone = left - (math.sqrt(left) - (due - total) / scale) ** 2
            looks.append(min(high, low + (high - low) * gone / share))
            due += 1.0
        total += piece
    return [*looks, law.times[-1]]


@settings(max_examples=40)
@given(laws(), st.floats(0.01, 30.0))
def test_the_plan_is_the_optimum_over_all_schedules_on_the_grid(law: Law, worth: float) -> None:
    plan = Plan(law, worth)
    best = brute_force(law, worth)
    assert plan.cost == pytest.approx(best, rel=1e-9, abs=1e-9)
    assert cost(law, list(times(plan)), worth) == pytest.approx(best, rel=1e-9, abs=1e-9)


@settings(max_examples=40)
@given(laws(), st.floats(0.01, 30.0), st.randoms(use_true_random=False))
def test_no_schedule_on_the_grid_is_better(law: Law, worth: float, rng: random.Random) -> None:
    some = [t for t in law.times[1:-1] if rng.random() < 0.5]
    assert Plan(law, worth).cost <= cost(law, [*some, law.times[-1]], worth) + 1e-9


@settings(max_examples=40)
@given(laws(), st.floats(0.01, 30.0), st.floats(0.0, 0.99))
def test_from_any_age_the_next_look_lies_ahead_and_never_moves_back(
    law: Law, worth: float, part: float
) -> None:
    plan = Plan(law, worth)
    end = law.times[-1]
    ages = sorted([part * end, *law.times[:-1]])
    looks = [plan.next_look(age) for age in ages]
    assert all(look is not None and look > age for age, look in zip(ages, looks, strict=True))
    assert looks == sorted(looks, key=float)  # type: ignore[arg-type]
    assert (plan.next_look(end), plan.next_look(end + 1)) == (None, None)


@settings(max_examples=40)
@given(laws(), st.floats(0.01, 30.0), st.floats(0.0, 0.99))
def test_the_next_look_is_the_best_from_ages_off_the_grid_too(
    law: Law, worth: float, part: float
) -> None:
    """No other point of the grid, with the plan followed from there, costs less."""
    plan = Plan(law, worth)
    age = part * law.times[-1]
    if law.survival(age) < 1e-6:
        return

    def cost_by(first: float) -> float:
        looks, delay = looks_and_delay(law, [first, *times(plan, first)], after_s=age)
        return worth * looks + delay

    chosen = plan.next_look(age)
    assert chosen is not None
    assert cost_by(chosen) <= min(cost_by(t) for t in law.times if t > age) * (1 + 1e-6) + 1e-6


@every_law
@pytest.mark.parametrize("worth", [0.5, 1.0, 2.0])
def test_the_plan_beats_every_heuristic(law: Law, worth: float) -> None:
    """On a fine grid: the heuristics are not bound to it, so to within its width."""
    best = Plan(law, worth).cost
    every = memoryless_interval(law.mean, worth)
    steady = [every * k for k in range(1, math.ceil(law.times[-1] / every) + 1)]
    heuristics = {
        "keller": keller_times(law, worth),
        "quantiles": list(times(Quantiles.best(law, worth))),
        "memoryless": steady,
    }
    above = {name: cost(law, looks, worth) / best - 1 for name, looks in heuristics.items()}
    assert min(above.values()) > -0.002, above
    assert above["keller"] < 0.5, above


def test_keller_and_quantiles_are_near_the_optimum_on_one_hump() -> None:
    law = LAWS["lognormal 0.25"]
    best = Plan(law, 2.0).cost
    assert cost(law, keller_times(law, 2.0), 2.0) / best < 1.12
    assert cost(law, list(times(Quantiles.best(law, 2.0))), 2.0) / best < 1.04
    assert Quantiles.best(law, 2.0).share == 0.37


def test_without_memory_the_plan_looks_at_even_intervals() -> None:
    """And those are sqrt(2 worth mean) long, less a little, for looks cost little here."""
    law = LAWS["exponential"]
    first, *_, last = list(times(Plan(law, 0.1)))[:20]
    assert first == pytest.approx(memoryless_interval(60.0, 0.1), rel=0.05)
    assert last / 20 == pytest.approx(first, rel=0.05)


def test_keller_places_looks_where_the_integral_of_the_density_is_a_half_more() -> None:
    """Uniform on 0 to 1: the integral is sqrt(2 / worth) (1 - sqrt(1 - t))."""
    law = Law([0.0, 1.0], [0.0, 1.0])
    expected = [1 - (1 - (k - 0.5) * math.sqrt(0.01 / 2)) ** 2 for k in range(1, 15)]
    assert keller_times(law, 0.01) == pytest.approx([*expected, 1.0])
    assert keller_times(Law([0.0, 5.0, 6.0], [0.0, 0.0, 1.0]), 0.5) == pytest.approx(
        [5.4375, 5.9375, 6.0]
    )


def test_looks_and_delay_of_a_schedule_are_expectations() -> None:
    """Uniform on 0 to 10, looks at 5 and 10: one and a half looks, 2.5 s of delay."""
    law = Law([0.0, 10.0], [0.0, 1.0])
    assert looks_and_delay(law, [5.0, 10.0]) == (1.5, 2.5)
    assert looks_and_delay(law, [10.0], after_s=5.0) == (1.0, 2.5)
    assert looks_and_delay(law, [12.0], after_s=11.0) == (1.0, 0.0)


def test_quantiles_find_a_job_with_the_same_chance_each_time_and_end() -> None:
    law = Law([0.0, 16.0], [0.0, 1.0])
    looks = list(times(Quantiles(law, 0.5)))
    assert looks[:4] == [8.0, 12.0, 14.0, 15.0]
    assert (looks[-1], len(looks)) == (16.0, 11)
    assert list(times(Quantiles(law, 0.5), after_s=12.0)) == looks[2:]


def test_knowing_nothing_the_looks_fall_near_half_the_scale_times_k_squared() -> None:
    age = 0.0
    for _ in range(100):
        age += growing_interval(age, 0.2)
    assert age == pytest.approx(0.1 * 100**2, rel=0.05)


def test_the_most_urgent_job_is_the_one_likeliest_done_and_longest_unseen() -> None:
    law = Law([0.0, 50.0, 60.0, 100.0], [0.0, 0.0, 0.5, 1.0])
    assert urgency(law, age_s=40.0, since_look_s=10.0) == 0.0
    assert urgency(law, age_s=60.0, since_look_s=10.0) == 5.0
    assert urgency(law, age_s=60.0, since_look_s=5.0) == pytest.approx(5 / 3)
    assert urgency(law, age_s=130.0, since_look_s=10.0) == 10.0
    assert urgency(None, age_s=20.0, since_look_s=10.0) == pytest.approx(math.log(2))
    assert urgency(None, age_s=10.0, since_look_s=10.0) == 10.0
    assert urgency(None, age_s=10.0, since_look_s=-1.0) == 0.0


def test_asking_the_most_urgent_first_finds_the_rates_of_the_square_root_law() -> None:
    """Hazards 1 to 16: the quick jobs are asked four times as often, and delays add up to less."""
    hazards = [0.001] * 20 + [0.016] * 20
    asked = [0] * 40
    last = [0.0] * 40
    for step in range(1, 8001):
        job = max(
            range(40), key=lambda i: -math.expm1(-hazards[i] * (step - last[i])) * (step - last[i])
        )
        asked[job] += 1
        last[job] = step
    assert sum(asked[20:]) / sum(asked[:20]) == pytest.approx(4.0, rel=0.15)
