"""How files on record are chosen; each rule with its limit on both sides."""

from __future__ import annotations

import calendar
import time
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krixik_async._errors import InvalidArgument, InvalidArgumentType
from krixik_async._selectors import (
    GLOBAL_ORDER,
    SORT_ORDERS,
    check_max_files,
    check_nearest,
    check_query,
    check_selection,
    check_sort_order,
    query_directory,
    query_file_path,
    query_name,
)

CHAIN = ["parser"]
ID = "0d9f1c3e-5b7a-4c2d-8e6f-1a2b3c4d5e6f"
NOTHING: dict[str, Any] = {
    "file_ids": None,
    "file_names": None,
    "symbolic_directory_paths": None,
    "symbolic_file_paths": None,
    "file_tags": None,
    "max_files": 1000,
    "created_at_start": None,
    "created_at_end": None,
    "last_updated_start": None,
    "last_updated_end": None,
}


def select(**given_selectors: Any) -> dict[str, Any]:
    selectors: Any = {**NOTHING, **given_selectors}
    return check_selection(CHAIN, selectors)


def error_of(function: Callable[..., object], *args: Any, **options: Any) -> Exception:
    with pytest.raises((InvalidArgument, InvalidArgumentType)) as caught:
        function(*args, **options)
    return caught.value


# --- all together --------------------------------------------------------------------------


def test_selectors_come_out_as_the_wire_wants_them() -> None:
    assert select(
        file_ids=[ID, ID.upper()],
        file_names=["Book 0.txt", "book*"],
        symbolic_directory_paths=("/Novels/N0", "/*"),
        symbolic_file_paths=iter(["/Novels/n0/Book 0.txt"]),
        file_tags=[{"Author": "*"}],
        max_files=2,
        created_at_start="2024-06-05 15:28:06",
        created_at_end="2024-06-05",
        last_updated_start="2024-01-01",
        last_updated_end="2030-01-01 10:00:00",
    ) == {
        "file_ids": (ID, ID),
        "file_names": ("book 0.txt", "book*"),
        "symbolic_directory_paths": ("/novels/n0", "/*"),
        "symbolic_file_paths": ("/novels/n0/book 0.txt",),
        "file_tags": ({"author": "*"},),
        "max_files": 2,
        "created_at_start": 1_717_601_286,
        "created_at_end": 1_717_631_999,
        "last_updated_start": 1_704_067_200,
        "last_updated_end": 1_893_492_000,
    }


def test_the_order_is_that_of_the_wire() -> None:
    assert list(select(file_tags=[])) == list(NOTHING)


@pytest.mark.parametrize(
    "given_selectors",
    [
        {"file_ids": [ID]},
        {"file_names": ["a.txt"]},
        {"symbolic_directory_paths": ["/*"]},
        {"symbolic_file_paths": ["/a.txt"]},
        {"file_tags": []},
        {"created_at_start": "2024-01-01"},
        {"created_at_end": "2024-01-01"},
        {"last_updated_start": "2024-01-01"},
        {"last_updated_end": "2024-01-01"},
    ],
    ids=lambda given_selectors: next(iter(given_selectors)),
)
def test_one_selector_of_any_kind_is_enough(given_selectors: dict[str, Any]) -> None:
    (name,) = given_selectors
    found = select(**given_selectors)
    assert [n for n, value in found.items() if value is not None] == [
        n for n in NOTHING if n in (name, "max_files")
    ]


def test_without_a_selector_nothing_is_asked() -> None:
    assert str(error_of(select)) == (
        "no selector was given: pass file_ids, file_names, symbolic_directory_paths, "
        "symbolic_file_paths, file_tags or a timestamp; "
        'symbolic_directory_paths=["/*"] selects everything'
    )


LISTS = {
    "file_ids": ID,
    "file_names": "a.txt",
    "symbolic_directory_paths": "/a",
    "symbolic_file_paths": "/a/b.txt",
}


@pytest.mark.parametrize(("name", "value"), LISTS.items())
def test_a_list_holds_1_to_500_and_may_repeat_itself(name: str, value: str) -> None:
    assert select(**{name: [value] * 500})[name] == (value,) * 500
    for length in (0, 501):
        assert str(error_of(select, **{name: [value] * length})) == (
            f"{name} holds {length} entries but must hold 1 to 500: leave it out, or ask in parts"
        )


@pytest.mark.parametrize(("name", "value"), LISTS.items())
def test_what_is_no_list_of_text_is_refused(name: str, value: str) -> None:
    for wrong in (value, value.encode(), {value: 1}, 5):
        error = error_of(select, **{name: wrong})
        assert (type(error), str(error)) == (
            InvalidArgumentType,
            f"{name} is {type(wrong).__name__} but must be a list of str",
        )
    for wrong in ([None], [5], [[value]]):
        assert type(error_of(select, **{name: wrong})) is InvalidArgumentType


