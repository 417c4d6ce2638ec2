"""A file's way through its modules: flags, failures, what its metadata says, placeholders."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from krixik_async import Krixik, ProcessFailed
from krixik_async._catalogue import MODULES
from tests.server_side import Api, serving, settle

pytestmark = pytest.mark.anyio

SNIPPETS = b'[{"snippet": "One.", "line_numbers": [1]}, {"snippet": "Two."}]'
LONG = ("parser", "translate", "sentiment", "json-to-txt", "summarize", "keyword-db")


async def flags(api: Api, ticket: dict[str, Any]) -> list[bool]:
    return list((await api.status(ticket["request_id"])).json()["process_status"].values())


async def metadata(api: Api, ticket: dict[str, Any]) -> Any:
    (item,) = (await api.list(file_ids=[ticket["file_id"]]))["items"]
    return item["file_metadata"]


async def output(api: Api, ticket: dict[str, Any], *, pipeline: str = "books") -> bytes:
    reply = await api.fetch_output(ticket["file_id"], pipeline=pipeline)
    (link,) = reply.json()["process_output"]
    return (await api.http.get(link["url"])).content


async def test_flags_turn_true_one_by_one_and_the_file_shows_when_all_are(tmp_path: Path) -> None:
    """Six modules, three of them simulated: after each, one flag more; the file is seen last."""
    simulated = ("sentiment", "summarize", "translate")
    async with serving(tmp_path, min_module_seconds=2, simulate=simulated) as api:
        ticket = await api.process(chain=LONG)
        for done in range(len(LONG)):
            assert await flags(api, ticket) == [place < done for place in range(len(LONG))]
            assert (await api.list(file_ids=[ticket["file_id"]]))["items"] == []
            api.clock.advance(2)
            await settle()
        assert await flags(api, ticket) == [True] * len(LONG)
        said = (await metadata(api, ticket))["modules_data"]
    extension = dict.fromkeys(("parser", "translate", "sentiment"), ".json")
    extension |= {"json-to-txt": ".txt", "summarize": ".txt", "keyword-db": ".db"}
    lines = {"parser": 2, "translate": 2, "sentiment": 2, "keyword-db": 1}
    assert said == {
        f"module_{number}": {
            name: {
                "data_files_extensions": [extension[name]],
                **({"num_lines": lines[name]} if name in lines else {}),
                **({"simulated": True} if name in simulated else {}),
            }
        }
        for number, name in enumerate(LONG, 1)
    }


async def test_a_module_computes_unless_it_is_named(tmp_path: Path) -> None:
    """The parser's output is its own beside a translator's placeholder."""
    async with serving(tmp_path, simulate=("translate",)) as api:
        real = await api.process(chain=("parser",), pipeline="real")
        made_up = await api.process(chain=("parser", "translate"), pipeline="made up")
        assert b"It was a bright cold day in April" in await output(api, real, pipeline="real")
        entries = json.loads(await output(api, made_up, pipeline="made up"))
    assert entries == [
        {"snippet": "Translation 1 is a placeholder.", "line_numbers": [1]},
        {"snippet": "Translation 2 is a placeholder.", "line_numbers": [2]},
    ]


@pytest.mark.parametrize("module", MODULES)
async def test_every_module_can_be_simulated_alone(tmp_path: Path, module: str) -> None:
    inputs = {"text": b"One. Two.", "json": SNIPPETS, "image": b"?", "audio": b"?"}
    names = {"text": "a.txt", "json": "a.json", "image": "a.png", "audio": "a.mp3", "npy": "a.npy"}
    takes = MODULES[module].takes
    async with serving(tmp_path, simulate=("all",)) as api:
        made = await api.process(
            SNIPPETS, chain=("text-embedder",), pipeline="made", file_name="a.json"
        )
        content = await output(api, made, pipeline="made") if takes == "npy" else inputs[takes]
        ticket = await api.process(content, chain=(module,), file_name=names[takes])
        about = (await metadata(api, ticket))["modules_data"]["module_1"][module]
        assert about["simulated"] is True
        assert await output(api, ticket)


async def test_weights_that_are_missing_fail_the_job_with_the_way_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Module and reason in the status, for the output, and in the log: never a made-up answer."""
    monkeypatch.setenv("HOME", str(tmp_path))
    caplog.set_level(logging.WARNING, logger="krixik_async.server")
    model = "all-MiniLM-L12-v2"
    chosen = {"module_2": {"model": model, "params": {"quantize": True}}}
    async with serving(tmp_path / "data", model_dir=tmp_path / "models") as api:
        ticket = await api.process(chain=("parser", "text-embedder"), modules=chosen)
        status = (await api.status(ticket["request_id"])).json()
        fetched = await api.fetch_output(ticket["file_id"])
        assert (await api.list(file_ids=[ticket["file_id"]]))["items"] == []
    reason = (
        f"the weights of {model!r} are not on this machine: hf download "
        f"sentence-transformers/{model} --local-dir {tmp_path / 'models' / model}"
    )
    assert status["process_status"] is None
    assert status["failure_status"] == {
        "process_id": ticket["request_id"],
        "failure_module": "module_2.text-embedder",
        "message": reason,
    }
    assert (fetched.status_code, fetched.json()["message"]) == (
        400,
        (
            f"FAILURE: file_id {ticket['file_id']} has no output: processing it failed at "
            f"module_2.text-embedder: {reason}"
        ),
    )
    assert caplog.messages == [
        f"process {ticket['request_id']} failed at module_2.text-embedder: {reason}"
    ]


@pytest.mark.parametrize("module", ["caption", "sentiment", "summarize", "transcribe", "translate"])
async def test_a_library_that_is_missing_fails_the_job_with_the_command_that_installs_it(
    tmp_path: Path, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("torch", "faster_whisper"):
        monkeypatch.setitem(sys.modules, name, None)
    names = {"text": "a.txt", "json": "a.json", "image": "a.png", "audio": "a.mp3"}
    async with serving(tmp_path) as api:
        ticket = await api.process(
            SNIPPETS, chain=(module,), file_name=names[MODULES[module].takes]
        )
        failure = (await api.status(ticket["request_id"])).json()["failure_status"]
    assert failure["failure_module"] == f"module_1.{module}"
    assert "pip install 'krixik-async[hub]'" in failure["message"]


async def test_a_local_client_simulates_what_it_is_asked_to(tmp_path: Path) -> None:
    """And nothing else: the next module of the chain, which cannot run, fails."""
    source = tmp_path / "a.json"
    source.write_bytes(SNIPPETS)
    async with Krixik.local(simulate=["translate"], model_dir=tmp_path) as krixik:
        good = krixik.create_pipeline(name="good", module_chain=["translate"])
        done = await good.process(
            local_file_path=source, wait_for_process=True, local_save_directory=tmp_path
        )
        assert done.process_output[0]["snippet"] == "Translation 1 is a placeholder."
        other = krixik.create_pipeline(name="other", module_chain=["translate", "text-embedder"])
        with pytest.raises(ProcessFailed) as failed:
            await other.process(
                local_file_path=source,
                modules={"text-embedder": {"model": "all-mpnet-base-v2"}},
                wait_for_process=True,
            )
    assert failed.value.failure_module == "module_2.text-embedder"
