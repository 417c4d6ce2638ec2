"""all-MiniLM-L6-v2 itself, from its package: the vectors, and a search by meaning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from krixik_async import Krixik
from krixik_async.server.runners import RunRequest, run
from krixik_async.server.runners._bert import load
from krixik_async.server.runners._weights import locate

MODEL = "all-MiniLM-L6-v2"
LINES = Path("examples/library.txt").read_text(encoding="utf-8").split("\n")
TEXTS = [*filter(str.strip, LINES[:60]), "", "a", "word " * 400]
#: of the rounded model's vectors to the unrounded one's, over all texts
LEAST_COSINE, MEAN_COSINE = 0.99, 0.998


@pytest.fixture(scope="module")
def folder() -> Path:
    found = locate(MODEL, None)
    assert found is not None
    return found


def reference(folder: Path, texts: list[str]) -> Any:
    """Compute the vectors with transformers, a text at a time."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = transformers.AutoModel.from_pretrained(folder, local_files_only=True).eval()
    vectors = []
    with torch.no_grad():
        for text in texts:
            tokens = tokenizer(text, truncation=True, max_length=256, return_tensors="pt")
            vectors.append(model(**tokens).last_hidden_state[0].mean(dim=0).numpy())
    return np.array(vectors)


def test_the_vectors_are_those_of_transformers(folder: Path) -> None:
    """The mean of the last hidden state over at most 256 tokens, not brought to length 1."""
    found = load(folder, quantize=False).embed(TEXTS)
    np.testing.assert_allclose(found, reference(folder, TEXTS), rtol=0, atol=1e-4)
    assert 3 < np.linalg.norm(found, axis=1).mean() < 7


def test_the_rounded_model_is_near_the_unrounded_one(folder: Path) -> None:
    exact = load(folder, quantize=False).embed(TEXTS)
    rounded = load(folder, quantize=True).embed(TEXTS)
    lengths = np.linalg.norm(exact, axis=1) * np.linalg.norm(rounded, axis=1)
    cosines = (exact * rounded).sum(axis=1) / lengths
    assert cosines.min() > LEAST_COSINE
    assert cosines.mean() > MEAN_COSINE
    assert np.abs(exact - rounded).max() > 1e-3


def test_a_run_writes_a_row_for_each_snippet(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_text(json.dumps([{"snippet": text} for text in TEXTS]), encoding="utf-8")
    request = RunRequest("text-embedder", MODEL, {}, source, tmp_path / "out", "snippet")
    assert run(request) == {"num_vectors": len(TEXTS)}
    vectors = np.load(request.destination)
    assert (vectors.shape, vectors.dtype) == ((len(TEXTS), 384), np.dtype(np.float32))


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("quantize", [True, False])
async def test_a_search_finds_what_is_meant(tmp_path: Path, *, quantize: bool) -> None:
    """No word of the query is in what it finds."""
    path = tmp_path / "notes.txt"
    path.write_text(
        "The kitten slept on the warm sofa.\nStocks fell sharply on Tuesday.\n"
        "The recipe needs two eggs and some flour.\nOur train leaves the station at noon.\n",
        encoding="utf-8",
    )
    async with Krixik.local() as krixik:
        chain = ["parser", "text-embedder", "vector-db"]
        pipeline = krixik.create_pipeline(name="notes", module_chain=chain)
        await pipeline.process(
            local_file_path=path,
            modules={"text-embedder": {"params": {"quantize": quantize}}},
            wait_for_process=True,
            download_output=False,
        )
        for query, line in (("a young cat is resting", 1), ("baking a cake", 3)):
            found = await pipeline.semantic_search(query=query, symbolic_directory_paths=["/*"])
            hits = found.items[0].search_results
            assert [hits[0].line_numbers, len(hits)] == [(line,), 4]
            assert hits[0].distance < hits[1].distance - 0.1
