"""A raw answer: JSON in UTF-8 or a ValueError, never anything else."""

from __future__ import annotations

import json
import pickle
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from krixik_async._reply import Reply

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(values)
def test_what_was_written_as_json_is_read_back(value: Any) -> None:
    assert Reply(200, body=json.dumps(value).encode()).json() == value


@given(values)
def test_only_an_object_is_an_object(value: Any) -> None:
    expected = value if isinstance(value, dict) else None
    assert Reply(200, body=json.dumps(value).encode()).json_object() == expected


@given(st.binary())
def test_any_bytes_are_json_or_a_value_error(body: bytes) -> None:
    reply = Reply(200, body=body)
    try:
        reply.json()
    except ValueError:
        assert reply.json_object() is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html/>",
        b"{",
        b'{"a": "\xff"}',
        '{"a": 1}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-32-le"),
        b"[" * 200_000,
        rb'{"request_id": "\ud800"}',  # half of a surrogate pair
        rb'[{"\uDFFF": 1}]',
        b"9" * 5000,  # more digits than Python turns into a number
    ],
)
def test_what_is_not_json_in_utf_8_is_a_value_error_and_no_object(body: bytes) -> None:
    reply = Reply(200, body=body)
    with pytest.raises(ValueError):
        reply.json()
    assert reply.json_object() is None


def test_a_whole_surrogate_pair_is_a_character() -> None:
    assert Reply(200, body=rb'["\ud83d\ude00"]').json() == ["\U0001f600"]


def test_a_byte_order_mark_in_front_does_not_hurt() -> None:
    assert Reply(200, body=b'\xef\xbb\xbf{"a": "\xc3\xa9"}').json() == {"a": "é"}


def test_a_reply_shows_its_status_and_hides_the_rest() -> None:
    reply = Reply(200, {"set-cookie": "canary"}, b"canary")
    assert repr(reply) == "Reply(status_code=200)"


def test_a_reply_is_frozen_and_travels_through_pickle() -> None:
    reply = Reply(200, {"a": "b"}, b"c")
    assert pickle.loads(pickle.dumps(reply)) == reply
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        reply.status_code = 201  # type: ignore[misc]
    assert Reply(204) == Reply(204, {}, b"")