# --- names and places ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "a.txt",
        "A B,c_-1.PDF",
        "a*",
        "*a*",
        "*.txt",
        "*a.docx",
        ".txt",
        ".*",
        "n" * 60 + ".txt",
        "*" + "n" * 62 + "*",
    ],
)
def test_a_name_may_have_a_star_at_either_end(name: str) -> None:
    assert query_name(name, CHAIN) == name.lower()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "with at most one '*' at each end"),
        ("*", "with at most one '*' at each end"),
        ("**", "with at most one '*' at each end"),
        ("**a.txt", "with at most one '*' at each end"),
        ("a**", "with at most one '*' at each end"),
        ("a*b.txt", "with at most one '*' at each end"),
        ("a$.txt", "with at most one '*' at each end"),
        ("a.$.txt", "with at most one '*' at each end"),
        ("é.txt", "with at most one '*' at each end"),
        ("a.txt\n", "with at most one '*' at each end"),
        ("n" * 61 + ".txt", "1 to 64"),
        ("a", "must end in one of .txt, .pdf, .docx, .pptx, or in '*'"),
        ("*a", "must end in one of"),
        ("a.json", "must end in one of"),
        ("atxt", "must end in one of"),
    ],
)
def test_other_names_are_refused(name: str, words: str) -> None:
    error = error_of(query_name, name, CHAIN)
    assert (type(error), words in str(error)) == (InvalidArgument, True)


def test_the_first_module_decides_on_the_extensions_of_names() -> None:
    assert query_name("a.json", ["sentiment"]) == "a.json"
    assert "must end in one of .json" in str(error_of(query_name, "a.txt", ["sentiment"]))


@pytest.mark.parametrize(
    "path",
    ["/", "/a", "/A/b c", "/*", "/novels*", "/novels/*", "/a/b*", "/etc", "/etc*", "/ETC/*"],
)
def test_a_directory_may_have_a_star_at_its_end(path: str) -> None:
    assert query_directory(path) == path.lower()
    assert query_directory("/" + "a" * 126 + "*") == "/" + "a" * 126 + "*"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "*",
        "a*",
        "//*",
        "/a//*",
        "/a**",
        "/a*/b",
        "/a*/*",
        "/é*",
        "/a.b*",
        "/a/",
        "/a\n",
        "/" + "a" * 127 + "*",
        "/" + "a" * 128,
        "/etc/x",
        "/etc/x*",
        "/ETC/x*",
        "/etcetera/*",
        "/a/etc*",
        "/a/etc/*",
    ],
)
def test_other_directories_are_refused(path: str) -> None:
    error = error_of(query_directory, path)
    assert (type(error), str(error)[:24]) == (InvalidArgument, "symbolic_directory_paths")


@pytest.mark.parametrize(
    "path", ["/a.txt", "/A/b/C d.TXT", "/etc/a.txt", "/a/B*", "/a/*b.txt", "/*b*", "/etc/b*"]
)
def test_a_file_path_is_a_folder_and_a_name(path: str) -> None:
    assert query_file_path(path, CHAIN) == path.lower()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "a folder and a name"),
        ("a.txt", "a folder and a name"),
        ("a/b.txt", "must start with '/'"),
        ("/a//b.txt", "between single slashes"),
        ("/etc/x/b.txt", "'/etc'"),
        ("/a/b", "must end in one of"),
        ("/a/*", "'*' alone is no name"),
        ("/a/**", "at most one '*' at each end"),
        ("/a/b*c.txt", "at most one '*' at each end"),
        ("/a*/b.txt", "between single slashes"),
        ("/a/" + "n" * 61 + ".txt", "1 to 64"),
    ],
)
def test_other_file_paths_are_refused(path: str, words: str) -> None:
    error = error_of(query_file_path, path, CHAIN)
    assert (type(error), words in str(error)) == (InvalidArgument, True)


# --- numbers, order, query -----------------------------------------------------------------


@pytest.mark.parametrize("value", [1, 10_000])
def test_max_files_is_1_to_10000(value: int) -> None:
    assert check_max_files(value) == value


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (0, InvalidArgument),
        (10_001, InvalidArgument),
        (2.0, InvalidArgumentType),
        (True, InvalidArgumentType),
        (None, InvalidArgumentType),
        ("1", InvalidArgumentType),
    ],
)
def test_other_max_files_are_refused(value: Any, kind: type[Exception]) -> None:
    assert type(error_of(check_max_files, value)) is kind
    assert type(error_of(select, file_tags=[], max_files=value)) is kind


@pytest.mark.parametrize(
    ("value", "order"),
    [(None, "descending"), ("descending", "descending"), ("ascending", "ascending")],
)
def test_there_are_two_orders(value: str | None, order: str) -> None:
    assert check_sort_order(value) == order


@pytest.mark.parametrize("value", ["up", "global", "Ascending", "", 5, ["ascending"]])
def test_other_orders_are_refused(value: Any) -> None:
    assert str(error_of(check_sort_order, value)) == (
        f"sort_order is {value!r} but must be one of ('descending', 'ascending')"
    )


