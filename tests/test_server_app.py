"""The API as its callers see it: shapes, refusals, accounts, lifetimes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from krixik_async._offload import InlineOffload
from krixik_async.server import ServerSettings, create_app
from krixik_async.server._app import MAX_BODY_BYTES
from tests.server_side import (
    BASE_URL,
    EPOCH,
    KEY,
    TEXT,
    UUID,
    InProcess,
    contents,
    http_scope,
    listing,
    names,
    searching,
    serving,
    settle,
    submission,
)

pytestmark = pytest.mark.anyio

ID = "0d9f1c3e-5b7a-4c2d-8e6f-1a2b3c4d5e6f"
PATHS = (
    "/cli-checkin",
    "/krixik-core-process",
    "/krixik-core-process-status",
    "/krixik-core-list",
    "/krixik-core-delete",
    "/krixik-core-fetch-output",
    "/keyword-search",
    "/krixik-core-update",
    "/krixik-core-show-tree",
    "/krixik-core-cap-check",
    "/semantic-search",
)


def without_request_id(reply: httpx.Response) -> dict[str, Any]:
    """Give the body but for the call's own id, which must be a fresh uuid4."""
    body: dict[str, Any] = reply.json()
    assert re.fullmatch(UUID, body.pop("request_id"))
    return body


