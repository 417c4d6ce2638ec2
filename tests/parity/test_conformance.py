"""The official client drives every chain on our server, many at once, and finds what it expects.

All 42 chains of one or two modules, and every legal pair of neighbours within longer chains; each
job submitted, watched, fetched, listed, searched, deleted. Modules that cannot compute on this
machine put out placeholders. What the messages and keys must be is from the official
documentation and the official client's tests (1.1.19, read 2026-11).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from krixik_async._catalogue import (
    EXTENSIONS,
    MODULES,
    OUTPUT_EXTENSIONS,
    followers,
    input_format,
    output_process_keys,
)
from tests.parity.conforming import CHECKS, LONG, SHORT, absent, job_of, write_inputs

HERE = Path(__file__).parent
KEY = "1f0c5f2e-0001-4000-8000-000000000001"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
MODULE_SECONDS = 1.2
NOT_FINISHED = "The output for associated with your input file_id has not finished processing"
SIMULATED = absent()
# The longest first, so that none is left alone at the end.
CHAINS = [*sorted(LONG, key=len, reverse=True), *SHORT]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    command = [sys.executable, "-m", "krixik_async", "serve", "--port", "0", "--api-key", KEY]
    command += ["--min-module-seconds", str(MODULE_SECONDS), "--simulate", ",".join(SIMULATED)]
    # Most of the time is the 1.2 s of each module: more files at a time than processors.
    command += ["--workers", "6", "--data-dir", str(tmp_path_factory.mktemp("server"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
        process.terminate()


def special_jobs(inputs: dict[str, Path]) -> dict[str, dict[str, Any]]:
    """Give the jobs that are not one chain with its defaults."""
    folder = inputs["text"].parent
    words = folder / "words.txt"
    words.write_text("a b c d e f g h i j\n" * 10_010, encoding="utf-8")
    fixed = {"model": "fixed", "params": {"chunk_size": 4, "overlap_size": 3}}
    waiting = job_of(("parser",), inputs)
    too_many = job_of(("parser", "text-embedder"), inputs)
    return {
        "waiting": {**waiting, "name": "waiting", "then": "wait"},
        "too many snippets": {
            **too_many,
            "name": "too many",
            "file": str(words),
            "modules": {"parser": fixed},
            "then": "failing",
        },
    }


@pytest.fixture(scope="module")
def results(server: str, tmp_path_factory: pytest.TempPathFactory) -> dict[Any, Any]:
    """Run all jobs at once and keep, by chain or by name, what the client was told."""
    save_to = tmp_path_factory.mktemp("saved")
    inputs = write_inputs(tmp_path_factory.mktemp("inputs"))
    jobs: dict[Any, Any] = {
        chain: {**job_of(chain, inputs), "name": f"{number}: {chain[0]} and so on"}
        for number, chain in enumerate(CHAINS)
    }
    jobs |= special_jobs(inputs)
    program = [os.environ["PARITY_PYTHON"], str(HERE / "official_chains.py")]
    done = subprocess.run(
        [*program, server, KEY, str(save_to)],
        input=json.dumps(list(jobs.values())),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(jobs, json.loads(done.stdout), strict=True))


def wire_labels(chain: tuple[str, ...]) -> list[str]:
    return [f"module_{number}" for number in range(1, len(chain) + 1)]


def seconds(text: str) -> float:
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp()


every_chain = pytest.mark.parametrize("chain", CHAINS, ids=" ".join)
pytestmark = pytest.mark.timeout(300)


def test_all_short_chains_and_all_pairs_are_there() -> None:
    """42 chains of one or two modules; 31 pairs, each in a chain of three or more; one of ten."""
    pairs = {(name, after) for name in MODULES for after in followers(name)}
    assert (len(SHORT), len(set(SHORT)), len(pairs)) == (42, 42, 31)
    assert {pair for chain in LONG for pair in pairwise(chain)} == pairs
    assert {len(chain) for chain in LONG} == {3, 4, 5, 6, 7, 10}


@every_chain
def test_a_submission_is_answered_with_its_ids(
    chain: tuple[str, ...], results: dict[Any, Any]
) -> None:
    said = results[chain]["process"]
    assert list(said) == [
        "file_id",
        "request_id",
        "file_name",
        "symbolic_directory_path",
        "file_tags",
        "file_description",
    ]
    assert UUID.fullmatch(said["file_id"])
    assert UUID.fullmatch(said["request_id"])
    assert said["file_id"] != said["request_id"]
    extension = EXTENSIONS[input_format(chain)][-1 if input_format(chain) == "image" else 0]
    assert said["file_name"].endswith(extension)
    assert said["symbolic_directory_path"] == "/etc"


@every_chain
def test_the_modules_turn_true_one_by_one(chain: tuple[str, ...], results: dict[Any, Any]) -> None:
    """Nothing just after the upload; all in the end; never one before that before it."""
    statuses = results[chain]["statuses"]
    seen = []
    for status in statuses:
        assert list(status) == [
            "status_code",
            "request_id",
            "file_id",
            "message",
            "pipeline",
            "process_status",
            "overall_status",
        ], status
        assert status["status_code"] == 200
        assert status["message"] == "SUCCESS: process_status found"
        assert status["file_id"] == results[chain]["process"]["file_id"]
        assert list(status["process_status"]) == wire_labels(chain)
        seen.append(sum(status["process_status"].values()))
        flags = list(status["process_status"].values())
        assert flags == sorted(flags, reverse=True)
    assert (seen[0], seen[-1]) == (0, len(chain))
    assert seen == sorted(set(seen))
    overall = [status["overall_status"] for status in statuses]
    assert overall == [*["ongoing"] * (len(statuses) - 1), "complete"]
    assert len({status["request_id"] for status in statuses}) == len(statuses)


def test_every_state_between_is_seen(results: dict[Any, Any]) -> None:
    """Not of every chain, for a look may come late; but of one of each length at least."""
    whole = {len(chain) for chain in CHAINS if len(results[chain]["statuses"]) == len(chain) + 1}
    assert whole == {len(chain) for chain in CHAINS}


@every_chain
def test_an_unfinished_file_is_not_listed(chain: tuple[str, ...], results: dict[Any, Any]) -> None:
    said = results[chain]["list_unfinished"]
    assert (said["status_code"], said["items"]) == (200, [])
    assert "No items found for input query arguments" in said["message"]


@every_chain
def test_the_output_is_what_its_last_module_puts_out(
    chain: tuple[str, ...], results: dict[Any, Any]
) -> None:
    """Saved under the file's id with the right extension, readable, and of the right shape."""
    said = results[chain]["fetch_output"]
    file_id = results[chain]["process"]["file_id"]
    assert list(said) == [
        "status_code",
        "pipeline",
        "request_id",
        "file_id",
        "message",
        "warnings",
        "process_output",
        "process_output_files",
    ]
    assert said["message"] == (
        f"SUCCESS - output fetched for file_id {file_id}."
        "Output saved to location(s) listed in process_output_files."
    )
    (saved,) = said["process_output_files"]
    path = Path(saved)
    extension = OUTPUT_EXTENSIONS[MODULES[chain[-1]].gives]
    assert path.name == f"{file_id}{extension}"
    CHECKS[chain[-1]](path)
    if extension == ".json":
        assert said["process_output"] == json.loads(path.read_text("utf-8"))
    else:
        assert said["process_output"] is None


