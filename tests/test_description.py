"""Modules and pipelines as data and as YAML files."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from krixik_async._catalogue import MODULES
from krixik_async._description import (
    check_module_name,
    module_click_data,
    module_config,
    module_view,
    pipeline_config,
    read_pipeline_file,
    write_pipeline_file,
)
from krixik_async._errors import InvalidArgument, InvalidArgumentType, MissingExtra

CHAIN = ("parser", "text-embedder", "vector-db")


def test_a_module_is_shown_with_models_formats_and_defaults() -> None:
    assert module_config(MODULES["ocr"]) == {
        "module": {
            "name": "ocr",
            "models": [{"name": "tesseract-en"}, {"name": "tesseract-es"}],
            "input": {"type": "image"},
            "output": {"type": "json"},
            "defaults": {"model": "tesseract-en"},
        }
    }


@pytest.mark.parametrize(
    ("name", "given", "made"),
    [
        ("keyword-db", "Call me Ishmael. Some years ago I went to sea.", None),
        ("caption", None, {"caption": "Call me Ishmael."}),
        ("text-embedder", {"snippet": "Call me Ishmael.", "line_numbers": [1]}, None),
    ],
)
def test_a_module_is_shown_with_an_example_of_what_can_be_read(
    name: str, given: object, made: object
) -> None:
    """Texts and JSON; what only a file shows (images, sounds, vectors) is null."""
    assert module_view(MODULES[name]) == {
        "module_config": module_config(MODULES[name]),
        "input_data_example": given,
        "output_data_example": made,
    }


def test_models_are_shown_in_the_official_order() -> None:
    """The default is the second of translate's, the first of all others'."""
    for module in MODULES.values():
        config: Any = module_config(module)["module"]
        names = [model["name"] for model in config["models"]]
        assert sorted(names) == sorted(module.models)
        assert names.index(config["defaults"]["model"]) == (module.name == "translate")


def test_parameters_are_shown_with_type_and_default() -> None:
    fixed = module_config(MODULES["parser"])["module"]["models"][1]  # type: ignore[index,call-overload]
    assert fixed == {
        "name": "fixed",
        "params": {
            "chunk_size": {"type": "int", "default": 10},
            "overlap_size": {"type": "int", "default": 4},
        },
    }
    embedder: Any = module_config(MODULES["text-embedder"])["module"]
    assert embedder["defaults"] == {"model": "all-MiniLM-L6-v2", "params": {"quantize": True}}
    assert embedder["models"][4]["params"] == {"quantize": {"type": "bool", "default": True}}


def test_what_is_handed_out_may_be_changed_without_poisoning_the_next() -> None:
    first: Any = module_config(MODULES["text-embedder"])
    first["module"]["models"][0]["params"]["quantize"]["default"] = "poison"
    first["module"]["defaults"]["params"]["quantize"] = "poison"
    assert "poison" not in json.dumps(module_config(MODULES["text-embedder"]))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("keyword-db", ["text", "db", None, None, None, None]),
        ("translate", ["json", "json", "snippet", "<class 'str'>", "snippet", "<class 'str'>"]),
        (
            "text-embedder",
            ["json", "npy", "snippet", "<class 'str'>", "data", "<class 'numpy.ndarray'>"],
        ),
    ],
)
def test_click_data_says_what_fits(name: str, expected: list[str | None]) -> None:
    shown = module_click_data(MODULES[name])
    assert list(shown) == [
        "module_name",
        "input_format",
        "output_format",
        "input_process_key",
        "input_process_type",
        "output_process_key",
        "output_process_type",
    ]
    assert list(shown.values()) == [name, *expected]


def test_an_unknown_module_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InvalidArgument, match=r"'parsr'.*Did you mean 'parser'\?.*vector-db"):
        check_module_name("parsr")
    with pytest.raises(InvalidArgumentType, match="module_name is int"):
        check_module_name(3)
    assert check_module_name("parser") is MODULES["parser"]


@given(name=st.text(min_size=1, max_size=64).filter(lambda n: n.isprintable()))
def test_a_pipeline_file_gives_back_name_and_chain(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("pipelines") / "p.yml"
    write_pipeline_file(pipeline_config(name, CHAIN), path)
    assert read_pipeline_file(path) == (name, CHAIN)


def test_a_pipeline_file_is_plain_yaml_in_the_order_people_read(tmp_path: Path) -> None:
    write_pipeline_file(pipeline_config("books", ["keyword-db"]), tmp_path / "p.yaml")
    assert (tmp_path / "p.yaml").read_text() == (
        "pipeline:\n"
        "  name: books\n"
        "  modules:\n"
        "  - name: keyword-db\n"
        "    models:\n"
        "    - name: sqlite\n"
        "    defaults:\n"
        "      model: sqlite\n"
        "    input:\n"
        "      type: text\n"
        "      permitted_extensions:\n"
        "      - .txt\n"
        "      - .pdf\n"
        "      - .docx\n"
        "      - .pptx\n"
        "    output:\n"
        "      type: db\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["p.yaml"]


@pytest.mark.parametrize(
    "content", ["", "[]", "pipeline:", "pipeline: {modules: [{name: parser}]}"]
)
def test_a_file_that_lacks_a_part_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "p.yml").write_text(content)
    with pytest.raises(
        InvalidArgument, match=r"has no '(pipeline|name|modules)' where one is needed"
    ):
        read_pipeline_file(tmp_path / "p.yml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("pipeline: {name: x}", "has no 'modules'"),
        ("pipeline: {name: x, modules: parser}", "'modules' must be a list"),
        ("pipeline: {name: x, modules: [parser]}", "has no 'name'"),
        ("pipeline: {name: x, modules: [{name: vector-db}, {name: parser}]}", "ends a chain"),
        ("pipeline: {name: 5, modules: [{name: parser}]}", "name is int"),
        ("pipeline: [", "is not YAML"),
        ("\x00", "is not YAML"),
        ("[" * 500, "is not YAML"),
        ("!!python/object/apply:os.system ['true']", "is not YAML"),
    ],
)
def test_a_file_that_is_wrong_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "p.yml").write_text(content)
    with pytest.raises((InvalidArgument, InvalidArgumentType), match=message):
        read_pipeline_file(tmp_path / "p.yml")


def test_a_file_that_is_too_large_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    (tmp_path / "p.yml").write_text("#" * 1_000_001)
    with pytest.raises(InvalidArgument, match="larger than 1000000 bytes"):
        read_pipeline_file(tmp_path / "p.yml")


@pytest.mark.parametrize("path", ["missing.yml", "."])
def test_a_path_that_is_no_file_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "folder.yml").mkdir()
    with pytest.raises(InvalidArgument, match="cannot be read"):
        read_pipeline_file(tmp_path / ("folder.yml" if path == "." else path))
    with pytest.raises(InvalidArgument, match="cannot be written"):
        write_pipeline_file({}, tmp_path / "no such folder" / "p.yml")


def test_a_path_of_another_kind_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"must end in \.yml or \.yaml"):
        read_pipeline_file("p.json")
    with pytest.raises(InvalidArgumentType, match="config_path is int"):
        read_pipeline_file(5)


def test_without_pyyaml_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without(name: str, *args: Any) -> Any:
        if name == "yaml":
            raise ModuleNotFoundError(name)
        return imported(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r'pip install "krixik-async\[yaml\]"'):
        write_pipeline_file({}, tmp_path / "p.yml")
    assert yaml.safe_load("{}") == {}
