"""The transition table, and the journal's rows held against a model of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from krixik_async._journal import _rows
from krixik_async._journal._rows import ClaimLost, Claims, StepRefused
from krixik_async._journal._schema import Owner, create
from krixik_async._journal._steps import (
    DURABLE,
    ENDS,
    FOLLOWS,
    OPEN_ENDS,
    SENT,
    STEPS,
    Entry,
    Step,
    may_follow,
)

OWNER = Owner(pipeline="books", chain=("keyword-db",), account=lambda salt: salt.hex())
steps = st.sampled_from(STEPS)


def after(step: Step, before: Step) -> Entry:
    """Give an entry at a step; an open end comes after `before`."""
    return Entry(key="a", step=step, after=before if step in OPEN_ENDS else None)


# --- the table ---------------------------------------------------------------------------------


def test_every_step_has_its_row_and_the_table_names_no_other() -> None:
    assert set(FOLLOWS) == set(STEPS) == set(get_args(Step))
    assert set().union(*FOLLOWS.values()) == set(STEPS)


def test_every_step_but_an_end_for_good_leads_to_one() -> None:
    """From wherever a run was cut off there is a way to an end."""
    for step in STEPS:
        reached, edge = {step}, {step}
        while edge:
            edge = set().union(*(FOLLOWS[one] for one in edge)) - reached
            reached |= edge
        assert reached & ENDS, step


def test_what_was_sent_is_never_sent_again() -> None:
    """No way leads back from a confirmed upload to one that is still to be made."""
    for step in SENT:
        assert not FOLLOWS[step] & {"planned", "ticketed", "uploaded", "undecided"}, step


@given(steps, steps)
def test_an_open_end_leads_back_to_where_it_was_and_on_from_there(before: Step, step: Step) -> None:
    entry = after("error", before)
    assert entry.reached == before
    assert may_follow(entry, step) == (step == before or step in FOLLOWS[before])


@given(steps, steps)
def test_any_other_step_leads_where_the_table_says(before: Step, step: Step) -> None:
    if before not in OPEN_ENDS:
        assert may_follow(after(before, before), step) == (step in FOLLOWS[before])


def test_what_must_outlive_a_power_cut_is_the_ticket_and_the_ends() -> None:
    """Whatever else is lost is found out again; a lost ticket would be sent twice."""
    assert set(STEPS) - DURABLE == {"planned", "uploaded", "running"}


# --- the rows against a model --------------------------------------------------------------------


@contextmanager
def database() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        create(connection, OWNER)
        yield connection
    finally:
        connection.close()


@attrs.define
class ModelRow:
    entry: Entry
    owner: int | None


class JournalMachine(RuleBasedStateMachine):
    """Workers that come, claim, write, sleep, die and leave, in any order, against a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.context = database()
        self.connection = self.context.__enter__()
        self.beats: dict[int, int] = {}
        self.silent: set[int] = set()
        self.names = 0
        self.dead: set[str] = set()
        self.rows: dict[str, ModelRow] = {}

    def teardown(self) -> None:
        self.context.__exit__(None, None, None)

    @rule()
    def join(self) -> None:
        self.names += 1
        worker = _rows.register(self.connection, f"process {self.names}", 1000.0)
        assert worker == self.names
        self.beats[worker] = 0

    @precondition(lambda self: self.beats)
    @rule(data=st.data())
    def is_not_heard_of(self, data: Any) -> None:
        self.silent.add(data.draw(st.sampled_from(sorted(self.beats))))

    @precondition(lambda self: self.names)
    @rule(data=st.data())
    def heartbeat(self, data: Any) -> None:
        worker = data.draw(st.integers(1, self.names))
        _rows.beat(self.connection, worker, 1000.0)
        if worker in self.beats:
            self.beats[worker] += 1
        self.silent.discard(worker)

    @precondition(lambda self: self.beats)
    @rule(data=st.data())
    def leave(self, data: Any) -> None:
        worker = data.draw(st.sampled_from(sorted(self.beats)))
        _rows.retire(self.connection, worker)
        del self.beats[worker]

    @precondition(lambda self: self.names)
    @rule(data=st.data())
    def is_killed(self, data: Any) -> None:
        self.dead.add(f"process {data.draw(st.integers(1, self.names))}")

    def others(self, owner: int | None, worker: int) -> bool:
        if owner is None or owner == worker or owner not in self.beats:
            return False
        return owner not in self.silent and f"process {owner}" not in self.dead

    def has_ended(self, worker: int, beats: int) -> bool:
        assert beats == self.beats[worker]
        return worker in self.silent

    @precondition(lambda self: self.names)
    @rule(data=st.data(), key=st.sampled_from("abc"), fetching=st.booleans())
    def enter(self, data: Any, key: str, fetching: bool) -> None:
        worker = data.draw(st.integers(1, self.names))
        claims = Claims(worker=worker, has_ended=self.has_ended, is_dead=self.dead.__contains__)
        final = ENDS - {"complete"} if fetching else ENDS
        verdict = _rows.enter(self.connection, key, claims, final)
        row = self.rows.setdefault(key, ModelRow(Entry(key=key), None))
        taken = self.others(row.owner, worker)
        open_end = row.entry.step in OPEN_ENDS
        if row.entry.step in final or (open_end and (taken or row.owner == worker)):
            assert verdict == ("ended", row.entry)
        elif taken:
            assert verdict == ("theirs", row.entry)
        else:
            assert verdict == ("mine", row.entry)
            row.owner = worker

    @precondition(lambda self: self.names)
    @rule(data=st.data(), key=st.sampled_from("abc"), step=steps, number=st.integers(0, 9))
    def write(self, data: Any, key: str, step: Step, number: int) -> None:
        worker = data.draw(st.integers(1, self.names))
        row = self.rows.get(key)
        before = Entry(key=key) if row is None else row.entry
        entry = attrs.evolve(
            before,
            step=step,
            after=before.reached if step in OPEN_ENDS else None,
            request_id=f"r{number}",
            saved=(f"{number}",),
        )
        if row is None or row.owner != worker:
            with pytest.raises(ClaimLost):
                _rows.write(self.connection, entry, worker)
        elif not may_follow(before, step):
            with pytest.raises(StepRefused):
                _rows.write(self.connection, entry, worker)
        else:
            assert _rows.write(self.connection, entry, worker) == entry
            row.entry = entry

    @invariant()
    def the_journal_says_what_the_model_says(self) -> None:
        found = {key: _rows.find(self.connection, key) for key in "abc"}
        assert {key: row for key, row in found.items() if row is not None} == {
            key: (row.entry, row.owner) for key, row in self.rows.items()
        }
        heard = {one.worker: one.beats for one in _rows.beats(self.connection)}
        assert heard == self.beats


