"""Which files a query means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from krixik_async._wire import ListFiles
from krixik_async.server._records import Record
from krixik_async.server._selection import (
    IDS_NOT_FOUND,
    ZERO_RESULTS,
    check_query,
    only_ids,
    select,
)
from tests.server_side import listing


def record(file_id: str, path: str, *tags: dict[str, str], created_at: float = 100.9) -> Record:
    directory, _, name = path.rpartition("/")
    return Record(
        file_id=file_id,
        process_id=f"p-{file_id}",
        account="account",
        pipeline="books",
        chain=("keyword-db",),
        modules={},
        file_name=name,
        symbolic_directory_path=directory or "/",
        file_tags=tags,
        file_description="",
        expire_time=1800,
        ends_at=1e12,
        state="complete",
        created_at=created_at,
        last_updated=created_at,
    )


SHELF = (
    record("1", "/novels/moby dick.txt", {"author": "melville"}, {"sea": "yes"}),
    record("2", "/novels/short/bartleby.txt", {"author": "melville"}, created_at=200),
    record("3", "/poems/moby.pdf", {"author": "nobody"}, created_at=300),
    record("4", "/root.txt", created_at=400),
)


def query(**given: Any) -> ListFiles:
    return ListFiles(**listing(**given))


def ids(records: Sequence[Record]) -> str:
    return "".join(record.file_id for record in records)


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        ({"file_ids": ("1", "4", "1")}, "14"),
        ({"file_names": ("moby.pdf",)}, "3"),
        ({"file_names": ("Moby.PDF",)}, "3"),
        ({"file_names": ("moby*",)}, "13"),
        ({"file_names": ("*.txt",)}, "124"),
        ({"file_names": ("*by*",)}, "123"),
        ({"file_names": ("*",)}, "1234"),
        ({"file_names": ("moby",)}, ""),
        ({"symbolic_directory_paths": ("/*",)}, "1234"),
        ({"symbolic_directory_paths": ("/novels",)}, "1"),
        ({"symbolic_directory_paths": ("/novels*",)}, "12"),
        ({"symbolic_directory_paths": ("/novels/*",)}, "12"),
        ({"symbolic_directory_paths": ("/nov/*",)}, ""),
        ({"symbolic_directory_paths": ("/novels/s*",)}, "2"),
        ({"symbolic_directory_paths": ("/",)}, "4"),
        ({"symbolic_file_paths": ("/novels/moby dick.txt", "/root.txt")}, "14"),
        ({"symbolic_file_paths": ("/novels/moby*",)}, "1"),
        ({"symbolic_file_paths": ("/Novels/*.TXT",)}, "1"),
        ({"symbolic_file_paths": ("/novels/*by d*", "/r*")}, "14"),
        ({"symbolic_file_paths": ("/novels*", "/novels/moby")}, ""),
        ({"file_tags": ({"author": "melville"},)}, "12"),
        ({"file_tags": ({"Author": "*"},)}, "123"),
        ({"file_tags": ({"author": "nobody"}, {"sea": "yes"})}, "13"),
        ({"file_ids": ("4",), "file_names": ("moby.pdf",)}, "34"),
        ({"created_at_start": 100, "created_at_end": 200}, "12"),
        ({"created_at_start": 101}, "234"),
        ({"last_updated_end": 100}, "1"),
        ({"last_updated_start": 300, "created_at_end": 300}, "3"),
        ({"file_names": ("moby*",), "created_at_start": 101}, "3"),
        ({"file_tags": ()}, ""),
        ({"file_tags": (), "created_at_start": 300}, "34"),
        ({"file_names": (), "file_ids": ("1",)}, "1"),
    ],
)
def test_selectors_choose(given: dict[str, Any], chosen: str) -> None:
    assert ids(select(SHELF, query(**given)).records) == chosen


def test_warnings_name_what_was_not_found_in_the_order_asked() -> None:
    selection = select(
        SHELF,
        query(
            file_ids=("9", "1", "8", "9"),
            file_names=("none.txt", "moby.pdf", "no*"),
            symbolic_directory_paths=("/None",),
            symbolic_file_paths=("/novels/none.txt",),
            file_tags=({"author": "x"}, {"sea": "*"}),
        ),
    )
    assert ids(selection.records) == "13"
    assert selection.warnings == (
        {IDS_NOT_FOUND: ["9", "8"]},
        {
            ZERO_RESULTS: [
                {"file_names": ["none.txt", "no*"]},
                {"symbolic_directory_paths": ["/None"]},
                {"symbolic_file_paths": ["/novels/none.txt"]},
                {"file_tags": [{"author": "x"}]},
            ]
        },
    )


def test_out_of_time_an_id_counts_as_found_and_other_selectors_as_without_results() -> None:
    selection = select(
        SHELF,
        query(
            file_ids=("1",),
            file_names=("moby*",),
            file_tags=({"author": "nobody"},),
            created_at_start=350,
        ),
    )
    assert selection.records == ()
    assert selection.warnings == (
        {ZERO_RESULTS: [{"file_names": ["moby*"]}, {"file_tags": [{"author": "nobody"}]}]},
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"file_ids": ("1",)}, ("1",)),
        ({"file_ids": ("1",), "created_at_start": 5, "file_names": ()}, ("1",)),
        ({"file_ids": ("1",), "file_tags": ({"a": "b"},)}, None),
        ({"file_ids": ()}, None),
        ({"file_names": ("a",)}, None),
    ],
)
def test_only_ids_tells_when_nothing_else_can_bring_in_a_file(
    given: dict[str, Any], expected: tuple[str, ...] | None
) -> None:
    assert only_ids(query(**given)) == expected


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "no selector was given"),
        ({"file_ids": ("1",) * 501}, "file_ids holds 501"),
        ({"symbolic_file_paths": ("1",) * 501}, "symbolic_file_paths holds 501"),
        ({"file_tags": ({"a": "b", "c": "d"},)}, "dicts of one pair"),
        ({"file_ids": ("1",), "max_files": 0}, "max_files is 0"),
        ({"file_ids": ("1",), "max_files": 10_001}, "max_files is 10001"),
    ],
)
def test_a_query_that_breaks_a_limit_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        check_query(query(**given))


def test_a_query_within_the_limits_passes() -> None:
    check_query(query(file_ids=("1",) * 500, file_tags=({"a": "*"},), max_files=10_000))
    check_query(query(last_updated_end=0))


@given(st.lists(st.sampled_from("ab.*"), max_size=4).map("".join), st.text("ab.", max_size=5))
def test_wildcards_mean_what_a_plain_reading_says(pattern: str, text: str) -> None:
    """A "*" at an end stands for anything, in between for itself."""
    lead, trail = pattern.startswith("*"), pattern.endswith("*")
    core = pattern.strip("*")
    places = [i for i in range(len(text) + 1) if text.startswith(core, i)]
    expected = any(
        (lead or place == 0) and (trail or place + len(core) == len(text)) for place in places
    )
    shelf = (attrs.evolve(SHELF[0], file_name=text),)
    assert bool(select(shelf, query(file_names=(pattern,))).records) == expected
