"""The table of runners, and the one call that runs any of them."""

from __future__ import annotations

import importlib
import pickle
import subprocess
import sys
from pathlib import Path
from types import MappingProxyType

import pytest

from krixik_async._catalogue import MODULES
from krixik_async.server.runners import (
    RUNNERS,
    RunnerError,
    RunRequest,
    available,
    missing,
    run,
)


def request_for(tmp_path: Path, module: str, model: str, text: str) -> RunRequest:
    source = tmp_path / "in"
    source.write_text(text, encoding="utf-8")
    return RunRequest(
        module=module,
        model=model,
        params={},
        source=source,
        destination=tmp_path / "out",
        input_key=None,
    )


def test_every_module_of_the_catalogue_has_a_runner() -> None:
    assert sorted(RUNNERS) == sorted(MODULES)


@pytest.mark.parametrize("path", RUNNERS.values())
def test_every_path_in_the_table_leads_to_a_run(path: str) -> None:
    assert callable(importlib.import_module(path).run)


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        RUNNERS["ocr"] = "elsewhere"  # type: ignore[index]


#: what needs no more than the extra `all`
LIGHT = {"json-to-txt", "keyword-db", "ocr", "parser", "text-embedder", "vector-db"}


def test_the_modules_of_the_extra_all_are_available() -> None:
    assert available() >= LIGHT
    assert {missing(module) for module in LIGHT} == {None}


@pytest.mark.parametrize(
    ("module", "absent", "line"),
    [
        ("parser", "punkt", "needs punkt: pip install 'krixik-async[server]'"),
        ("vector-db", "faiss", "needs faiss: pip install 'krixik-async[vector]'"),
        ("text-embedder", "tokenizers", "needs tokenizers: pip install 'krixik-async[embed]'"),
        ("ocr", "pytesseract", "needs pytesseract: pip install 'krixik-async[ocr]'"),
    ],
)
def test_a_module_without_its_extra_is_not_available_and_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, module: str, absent: str, line: str
) -> None:
    monkeypatch.setitem(sys.modules, absent, None)
    assert missing(module) == f"the module {module!r} {line}"
    assert module not in available()
    with pytest.raises(RunnerError) as caught:
        run(request_for(tmp_path, module, "any", "One."))
    assert str(caught.value) == f"the module {module!r} {line}"


def test_an_unknown_module_is_refused_with_the_list_of_what_runs(tmp_path: Path) -> None:
    line = f"this server cannot run the module 'paint'; it runs {', '.join(RUNNERS)}"
    assert missing("paint") == line
    with pytest.raises(RunnerError) as caught:
        run(request_for(tmp_path, "paint", "any", "x"))
    assert str(caught.value) == line


@pytest.mark.parametrize(
    ("module", "model", "text", "metadata"),
    [
        ("parser", "sentence", "One. Two.", {"num_lines": 2}),
        ("keyword-db", "sqlite", "one\n\ntwo\n\n", {"num_lines": 3}),
        ("json-to-txt", "base", '[{"snippet": "one"}]', {}),
    ],
)
def test_run_writes_the_destination_and_returns_the_metadata(
    tmp_path: Path, module: str, model: str, text: str, metadata: dict[str, object]
) -> None:
    request = request_for(tmp_path, module, model, text)
    assert run(request) == metadata
    assert request.destination.stat().st_size > 0


@pytest.mark.parametrize(
    ("module", "model"), [("parser", "sentence"), ("keyword-db", "sqlite"), ("json-to-txt", "base")]
)
def test_running_again_replaces_the_output_with_the_same_bytes(
    tmp_path: Path, module: str, model: str
) -> None:
    request = request_for(tmp_path, module, model, '[{"snippet": "a whale. a ship."}]')
    run(request)
    first = request.destination.read_bytes()
    request.destination.write_bytes(b"left by a run that was killed" * 1000)
    run(request)
    assert request.destination.read_bytes() == first


def test_a_request_and_the_call_cross_a_process_border(tmp_path: Path) -> None:
    """Pickled with read-only parameters, it comes back equal and runs."""
    request = RunRequest(
        module="parser",
        model="fixed",
        params=MappingProxyType({"chunk_size": 4, "overlap_size": 1}),
        source=tmp_path / "in",
        destination=tmp_path / "out",
        input_key=None,
    )
    request.source.write_text("a b c d e", encoding="utf-8")
    call, sent = pickle.loads(pickle.dumps((run, request)))
    assert sent == request
    assert call(sent) == {"num_lines": 2}


def test_an_error_crosses_a_process_border() -> None:
    assert pickle.loads(pickle.dumps(RunnerError("no"))).args == ("no",)


def test_a_request_does_not_change_with_the_mapping_it_was_made_from(tmp_path: Path) -> None:
    params: dict[str, object] = {"chunk_size": 4}
    request = RunRequest("parser", "fixed", params, tmp_path, tmp_path, None)
    params["chunk_size"] = 5
    assert request.params == {"chunk_size": 4}


def test_importing_the_server_imports_nothing_heavy() -> None:
    code = (
        "import sys, krixik_async.server._app; "
        "print(bool({'nltk', 'numpy', 'faiss', 'torch', 'PIL'} & set(sys.modules)), end='')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False"


def test_a_source_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    request = RunRequest("keyword-db", "sqlite", {}, tmp_path / "no", tmp_path / "out", None)
    with pytest.raises(FileNotFoundError):
        run(request)
