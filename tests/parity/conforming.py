"""What the conformance tests share: the chains, the files to send, and how an output must look."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from PIL import Image, ImageDraw

from krixik_async._catalogue import MODULES, followers
from krixik_async.server.runners import missing
from krixik_async.server.runners._weights import locate

SHORT = [
    *((name,) for name in MODULES),
    *((name, after) for name in MODULES for after in followers(name)),
]
"""All chains of one module and of two."""

LONG: list[tuple[str, ...]] = [
    tuple(line.split())
    for line in """
    caption json-to-txt parser sentiment translate text-embedder vector-db
    caption sentiment sentiment json-to-txt summarize keyword-db
    caption translate translate sentiment text-embedder
    caption text-embedder vector-db
    ocr json-to-txt keyword-db
    ocr sentiment translate json-to-txt keyword-db
    ocr translate text-embedder vector-db
    ocr text-embedder vector-db
    transcribe json-to-txt summarize summarize parser json-to-txt keyword-db
    transcribe sentiment text-embedder vector-db
    transcribe translate sentiment
    transcribe text-embedder vector-db
    parser text-embedder vector-db
    parser translate sentiment json-to-txt summarize parser sentiment translate text-embedder
        vector-db
    """.replace("\n        vector", " vector")
    .strip()
    .splitlines()
]
"""Longer ones, in which every legal pair of neighbours stands."""

#: 11 lines and a blank one, 9 sentences
TEXT = """\
The lamp stood at the window of the library.
It was lit at dusk, and nobody knew
who had lit it.

Children came by with honey and bread.
The moon rose over the tower, and the doors of the
old house were shut.

"Who is there?" asked Mr. Faber.
There was no answer. The lamp went out at twenty past nine.
Nobody spoke of it again for seven years.

"""
ENTRIES = [
    {"snippet": "The lamp stood at the window of the library.", "line_numbers": [1]},
    {"snippet": "It was lit at dusk, and nobody knew who had lit it.", "line_numbers": [2, 3]},
    {"snippet": "Children came by with honey and bread."},
]
VECTORS = 3


def absent() -> tuple[str, ...]:
    """Give the modules that cannot compute here: weights or a program are not on the machine."""
    always = {"caption", "sentiment", "summarize", "transcribe", "translate"}
    here = {
        "ocr": missing("ocr") is None and shutil.which("tesseract") is not None,
        "text-embedder": missing("text-embedder") is None
        and locate(MODULES["text-embedder"].models[0], None) is not None,
    }
    return tuple(name for name in MODULES if name in always or not here.get(name, True))


def write_inputs(folder: Path) -> dict[str, Path]:
    """Write a file of each format a chain can begin with."""
    image = Image.new("RGB", (400, 80), "white")
    ImageDraw.Draw(image).text((10, 20), "Hello from the library", fill="black", font_size=32)
    image.save(folder / "image.png")
    (folder / "text.txt").write_text(TEXT, encoding="utf-8")
    (folder / "json.json").write_text(json.dumps(ENTRIES), encoding="utf-8")
    (folder / "audio.mp3").write_bytes(b"\xff\xfb\x90\x00" + bytes(412))
    rows = np.arange(1, 1 + VECTORS * 384, dtype=np.float32).reshape(VECTORS, 384)
    np.save(folder / "npy.npy", rows)
    return {path.stem: path for path in folder.iterdir()}


def _json_of(*keys: str) -> Callable[[Path], None]:
    def check(path: Path) -> None:
        entries = json.loads(path.read_text("utf-8"))
        assert isinstance(entries, list)
        assert entries
        for entry in entries:
            assert [key for key in entry if key != "line_numbers"] == list(keys)

    return check


def _check_sentiment(path: Path) -> None:
    _json_of("snippet", "positive", "negative", "neutral")(path)
    for entry in json.loads(path.read_text("utf-8")):
        assert "line_numbers" not in entry
        shares = [entry[name] for name in ("positive", "negative", "neutral")]
        assert all(0 <= share <= 1 and share == round(share, 3) for share in shares)


def _check_transcript(path: Path) -> None:
    _json_of("transcript", "timestamped_transcript")(path)
    for entry in json.loads(path.read_text("utf-8")):
        assert entry["transcript"].startswith(" ")
        keys = ["id", "start", "end", "text", "no_speech_prob", "confidence", "words"]
        for segment in entry["timestamped_transcript"]:
            assert list(segment) == keys
            assert all(
                list(word) == ["text", "start", "end", "confidence"] for word in segment["words"]
            )


def _check_text(path: Path) -> None:
    assert path.read_bytes().decode("utf-8").strip()


def _check_database(path: Path) -> None:
    database = sqlite3.connect(path)
    try:
        ((page,),) = database.execute("PRAGMA page_size")
        columns = [row[1] for row in database.execute("PRAGMA table_info(keyword_search)")]
        ((rows,),) = database.execute("SELECT count(*) FROM keyword_search")
    finally:
        database.close()
    assert page == 1024
    assert columns == ["original_keyword", "stemmed_keyword", "line_number", "keyword_number"]
    assert rows > 0


def _check_vectors(path: Path) -> None:
    vectors = np.load(path)
    assert (vectors.dtype, vectors.ndim) == (np.float32, 2)
    assert vectors.shape[1] == 384
    assert vectors.flags.c_contiguous


def _check_index(path: Path) -> None:
    index = faiss.read_index(str(path))
    assert isinstance(index, faiss.IndexFlatIP)
    rows = index.reconstruct_n(0, index.ntotal)
    assert index.ntotal > 0
    assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


CHECKS: Mapping[str, Callable[[Path], None]] = {
    "caption": _json_of("caption"),
    "json-to-txt": _check_text,
    "keyword-db": _check_database,
    "ocr": _json_of("text", "detections"),
    "parser": _json_of("snippet"),
    "sentiment": _check_sentiment,
    "summarize": _check_text,
    "text-embedder": _check_vectors,
    "transcribe": _check_transcript,
    "translate": _json_of("snippet"),
    "vector-db": _check_index,
}
"""Module -> what its output must be, whatever is in it."""


def job_of(chain: Sequence[str], inputs: Mapping[str, Path]) -> dict[str, Any]:
    """Give the job of one chain for `official_chains.py`."""
    query = "placeholder lamp hello" if chain[-1] == "keyword-db" else "a lamp at the window"
    source = inputs[MODULES[chain[0]].takes]
    return {"name": "-".join(chain)[:64], "chain": list(chain), "file": str(source), "query": query}
