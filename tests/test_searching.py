"""Searching by meaning: what is sent, what comes back by file and in one row over all files.

The embedded server has no such search yet, so a recorded answer stands in for it.
"""

from __future__ import annotations

import json
from typing import Any, Self

import httpx
import pytest

from krixik_async import (
    GlobalHit,
    GlobalSearchResult,
    InvalidArgument,
    InvalidArgumentType,
    Krixik,
    KrixikError,
    Pipeline,
    SearchedFile,
    SemanticHit,
    SemanticSearchResult,
)
from krixik_async._offload import InlineOffload
from tests.client_side import KEY, URL

pytestmark = pytest.mark.anyio

CHAIN = ("parser", "text-embedder", "vector-db")
ALL = ["/*"]


def item(file_id: str, created_at: str, **distances: float) -> dict[str, Any]:
    return {
        "file_id": file_id,
        "file_metadata": {
            "file_name": f"{file_id}.txt",
            "symbolic_directory_path": "/novels",
            "file_tags": [{"author": "melville"}],
            "num_vectors": 12,
            "created_at": created_at,
            "last_updated": created_at,
        },
        "search_results": [
            {"snippet": snippet, "line_numbers": [1, 2], "distance": distance}
            for snippet, distance in distances.items()
        ],
    }


OLD = item("old", "2024-06-05 15:28:06", a=0.1, c=0.3)
NEW = item("new", "2024-06-06 15:28:06", b=0.2, d=0.3)
ANSWER = {
    "request_id": "r",
    "message": "Successfully queried 2 user files.",
    "warnings": [],
    "items": [OLD, NEW],
}


class Recorded(httpx.AsyncBaseTransport):
    """Give the recorded answer to whatever is asked."""

    def __init__(self, answer: Any) -> None:
        self.asked: list[tuple[str, str]] = []
        self._answer = answer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append((request.url.path, (await request.aread()).decode()))
        return httpx.Response(200, json=self._answer)


