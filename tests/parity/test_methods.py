"""What the official client is told by our server in all its calls, right and wrong ones.

Each test is one statement of the official documentation, or of the official client's tests
(1.1.19, read 2026-11), about the service. The words compared are the service's own, where they are
known; where only the status is, only that is compared.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docx
import pptx
import pytest

from tests.parity.conforming import TEXT, absent, write_inputs

HERE = Path(__file__).parent
KEY = "1f0c5f2e-0001-4000-8000-000000000001"
NOWHERE = "1f0c5f2e-0009-4000-8000-000000000009"
TICKET_SECONDS = 8
NOT_FINISHED = "The output for associated with your input file_id has not finished processing"
ZERO = "WARNING: the following arguments returned zero results"
NOT_FOUND = "WARNING: the following file_ids were not found"
NO_RESULTS = "WARNING: the following file_ids returned no results for the given query"
STOP_WORDS = (
    "WARNING: the following words in the query are in the stop_words list and thus no results "
    "will be returned for them"
)
pytestmark = pytest.mark.timeout(200)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    command = [sys.executable, "-m", "krixik_async", "serve", "--port", "0", "--api-key", KEY]
    command += ["--min-module-seconds", "1.2", "--ticket-seconds", str(TICKET_SECONDS)]
    command += ["--simulate", ",".join(absent())]
    command += ["--data-dir", str(tmp_path_factory.mktemp("server"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
        process.terminate()


def write_files(folder: Path) -> None:
    write_inputs(folder)
    document = docx.Document()
    for line in TEXT.splitlines():
        document.add_paragraph(line)
    document.save(folder / "text.docx")
    slides = pptx.Presentation()
    slide = slides.slides.add_slide(slides.slide_layouts[1])
    slide.placeholders[0].text = "A title of some words"
    slide.placeholders[1].text = "And a text of enough words to be sent."
    slides.save(folder / "text.pptx")
    sentence = "This is a sentence of nine words, not ten. "
    (folder / "half a megabyte.txt").write_text(sentence * 10_000, encoding="utf-8")
    # In JSON a sentence of four characters takes ten times as many.
    (folder / "six megabytes.txt").write_text("Oh. " * 150_000, encoding="utf-8")


@pytest.fixture(scope="module")
def said(server: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Make all calls once and keep what they returned."""
    folder = tmp_path_factory.mktemp("files")
    write_files(folder)
    program = [os.environ["PARITY_PYTHON"], str(HERE / "official_methods.py")]
    done = subprocess.run(
        [*program, server, KEY, str(folder)], capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr
    answers: dict[str, Any] = json.loads(done.stdout)
    return answers


def names(answer: Any) -> list[str]:
    """Give the names of the files that a list or a search gave, in order."""
    return [item.get("file_name") or item["file_metadata"]["file_name"] for item in answer["items"]]


def raised(answer: Any) -> str:
    """Give the message of what a call raised."""
    return str(answer["raised"][1])


# --- unfinished files ----------------------------------------------------------------------------


def test_just_after_process_the_file_is_unfinished(said: dict[str, Any]) -> None:
    status = said["status of unfinished"]
    assert (status["overall_status"], status["process_status"]) == ("ongoing", {"module_1": False})
    assert status["request_id"] != said["first"]["request_id"]
    assert status["pipeline"] == "words"


def test_an_unfinished_file_is_in_no_list_and_no_search(said: dict[str, Any]) -> None:
    for call, words in (
        ("list of unfinished", "No items found for input query arguments"),
        ("search of unfinished", "No files were found for the given query arguments"),
        ("meaning of unfinished", "No files were found for the given query arguments"),
    ):
        assert (said[call]["status_code"], said[call]["items"]) == (200, []), call
        assert words in said[call]["message"]


def test_an_unfinished_file_is_neither_changed_nor_deleted_nor_fetched(
    said: dict[str, Any],
) -> None:
    """A 200 that says so; and nothing has changed afterwards."""
    for call in ("update of unfinished", "delete of unfinished", "fetch of unfinished"):
        assert said[call]["status_code"] == 200, call
        assert NOT_FINISHED in said[call]["message"]
    assert said["fetch of unfinished"]["process_output"] is None
    (item,) = said["first finished"]["items"]
    assert (item["file_name"], item["symbolic_directory_path"]) == ("first.txt", "/home/books")


# --- what is refused -----------------------------------------------------------------------------


def test_a_path_is_taken_while_its_file_lives(said: dict[str, Any]) -> None:
    """Also while it is unfinished, and whatever the case of its letters."""
    assert "BAD REQUEST: a file with this symbolic_directory_path and file_name already" in raised(
        said["same path"]
    )


def test_a_pipeline_name_is_of_one_chain_while_there_are_files(said: dict[str, Any]) -> None:
    assert (
        "BAD REQUEST: you have at least one file on record with the same pipeline name"
        in raised(said["other chain"])
    )


def test_a_process_is_of_one_pipeline(said: dict[str, Any]) -> None:
    assert "request failed with status code: 400" in raised(said["mismatch"])
    assert "pipeline of process_id does not match associated file pipeline" in raised(
        said["mismatch"]
    )


@pytest.mark.parametrize(
    ("call", "process"), [("unknown process", None), ("status of deleted", "deleted")]
)
def test_a_process_that_is_unknown_or_deleted_is_not_found(
    said: dict[str, Any], call: str, process: str | None
) -> None:
    asked = said["jobs"][1]["request_id"] if process else NOWHERE
    assert f"process_id was not found - {asked}" in raised(said[call])


@pytest.mark.parametrize(
    "call",
    [
        "unknown delete",
        "unknown update",
        "unknown fetch",
        "update to a path that is taken",
        "update to another extension",
    ],
)
def test_a_refusal_is_a_400_with_a_message(said: dict[str, Any], call: str) -> None:
    assert said[call]["status_code"] == 400
    assert said[call]["message"].startswith("FAILURE: ")
    assert said[call]["request_id"]


def test_a_list_without_a_selector_does_not_reach_the_server(said: dict[str, Any]) -> None:
    assert "raised" in said["list by no selector"]
    assert "raised" in said["update nothing"]


# --- lists ---------------------------------------------------------------------------------------

ALL = ["a one.txt", "b two.txt", "c three.txt", "first.txt"]


@pytest.mark.parametrize(
    ("call", "found"),
    [
        ("by names", ALL[:3]),
        ("by folder", ["a one.txt"]),
        ("by stump", ["a one.txt", "b two.txt", "first.txt"]),
        ("by paths", ["b two.txt"]),
        ("by tag", ["a one.txt"]),
        ("by any tag", ALL[:3]),
        ("by ids", ["a one.txt"]),
        ("by or", ["a one.txt", "c three.txt"]),
        ("by time", ALL),
        ("by no time", []),
        ("by nothing there", []),
        ("ascending", ALL),
    ],
)
def test_a_selection_finds_its_files(said: dict[str, Any], call: str, found: list[str]) -> None:
    answer = said[f"list {call}"]
    assert sorted(names(answer)) == found
    count = f"{len(found)} item{'' if len(found) == 1 else 's'}"
    if found:
        message = f"Successfully returned {count}.  Note: all timestamps in UTC."
        assert answer["message"] == message
    else:
        assert answer["message"] == "No files were found for the given query arguments"


def test_lists_come_in_the_order_of_creation(said: dict[str, Any]) -> None:
    """Each way; the first is oldest, the three others within a second or two of each other."""
    assert names(said["list ascending"])[0] == "first.txt"
    assert names(said["list by time"])[-1] == "first.txt"


def test_max_files_bounds_a_list_and_a_search(said: dict[str, Any]) -> None:
    assert len(said["list first two"]["items"]) == 2
    assert len(said["search first two"]["items"]) == 2
    assert said["search first two"]["message"] == (
        "Successfully queried the first 2 user files out of 4 defined by input query arguments."
    )


def test_what_is_not_there_is_a_warning(said: dict[str, Any]) -> None:
    assert said["list by ids"]["warnings"] == [{NOT_FOUND: [NOWHERE]}]
    assert said["list by nothing there"]["warnings"] == [
        {
            ZERO: [
                {"file_names": ["none.txt"]},
                {"symbolic_directory_paths": ["/none"]},
                {"symbolic_file_paths": ["/none/none.txt"]},
                {"file_tags": [{"none": "none"}]},
            ]
        }
    ]
    assert said["meaning elsewhere"]["warnings"] == [{NOT_FOUND: [NOWHERE]}]


def test_what_was_said_of_a_file_is_listed(said: dict[str, Any]) -> None:
    (item,) = said["list by tag"]["items"]
    assert item["file_tags"] == [{"kind": "a one"}, {"all": "yes"}]
    assert item["file_description"] == "Number a one."
    assert item["pipeline"] == "words"


# --- keyword search ------------------------------------------------------------------------------


def test_keyword_search_finds_words_and_names_the_stop_words(said: dict[str, Any]) -> None:
    """In query order; hyphens split; every file of the four, by line and then by word."""
    answer = said["search"]
    assert answer["message"] == "Successfully queried 4 user files."
    assert answer["warnings"] == [{STOP_WORDS: ["the", "of"]}]
    for item in answer["items"]:
        assert item["search_results"] == [
            {"keyword": "lamp", "line_number": 1, "keyword_number": 2},
            {"keyword": "honey", "line_number": 5, "keyword_number": 5},
            {"keyword": "moon", "line_number": 6, "keyword_number": 2},
            {"keyword": "lamp", "line_number": 10, "keyword_number": 6},
        ]
        assert item["file_metadata"]["num_lines"] == 11


def test_files_without_a_hit_are_named_in_a_warning(said: dict[str, Any]) -> None:
    for call in ("search in vain", "search for stop words"):
        assert (said[call]["status_code"], said[call]["items"]) == (200, [])
        assert len(said[call]["warnings"][0][NO_RESULTS]) == 4
    assert said["search for stop words"]["warnings"][1] == {STOP_WORDS: ["the", "and"]}
    nothing = said["search nothing there"]
    assert nothing["message"] == "No files were found for the given query arguments"
    assert nothing["warnings"] == [{ZERO: [{"file_names": ["none.txt"]}]}]


# --- tree, cap -----------------------------------------------------------------------------------


def test_the_tree_is_of_full_paths(said: dict[str, Any]) -> None:
    every = [
        "/etc/c three.txt",
        "/home/a one.txt",
        "/home/books/b two.txt",
        "/home/books/first.txt",
    ]
    assert said["tree"]["items"] == every
    assert said["tree of a folder"]["items"] == every[1:]
    assert said["tree of nothing"]["items"] is None
    assert set(said["tree"]) == {"status_code", "request_id", "message", "warnings", "items"}


def test_the_cap_is_told_with_a_200(said: dict[str, Any]) -> None:
    assert said["cap"]["status_code"] == 200


# --- update, delete ------------------------------------------------------------------------------


def test_an_update_shows_in_the_list(said: dict[str, Any]) -> None:
    for call in ("update all", "update to no tags"):
        assert said[call]["status_code"] == 200
        assert "Successfully updated file metadata" in said[call]["message"]
    (item,) = said["list updated"]["items"]
    assert (item["symbolic_directory_path"], item["file_name"]) == ("/moved", "here.txt")
    assert (item["file_tags"], item["file_description"]) == ([], "Moved!")
    assert item["last_updated"] >= item["created_at"]


def test_a_deleted_file_is_nowhere(said: dict[str, Any]) -> None:
    file_id = said["jobs"][1]["file_id"]
    assert said["delete"]["message"] == f"Successfully deleted file_id: {file_id}"
    assert said["list of deleted"]["items"] == []
    assert said["list of deleted"]["warnings"] == [{NOT_FOUND: [file_id]}]


# --- semantic search -----------------------------------------------------------------------------

LAST = "Nobody spoke of it again for seven years."


@pytest.mark.parametrize("order", ["ascending", "descending"])
def test_semantic_search_gives_the_nearest_of_each_file(said: dict[str, Any], order: str) -> None:
    answer = said[f"meaning {order}"]
    assert answer["message"] == "Successfully queried 2 user files."
    assert sorted(names(answer)) == ["one.txt", "two.txt"]
    for item in answer["items"]:
        hits = item["search_results"]
        assert len(hits) == 3
        assert hits[0]["snippet"] == LAST
        assert hits[0]["line_numbers"] == [11]
        assert hits[0]["distance"] < 0.05
        distances = [hit["distance"] for hit in hits]
        assert distances == sorted(distances)
        assert item["file_metadata"]["num_vectors"] == 9


def test_global_order_is_by_distance_over_all_files(said: dict[str, Any]) -> None:
    hits = said["meaning global"]["items"]
    assert len(hits) == 6
    assert [hit["distance"] for hit in hits] == sorted(hit["distance"] for hit in hits)
    assert {hit["file_metadata"]["file_name"] for hit in hits[:2]} == {"one.txt", "two.txt"}


def test_no_more_snippets_than_there_are(said: dict[str, Any]) -> None:
    assert [len(item["search_results"]) for item in said["meaning of all"]["items"]] == [9, 9]


def test_a_reset_deletes_every_file(said: dict[str, Any]) -> None:
    assert said["meaning after reset"]["items"] == []


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["text.docx", "text.pptx"])
def test_what_the_client_converts_keeps_its_name(said: dict[str, Any], name: str) -> None:
    answers = said[name]
    assert answers["status"]["overall_status"] == "complete"
    assert names(answers["list"]) == [name]
    snippets = [entry["snippet"] for entry in answers["fetch"]["process_output"]]
    assert any(("lamp" if name.endswith(".docx") else "enough words") in text for text in snippets)


