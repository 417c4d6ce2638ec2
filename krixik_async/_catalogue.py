"""The eleven modules as one table, and the rules that chain them.

The facts are the official client's (1.1.19, read 2026-11). A module takes one format in and puts
one out; two neighbours fit when the first's output and the second's input have the same format
and are both keyed (JSON with a process key) or both not. Key *names* may differ: ocr puts out
"text", sentiment reads "snippet", and the pair is legal.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

import attrs

from krixik_async._errors import InvalidArgument, InvalidArgumentType
from krixik_async._reply import JSON

Format: TypeAlias = Literal["text", "json", "image", "audio", "npy", "faiss", "db"]

EXTENSIONS: Mapping[Format, tuple[str, ...]] = {
    "text": (".txt", ".pdf", ".docx", ".pptx"),
    "json": (".json",),
    "image": (".jpg", ".jpeg", ".png"),
    "audio": (".mp3",),
    "npy": (".npy",),
    "faiss": (".faiss",),
    "db": (".db",),
}
OUTPUT_EXTENSIONS: Mapping[Format, str] = {
    "text": ".txt",
    "json": ".json",
    "npy": ".npy",
    "faiss": ".faiss",
    "db": ".db",
}

MAX_CHAIN = 10
MAX_PIPELINE_NAME = 64
CHUNK_SIZE = (4, 20)


@attrs.frozen
class Module:
    """Describe one module: formats, process keys (None where unkeyed), models, default first."""

    name: str
    takes: Format
    gives: Format
    key_in: str | None
    key_out: str | None
    models: tuple[str, ...]


_OPUS_MT = ("en-es", "de-en", "es-en", "en-fr", "fr-en", "it-en", "zh-en")
_SENTIMENT = (
    "distilbert-base-uncased-finetuned-sst-2-english",
    "bert-base-multilingual-uncased-sentiment",
    "distilbert-base-multilingual-cased-sentiments-student",
    "distilroberta-finetuned-financial-news-sentiment-analysis",
)
_CAPTION = (
    "vit-gpt2-image-captioning",
    "git-base",
    "blip-image-captioning-base",
    "blip-image-captioning-large",
)
_EMBEDDERS = (
    "all-MiniLM-L6-v2",
    "all-mpnet-base-v2",
    "all-MiniLM-L12-v2",
    "multi-qa-MiniLM-L6-cos-v1",
    "msmarco-distilbert-dot-v5",
)
_WHISPER = tuple(f"whisper-{size}" for size in ("tiny", "base", "small", "medium", "large-v3"))

MODULES: Mapping[str, Module] = {
    module.name: module
    for module in (
        Module("caption", "image", "json", None, "caption", _CAPTION),
        Module("json-to-txt", "json", "text", "snippet", None, ("base",)),
        Module("keyword-db", "text", "db", None, None, ("sqlite",)),
        Module("ocr", "image", "json", None, "text", ("tesseract-en", "tesseract-es")),
        Module("parser", "text", "json", None, "snippet", ("sentence", "fixed")),
        Module("sentiment", "json", "json", "snippet", "snippet", _SENTIMENT),
        Module("summarize", "text", "text", None, None, ("bart-large-cnn", "text-summarization")),
        Module("text-embedder", "json", "npy", "snippet", "data", _EMBEDDERS),
        Module("transcribe", "audio", "json", None, "transcript", _WHISPER),
        Module(
            "translate",
            "json",
            "json",
            "snippet",
            "snippet",
            tuple(f"opus-mt-{pair}" for pair in _OPUS_MT),
        ),
        Module("vector-db", "npy", "faiss", "data", None, ("faiss",)),
    )
}


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Give " Did you mean 'x'?" for the nearest allowed word, or ""."""
    matches = difflib.get_close_matches(word.lower(), list(allowed), n=1)
    return f" Did you mean {matches[0]!r}?" if matches else ""


def labels(length: int) -> tuple[str, ...]:
    """Give "module_1" to "module_<length>"."""
    return tuple(f"module_{position}" for position in range(1, length + 1))


def fits(first: Module, second: Module) -> bool:
    """Tell whether `second` can read what `first` puts out."""
    same_format = first.gives == second.takes
    return same_format and (first.key_out is None) == (second.key_in is None)


