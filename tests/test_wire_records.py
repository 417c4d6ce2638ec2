"""Readers of what concerns finished files: records, hits, links, deletions."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krixik_async._errors import (
    AuthenticationError,
    FileRecordNotFound,
    KrixikError,
    NotFinished,
    RequestRejected,
    ServerError,
    UnexpectedReply,
)
from krixik_async._models import (
    DeleteResult,
    FileRecord,
    KeywordHit,
    KeywordItem,
    KeywordSearchResult,
    ListResult,
    Output,
    SearchedFile,
    SemanticHit,
    SemanticItem,
    SemanticSearchResult,
    UpdateResult,
)
from krixik_async._reply import Reply
from krixik_async._wire._records import (
    DownloadLink,
    OutputLinks,
    read_delete,
    read_keyword_search,
    read_list,
    read_output_links,
    read_semantic_search,
    read_update,
)
from krixik_async._wire._requests import (
    Delete,
    FetchOutput,
    KeywordSearch,
    ListFiles,
    SemanticSearch,
    Update,
)

CANARY = "canary"


def reply(body: Any, status: int = 200) -> Reply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, {}, raw)


def listed(body: Any, status: int = 200) -> ListResult:
    return read_list(ListFiles.endpoint, reply(body, status))


def searched(body: Any, status: int = 200) -> KeywordSearchResult:
    return read_keyword_search(KeywordSearch.endpoint, reply(body, status))


def deleted(body: Any, status: int = 200) -> DeleteResult:
    return read_delete(Delete.endpoint, reply(body, status), file_id="f")


def linked(body: Any, status: int = 200) -> OutputLinks:
    return read_output_links(FetchOutput.endpoint, reply(body, status), file_id="f")


def updated(body: Any, status: int = 200) -> UpdateResult:
    return read_update(Update.endpoint, reply(body, status), file_id="f")


def near(body: Any, status: int = 200) -> SemanticSearchResult:
    return read_semantic_search(SemanticSearch.endpoint, reply(body, status))


def outcome_of(read: Any, body: Any, status: int) -> tuple[Any, KrixikError | None]:
    try:
        return read(body, status), None
    except KrixikError as error:
        return None, error


READERS: list[Any] = [listed, searched, deleted, linked, updated, near]

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)
ITEM_KEYS = (
    "file_id file_name file_tags file_metadata search_results keyword line_number url extension "
    "symbolic_directory_path created_at num_lines"
)
items = st.lists(st.dictionaries(st.sampled_from(ITEM_KEYS.split()), values) | values, max_size=3)
bodies = (
    st.binary()
    | values
    | st.fixed_dictionaries(
        {},
        optional={
            "request_id": values,
            "message": values,
            "warnings": values,
            "items": items | values,
            "process_output": items | values,
        },
    )
)


@given(bodies, st.sampled_from([200, 200, 200, 204, 301, 400, 401, 403, 404, 410, 429, 500, 503]))
def test_a_reader_gives_its_value_or_an_error_of_ours(body: Any, status: int) -> None:
    for read in READERS:
        result, error = outcome_of(read, body, status)
        assert error is None or error.reply == reply(body, status)
        assert (result is None) is (error is not None)


@pytest.mark.parametrize("read", READERS)
def test_every_reader_goes_through_the_common_door(read: Any) -> None:
    for status, kind in ((403, AuthenticationError), (500, ServerError), (404, UnexpectedReply)):
        with pytest.raises(kind):
            read(b"<html>", status)
    with pytest.raises(UnexpectedReply, match="not a JSON object"):
        read(b"[]")
    with pytest.raises(RequestRejected, match="400: because"):
        read({"request_id": "call", "message": "because"}, 400)


# --- list ----------------------------------------------------------------------------------

RECORD = {
    "last_updated": "2024-06-05 15:28:07",
    "process_id": "r",
    "created_at": "2024-06-05 15:28:06",
    "file_metadata": {"modules": {"module_1": {"parser": {"model": "sentence"}}}},
    "file_tags": [{"author": "melville"}],
    "file_description": "d",
    "symbolic_directory_path": "/novels",
    "pipeline": "books",
    "file_id": "f",
    "expire_time": "2024-06-05 15:58:05",
    "file_name": "moby.txt",
    "new": [1],
}
LIST = {
    "request_id": "call",
    "message": "Successfully returned 1 item.  Note: all timestamps in UTC.",
    "warnings": [{"WARNING: the following file_ids were not found": ["g"]}],
    "items": [RECORD],
    "new": 1,
}


def test_a_list_is_read_whole() -> None:
    result = listed(LIST)
    assert result == ListResult(
        status_code=200,
        request_id="call",
        message="Successfully returned 1 item.  Note: all timestamps in UTC.",
        warnings=({"WARNING: the following file_ids were not found": ["g"]},),
        items=(
            FileRecord(
                file_id="f",
                process_id="r",
                pipeline="books",
                file_name="moby.txt",
                symbolic_directory_path="/novels",
                file_tags=({"author": "melville"},),
                file_description="d",
                created_at="2024-06-05 15:28:06",
                last_updated="2024-06-05 15:28:07",
                expire_time="2024-06-05 15:58:05",
                file_metadata={"modules": {"module_1": {"parser": {"model": "sentence"}}}},
            ),
        ),
    )
    assert json.dumps(result.to_dict()) == json.dumps({"status_code": 200, **LIST})
    assert result.items[0].to_dict() == RECORD
    assert result.reply == reply(LIST)


def test_nothing_found_is_an_empty_result() -> None:
    for read in (listed, searched):
        result = read({"request_id": "call", "message": "none", "warnings": [], "items": []})
        assert (len(result), result.message) == (0, "none")


@pytest.mark.parametrize("read", [listed, searched, near])
@pytest.mark.parametrize("found", [..., None, {}, "a", [1], [RECORD, None], [[]]])
def test_an_answer_without_items_is_unexpected(read: Any, found: Any) -> None:
    body = {"request_id": "call"} if found is ... else {"request_id": "call", "items": found}
    with pytest.raises(UnexpectedReply, match="200, but it holds no items"):
        read(body)


def test_a_bare_item_is_read_as_far_as_it_goes() -> None:
    empty = FileRecord(
        file_id="", process_id="", pipeline="", file_name="", symbolic_directory_path=""
    )
    assert listed({"items": [{}, {"file_id": 5, "file_metadata": [], "file_tags": 5}]}) == (
        ListResult(status_code=200, request_id="", message="", items=(empty, empty))
    )


# --- keyword search ------------------------------------------------------------------------

SEARCH = {
    "request_id": "call",
    "message": "Successfully queried 1 user file.",
    "warnings": [],
    "items": [
        {
            "file_id": "f",
            "file_metadata": {
                "file_name": "moby.txt",
                "symbolic_directory_path": "/novels",
                "file_tags": [{"author": "melville"}],
                "num_lines": 22,
                "created_at": "2024-06-05 15:28:06",
                "last_updated": "2024-06-05 15:28:07",
                "new": 1,
            },
            "search_results": [
                {"keyword": "whale", "line_number": 3, "keyword_number": 1, "new": 1},
                {"keyword": "whales", "line_number": 4, "keyword_number": 2},
            ],
        }
    ],
}


def test_a_search_is_read_whole() -> None:
    result = searched(SEARCH)
    assert result == KeywordSearchResult(
        status_code=200,
        request_id="call",
        message="Successfully queried 1 user file.",
        items=(
            KeywordItem(
                file_id="f",
                file_metadata=SearchedFile(
                    file_name="moby.txt",
                    symbolic_directory_path="/novels",
                    file_tags=({"author": "melville"},),
                    num_lines=22,
                    created_at="2024-06-05 15:28:06",
                    last_updated="2024-06-05 15:28:07",
                ),
                search_results=(
                    KeywordHit(keyword="whale", line_number=3, keyword_number=1),
                    KeywordHit(keyword="whales", line_number=4, keyword_number=2),
                ),
            ),
        ),
    )
    assert json.dumps(result.to_dict()) == json.dumps({"status_code": 200, **SEARCH})
    assert result.items[0].raw == SEARCH["items"][0]  # type: ignore[index]


def test_bare_hits_are_read_as_far_as_they_go() -> None:
    bare = [
        {},
        {"file_metadata": 5, "search_results": 5},
        {"search_results": [5, {}, {"keyword": 5, "line_number": True, "keyword_number": "1"}]},
    ]
    nothing = SearchedFile(file_name="", symbolic_directory_path="")
    no_hit = KeywordHit(keyword="", line_number=0, keyword_number=0)
    assert [
        (item.file_id, item.file_metadata, item.search_results)
        for item in searched({"items": bare})
    ] == [("", nothing, ()), ("", nothing, ()), ("", nothing, (no_hit, no_hit))]


def test_the_services_own_500_is_an_error_though_it_has_items() -> None:
    body = {"request_id": "call", "message": "FAILURE: Error querying user files", "items": []}
    with pytest.raises(ServerError, match="500: FAILURE: Error querying user files"):
        searched(body, 500)


# --- one file ------------------------------------------------------------------------------

DELETE = {
    "pipeline": "books",
    "request_id": "call",
    "message": "Successfully deleted file_id: f",
    "warnings": [],
}


def test_a_deletion_is_read_whole() -> None:
    result = deleted(DELETE)
    assert result == DeleteResult(
        status_code=200,
        request_id="call",
        message="Successfully deleted file_id: f",
        pipeline="books",
        file_id="f",
    )
    assert json.dumps(result.to_dict()) == json.dumps({"status_code": 200, **DELETE})


@pytest.mark.parametrize("read", [deleted, linked, updated])
@pytest.mark.parametrize("status", [400, 404, 410])
def test_a_file_that_is_not_on_record_is_told_with_the_services_words(
    read: Any, status: int
) -> None:
    body = {"request_id": "call", "message": "FAILURE: file_id not found - f"}
    with pytest.raises(FileRecordNotFound) as caught:
        read(body, status)
    assert str(caught.value) == (
        "no file f is on record in this pipeline: the id is wrong, of another account or "
        "pipeline, or the file was deleted or has expired. The service says: FAILURE: file_id not "
        "found - f"
    )
    assert (caught.value.request_id, caught.value.status_code) == ("call", status)


@pytest.mark.parametrize("read", [deleted, linked, updated])
def test_a_200_that_says_not_finished_is_an_error(read: Any) -> None:
    words = "The output for associated with your input file_id has not finished processing"
    body = {"request_id": "call", "message": f"{words}.", "process_output": None}
    with pytest.raises(NotFinished) as caught:
        read(body)
    error = caught.value
    assert str(error) == (
        "file f is still being processed: wait for it first (wait_until_complete). "
        "Nothing was changed"
    )
    assert (error.request_id, error.file_id, error.reply) == ("call", "f", reply(body))
    with pytest.raises(NotFinished) as caught:
        read({"message": words})
    assert caught.value.request_id is None


LINKS = {
    "pipeline": "books",
    "request_id": "call",
    "file_id": "other",
    "message": "SUCCESS - output fetched for file_id f.",
    "warnings": [],
    "process_output": [
        {"url": f"https://bucket/f.json?{CANARY}", "extension": ".json"},
        {"url": f"https://bucket/f.db?{CANARY}", "extension": "db"},
    ],
}


def test_links_are_read_whole_under_the_id_that_was_asked_for() -> None:
    """The id names the file on disk: it must not be the answer's choice."""
    links = linked(LINKS)
    assert (links.output.raw, links.output.reply) == (LINKS, reply(LINKS))
    assert links == OutputLinks(
        output=Output(
            status_code=200,
            request_id="call",
            message="SUCCESS - output fetched for file_id f.",
            pipeline="books",
            file_id="f",
        ),
        links=(
            DownloadLink(url=f"https://bucket/f.json?{CANARY}", extension=".json"),
            DownloadLink(url=f"https://bucket/f.db?{CANARY}", extension=".db"),
        ),
    )