@pytest.mark.parametrize("query", ["ab", "  dust  ", "q" * 256, " " * 300 + "ab", "é!@#"])
def test_a_query_is_sent_as_it_is(query: str) -> None:
    assert check_query(query) == query


@pytest.mark.parametrize(("query", "length"), [("", 0), ("a", 1), (" a ", 1), ("q" * 257, 257)])
def test_a_query_has_2_to_256_characters_beside_the_blanks_around_it(
    query: str, length: int
) -> None:
    assert str(error_of(check_query, query)) == (
        f"query has {length} characters but must have 2 to 256"
    )
    assert type(error_of(check_query, None)) is InvalidArgumentType


# --- times ---------------------------------------------------------------------------------

TIMES = ("created_at_start", "created_at_end", "last_updated_start", "last_updated_end")


@given(st.dates(date(2023, 1, 1), date(9999, 12, 30)), st.times())
def test_a_moment_is_seconds_since_1970_in_utc(day: date, moment: Any) -> None:
    text = f"{day} {moment:%H:%M:%S}"
    seconds = calendar.timegm(time.strptime(text, "%Y-%m-%d %H:%M:%S"))
    assert {select(**{name: text})[name] for name in TIMES} == {seconds}
    first = seconds - seconds % 86_400
    assert [select(**{name: str(day)})[name] for name in TIMES] == [first, first + 86_399] * 2


@pytest.mark.parametrize("name", TIMES)
def test_zeros_may_be_left_out_of_a_moment(name: str) -> None:
    """As the official client lets them be, and more than one blank between date and time."""
    assert select(**{name: "2024-3-1  9:05:7"}) == select(**{name: "2024-03-01 09:05:07"})
    assert select(**{name: "2023-1-1"}) == select(**{name: "2023-01-01"})


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("", "'YYYY-MM-DD' or"),
        ("x", "'YYYY-MM-DD' or"),
        ("2024-13-01", "'YYYY-MM-DD' or"),
        ("2024-02-30", "'YYYY-MM-DD' or"),
        ("2023-02-29", "'YYYY-MM-DD' or"),
        ("24-01-01", "'YYYY-MM-DD' or"),
        ("2024-01-01 ", "'YYYY-MM-DD' or"),
        ("2024-01-01\n", "'YYYY-MM-DD' or"),
        ("2024-01-01T10:00:00", "'YYYY-MM-DD' or"),
        ("2024-01-01 10:00", "'YYYY-MM-DD' or"),
        ("2024-01-01 24:00:00", "'YYYY-MM-DD' or"),
        ("2024-01-01 23:59:60", "'YYYY-MM-DD' or"),
        ("202\u0664-01-01", "'YYYY-MM-DD' or"),
        ("0000-01-01", "'YYYY-MM-DD' or"),
        ("2022-12-31 23:59:59", "from 2023-01-01 to 9999-12-30"),
        ("9999-12-31", "from 2023-01-01 to 9999-12-30"),
        ("9999-12-31 00:00:00", "from 2023-01-01 to 9999-12-30"),
    ],
)
def test_other_times_are_refused(name: str, value: str, words: str) -> None:
    error = error_of(select, **{name: value})
    assert (type(error), str(error).startswith(f"{name} is ")) == (InvalidArgument, True)
    assert words in str(error)


@pytest.mark.parametrize("name", TIMES)
def test_a_time_is_text(name: str) -> None:
    assert type(error_of(select, **{name: 1_717_601_286})) is InvalidArgumentType


@pytest.mark.parametrize("name", ["created_at", "last_updated"])
def test_a_period_starts_before_it_ends(name: str) -> None:
    same = "2024-06-06 10:00:00"
    assert select(**{f"{name}_start": same, f"{name}_end": same})[f"{name}_end"] == 1_717_668_000
    error = error_of(select, **{f"{name}_start": "2024-06-06", f"{name}_end": "2024-06-05"})
    assert str(error) == (
        f"{name}_start (2024-06-06) is after {name}_end (2024-06-05): exchange the two"
    )


# --- nearest ---


@pytest.mark.parametrize("value", [1, 5, 10])
def test_one_to_ten_may_be_the_nearest(value: int) -> None:
    assert check_nearest(value) == value


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "k is 0 but must be 1 to 10"),
        (11, "k is 11 but must be 1 to 10"),
        (None, "k is NoneType but must be a whole number"),
        (True, "k is bool but must be a whole number"),
        (2.0, "k is float but must be a whole number"),
        ("5", "k is str but must be a whole number"),
    ],
)
def test_any_other_number_of_nearest_is_refused(value: Any, said: str) -> None:
    assert str(error_of(check_nearest, value)) == said


def test_an_order_over_all_files_is_taken_only_where_it_is_allowed() -> None:
    assert check_sort_order("global", allowed=(*SORT_ORDERS, GLOBAL_ORDER)) == "global"
    assert isinstance(error_of(check_sort_order, "global"), InvalidArgument)