class Shelf:
    """Hold a pipeline and what was asked of the service through it."""

    def __init__(self, answer: Any = ANSWER, chain: tuple[str, ...] = CHAIN) -> None:
        self._transport = Recorded(answer)
        self.asked = self._transport.asked
        self._client = Krixik(
            api_key=KEY, api_url=URL, http_transport=self._transport, offload=InlineOffload()
        )
        self.pipeline: Pipeline = self._client.create_pipeline(
            name="vec-pipeline", module_chain=chain
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


async def test_a_search_asks_and_answers_as_recorded() -> None:
    """The body is byte for byte the official client's."""
    zero = "WARNING: the following arguments returned zero results"
    answer = {
        "request_id": "r",
        "message": "No files were found for the given query arguments",
        "warnings": [{zero: [{"symbolic_directory_paths": ["/none"]}]}],
        "items": [],
    }
    async with Shelf(answer) as shelf:
        found = await shelf.pipeline.semantic_search(
            query="zzz", symbolic_directory_paths=["/none"]
        )
    assert shelf.asked == [
        (
            "/semantic-search",
            (
                '{"pipeline": "vec-pipeline", "pipeline_ordered_modules": ["parser", '
                '"text-embedder", "vector-db"], "query": "zzz", "file_ids": null, "file_names": '
                'null, "symbolic_directory_paths": ["/none"], "symbolic_file_paths": null, '
                '"file_tags": null, "k": 5, "max_files": 1000, "created_at_start": null, '
                '"created_at_end": null, "last_updated_start": null, "last_updated_end": null}'
            ),
        )
    ]
    assert found.to_dict() == {"status_code": 200, **answer}
    assert (list(found), len(found)) == ([], 0)


@pytest.mark.parametrize(
    ("order", "items"),
    [("descending", [NEW, OLD]), (None, [NEW, OLD]), ("ascending", [OLD, NEW])],
)
async def test_files_come_by_creation(order: str | None, items: list[dict[str, Any]]) -> None:
    async with Shelf() as shelf:
        found = await shelf.pipeline.semantic_search(
            query="night", k=2, sort_order=order, symbolic_directory_paths=ALL
        )
    assert isinstance(found, SemanticSearchResult)
    assert [found_item.file_id for found_item in found] == [i["file_id"] for i in items]
    assert found.to_dict() == {"status_code": 200, **ANSWER, "items": items}
    assert json.loads(shelf.asked[0][1])["k"] == 2
    newest = next(found_item for found_item in found if found_item.file_id == "new")
    assert newest.search_results == (
        SemanticHit(snippet="b", line_numbers=(1, 2), distance=0.2),
        SemanticHit(snippet="d", line_numbers=(1, 2), distance=0.3),
    )
    assert newest.file_metadata.num_vectors == 12


async def test_in_one_row_the_nearest_snippets_of_all_files_come_first() -> None:
    """Of two that are equally near, that of the file named first."""
    async with Shelf() as shelf:
        found = await shelf.pipeline.semantic_search(
            query="night", sort_order="global", symbolic_directory_paths=ALL
        )
    assert [(hit.snippet, hit.file_id) for hit in found] == [
        ("a", "old"), ("b", "new"), ("c", "old"), ("d", "new"),
    ]  # fmt: skip
    assert (type(found), len(found)) == (GlobalSearchResult, 4)
    created = "2024-06-05 15:28:06"
    assert found.items[0] == GlobalHit(
        snippet="a",
        line_numbers=(1, 2),
        distance=0.1,
        file_id="old",
        file_metadata=SearchedFile(
            file_name="old.txt",
            symbolic_directory_path="/novels",
            file_tags=({"author": "melville"},),
            num_vectors=12,
            created_at=created,
            last_updated=created,
        ),
    )
    row = found.to_dict()
    items = row.pop("items")
    assert row == {"status_code": 200} | {k: v for k, v in ANSWER.items() if k != "items"}
    assert isinstance(items, list)
    assert len(items) == 4
    first = {
        "snippet": "a",
        "distance": 0.1,
        "line_numbers": [1, 2],
        "file_metadata": {
            "file_id": "old",
            "file_name": "old.txt",
            "symbolic_directory_path": "/novels",
            "file_tags": [{"author": "melville"}],
            "num_lines": 0,
            "created_at": created,
            "last_updated": created,
        },
    }
    assert json.dumps(items[0]) == json.dumps(first)


@pytest.mark.parametrize(
    ("given", "said", "kind"),
    [
        ({"k": 0}, "k is 0 but must be 1 to 10", InvalidArgument),
        ({"k": 11}, "k is 11 but must be 1 to 10", InvalidArgument),
        ({"k": 2.0}, "k is float but must be a whole number", InvalidArgumentType),
        ({"k": "5"}, "k is str", InvalidArgumentType),
        ({"k": True}, "k is bool", InvalidArgumentType),
        ({"query": "x"}, "query has 1 characters", InvalidArgument),
        ({"sort_order": "nearest"}, "('descending', 'ascending', 'global')", InvalidArgument),
        ({"symbolic_directory_paths": None}, "no selector was given", InvalidArgument),
        ({"verbose": 0}, "verbose is int", InvalidArgumentType),
    ],
)
async def test_a_search_that_breaks_a_rule_is_not_sent(
    given: dict[str, Any], said: str, kind: type[KrixikError]
) -> None:
    async with Shelf() as shelf:
        with pytest.raises(kind) as caught:
            await shelf.pipeline.semantic_search(
                **{"query": "night", "symbolic_directory_paths": ALL, **given}
            )
    assert said in str(caught.value)
    assert shelf.asked == []


@pytest.mark.parametrize("chain", [("parser",), ("vector-db",), ("parser", "text-embedder")])
async def test_a_pipeline_without_vectors_of_text_cannot_be_searched(
    chain: tuple[str, ...],
) -> None:
    async with Shelf(chain=chain) as shelf:
        with pytest.raises(InvalidArgument, match="does not end in 'text-embedder', 'vector-db'"):
            await shelf.pipeline.semantic_search(query="night", symbolic_directory_paths=ALL)
    assert shelf.asked == []


async def test_only_a_semantic_search_can_be_in_one_row() -> None:
    async with Shelf() as shelf:
        with pytest.raises(InvalidArgument, match="sort_order is 'global'"):
            await shelf.pipeline.list(symbolic_directory_paths=ALL, sort_order="global")
