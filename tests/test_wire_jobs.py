"""Readers of what concerns one job: check-in, ticket, upload, status."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from krixik_async._errors import (
    AuthenticationError,
    KrixikError,
    RequestNotFound,
    RequestRejected,
    ServerError,
    UnexpectedReply,
    UploadRejected,
)
from krixik_async._models import FailureStatus, ProcessStatus
from krixik_async._reply import Reply
from krixik_async._wire._jobs import (
    Ticket,
    read_check_in,
    read_flags,
    read_status,
    read_ticket,
    read_upload,
)
from krixik_async._wire._requests import CheckIn, GetStatus, Submit

CANARY = "canary"
LABELS = ("module_1", "module_2")


def reply(body: Any, status: int = 200) -> Reply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, {}, raw)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)
keys = st.sampled_from(
    [
        "request_id",
        "file_id",
        "message",
        "process_status",
        "failure_status",
        "presigned_post_url_results",
        "url",
        "fields",
    ]
)
bodies = st.binary() | st.dictionaries(keys, values) | values
flags = st.dictionaries(
    st.sampled_from(
        ["module_1", "module_1.parser", "module_2", "module_2.a.b", "module_3", ".", ""]
    ),
    st.booleans() | st.sampled_from([1, 0, "true", None, [True]]),
)


def outcome_of(read: Callable[[], Any]) -> tuple[Any, KrixikError | None]:
    try:
        return read(), None
    except KrixikError as error:
        return None, error


# --- any answer ----------------------------------------------------------------------------


@given(bodies, st.sampled_from([200, 200, 200, 204, 301, 400, 401, 403, 404, 410, 429, 500, 503]))
def test_a_reader_gives_its_value_or_an_error_of_ours(body: Any, status: int) -> None:
    answer = reply(body, status)
    for read in (
        lambda: read_check_in(CheckIn.endpoint, answer),
        lambda: read_ticket(Submit.endpoint, answer),
        lambda: read_upload(answer),
        lambda: read_status(GetStatus.endpoint, answer, pipeline="p", process_id="r"),
        lambda: read_status(
            GetStatus.endpoint, answer, pipeline="p", process_id="r", expected=LABELS
        ),
    ):
        result, error = outcome_of(read)
        assert isinstance(result, Ticket | ProcessStatus | None)
        assert error is None or error.reply == answer


# --- check-in, upload ----------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"message": "welcome"}'])
def test_a_check_in_is_any_200(body: bytes) -> None:
    read_check_in(CheckIn.endpoint, reply(body))


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, AuthenticationError), (403, AuthenticationError), (500, ServerError)],
)
def test_a_check_in_raises_what_another_answer_means(status: int, kind: type[KrixikError]) -> None:
    with pytest.raises(kind):
        read_check_in(CheckIn.endpoint, reply(b"", status))


def test_an_upload_is_done_with_204() -> None:
    read_upload(reply(b"", 204))


@pytest.mark.parametrize("status", [200, 201, 303, 400, 403, 500])
def test_any_other_answer_to_an_upload_is_a_refusal_that_repeats_nothing_of_it(
    status: int,
) -> None:
    with pytest.raises(UploadRejected) as caught:
        read_upload(reply(b"<Error>canary</Error>", status))
    error = caught.value
    assert str(error) == f"the upload was answered with {status} instead of 204"
    assert (error.endpoint, error.status_code) == ("upload", status)


# --- ticket --------------------------------------------------------------------------------

FORM = {"url": f"https://bucket/?{CANARY}", "fields": {"key": CANARY, "policy": "p", "n": 5}}
TICKET = {"request_id": "r", "file_id": "f", "presigned_post_url_results": FORM, "message": "m"}


def test_a_ticket_has_its_ids_and_the_form_in_the_order_given() -> None:
    answer = reply(TICKET)
    assert read_ticket(Submit.endpoint, answer) == Ticket(
        request_id="r",
        file_id="f",
        url=f"https://bucket/?{CANARY}",
        fields=(("key", CANARY), ("policy", "p"), ("n", "5")),
        reply=answer,
    )


def test_the_answer_that_is_kept_with_a_ticket_is_without_the_form() -> None:
    """It goes to the user with the job, who has no use for it, and may be logged or pickled."""
    answer = reply({**TICKET, "later": {"ü": [1.5]}, "warnings": ["careful"]})
    kept = read_ticket(Submit.endpoint, answer).reply
    assert (kept.status_code, kept.headers) == (answer.status_code, answer.headers)
    assert kept.json_object() == {
        **TICKET,
        "later": {"ü": [1.5]},
        "warnings": ["careful"],
        "presigned_post_url_results": None,
    }
    assert CANARY in str(answer.body)
    assert CANARY not in f"{attrs.asdict(kept)} {pickle.dumps(kept)!r}"


def test_a_ticket_shows_its_ids_and_nothing_of_the_form() -> None:
    ticket = read_ticket(Submit.endpoint, reply(TICKET))
    assert repr(ticket) == "Ticket(request_id='r', file_id='f')"


def without(key: str, body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name != key}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (without("request_id", TICKET), "no upload ticket"),
        (without("file_id", TICKET), "no upload ticket"),
        (without("presigned_post_url_results", TICKET), "no upload ticket"),
        ({**TICKET, "request_id": 5}, "no upload ticket"),
        ({**TICKET, "presigned_post_url_results": [CANARY]}, "no upload ticket"),
        ({**TICKET, "presigned_post_url_results": without("url", FORM)}, "no upload form"),
        ({**TICKET, "presigned_post_url_results": without("fields", FORM)}, "no upload form"),
        ({**TICKET, "presigned_post_url_results": {**FORM, "fields": []}}, "no upload form"),
        # JSON can say half of a surrogate pair; no form can be made of it.
        (
            {**TICKET, "presigned_post_url_results": {**FORM, "fields": {"key": "\ud800"}}},
            "the body is not a JSON object",
        ),
        (
            {**TICKET, "presigned_post_url_results": {**FORM, "fields": {"\udfff": CANARY}}},
            "the body is not a JSON object",
        ),
        ([TICKET], "the body is not a JSON object"),
        (b'"' + CANARY.encode(), "the body is not a JSON object"),
    ],
)
def test_a_ticket_with_a_part_missing_is_unexpected_and_its_secrets_are_not_told(
    body: Any, why: str
) -> None:
    with pytest.raises(UnexpectedReply) as caught:
        read_ticket(Submit.endpoint, reply(body))
    assert why in str(caught.value)
    assert CANARY not in f"{caught.value} {caught.value!r} {caught.value.reply!r}"


def test_a_refused_ticket_has_the_services_words() -> None:
    with pytest.raises(RequestRejected) as caught:
        read_ticket(Submit.endpoint, reply({"request_id": "c", "message": "taken"}, 400))
    assert str(caught.value) == "process was answered with 400: taken"


# --- flags ---------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, True, [], {}, "module_1", 5, [{"module_1": True}]])
@pytest.mark.parametrize("expected", [None, LABELS])
def test_what_is_no_flags_object_is_none(value: Any, expected: Any) -> None:
    assert read_flags(value, expected) is None


@pytest.mark.parametrize(
    ("value", "expected", "read", "done"),
    [
        ({"module_1": True}, None, {"module_1": True}, True),
        ({"module_1": False}, None, {"module_1": False}, False),
        ({"module_1.parser": True}, ("module_1",), {"module_1": True}, True),
        ({"module_1": True}, LABELS, {"module_1": True}, False),
        ({"module_1": True, "module_2": True}, LABELS, dict.fromkeys(LABELS, True), True),
        ({"module_2": True, "module_1": True}, LABELS, dict.fromkeys(LABELS, True), True),
        ({"module_1": True, "module_2": True}, ("module_1",), dict.fromkeys(LABELS, True), False),
        ({"module_1.a": True, "module_1.b": False}, None, {"module_1": False}, False),
        ({"module_1.a": False, "module_1.b": True}, None, {"module_1": False}, False),
        ({"module_1": 1}, None, {"module_1": False}, False),
        ({"module_1": "true"}, None, {"module_1": False}, False),
        ({"module_1": None}, None, {"module_1": False}, False),
    ],
)
def test_flags_are_read_by_their_labels(
    value: Any, expected: Any, read: dict[str, bool], done: bool
) -> None:
    assert read_flags(value, expected) == (read, done)


@given(flags.filter(bool), st.none() | st.just(LABELS))
def test_done_is_every_key_true_and_exactly_the_labels(value: Any, expected: Any) -> None:
    found = read_flags(value, expected)
    assert found is not None
    read, done = found
    labels = {key.split(".")[0] for key in value}
    assert set(read) == labels
    assert all(
        read[label] is all(v is True for k, v in value.items() if k.split(".")[0] == label)
        for label in labels
    )
    all_true = all(v is True for v in value.values())
    assert done is (all_true and (expected is None or labels == set(expected)))


@given(flags.filter(bool), st.randoms())
def test_the_order_of_the_keys_does_not_matter(value: Any, random: Any) -> None:
    items = list(value.items())
    random.shuffle(items)
    assert read_flags(dict(items), LABELS) == read_flags(value, LABELS)


@given(flags, st.sampled_from(["module_1.x", "module_2.x", "module_4"]))
def test_one_more_flag_that_is_false_is_never_done(value: Any, key: str) -> None:
    for expected in (None, LABELS):
        found = read_flags({**value, key: False}, expected)
        assert found is not None
        assert not found[1]


# --- status --------------------------------------------------------------------------------

BODY = {
    "request_id": "call",
    "file_id": "f",
    "message": "SUCCESS: process_status found",
    "process_status": {"module_1.parser": True, "module_2.keyword-db": False},
    "failure_status": None,
}


def status(body: Any, code: int = 200, expected: Any = LABELS) -> ProcessStatus:
    return read_status(
        GetStatus.endpoint, reply(body, code), pipeline="p", process_id="r", expected=expected
    )


def test_a_status_is_read_whole() -> None:
    assert status(BODY) == ProcessStatus(
        status_code=200,
        request_id="call",
        file_id="f",
        message="SUCCESS: process_status found",
        pipeline="p",
        modules={"module_1": True, "module_2": False},
        overall_status="ongoing",
    )
    assert status(BODY).raw == BODY
    assert status(BODY).reply == reply(BODY)
    assert json.dumps(status(BODY).to_dict()) == (
        '{"status_code": 200, "request_id": "call", "file_id": "f", '
        '"message": "SUCCESS: process_status found", "pipeline": "p", '
        '"process_status": {"module_1": true, "module_2": false}, "overall_status": "ongoing"}'
    )


def test_complete_is_exactly_the_chains_labels_where_the_chain_is_known() -> None:
    one = {**BODY, "process_status": {"module_1": True}}
    assert status(one, expected=None).overall_status == "complete"
    assert status(one, expected=("module_1",)).overall_status == "complete"
    assert status(one).overall_status == "ongoing"


@pytest.mark.parametrize("message", [None, 5, ...])
def test_a_status_without_words_has_none(message: Any) -> None:
    body = without("message", BODY) if message is ... else {**BODY, "message": message}
    assert status(body).message == ""


@pytest.mark.parametrize(
    ("failed", "failure"),
    [
        (
            {"process_id": "r", "failure_module": "module_2.keyword-db", "new": 1},
            FailureStatus(process_id="r", failure_module="module_2.keyword-db"),
        ),
        (
            {"process_id": "r", "message": "no weights"},
            FailureStatus(process_id="r", failure_module=None, message="no weights"),
        ),
        ({"failure_module": 5, "message": 5}, FailureStatus(process_id=None, failure_module=None)),
        ({}, FailureStatus(process_id=None, failure_module=None)),
        ("broke", FailureStatus(process_id=None, failure_module=None)),
        (True, FailureStatus(process_id=None, failure_module=None)),
    ],
)
def test_a_failure_wins_over_whatever_the_flags_say(failed: Any, failure: FailureStatus) -> None:
    done = dict.fromkeys(LABELS, True)
    for flags_said, modules in ((None, {}), ({}, {}), (done, done)):
        read = status({**BODY, "process_status": flags_said, "failure_status": failed})
        assert (read.overall_status, read.failure_status, read.modules) == (
            "failed",
            failure,
            modules,
        )
        assert read.failure_status is not None
        raw = failed if isinstance(failed, dict) else {"failure": failed}
        assert read.failure_status.raw == raw
        assert read.to_dict()["failure_status"] == raw


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({**BODY, "process_status": None}, "neither flags nor a failure"),
        ({**BODY, "process_status": {}}, "neither flags nor a failure"),
        (without("process_status", BODY), "neither flags nor a failure"),
        (without("request_id", BODY), "names no request_id and file_id"),
        (without("file_id", BODY), "names no request_id and file_id"),
        ({**BODY, "file_id": None}, "names no request_id and file_id"),
        ([BODY], "the body is not a JSON object"),
        (b"<html>", "the body is not a JSON object (it begins: '<html>')"),
    ],
)
def test_a_status_that_says_nothing_is_unexpected(body: Any, why: str) -> None:
    with pytest.raises(UnexpectedReply) as caught:
        status(body)
    assert why in str(caught.value)
    assert caught.value.reply == reply(body)


@pytest.mark.parametrize("code", [400, 404, 410])
def test_an_id_that_is_not_on_record_is_told_with_the_services_words(code: int) -> None:
    body = {"request_id": "call", "message": "process_id was not found - r"}
    with pytest.raises(RequestNotFound) as caught:
        status(body, code)
    assert str(caught.value) == (
        "no process r is on record: the id is wrong, of another account, or its file was deleted "
        "or has expired. The service says: process_id was not found - r"
    )
    assert caught.value.__cause__ is None
    assert caught.value.reply == reply(body, code)


def test_another_refusal_stays_what_it_is() -> None:
    words = "FAILURE: pipeline of process_id does not match associated file pipeline"
    with pytest.raises(RequestRejected) as caught:
        status({"request_id": "call", "message": words}, 400)
    assert type(caught.value) is RequestRejected


def test_a_strangers_404_is_no_verdict_about_a_job() -> None:
    for body in (b"404 page not found", {"message": "not found"}):
        with pytest.raises(UnexpectedReply):
            status(body, 404)
