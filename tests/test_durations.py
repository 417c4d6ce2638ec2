"""What a client learns of durations: by pipeline, stage and size, and never too much of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from krixik_async import Durations, InvalidArgument
from krixik_async._durations import MOST_SKETCHES
from krixik_async._law import Law

SIZE = 1000


def learned(
    *jobs: float, pipeline: str = "p", stage: int = 0, size: int | None = SIZE
) -> Durations:
    durations = Durations()
    for seconds in jobs:
        durations.observe(pipeline, stage, size, seconds, seconds)
    return durations


def median(law: Law | None) -> float:
    assert law is not None
    return law.quantile(0.5)


def test_a_law_takes_five_jobs_unless_fewer_are_asked_for() -> None:
    durations = learned(10, 10, 10, 10)
    assert durations.law("p", 0, SIZE) is None
    assert median(durations.law("p", 0, SIZE, at_least=4)) == pytest.approx(10, rel=0.05)
    durations.observe("p", 0, SIZE, 10, 10)
    law = durations.law("p", 0, SIZE)
    assert law is not None
    assert law.known == 5


def test_pipelines_and_stages_are_kept_apart() -> None:
    durations = learned(*[10] * 5)
    durations.merge(learned(*[4] * 5, stage=1))
    durations.merge(learned(*[99] * 5, pipeline="q"))
    found = [median(durations.law(*key)) for key in (("p", 0), ("p", 1), ("q", 0))]
    assert found == pytest.approx([10, 4, 99], rel=0.05)
    assert (durations.law("p", 2, at_least=1), durations.law("r", at_least=1)) == (None, None)


def test_other_sizes_stand_in_the_nearest_first_until_five_are_known() -> None:
    durations = learned(*[10] * 5, size=1_000)
    durations.merge(learned(*[40] * 5, size=1_000_000))
    durations.merge(learned(*[7] * 5, size=None))
    at = {
        size: median(durations.law("p", 0, size)) for size in (900, 0, 3_000, 200_000, 10**9, None)
    }
    expected = {900: 10, 0: 10, 3_000: 10, 200_000: 40, 10**9: 40, None: 7}
    assert at == pytest.approx(expected, rel=0.05)


def test_too_few_of_a_size_are_joined_by_the_nearest() -> None:
    durations = learned(*[10] * 2, size=1_000)
    durations.merge(learned(*[20] * 30, size=1_000_000))
    law = durations.law("p", 0, 1_000)
    assert law is not None
    assert (law.known, law.share(14) > 0.05) == (32, True)
    for _ in range(3):
        durations.observe("p", 0, 1_000, 10, 10)
    assert median(durations.law("p", 0, 1_000)) == pytest.approx(10, rel=0.05)


def test_a_failure_is_an_end_too_but_no_completion() -> None:
    durations = learned(*[60] * 10)
    for _ in range(10):
        durations.observe_failure("p", 0, SIZE, 1, 1)
    ends, completions = durations.law("p", 0, SIZE), durations.law("p", 0, SIZE, failures=False)
    assert ends is not None
    assert completions is not None
    assert (ends.known, completions.known) == (20, 10)
    assert ends.share(10) == pytest.approx(0.5, abs=0.05)
    assert completions.share(10) == 0.0


def test_failures_alone_are_known_as_ends_only() -> None:
    durations = Durations()
    for _ in range(5):
        durations.observe_failure("p", 0, SIZE, 1, 1)
    assert durations.law("p", 0, SIZE) is not None
    assert durations.law("p", 0, SIZE, failures=False) is None


def test_a_law_stays_the_same_object_until_a_tenth_more_is_known() -> None:
    durations = learned(*[10] * 100)
    laws = []
    for _ in range(30):
        laws.append(durations.law("p", 0, SIZE))
        durations.observe("p", 0, SIZE, 10, 10)
    assert len({id(law) for law in laws}) == 3


def test_what_is_kept_is_bounded_and_the_longest_unused_goes_first() -> None:
    durations = learned(*[5] * 5, pipeline="old")
    assert durations.law("old", 0, SIZE) is not None
    durations.merge(learned(*[7] * 5, pipeline="old", size=10**6))
    for n in range(MOST_SKETCHES - 2):
        durations.observe(f"p{n}", 0, None, 1, 1)
    durations.observe("old", 0, 10**6, 7, 7)
    assert len(durations) == MOST_SKETCHES
    durations.observe("one more", 0, None, 1, 1)
    assert len(durations) == MOST_SKETCHES
    assert median(durations.law("old", 0, SIZE)) == pytest.approx(7, rel=0.05)
    durations.observe("and another", 0, None, 1, 1)
    assert durations.law("p0", at_least=1) is None


def test_laws_that_were_made_are_bounded_too() -> None:
    durations = learned(*[10] * 5)
    for size in range(40):
        for stage in range(20):
            durations.law("p", stage, 2**size)
    assert len(durations._made) <= MOST_SKETCHES


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", 'b"\n', "ä"]),
            st.integers(0, 3),
            st.none() | st.integers(0, 10**12),
            st.floats(0.01, 1e5),
            st.floats(0, 100),
            st.booleans(),
        ),
        max_size=20,
    )
)
def test_what_was_learned_survives_being_written_down(jobs: list[tuple]) -> None:  # type: ignore[type-arg]
    durations = Durations()
    for pipeline, stage, size, low, width, failed in jobs:
        observe = durations.observe_failure if failed else durations.observe
        observe(pipeline, stage, size, low, low + width)
    text = durations.to_json()
    again = Durations.from_json(text)
    assert again.to_json() == text
    for pipeline, stage, size, *_ in jobs:
        law, same = (d.law(pipeline, stage, size, at_least=1) for d in (durations, again))
        assert law is not None
        assert same is not None
        assert (same.known, same.mean) == (law.known, pytest.approx(law.mean, rel=0.02))


def test_two_processes_learn_as_much_as_one() -> None:
    here, there = learned(10, 11, 12), learned(9, 10, 11, 10)
    there_before = there.to_json()
    here.merge(Durations.from_json(there.to_json()))
    law, whole = here.law("p", 0, SIZE), learned(10, 11, 12, 9, 10, 11, 10).law("p", 0, SIZE)
    assert law is not None
    assert whole is not None
    assert (law.known, law.mean) == (7, pytest.approx(whole.mean, rel=0.01))
    assert there.to_json() == there_before


def test_merging_makes_known_laws_anew() -> None:
    durations = learned(*[10] * 5)
    before = median(durations.law("p", 0, SIZE))
    durations.merge(learned(*[50] * 100))
    assert median(durations.law("p", 0, SIZE)) > 3 * before


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"version":2,"sketches":[]}',
        '{"version":1,"sketches":[{}]}',
        '{"version":1,"sketches":7}',
        learned(1.0).to_json().replace('"jobs":1', '"jobs":1e999'),
        learned(1.0).to_json().replace('"jobs":1', '"jobs":null'),
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"not what Durations\.to_json gives"):
        Durations.from_json(text)


def test_no_more_is_read_than_is_kept() -> None:
    row = json.loads(learned(1.0).to_json())["sketches"][0]
    rows = [{**row, "size": size} for size in range(MOST_SKETCHES + 9)]
    assert len(Durations.from_json(json.dumps({"version": 1, "sketches": rows}))) == MOST_SKETCHES


@pytest.mark.parametrize(
    ("low", "high"), [(-1.0, 1.0), (2.0, 1.0), (0.0, float("inf")), (float("nan"), 1.0)]
)
def test_what_is_no_interval_is_refused(low: float, high: float) -> None:
    with pytest.raises(InvalidArgument, match="no interval of durations"):
        Durations().observe("p", 0, None, low, high)


def test_its_repr_tells_of_how_many_jobs_of_which_pipelines() -> None:
    durations = Durations()
    assert repr(durations) == "<Durations of no pipeline yet>"
    for name in "abc":
        durations.observe(name, 0, None, 1.0, 2.0)
    durations.observe_failure("b", 0, 100, 1.0, 2.0)
    durations.observe("b", 1, 100, 1.0, 2.0)
    assert repr(durations) == "<Durations of 'a' (jobs: 1), 'b' (jobs: 2), 'c' (jobs: 1)>"
    for name in "defg":
        durations.observe(name, 0, None, 1.0, 2.0)
    assert repr(durations).endswith("'e' (jobs: 1) and 2 more>")
