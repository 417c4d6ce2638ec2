"""sentiment: how positive, negative and neutral each snippet is, by a text classifier.

The classifiers of the catalogue have two classes, three, or one to five stars; all are put out as
the same three shares, which add up to 1: one and two stars are negative, three neutral, four and
five positive, and what a model has no class for is 0.0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from krixik_async.server.runners._entries import read_entries, write_entries
from krixik_async.server.runners._request import RunnerError, RunRequest
from krixik_async.server.runners._shelf import Foreign, borrowed, load_transformer, tokenized
from krixik_async.server.runners._weights import weights_of

__all__ = ["run"]

_CLASSES = ("AutoModelForSequenceClassification", "AutoTokenizer")
_SHARES = ("positive", "negative", "neutral")
_SHARE_OF = MappingProxyType(
    {
        **{share: share for share in _SHARES},
        "1 star": "negative",
        "2 stars": "negative",
        "3 stars": "neutral",
        "4 stars": "positive",
        "5 stars": "positive",
    }
)
"""The classes of the four models, from their configurations on the hub, 2026-11 -> their share."""

_AT_A_TIME = 16


def run(request: RunRequest) -> dict[str, object]:
    """Write each snippet with its shares, 3 decimals; `num_lines` is the number of snippets.

    Line numbers do not come through, as they do not through the hosted service's.

    Raises:
        RunnerError: JSON without texts; weights that are not here, or of another kind of model.
    """
    texts = [entry.text for entry in read_entries(request)]
    with borrowed(load_transformer, weights_of(request), *_CLASSES) as (model, tokenizer):
        shares = _in_shares(model.config.id2label)
        scored = list(_scores(model.eval(), tokenizer, texts))
    entries = (
        {"snippet": text, **_summed(shares, row)} for text, row in zip(texts, scored, strict=True)
    )
    return {"num_lines": write_entries(entries, request.destination)}


def _in_shares(names: Mapping[int, str]) -> list[str]:
    shares = [_SHARE_OF.get(names[position].lower()) for position in range(len(names))]
    if None in shares:
        raise RunnerError(f"a model with the classes {', '.join(names.values())} is not known")
    return [share for share in shares if share]


def _scores(model: Foreign, tokenizer: Foreign, texts: Sequence[str]) -> Iterator[list[float]]:
    import torch

    for inputs in tokenized(tokenizer, texts, at_a_time=_AT_A_TIME):
        with torch.inference_mode():
            yield from model(**inputs).logits.softmax(-1).tolist()


def _summed(shares: Sequence[str], row: Sequence[float]) -> dict[str, float]:
    sums = dict.fromkeys(_SHARES, 0.0)
    for share, value in zip(shares, row, strict=True):
        sums[share] += value
    return {share: round(value, 3) for share, value in sums.items()}
