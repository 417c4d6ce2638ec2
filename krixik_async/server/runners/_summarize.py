"""summarize: a text into a shorter one, by a sequence-to-sequence model.

A text longer than the model reads is summarised in parts, each a paragraph of the output; a part
ends with a sentence if one ends in its second half. Paragraphs are wrapped at 12 words a line and
a blank line stands between them, as in the hosted service's outputs; where it cuts a text is not
known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from krixik_async.server.runners._reading import read_text
from krixik_async.server.runners._request import RunRequest
from krixik_async.server.runners._shelf import Foreign, borrowed, load_transformer
from krixik_async.server.runners._weights import weights_of

__all__ = ["run"]

_CLASSES = ("AutoModelForSeq2SeqLM", "AutoTokenizer")
_WORDS_A_LINE = 12
# bart-large-cnn reads 1024 tokens, text-summarization 512; a tokenizer without a limit of its own
# has an astronomic one.
_LONGEST = 1024
# Left free for the marks at both ends of a part and for what joining the words may add.
_MARGIN = 8
_SENTENCE_END = re.compile("[.!?][\"')\u2019\u201d]*$")
# What the configuration of such a model says of summaries, that generate() takes.
_SETTINGS = (
    "early_stopping",
    "length_penalty",
    "max_length",
    "min_length",
    "no_repeat_ngram_size",
    "num_beams",
)


def run(request: RunRequest) -> dict[str, object]:
    """Write the summary as text; there is no metadata, as what the service says is not known.

    Raises:
        RunnerError: not UTF-8; weights that are not here, or of another kind of model.
    """
    words = read_text(request.source).split()
    with borrowed(load_transformer, weights_of(request), *_CLASSES) as (model, tokenizer):
        special = (getattr(model.config, "task_specific_params", None) or {}).get("summarization")
        settings: Mapping[str, object] = special or {}
        prefix = str(settings.get("prefix", ""))
        parts = _parts(tokenizer, words, prefix)
        summaries = [_summary(model.eval(), tokenizer, prefix + p, settings) for p in parts]
    request.destination.write_text("\n\n".join(map(_wrapped, summaries)), encoding="utf-8")
    return {}


def _parts(tokenizer: Foreign, words: Sequence[str], prefix: str) -> Iterator[str]:
    """Yield pieces of the text that fit into the model with the prefix."""
    if not words:
        return
    # The blank before a word belongs to it for most tokenizers.
    pieces = [f" {word}" for word in words]
    lengths = [len(ids) for ids in tokenizer(pieces, add_special_tokens=False)["input_ids"]]
    before = len(tokenizer(prefix, add_special_tokens=False)["input_ids"]) if prefix else 0
    room = min(tokenizer.model_max_length, _LONGEST) - _MARGIN - before
    start = 0
    while start < len(words):
        end = _end_of_part(words, lengths, start, room)
        yield " ".join(words[start:end])
        start = end


def _end_of_part(words: Sequence[str], lengths: Sequence[int], start: int, room: int) -> int:
    end, used = start, 0
    while end < len(words) and (end == start or used + lengths[end] <= room):
        used += lengths[end]
        end += 1
    if end == len(words):
        return end
    for last in range(end - 1, start + (end - start) // 2, -1):
        if _SENTENCE_END.search(words[last]):
            return last + 1
    return end


def _summary(model: Foreign, tokenizer: Foreign, text: str, settings: Mapping[str, object]) -> str:
    import torch

    longest = min(tokenizer.model_max_length, _LONGEST)
    inputs = tokenizer([text], max_length=longest, return_tensors="pt", truncation=True)
    with torch.inference_mode():
        made = model.generate(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            do_sample=False,
            **{name: settings[name] for name in _SETTINGS if name in settings},
        )
    return str(tokenizer.batch_decode(made, skip_special_tokens=True)[0])


def _wrapped(summary: str) -> str:
    words = summary.split()
    starts = range(0, len(words), _WORDS_A_LINE)
    return "\n".join(" ".join(words[start : start + _WORDS_A_LINE]) for start in starts)
