"""The modules that really compute, one file each, behind one picklable call.

A runner reads one whole input file and writes one whole output file. It keeps no state, knows
nothing of accounts, records or HTTP, and may run in a worker thread or a worker process:
`run` and `RunRequest` are picklable for that. A runner's module, and with it whatever is heavy
(NLTK takes 0.2 s to import), is imported by the first run that needs it.

A new module is a file here with a `run(request)` of the same shape, a line in `RUNNERS` and, if
it needs more than the core dependencies, one in `_NEEDS`.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from types import MappingProxyType

from krixik_async.server.runners._request import RunnerError, RunRequest

__all__ = ["RUNNERS", "RunRequest", "RunnerError", "available", "missing", "run"]

RUNNERS: Mapping[str, str] = MappingProxyType(
    {
        "caption": "krixik_async.server.runners._caption",
        "json-to-txt": "krixik_async.server.runners._json_to_txt",
        "keyword-db": "krixik_async.server.runners._keyword_db",
        "ocr": "krixik_async.server.runners._ocr",
        "parser": "krixik_async.server.runners._parser",
        "sentiment": "krixik_async.server.runners._sentiment",
        "summarize": "krixik_async.server.runners._summarize",
        "text-embedder": "krixik_async.server.runners._text_embedder",
        "transcribe": "krixik_async.server.runners._transcribe",
        "translate": "krixik_async.server.runners._translate",
        "vector-db": "krixik_async.server.runners._vector_db",
    }
)
"""Module name of the catalogue -> the Python module that has its `run(request)`."""

_PLACEHOLDER = "krixik_async.server.runners._placeholder"

_NEEDS: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        "caption": ("hub", ("PIL", "torch", "transformers")),
        "ocr": ("ocr", ("PIL", "pytesseract")),
        "parser": ("server", ("nltk", "punkt")),
        "sentiment": ("hub", ("torch", "transformers")),
        "summarize": ("hub", ("torch", "transformers")),
        "text-embedder": ("embed", ("numpy", "safetensors", "tokenizers")),
        "transcribe": ("hub", ("faster_whisper",)),
        "translate": ("hub", ("sentencepiece", "torch", "transformers")),
        "vector-db": ("vector", ("faiss", "numpy")),
    }
)
"""The extra of a runner that imports more than the core dependencies, and what it imports."""


def run(request: RunRequest) -> dict[str, object]:
    """Run one module: read `request.source` whole, write `request.destination` whole.

    Idempotent: the output depends on the request and the input file alone, and an existing
    destination is replaced. Not atomic: after an error, or a kill, the destination may be
    missing or partial, so give a temporary name and rename it after success. What is written
    is not synced to the disk. Blocking; there is no way to stop it but to end its process.

    A placeholder is put out where the request asks for one, and only there.

    Returns:
        The module's own metadata, as a file's record shows it: `{"num_lines": 12}`, or `{}`.

    Raises:
        RunnerError: the input or the parameters cannot be processed, no runner has this name,
            or an extra is not installed; the message is one line and quotes no file content.
        OSError: the source cannot be read or the destination cannot be written.
    """
    path = _PLACEHOLDER if request.simulated else RUNNERS.get(request.module, "")
    lack = None if request.simulated else missing(request.module)
    if lack is not None:
        raise RunnerError(lack)
    metadata: dict[str, object] = importlib.import_module(path).run(request)
    return metadata


def available() -> frozenset[str]:
    """Name the modules that can run here and now."""
    return frozenset(module for module in RUNNERS if missing(module) is None)


def missing(module: str) -> str | None:
    """Say in one line why a module cannot run here, or return None if it can.

    Looks the dependencies up without importing them.
    """
    if module not in RUNNERS:
        return f"this server cannot run the module {module!r}; it runs {', '.join(RUNNERS)}"
    extra, names = _NEEDS.get(module, ("", ()))
    absent = [name for name in names if importlib.util.find_spec(name) is None]
    if absent:
        return (
            f"the module {module!r} needs {' and '.join(absent)}: "
            f"pip install 'krixik-async[{extra}]'"
        )
    return None
