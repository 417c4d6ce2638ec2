"""Placeholders: well-formed, told apart from real output, the same for the same input."""

from __future__ import annotations

import json
import math
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

from krixik_async._catalogue import MODULES
from krixik_async.server.runners import RunnerError, RunRequest, run
from krixik_async.server.runners._placeholder import vector_of
from krixik_async.server.runners._vector_files import nearest, read_npy, write_index, write_npy

TEXT = "One line.\n\nA third line.\n"
ENTRIES = [
    {"snippet": "One.", "line_numbers": [1]},
    {"snippet": "Two.", "line_numbers": [1, 2]},
    {"snippet": "Three."},
]


def ask(tmp_path: Path, module: str, source: Any, model: str | None = None) -> RunRequest:
    path = tmp_path / "input"
    path.write_bytes(source if isinstance(source, bytes) else json.dumps(source).encode())
    model = model or MODULES[module].models[0]
    return RunRequest(module, model, {}, path, tmp_path / module, None, simulated=True)


def npy(tmp_path: Path, array: Any) -> bytes:
    np.save(tmp_path / "array.npy", array)
    return (tmp_path / "array.npy").read_bytes()


@pytest.mark.parametrize(
    ("module", "source", "expected", "lines"),
    [
        ("caption", b"", [{"caption": "a placeholder"}], 1),
        (
            "ocr",
            b"",
            [
                {
                    "text": "A placeholder.\n",
                    "detections": [
                        {
                            "left": 0,
                            "top": 0,
                            "width": 10,
                            "height": 10,
                            "text": "A",
                            "conf": 100.0,
                        },
                        {
                            "left": 20,
                            "top": 0,
                            "width": 100,
                            "height": 10,
                            "text": "placeholder.",
                            "conf": 100.0,
                        },
                    ],
                }
            ],
            1,
        ),
        (
            "parser",
            TEXT.encode(),
            [
                {"snippet": "Line 1 is a placeholder.", "line_numbers": [1]},
                {"snippet": "Line 3 is a placeholder.", "line_numbers": [3]},
            ],
            2,
        ),
        (
            "sentiment",
            ENTRIES,
            [
                {"snippet": e["snippet"], "positive": 0.5, "negative": 0.5, "neutral": 0.0}
                for e in ENTRIES
            ],
            3,
        ),
        (
            "translate",
            ENTRIES,
            [
                {"snippet": "Translation 1 is a placeholder.", "line_numbers": [1]},
                {"snippet": "Translation 2 is a placeholder.", "line_numbers": [1, 2]},
                {"snippet": "Translation 3 is a placeholder."},
            ],
            3,
        ),
    ],
)
def test_json_has_the_keys_of_the_real_output_and_says_what_it_is(
    tmp_path: Path, module: str, source: Any, expected: Any, lines: int
) -> None:
    request = ask(tmp_path, module, source)
    assert run(request) == {"num_lines": lines, "simulated": True}
    assert json.loads(request.destination.read_text("utf-8")) == expected


def test_a_transcript_has_segments_and_words(tmp_path: Path) -> None:
    request = ask(tmp_path, "transcribe", b"")
    run(request)
    (entry,) = json.loads(request.destination.read_text("utf-8"))
    (segment,) = entry["timestamped_transcript"]
    assert entry["transcript"] == segment["text"] == " A placeholder."
    assert [word["text"] for word in segment["words"]] == ["A", "placeholder."]
    assert list(segment)[:4] == ["id", "start", "end", "text"]


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        ("json-to-txt", ENTRIES[:2], "Line 1 is a placeholder.\nLine 2 is a placeholder."),
        ("summarize", TEXT.encode(), "This summary is a placeholder for a text of 5 words."),
    ],
)
def test_text_says_what_it_is(tmp_path: Path, module: str, source: Any, expected: str) -> None:
    request = ask(tmp_path, module, source)
    assert run(request) == {"simulated": True}
    assert request.destination.read_text("utf-8") == expected