def test_links_show_neither_their_address_nor_the_answer() -> None:
    links = linked(LINKS)
    assert CANARY not in f"{links!r} {links.links!r}"
    assert links.links is not None
    assert repr(links.links[0]) == "DownloadLink(extension='.json')"


@pytest.mark.parametrize("body", [{}, {"process_output": None}])
def test_no_output_is_no_links(body: Any) -> None:
    assert linked(body).links is None


def test_an_empty_output_is_no_link() -> None:
    assert linked({"process_output": []}).links == ()


URL = f"https://bucket/?{CANARY}"


@pytest.mark.parametrize(
    ("outputs", "why"),
    [
        (CANARY, "its process_output holds no links"),
        ({"url": URL, "extension": ".json"}, "its process_output holds no links"),
        ([CANARY], "its process_output holds no links"),
        ([{"url": URL}], "its process_output holds no links"),
        ([{"extension": ".json"}], "its process_output holds no links"),
        ([{"url": 5, "extension": ".json"}], "its process_output holds no links"),
        ([{"url": URL, "extension": 5}], "its process_output holds no links"),
        ([{"url": URL, "extension": ""}], "its extension is not one"),
        ([{"url": URL, "extension": "."}], "its extension is not one"),
        ([{"url": URL, "extension": "/../../x"}], "its extension is not one"),
        ([{"url": URL, "extension": ".json\n"}], "its extension is not one"),
        ([{"url": URL, "extension": "." + "x" * 17}], "its extension is not one"),
    ],
)
def test_links_that_are_none_are_refused_and_not_told(outputs: Any, why: str) -> None:
    """An extension becomes part of a path on disk."""
    with pytest.raises(UnexpectedReply) as caught:
        linked({"request_id": "call", "process_output": outputs})
    assert str(caught.value) == f"fetch_output was answered with 200, but {why}"
    assert CANARY not in f"{caught.value!r} {caught.value.reply!r}"


