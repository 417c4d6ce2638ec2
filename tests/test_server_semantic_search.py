"""Semantic search on the server, on a tiny model that is made here."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from krixik_async import Krixik
from krixik_async._offload import InlineOffload
from krixik_async._wire import NO_FILES
from tests import tiny_bert
from tests.server_side import UUID, Api, listing, serving, settle

pytestmark = pytest.mark.anyio

MODEL = "all-MiniLM-L6-v2"
CHAIN = ("parser", "text-embedder", "vector-db")
EXACT = {"text-embedder": {"params": {"quantize": False}}}
TEXT = b"The whale.\nA ship.\n\nThe sea. Whales whales whales.\n"
#: TEXT's sentences: lines, and what the tokenizer makes of them
SENTENCES = {
    "The whale.": ([1], [2, 4, 6, 10, 3]),
    "A ship.": ([2], [2, 5, 7, 10, 3]),
    "The sea.": ([3, 4], [2, 4, 9, 10, 3]),
    "Whales whales whales.": ([4], [2, 6, 8, 6, 8, 6, 8, 10, 3]),
}
QUERY, QUERY_IDS = "whales ship", [2, 6, 8, 7, 3]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny_bert.save(folder / MODEL)
    return folder


def expected_hits() -> list[dict[str, Any]]:
    """Compute all hits in double precision."""
    query = tiny_bert.vector(QUERY_IDS)

    def distance(ids: list[int]) -> float:
        vector = tiny_bert.vector(ids)
        cosine = vector @ query / np.linalg.norm(vector) / np.linalg.norm(query)
        return float(round((1 - cosine) / 2, 3))

    hits = [
        {"snippet": snippet, "line_numbers": lines, "distance": distance(ids)}
        for snippet, (lines, ids) in SENTENCES.items()
    ]
    return sorted(hits, key=lambda hit: float(str(hit["distance"])))


async def search(
    api: Api, query: str = QUERY, *, k: int = 5, chain: tuple[str, ...] = CHAIN, **given: Any
) -> Any:
    body = {**listing(**given), "query": query, "pipeline_ordered_modules": chain, "k": k}
    del body["version"]
    return await api.post("/semantic-search", body)


async def test_the_nearest_snippets_come_first_with_their_lines(
    tmp_path: Path, models: Path
) -> None:
    """The whole answer, by the vectors of the model spelled out."""
    async with serving(tmp_path, model_dir=models) as api:
        ticket = await api.process(TEXT, chain=CHAIN, modules=EXACT, file_tags=[{"a": "b"}])
        reply = await search(api, symbolic_directory_paths=["/etc"])
    body = reply.json()
    assert re.fullmatch(UUID, body.pop("request_id"))
    metadata = {
        "file_name": "a.txt",
        "symbolic_directory_path": "/etc",
        "file_tags": [{"a": "b"}],
        "num_vectors": 4,
        "created_at": "2025-06-15 15:06:40",
        "last_updated": "2025-06-15 15:06:40",
    }
    hits = expected_hits()
    item = {"file_id": ticket["file_id"], "file_metadata": metadata, "search_results": hits}
    message = "Successfully queried 1 user file."
    assert reply.status_code == 200
    assert body == {"message": message, "warnings": [], "items": [item]}
    assert list(body["items"][0]["file_metadata"]) == list(metadata)
    assert list(body["items"][0]["search_results"][0]) == list(hits[0])


async def test_what_the_modules_counted_is_on_record(tmp_path: Path, models: Path) -> None:
    async with serving(tmp_path, model_dir=models) as api:
        await api.process(TEXT, chain=CHAIN)
        (item,) = (await api.list(file_names=["a.txt"]))["items"]
    assert item["file_metadata"]["modules_data"] == {
        "module_1": {"parser": {"data_files_extensions": [".json"], "num_lines": 4}},
        "module_2": {"text-embedder": {"data_files_extensions": [".npy"], "num_vectors": 4}},
        "module_3": {"vector-db": {"data_files_extensions": [".faiss"], "num_vectors": 4}},
    }


async def test_k_is_for_each_file_and_every_file_appears(tmp_path: Path, models: Path) -> None:
    """Newest first, as many files as were asked for; what the query does not mean is warned of."""
    unknown = "00000000-0000-4000-8000-000000000000"
    async with serving(tmp_path, model_dir=models) as api:
        for name in ("a.txt", "b.txt", "c.txt"):
            await api.process(TEXT, chain=CHAIN, modules=EXACT, file_name=name)
            api.clock.advance(1)
        given = {"symbolic_directory_paths": ["/*"], "file_ids": [unknown]}
        body = (await search(api, k=2, max_files=2, **given)).json()
        none = (await search(api, file_ids=[unknown])).json()
        other = (await search(api.as_other(), symbolic_directory_paths=["/*"])).json()
    found = {i["file_metadata"]["file_name"]: i["search_results"] for i in body["items"]}
    assert found == {"c.txt": expected_hits()[:2], "b.txt": expected_hits()[:2]}
    assert body["message"] == (
        "Successfully queried the first 2 user files out of 3 defined by input query arguments."
    )
    warnings = [{"WARNING: the following file_ids were not found": [unknown]}]
    assert body["warnings"] == none["warnings"] == warnings
    assert (none["message"], none["items"]) == (NO_FILES, [])
    assert (other["message"], other["items"]) == (NO_FILES, [])


async def test_snippets_that_a_user_sent_may_have_no_lines(tmp_path: Path, models: Path) -> None:
    chain = ("text-embedder", "vector-db")
    sent = [{"snippet": "the whale"}, {"snippet": "a ship", "line_numbers": [7]}]
    async with serving(tmp_path, model_dir=models) as api:
        await api.process(json.dumps(sent).encode(), chain=chain, modules=EXACT, file_name="a.json")
        body = (await search(api, "the whale", chain=chain, file_names=["a.json"])).json()
    first, second = body["items"][0]["search_results"]
    assert first == {"snippet": "the whale", "line_numbers": [], "distance": 0.0}
    assert (second["snippet"], second["line_numbers"]) == ("a ship", [7])


async def test_a_query_meets_vectors_that_were_quantized(tmp_path: Path, models: Path) -> None:
    """The query is not, so that even the same text is a little way off."""
    async with serving(tmp_path, model_dir=models) as api:
        await api.process(TEXT, chain=CHAIN)
        body = (await search(api, "The whale.", file_names=["a.txt"])).json()
    (first, *_) = body["items"][0]["search_results"]
    assert first["snippet"] == "The whale."
    assert 0.0 <= first["distance"] <= 0.01


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"query": "x"}, "query has 1 character"),
        ({"k": 0}, "k is 0"),
        ({"k": 11}, "k is 11"),
        ({"chain": ("vector-db",)}, "semantic search is for pipelines that end with 'text-emb"),
        ({"chain": ("vector-db", "parser")}, "after 'vector-db' may stand nothing"),
        ({"max_files": 0}, "max_files is 0"),
        ({"symbolic_directory_paths": None}, "no selector was given"),
    ],
)
async def test_a_query_that_breaks_a_rule_is_refused(
    tmp_path: Path, given: dict[str, Any], words: str
) -> None:
    async with serving(tmp_path) as api:
        reply = await search(api, **{"symbolic_directory_paths": ["/*"], **given})
    assert reply.status_code == 400
    assert words in reply.json()["message"]


async def test_weights_that_have_gone_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As is a package: the files are there, the query cannot be read."""
    monkeypatch.setenv("HOME", str(tmp_path))
    model = {"text-embedder": {"model": "all-MiniLM-L12-v2"}}
    weights = tiny_bert.save(tmp_path / "models" / "all-MiniLM-L12-v2")
    async with serving(tmp_path / "data", model_dir=tmp_path / "models") as api:
        await api.process(TEXT, chain=CHAIN, modules=model)
        # Another model's, so that this one is not at hand from before.
        await api.process(TEXT, chain=CHAIN, file_name="b.txt")
        shutil.rmtree(weights)
        reply = await search(api, symbolic_directory_paths=["/*"])
        assert reply.status_code == 400
        assert reply.json()["message"].startswith(
            "BAD REQUEST: the query cannot be embedded: "
            "the weights of 'all-MiniLM-L12-v2' are not on this machine: hf download "
        )
        for module, absent in (("text-embedder", "tokenizers"), ("vector-db", "faiss")):
            with monkeypatch.context() as without:
                without.setitem(sys.modules, absent, None)
                reply = await search(api, symbolic_directory_paths=["/*"])
                assert f"the module {module!r} needs {absent}: " in reply.json()["message"]