def test_an_output_of_half_a_megabyte_is_saved_and_not_returned(said: dict[str, Any]) -> None:
    fetched = said["half a megabyte.txt"]["fetch"]
    (path,) = fetched["process_output_files"]
    assert fetched["process_output"] is None
    assert len(json.loads(Path(path).read_text("utf-8"))) == 10_000


def test_an_output_of_more_than_five_megabytes_fails_its_module(said: dict[str, Any]) -> None:
    answers = said["six megabytes.txt"]
    assert answers["status"]["overall_status"] == "failed"
    assert answers["status"]["failure_status"]["failure_module"] == "module_1.parser"
    assert answers["list"]["items"] == []


# --- what no client of its own shows -------------------------------------------------------------


def post(url: str, path: str, body: object, **headers: str) -> tuple[int, dict[str, Any]]:
    sent = {"Content-Type": "text/plain", "krixikApiKey": KEY, **headers}
    request = urllib.request.Request(url + path, json.dumps(body).encode(), sent)
    try:
        with urllib.request.urlopen(request) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def submission(name: str) -> dict[str, Any]:
    return {
        "pipeline": "tickets",
        "pipeline_ordered_modules": ["keyword-db"],
        "pipeline_output_process_keys": [None],
        "modules": {"module_1": {"model": "sqlite", "params": {}}},
        "version": "1.1.19",
        "file_name": name,
        "symbolic_directory_path": "/etc",
        "file_tags": [],
        "file_description": "",
        "expire_time": 1800,
    }


