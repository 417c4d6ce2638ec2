"""A law of durations as a table: what it says must be what the durations say."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krixik_async._law import Law

UNIFORM = Law([0.0, 10.0, 20.0], [0.0, 0.0, 1.0], known=7)
SECONDS = st.floats(0.001, 1e6)


def test_a_law_is_linear_between_its_points() -> None:
    asked = (-1.0, 0.0, 10.0, 15.0, 20.0, 99.0)
    assert [UNIFORM.share(t) for t in asked] == [0.0, 0.0, 0.0, 0.5, 1.0, 1.0]
    assert [UNIFORM.survival(t) for t in asked] == [1.0, 1.0, 1.0, 0.5, 0.0, 0.0]
    assert [UNIFORM.density(t) for t in asked] == [0.0, 0.0, 0.1, 0.1, 0.0, 0.0]
    assert [UNIFORM.moment(t) for t in (0.0, 10.0, 15.0, 20.0, 99.0)] == [0, 0, 6.25, 15, 15]


def test_quantiles_are_of_the_jobs_that_are_still_running() -> None:
    assert [UNIFORM.quantile(s) for s in (0.0, 0.5, 1.0)] == [0.0, 15.0, 20.0]
    assert UNIFORM.quantile(0.5, after_s=16.0) == 18.0
    assert UNIFORM.quantile(0.5, after_s=50.0) == 50.0


@given(st.lists(SECONDS, min_size=1, max_size=40))
def test_the_law_of_a_list_counts_the_list(durations: list[float]) -> None:
    law = Law.of(durations)
    for duration in durations:
        within = sum(other <= duration for other in durations) / len(durations)
        assert law.share(duration) == within
    assert law.mean == pytest.approx(sum(durations) / len(durations))


def test_durations_nearer_than_a_step_are_kept_apart() -> None:
    law = Law.of([1.0, math.nextafter(1.0, 2.0)])
    assert (law.share(1.0), law.share(2.0), list(law.times)) == (
        0.5,
        1.0,
        sorted(law.times),
    )


@given(st.lists(SECONDS, min_size=1, max_size=20), st.floats(0.0, 1.0))
def test_a_law_with_a_tail_is_a_law(durations: list[float], share: float) -> None:
    law = Law.of(durations)
    mixed = law.with_tail(share)
    assert list(mixed.times) == sorted(mixed.times)
    assert list(mixed.done) == sorted(mixed.done)
    assert (mixed.done[0], mixed.done[-1]) == (0.0, 1.0)
    for t in mixed.times:
        assert abs(mixed.share(t) - law.share(t)) <= share + 1e-9


def test_the_tail_reaches_below_and_above_and_leaves_the_rest() -> None:
    mixed = UNIFORM.with_tail(0.1)
    # The first known duration is 10 to 20: counted from 20; an eighth of it to 16 times 20 s.
    assert mixed.times[1] == pytest.approx(2.5)
    assert mixed.times[-1] == pytest.approx(320.0)
    assert mixed.survival(160.0) == pytest.approx(0.1 / 7)
    assert mixed.share(15.0) == pytest.approx(0.45 + 0.1 * math.log2(15 / 2.5) / 7, abs=0.01)
    assert (mixed.known, UNIFORM.with_tail(0.0).share(15.0)) == (7, 0.5)
