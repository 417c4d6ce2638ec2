"""Durations in half a kilobyte: what goes in comes out, whatever comes in."""

from __future__ import annotations

import json
import math
import random
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from krixik_async._sketch import BINS, COARSEST, FINEST, KEPT, Sketch

SECONDS = st.floats(0.0, 1e9)
DURATIONS = st.lists(st.floats(1e-3, 1e7), min_size=1, max_size=30)


def sketch_of(durations: list[float]) -> Sketch:
    sketch = Sketch()
    for duration in durations:
        sketch.observe(duration, duration)
    return sketch


def spread(mean: float, sigma: float, count: int, seed: int = 0) -> list[float]:
    rng = random.Random(seed)
    return [rng.lognormvariate(math.log(mean), sigma) for _ in range(count)]


@settings(max_examples=40)
@given(st.lists(st.tuples(SECONDS, SECONDS), min_size=1, max_size=30))
def test_any_intervals_give_a_law(intervals: list[tuple[float, float]]) -> None:
    sketch = Sketch()
    for one, other in intervals:
        sketch.observe(min(one, other), max(one, other))
    law = sketch.law()
    assert sketch.weight == pytest.approx(sum(KEPT**n for n in range(len(intervals))), rel=1e-4)
    assert list(law.times) == sorted(set(law.times))
    assert list(law.done) == sorted(law.done)
    assert (law.times[0], law.done[0], law.done[-1]) == (0.0, 0.0, 1.0)
    assert law.known == len(intervals)


def test_a_sketch_takes_half_a_kilobyte() -> None:
    sketch = sketch_of(spread(60, 1.0, 1000))
    assert sys.getsizeof(sketch) + sys.getsizeof(sketch.counts) < 512
    assert len(json.dumps(sketch.to_dict(), separators=(",", ":"))) < 600


@pytest.mark.parametrize(("sigma", "finer"), [(0.05, FINEST), (0.5, 16), (1.0, COARSEST)])
def test_what_lies_close_together_is_told_apart_finely(sigma: float, finer: int) -> None:
    assert sketch_of(spread(60, sigma, 100)).per_octave == finer


@pytest.mark.parametrize("sigma", [0.05, 0.25, 1.0])
def test_the_law_is_that_of_the_durations(sigma: float) -> None:
    """Quartiles of 200 jobs are right to within a tenth of their spread or a bin."""
    law = sketch_of(spread(60, sigma, 200)).law()
    found = [math.log(law.quantile(q) / 60) / sigma for q in (0.25, 0.5, 0.75)]
    assert found == pytest.approx([-0.674, 0.0, 0.674], abs=0.25)


def test_two_humps_stay_two_humps() -> None:
    law = sketch_of(spread(10, 0.2, 20) + spread(100, 0.2, 20)).law()
    assert law.share(40.0) - law.share(20.0) < 0.05


def test_intervals_are_shared_out_as_the_other_jobs_lie_in_them() -> None:
    """Ninety looks that saw nothing before 100 s say as much as what is known within that."""
    sketch = sketch_of(spread(60, 0.1, 20))
    before = sketch.law().quantile(0.5)
    for _ in range(90):
        sketch.observe(0.0, 100.0)
    assert sketch.law().quantile(0.5) == pytest.approx(before, rel=0.05)
    assert sketch.law().known == 110


def test_an_interval_of_which_nothing_is_known_is_shared_out_evenly() -> None:
    sketch = Sketch()
    sketch.observe(10.0, 20.0)
    law = sketch.law()
    assert law.quantile(0.5) == pytest.approx(15.0, rel=0.03)
    assert sketch.counts[sketch._bin(FINEST * 4)] == pytest.approx(
        (2 ** (4 + 1 / 32) - 16) / 10, rel=1e-3
    )


def test_jobs_that_became_four_times_faster_are_found_out() -> None:
    """Even if all that looks can tell is that they were done by the first."""
    sketch = sketch_of(spread(60, 0.25, 100))
    for duration in spread(15, 0.25, 300, seed=1):
        sketch.observe(0.0, 15.0) if duration < 15 else sketch.observe(15.0, 25.0)
    assert sketch.law().quantile(0.5) == pytest.approx(15.0, rel=0.15)


