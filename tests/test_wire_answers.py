"""What any answer means: whose fault, which error, and when "not found" is believed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krixik_async._errors import (
    AuthenticationError,
    FileRecordNotFound,
    KrixikError,
    RateLimited,
    RequestNotFound,
    RequestRejected,
    ServerError,
    ServiceError,
    UnexpectedReply,
)
from krixik_async._reply import Reply
from krixik_async._wire import _answers
from krixik_async._wire._answers import (
    FILE_NOT_FOUND,
    PATH_TAKEN,
    PIPELINE_MISMATCH,
    PROCESS_NOT_FOUND,
    SAME_NAME_OTHER_CHAIN,
    answered,
    json_object,
    narrow,
    refusal,
    says_not_found,
    tags,
    text,
    text_or_none,
    unexpected,
)
from krixik_async._wire._requests import (
    Delete,
    FetchOutput,
    GetStatus,
    KeywordSearch,
    ListFiles,
    Submit,
)

STATUS = GetStatus.endpoint
ENDPOINTS = [kind.endpoint for kind in (Submit, GetStatus, FetchOutput, Delete, ListFiles)]


def reply(status: int, body: Any = None, **headers: str) -> Reply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw)


def said(words: Any, **more: Any) -> dict[str, Any]:
    return {"request_id": "call", "message": words, **more}


def refused(status: int, body: Any) -> RequestRejected:
    return RequestRejected("no", reply=reply(status, body))


# --- refusals ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (reply(401, said("no")), AuthenticationError, "The api key was rejected"),
        (reply(403, {"message": "Forbidden"}), AuthenticationError, "403: Forbidden. The api key"),
        (reply(403, b"<html>"), AuthenticationError, "answered with 403. The api key"),
        (reply(429, b""), RateLimited, "asks for fewer requests"),
        (reply(429, said("slow", x=1), retry_after="3"), RateLimited, "429: slow. The service"),
        (reply(503, b"", retry_after="3"), RateLimited, "asks for fewer requests"),
        (reply(503, b""), ServerError, "answered with 503. The service failed"),
        (reply(500, said("broke"), retry_after="3"), ServerError, "500: broke. The service failed"),
        (reply(502, b"<html>"), ServerError, "answered with 502. The service failed"),
        (reply(599, []), ServerError, "answered with 599. The service failed"),
        (reply(400, said("because")), RequestRejected, "answered with 400: because"),
        (reply(404, said("because")), RequestRejected, "answered with 404: because"),
        (reply(409, said("because")), RequestRejected, "answered with 409: because"),
        (reply(410, said("because")), RequestRejected, "answered with 410: because"),
        (reply(422, said("because")), RequestRejected, "answered with 422: because"),
        (reply(400, {"request_id": "call"}), RequestRejected, "answered with 400"),
        (reply(400, said(["no text"])), RequestRejected, "answered with 400"),
        # 501 does not pass by waiting: `python -m http.server` says it to every POST.
        (reply(501, b"<html>"), UnexpectedReply, "501, not an answer of the Krixik protocol"),
        (reply(400, {"message": "m"}), UnexpectedReply, "not an answer of the Krixik protocol"),
        (reply(400, {"request_id": 5}), UnexpectedReply, "not an answer of the Krixik protocol"),
        (reply(404, b"<html>"), UnexpectedReply, "not an answer of the Krixik protocol"),
        (reply(404, [said("not found")]), UnexpectedReply, "check api_url, or a proxy"),
        (reply(418, said("tea")), UnexpectedReply, "418: tea, not an answer"),
        (reply(301, b""), UnexpectedReply, "answered with 301, a redirect: check api_url"),
        (reply(201, said("made")), UnexpectedReply, "201: made, not an answer"),
        (reply(204, b""), UnexpectedReply, "answered with 204, not an answer"),
        (reply(100, b""), UnexpectedReply, "answered with 100, not an answer"),
    ],
)
def test_each_status_means_one_error(answer: Reply, kind: type[KrixikError], words: str) -> None:
    error = refusal(STATUS, answer)
    assert error is not None
    assert (type(error), words in str(error)) == (kind, True), str(error)
    assert str(error).startswith("process_status was answered with ")
    assert (error.endpoint, error.reply, error.status_code) == (
        "process_status",
        answer,
        answer.status_code,
    )
    body = answer.json_object() or {}
    known = body.get("request_id")
    assert error.request_id == (known if isinstance(known, str) else None)


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}"])
def test_a_200_is_no_refusal_and_is_read_on(body: bytes) -> None:
    assert refusal(STATUS, reply(200, body)) is None


@given(
    st.sampled_from(ENDPOINTS),
    st.integers(-1, 999).filter(lambda status: status != 200),
    st.binary()
    | st.dictionaries(st.sampled_from(["request_id", "message"]), st.text() | st.none()),
)
def test_every_other_status_is_an_error_of_the_service(
    endpoint: Any, status: int, body: Any
) -> None:
    error = refusal(endpoint, reply(status, body))
    assert isinstance(error, ServiceError)
    with pytest.raises(type(error)) as caught:
        json_object(endpoint, reply(status, body))
    assert str(caught.value) == str(error)


def test_a_200_with_an_object_is_the_object() -> None:
    assert json_object(STATUS, reply(200, said("m"))) == said("m")


@pytest.mark.parametrize("body", [b"", b"<html>canary", b"[]", b"null", b"\xff"])
def test_a_200_with_anything_else_is_unexpected(body: bytes) -> None:
    with pytest.raises(UnexpectedReply, match="200, but the body is not a JSON object"):
        json_object(STATUS, reply(200, body))


# --- what is quoted ------------------------------------------------------------------------


def test_an_unexpected_answer_is_quoted_from_its_beginning() -> None:
    error = unexpected(STATUS, reply(200, b"<html>\xff" + b"x" * 1000), "why")
    assert str(error) == (
        "process_status was answered with 200, but why (it begins: '<html>\ufffd"
        + "x" * (120 - 7)
        + "')"
    )
    assert (error.endpoint, error.reply is not None) == ("process_status", True)


@pytest.mark.parametrize("kind", [Submit, FetchOutput])
def test_answers_that_hold_signed_links_are_not_quoted(kind: Any) -> None:
    error = unexpected(kind.endpoint, reply(200, b"canary"), "why")
    assert str(error) == f"{kind.endpoint.name} was answered with 200, but why"


# --- not found -----------------------------------------------------------------------------

NOT_FOUND = [
    PROCESS_NOT_FOUND.format("r"),
    FILE_NOT_FOUND.format("f"),
    "NOT FOUND",
    "the file does not exist",
    "There is no record of it",
]
OTHER_WORDS = [
    "",
    "no",
    "found",
    SAME_NAME_OTHER_CHAIN,
    PATH_TAKEN.format("/a.txt"),
    f"FAILURE: {PIPELINE_MISMATCH}",
    f"not found: {PIPELINE_MISMATCH}",
    None,
    5,
    ["not found"],
]


@pytest.mark.parametrize("status", [400, 404, 410])
def test_not_found_is_believed_from_the_protocol_in_its_words(status: int) -> None:
    assert [says_not_found(refused(status, said(words))) for words in NOT_FOUND] == [True] * 5
    assert [says_not_found(refused(status, said(words))) for words in OTHER_WORDS] == [False] * 10


@pytest.mark.parametrize("status", [401, 403, 409, 422, 500, 200])
def test_not_found_is_not_believed_with_another_status(status: int) -> None:
    assert [says_not_found(refused(status, said(words))) for words in NOT_FOUND] == [False] * 5


@pytest.mark.parametrize("body", [b"", b"not found", [said("not found")]])
def test_not_found_is_not_believed_without_an_object(body: Any) -> None:
    assert not says_not_found(refused(404, body))


def test_not_found_is_not_believed_without_an_answer() -> None:
    assert not says_not_found(RequestRejected("not found"))


@pytest.mark.parametrize(
    ("kind", "words"),
    [(RequestNotFound, "process 1 is gone"), (FileRecordNotFound, "file 1 is gone")],
)
def test_a_refusal_narrowed_down_keeps_what_it_knew_and_the_services_words(
    kind: type[KrixikError], words: str
) -> None:
    wide = refusal(STATUS, reply(400, said("it was not found")))
    assert isinstance(wide, RequestRejected)
    error = narrow(wide, kind, words)
    assert (type(error), str(error)) == (kind, f"{words}. The service says: it was not found")
    assert (error.request_id, error.endpoint, error.reply) == ("call", "process_status", wide.reply)


def test_the_services_words_can_be_missing() -> None:
    assert str(narrow(RequestRejected("m"), RequestNotFound, "gone")) == (
        "gone. The service says: None"
    )


# --- leaves --------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, True, 5, 1.5, [], {}])
def test_what_is_no_text_is_no_text(value: Any) -> None:
    assert (text(value), text_or_none(value)) == ("", None)


@pytest.mark.parametrize("value", ["", "a"])
def test_text_is_text(value: str) -> None:
    assert (text(value), text_or_none(value)) == (value, value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, ()),
        ("a", ()),
        ({"a": "b"}, ()),
        ([], ()),
        ([{"a": "b"}, "c", {"a": 5, "d": None}, {}], ({"a": "b"}, {"a": "5", "d": "None"}, {})),
    ],
)
def test_tags_are_read_as_far_as_they_are_some(value: Any, expected: Any) -> None:
    assert tags(value) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, ()),
        ({"warnings": None}, ()),
        ({"warnings": "w"}, ()),
        ({"warnings": [{"W": [1]}, "w"]}, ({"W": [1]}, "w")),
    ],
)
def test_warnings_are_kept_as_they_come(body: Any, expected: Any) -> None:
    assert answered(Reply(200), body)["warnings"] == expected


def test_the_words_of_the_protocol() -> None:
    """Clients match on these: they are said exactly as the service says them."""
    assert _answers.STATUS_FOUND == "SUCCESS: process_status found"
    assert _answers.NO_ITEMS == "No items found for input query arguments"
    assert _answers.NO_FILES == "No files were found for the given query arguments"
    assert _answers.FORBIDDEN == "Forbidden"
    assert _answers.UPLOADED == 204
    assert PROCESS_NOT_FOUND.format("ID") == "process_id was not found - ID"
    assert PIPELINE_MISMATCH == "pipeline of process_id does not match associated file pipeline"
    assert _answers.NOT_FINISHED == (
        "The output for associated with your input file_id has not finished processing"
    )


def test_searches_are_quoted_like_any_call() -> None:
    assert "canary" in str(unexpected(KeywordSearch.endpoint, reply(200, b"canary"), "why"))