@every_chain
def test_a_finished_file_is_listed_with_all_there_is_to_say_of_it(
    chain: tuple[str, ...], results: dict[Any, Any]
) -> None:
    said = results[chain]["list"]
    assert list(said) == ["status_code", "request_id", "message", "warnings", "items"]
    assert said["message"] == "Successfully returned 1 item.  Note: all timestamps in UTC."
    (item,) = said["items"]
    assert list(item) == [
        "last_updated",
        "process_id",
        "created_at",
        "file_metadata",
        "file_tags",
        "file_description",
        "symbolic_directory_path",
        "pipeline",
        "file_id",
        "expire_time",
        "file_name",
    ]
    process = results[chain]["process"]
    assert (item["process_id"], item["file_id"]) == (process["request_id"], process["file_id"])
    metadata = item["file_metadata"]
    assert metadata["pipeline_ordered_modules"] == list(chain)
    assert metadata["pipeline_output_process_keys"] == list(output_process_keys(chain))
    modules = dict(zip(wire_labels(chain), chain, strict=True))
    for label, name in modules.items():
        params = {"params": {"quantize": True}} if name == "text-embedder" else {}
        assert metadata["modules"][label] == {name: {"model": MODULES[name].models[0], **params}}
        about = metadata["modules_data"][label][name]
        assert about["data_files_extensions"] == [OUTPUT_EXTENSIONS[MODULES[name].gives]]
        assert about.get("simulated", False) is (name in SIMULATED)
    assert list(metadata["modules_data"]) == list(modules)
    created, ends = seconds(item["created_at"]), seconds(item["expire_time"])
    sent_at, done_at = results[chain]["sent_at"], results[chain]["done_at"]
    assert sent_at + MODULE_SECONDS * len(chain) - 1 <= created <= done_at
    assert abs(ends - sent_at - 1800) < 60
    assert item["last_updated"] == item["created_at"]