def followers(name: str) -> tuple[str, ...]:
    """Give the modules that may stand after `name`."""
    return tuple(other.name for other in MODULES.values() if fits(MODULES[name], other))


def check_pipeline_name(name: object) -> str:
    """Give the name back, or raise: a str of 1 to 64 characters."""
    if not isinstance(name, str):
        raise InvalidArgumentType(
            f"name is {type(name).__name__} but must be a str of 1 to {MAX_PIPELINE_NAME} "
            "characters: pass the pipeline's name as text"
        )
    if not 1 <= len(name) <= MAX_PIPELINE_NAME:
        raise InvalidArgument(
            f"name has {len(name)} characters but must have 1 to {MAX_PIPELINE_NAME}: "
            "choose a shorter, non-empty name"
        )
    return name


def check_chain(module_chain: object) -> tuple[str, ...]:
    """Give the chain as a tuple, or raise naming the module or the pair that does not fit.

    Raises InvalidArgumentType for anything but a sequence of str, InvalidArgument for an empty
    chain, more than 10 modules, an unknown name, or neighbours that do not fit.
    """
    if isinstance(module_chain, str) or not isinstance(module_chain, Sequence):
        raise InvalidArgumentType(
            f"module_chain is {type(module_chain).__name__} but must be a list of module names, "
            'such as ["parser", "text-embedder", "vector-db"]'
        )
    if not module_chain:
        raise InvalidArgument(f"module_chain is empty: name 1 to {MAX_CHAIN} modules")
    if len(module_chain) > MAX_CHAIN:
        raise InvalidArgument(
            f"module_chain has {len(module_chain)} modules but at most {MAX_CHAIN} are allowed: "
            "split the work over two pipelines"
        )
    for position, name in enumerate(module_chain, 1):
        if not isinstance(name, str):
            raise InvalidArgumentType(
                f"module_chain holds {type(name).__name__} at position {position} "
                f"but must hold module names: {', '.join(MODULES)}"
            )
        if name not in MODULES:
            raise InvalidArgument(
                f"module_chain names {name!r} at position {position}, which is no module."
                f"{nearest(name, MODULES)} There are: {', '.join(MODULES)}"
            )
    chain = tuple(module_chain)
    for position in range(1, len(chain)):
        _check_pair(chain[position - 1], chain[position], position)
    return chain


def _check_pair(first: str, second: str, position: int) -> None:
    if fits(MODULES[first], MODULES[second]):
        return
    after = followers(first)
    allowed = f"one of: {', '.join(after)}" if after else f"nothing, for {first!r} ends a chain"
    raise InvalidArgument(
        f"module_chain has {second!r} after {first!r} (positions {position} and {position + 1}), "
        f"but {first!r} gives {MODULES[first].gives} and {second!r} takes "
        f"{MODULES[second].takes}: after {first!r} may stand {allowed}"
    )


def output_process_keys(chain: Sequence[str]) -> tuple[str | None, ...]:
    """Give each module's outgoing process key, None where its output has none."""
    return tuple(MODULES[name].key_out for name in chain)


def input_format(chain: Sequence[str]) -> Format:
    """Give the format that the first module takes."""
    return MODULES[chain[0]].takes


def can_keyword_search(chain: Sequence[str]) -> bool:
    """Tell whether `keyword_search` works on this chain: its last module is keyword-db."""
    return chain[-1] == "keyword-db"


def can_semantic_search(chain: Sequence[str]) -> bool:
    """Tell whether `semantic_search` works on this chain: it ends in text-embedder, vector-db."""
    return tuple(chain[-2:]) == ("text-embedder", "vector-db")


def fill_modules(chain: Sequence[str], modules: object) -> dict[str, JSON]:
    """Give {"module_1": {"model", "params"}, ...} for the whole chain, defaults filled in.

    `modules` is keyed by module names, or by labels ("module_1"), not by both; labels are a must
    for a module that stands in the chain twice. Each value may hold "model" and "params". The
    caller's objects are neither kept nor changed.
    """
    if modules is None:
        modules = {}
    if not isinstance(modules, Mapping):
        raise InvalidArgumentType(
            f"modules is {type(modules).__name__} but must be a dict such as "
            '{"parser": {"model": "fixed", "params": {"chunk_size": 10, "overlap_size": 4}}}'
        )
    chosen = _by_label(chain, modules)
    return {
        label: _fill_module(label, MODULES[name], chosen.get(label, {}))
        for label, name in zip(labels(len(chain)), chain, strict=True)
    }


