"""A BERT encoder in NumPy: texts to vectors, for sentence-transformers' models of that kind.

What is read from a model's folder is what the Hugging Face hub has: `config.json`,
`model.safetensors`, `tokenizer.json` and, for the longest text, `sentence_bert_config.json`. The
rest of a longer text is ignored, as the models' authors do. A text's vector is the mean of the last
hidden state over all its tokens, not normalised; these are the hosted service's rules.

`quantize` is dynamic int8 quantisation of the linear layers: the weights are rounded to 8-bit
integers with a scale for each output, and their input to 8-bit integers as it comes, with a scale
and a zero for each token. So a text's vector does not depend on what else is in the file, as it
would with one scale for a whole batch (cosine between the two 0.91 at worst; to fp32 0.94 in the
mean, here 0.999). NumPy has no fast product of integer matrices, so the integers are multiplied as
floats: the numbers are those of int8, size and speed are not.

Memory: the weights, and what a batch of `_BATCH_TOKENS` needs, whatever the number of texts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from krixik_async.server.runners._request import RunnerError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float32]

__all__ = ["Bert", "load"]

# Padding included. More is not faster: activations that outgrow the processor's cache cost more
# than larger products save (all-MiniLM-L6-v2, one thread: see docs/embedded-server.md).
_BATCH_TOKENS = 512
# A token that is padding gets this before the softmax.
_MASKED = -1e9
# Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: erf within 1.5e-7.
_ERF_P = 0.3275911
_ERF = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)


class Linear:
    """Multiply by a weight matrix and add a bias."""

    def __init__(self, weight: Floats, bias: Floats) -> None:
        self._weight = weight.T
        self._bias = bias

    def __call__(self, rows: Floats) -> Floats:
        """Give rows x weight + bias."""
        product: Floats = rows @ self._weight
        product += self._bias
        return product


class QuantizedLinear:
    """Do the same with 8-bit integers: a scale for each output, a scale and a zero for each row."""

    def __init__(self, weight: Floats, bias: Floats) -> None:
        import numpy as np

        largest = np.abs(weight).max(axis=1, keepdims=True)
        scales: Floats = np.where(largest > 0, largest / np.float32(127), np.float32(1))
        self._weight: Floats = np.rint(weight / scales).T
        self._scales = scales.T
        self._bias = bias

    def __call__(self, rows: Floats) -> Floats:
        """Give rows x weight + bias, both factors rounded."""
        import numpy as np

        # 0 is one of the 256 values, so that what is 0 stays 0.
        low = np.minimum(rows.min(axis=1, keepdims=True), np.float32(0))
        spread = np.maximum(rows.max(axis=1, keepdims=True), np.float32(0)) - low
        scales: Floats = np.where(spread > 0, spread / np.float32(255), np.float32(1))
        zeros = np.rint(-low / scales)
        quantized: Floats = rows / scales
        np.rint(quantized, out=quantized)
        np.clip(quantized, -zeros, np.float32(255) - zeros, out=quantized)
        product: Floats = quantized @ self._weight
        product *= scales
        product *= self._scales
        product += self._bias
        return product


@attrs.frozen
class _Norm:
    weight: Floats
    bias: Floats
    epsilon: float

    def __call__(self, rows: Floats) -> Floats:
        import numpy as np

        centred: Floats = rows - rows.mean(axis=-1, keepdims=True)
        variance = (centred * centred).mean(axis=-1, keepdims=True)
        centred /= np.sqrt(variance + np.float32(self.epsilon))
        centred *= self.weight
        centred += self.bias
        return centred


@attrs.frozen
class _Layer:
    query: Linear | QuantizedLinear
    key: Linear | QuantizedLinear
    value: Linear | QuantizedLinear
    attended: Linear | QuantizedLinear
    attended_norm: _Norm
    widen: Linear | QuantizedLinear
    narrow: Linear | QuantizedLinear
    norm: _Norm
    heads: int

    def __call__(self, hidden: Floats, mask: Floats) -> Floats:
        """Give the next hidden state, a row a token of all texts; `mask` is added to the scores."""
        import numpy as np

        batch, tokens = mask.shape[0], mask.shape[-1]
        size = hidden.shape[1] // self.heads

        def split(rows: Floats) -> Floats:
            return rows.reshape(batch, tokens, self.heads, size).transpose(0, 2, 1, 3)

        queries, keys, values = (split(of(hidden)) for of in (self.query, self.key, self.value))
        scores: Floats = queries @ keys.transpose(0, 1, 3, 2)
        scores *= np.float32(size**-0.5)
        scores += mask
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed: Floats = (scores @ values).transpose(0, 2, 1, 3)
        hidden = self.attended_norm(self.attended(mixed.reshape(hidden.shape)) + hidden)
        return self.norm(self.narrow(_gelu(self.widen(hidden))) + hidden)


def _gelu(rows: Floats) -> Floats:
    """Give x * (1 + erf(x / sqrt 2)) / 2, computed in place where that is possible."""
    import numpy as np

    size = np.abs(rows)
    size *= np.float32(0.5**0.5)
    t = np.float32(1.0) / (np.float32(1.0) + np.float32(_ERF_P) * size)
    tail = np.full_like(t, _ERF[0])
    for coefficient in _ERF[1:]:
        tail *= t
        tail += np.float32(coefficient)
    tail *= t
    size *= size
    np.negative(size, out=size)
    np.exp(size, out=size)
    tail *= size  # 1 - erf(|x| / sqrt 2)
    tail *= np.float32(0.5)
    # 1 + erf is 2 - tail for what is above 0, tail for what is below.
    np.subtract(np.float32(1.0), tail, out=tail, where=rows > 0)
    tail *= rows
    return tail


@attrs.frozen
class Bert:
    """Embed texts; safe to use from several threads."""

    tokenizer: Any
    words: Floats
    positions: Floats
    norm: _Norm
    layers: tuple[_Layer, ...]

    @property
    def width(self) -> int:
        """Give the length of a vector."""
        return int(self.words.shape[1])

    def embed(self, texts: Sequence[str]) -> Floats:
        """Give a vector a text, in their order; texts of like length are computed together."""
        import numpy as np

        tokens = [encoding.ids for encoding in self.tokenizer.encode_batch(list(texts))]
        vectors = np.empty((len(texts), self.width), dtype=np.float32)
        order = sorted(range(len(tokens)), key=lambda index: len(tokens[index]))
        for batch in _batches(order, tokens):
            vectors[batch] = self._pooled([tokens[index] for index in batch])
        return vectors

    def _pooled(self, batch: Sequence[Sequence[int]]) -> Floats:
        import numpy as np

        longest = max(len(ids) for ids in batch)
        ids = np.zeros((len(batch), longest), dtype=np.int64)
        real = np.zeros((len(batch), longest, 1), dtype=np.float32)
        for row, of_text in enumerate(batch):
            ids[row, : len(of_text)] = of_text
            real[row, : len(of_text)] = 1.0
        hidden = self.norm(self.words[ids] + self.positions[:longest])
        hidden = hidden.reshape(-1, self.width)
        mask = (np.float32(1.0) - real[:, None, None, :, 0]) * np.float32(_MASKED)
        for layer in self.layers:
            hidden = layer(hidden, mask)
        states = hidden.reshape(*ids.shape, self.width)
        pooled: Floats = (states * real).sum(axis=1) / real.sum(axis=1)
        return pooled


def _batches(order: Sequence[int], tokens: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Cut an order, the shortest text first, into batches of so many tokens, padding included."""
    batch: list[int] = []
    for index in order:
        if batch and (len(batch) + 1) * len(tokens[index]) > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def load(folder: Path, *, quantize: bool) -> Bert:
    """Read a model.

    Raises:
        RunnerError: the folder's files are not those of a BERT model.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        named = load_file(folder / "model.safetensors")
        if config["model_type"] != "bert" or config["hidden_act"] != "gelu":
            raise RunnerError(f"the model in {folder} is {config['model_type']!r} and no BERT")
        tokenizer = _tokenizer(folder, _longest(folder, config))
        return _assemble(config, named, tokenizer, QuantizedLinear if quantize else Linear)
    except (OSError, ValueError, LookupError, SafetensorError) as error:
        raise RunnerError(f"the model in {folder} cannot be read: {error!r}") from error


def _tokenizer(folder: Path, longest: int) -> Any:  # noqa: ANN401 - a type of an optional package
    from tokenizers import Tokenizer

    text = (folder / "tokenizer.json").read_text(encoding="utf-8")
    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:
        raise ValueError(error) from error
    # The file on the hub pads everything to 128 tokens: eight times the work for a sentence.
    tokenizer.no_padding()
    tokenizer.enable_truncation(longest)
    return tokenizer


def _longest(folder: Path, config: dict[str, Any]) -> int:
    """Give how many tokens of a text are read."""
    path = folder / "sentence_bert_config.json"
    most = int(config["max_position_embeddings"])
    if not path.is_file():
        return most
    said = json.loads(path.read_text(encoding="utf-8")).get("max_seq_length")
    return min(most, int(said)) if said else most


def _assemble(
    config: dict[str, Any],
    named: dict[str, Floats],
    tokenizer: Any,  # noqa: ANN401 - a type of an optional package
    linear: type[Linear | QuantizedLinear],
) -> Bert:
    import numpy as np

    weights = {
        name.removeprefix("bert."): np.asarray(array, dtype=np.float32)
        for name, array in named.items()
        if array.dtype.kind == "f"
    }

    def norm(name: str) -> _Norm:
        epsilon = float(config["layer_norm_eps"])
        return _Norm(weights[f"{name}.weight"], weights[f"{name}.bias"], epsilon)

    def layer(number: int) -> _Layer:
        def dense(name: str) -> Linear | QuantizedLinear:
            path = f"encoder.layer.{number}.{name}"
            return linear(weights[f"{path}.weight"], weights[f"{path}.bias"])

        return _Layer(
            query=dense("attention.self.query"),
            key=dense("attention.self.key"),
            value=dense("attention.self.value"),
            attended=dense("attention.output.dense"),
            attended_norm=norm(f"encoder.layer.{number}.attention.output.LayerNorm"),
            widen=dense("intermediate.dense"),
            narrow=dense("output.dense"),
            norm=norm(f"encoder.layer.{number}.output.LayerNorm"),
            heads=int(config["num_attention_heads"]),
        )

    # Every token is of the first of BERT's two kinds: one text at a time.
    of_kind = weights["embeddings.token_type_embeddings.weight"][0]
    return Bert(
        tokenizer=tokenizer,
        words=weights["embeddings.word_embeddings.weight"],
        positions=weights["embeddings.position_embeddings.weight"] + of_kind,
        norm=norm("embeddings.LayerNorm"),
        layers=tuple(layer(number) for number in range(int(config["num_hidden_layers"]))),
    )
