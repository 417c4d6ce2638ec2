"""The official client and ours, against one embedded server: the same results.

`make parity` runs this; PARITY_PYTHON is the interpreter of an environment that holds the official
client 1.1.19. Ids and times differ between any two runs and are numbered in order of appearance;
all else is compared as it is, key order included, and output files byte for byte.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from krixik_async import Krixik, RequestNotFound, RequestRejected
from krixik_async._description import read_pipeline_file

HERE = Path(__file__).parent
FILES = sorted((HERE.parent.parent / "examples").glob("*.txt"))
KEYS = ("1f0c5f2e-0001-4000-8000-000000000001", "1f0c5f2e-0002-4000-8000-000000000002")
QUERY = "the lamp moon-honey Children unheard"
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run one server for both, with an account each."""
    command = [sys.executable, "-m", "krixik_async", "serve", "--port", "0"]
    command += ["--api-key", KEYS[0], "--api-key", KEYS[1], "--min-module-seconds", "1.2"]
    command += ["--data-dir", str(tmp_path_factory.mktemp("server"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
        process.terminate()


def official_scenario(url: str, save_to: Path) -> dict[str, Any]:
    """Run the scenario with the official client in its own environment."""
    program = [os.environ["PARITY_PYTHON"], str(HERE / "official_scenario.py")]
    arguments = [url, KEYS[0], QUERY, str(save_to), *map(str, FILES)]
    done = subprocess.run(program + arguments, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


async def our_scenario(url: str, save_to: Path) -> dict[str, Any]:
    """Do what `official_scenario.py` does, in the same order."""
    said: dict[str, Any] = {}
    async with Krixik(api_key=KEYS[1], api_url=url) as krixik:
        pipeline = krixik.create_pipeline(name="parity", module_chain=["keyword-db"])
        jobs = [
            await pipeline.process(
                local_file_path=file,
                file_name=file.name,
                symbolic_directory_path="/Parity",
                file_tags=[{"Kind": "Prose"}],
                file_description="A short text",
                expire_time=1800,
                wait_for_process=False,
            )
            for file in FILES
        ]
        ids = [job.file_id for job in jobs]
        said["process"] = [job.to_dict() for job in jobs]
        said["ongoing"] = (await pipeline.process_status(request_id=jobs[-1].request_id)).to_dict()
        await pipeline.wait_until_complete(jobs, timeout=60)
        said["complete"] = [
            (await pipeline.process_status(request_id=job.request_id)).to_dict() for job in jobs
        ]
        said["fetch_output"] = [
            (await pipeline.fetch_output(file_id=i, local_save_directory=save_to)).to_dict()
            for i in ids
        ]
        waited = await pipeline.process(
            local_file_path=FILES[0],
            file_name="waited.txt",
            wait_for_process=True,
            local_save_directory=save_to,
        )
        said["process_and_wait"] = waited.to_dict()
        found = await pipeline.keyword_search(query=QUERY, symbolic_directory_paths=["/*"])
        said["keyword_search"] = found.to_dict()
        listed = await pipeline.list(file_ids=ids, sort_order="ascending")
        said["list"] = listed.to_dict()
        by_tag = await pipeline.list(file_tags=[{"kind": "prose"}], file_names=["none*"])
        said["list_by_tag"] = by_tag.to_dict()
        done = await pipeline.update(
            file_id=ids[1],
            symbolic_file_path="/Parity/Moved/One.txt",
            file_tags=[{"Kind": "Moved"}],
            file_description="",
            expire_time=3600,
        )
        said["update"] = done.to_dict()
        with pytest.raises(RequestRejected) as refused:
            await pipeline.update(file_id=ids[1], file_name="one.pdf")
        assert refused.value.reply is not None
        said["update_refused"] = {"status_code": 400, **json.loads(refused.value.reply.body)}
        said["list_updated"] = (await pipeline.list(file_ids=[ids[1]])).to_dict()
        said["show_tree"] = (await pipeline.show_tree()).to_dict()
        nothing = await pipeline.show_tree(symbolic_directory_path="/None/*")
        said["show_tree_of_nothing"] = nothing.to_dict()
        said["check_cap"] = (await krixik.check_cap()).to_dict()
        modules = krixik.available_modules
        said["view_module_click_data"] = [
            krixik.view_module_click_data(module_name=name) for name in modules
        ]
        said["view_module_config"] = [
            krixik.view_module_config(module_name=name)["module_config"] for name in modules
        ]
        await pipeline.save_pipeline(config_path=save_to / "ours.yml")
        said["config"] = pipeline.config
        said["delete"] = (await pipeline.delete(file_id=ids[0])).to_dict()
        after = await pipeline.list(file_ids=ids, sort_order="ascending")
        said["list_after"] = after.to_dict()
        with pytest.raises(RequestNotFound) as gone:
            await pipeline.process_status(request_id=jobs[0].request_id)
        said["gone"] = str(gone.value)
    return said


def normalised(said: object, save_to: Path) -> Any:
    """Number the ids and blank the times and the folder, in everything that was said."""
    numbers: dict[str, str] = {}
    text = json.dumps(said).replace(str(save_to), "<SAVED>")
    text = UUID.sub(lambda found: numbers.setdefault(found[0], f"<ID {len(numbers)}>"), text)
    return json.loads(TIME.sub("<TIME>", text))


def in_file_order(said: dict[str, Any]) -> dict[str, Any]:
    """Put what has no order of its own, files created within one second, in that of their names."""
    for call in ("keyword_search", "list", "list_by_tag", "list_after"):
        said[call]["items"].sort(
            key=lambda item: item.get("file_name") or item["file_metadata"]["file_name"]
        )
        for warning in said[call].get("warnings", ()):
            for values in warning.values():
                if all(isinstance(value, str) and UUID.fullmatch(value) for value in values):
                    order = [job["file_id"] for job in said["process"]]
                    values.sort(key=order.index)
    return said


@pytest.fixture(scope="module")
def both(server: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run the scenario twice and keep what was said and saved."""
    theirs, ours = (tmp_path_factory.mktemp(name) for name in ("theirs", "ours"))
    said_to_them = in_file_order(official_scenario(server, theirs))
    said_to_us = in_file_order(asyncio.run(our_scenario(server, ours)))
    return {
        "pipeline_files": (theirs / "theirs.yml", ours / "ours.yml"),
        "raw": (said_to_them, said_to_us),
        "said": (normalised(said_to_them, theirs), normalised(said_to_us, ours)),
    }


CALLS = (
    "process", "ongoing", "complete", "fetch_output", "process_and_wait", "keyword_search", "list",
    "list_by_tag", "update", "update_refused", "list_updated", "show_tree", "show_tree_of_nothing",
    "check_cap", "view_module_click_data", "view_module_config", "config", "delete", "list_after",
)  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
def test_both_clients_return_the_same(call: str, both: dict[str, Any]) -> None:
    """Key for key and in the same order."""
    theirs, ours = both["said"]
    assert json.dumps(ours[call], indent=1) == json.dumps(theirs[call], indent=1)


def test_the_scenario_shows_what_it_should(both: dict[str, Any]) -> None:
    """The comparison is not one of empty answers: files were unfinished, then found, then gone."""
    theirs, _ = both["said"]
    assert theirs["ongoing"]["process_status"] == {"module_1": False}
    assert {status["overall_status"] for status in theirs["complete"]} == {"complete"}
    assert len(theirs["keyword_search"]["items"]) > 1
    assert (len(theirs["list"]["items"]), len(theirs["list_after"]["items"])) == (
        len(FILES), len(FILES) - 1,
    )  # fmt: skip


def test_output_files_are_equal_byte_for_byte(both: dict[str, Any]) -> None:
    """What one client saves is what the other saves."""
    theirs, ours = (
        [
            [
                (Path(file).suffix, Path(file).read_bytes())
                for file in fetched["process_output_files"]
            ]
            for fetched in said["fetch_output"]
        ]
        for said in both["raw"]
    )
    assert len(ours) == len(FILES)
    assert ours == theirs


def test_the_pipeline_files_say_the_same(both: dict[str, Any]) -> None:
    """As YAML; and ours reads what the official client wrote."""
    theirs, ours = both["pipeline_files"]
    assert yaml.safe_load(ours.read_text("utf-8")) == yaml.safe_load(theirs.read_text("utf-8"))
    assert read_pipeline_file(theirs) == ("parity", ("keyword-db",))


def test_both_are_told_the_same_of_a_deleted_file(both: dict[str, Any]) -> None:
    """The server's own words reach the caller, with the id that was asked about."""
    for said in both["raw"]:
        request_id = said["process"][0]["request_id"]
        assert f"process_id was not found - {request_id}" in said["gone"]