@every_chain
def test_the_tree_has_the_file(chain: tuple[str, ...], results: dict[Any, Any]) -> None:
    said = results[chain]["show_tree"]
    assert said["items"] == [f"/etc/{results[chain]['process']['file_name']}"]


def only_item(said: dict[str, Any], *, counted: str) -> dict[str, Any]:
    """Give a search's one file, after a look at its shape; `counted` is what its metadata count."""
    assert said["message"] == "Successfully queried 1 user file."
    (item,) = said["items"]
    assert list(item) == ["file_id", "file_metadata", "search_results"]
    assert list(item["file_metadata"]) == [
        "file_name",
        "symbolic_directory_path",
        "file_tags",
        counted,
        "created_at",
        "last_updated",
    ]
    return dict(item)


@pytest.mark.parametrize(
    "chain", [chain for chain in CHAINS if chain[-1] == "keyword-db"], ids=" ".join
)
def test_keyword_search_finds_words_where_they_stand(
    chain: tuple[str, ...], results: dict[Any, Any]
) -> None:
    item = only_item(results[chain]["search"], counted="num_lines")
    hits = item["search_results"]
    assert hits
    assert all(list(hit) == ["keyword", "line_number", "keyword_number"] for hit in hits)
    places = [(hit["line_number"], hit["keyword_number"]) for hit in hits]
    assert places == sorted(places)
    assert item["file_metadata"]["num_lines"] >= places[-1][0]


@pytest.mark.parametrize(
    "chain",
    [chain for chain in CHAINS if chain[-2:] == ("text-embedder", "vector-db")],
    ids=" ".join,
)
def test_semantic_search_gives_the_nearest_snippets(
    chain: tuple[str, ...], results: dict[Any, Any]
) -> None:
    item = only_item(results[chain]["search"], counted="num_vectors")
    hits = item["search_results"]
    assert len(hits) == min(2, item["file_metadata"]["num_vectors"])
    assert all(list(hit) == ["snippet", "line_numbers", "distance"] for hit in hits)
    distances = [hit["distance"] for hit in hits]
    assert distances == sorted(distances)
    assert all(0 <= d <= 1 and d == round(d, 3) for d in distances)


@every_chain
def test_a_deleted_file_is_gone(chain: tuple[str, ...], results: dict[Any, Any]) -> None:
    said = results[chain]
    file_id = said["process"]["file_id"]
    assert list(said["delete"]) == ["status_code", "pipeline", "request_id", "message", "warnings"]
    assert said["delete"]["message"] == f"Successfully deleted file_id: {file_id}"
    assert said["list_deleted"]["items"] == []
    assert said["list_deleted"]["warnings"] == [
        {"WARNING: the following file_ids were not found": [file_id]}
    ]
    assert said["after_reset"]["items"] == []


def test_waiting_gives_the_output_or_the_status(results: dict[Any, Any]) -> None:
    said = results["waiting"]
    fetched, waited = said["waited_download_True"], said["waited_download_False"]
    assert fetched["process_output"] == said["fetch_output"]["process_output"]
    assert len(fetched["process_output"]) == 9
    assert waited["status_code"] == 200
    assert "process_output" not in waited
    assert said["after_reset"]["items"] == []


def test_too_many_snippets_fail_in_text_embedder_and_not_at_once(results: dict[Any, Any]) -> None:
    """More than 100,000: the parser is done, the second module is named; process() says so."""
    said = results["too many snippets"]
    first, *_, last = said["statuses"]
    assert first["process_status"] == {"module_1": False, "module_2": False}
    assert last["overall_status"] == "failed"
    assert "process_status" not in last
    failure = last["failure_status"]
    assert failure["process_id"] == said["process"]["request_id"]
    assert failure["failure_module"] == "module_2.text-embedder"
    assert "100097 snippets" in failure["message"]
    fetched = said["fetch_output"]
    assert (fetched["status_code"], fetched["process_output"]) == (400, None)
    assert "has no output: processing it failed at module_2.text-embedder" in fetched["message"]
    assert said["list"]["items"] == []
    assert "failed at module" in said["raised"]
    assert "module_2.text-embedder" in said["raised"]
