"""What is due when: in order, whatever is moved and forgotten."""

from __future__ import annotations

import math

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from krixik_async._polling._agenda import Agenda


@attrs.define(eq=False)
class Thing:
    name: int
    due: float | None = None


def drained(agenda: Agenda[Thing], until: float = math.inf) -> list[int]:
    names: list[int] = []
    while (thing := agenda.pop(until)) is not None:
        names.append(thing.name)
    return names


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.floats(0, 30), st.sampled_from(["put", "forget", "prune"])),
        max_size=60,
    ),
    st.floats(0, 30),
)
def test_it_gives_what_was_put_last_in_order(
    acts: list[tuple[int, float, str]], now: float
) -> None:
    """Held against a table that is sorted."""
    agenda: Agenda[Thing] = Agenda()
    things = [Thing(name) for name in range(10)]
    table: dict[int, float] = {}
    for name, due, act in acts:
        if act == "put":
            agenda.put(things[name], due)
            table[name] = due
        elif act == "forget":
            things[name].due = None
            table.pop(name, None)
        else:
            agenda.prune()
            assert len(table) <= len(agenda) <= len(acts)
        assert agenda.next_due() == min(table.values(), default=math.inf)
    early = {name: due for name, due in table.items() if due <= now}
    assert [table[name] for name in drained(agenda, now)] == sorted(early.values())
    assert sorted([*early, *drained(agenda)]) == sorted(table)
    assert len(agenda) == 0


def test_of_two_at_one_time_the_first_put_comes_first() -> None:
    agenda: Agenda[Thing] = Agenda()
    for name in (3, 1, 2):
        agenda.put(Thing(name), 7.25)
    assert drained(agenda) == [3, 1, 2]


def test_what_is_taken_out_is_due_no_more() -> None:
    agenda: Agenda[Thing] = Agenda()
    thing = Thing(1)
    agenda.put(thing, 5.0)
    assert (agenda.pop(4.9), agenda.pop(5.0), thing.due) == (None, thing, None)


def test_a_thousand_moves_leave_leftovers_until_it_is_pruned() -> None:
    agenda: Agenda[Thing] = Agenda()
    thing = Thing(1)
    for due in range(1000):
        agenda.put(thing, 10.0 + due)
    assert len(agenda) == 1000
    agenda.prune()
    assert (len(agenda), agenda.next_due()) == (1, 1009.0)


@pytest.mark.parametrize("due", [3.0, 3.5])
def test_what_is_put_into_a_second_that_has_come_up_is_in_order(due: float) -> None:
    agenda: Agenda[Thing] = Agenda()
    agenda.put(Thing(1), 3.25)
    assert agenda.next_due() == 3.25
    agenda.put(Thing(2), due)
    assert drained(agenda) == ([2, 1] if due < 3.25 else [1, 2])