def test_a_first_look_that_keeps_finding_jobs_done_is_believed_to_come_late() -> None:
    """Not all of them just before it, where the few that were known lie."""
    sketch = sketch_of([70.0, 78.0, 80.0, 85.0, 92.0])
    for _ in range(10):
        sketch.observe(0.0, 72.0)
    assert sketch.law().share(60.0) > 0.1


def test_half_of_the_weight_is_of_the_last_138_jobs() -> None:
    sketch = sketch_of([10.0] * 2000 + [1000.0] * 138)
    assert sketch.law().share(100.0) == pytest.approx(0.5, abs=0.02)


def test_what_is_far_out_is_counted_at_the_edge() -> None:
    sketch = sketch_of([*spread(60, 1.0, 100), 1e7])
    assert sketch.per_octave == COARSEST
    assert sketch.law().times[-1] < 1e5
    assert sketch.weight == pytest.approx(sum(KEPT**n for n in range(101)), rel=1e-4)


@pytest.mark.parametrize(("first", "then"), [(1e6, 1.0), (1.0, 1e6)])
def test_a_window_in_the_wrong_place_moves(first: float, then: float) -> None:
    law = sketch_of([first] + [then] * 20).law()
    assert law.quantile(0.5) == pytest.approx(then, rel=0.2)


@settings(max_examples=40)
@given(DURATIONS, DURATIONS)
def test_merging_is_the_same_either_way(ours: list[float], theirs: list[float]) -> None:
    """To within float32: the same law of the same jobs, whichever was added to which."""
    one, other = sketch_of(ours), sketch_of(theirs)
    one.add(sketch_of(theirs))
    other.add(sketch_of(ours))
    assert one.jobs == other.jobs == len(ours) + len(theirs)
    assert one.weight == pytest.approx(other.weight, rel=1e-4)


@settings(max_examples=40)
@given(
    st.lists(st.floats(10, 1000), min_size=1, max_size=30),
    st.lists(st.floats(10, 1000), min_size=1, max_size=30),
)
def test_merging_keeps_order(ours: list[float], theirs: list[float]) -> None:
    """What both have seen within a time, they have seen within it together: F lies in between."""
    one, other = sketch_of(ours), sketch_of(theirs)
    both = sketch_of(ours)
    both.add(other)

    def seen_below(sketch: Sketch, octave: int) -> float:
        held = enumerate(sketch.counts, sketch.low)
        return sum(count for i, count in held if i < octave * sketch.per_octave) / sketch.weight

    for octave in range(3, 11):
        shares = sorted([seen_below(one, octave), seen_below(other, octave)])
        assert shares[0] - 1e-4 <= seen_below(both, octave) <= shares[1] + 1e-4


def test_merging_with_nothing_changes_nothing() -> None:
    sketch = sketch_of([3.0, 4.0])
    before = sketch.to_dict()
    sketch.add(Sketch())
    empty = Sketch()
    empty.add(sketch)
    assert (sketch.to_dict(), empty.law().share(3.5)) == (before, sketch.law().share(3.5))


@settings(max_examples=40)
@given(DURATIONS)
def test_a_sketch_survives_being_written_down(durations: list[float]) -> None:
    sketch = sketch_of(durations)
    written = json.loads(json.dumps(sketch.to_dict()))
    again = Sketch.from_dict(written)
    assert again.to_dict() == written
    assert again.law().mean == pytest.approx(sketch.law().mean, rel=1e-2)
    assert Sketch().to_dict()["counts"] == []


@pytest.mark.parametrize(
    "change",
    [
        {"per_octave": 7},
        {"low": 10**9},
        {"counts": []},
        {"counts": [1.0] * (BINS + 1)},
        {"counts": [-1.0, 3.0]},
        {"counts": [math.inf]},
        {"counts": [math.nan, 1.0]},
        {"counts": [0.0]},
        {"jobs": 0},
    ],
    ids=str,
)
def test_what_is_no_sketch_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not a sketch of durations"):
        Sketch.from_dict({**sketch_of([1.0]).to_dict(), **change})