async def test_check_in_accepts_a_good_key_and_any_body(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        for body in (b'"{}"', b"", b"\xff", rb"\ud", b"\0"):
            reply = await api.post("/cli-checkin", body)
            assert (reply.status_code, without_request_id(reply)) == (200, {"message": "SUCCESS"})
            assert reply.headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", PATHS)
async def test_a_wrong_key_is_forbidden_as_the_gateway_says_it(tmp_path: Path, path: str) -> None:
    async with serving(tmp_path) as api:
        for headers in ({}, {"krixikApiKey": ""}, {"krixikApiKey": KEY[:-1]}):
            reply = await api.http.post(path, content=b"{}", headers=headers)
            assert (reply.status_code, reply.json()) == (403, {"message": "Forbidden"})


async def test_unknown_paths_and_other_methods_are_the_gateways_403(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        for method, path in (
            ("POST", "/"),
            ("POST", "/nothing"),
            ("POST", "//krixik-core-list"),
            ("POST", "/krixik-core-list/"),
            ("GET", "/krixik-core-list"),
            ("HEAD", "/krixik-core-list"),
            ("TRACE", "/krixik-core-list"),
            ("GET", "/upload"),
            ("GET", "/outputs"),
            ("GET", "/outputs/a/../../secret"),
        ):
            reply = await api.http.request(method, BASE_URL + path, headers={"krixikApiKey": KEY})
            assert reply.status_code == 403
            if method != "HEAD":
                assert reply.json() == {"message": "Missing Authentication Token"}


async def test_a_ticket_carries_ids_and_a_form_for_the_same_host(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        body = await api.submit()
        form = body.pop("presigned_post_url_results")
        assert re.fullmatch(UUID, body.pop("request_id"))
        file_id = body.pop("file_id")
        assert body == {"message": "SUCCESS", "warnings": []}
        assert form["url"] == f"{BASE_URL}/upload"
        assert list(form["fields"]) == [
            "key",
            "x-amz-algorithm",
            "x-amz-date",
            "policy",
            "x-amz-signature",
        ]
        assert form["fields"]["key"] == f"uploads/{file_id}"


async def test_a_file_goes_the_whole_way_in_the_official_shapes(tmp_path: Path) -> None:
    """Status before, during and after; list; output; search; deletion; not found."""
    async with serving(tmp_path, min_module_seconds=2) as api:
        ticket = await api.submit(
            chain=("parser", "json-to-txt", "keyword-db"),
            file_name="File One.TXT",
            symbolic_directory_path="/My Books",
            file_tags=[{"Author": "Orwell"}],
            file_description="Is this it?",
            modules={"parser": {"model": "fixed", "params": {"chunk_size": 10, "overlap_size": 4}}},
        )
        process_id, file_id = ticket["request_id"], ticket["file_id"]

        async def flags() -> Any:
            reply = await api.status(process_id)
            body = without_request_id(reply)
            assert reply.status_code == 200
            assert {k: v for k, v in body.items() if k != "process_status"} == {
                "file_id": file_id,
                "message": "SUCCESS: process_status found",
                "failure_status": None,
            }
            return list(body["process_status"].items())

        labels = ("module_1.parser", "module_2.json-to-txt", "module_3.keyword-db")
        assert await flags() == [(name, False) for name in labels]
        assert (await api.upload(ticket)).status_code == 204
        for done in range(4):
            await settle()
            assert await flags() == [(name, i < done) for i, name in enumerate(labels)]
            api.clock.advance(1.5)
            await settle()
            assert await flags() == [(name, i < done) for i, name in enumerate(labels)]
            api.clock.advance(0.5)

        listed = await api.list(file_ids=[file_id])
        assert re.fullmatch(UUID, listed.pop("request_id"))
        assert listed == {
            "message": "Successfully returned 1 item.  Note: all timestamps in UTC.",
            "warnings": [],
            "items": [
                {
                    "last_updated": "2025-06-15 15:06:46",
                    "process_id": process_id,
                    "created_at": "2025-06-15 15:06:46",
                    "file_metadata": {
                        "modules": {
                            "module_1": {
                                "parser": {
                                    "model": "fixed",
                                    "params": {"chunk_size": 10, "overlap_size": 4},
                                }
                            },
                            "module_2": {"json-to-txt": {"model": "base"}},
                            "module_3": {"keyword-db": {"model": "sqlite"}},
                        },
                        "modules_data": {
                            "module_1": {
                                "parser": {"data_files_extensions": [".json"], "num_lines": 4}
                            },
                            "module_2": {"json-to-txt": {"data_files_extensions": [".txt"]}},
                            "module_3": {
                                "keyword-db": {"data_files_extensions": [".db"], "num_lines": 4}
                            },
                        },
                        "pipeline_ordered_modules": ["parser", "json-to-txt", "keyword-db"],
                        "pipeline_output_process_keys": ["snippet", None, None],
                    },
                    "file_tags": [{"author": "orwell"}],
                    "file_description": "Is this it?",
                    "symbolic_directory_path": "/my books",
                    "pipeline": "books",
                    "file_id": file_id,
                    "expire_time": "2025-06-15 15:36:40",
                    "file_name": "file one.txt",
                }
            ],
        }
        assert list(listed["items"][0]) == [
            "last_updated",
            "process_id",
            "created_at",
            "file_metadata",
            "file_tags",
            "file_description",
            "symbolic_directory_path",
            "pipeline",
            "file_id",
            "expire_time",
            "file_name",
        ]

        fetched = await api.fetch_output(file_id)
        url = fetched.json()["process_output"][0]["url"]
        assert url.startswith(f"{BASE_URL}/outputs/{file_id}.db?")
        assert (fetched.status_code, without_request_id(fetched)) == (
            200,
            {
                "pipeline": "books",
                "file_id": file_id,
                "message": f"SUCCESS - output fetched for file_id {file_id}.",
                "warnings": [],
                "process_output": [{"url": url, "extension": ".db"}],
            },
        )

        gone = await api.delete(file_id)
        assert (gone.status_code, without_request_id(gone)) == (
            200,
            {
                "pipeline": "books",
                "message": f"Successfully deleted file_id: {file_id}",
                "warnings": [],
            },
        )
        assert names(tmp_path / "files") == []
        lost = await api.status(process_id)
        assert (lost.status_code, without_request_id(lost)) == (
            400,
            {"message": f"process_id was not found - {process_id}"},
        )
        assert (await api.http.get(url)).status_code == 404


@pytest.mark.parametrize("path", ["/krixik-core-delete", "/krixik-core-fetch-output"])
async def test_an_unfinished_file_is_left_alone_with_a_200(tmp_path: Path, path: str) -> None:
    """Before the upload as well as while it is processed."""
    async with serving(tmp_path, min_module_seconds=2) as api:
        for ticket in (await api.submit(), await api.process(file_name="b.txt")):
            reply = await api.on_file(path, ticket["file_id"])
            expected = {
                "pipeline": "books",
                "message": "The output for associated with your input file_id has not finished "
                "processing",
                "warnings": [],
            }
            if path == "/krixik-core-fetch-output":
                expected |= {"file_id": ticket["file_id"], "process_output": None}
            assert (reply.status_code, without_request_id(reply)) == (200, expected)
            assert (await api.status(ticket["request_id"])).status_code == 200


@pytest.mark.parametrize("path", ["/krixik-core-delete", "/krixik-core-fetch-output"])
async def test_a_file_of_another_pipeline_account_or_of_none_is_not_found(
    tmp_path: Path, path: str
) -> None:
    async with serving(tmp_path) as api:
        file_id = (await api.process())["file_id"]
        for who, asked, pipeline in (
            (api, ID, "books"),
            (api, file_id, "other"),
            (api.as_other(), file_id, "books"),
        ):
            reply = await who.on_file(path, asked, pipeline=pipeline)
            answer = {
                "pipeline": pipeline,
                "message": f"FAILURE: file_id not found - {asked}",
                "warnings": [],
            }
            if path == "/krixik-core-fetch-output":
                # The official client returns None where the second is missing.
                answer |= {"file_id": asked, "process_output": None}
            assert (reply.status_code, without_request_id(reply)) == (400, answer)
        assert len((await api.list(file_ids=[file_id]))["items"]) == 1


async def test_accounts_never_see_each_other(tmp_path: Path) -> None:
    """Names, ids, searches and pipeline names are each account's own."""
    async with serving(tmp_path) as api:
        mine = await api.process()
        other = api.as_other()
        assert (await other.status(mine["request_id"])).json()["message"] == (
            f"process_id was not found - {mine['request_id']}"
        )
        assert (await other.list(symbolic_directory_paths=["/*"]))["items"] == []
        assert (await other.search("clock", file_ids=[mine["file_id"]]))["items"] == []
        theirs = await other.process(chain=("parser",))
        assert [item["file_id"] for item in (await other.list(created_at_start=0))["items"]] == [
            theirs["file_id"]
        ]


async def test_a_process_asked_for_under_another_pipeline_is_a_mismatch(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        ticket = await api.submit()
        reply = await api.status(ticket["request_id"], pipeline="other")
        assert (reply.status_code, without_request_id(reply)) == (
            400,
            {
                "message": "BAD REQUEST: pipeline of process_id does not match associated file "
                "pipeline",
                "warnings": [],
            },
        )


async def test_a_taken_path_and_another_chain_are_refused_while_the_record_lives(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as api:
        await api.submit()
        taken = await api.post("/krixik-core-process", submission())
        assert (taken.status_code, without_request_id(taken)) == (
            400,
            {
                "message": "BAD REQUEST: a file with this symbolic_directory_path and file_name "
                "already exists - /etc/a.txt",
                "warnings": [],
            },
        )
        other = await api.post(
            "/krixik-core-process", submission(chain=("parser",), file_name="b.txt")
        )
        assert (other.status_code, without_request_id(other)) == (
            400,
            {
                "message": "BAD REQUEST: you have at least one file on record with the same "
                "pipeline name and another chain of modules: choose another pipeline name, or "
                "delete those files first",
                "warnings": [],
            },
        )
        await api.submit(symbolic_directory_path="/other")
        await api.submit(pipeline="other", chain=("parser",))
        api.clock.advance(60)
        await api.submit(chain=("parser",))


async def test_a_ticket_vanishes_on_time_and_a_file_at_its_end(tmp_path: Path) -> None:
    """To the moment for every reader; the files a little later."""
    async with serving(tmp_path, ticket_seconds=10) as api:
        ticket = await api.submit(file_name="late.txt")
        done = await api.process(expire_time=1801)
        url = (await api.fetch_output(done["file_id"])).json()["process_output"][0]["url"]
        api.clock.advance(9.99)
        assert (await api.status(ticket["request_id"])).status_code == 200
        api.clock.advance(0.01)
        assert (await api.status(ticket["request_id"])).status_code == 400
        assert (await api.upload(ticket)).status_code == 403
        api.clock.advance(1790.98)
        await settle()
        assert (await api.status(done["request_id"])).status_code == 200
        assert (await api.http.get(url)).status_code == 200
        assert len((await api.list(created_at_start=0))["items"]) == 1
        api.clock.advance(0.02)
        assert (await api.status(done["request_id"])).status_code == 400
        assert (await api.http.get(url)).status_code == 404
        assert (await api.list(created_at_start=0))["items"] == []
        assert (await api.delete(done["file_id"])).status_code == 400
        api.clock.advance(5)
        await settle()
        assert names(tmp_path / "files") == []


async def test_a_failed_file_says_where_and_stands_in_nobodys_way(tmp_path: Path) -> None:
    """It can be deleted, its path taken again; it has no output and is in no list."""
    async with serving(tmp_path) as api:
        failed = await api.process(b"not \xff text")
        reply = await api.status(failed["request_id"])
        assert (reply.status_code, without_request_id(reply)) == (
            200,
            {
                "file_id": failed["file_id"],
                "message": "SUCCESS: process_status found",
                "process_status": None,
                "failure_status": {
                    "process_id": failed["request_id"],
                    "failure_module": "module_1.keyword-db",
                    "message": "the input is not valid UTF-8 text",
                },
            },
        )
        fetched = await api.fetch_output(failed["file_id"])
        assert (fetched.status_code, without_request_id(fetched)) == (
            400,
            {
                "pipeline": "books",
                "file_id": failed["file_id"],
                "message": f"FAILURE: file_id {failed['file_id']} has no output: processing it "
                "failed at module_1.keyword-db: the input is not valid UTF-8 text",
                "warnings": [],
                "process_output": None,
            },
        )
        assert (await api.list(file_ids=[failed["file_id"]]))["items"] == []
        again = await api.process()
        assert (await api.delete(failed["file_id"])).status_code == 200
        assert (await api.status(failed["request_id"])).status_code == 400
        assert (await api.status(again["request_id"])).status_code == 200


async def test_list_gives_the_newest_first_up_to_max_files(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        for number in range(4):
            await api.process(file_name=f"{number}.txt")
            if number:
                api.clock.advance(1)
        found = await api.list(symbolic_directory_paths=["/*"], max_files=3)
        assert found["message"] == "Successfully returned 3 items.  Note: all timestamps in UTC."
        assert [item["file_name"] for item in found["items"]] == ["3.txt", "2.txt", "1.txt"]
        every = await api.list(created_at_start=int(EPOCH), created_at_end=int(EPOCH))
        assert [item["file_name"] for item in every["items"]] == ["1.txt", "0.txt"]


async def test_list_of_nothing_says_so_in_the_services_words(tmp_path: Path) -> None:
    async with serving(tmp_path, min_module_seconds=2) as api:
        file_id = (await api.process())["file_id"]
        by_id = await api.list(file_ids=[file_id])
        by_name = await api.list(file_names=["a.txt"])
        del by_id["request_id"], by_name["request_id"]
        assert by_id == {
            "message": "No items found for input query arguments",
            "warnings": [{"WARNING: the following file_ids were not found": [file_id]}],
            "items": [],
        }
        assert by_name == {
            "message": "No files were found for the given query arguments",
            "warnings": [
                {
                    "WARNING: the following arguments returned zero results": [
                        {"file_names": ["a.txt"]}
                    ]
                }
            ],
            "items": [],
        }


async def test_keyword_search_gives_hits_by_file_and_its_warnings(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        first = await api.process(file_tags=[{"author": "orwell"}])
        second = await api.process(b"one two three clocks four five", file_name="b.txt")
        third = await api.process(b"nothing of that kind in here", file_name="c.txt")
        found = await api.search("  The clock-door ", symbolic_directory_paths=["/*"])
        assert re.fullmatch(UUID, found.pop("request_id"))
        about = {"symbolic_directory_path": "/etc", "created_at": "2025-06-15 15:06:40"}
        about["last_updated"] = about["created_at"]
        assert found == {
            "message": "Successfully queried the first 2 user files out of 3 defined by input "
            "query arguments.",
            "warnings": [
                {
                    "WARNING: the following file_ids returned no results for the given query": [
                        third["file_id"]
                    ]
                },
                {
                    "WARNING: the following words in the query are in the stop_words list and "
                    "thus no results will be returned for them": ["the"]
                },
            ],
            "items": [
                {
                    "file_id": second["file_id"],
                    "file_metadata": {
                        "file_name": "b.txt",
                        "file_tags": [],
                        "num_lines": 1,
                        **about,
                    },
                    "search_results": [
                        {"keyword": "clocks", "line_number": 1, "keyword_number": 4}
                    ],
                },
                {
                    "file_id": first["file_id"],
                    "file_metadata": {
                        "file_name": "a.txt",
                        "file_tags": [{"author": "orwell"}],
                        "num_lines": 2,
                        **about,
                    },
                    "search_results": [
                        {"keyword": "clocks", "line_number": 1, "keyword_number": 11},
                        {"keyword": "doors", "line_number": 2, "keyword_number": 13},
                    ],
                },
            ],
        }


@pytest.mark.parametrize(
    ("query", "given", "message"),
    [
        ("clock", {"file_names": ["a.txt"]}, "Successfully queried 1 user file."),
        ("clock", {"created_at_start": 0}, "Successfully queried 2 user files."),
        (
            "clock",
            {"created_at_start": 0, "max_files": 1},
            (
                "Successfully queried the first 1 user files out of 2 defined by input query "
                "arguments."
            ),
        ),
        (
            "zzz",
            {"created_at_start": 0},
            (
                "Successfully queried the first 0 user files out of 2 defined by input query "
                "arguments."
            ),
        ),
        (
            "clock",
            {"file_names": ["none.txt"]},
            "No files were found for the given query arguments",
        ),
    ],
)
async def test_keyword_search_says_how_many_files_it_queried(
    tmp_path: Path, query: str, given: dict[str, Any], message: str
) -> None:
    async with serving(tmp_path) as api:
        for name in ("a.txt", "b.txt"):
            await api.process(file_name=name)
        assert (await api.search(query, **given))["message"] == message


async def test_a_file_whose_database_is_gone_has_no_results(tmp_path: Path) -> None:
    """Deleted between being chosen and being searched: no error."""
    async with serving(tmp_path) as api:
        file_id = (await api.process())["file_id"]
        (tmp_path / "files" / file_id / "module_1").unlink()
        assert (await api.search("clock", file_ids=[file_id]))["items"] == []


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/krixik-core-list", b"", "the body is not JSON"),
        ("/krixik-core-list", b"[]", "the body is not a JSON object"),
        (
            "/krixik-core-list",
            json.dumps(listing(file_ids=["x"])).encode("utf-16"),
            "the body is not JSON in UTF-8",
        ),
        ("/krixik-core-list", b"[" * 100_000, "the body is not JSON"),
        ("/krixik-core-list", listing(), "no selector was given"),
        ("/krixik-core-list", listing(file_ids="x"), "'file_ids' must be a list"),
        ("/krixik-core-list", listing(file_ids=["x"] * 501), "file_ids holds 501 entries"),
        ("/krixik-core-list", listing(file_ids=["x"], max_files=None), "'max_files' must be"),
        ("/krixik-core-list", listing(file_ids=["x"], max_files=0), "max_files is 0"),
        ("/krixik-core-list", listing(file_tags=[{"a": "$"}]), "file_tags holds"),
        ("/krixik-core-process-status", {}, "'pipeline' is missing"),
        ("/krixik-core-process-status", {"pipeline": "\ud800"}, "'version' is missing"),
        ("/krixik-core-delete", {"pipeline": "p", "version": "1", "file_id": 1}, "'file_id' must"),
        ("/keyword-search", searching("x", file_ids=["x"]), "query has 1 characters"),
        ("/keyword-search", searching("word"), "no selector was given"),
        (
            "/keyword-search",
            {**searching("word", file_ids=["x"]), "pipeline_ordered_modules": ["parser"]},
            "keyword search is for pipelines that end with 'keyword-db'",
        ),
        (
            "/keyword-search",
            {**searching("word", file_ids=["x"]), "pipeline_ordered_modules": []},
            "module_chain is empty",
        ),
    ],
)
async def test_a_malformed_body_is_a_400_that_names_the_key(
    tmp_path: Path, path: str, body: object, words: str
) -> None:
    async with serving(tmp_path) as api:
        reply = await api.post(path, body)
        answer = without_request_id(reply)
        assert (reply.status_code, words in answer["message"]) == (400, True), answer
        assert answer["message"].startswith("BAD REQUEST: ")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pipeline": ""}, "name has 0 characters"),
        ({"pipeline": "x" * 65}, "name has 65 characters"),
        ({"pipeline": "\ud800"}, "surrogate"),
        ({"pipeline_ordered_modules": []}, "module_chain is empty"),
        ({"pipeline_ordered_modules": ["parser", "keyword-db"]}, "after 'parser'"),
        ({"pipeline_output_process_keys": ["snippet"]}, "those of the chain: [null]"),
        ({"modules": {"module_2": {}}}, "module_2"),
        ({"modules": {"keyword-db": {"model": "x"}}}, "asks for the model 'x'"),
        ({"modules": []}, "'modules' must be an object"),
        ({"file_name": "a"}, "no extension"),
        ({"file_name": "a.json"}, "'.json'"),
        ({"file_name": "*.txt"}, "only letters"),
        ({"file_name": "../a.txt"}, "only letters"),
        ({"file_name": "x" * 61 + ".txt"}, "65 characters"),
        ({"symbolic_directory_path": "/a/../b"}, "symbolic_directory_path"),
        ({"symbolic_directory_path": "/home/*"}, "symbolic_directory_path"),
        ({"symbolic_directory_path": "home"}, "symbolic_directory_path"),
        ({"file_tags": [{"a": "*"}]}, "file_tags holds '*'"),
        ({"file_tags": None}, "'file_tags' must be a list"),
        ({"file_description": "<b>"}, "file_description holds '<'"),
        ({"expire_time": 1799}, "expire_time is 1799"),
        ({"expire_time": 2_592_001}, "expire_time is 2592001"),
        ({"expire_time": True}, "'expire_time' must be a whole number"),
    ],
)
async def test_a_submission_that_breaks_a_rule_is_refused(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    async with serving(tmp_path) as api:
        reply = await api.post("/krixik-core-process", {**submission(), **changes})
        answer = without_request_id(reply)
        assert (reply.status_code, words in answer["message"]) == (400, True), answer
        await api.submit()


async def test_a_refusal_quotes_no_more_than_anyone_needs(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        reply = await api.post("/krixik-core-process", submission(file_name="x" * 100_000))
        assert len(reply.json()["message"]) == 1000


async def test_a_body_that_is_too_large_is_a_413_and_the_largest_sensible_one_fits(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as api:
        reply = await api.post("/krixik-core-list", b"x" * (MAX_BODY_BYTES + 1))
        assert (reply.status_code, without_request_id(reply)) == (
            413,
            {"message": "BAD REQUEST: the body has more than 1048576 bytes", "warnings": []},
        )
        largest = await api.list(
            file_ids=[ID] * 500,
            file_names=["n" * 60 + ".txt"] * 500,
            symbolic_directory_paths=["/" + "d" * 127] * 500,
            symbolic_file_paths=["/" + "d" * 127 + "/" + "n" * 60 + ".txt"] * 500,
            file_tags=[{f"{n:032}": "v" * 32} for n in range(20)],
        )
        assert largest["items"] == []


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    path=st.sampled_from(PATHS),
    body=st.one_of(
        st.binary(max_size=60),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=8,
        ).map(lambda value: json.dumps(value).encode()),
        st.fixed_dictionaries(
            {},
            optional={
                name: st.none() | st.text() | st.integers() | st.lists(st.text()) | st.just(good)
                for name, good in {**submission(), **searching("word"), "process_id": ID}.items()
            },
        ).map(lambda value: json.dumps(value).encode()),
    ),
)
def test_whatever_the_body_the_answer_is_one_of_the_protocol(
    tmp_path: Path, path: str, body: bytes
) -> None:
    """No body makes a 500: 200 or 400, JSON, with a request_id and a message."""

    async def call() -> None:
        async with serving(tmp_path) as api:
            reply = await api.post(path, body)
            assert reply.status_code in (200, 400)
            assert {"request_id", "message"} <= set(reply.json())

    anyio.run(call)


async def test_however_deep_a_body_is_nested_it_is_refused(tmp_path: Path) -> None:
    """Also where it can just be read: quoting it back takes no deeper a stack."""
    async with serving(tmp_path) as api:
        body = submission(file_description="\U0001f600", modules={"keyword-db": {"model": "HERE"}})
        good = json.dumps(body)
        for depth in range(300, 1100, 7):
            deep = good.replace('"HERE"', "[" * depth + "]" * depth).encode()
            assert (await api.post("/krixik-core-process", deep)).status_code == 400


async def test_a_client_that_hangs_up_is_no_error(tmp_path: Path) -> None:
    """In the middle of an API call and of an upload."""
    async with serving(tmp_path) as api:
        for path in ("/krixik-core-list", "/upload"):
            headers = [
                (b"krixikapikey", KEY.encode()),
                (b"content-length", b"10"),
                (b"content-type", b"multipart/form-data; boundary=x"),
            ]
            sent: list[Any] = []

            async def receive() -> dict[str, Any]:
                return {"type": "http.disconnect"}

            async def send(message: Any, sent: list[Any] = sent) -> None:
                sent.append(message)

            await api.app(http_scope("POST", httpx.URL(BASE_URL + path), headers), receive, send)
            assert sent[0]["status"] == 400


async def test_a_fault_of_the_server_is_a_500_without_its_details(tmp_path: Path) -> None:
    """The error reaches whoever runs the app; the caller learns that it happened."""

    class Broken(InlineOffload):
        broken = False

        async def __call__(self, function: Any, /, *args: Any) -> Any:
            if self.broken:
                raise OSError("disk on fire")
            return await super().__call__(function, *args)

    offload = Broken()
    app = create_app(ServerSettings(data_dir=tmp_path, api_keys=(KEY,)), offload=offload)
    async with app.router.lifespan_context(app):
        transport = InProcess(app)
        async with httpx.AsyncClient(transport=transport, base_url=BASE_URL) as http:
            offload.broken = True
            with pytest.raises(OSError, match="disk on fire"):
                await http.post(
                    "/krixik-core-list",
                    content=json.dumps(listing(file_ids=["x"])),
                    headers={"krixikApiKey": KEY},
                )
            offload.broken = False
    answered = transport.last
    assert (answered.status_code, without_request_id(answered)) == (
        500,
        {"message": "FAILURE: internal server error"},
    )


async def test_no_api_key_is_on_the_disk(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        await api.process(TEXT)
    files = contents(tmp_path)
    assert len(files) >= 4
    assert [name for name, content in files.items() if KEY.encode() in content] == []


async def test_with_its_own_clock_and_threads_the_app_works_too(tmp_path: Path) -> None:
    """The defaults: the loop's clock, worker threads for files, database and modules."""
    app = create_app(ServerSettings(data_dir=tmp_path, api_keys=(KEY,)))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=InProcess(app), base_url=BASE_URL) as http,
    ):
        reply = await http.post(
            "/krixik-core-list",
            content=json.dumps(listing(file_ids=["x"])),
            headers={"krixikApiKey": KEY},
        )
    assert reply.status_code == 200


async def test_without_a_folder_a_temporary_one_goes_with_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made at the start, gone at the end, other servers' beside it."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    async with serving(None) as first, serving(None) as second:
        await first.process()
        await second.process()
        folders = names(tmp_path)
        assert [name[:13] for name in folders] == ["krixik-async-"] * 2
        assert [f"{name}/krixik.sqlite3" in contents(tmp_path) for name in folders] == [True] * 2
    assert names(tmp_path) == []


async def test_a_tree_gives_the_newest_paths_in_order(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        for name in ("c.txt", "b.txt", "a.txt"):
            await api.process(file_name=name, symbolic_directory_path="/Novels")
            api.clock.advance(1)
        asked = {"pipeline": "books", "version": "1.1.19"}
        for folder, most, items in (
            ("/*", 2, ["/novels/a.txt", "/novels/b.txt"]),
            ("/NOV*", None, ["/novels/a.txt", "/novels/b.txt", "/novels/c.txt"]),
            ("/novels", 1, ["/novels/a.txt"]),
        ):
            body = {**asked, "symbolic_directory_path": folder, "max_files": most}
            reply = await api.post("/krixik-core-show-tree", body)
            plural = "" if len(items) == 1 else "s"
            assert (reply.status_code, without_request_id(reply)) == (
                200,
                {
                    "message": f"Successfully returned {len(items)} item{plural}.",
                    "warnings": [],
                    "items": items,
                },
            )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"symbolic_directory_path": "a"}, "symbolic_directory_path is 'a'"),
        ({"max_files": 0}, "max_files is 0"),
        ({"symbolic_directory_path": None}, "'symbolic_directory_path' must be a string"),
    ],
)
async def test_a_tree_that_breaks_a_rule_is_refused(
    tmp_path: Path, given: dict[str, Any], words: str
) -> None:
    good = {"pipeline": "books", "version": "1.1.19", "symbolic_directory_path": "/*"}
    async with serving(tmp_path) as api:
        reply = await api.post("/krixik-core-show-tree", {**good, **given})
        assert reply.status_code == 400
        assert without_request_id(reply)["message"].startswith(f"BAD REQUEST: {words}")


async def test_no_cap_applies(tmp_path: Path) -> None:
    body = {"version": "1.1.19", "pipeline": None, "pipeline_ordered_modules": []}
    async with serving(tmp_path) as api:
        reply = await api.post("/krixik-core-cap-check", body)
        assert (reply.status_code, without_request_id(reply)) == (
            200,
            {"message": "SUCCESS: no cap applies to this embedded server", "warnings": []},
        )
