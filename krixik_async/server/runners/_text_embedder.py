"""text-embedder: snippets into a .npy file of vectors, a row a snippet; and a query's vector.

The vectors are float32, as the model gives them: neither rounded nor brought to length 1.
`quantize` rounds the model, not its vectors. A query is always embedded with the unrounded model,
as the hosted service's distances show that it does.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from krixik_async.server.runners._entries import read_entries
from krixik_async.server.runners._request import RunnerError, RunRequest
from krixik_async.server.runners._weights import weights_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ENCODERS", "Encoder", "embed_query", "read_texts", "run"]

ENCODERS: Mapping[str, str] = MappingProxyType(
    {
        "all-MiniLM-L12-v2": "krixik_async.server.runners._bert",
        "all-MiniLM-L6-v2": "krixik_async.server.runners._bert",
        "all-mpnet-base-v2": "krixik_async.server.runners._transformer_encoder",
        "msmarco-distilbert-dot-v5": "krixik_async.server.runners._transformer_encoder",
        "multi-qa-MiniLM-L6-cos-v1": "krixik_async.server.runners._bert",
    }
)
"""Model -> the Python module whose `load(folder, quantize=...)` gives its `Encoder`."""

# The hosted service fails at "more than some 100,000" snippets (its client's tests, 2026-11).
MAX_SNIPPETS = 100_000
# Texts whose vectors are computed and written at a time.
_TEXTS = 512


class Encoder(Protocol):
    """Turn texts into vectors of one width."""

    @property
    def width(self) -> int:
        """Give the length of a vector."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Give a vector a text, in their order."""


def run(request: RunRequest) -> dict[str, object]:
    """Write the vectors of the values of `input_key`; `num_vectors` is their number.

    Beside the input no more than a few hundred vectors are held.

    Raises:
        RunnerError: there is nothing to embed or more than can be, the model's weights are not on
            this machine, or the input is not what a module before it puts out.
    """
    import numpy as np

    texts = read_texts(request)
    quantize = request.params.get("quantize", True) is True
    encoder = _encoder(request.model, weights_of(request), quantize=quantize)
    vectors = np.lib.format.open_memmap(
        request.destination, mode="w+", dtype=np.float32, shape=(len(texts), encoder.width)
    )
    for start in range(0, len(texts), _TEXTS):
        vectors[start : start + _TEXTS] = encoder.embed(texts[start : start + _TEXTS])
    vectors.flush()
    return {"num_vectors": len(texts)}


def read_texts(request: RunRequest) -> list[str]:
    """Give the texts to embed.

    Raises:
        RunnerError: there is nothing to embed, or more than can be, or no text.
    """
    texts = [entry.text for entry in read_entries(request)]
    if not 1 <= len(texts) <= MAX_SNIPPETS:
        raise RunnerError(
            f"the input has {len(texts)} snippets, but 1 to {MAX_SNIPPETS} can be embedded"
        )
    return texts


def embed_query(query: str, request: RunRequest) -> NDArray[np.float32]:
    """Give the vector of a query among what a request embeds, by the unrounded model.

    Raises:
        RunnerError: the model's weights are not on this machine.
    """
    vectors = _encoder(request.model, weights_of(request), quantize=False).embed([query])
    vector: NDArray[np.float32] = vectors[0]
    return vector


# Two, of 90 MB for the default model: rounded for files and unrounded for queries, which the same
# worker may be given in turn.
@functools.lru_cache(maxsize=2)
def _encoder(model: str, folder: Path, *, quantize: bool) -> Encoder:
    encoder: Encoder = importlib.import_module(ENCODERS[model]).load(folder, quantize=quantize)
    return encoder