TestJournalMachine = JournalMachine.TestCase
TestJournalMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


entries = st.builds(
    Entry,
    key=st.text(min_size=1, max_size=20).filter(lambda s: s.isprintable()),
    size=st.none() | st.integers(0, 2**60),
    mtime_ns=st.none() | st.integers(-(2**62), 2**62),
    asked_at=st.none() | st.floats(0, 1e10),
    message=st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    saved=st.lists(st.text(max_size=10), max_size=3).map(tuple),
)


@given(entries)
@settings(max_examples=50)
def test_an_entry_comes_back_as_it_was_written(entry: Entry) -> None:
    with database() as connection:
        claims = Claims(worker=1, has_ended=lambda *_: False, is_dead=lambda _: False)
        assert _rows.enter(connection, entry.key, claims) == ("mine", Entry(key=entry.key))
        _rows.write(connection, entry, 1)
        assert _rows.find(connection, entry.key) == (entry, 1)


def test_what_nobody_entered_cannot_be_written() -> None:
    with database() as connection, pytest.raises(ClaimLost, match="'a'"):
        _rows.write(connection, Entry(key="a"), 1)


def test_what_the_table_does_not_allow_is_not_written() -> None:
    with database() as connection:
        claims = Claims(worker=1, has_ended=lambda *_: False, is_dead=lambda _: False)
        _, entry = _rows.enter(connection, "a", claims)
        with pytest.raises(StepRefused, match="'a' cannot go from planned to complete"):
            _rows.write(connection, attrs.evolve(entry, step="complete"), 1)
        assert _rows.find(connection, "a") == (entry, 1)


def test_the_file_refuses_a_step_that_is_none(tmp_path: Path) -> None:
    """The table is in the file, too: whoever writes to it by hand is held to the names."""
    with database() as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute("INSERT INTO files (key, step, saved) VALUES ('a', 'done', '[]')")
