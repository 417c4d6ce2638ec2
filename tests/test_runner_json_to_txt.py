"""The module json-to-txt: the texts of a JSON list, one after the other."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krixik_async.server.runners import RunnerError, RunRequest
from krixik_async.server.runners._json_to_txt import run


def written(content: object, input_key: str | None = "snippet") -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        source, destination = Path(folder, "in.json"), Path(folder, "out.txt")
        source.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        request = RunRequest("json-to-txt", "base", {}, source, destination, input_key)
        assert run(request) == {}
        return destination.read_bytes()


def test_the_values_are_joined_by_a_newline_with_none_at_the_end() -> None:
    assert written([{"snippet": "One."}, {"snippet": "Two."}]) == b"One.\nTwo."


@pytest.mark.parametrize("key", ["caption", "text", "transcript"])
def test_the_key_of_the_module_before_is_used(key: str) -> None:
    assert written([{key: "yes", "snippet": "no"}], key) == b"yes"


def test_without_a_key_it_is_snippet_and_other_keys_are_ignored() -> None:
    assert written([{"snippet": "One.", "line_numbers": [1], "text": "no"}], None) == b"One."


def test_a_value_is_written_as_it_is_in_utf8() -> None:
    assert written([{"snippet": "más\r\n \x0c"}]) == "más\r\n \x0c".encode()


def test_an_empty_list_makes_an_empty_text() -> None:
    assert written([]) == b""


@given(st.lists(st.text()))
def test_the_output_is_the_join_of_any_texts(values: list[str]) -> None:
    assert written([{"snippet": value} for value in values]) == "\n".join(values).encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'[{"snippet": "\xff"}]', "the input is not valid UTF-8 text"),
        (b"[1,", "the input is not valid JSON: Expecting value: line 1 column 4 (char 3)"),
        (b"", "the input is not valid JSON: Expecting value: line 1 column 1 (char 0)"),
        (b"[" * 200_000, "the input is not JSON of a size that can be read"),
        (b"9" * 10_000, "the input is not JSON of a size that can be read"),
        ({"snippet": "x"}, "the JSON input must be a list of objects"),
        (["x"], "entry 0 of the JSON input has no text under the key 'snippet'"),
        (
            [{"snippet": "x"}, {"text": "y"}],
            "entry 1 of the JSON input has no text under the key 'snippet'",
        ),
        ([{"snippet": 5}], "entry 0 of the JSON input has no text under the key 'snippet'"),
        ([{"snippet": None}], "entry 0 of the JSON input has no text under the key 'snippet'"),
        ([{"snippet": "\ud800"}], "the JSON input has half of a surrogate pair in a text"),
    ],
)
def test_input_it_cannot_take_is_refused_in_one_line(content: object, message: str) -> None:
    with pytest.raises(RunnerError) as caught:
        written(content)
    assert str(caught.value) == message
