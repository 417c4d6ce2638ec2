"""A sentence encoder of any kind that transformers knows: texts to vectors, on torch.

For the models of the catalogue that are no BERT: an MPNet, a DistilBERT. The rules are those of
`_bert`, and on a BERT the two agree to 1e-6: the mean of the last hidden state over all tokens, not
normalised; `quantize` rounds the weights of the linear layers to 8 bits with a scale for each
output, and what goes into them with a scale and a zero for each token, so that a vector does not
depend on the other texts of a batch.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from krixik_async.server.runners._shelf import Foreign, load_transformer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["TransformerEncoder", "load"]

_CLASSES = ("AutoModel", "AutoTokenizer")
_AT_A_TIME = 16


@attrs.frozen
class TransformerEncoder:
    """Hold a model and its tokenizer; texts beyond `longest` tokens are cut."""

    model: Foreign
    tokenizer: Foreign
    longest: int

    @property
    def width(self) -> int:
        """Give the length of a vector."""
        return int(self.model.config.hidden_size)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Give a vector a text, in their order; texts of like length are computed together."""
        import numpy as np

        vectors = np.empty((len(texts), self.width), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        for start in range(0, len(order), _AT_A_TIME):
            batch = order[start : start + _AT_A_TIME]
            vectors[batch] = self._pooled([texts[index] for index in batch])
        return vectors

    def _pooled(self, batch: Sequence[str]) -> NDArray[np.float32]:
        import torch

        inputs = self.tokenizer(
            list(batch),
            max_length=self.longest,
            padding=True,
            return_tensors="pt",
            truncation=True,
        )
        real = inputs["attention_mask"].unsqueeze(-1)
        with torch.inference_mode():
            states = self.model(
                input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]
            ).last_hidden_state
            pooled: NDArray[np.float32] = ((states * real).sum(1) / real.sum(1)).numpy()
        return pooled


def load(folder: Path, *, quantize: bool) -> TransformerEncoder:
    """Give the encoder whose files are in a folder.

    Raises:
        RunnerError: the files are not those of such a model, or an extra is not installed.
    """
    model, tokenizer = load_transformer(folder, *_CLASSES)
    if quantize:
        _round(model)
    return TransformerEncoder(model.eval(), tokenizer, _longest(folder, tokenizer))


def _longest(folder: Path, tokenizer: Foreign) -> int:
    path = folder / "sentence_bert_config.json"
    said = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return min(int(tokenizer.model_max_length), int(said.get("max_seq_length") or 512))


def _round(model: Foreign) -> None:
    """Round the linear layers' weights, in place, and from now on their inputs."""
    import torch

    def rounded_input(_: object, inputs: tuple[Foreign, ...]) -> tuple[Foreign, ...]:
        rows = inputs[0]
        # 0 is one of the 256 values, so that what is 0 stays 0.
        low = rows.amin(-1, keepdim=True).clamp(max=0)
        scale = ((rows.amax(-1, keepdim=True).clamp(min=0) - low) / 255).clamp(min=1e-12)
        zero = torch.round(-low / scale)
        return (((rows / scale).round() + zero).clamp(0, 255).sub(zero) * scale, *inputs[1:])

    for layer in model.modules():
        if isinstance(layer, torch.nn.Linear):
            weight = layer.weight.data
            scale = (weight.abs().amax(1, keepdim=True) / 127).clamp(min=1e-12)
            layer.weight.data = (weight / scale).round() * scale
            layer.register_forward_pre_hook(rounded_input)