def test_a_record_without_an_upload_vanishes(server: str) -> None:
    """Its path is taken until then and free afterwards, its process is not found."""
    code, ticket = post(server, "/krixik-core-process", submission("a.txt"))
    assert code == 200
    assert set(ticket["presigned_post_url_results"]) == {"url", "fields"}
    asked = {"pipeline": "tickets", "version": "1.1.19", "process_id": ticket["request_id"]}
    assert post(server, "/krixik-core-process-status", asked)[1]["process_status"] == {
        "module_1.keyword-db": False
    }
    assert post(server, "/krixik-core-process", submission("a.txt"))[0] == 400
    time.sleep(TICKET_SECONDS + 0.5)
    assert post(server, "/krixik-core-process-status", asked)[0] == 400
    assert post(server, "/krixik-core-process", submission("a.txt"))[0] == 200


def test_without_its_key_nobody_gets_further_than_the_gateway(server: str) -> None:
    assert post(server, "/krixik-core-cap-check", {}, krixikApiKey="wrong") == (
        403,
        {"message": "Forbidden"},
    )


def test_every_answer_has_an_id_of_its_own(server: str) -> None:
    body = {"version": "1.1.19", "pipeline": None, "pipeline_ordered_modules": []}
    ids = {post(server, "/krixik-core-cap-check", body)[1]["request_id"] for _ in range(5)}
    assert len(ids) == 5
    code, answer = post(server, "/cli-checkin", "{}")
    assert (code, len(answer["request_id"])) == (200, 36)
