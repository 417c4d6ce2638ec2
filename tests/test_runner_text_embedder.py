"""text-embedder on a tiny model that is made here; the real one is in tests/full/."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from krixik_async.server.runners import RunnerError, RunRequest, _bert, _text_embedder, run
from krixik_async.server.runners._bert import load
from krixik_async.server.runners._text_embedder import embed_query
from tests import tiny_bert

MODEL = "all-MiniLM-L6-v2"
TEXTS = ["the whale", "a ship. the sea", "whales", "", "ships the sea a whale. the ships. the sea"]
#: what the tokenizer makes of them
IDS = [
    [2, 4, 6, 3],
    [2, 5, 7, 10, 4, 9, 3],
    [2, 6, 8, 3],
    [2, 3],
    [2, 7, 8, 4, 9, 5, 6, 10, 4, 7, 8, 10, 4, 9, 3],
]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny_bert.save(folder / MODEL)
    return folder


def request(
    folder: Path, models: Path | None, entries: object, *, key: str = "snippet", **params: object
) -> RunRequest:
    source = folder / "in"
    source.write_text(json.dumps(entries), encoding="utf-8")
    return RunRequest("text-embedder", MODEL, params, source, folder / "out", key, models)


def snippets(texts: list[str]) -> list[dict[str, str]]:
    return [{"snippet": text} for text in texts]


@pytest.mark.parametrize("tokens", [1, 16, 512])
def test_a_vector_is_the_mean_of_the_last_hidden_states(
    models: Path, monkeypatch: pytest.MonkeyPatch, tokens: int
) -> None:
    """Alone or padded beside others: equal to the model spelled out in double precision."""
    monkeypatch.setattr(_bert, "_BATCH_TOKENS", tokens)
    found = load(models / MODEL, quantize=False).embed(TEXTS)
    expected = np.array([tiny_bert.vector(ids) for ids in IDS])
    assert (found.shape, found.dtype) == ((5, tiny_bert.WIDTH), np.dtype(np.float32))
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)


def test_quantized_linear_layers_multiply_integers(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other: a text does not see the others, whatever they are."""
    monkeypatch.setattr(_bert, "_BATCH_TOKENS", 1)
    found = load(models / MODEL, quantize=True).embed(TEXTS)
    expected = np.array([tiny_bert.vector(ids, tiny_bert.rounded) for ids in IDS])
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-4)
    monkeypatch.setattr(_bert, "_BATCH_TOKENS", 512)
    np.testing.assert_allclose(load(models / MODEL, quantize=True).embed(TEXTS), found, atol=2e-4)
    unrounded = np.array([tiny_bert.vector(ids) for ids in IDS])
    assert np.abs(found - unrounded).max() > 2e-3


def test_quantizing_what_is_zero_gives_zero() -> None:
    """No scale is made of nothing."""
    zeros = np.zeros((2, 3), dtype=np.float32)
    bias = np.array([1, 2], dtype=np.float32)
    linear = _bert.QuantizedLinear(zeros, bias)
    assert linear(zeros).tolist() == [[1, 2], [1, 2]]


@pytest.mark.parametrize(("said", "tokens"), [(5, 5), (None, 40), (99, 40), (0, 40)])
def test_the_rest_of_a_long_text_is_ignored(tmp_path: Path, said: int | None, tokens: int) -> None:
    """After as many tokens as the model's authors allow; never what the tokenizer's file says."""
    encoder = load(tiny_bert.save(tmp_path, max_seq_length=said), quantize=False)
    (found,) = encoder.embed(["whale " * 60])
    expected = tiny_bert.vector([2, *[6] * (tokens - 2), 3])
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5)


def test_names_with_a_prefix_and_tensors_of_integers_are_understood(
    tmp_path: Path, models: Path
) -> None:
    """As files have them that were written by other versions of the same library."""
    named = {f"bert.{name}": array for name, array in tiny_bert.weights().items()}
    named["bert.embeddings.position_ids"] = np.arange(40)
    found = load(tiny_bert.save(tmp_path, named=named), quantize=False).embed(TEXTS)
    np.testing.assert_array_equal(found, load(models / MODEL, quantize=False).embed(TEXTS))


