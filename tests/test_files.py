"""Finished files: listed, searched, deleted; exact shapes, and what is refused unsent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from krixik_async import (
    AnswerLost,
    AuthenticationError,
    ClientClosed,
    FileRecord,
    FileRecordNotFound,
    InvalidArgument,
    InvalidArgumentType,
    KeywordHit,
    KeywordItem,
    KeywordSearchResult,
    KrixikError,
    ListResult,
    NotFinished,
    RateLimited,
    SearchedFile,
    SemanticItem,
    SemanticSearchResult,
    ServerError,
    UnexpectedReply,
)
from krixik_async._files import sort_result
from tests.client_side import (
    DELETE,
    KEY,
    LIST,
    OUTPUT,
    TEXT,
    UNKNOWN,
    World,
    forbidden,
    says,
    world,
)

pytestmark = pytest.mark.anyio

RESET = httpx.ReadError("connection reset")
SEARCH = "/keyword-search"
ALL = ["/*"]


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


# --- list ------------------------------------------------------------------------------------


async def test_a_list_has_the_services_shape(w: World) -> None:
    pipeline = w.books()
    job = await pipeline.process(
        local_file_path=TEXT,
        symbolic_file_path="/novels/a.txt",
        file_tags=[{"author": "orwell"}],
        file_description="A novel.",
    )
    await w.clock.sleep(5)
    found = await pipeline.list(file_ids=[job.file_id])
    item = {
        "last_updated": "2026-05-28 20:26:40",
        "process_id": job.request_id,
        "created_at": "2026-05-28 20:26:40",
        "file_metadata": {
            "modules": {"module_1": {"keyword-db": {"model": "sqlite"}}},
            "modules_data": {
                "module_1": {"keyword-db": {"data_files_extensions": [".db"], "num_lines": 1}}
            },
            "pipeline_ordered_modules": ["keyword-db"],
            "pipeline_output_process_keys": [None],
        },
        "file_tags": [{"author": "orwell"}],
        "file_description": "A novel.",
        "symbolic_directory_path": "/novels",
        "pipeline": "books",
        "file_id": job.file_id,
        "expire_time": "2026-05-28 20:56:40",
        "file_name": "a.txt",
    }
    assert found.to_dict() == {
        "status_code": 200,
        "request_id": found.request_id,
        "message": "Successfully returned 1 item.  Note: all timestamps in UTC.",
        "warnings": [],
        "items": [item],
    }
    assert list(found.to_dict()) == ["status_code", "request_id", "message", "warnings", "items"]
    (record,) = found
    assert record == FileRecord(
        file_id=job.file_id,
        process_id=job.request_id,
        pipeline="books",
        file_name="a.txt",
        symbolic_directory_path="/novels",
        file_tags=({"author": "orwell"},),
        file_description="A novel.",
        created_at="2026-05-28 20:26:40",
        last_updated="2026-05-28 20:26:40",
        expire_time="2026-05-28 20:56:40",
        file_metadata=found.items[0].file_metadata,
    )
    assert (record.symbolic_file_path, record.to_dict()) == ("/novels/a.txt", item)


async def test_a_list_is_sorted_newest_first_or_oldest_first(w: World) -> None:
    pipeline = w.books()
    for name in ("a.txt", "b.txt", "c.txt"):
        await w.done(pipeline, name)
        await w.clock.sleep(10)
    names = {}
    for order in ("descending", "ascending", None):
        found = await pipeline.list(symbolic_directory_paths=ALL, sort_order=order)
        names[order] = [record.file_name for record in found]
        assert [item["file_name"] for item in found.to_dict()["items"]] == names[order]
    newest_first = ["c.txt", "b.txt", "a.txt"]
    assert names == {
        "descending": newest_first,
        "ascending": newest_first[::-1],
        None: newest_first,
    }


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ({"file_names": ["A.TXT"]}, ["a.txt"]),
        ({"file_names": ["*.txt"]}, ["a.txt", "b.txt"]),
        ({"symbolic_directory_paths": ["/Novels"]}, ["b.txt"]),
        ({"symbolic_directory_paths": ["/nov*"]}, ["b.txt"]),
        ({"symbolic_directory_paths": ["/etc"]}, ["a.txt"]),
        ({"symbolic_file_paths": ["/novels/b.txt"]}, ["b.txt"]),
        ({"file_tags": [{"Kind": "*"}]}, ["b.txt"]),
        ({"file_tags": ({"kind": "short"},)}, ["b.txt"]),
        ({"created_at_start": "2026-05-28"}, ["a.txt", "b.txt"]),
        ({"created_at_start": "2026-05-28 20:27:00"}, ["b.txt"]),
        ({"created_at_end": "2026-05-28 20:27:00"}, ["a.txt"]),
        ({"last_updated_start": "2026-05-28 20:27:00"}, ["b.txt"]),
        ({"last_updated_end": "2026-05-27"}, []),
        ({"file_names": ["a.txt"], "symbolic_directory_paths": ["/novels"]}, ["a.txt", "b.txt"]),
        ({"symbolic_directory_paths": ["/*"], "max_files": 1}, ["b.txt"]),
    ],
)
async def test_each_selector_selects(w: World, selector: dict[str, Any], names: list[str]) -> None:
    """In `list` and in `keyword_search` alike."""
    pipeline = w.books()
    await w.done(pipeline, "a.txt")
    await w.clock.sleep(60)
    job = await pipeline.process(
        local_file_path=TEXT, symbolic_file_path="/novels/b.txt", file_tags=[{"kind": "short"}]
    )
    await job
    found = await pipeline.list(**selector)
    assert sorted(record.file_name for record in found) == names
    hits = await pipeline.keyword_search(query="bright", **selector)
    assert sorted(item.file_metadata.file_name for item in hits) == names


async def test_file_ids_select_and_unknown_ones_are_a_warning(w: World) -> None:
    job = await w.done(w.books())
    found = await w.books().list(file_ids=(job.file_id.upper(), UNKNOWN))
    assert [record.file_id for record in found] == [job.file_id]
    assert found.warnings == ({"WARNING: the following file_ids were not found": [UNKNOWN]},)


async def test_an_empty_list_is_no_error(w: World) -> None:
    found = await w.books().list(symbolic_directory_paths=ALL)
    assert (len(found), list(found)) == (0, [])
    assert found.message == "No files were found for the given query arguments"


async def test_an_unfinished_file_does_not_show(tmp_path: Path) -> None:
    async with world(tmp_path, min_module_seconds=60) as w:
        job = await w.books().process(local_file_path=TEXT, file_name="a.txt")
        found = await w.books().list(file_ids=[job.file_id])
        assert (len(found), found.message) == (0, "No items found for input query arguments")


async def test_files_of_another_pipeline_do_not_show(w: World) -> None:
    await w.done(w.books())
    assert await w.names(w.books(name="others")) == []


async def test_timestamps_go_out_as_seconds_of_utc(w: World) -> None:
    await w.books().list(created_at_start="2026-05-28", created_at_end="2026-05-28")
    body = w.wire.bodies[0]
    assert (body["created_at_start"], body["created_at_end"]) == (1779926400, 1780012799)
    assert "sort_order" not in body


SELECTION: list[tuple[dict[str, Any], str, type[KrixikError]]] = [
    ({}, "no selector was given", InvalidArgument),
    ({"max_files": 10}, "no selector was given", InvalidArgument),
    ({"file_ids": []}, "file_ids holds 0 entries", InvalidArgument),
    ({"file_ids": [UNKNOWN] * 501}, "file_ids holds 501 entries", InvalidArgument),
    ({"file_ids": ["x"]}, "file_ids is 'x' but must be a uuid", InvalidArgument),
    ({"file_ids": UNKNOWN}, "file_ids is str but must be a list", InvalidArgumentType),
    ({"file_ids": [7]}, "file_ids is int but must be a str", InvalidArgumentType),
    ({"file_names": ["*"]}, "file_names holds '*'", InvalidArgument),
    ({"file_names": ["a.mp3"]}, "it must end in one of .txt", InvalidArgument),
    ({"file_names": "a.txt"}, "file_names is str but must be a list", InvalidArgumentType),
    ({"symbolic_directory_paths": ["x"]}, "it must start with '/'", InvalidArgument),
    ({"symbolic_directory_paths": ["/a*b*"]}, "at most one '*', at its end", InvalidArgument),
    ({"symbolic_directory_paths": "/*"}, "must be a list of str", InvalidArgumentType),
    ({"symbolic_file_paths": ["/a/*"]}, "'*' alone is no name", InvalidArgument),
    ({"symbolic_file_paths": "/a/b.txt"}, "must be a list of str", InvalidArgumentType),
    ({"file_tags": [{"*": "a"}]}, "file_tags holds '*'", InvalidArgument),
    ({"file_tags": {"a": "b"}}, "file_tags is dict", InvalidArgumentType),
    ({"created_at_start": "yesterday"}, "must be 'YYYY-MM-DD'", InvalidArgument),
    ({"created_at_end": "2022-01-01"}, "must be from 2023-01-01", InvalidArgument),
    ({"last_updated_start": 7}, "last_updated_start is int", InvalidArgumentType),
    ({"last_updated_end": "2026-13-01"}, "must be 'YYYY-MM-DD'", InvalidArgument),
    (
        {"created_at_start": "2026-05-02", "created_at_end": "2026-05-01"},
        "is after created_at_end",
        InvalidArgument,
    ),
    ({"symbolic_directory_paths": ALL, "max_files": 0}, "max_files is 0", InvalidArgument),
    ({"symbolic_directory_paths": ALL, "max_files": 10_001}, "must be 1 to", InvalidArgument),
    ({"symbolic_directory_paths": ALL, "max_files": "1"}, "max_files is str", InvalidArgumentType),
    ({"symbolic_directory_paths": ALL, "sort_order": "up"}, "sort_order is 'up'", InvalidArgument),
    ({"symbolic_directory_paths": ALL, "verbose": 1}, "verbose is int", InvalidArgumentType),
]


@pytest.mark.parametrize("method", ["list", "keyword_search"])
@pytest.mark.parametrize(("given", "said", "kind"), SELECTION)
async def test_a_selection_that_breaks_a_rule_is_not_sent(
    w: World, method: str, given: dict[str, Any], said: str, kind: type[KrixikError]
) -> None:
    query = {"query": "bright"} if method == "keyword_search" else {}
    with pytest.raises(kind) as caught:
        await getattr(w.books(), method)(**query, **given)
    assert said in str(caught.value)
    assert w.sent == []


# --- keyword_search --------------------------------------------------------------------------


async def test_a_search_has_the_services_shape(w: World) -> None:
    pipeline = w.books()
    job = await w.done(pipeline, "a.txt")
    other = await w.done(pipeline, "b.txt", b"nothing of that kind is in here")
    found = await pipeline.keyword_search(
        query="the Clocks were bright", symbolic_directory_paths=ALL
    )
    hits = [
        {"keyword": "bright", "line_number": 1, "keyword_number": 4},
        {"keyword": "clocks", "line_number": 1, "keyword_number": 11},
    ]
    stop_words = (
        "WARNING: the following words in the query are in the stop_words list and thus no results "
        "will be returned for them"
    )
    no_results = "WARNING: the following file_ids returned no results for the given query"
    assert found.to_dict() == {
        "status_code": 200,
        "request_id": found.request_id,
        "message": "Successfully queried the first 1 user files out of 2 defined by input query "
        "arguments.",
        "warnings": [{no_results: [other.file_id]}, {stop_words: ["the", "were"]}],
        "items": [
            {
                "file_id": job.file_id,
                "file_metadata": {
                    "file_name": "a.txt",
                    "symbolic_directory_path": "/etc",
                    "file_tags": [],
                    "num_lines": 1,
                    "created_at": "2026-05-28 20:26:40",
                    "last_updated": "2026-05-28 20:26:40",
                },
                "search_results": hits,
            }
        ],
    }
    (item,) = found
    assert (len(found), item.file_id, item.file_metadata.num_lines) == (1, job.file_id, 1)
    assert item.search_results == tuple(
        KeywordHit(
            keyword=str(h["keyword"]), line_number=1, keyword_number=int(h["keyword_number"])
        )
        for h in hits
    )


@pytest.mark.parametrize(
    ("query", "said", "kind"),
    [
        ("x", "query has 1 characters but must have 2 to 256", InvalidArgument),
        ("  x  ", "query has 1 characters", InvalidArgument),
        ("x" * 257, "query has 257 characters", InvalidArgument),
        (None, "query is NoneType", InvalidArgumentType),
        (["bright"], "query is list", InvalidArgumentType),
    ],
)
async def test_a_query_that_breaks_a_rule_is_not_sent(
    w: World, query: Any, said: str, kind: type[KrixikError]
) -> None:
    with pytest.raises(kind, match=said):
        await w.books().keyword_search(query=query, symbolic_directory_paths=ALL)
    assert w.sent == []


async def test_a_pipeline_without_keywords_cannot_be_searched(w: World) -> None:
    said = r"'books' cannot keyword_search: its chain \(parser\) does not end in 'keyword-db'"
    with pytest.raises(InvalidArgument, match=said):
        await w.books("parser").keyword_search(query="bright", symbolic_directory_paths=ALL)
    assert w.sent == []


# --- delete ----------------------------------------------------------------------------------


async def test_a_deleted_file_is_gone(w: World) -> None:
    job = await w.done(w.books())
    deleted = await w.books().delete(file_id=job.file_id.upper())
    assert deleted.to_dict() == {
        "status_code": 200,
        "pipeline": "books",
        "request_id": deleted.request_id,
        "message": f"Successfully deleted file_id: {job.file_id}",
        "warnings": [],
    }
    assert (deleted.pipeline, deleted.file_id) == ("books", job.file_id)
    assert await w.names(w.books()) == []


async def test_an_unknown_file_cannot_be_deleted(w: World) -> None:
    with pytest.raises(FileRecordNotFound, match=f"no file {UNKNOWN} is on record") as caught:
        await w.books().delete(file_id=UNKNOWN)
    assert (caught.value.file_id, caught.value.pipeline) == (UNKNOWN, "books")
    assert f"file_id not found - {UNKNOWN}" in str(caught.value)


async def test_a_file_of_another_pipeline_cannot_be_deleted(w: World) -> None:
    job = await w.done(w.books())
    with pytest.raises(FileRecordNotFound):
        await w.books(name="others").delete(file_id=job.file_id)
    assert await w.names(w.books()) == ["a.txt"]


async def test_a_file_in_work_stays(tmp_path: Path) -> None:
    async with world(tmp_path, min_module_seconds=60) as w:
        job = await w.books().process(local_file_path=TEXT, file_name="a.txt")
        with pytest.raises(NotFinished, match="Nothing was changed") as caught:
            await w.books().delete(file_id=job.file_id)
        assert (caught.value.file_id, caught.value.pipeline) == (job.file_id, "books")
        assert (await job).state == "complete"


@pytest.mark.parametrize(
    "lost",
    [{"after": RESET}, {"answer": lambda _, __: says(502, b"<html>")}],
    ids=["no answer", "a gateway's 502"],
)
async def test_a_deletion_whose_answer_was_lost_counts_as_done(
    w: World, lost: dict[str, Any]
) -> None:
    """The repeat finds the file gone: nobody but the first try can have done that."""
    job = await w.done(w.books())
    w.fail(DELETE, **lost)
    deleted = await w.books().delete(file_id=job.file_id)
    assert (deleted.file_id, deleted.pipeline) == (job.file_id, "books")
    assert w.sent.count(DELETE) == 2
    assert await w.names(w.books()) == []


@pytest.mark.parametrize(
    "answer", [says(429, {"message": "Too many"}), forbidden()], ids=["too many", "gateway"]
)
async def test_a_repeat_after_a_refusal_proves_nothing(w: World, answer: httpx.Response) -> None:
    """The first try was answered, and nothing was done: an unknown file is still an error."""
    w.fail(DELETE, answer=answer)
    with pytest.raises(FileRecordNotFound):
        await w.books().delete(file_id=UNKNOWN)
    assert w.sent.count(DELETE) == 2


async def test_a_deletion_that_never_left_proves_nothing(w: World) -> None:
    """Not even a connection was made: that the file is not there was nobody's doing."""
    w.fail(DELETE, before=httpx.ConnectError("refused"), times=2)
    with pytest.raises(FileRecordNotFound) as caught:
        await w.books().delete(file_id=UNKNOWN)
    assert (caught.value.file_id, w.sent.count(DELETE)) == (UNKNOWN, 3)