async def test_missing_weights_fail_the_file_and_say_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    model = {"text-embedder": {"model": "all-MiniLM-L12-v2"}}
    async with serving(tmp_path / "data") as api:
        ticket = await api.process(TEXT, chain=CHAIN, modules=model)
        failure = (await api.status(ticket["request_id"])).json()["failure_status"]
    assert failure == {
        "process_id": ticket["request_id"],
        "failure_module": "module_2.text-embedder",
        "message": (
            "the weights of 'all-MiniLM-L12-v2' are not on this machine: "
            "hf download sentence-transformers/all-MiniLM-L12-v2, or start the server with "
            "--model-dir DIR and put its files in DIR/all-MiniLM-L12-v2"
        ),
    }


async def test_a_file_that_is_deleted_meanwhile_is_left_out(tmp_path: Path, models: Path) -> None:
    """As if it had been deleted a moment earlier."""

    class Deleting(InlineOffload):
        async def __call__(self, function: Any, /, *args: Any) -> Any:
            if function.__name__ == "search":
                shutil.rmtree(args[1][0].index.parent)
            return await super().__call__(function, *args)

    async with serving(tmp_path, model_dir=models, compute=Deleting()) as api:
        await api.process(TEXT, chain=CHAIN)
        await settle()
        body = (await search(api, file_names=["a.txt"])).json()
    assert body["items"] == []


async def test_placeholders_are_searched_without_what_the_real_modules_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also by a later server that simulates nothing: the files' records say what they are."""
    for name in ("faiss", "numpy", "tokenizers"):
        monkeypatch.setitem(sys.modules, name, None)
    async with serving(tmp_path, simulate=("text-embedder", "vector-db")) as api:
        await api.process(TEXT, chain=CHAIN)
    async with serving(tmp_path) as api:
        body = (await search(api, "A ship.", k=1, file_names=["a.txt"])).json()
    hit = {"snippet": "A ship.", "line_numbers": [2], "distance": 0.0}
    assert body["items"][0]["search_results"] == [hit]


async def test_our_client_searches_in_its_embedded_server(tmp_path: Path, models: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(TEXT)
    async with Krixik.local(tmp_path / "data", model_dir=models) as krixik:
        pipeline = krixik.create_pipeline(name="books", module_chain=list(CHAIN))
        for name in ("a.txt", "b.txt"):
            await pipeline.process(
                local_file_path=path,
                file_name=name,
                modules=EXACT,
                wait_for_process=True,
                download_output=False,
            )
        found = await pipeline.semantic_search(
            query=QUERY, symbolic_directory_paths=["/*"], sort_order="global"
        )
    assert [hit.snippet for hit in found.items] == [
        hit["snippet"] for hit in expected_hits() for _ in range(2)
    ]
