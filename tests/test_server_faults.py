"""Fault plans as values: what strikes when, counted; JSON both ways; what cannot be is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krixik_async import InvalidArgument, InvalidArgumentType
from krixik_async.server._faults import KINDS
from krixik_async.testing import (
    Answer,
    Corrupt,
    Delay,
    DropAfter,
    ExpireEarly,
    Fault,
    FaultCount,
    FaultPlan,
    Lag,
    Refuse,
    SpoilSecondUpload,
    Throttle,
    Truncate,
)
from tests.soak.operations import one_of_each


def kinds(plan: FaultPlan, *calls: str) -> list[list[str]]:
    return [[fault.kind for fault in plan.strike(call)] for call in calls]


def test_a_fault_strikes_every_call_that_it_names() -> None:
    plan = FaultPlan(Refuse("list"), DropAfter(["upload", "delete"]))
    calls = ("list", "upload", "process", "delete", "list")
    assert kinds(plan, *calls) == [["refuse"], ["drop_after"], [], ["drop_after"], ["refuse"]]
    assert plan.fired == 4


def test_on_picks_the_nth_matching_calls_and_times_bounds_them() -> None:
    nth = FaultPlan(Refuse("list", on=[2, 4]))
    assert kinds(nth, *["list", "upload"] * 4) == [[], [], ["refuse"], [], [], [], ["refuse"], []]
    bounded = FaultPlan(Refuse(times=2))
    assert kinds(bounded, *["list"] * 4) == [["refuse"], ["refuse"], [], []]
    assert bounded.counts == (FaultCount(bounded.faults[0], matched=4, fired=2),)


def test_chance_is_seeded_and_each_fault_has_its_own() -> None:
    """The same plan gives the same faults; another fault beside it changes nothing."""

    def drawn(*more: Fault, seed: int = 3) -> list[bool]:
        plan = FaultPlan(Refuse(probability=0.5), *more, seed=seed)
        return ["refuse" in struck for struck in kinds(plan, *["list"] * 200)]

    assert drawn() == drawn() == drawn(Delay(probability=0.5))
    assert drawn() != drawn(seed=4)
    assert 70 < sum(drawn()) < 130


def test_delays_add_up_with_the_first_of_the_others() -> None:
    """What would have struck but for an earlier one is not counted as fired."""
    plan = FaultPlan(Delay(), Refuse(on=1), DropAfter(), Delay(seconds=2), Lag())
    assert kinds(plan, "process", "list") == [
        ["delay", "refuse", "delay", "lag"],
        ["delay", "drop_after", "delay"],
    ]
    assert [count.fired for count in plan.counts] == [2, 1, 1, 2, 1]
    assert [count.matched for count in plan.counts] == [2, 2, 2, 2, 1]


def test_second_uploads_are_counted_on_their_own() -> None:
    plan = FaultPlan(SpoilSecondUpload(on=2), SpoilSecondUpload(on=2), Refuse(times=0))
    assert plan.strike("upload") == ()
    assert [plan.spoils_second_upload() for _ in range(3)] == [False, True, False]
    assert [count.fired for count in plan.counts] == [0 + 1, 0, 0]


def test_plans_add_up_change_and_compare() -> None:
    one, two = FaultPlan(Refuse(), seed=1), FaultPlan(Lag(), seed=2)
    both = one + two
    assert (both.faults, both.seed) == ((Refuse(), Lag()), 1)
    assert both == FaultPlan(Refuse(), Lag(), seed=1) != FaultPlan(Refuse(), Lag(), seed=2)
    one.strike("list")
    assert (one + two).fired == 0
    one.replace(two)
    assert (one, one.fired) == (two, 0)
    one.clear()
    assert one.faults == ()
    assert repr(two).startswith("FaultPlan(Lag(")
    assert repr(two).endswith("), seed=2)")
    assert one != 3
    with pytest.raises(TypeError):
        one + 3  # type: ignore[operator]
    with pytest.raises(TypeError):
        hash(one)


@given(
    st.lists(st.sampled_from(one_of_each()) | st.sampled_from(one_of_each(on=[1, 3], times=2))),
    st.integers(),
)
def test_json_and_back_is_the_same_plan(faults: list[Fault], seed: int) -> None:
    plan = FaultPlan(*faults, seed=seed)
    assert FaultPlan.from_json(plan.to_json()) == plan


def test_json_says_what_was_chosen_and_no_more() -> None:
    plan = FaultPlan(Throttle("list", retry_after=2.5, form="float"), Answer(on=3), seed=9)
    assert json.loads(plan.to_json()) == {
        "seed": 9,
        "faults": [
            {"kind": "throttle", "at": ["list"], "retry_after": 2.5, "form": "float"},
            {"kind": "answer", "at": ["*"], "on": [3]},
        ],
    }


def test_json_by_hand_may_leave_out_what_has_a_default() -> None:
    text = '{"faults": [{"kind": "lag"}, {"kind": "delay", "at": "upload", "on": 2}]}'
    assert FaultPlan.from_json(text) == FaultPlan(Lag(), Delay("upload", on=2))


def test_every_kind_has_its_name() -> None:
    assert {fault.kind for fault in one_of_each()} == set(KINDS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "a fault plan is an object"),
        ('{"faults": {}}', "a fault plan is an object"),
        ('{"faults": [], "more": 1}', "a fault plan is an object"),
        ('{"faults": [{}]}', "names its kind, one of refuse, delay"),
        ('{"faults": [7]}', "names its kind"),
        ('{"faults": [{"kind": "lag", "at_": 1, "by": 2}]}', "has no at_, by: it has at, on"),
        ('{"faults": [{"kind": "lag", "seconds": "1"}]}', "of kind 'lag': seconds is '1'"),
        ('{"faults": [{"kind": "lag", "at": 7}]}', "of kind 'lag': "),
        ('{"faults": [{"kind": "answer", "headers": 7}]}', "of kind 'answer': "),
    ],
)
def test_a_text_that_is_no_plan_is_refused(text: str, words: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        FaultPlan.from_json(text)
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("make", "given", "words"),
    [
        (Refuse, {"at": "lists"}, "at names 'lists', but a fault strikes at check_in"),
        (Refuse, {"on": 0}, "on is (0,) but counts"),
        (Refuse, {"on": [True]}, "on is (True,) but counts"),
        (Refuse, {"probability": 1.5}, "probability is 1.5"),
        (Refuse, {"probability": True}, "probability is True"),
        (Refuse, {"times": -1}, "times is -1"),
        (Refuse, {"times": 1.5}, "times is 1.5"),
        (Delay, {"seconds": -1}, "seconds is -1"),
        (Delay, {"seconds": float("inf")}, "seconds is inf"),
        (Truncate, {"after_bytes": "1"}, "after_bytes is '1'"),
        (Corrupt, {"how": "much"}, "how is 'much' but must be one of 'not_json', 'flip'"),
        (Throttle, {"retry_after": -1}, "retry_after is -1"),
        (Throttle, {"form": "x"}, "form is 'x' but must be one of 'seconds', 'float', 'date'"),
        (Throttle, {"form": ["date"]}, "form is ['date'] but must be"),
        (Refuse, {"at": 5}, "at names 5"),
        (Refuse, {"at": None}, "at names None"),
        (Refuse, {"on": 5.5}, "on is (5.5,) but counts"),
        (Refuse, {"on": "12"}, "on is ('12',) but counts"),
        (Refuse, {"probability": 10**5000}, "probability is int that is too long"),
        (Delay, {"seconds": 10**400}, "seconds is 1000"),
        (Answer, {"carry_out": 1}, "carry_out is 1 but must be True or False"),
        (Answer, {"body": object()}, "body is object but must be what JSON can hold"),
        (Lag, {"at": 5}, "at is (5,), but this fault is of tickets"),
        (Throttle, {"status": 99}, "status is 99"),
        (Answer, {"status": "200"}, "status is '200'"),
        (Answer, {"headers": {"a": "b\r\nc: d"}}, "header 'a'"),
        (Answer, {"headers": {"": "b"}}, "header ''"),
        (Lag, {"at": "list"}, "at is ('list',), but this fault is of tickets"),
        (ExpireEarly, {"at": "*"}, "of tickets"),
        (SpoilSecondUpload, {"at": "list"}, "of uploads"),
    ],
)
def test_a_fault_that_cannot_be_is_refused(
    make: type[Fault], given: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidArgument) as raised:
        make(**given)
    assert words in str(raised.value)


def test_a_plan_holds_faults_and_has_a_whole_seed() -> None:
    for wrong in (7, Fault()):
        with pytest.raises(InvalidArgumentType, match="holds faults such as"):
            FaultPlan(wrong)  # type: ignore[arg-type]
    for seed in (True, 1.5):
        with pytest.raises(InvalidArgumentType, match="seed is"):
            FaultPlan(seed=seed)  # type: ignore[arg-type]