async def test_a_deletion_that_is_never_answered(w: World) -> None:
    w.fail(DELETE, after=RESET, times=99)
    w.fail(DELETE, before=RESET, times=99)
    with pytest.raises(AnswerLost) as caught:
        await w.books().delete(file_id=UNKNOWN)
    assert (caught.value.pipeline, caught.value.attempts) == ("books", 4)


# --- all of them -----------------------------------------------------------------------------

CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "list": (LIST, {"symbolic_directory_paths": ALL}),
    "keyword_search": (SEARCH, {"query": "bright", "symbolic_directory_paths": ALL}),
    "delete": (DELETE, {"file_id": UNKNOWN}),
    "fetch_output": (OUTPUT, {"file_id": UNKNOWN}),
}
each_call = pytest.mark.parametrize("method", CALLS)


@each_call
@pytest.mark.parametrize(
    ("answer", "kind", "times"),
    [
        (forbidden(), AuthenticationError, 2),
        (says(401, {"message": "no"}), AuthenticationError, 1),
        (says(429, {"message": "no"}), RateLimited, 4),
        (says(500, {"request_id": "r", "message": "no"}), ServerError, 4),
        (says(404, b"<html>a proxy's"), UnexpectedReply, 1),
        (says(200, b"{garbled"), UnexpectedReply, 1),
        (says(302, b"", Location="http://elsewhere"), UnexpectedReply, 1),
    ],
    ids=["403", "401", "429", "500", "404", "garbled", "302"],
)
async def test_what_an_answer_means(
    w: World, method: str, answer: httpx.Response, kind: type[KrixikError], times: int
) -> None:
    """The same for every call: the kind of error, after how many tries, and the pipeline in it."""
    path, arguments = CALLS[method]
    w.fail(path, answer=answer, times=99)
    with pytest.raises(kind) as caught:
        await getattr(w.books(), method)(**arguments)
    error = caught.value
    assert (w.sent, error.attempts) == ([path] * times, times)
    assert (error.pipeline, error.endpoint) == ("books", method)
    assert KEY not in repr(error)