def test_a_keyword_database_has_one_word_a_line(tmp_path: Path) -> None:
    request = ask(tmp_path, "keyword-db", TEXT.encode())
    assert run(request) == {"num_lines": 3, "simulated": True}
    with closing(sqlite3.connect(request.destination)) as database:
        rows = database.execute("SELECT * FROM keyword_search").fetchall()
    assert rows == [("placeholder", "placeholder", 1, 1), ("placeholder", "placeholder", 3, 1)]


@pytest.mark.parametrize(
    ("model", "width"),
    [*zip(MODULES["text-embedder"].models, (384, 768, 384, 384, 768), strict=True)],
)
def test_vectors_are_as_long_as_the_models_and_numpy_reads_them(
    tmp_path: Path, model: str, width: int
) -> None:
    request = ask(tmp_path, "text-embedder", [*ENTRIES, ENTRIES[0]], model)
    assert run(request) == {"num_vectors": 4, "simulated": True}
    vectors = np.load(request.destination)
    assert (vectors.dtype, vectors.shape, vectors.flags.c_contiguous) == (
        np.float32,
        (4, width),
        True,
    )
    assert request.destination.stat().st_size == 128 + 4 * 4 * width
    assert (vectors[0] == vectors[3]).all()
    assert len(np.unique(vectors, axis=0)) == 3
    assert vectors[1].tolist() == vector_of("Two.", model)


def test_a_placeholder_vector_is_made_of_any_text() -> None:
    """Half of a surrogate pair included: JSON can say it."""
    assert vector_of("\ud800", "all-MiniLM-L6-v2") != vector_of("", "all-MiniLM-L6-v2")


@pytest.mark.parametrize(
    "array",
    [
        np.arange(1, 13, dtype=np.float32).reshape(4, 3),
        np.arange(1, 13, dtype=np.float64).reshape(4, 3),
        np.arange(1, 13, dtype=np.float16).reshape(4, 3),
        np.arange(1, 13, dtype=np.int64).reshape(4, 3),
        np.arange(1, 13, dtype=np.uint8).reshape(4, 3),
        np.asfortranarray(np.arange(1, 13, dtype=np.float32).reshape(4, 3)),
        np.zeros((2, 3), dtype=np.float32),
    ],
)
def test_the_index_is_what_faiss_would_have_written(tmp_path: Path, array: Any) -> None:
    """Up to the last bit of a rounding; and a search in it finds what FAISS finds."""
    request = ask(tmp_path, "vector-db", npy(tmp_path, array))
    assert run(request) == {"num_vectors": len(array), "simulated": True}
    rows = np.ascontiguousarray(array, dtype=np.float32).copy()
    faiss.normalize_L2(rows)
    golden = faiss.IndexFlatIP(3)
    golden.add(rows)
    written = faiss.read_index(str(request.destination))
    assert (type(written), written.d, written.metric_type) == (
        faiss.IndexFlatIP,
        3,
        faiss.METRIC_INNER_PRODUCT,
    )
    np.testing.assert_allclose(
        written.reconstruct_n(0, written.ntotal), golden.reconstruct_n(0, golden.ntotal), rtol=1e-6
    )
    faiss.write_index(golden, str(tmp_path / "golden"))
    head = 45
    assert request.destination.read_bytes()[:head] == (tmp_path / "golden").read_bytes()[:head]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no array at all, but long enough to have a head",
        b"\x93NUMPY\x02\x00\x06\x00{'a':1",
        "an array of texts",
        "of one dimension",
        "without a row",
        "cut off",
    ],
)
def test_what_is_no_array_of_vectors_is_refused(tmp_path: Path, content: Any) -> None:
    arrays = {
        "an array of texts": npy(tmp_path, np.array([["a"]])),
        "of one dimension": npy(tmp_path, np.arange(3.0)),
        "without a row": npy(tmp_path, np.empty((0, 3))),
        "cut off": npy(tmp_path, np.ones((3, 3)))[:-1],
    }
    with pytest.raises(RunnerError, match=r"no \.npy file of rows of numbers"):
        run(ask(tmp_path, "vector-db", arrays.get(content, content)))


