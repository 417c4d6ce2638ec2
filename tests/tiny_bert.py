"""A BERT of three thousand numbers, made on the spot, and what it computes, spelled out slowly."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

WIDTH, HEADS, LAYERS, WIDE, LONGEST = 12, 3, 2, 20, 40
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "a", "whale", "ship", "##s", "sea", "."]
CONFIG = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": LONGEST,
    "num_attention_heads": HEADS,
    "num_hidden_layers": LAYERS,
}


def shapes() -> dict[str, tuple[int, ...]]:
    """Give the tensors that the hub's files have."""
    found: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(VOCABULARY), WIDTH),
        "embeddings.position_embeddings.weight": (LONGEST, WIDTH),
        "embeddings.token_type_embeddings.weight": (2, WIDTH),
        "embeddings.LayerNorm.weight": (WIDTH,),
        "embeddings.LayerNorm.bias": (WIDTH,),
    }
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}."
        for name, outputs, inputs in (
            ("attention.self.query", WIDTH, WIDTH),
            ("attention.self.key", WIDTH, WIDTH),
            ("attention.self.value", WIDTH, WIDTH),
            ("attention.output.dense", WIDTH, WIDTH),
            ("intermediate.dense", WIDE, WIDTH),
            ("output.dense", WIDTH, WIDE),
        ):
            found[f"{layer}{name}.weight"] = (outputs, inputs)
            found[f"{layer}{name}.bias"] = (outputs,)
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            found[f"{layer}{name}.weight"] = found[f"{layer}{name}.bias"] = (WIDTH,)
    return found


def weights() -> dict[str, Any]:
    """Draw the numbers, the same in every run; norms near 1 and 0, or all texts would be alike."""
    rng = np.random.default_rng(20261122)
    drawn = {name: rng.normal(size=size) for name, size in shapes().items()}
    for name in drawn:
        if "LayerNorm" in name:
            drawn[name] = 0.1 * drawn[name] + name.endswith("weight")
    return {name: array.astype(np.float32) for name, array in drawn.items()}


def save(
    folder: Path,
    *,
    named: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
    max_seq_length: int | None = None,
) -> Path:
    """Write a model's folder as the hub has it, with its tokenizer's padding and truncation."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG if config is None else config))
    save_file(weights() if named is None else named, folder / "model.safetensors")
    vocabulary = {word: number for number, word in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer()
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_padding(length=128)
    tokenizer.enable_truncation(8)
    tokenizer.save(str(folder / "tokenizer.json"))
    if max_seq_length is not None:
        said = json.dumps({"max_seq_length": max_seq_length})
        (folder / "sentence_bert_config.json").write_text(said)
    return folder


def exact(weight: Any, bias: Any, row: Any) -> Any:
    """Multiply in double precision."""
    return weight @ row + bias


def rounded(weight: Any, bias: Any, row: Any) -> Any:
    """Multiply as integers: 8 bits a number, a scale an output, a scale and a zero for the row."""
    scales = np.abs(weight).max(axis=1) / 127
    integers = np.rint(weight / scales[:, None]).astype(np.int64)
    low, high = min(row.min(), 0.0), max(row.max(), 0.0)
    scale = (high - low) / 255
    zero = int(np.rint(-low / scale))
    numbers = np.clip(np.rint(row / scale).astype(np.int64) + zero, 0, 255)
    return integers @ (numbers - zero) * scales * scale + bias


def vector(ids: list[int], multiply: Callable[[Any, Any, Any], Any] = exact) -> Any:
    """Compute one text's vector token by token, in double precision and with the library's erf."""
    named = {name: array.astype(np.float64) for name, array in weights().items()}

    def norm(name: str, row: Any) -> Any:
        centred = row - row.mean()
        return (
            centred / math.sqrt((centred**2).mean()) * named[f"{name}.weight"]
            + named[f"{name}.bias"]
        )

    def dense(name: str, rows: list[Any]) -> list[Any]:
        return [multiply(named[f"{name}.weight"], named[f"{name}.bias"], row) for row in rows]

    kind = named["embeddings.token_type_embeddings.weight"][0]
    words = named["embeddings.word_embeddings.weight"]
    places = named["embeddings.position_embeddings.weight"]
    states = [
        norm("embeddings.LayerNorm", words[token] + places[place] + kind)
        for place, token in enumerate(ids)
    ]
    size = WIDTH // HEADS
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}."
        queries = dense(f"{layer}attention.self.query", states)
        keys = dense(f"{layer}attention.self.key", states)
        values = dense(f"{layer}attention.self.value", states)
        mixed = []
        for query in queries:
            parts = []
            for head in (slice(i * size, (i + 1) * size) for i in range(HEADS)):
                shares = np.array([math.exp(query[head] @ key[head] / size**0.5) for key in keys])
                shares /= shares.sum()
                parts.append(sum(s * value[head] for s, value in zip(shares, values, strict=True)))
            mixed.append(np.concatenate(parts))
        attended = dense(f"{layer}attention.output.dense", mixed)
        states = [
            norm(f"{layer}attention.output.LayerNorm", a + b)
            for a, b in zip(attended, states, strict=True)
        ]
        wide = dense(f"{layer}intermediate.dense", states)
        bent = [np.array([x * (1 + math.erf(x / 2**0.5)) / 2 for x in row]) for row in wide]
        narrow = dense(f"{layer}output.dense", bent)
        states = [
            norm(f"{layer}output.LayerNorm", a + b) for a, b in zip(narrow, states, strict=True)
        ]
    return sum(states) / len(states)