@each_call
async def test_passing_trouble_is_ridden_out(w: World, method: str, tmp_path: Path) -> None:
    path, arguments = CALLS[method]
    job = await w.done(w.books())
    if "file_id" in arguments:
        arguments = {"file_id": job.file_id}
    if method == "fetch_output":
        arguments["local_save_directory"] = tmp_path
    w.fail(path, before=httpx.ConnectError("refused"))
    w.fail(path, answer=says(503, b"", **{"Retry-After": "7"}))
    w.fail(path, before=RESET)
    result = await getattr(w.books(), method)(**arguments)
    assert (result.status_code, w.sent.count(path)) == (200, 4)
    assert w.clock.now() >= 7


@each_call
async def test_a_closed_client_calls_nobody(w: World, method: str) -> None:
    await w.client.aclose()
    with pytest.raises(ClientClosed):
        await getattr(w.books(), method)(**CALLS[method][1])
    assert w.sent == []


@pytest.mark.parametrize("method", ["delete", "fetch_output"])
@pytest.mark.parametrize(
    ("file_id", "said", "kind"),
    [
        ("x", "file_id is 'x' but must be a uuid", InvalidArgument),
        (UNKNOWN + "\n", "must be a uuid", InvalidArgument),
        ("../../../../etc/passwd", "must be a uuid", InvalidArgument),
        (None, "file_id is NoneType but must be a str", InvalidArgumentType),
        (7, "file_id is int but must be a str", InvalidArgumentType),
    ],
)
async def test_a_file_id_that_is_none(
    w: World, method: str, file_id: Any, said: str, kind: type[KrixikError]
) -> None:
    with pytest.raises(kind) as caught:
        await getattr(w.books(), method)(file_id=file_id)
    assert said in str(caught.value)
    assert w.sent == []


