"""Placeholders: what a module puts out where the server's owner asked for no real output of it.

Well-formed to the last key, so that any chain runs on, and without meaning: texts say that they
are placeholders, shares are the same for all, vectors are digests of the texts. The same input
always gives the same output, and nothing but the standard library is needed. There is an entry for
each entry, or each line with a word, of the input; input that breaks a rule is refused here, too.

One thing works as the real one does: a query finds the very snippet it is equal to, at distance
0.0, for the same text has the same vector. All others are at distances of chance, around 0.5.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from krixik_async.server.runners._entries import read_entries, write_entries
from krixik_async.server.runners._keyword_db import CountedLines, write_rows
from krixik_async.server.runners._request import RunRequest
from krixik_async.server.runners._text_embedder import read_texts
from krixik_async.server.runners._vector_files import Vector, read_npy, write_index, write_npy

__all__ = ["run", "vector_of"]

_WIDTH = 384
_WIDTHS: Mapping[str, int] = MappingProxyType(
    {"all-mpnet-base-v2": 768, "msmarco-distilbert-dot-v5": 768}
)
"""Models whose vectors are not `_WIDTH` long."""

_WORD = "placeholder"
_SEGMENT = {
    "id": 0,
    "start": 0.0,
    "end": 1.0,
    "text": " A placeholder.",
    "no_speech_prob": 0.0,
    "confidence": 1.0,
    "words": [
        {"text": "A", "start": 0.0, "end": 0.5, "confidence": 1.0},
        {"text": "placeholder.", "start": 0.5, "end": 1.0, "confidence": 1.0},
    ],
}
_DETECTIONS = [
    {"left": 0, "top": 0, "width": 10, "height": 10, "text": "A", "conf": 100.0},
    {"left": 20, "top": 0, "width": 100, "height": 10, "text": "placeholder.", "conf": 100.0},
]


def run(request: RunRequest) -> dict[str, object]:
    """Write the placeholder; what it says of the output is what the real module would, and so.

    Raises:
        RunnerError: the input breaks a rule.
    """
    return {**_WRITERS[request.module](request), "simulated": True}


def vector_of(text: str, model: str) -> Vector:
    """Give a text's placeholder vector, as long as the model's: numbers from -1 to 1."""
    width = _WIDTHS.get(model, _WIDTH)
    digest = hashlib.shake_256(text.encode("utf-8", "surrogatepass")).digest(2 * width)
    return [number / 2**15 for number in struct.unpack(f"<{width}h", digest)]


def _caption(request: RunRequest) -> dict[str, object]:
    return _one(request, {"caption": "a placeholder"})


def _ocr(request: RunRequest) -> dict[str, object]:
    return _one(request, {"text": "A placeholder.\n", "detections": _DETECTIONS})


def _transcribe(request: RunRequest) -> dict[str, object]:
    return _one(request, {"transcript": _SEGMENT["text"], "timestamped_transcript": [_SEGMENT]})


def _one(request: RunRequest, entry: Mapping[str, object]) -> dict[str, object]:
    return {"num_lines": write_entries([entry], request.destination)}


def _parser(request: RunRequest) -> dict[str, object]:
    entries = (
        {"snippet": f"Line {number} is a {_WORD}.", "line_numbers": [number]}
        for number, _ in CountedLines(request.source)
    )
    return {"num_lines": write_entries(entries, request.destination)}


def _sentiment(request: RunRequest) -> dict[str, object]:
    shares = {"positive": 0.5, "negative": 0.5, "neutral": 0.0}
    entries = ({"snippet": entry.text, **shares} for entry in read_entries(request))
    return {"num_lines": write_entries(entries, request.destination)}


def _translate(request: RunRequest) -> dict[str, object]:
    return {"num_lines": write_entries(_translations(request), request.destination)}


def _translations(request: RunRequest) -> Iterator[dict[str, object]]:
    for number, entry in enumerate(read_entries(request), start=1):
        lines = {} if entry.line_numbers is None else {"line_numbers": entry.line_numbers}
        yield {"snippet": f"Translation {number} is a {_WORD}.", **lines}


def _json_to_txt(request: RunRequest) -> dict[str, object]:
    count = len(read_entries(request))
    lines = (f"Line {number} is a {_WORD}." for number in range(1, count + 1))
    request.destination.write_text("\n".join(lines), encoding="utf-8")
    return {}


def _summarize(request: RunRequest) -> dict[str, object]:
    words = sum(len(words) for _, words in CountedLines(request.source))
    text = f"This summary is a {_WORD} for a text of {words} words."
    request.destination.write_text(text, encoding="utf-8")
    return {}


def _keyword_db(request: RunRequest) -> dict[str, object]:
    lines = CountedLines(request.source)
    write_rows(request.destination, ((_WORD, _WORD, number, 1) for number, _ in lines))
    return {"num_lines": lines.last_number}


def _text_embedder(request: RunRequest) -> dict[str, object]:
    texts = read_texts(request)
    shape = (len(texts), _WIDTHS.get(request.model, _WIDTH))
    write_npy(request.destination, shape, (vector_of(text, request.model) for text in texts))
    return {"num_vectors": len(texts)}


def _vector_db(request: RunRequest) -> dict[str, object]:
    shape, rows = read_npy(request.source)
    write_index(request.destination, shape, rows)
    return {"num_vectors": shape[0]}


_WRITERS: Mapping[str, Callable[[RunRequest], dict[str, object]]] = MappingProxyType(
    {
        "caption": _caption,
        "json-to-txt": _json_to_txt,
        "keyword-db": _keyword_db,
        "ocr": _ocr,
        "parser": _parser,
        "sentiment": _sentiment,
        "summarize": _summarize,
        "text-embedder": _text_embedder,
        "transcribe": _transcribe,
        "translate": _translate,
        "vector-db": _vector_db,
    }
)