def test_the_nearest_come_first_and_an_equal_text_is_at_distance_0(tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(20)]
    vectors = [vector_of(text, "all-MiniLM-L6-v2") for text in texts]
    write_index(tmp_path / "index", (20, 384), vectors)
    found = nearest(tmp_path / "index", vector_of("text 7", "all-MiniLM-L6-v2"), 3)
    assert found[0] == (7, 0.0)
    assert [distance for _, distance in found] == sorted(distance for _, distance in found)
    assert all(0.4 < distance < 0.6 for _, distance in found[1:])
    write_index(tmp_path / "index", (3, 2), [(1.0, 0.0), (0.0, 2.0), (-3.0, 0.0)])
    assert nearest(tmp_path / "index", [2.0, 0.0], 10) == [(0, 0.0), (1, 0.5), (2, 1.0)]
    assert math.isclose(math.hypot(*vectors[0]), 11.3, rel_tol=0.1)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "not a readable vector index"),
        (b"", "not a readable vector index"),
        (b"IxFI" + bytes(60), "not one of vectors as long as the query's"),
        ("cut off", "not a readable vector index"),
    ],
)
def test_what_is_no_index_is_told(tmp_path: Path, content: Any, words: str) -> None:
    path = tmp_path / "index"
    if content == "cut off":
        write_index(path, (2, 2), [(1.0, 0.0), (0.0, 1.0)])
        content = path.read_bytes()[:-1]
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunnerError, match=words):
        nearest(path, [1.0, 0.0], 1)


def test_arrays_are_read_as_they_were_written(tmp_path: Path) -> None:
    rows = [(0.5, -1.0), (0.25, 3.0), (0.0, 1.0)]
    write_npy(tmp_path / "rows", (3, 2), rows)
    assert np.load(tmp_path / "rows").tolist() == [list(row) for row in rows]
    shape, read = read_npy(tmp_path / "rows")
    assert (shape, list(read)) == ((3, 2), rows)


@pytest.mark.parametrize(
    ("module", "source", "words"),
    [
        ("sentiment", b"no JSON", "not valid JSON"),
        ("translate", [{"text": "x"}], "no text under the key 'snippet'"),
        ("json-to-txt", {}, "must be a list"),
        ("parser", b"\xff", "not valid UTF-8"),
        ("keyword-db", b"\xff", "not valid UTF-8"),
        ("summarize", b"\xff", "not valid UTF-8"),
        ("text-embedder", [], "the input has 0 snippets"),
        ("text-embedder", [{"snippet": ""}] * 100_001, "the input has 100001 snippets"),
    ],
)
def test_input_that_breaks_a_rule_is_refused_as_by_the_real_module(
    tmp_path: Path, module: str, source: Any, words: str
) -> None:
    with pytest.raises(RunnerError, match=words):
        run(ask(tmp_path, module, source))


def test_every_module_has_a_placeholder_that_needs_nothing(tmp_path: Path) -> None:
    """Not even what an ordinary server has: run in a process in which no extra can be imported."""
    code = f"""
import sys
for name in ("nltk", "punkt", "numpy", "faiss", "PIL", "pytesseract", "torch", "tokenizers"):
    sys.modules[name] = None
from pathlib import Path
from krixik_async._catalogue import MODULES
from krixik_async.server.runners import RunRequest, run
inputs = {{"text": "One.", "json": '[{{"snippet": "One."}}]', "image": "", "audio": ""}}
folder = Path({str(tmp_path)!r})
for module in MODULES.values():
    source = folder / "input"
    if module.takes == "npy":
        source = folder / "text-embedder"
    else:
        source.write_text(inputs[module.takes])
    request = RunRequest(
        module.name, module.models[0], {{}}, source, folder / module.name, None, simulated=True
    )
    assert run(request)["simulated"] is True
    assert request.destination.stat().st_size > 0
    first = request.destination.read_bytes()
    run(request)
    assert request.destination.read_bytes() == first
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert len(list(tmp_path.iterdir())) == len(MODULES) + 1
