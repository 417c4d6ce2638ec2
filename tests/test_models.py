"""The values callers get: frozen, teaching, picklable, with the official shapes on demand."""

from __future__ import annotations

import inspect
import json
import pickle
from typing import Any, get_args

import attrs
import pytest

from krixik_async import _models
from krixik_async._errors import RequestNotFound
from krixik_async._models import (
    VANISHED,
    Answer,
    CapResult,
    DeleteResult,
    FailureStatus,
    FileRecord,
    GlobalHit,
    GlobalSearchResult,
    JobOutcome,
    JobRef,
    JobState,
    KeywordHit,
    KeywordItem,
    KeywordSearchResult,
    ListResult,
    Output,
    ProcessStatus,
    ResetResult,
    SearchedFile,
    SemanticHit,
    SemanticItem,
    SemanticSearchResult,
    UpdateResult,
    Value,
    WaitStatistics,
)
from krixik_async._reply import Reply

REPLY = Reply(200, {"x-amz": "canary"}, b"canary")
RAW: dict[str, Any] = {
    "pipeline": "books",
    "request_id": "call",
    "message": "m",
    "warnings": [],
    "new": {"key": ["canary"]},
}
CALL: dict[str, Any] = {"status_code": 200, "request_id": "call", "message": "m"}
RECORD = FileRecord(
    file_id="f",
    process_id="p",
    pipeline="books",
    file_name="moby.txt",
    symbolic_directory_path="/novels",
    raw={"file_id": "f", "extra": [1]},
)
ITEM = KeywordItem(
    file_id="f",
    file_metadata=SearchedFile(file_name="moby.txt", symbolic_directory_path="/novels"),
    search_results=(KeywordHit(keyword="whale", line_number=3, keyword_number=1),),
)
NEAR = SemanticItem(
    file_id="f",
    file_metadata=ITEM.file_metadata,
    search_results=(SemanticHit(snippet="Whales.", line_numbers=(3,), distance=0.1, raw=RAW),),
    raw=RAW,
)
NEAREST = GlobalHit(
    snippet="Whales.",
    line_numbers=(3,),
    distance=0.1,
    file_id="f",
    file_metadata=ITEM.file_metadata,
)
REF = JobRef(request_id="r", pipeline="books")
ONGOING = ProcessStatus(
    **CALL,
    file_id="f",
    pipeline="books",
    modules={"module_1": True, "module_2": False},
    overall_status="ongoing",
    raw=RAW,
    reply=REPLY,
)
VALUES: list[Any] = [
    REF,
    FailureStatus(process_id="r", failure_module="module_1", raw=RAW),
    ONGOING,
    JobOutcome(request_id="r", state="pending", job=REF, last_status=ONGOING),
    Answer(**CALL, raw=RAW, reply=REPLY),
    RECORD,
    ListResult(**CALL, items=(RECORD,), raw=RAW, reply=REPLY),
    ITEM.search_results[0],
    ITEM.file_metadata,
    ITEM,
    KeywordSearchResult(**CALL, items=(ITEM,), raw=RAW, reply=REPLY),
    NEAR.search_results[0],
    NEAR,
    SemanticSearchResult(**CALL, items=(NEAR,), raw=RAW, reply=REPLY),
    NEAREST,
    GlobalSearchResult(**CALL, items=(NEAREST,), raw=RAW, reply=REPLY),
    UpdateResult(**CALL, pipeline="books", file_id="f", raw=RAW, reply=REPLY),
    CapResult(**CALL, raw=RAW, reply=REPLY),
    DeleteResult(**CALL, pipeline="books", file_id="f", raw=RAW, reply=REPLY),
    ResetResult(pipeline="books"),
    Output(**CALL, process_output=["canary"], raw=RAW, reply=REPLY),
    WaitStatistics(jobs=2, status_requests=3, list_requests=1),
]
every_value = pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)


def test_every_class_of_the_module_is_tried_below() -> None:
    classes = {kind for _, kind in inspect.getmembers(_models, attrs.has)}
    own = {kind for kind in classes if kind.__module__.startswith(_models.__name__)}
    assert {type(value) for value in VALUES} == own


@every_value
def test_a_value_is_frozen_has_no_room_for_more_and_travels_through_pickle(value: Any) -> None:
    other = pickle.loads(pickle.dumps(value))
    assert (other, type(other)) == (value, type(value))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(value, attrs.fields(type(value))[0].name, "x")
    with pytest.raises(AttributeError):
        value.no_such_attribute = "x"


@every_value
def test_what_the_service_sent_does_not_show_in_a_repr(value: Any) -> None:
    assert "canary" not in repr(value)


@every_value
def test_values_that_say_the_same_are_equal_however_it_was_sent(value: Any) -> None:
    sent = {"raw": {"other": 1}, "reply": Reply(500, {}, b"other")}
    fields = attrs.fields_dict(type(value))
    other = attrs.evolve(value, **{name: v for name, v in sent.items() if name in fields})
    assert other == value


@pytest.mark.parametrize("value", [v for v in VALUES if isinstance(v, Value)], ids=repr)
def test_subscripting_fails_with_what_to_write_instead(value: Any) -> None:
    with pytest.raises(TypeError) as caught:
        value["file_id"]
    attribute = ".file_id, or " if hasattr(value, "file_id") else ""
    assert str(caught.value) == (
        f"{type(value).__name__} is a typed value and takes no subscript: "
        f"write {attribute}.to_dict()['file_id']"
    )


