"""`list`, `search` and `tree` show all files, or say that there are more."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import attrs
import pytest

from krixik_async import FileRecord, ListResult, Pager, Pipeline, ServerError, _paging, _selectors
from krixik_async._commands._printing import Printer
from krixik_async._commands._showing import end, show_all
from krixik_async._paging import Page
from tests.command_side import PIPELINE, TEXT, UNKNOWN, Shelf, filled_shelf

PATHS = [f"/sea/{number}.txt" for number in range(5)]
OTHER = "There is nothing of that in this one file.\n"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """Make a folder with five finished files, the last of which is of something else."""
    texts = {**dict.fromkeys(PATHS, TEXT), PATHS[-1]: OTHER}
    return filled_shelf(tmp_path_factory.mktemp("shelf"), texts)


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a page hold three files and a search two, in place of 1,000 and 500."""
    monkeypatch.setattr(_paging, "DEFAULT_PAGE_SIZE", 3)
    monkeypatch.setattr(_paging, "MAX_SELECTED", 2)


def paths_of(stdout: str) -> list[str]:
    return [line.split("  ")[2] for line in stdout.splitlines()]


@pytest.mark.usefixtures("small_pages")
def test_list_shows_all_files_page_by_page(filled: Shelf) -> None:
    done = filled.run("list", "-p", PIPELINE)
    assert (done.exit_code, sorted(paths_of(done.stdout)), done.stderr) == (0, PATHS, "")
    (said,) = filled.json("list", "-p", PIPELINE)
    assert sorted(item["file_name"] for item in said["items"]) == [path[5:] for path in PATHS]
    assert (said["warnings"], said["more"]) == ([], False)


@pytest.mark.parametrize("most", [1, 2, 4, 5, 6])
@pytest.mark.usefixtures("small_pages")
def test_a_limit_says_that_there_are_more(filled: Shelf, most: int) -> None:
    """Not that there might be: a limit that is just met says nothing."""
    options = ["-p", PIPELINE, "--max-files", str(most)]
    done = filled.run("list", *options)
    more = f"Warning: there are more files than --max-files {most}\n" if most < 5 else ""
    assert (done.exit_code, len(paths_of(done.stdout)), done.stderr) == (0, min(most, 5), more)
    (said,) = filled.json("list", *options)
    assert (len(said["items"]), said["more"]) == (min(most, 5), most < 5)