def test_no_texts_give_no_vectors(models: Path) -> None:
    assert load(models / MODEL, quantize=False).embed([]).shape == (0, tiny_bert.WIDTH)


def spoilt(folder: Path, what: str) -> Path:
    """Make a model's folder with one thing wrong."""
    named = tiny_bert.weights()
    if what == "tensor":
        del named["embeddings.LayerNorm.bias"]
    config = {**tiny_bert.CONFIG, "model_type": "roberta"} if what == "kind" else None
    tiny_bert.save(folder, named=named, config=config)
    if what in ("model.safetensors", "tokenizer.json", "config.json"):
        (folder / what).write_bytes(b"{ no")
    if what == "missing":
        (folder / "model.safetensors").unlink()
    return folder


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("tensor", "cannot be read: KeyError('embeddings.LayerNorm.bias')"),
        ("kind", "is 'roberta' and no BERT"),
        ("missing", "cannot be read: FileNotFoundError("),
        ("model.safetensors", "cannot be read: SafetensorError("),
        ("tokenizer.json", "cannot be read: ValueError("),
        ("config.json", "cannot be read: JSONDecodeError("),
    ],
)
def test_a_folder_that_is_no_such_model_is_said_plainly(
    tmp_path: Path, what: str, words: str
) -> None:
    with pytest.raises(RunnerError) as caught:
        load(spoilt(tmp_path, what), quantize=False)
    assert words in str(caught.value)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("params", [{}, {"quantize": True}, {"quantize": False}])
def test_the_output_is_what_numpy_saves(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch, params: dict[str, Any]
) -> None:
    """Quantised unless told otherwise; a row a snippet, written a few at a time."""
    monkeypatch.setattr(_text_embedder, "_TEXTS", 2)
    asked = request(tmp_path, models, snippets(TEXTS), **params)
    assert run(asked) == {"num_vectors": 5}
    encoder = load(models / MODEL, quantize=params.get("quantize", True))
    buffer = io.BytesIO()
    np.save(buffer, np.concatenate([encoder.embed(TEXTS[i : i + 2]) for i in (0, 2, 4)]))
    assert asked.destination.read_bytes() == buffer.getvalue()


def test_the_texts_are_under_the_key_of_the_module_before(tmp_path: Path, models: Path) -> None:
    asked = request(tmp_path, models, [{"text": "the whale"}], key="text", quantize=False)
    assert run(asked) == {"num_vectors": 1}
    np.testing.assert_allclose(
        np.load(asked.destination)[0], tiny_bert.vector(IDS[0]), rtol=0, atol=2e-5
    )


@pytest.mark.parametrize("count", [0, 4])
def test_nothing_and_too_much_is_refused_before_it_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(_text_embedder, "MAX_SNIPPETS", 3)
    with pytest.raises(RunnerError) as caught:
        run(request(tmp_path, None, snippets(["a"] * count)))
    assert str(caught.value) == f"the input has {count} snippets, but 1 to 3 can be embedded"


def test_the_limit_is_where_the_service_fails() -> None:
    assert _text_embedder.MAX_SNIPPETS == 100_000


def test_missing_weights_say_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    asked = request(tmp_path, tmp_path, snippets(["a"]))
    missing = RunRequest(
        "text-embedder", "all-MiniLM-L12-v2", {}, asked.source, asked.destination, "snippet"
    )
    with pytest.raises(RunnerError, match="hf download sentence-transformers/all-MiniLM-L12-v2"):
        run(missing)


def test_a_query_is_embedded_by_the_unrounded_model(tmp_path: Path, models: Path) -> None:
    asked = request(tmp_path, models, [], quantize=True)
    expected = tiny_bert.vector(IDS[0])
    np.testing.assert_allclose(embed_query("the whale", asked), expected, rtol=0, atol=2e-5)


def test_a_model_is_read_once(
    tmp_path: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(tmp_path, models, [], quantize=True)
    first = embed_query("the whale", asked)
    monkeypatch.setattr(_bert, "load", None)
    np.testing.assert_array_equal(embed_query("the whale", asked), first)