async def test_what_the_service_refuses_keeps_its_words(w: World) -> None:
    w.fail(LIST, answer=says(400, {"request_id": "r", "message": "BAD REQUEST: moon"}))
    with pytest.raises(KrixikError, match="BAD REQUEST: moon") as caught:
        await w.books().list(symbolic_directory_paths=ALL)
    assert (caught.value.request_id, caught.value.status_code) == ("r", 400)


# --- sorting -------------------------------------------------------------------------------

CREATED = ["2024-06-05 15:28:06", "2023-01-01 00:00:00", "2024-06-05 15:28:06", ""]


def found(kind: type[Any]) -> Any:
    items: list[Any] = []
    for number, created in enumerate(CREATED):
        name = str(number)
        raw = {"file_id": name}
        about = SearchedFile(file_name="a", symbolic_directory_path="/", created_at=created)
        searched = {KeywordSearchResult: KeywordItem, SemanticSearchResult: SemanticItem}.get(kind)
        items.append(
            searched(file_id=name, file_metadata=about, search_results=(), raw=raw)
            if searched is not None
            else FileRecord(
                file_id=name,
                process_id="",
                pipeline="",
                file_name="a",
                symbolic_directory_path="/",
                created_at=created,
                raw=raw,
            )
        )
    raw_answer = {"request_id": "r", "items": [item.raw for item in items], "new": 1}
    return kind(status_code=200, request_id="r", message="", raw=raw_answer, items=tuple(items))


@pytest.mark.parametrize("kind", [ListResult, KeywordSearchResult, SemanticSearchResult])
@pytest.mark.parametrize(("order", "ids"), [("ascending", "3102"), ("descending", "0213")])
def test_files_are_sorted_by_creation_stably_and_so_is_the_dict(
    kind: type[Any], order: str, ids: str
) -> None:
    result = found(kind)
    before = result.to_dict()
    ordered = sort_result(result, order)
    assert "".join(item.file_id for item in ordered) == ids
    assert ordered.to_dict() == {
        "status_code": 200,
        "request_id": "r",
        "items": [{"file_id": name} for name in ids],
        "new": 1,
    }
    assert result.to_dict() == before
