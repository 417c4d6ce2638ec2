"""translate: each snippet in another language, by a Marian model of the OPUS-MT collection.

The hosted service deletes all characters outside ASCII from its translations ("más" comes out as
"ms"), and so does this. Line numbers come through.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from krixik_async.server.runners._entries import Entry, read_entries, write_entries
from krixik_async.server.runners._request import RunRequest
from krixik_async.server.runners._shelf import Foreign, borrowed, load_transformer, tokenized
from krixik_async.server.runners._weights import weights_of

__all__ = ["run"]

_CLASSES = ("AutoModelForSeq2SeqLM", "AutoTokenizer")
_AT_A_TIME = 8


def run(request: RunRequest) -> dict[str, object]:
    """Write the translations in order; `num_lines` is their number.

    Raises:
        RunnerError: JSON without texts; weights that are not here, or of another kind of model.
    """
    entries = read_entries(request)
    with borrowed(load_transformer, weights_of(request), *_CLASSES) as (model, tokenizer):
        translated = list(_translated(model.eval(), tokenizer, [entry.text for entry in entries]))
    pairs = zip(entries, translated, strict=True)
    written = write_entries((_output(*pair) for pair in pairs), request.destination)
    return {"num_lines": written}


def _translated(model: Foreign, tokenizer: Foreign, texts: Sequence[str]) -> Iterator[str]:
    import torch

    for inputs in tokenized(tokenizer, texts, at_a_time=_AT_A_TIME):
        with torch.inference_mode():
            made = model.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                do_sample=False,
            )
        yield from tokenizer.batch_decode(made, skip_special_tokens=True)


def _output(entry: Entry, translation: str) -> dict[str, object]:
    snippet = translation.encode("ascii", "ignore").decode("ascii")
    if entry.line_numbers is None:
        return {"snippet": snippet}
    return {"snippet": snippet, "line_numbers": entry.line_numbers}