@pytest.mark.usefixtures("small_pages")
def test_a_limit_that_is_less_than_a_page_takes_one_call(
    filled: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    page_of = Pipeline.iter_files

    def noted(self: Pipeline, *, page_size: int, **chosen: Any) -> Pager[FileRecord]:
        sizes.append(page_size)
        return page_of(self, page_size=page_size, **chosen)

    monkeypatch.setattr(Pipeline, "iter_files", noted)
    for most in ([], ["--max-files", "1"], ["--max-files", "2"], ["--max-files", "3"]):
        filled.run("list", "-p", PIPELINE, *most)
    assert sizes == [3, 2, 3, 3]


@pytest.mark.usefixtures("small_pages")
def test_search_looks_into_all_files_and_warns_once_of_each_thing(filled: Shelf) -> None:
    """Its three searches each name the stop word and the file that is not on record."""
    options = ["-p", PIPELINE, "--dir", "/sea", "--file-id", UNKNOWN, "the harbour"]
    done = filled.run("search", *options)
    assert sorted(done.stdout.splitlines()) == sorted(
        f"{path}:1: harbour" for path in PATHS[:4] for _ in range(2)
    )
    missing, without, stop_words = done.stderr.splitlines()
    assert missing == f"Warning: the following file_ids were not found: {UNKNOWN}"
    assert without.startswith("Warning: the following file_ids returned no results for the given")
    assert stop_words.endswith("in the stop_words list and thus no results will be returned for "
                               "them: the")  # fmt: skip
    (said,) = filled.json("search", *options)
    texts = [next(iter(warning.values())) for warning in said["warnings"]]
    assert (len(said["items"]), said["more"]) == (4, False)
    assert [len(ids) for ids in texts] == [1, 1, 1]


@pytest.mark.usefixtures("small_pages")
def test_a_limit_of_a_search_counts_the_files_with_hits(filled: Shelf) -> None:
    done = filled.run("search", "-p", PIPELINE, "--max-files", "3", "moon")
    assert (done.exit_code, len(done.stdout.splitlines())) == (0, 3)
    assert done.stderr.splitlines()[-1] == "Warning: there are more files than --max-files 3"
    exactly = filled.run("search", "-p", PIPELINE, "--max-files", "4", "moon")
    assert (len(exactly.stdout.splitlines()), "more" in exactly.stderr) == (4, False)


def test_a_tree_is_sorted_and_says_where_it_may_be_cut(
    filled: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    (whole,) = filled.json("tree", "-p", PIPELINE)
    assert whole == {"items": PATHS, "warnings": [], "more": False}
    monkeypatch.setattr(_selectors, "MAX_FILES", (1, 5))
    done = filled.run("tree", "-p", PIPELINE)
    drawn = ["/", "└── /sea", *(f"    ├── {path[5:]}" for path in PATHS[:4]), "    └── 4.txt"]
    assert done.stdout.splitlines() == drawn
    assert done.stderr == ("Warning: 5 files are drawn and there may be more: choose a DIRECTORY\n")
    assert filled.json("tree", "-p", PIPELINE)[0]["more"] is True


def test_nothing_there_is_said_in_words(filled: Shelf) -> None:
    """Nobody who asked for all files typed the folder that the service says it has not found."""
    for command in (["list"], ["search", "moon"], ["tree"]):
        done = filled.run(command[0], "-p", "empty=keyword-db", *command[1:])
        assert (done.exit_code, done.stderr) == (
            0, "Warning: this pipeline has no finished files\n",
        )  # fmt: skip
    chosen = filled.run("tree", "-p", PIPELINE, "/none")
    assert chosen.stderr == (
        "Warning: the following arguments returned zero results: "
        '{"symbolic_directory_paths": ["/none"]}\n'
    )


# --- pages and warnings of any form ----------------------------------------------------------

RECORD = FileRecord(
    file_id="f", process_id="p", pipeline="books", file_name="a.txt", symbolic_directory_path="/etc"
)


class One:
    """Give a page of one file, and then break or end."""

    def __init__(self, record: FileRecord, *, breaks: bool) -> None:
        answer = ListResult(status_code=200, request_id="r", message="")
        self._pages = [Page([record], answer)]
        self._breaks = breaks

    async def next(self) -> Page[Any] | None:
        if self._pages:
            return self._pages.pop()
        if self._breaks:
            raise ServerError("broke")
        return None


def test_what_has_come_is_printed_before_the_next_page_is_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pager = Pager[FileRecord](One(RECORD, breaks=True))
    showing = show_all(Printer(as_json=False), pager, None, lambda item: [item.file_id])
    with pytest.raises(ServerError):
        asyncio.run(showing)
    assert capsys.readouterr().out == "f\n"


def test_an_item_is_the_service_s_own(capsys: pytest.CaptureFixture[str]) -> None:
    """Keys that this release does not know are kept."""
    record = attrs.evolve(RECORD, raw={"file_id": "f", "new": 1})
    pager = Pager[FileRecord](One(record, breaks=False))
    asyncio.run(show_all(Printer(as_json=True), pager, None, list))
    assert json.loads(capsys.readouterr().out)["items"] == [{"file_id": "f", "new": 1}]


@pytest.mark.parametrize(
    ("warnings", "line"),
    [
        ([{"WARNING: lost": ["1", "2", "3"]}], "lost: 1, 2, 3"),
        ([{"WARNING: lost": list("1234")}], "lost: 1, 2, 3 and 1 more"),
        ([{"WARNING: lost": ["1"]}, {"WARNING: lost": ["2", "1"]}], "lost: 1, 2"),
        ([{"lost": [{"é": [1]}]}], 'lost: {"é": [1]}'),
        ([{"a": ["1"], "b": []}], None),
        (["late", "late"], "late"),
        ([{"a": 1}, {"a": 1}], '{"a": 1}'),
    ],
)
def test_a_warning_is_told_once_whatever_its_form(
    capsys: pytest.CaptureFixture[str], warnings: list[Any], line: str | None
) -> None:
    end(Printer(as_json=False), [], warnings, "")
    expected = "Warning: a: 1\nWarning: b: \n" if line is None else f"Warning: {line}\n"
    assert capsys.readouterr().err == expected
    end(Printer(as_json=True), [], warnings, "cut")
    said = json.loads(capsys.readouterr().out)
    assert (said["items"], said["more"], len(said["warnings"])) == ([], True, expected.count("\n"))
