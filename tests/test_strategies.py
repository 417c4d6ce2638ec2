"""A wait's strategies, asked about a job: our times go in, a pause comes out."""

from __future__ import annotations

import math
import random
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
import tenacity
from hypothesis import given
from hypothesis import strategies as st

from krixik_async._errors import InvalidArgument, InvalidArgumentType
from krixik_async._evidence import Watched
from krixik_async._models import JobRef, ProcessStatus
from krixik_async._poll_policy import PollState
from krixik_async._strategies import delay_by, fill, wait_sqrt


def watched(**values: Any) -> Watched:
    return Watched(JobRef(request_id="r", pipeline="p", file_id="f"), started_at=100.0, **values)


class Middle(random.Random):
    """Draws the middle of every range: jitter of nothing."""

    def random(self) -> float:
        return 0.5


def state_of(job: Watched, now: float) -> PollState:
    state = PollState()
    fill(state, job, now=now, wall=0.0, waiting=3)
    return state


def asked(interval: Any, job: Watched, now: float) -> float:
    return delay_by(interval, state_of(job, now), job)


@pytest.mark.parametrize(
    ("elapsed", "interval"), [(0, 0.2), (0.1, 0.2), (10, 2.0), (600, 15.49), (3600, 37.95)]
)
def test_the_default_interval_starts_at_0_2_s_and_grows_with_the_square_root(
    elapsed: float, interval: float
) -> None:
    state = state_of(watched(), 100.0 + elapsed)
    assert wait_sqrt(rng=Middle())(state) == pytest.approx(interval, abs=0.01)


@given(elapsed=st.floats(0, 1e7), seed=st.integers())
def test_jitter_stays_within_a_tenth(elapsed: float, seed: int) -> None:
    state = state_of(watched(), 100.0 + elapsed)
    plain = wait_sqrt(rng=Middle())(state)
    drawn = wait_sqrt(rng=random.Random(seed))(state)
    assert 0.9 * plain - 1e-9 <= drawn <= 1.1 * plain + 1e-9


def test_two_default_schedules_do_not_march_in_step() -> None:
    state = state_of(watched(), 200.0)
    assert wait_sqrt()(state) != wait_sqrt()(state)


@pytest.mark.parametrize(
    ("strategy", "looks", "expected"),
    [
        (tenacity.wait_fixed(3), 5, 3.0),
        (tenacity.wait_exponential(multiplier=1, max=8), 3, 4.0),
        (tenacity.wait_exponential(multiplier=1, max=8), 30, 8.0),
        (tenacity.wait_incrementing(start=1, increment=2), 3, 5.0),
        (tenacity.wait_chain(tenacity.wait_fixed(1), tenacity.wait_fixed(7)), 2, 7.0),
        (tenacity.wait_fixed(1) + tenacity.wait_fixed(2), 1, 3.0),
    ],
)
def test_any_tenacity_strategy_is_driven_by_our_times(
    strategy: tenacity.wait.wait_base, looks: int, expected: float
) -> None:
    assert asked(strategy, watched(looks=looks), 500.0) == expected


def test_a_tenacity_state_shows_elapsed_time_attempts_and_the_last_status() -> None:
    seen = ProcessStatus(
        status_code=200,
        request_id="call",
        file_id="f",
        message="",
        pipeline="p",
        modules={"module_1": True, "module_2": False},
        overall_status="ongoing",
    )
    job = watched(looks=4, last_status=seen)
    state = state_of(job, 160.0)
    assert delay_by(lambda asked: asked.outcome.attempt_number, state, job) == 4.0
    assert state.seconds_since_start == 60.0
    assert state.attempt_number == 4
    assert state.outcome is not None
    assert state.outcome.result() is seen


@pytest.mark.parametrize("given", [-5.0, math.nan, math.inf, 10**400])
def test_a_schedule_that_gives_no_pause_is_refused(given: float) -> None:
    """And no question goes out without a rest; it says what was given and what may be."""
    with pytest.raises(InvalidArgument, match=r"gave .* but must give 0 or more seconds, finite"):
        asked(lambda _: given, watched(), 103.0)


@pytest.mark.parametrize("given", [None, "soon", "2", [1]])
def test_a_schedule_that_gives_no_number_is_refused(given: Any) -> None:
    with pytest.raises((InvalidArgument, InvalidArgumentType), match="0 or more seconds"):
        asked(lambda _: given, watched(), 103.0)


@pytest.mark.parametrize("number", [Decimal("2.5"), Fraction(5, 2), 2.5])
def test_a_schedule_may_give_any_kind_of_number(number: Any) -> None:
    assert asked(lambda _: number, watched(), 103.0) == 2.5