def _by_label(chain: Sequence[str], modules: Mapping[object, object]) -> dict[str, object]:
    chain_labels = labels(len(chain))
    by_label = [key for key in modules if key in chain_labels]
    if by_label and len(by_label) < len(modules):
        other = next(key for key in modules if key not in chain_labels)
        raise InvalidArgument(
            f"modules has {by_label[0]!r} and {other!r} as keys: use labels "
            f"({', '.join(chain_labels)}) or module names, not both"
        )
    if by_label:
        return {str(label): modules[label] for label in by_label}
    chosen: dict[str, object] = {}
    for key, value in modules.items():
        if key not in chain:
            allowed = (*dict.fromkeys(chain), *chain_labels)
            raise InvalidArgument(
                f"modules has the key {key!r}, which is not in this pipeline."
                f"{nearest(str(key), allowed)} Its modules are: {', '.join(chain)}"
            )
        if list(chain).count(str(key)) > 1:
            raise InvalidArgument(
                f"modules has the key {key!r}, which stands in the chain more than once: "
                f"use labels instead ({', '.join(chain_labels)})"
            )
        chosen[chain_labels[list(chain).index(str(key))]] = value
    return chosen


def _fill_module(label: str, module: Module, chosen: object) -> dict[str, JSON]:
    where = f"modules[{label!r}] ({module.name})"
    if not isinstance(chosen, Mapping):
        raise InvalidArgumentType(
            f"{where} is {type(chosen).__name__} but must be a dict with 'model' and 'params'"
        )
    for key in chosen:
        if key not in ("model", "params"):
            raise InvalidArgument(f"{where} has the key {key!r}: only 'model' and 'params' count")
    model = chosen.get("model", module.models[0])
    if model not in module.models:
        raise InvalidArgument(
            f"{where} asks for the model {model!r}.{nearest(str(model), module.models)} "
            f"It has: {', '.join(module.models)}"
        )
    params = chosen.get("params", {})
    if not isinstance(params, Mapping):
        raise InvalidArgumentType(f"{where} has params of {type(params).__name__}: pass a dict")
    return {"model": model, "params": _check_params(where, module, model, dict(params))}


def _check_params(
    where: str, module: Module, model: str, params: dict[object, object]
) -> dict[str, JSON]:
    if model == "fixed":
        return _check_fixed(where, params)
    if module.name == "text-embedder":
        params = {"quantize": True, **params}
        if not isinstance(params["quantize"], bool):
            raise InvalidArgumentType(
                f"{where} has quantize={params['quantize']!r}: it must be True or False"
            )
        _only(where, params, ("quantize",))
        return {"quantize": params["quantize"]}
    _only(where, params, ())
    return {}


def _check_fixed(where: str, params: dict[object, object]) -> dict[str, JSON]:
    _only(where, params, ("chunk_size", "overlap_size"))
    sizes: dict[str, int] = {}
    for name in ("chunk_size", "overlap_size"):
        value = params.get(name)
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidArgumentType(
                f"{where} with model 'fixed' has {name}={value!r}: both chunk_size and "
                "overlap_size are required, as whole numbers of words, such as 10 and 4"
            )
        sizes[name] = value
    low, high = CHUNK_SIZE
    if not low <= sizes["chunk_size"] <= high:
        raise InvalidArgument(
            f"{where} has chunk_size={sizes['chunk_size']}: it must be {low} to {high} words"
        )
    if not 1 <= sizes["overlap_size"] < sizes["chunk_size"]:
        raise InvalidArgument(
            f"{where} has overlap_size={sizes['overlap_size']}: it must be 1 to chunk_size - 1 "
            f"({sizes['chunk_size'] - 1}) words"
        )
    # The order in which the caller gave them goes on the wire.
    return {str(name): sizes[str(name)] for name in params}


def _only(where: str, params: Mapping[object, object], allowed: Sequence[str]) -> None:
    for name in params:
        if name not in allowed:
            may = f"only {', '.join(allowed)}" if allowed else "none"
            raise InvalidArgument(f"{where} has the parameter {name!r}: it takes {may}")
