"""The service's own words: within reach on every result and every error, unknown fields kept."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import httpx
import pytest

import krixik_async
from krixik_async import (
    AuthenticationError,
    InvalidArgument,
    Job,
    KrixikError,
    ProcessFailed,
    Reply,
    RequestVanished,
    SubmitUncertain,
    Tree,
    UploadRejected,
    WaitTimeout,
)
from krixik_async._models import Answer
from tests.client_side import (
    DELETE,
    LINK,
    LIST,
    OUTPUT,
    STATUS,
    TEXT,
    TICKET,
    UNKNOWN,
    UPLOAD,
    World,
    says,
)

pytestmark = pytest.mark.anyio
ALL: dict[str, Any] = {"symbolic_directory_paths": ["/*"]}
RESET = httpx.ReadError("connection reset")


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


def with_more(_: httpx.Request, response: httpx.Response) -> httpx.Response:
    """Add what nobody knows to an answer: a header, a field, and a field in each item."""
    body = response.json()
    body["later"] = {"deep": [1]}
    for item in body.get("items") or ():
        if isinstance(item, dict):
            item["later"] = 2
            for hit in item.get("search_results", ()):
                hit["later"] = 3
    return says(response.status_code, body, **{"X-Later": "4"})


async def answers(w: World, out: Path) -> dict[str, Any]:
    """Make each call once, with more in each answer than is known, and give the results."""
    w.wire.faults.clear()
    for path in (TICKET, STATUS, OUTPUT, LIST, DELETE, "/keyword-search", "/krixik-core-update"):
        w.fail(path, answer=with_more, times=99)
    for path in ("/krixik-core-show-tree", "/krixik-core-cap-check"):
        w.fail(path, answer=with_more, times=99)
    near = {"file_id": "f", "file_metadata": {}, "search_results": [{"distance": 0.1, "later": 3}]}
    found = {"request_id": "r", "items": [{**near, "later": 2}], "later": {"deep": [1]}}
    w.fail("/semantic-search", answer=says(200, found, **{"X-Later": "4"}), times=99)
    books = w.books()
    vectors = w.books("parser", "text-embedder", "vector-db", name="vectors")
    job = await books.process(local_file_path=TEXT, file_name="a.txt")
    outcome = await job
    of = {"file_id": job.file_id}
    return {
        "Job": job,
        "JobOutcome": outcome,
        "ProcessStatus": await books.process_status(request_id=job.request_id),
        "Output": await books.fetch_output(**of, local_save_directory=out),
        "ListResult": await books.list(**ALL),
        "KeywordSearchResult": await books.keyword_search(query="clock", **ALL),
        "SemanticSearchResult": await vectors.semantic_search(query="xx", **ALL),
        "GlobalSearchResult": await vectors.semantic_search(query="xx", sort_order="global", **ALL),
        "UpdateResult": await books.update(**of, file_description="new"),
        "Tree": await books.show_tree(),
        "CapResult": await w.client.check_cap(),
        "DeleteResult": await books.delete(**of),
    }


async def test_every_result_has_its_raw_reply_and_keeps_unknown_fields(
    w: World, tmp_path: Path
) -> None:
    results = await answers(w, tmp_path)
    of_calls = {k.__name__ for k in (*Answer.__subclasses__(), Tree)}
    assert set(results) == of_calls | {"Job", "JobOutcome", "ProcessStatus"}
    for name, result in results.items():
        reply: Reply = result.reply
        body = reply.json_object()
        assert body is not None, name
        assert (reply.status_code, reply.headers["x-later"]) == (200, "4"), name
        assert body["later"] == {"deep": [1]}, name
        assert reply.request_id == body["request_id"], name
        if name not in ("Job", "JobOutcome"):
            assert result.raw["later"] == {"deep": [1]}, name
            assert result.request_id == reply.request_id, name


async def test_unknown_fields_of_items_and_hits_are_kept(w: World, tmp_path: Path) -> None:
    results = await answers(w, tmp_path)
    assert results["ListResult"].items[0].raw["later"] == 2
    for name in ("KeywordSearchResult", "SemanticSearchResult"):
        item = results[name].items[0]
        assert (item.raw["later"], item.search_results[0].raw["later"]) == (2, 3)
        assert results[name].to_dict()["items"][0]["later"] == 2
    assert results["KeywordSearchResult"].items[0].file_metadata.raw["file_name"] == "a.txt"
    assert results["GlobalSearchResult"].items[0].raw["later"] == 3


async def test_a_reset_has_the_replies_of_its_deletions(w: World) -> None:
    job = await w.done(w.books())
    reset = await w.client.reset_pipeline(w.books())
    assert reset.deleted == (job.file_id,)
    assert [answer.reply.status_code for answer in reset.answers if answer.reply] == [200]


async def test_a_job_tells_what_the_service_warned_of(w: World) -> None:
    def warned(_: httpx.Request, response: httpx.Response) -> httpx.Response:
        return says(200, {**response.json(), "warnings": ["careful"]})

    w.fail(TICKET, answer=warned)
    job = await w.books().process(local_file_path=TEXT, file_name="a.txt")
    again = await w.books().process(local_file_path=TEXT, file_name="b.txt")
    assert (job.warnings, again.warnings) == (("careful",), ())
    assert "signature" not in repr(job).lower()
    bare = Job(job.ref, job.pipeline, _submit_of(job))
    assert (bare.reply, bare.warnings) == (None, ())


def _submit_of(job: Job) -> Any:
    return job  # has the names and tags that a request has


# --- errors ----------------------------------------------------------------------------------


async def caught(awaitable: Awaitable[object]) -> KrixikError:
    with pytest.raises(KrixikError) as error:
        await awaitable
    return error.value


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"request_id": "r", "message": "BAD REQUEST: x", "later": 1}),
        (403, {"message": "Forbidden"}),
        (418, b"<html>"),
        (429, {"message": "Too many"}),
        (500, {"message": "Internal"}),
        (200, b"no JSON"),
    ],
)
async def test_every_refusal_has_its_raw_reply(w: World, status: int, body: object) -> None:
    w.fail(LIST, answer=says(status, body, **{"X-Later": "4"}), times=99)
    error = await caught(w.books().list(**ALL))
    assert error.reply is not None
    assert (error.status_code, error.reply.headers["x-later"]) == (status, "4")
    assert error.reply.body == says(status, body).content
    assert error.request_id == error.reply.request_id == ("r" if status == 400 else None)


async def test_errors_about_jobs_and_files_have_the_reply_they_rest_on(
    w: World, tmp_path: Path
) -> None:
    texts = w.books("json-to-txt", name="texts")
    failing = await texts.process(
        local_file_path=b'[{"snippet": "\\ud800 half a pair"}]', file_name="a.json"
    )
    failed = await caught(failing.wait())
    assert isinstance(failed, ProcessFailed)
    assert failed.reply is not None
    assert failed.reply.json_object()["failure_status"]  # type: ignore[index] # an object

    job = await w.done(w.books())
    await w.books().delete(file_id=job.file_id)
    gone = await caught(job.wait())
    assert isinstance(gone, RequestVanished)
    assert gone.status_code == 400

    other = await w.books().process(local_file_path=TEXT, file_name="b.txt")
    w.fail(STATUS, answer=_unfinished, times=99)
    late = await caught(other.wait(timeout=5))
    assert isinstance(late, WaitTimeout)
    assert late.reply is None  # what says "not yet" is not kept: there may be 100,000 of them

    w.wire.faults.clear()
    w.fail(LINK, answer=says(404, b"<Error/>"), times=99)
    refused = await caught(
        w.books().fetch_output(file_id=other.file_id, local_save_directory=tmp_path)
    )
    assert (refused.status_code, refused.reply and refused.reply.body) == (404, b"<Error/>")
    for path in ("update", "delete"):
        unknown = await caught(
            w.books().update(file_id=UNKNOWN, file_description="x")
            if path == "update"
            else w.books().delete(file_id=UNKNOWN)
        )
        assert unknown.status_code == 400


def _unfinished(_: httpx.Request, response: httpx.Response) -> httpx.Response:
    return says(200, {**response.json(), "process_status": {"module_1": False}})


async def test_errors_of_sending_have_the_reply_they_rest_on(w: World) -> None:
    w.fail(UPLOAD, answer=says(400, b"<Error/>"))
    error = await caught(w.books().process(local_file_path=TEXT, file_name="a.txt"))
    assert isinstance(error, UploadRejected)
    assert error.reply is not None
    assert error.reply.body == b"<Error/>"

    w.fail(UPLOAD, after=RESET)
    w.fail(STATUS, answer=says(502, b"<html>"), times=999)
    uncertain = await caught(w.books().process(local_file_path=TEXT, file_name="b.txt"))
    assert isinstance(uncertain, SubmitUncertain)
    assert uncertain.status_code == 502

    w.wire.faults.clear()
    w.fail(UPLOAD, after=RESET)
    w.fail(STATUS, answer=says(401, {"message": "no"}), times=999)
    rejected = await caught(w.books().process(local_file_path=TEXT, file_name="c.txt"))
    assert isinstance(rejected, SubmitUncertain)
    assert isinstance(rejected.__cause__, AuthenticationError)
    assert rejected.status_code == 401


def test_where_no_answer_came_there_is_no_reply() -> None:
    error = InvalidArgument("x")
    assert (error.reply, error.status_code) == (None, None)
    assert Reply(200, body=b"[]").request_id is None
    assert Reply(200, body=b'{"request_id": 1}').request_id is None


def test_every_public_value_of_an_answer_names_its_reply() -> None:
    """What is exported and holds an answer has `.reply`, so that this list stays whole."""
    parts = {
        *("FailureStatus", "FileRecord", "GlobalHit", "KeywordHit", "KeywordItem", "SearchedFile"),
        *("SemanticHit", "SemanticItem", "JobRef", "WaitStatistics"),
    }
    without = {
        name
        for name in krixik_async.__all__
        if inspect.isclass(value := getattr(krixik_async, name))
        and value.__module__.startswith(("krixik_async._models", "krixik_async._tree"))
        and not hasattr(value, "reply")
    }
    assert without == parts | {"ResetResult"}  # which has `answers`