# --- update ----------------------------------------------------------------------------------


def test_an_update_is_read_whole() -> None:
    body = {
        "pipeline": "p",
        "request_id": "r",
        "message": "Successfully updated file metadata",
        "warnings": [],
    }
    done = updated(body)
    assert done == UpdateResult(
        status_code=200,
        request_id="r",
        message="Successfully updated file metadata",
        pipeline="p",
        file_id="f",
    )
    assert done.to_dict() == {"status_code": 200, **body}


@pytest.mark.parametrize(
    "words",
    [
        "FAILURE: another file already has this symbolic_file_path - /novels/n1/book 1.txt",
        "FAILURE: file extension cannot be updated",
    ],
)
def test_an_update_that_is_refused_keeps_the_services_words(words: str) -> None:
    with pytest.raises(RequestRejected, match=re.escape(words)) as caught:
        updated({"pipeline": "p", "request_id": "r", "message": words, "warnings": []}, 400)
    assert (type(caught.value), caught.value.request_id) == (RequestRejected, "r")


# --- semantic search -------------------------------------------------------------------------


def test_a_semantic_search_is_read_whole() -> None:
    about = {
        "file_name": "a.txt",
        "symbolic_directory_path": "/novels",
        "file_tags": [{"author": "melville"}],
        "num_vectors": 12,
        "created_at": "2024-06-05 15:28:06",
        "last_updated": "2024-06-05 15:28:07",
    }
    hit = {"snippet": "Call me Ishmael.", "line_numbers": [2, 3], "distance": 0.123, "new": 1}
    item = {"file_id": "f", "file_metadata": about, "search_results": [hit]}
    body = {"request_id": "r", "message": "m", "warnings": ["w"], "items": [item]}
    found = near(body)
    assert found == SemanticSearchResult(
        status_code=200,
        request_id="r",
        message="m",
        warnings=("w",),
        items=(
            SemanticItem(
                file_id="f",
                file_metadata=SearchedFile(
                    file_name="a.txt",
                    symbolic_directory_path="/novels",
                    file_tags=({"author": "melville"},),
                    num_vectors=12,
                    created_at="2024-06-05 15:28:06",
                    last_updated="2024-06-05 15:28:07",
                ),
                search_results=(
                    SemanticHit(snippet="Call me Ishmael.", line_numbers=(2, 3), distance=0.123),
                ),
            ),
        ),
    )
    assert found.to_dict() == {"status_code": 200, **body}
    assert found.items[0].search_results[0].raw == hit


def test_bare_snippets_are_read_as_far_as_they_go() -> None:
    hits = [
        {},
        5,
        {"distance": 1, "line_numbers": [1, "2"]},
        {"distance": "near"},
        {"distance": 10**400},
    ]
    found = near({"items": [{"search_results": hits}, {"search_results": None}]})
    assert [item.search_results for item in found] == [
        (
            SemanticHit(snippet="", line_numbers=(), distance=0.0),
            SemanticHit(snippet="", line_numbers=(1, 0), distance=1.0),
            SemanticHit(snippet="", line_numbers=(), distance=0.0),
            SemanticHit(snippet="", line_numbers=(), distance=float("inf")),
        ),
        (),
    ]
    assert len(found) == 2
