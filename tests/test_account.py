"""What a client can do without a pipeline: the modules, pipeline files, the cap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from krixik_async import (
    AuthenticationError,
    CapResult,
    InvalidArgument,
    InvalidArgumentType,
    Krixik,
    Pipeline,
    ServerError,
)
from tests.client_side import World, forbidden, says

pytestmark = pytest.mark.anyio

CAP = "/krixik-core-cap-check"


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


async def test_the_modules_are_listed_afresh_each_time(w: World) -> None:
    modules = w.client.available_modules
    assert modules == [
        "caption", "json-to-txt", "keyword-db", "ocr", "parser", "sentiment", "summarize",
        "text-embedder", "transcribe", "translate", "vector-db",
    ]  # fmt: skip
    modules.clear()
    assert len(w.client.available_modules) == 11


def test_a_modules_config_is_shown_without_a_client() -> None:
    assert Krixik.view_module_config(module_name="ocr") == {
        "module_config": {
            "module": {
                "name": "ocr",
                "models": [{"name": "tesseract-en"}, {"name": "tesseract-es"}],
                "input": {"type": "image"},
                "output": {"type": "json"},
                "defaults": {"model": "tesseract-en"},
            }
        },
        "input_data_example": None,
        "output_data_example": {"text": "Call me Ishmael."},
    }


def test_a_modules_click_data_is_shown_without_a_client() -> None:
    assert Krixik.view_module_click_data(module_name="json-to-txt") == {
        "module_name": "json-to-txt",
        "input_format": "json",
        "output_format": "text",
        "input_process_key": "snippet",
        "input_process_type": "<class 'str'>",
        "output_process_key": None,
        "output_process_type": None,
    }


@pytest.mark.parametrize("view", [Krixik.view_module_config, Krixik.view_module_click_data])
def test_a_module_that_is_none_is_refused_with_the_nearest(view: Any) -> None:
    with pytest.raises(InvalidArgument, match="Did you mean 'parser'"):
        view(module_name="parsr")
    with pytest.raises(InvalidArgumentType, match="module_name is NoneType"):
        view(module_name=None)


async def test_what_one_client_saves_another_loads(w: World, tmp_path: Path) -> None:
    path = tmp_path / "books.yml"
    await w.books("parser", "json-to-txt", "keyword-db").save_pipeline(config_path=path)
    loaded = await w.another().load_pipeline(config_path=path)
    assert type(loaded) is Pipeline
    assert (loaded.name, loaded.module_chain) == ("books", ["parser", "json-to-txt", "keyword-db"])
    assert loaded.config == w.books("parser", "json-to-txt", "keyword-db").config
    assert w.sent == []


async def test_a_loaded_pipeline_works(w: World, tmp_path: Path) -> None:
    await w.books().save_pipeline(config_path=str(tmp_path / "books.yaml"))
    loaded = await w.client.load_pipeline(config_path=str(tmp_path / "books.yaml"))
    await w.done(loaded)
    assert await w.names(w.books()) == ["a.txt"]


async def test_a_pipeline_file_that_is_none_is_refused(w: World, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="cannot be read"):
        await w.client.load_pipeline(config_path=tmp_path / "does_not_exist.yml")
    with pytest.raises(InvalidArgumentType, match="config_path is int"):
        await w.client.load_pipeline(config_path=5)  # type: ignore[arg-type]


async def test_the_cap_is_checked(w: World) -> None:
    said = await w.client.check_cap()
    message = "SUCCESS: no cap applies to this embedded server"
    assert said == CapResult(status_code=200, request_id=said.request_id, message=message)
    assert said.to_dict() == {
        "status_code": 200,
        "request_id": said.request_id,
        "message": message,
        "warnings": [],
    }
    assert (w.sent, w.wire.bodies) == (
        [CAP],
        [{"version": "1.1.19", "pipeline": None, "pipeline_ordered_modules": []}],
    )


async def test_a_cap_check_that_fails_says_so(w: World) -> None:
    w.fail(CAP, answer=says(502, b"<html>bad gateway</html>"), times=4)
    with pytest.raises(ServerError):
        await w.client.check_cap()
    w.fail(CAP, answer=forbidden(), times=2)
    with pytest.raises(AuthenticationError):
        await w.client.check_cap()