def test_a_subscript_that_is_an_attribute_is_named_as_one() -> None:
    with pytest.raises(TypeError, match=r"write \.overall_status, or \.to_dict"):
        ONGOING["overall_status"]
    with pytest.raises(TypeError, match=r"subscript: write \.to_dict\(\)\['process_status'\]$"):
        ONGOING["process_status"]


@pytest.mark.parametrize(
    "value", [v for v in VALUES if hasattr(v, "to_dict")], ids=lambda v: type(v).__name__
)
def test_a_dict_is_fresh_down_to_its_leaves(value: Any) -> None:
    first, before = value.to_dict(), json.dumps(value.to_dict())
    for inner in first.values():
        if isinstance(inner, dict | list):
            inner.clear()
    first.clear()
    assert json.dumps(value.to_dict()) == before


def test_a_status_gives_the_official_dict_key_for_key() -> None:
    assert json.dumps(ONGOING.to_dict()) == json.dumps(
        {
            "status_code": 200,
            "request_id": "call",
            "file_id": "f",
            "message": "m",
            "pipeline": "books",
            "process_status": {"module_1": True, "module_2": False},
            "overall_status": "ongoing",
        }
    )


def test_a_failed_status_gives_the_services_own_failure_instead_of_flags() -> None:
    failed = attrs.evolve(
        ONGOING,
        overall_status="failed",
        failure_status=FailureStatus(
            process_id="r", failure_module="module_2", raw={"failure_module": "module_2", "why": 1}
        ),
    )
    assert json.dumps(failed.to_dict()) == json.dumps(
        {
            "status_code": 200,
            "request_id": "call",
            "file_id": "f",
            "message": "m",
            "pipeline": "books",
            "failure_status": {"failure_module": "module_2", "why": 1},
            "overall_status": "failed",
        }
    )


@pytest.mark.parametrize(
    ("state", "vanished", "ended"),
    [
        ("pending", False, False),
        ("complete", False, True),
        ("failed", False, True),
        ("expired", True, True),
        ("deleted", True, True),
        ("not_found", True, True),
        ("error", False, True),
    ],
)
def test_the_states_of_a_job(state: JobState, vanished: bool, ended: bool) -> None:
    outcome = JobOutcome(request_id="r", state=state, job=REF)
    assert (outcome.vanished, outcome.ended) == (vanished, ended)
    assert outcome.ok is (state == "complete")


def test_there_are_seven_states_and_three_of_them_are_vanished() -> None:
    assert len(get_args(JobState)) == 7
    assert set(get_args(JobState)) >= VANISHED == {"expired", "deleted", "not_found"}


def test_an_outcome_shows_the_error_but_not_the_job_or_the_last_status() -> None:
    outcome = JobOutcome(
        request_id="r", state="not_found", job=REF, last_status=ONGOING, error=RequestNotFound("no")
    )
    assert repr(outcome) == (
        "JobOutcome(request_id='r', state='not_found', file_id='', modules={}, "
        "failure_module=None, error=RequestNotFound('no'))"
    )


def test_an_answer_gives_the_services_own_keys_unknown_ones_too_behind_the_status() -> None:
    shape = Answer(**CALL, raw=RAW).to_dict()
    assert json.dumps(shape) == json.dumps({"status_code": 200, **RAW})


@pytest.mark.parametrize(
    ("directory", "path"),
    [("/", "/moby.txt"), ("/novels", "/novels/moby.txt"), ("/a/b", "/a/b/moby.txt")],
)
def test_directory_and_name_make_one_path(directory: str, path: str) -> None:
    record = attrs.evolve(RECORD, symbolic_directory_path=directory)
    assert record.symbolic_file_path == path


def test_a_record_gives_the_services_own_item() -> None:
    assert RECORD.to_dict() == {"file_id": "f", "extra": [1]}


@pytest.mark.parametrize(
    "kind", [ListResult, KeywordSearchResult, SemanticSearchResult, GlobalSearchResult]
)
@pytest.mark.parametrize("items", [(), (RECORD,), (RECORD, RECORD)])
def test_found_files_are_iterated_and_counted(kind: Any, items: tuple[Any, ...]) -> None:
    result = kind(**CALL, items=items)
    assert (list(result), len(result), bool(result)) == (list(items), len(items), bool(items))


def test_an_output_puts_the_parsed_output_and_its_files_into_the_official_dict() -> None:
    output = Output(
        **{**CALL, "message": "m and saved"},
        raw={"message": "m", "process_output": [{"url": "signed"}], "new": 1},
        process_output=[{"snippet": "a"}],
        process_output_files=("out/f.json",),
    )
    assert json.dumps(output.to_dict()) == json.dumps(
        {
            "status_code": 200,
            "message": "m and saved",
            "process_output": [{"snippet": "a"}],
            "new": 1,
            "process_output_files": ["out/f.json"],
        }
    )


def test_the_signed_links_are_not_in_the_dict_of_an_output_that_was_not_parsed() -> None:
    output = Output(
        **CALL, raw={"process_output": [{"url": "canary"}]}, process_output_files=("f.txt",)
    )
    assert output.to_dict() == {
        "status_code": 200,
        "message": "m",
        "process_output": None,
        "process_output_files": ["f.txt"],
    }


@pytest.mark.parametrize("raw", [{}, {"process_output": None}])
def test_where_the_service_names_no_output_the_dict_is_the_services_own(
    raw: dict[str, Any],
) -> None:
    assert Output(**CALL, raw=raw).to_dict() == {"status_code": 200, **raw}
