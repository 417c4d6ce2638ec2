"""Searches: which files a query means, then what is in them.

A keyword search reads databases and runs beside the event loop. A semantic search has to run a
model on its query: it goes where models run, but to a worker of its own, so that it does not wait
for files that are being processed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from krixik_async._catalogue import can_keyword_search, can_semantic_search, check_chain
from krixik_async._clock import Clock
from krixik_async._errors import InvalidArgument
from krixik_async._offload import Offload
from krixik_async._reply import JSON
from krixik_async._selectors import check_nearest
from krixik_async._selectors import check_query as check_words
from krixik_async._wire import KeywordSearch, SemanticSearch
from krixik_async.server import _answers as answers
from krixik_async.server._answers import Answer
from krixik_async.server._records import Record
from krixik_async.server._selection import Query, Selection, check_query, only_ids, select
from krixik_async.server._settings import ServerSettings
from krixik_async.server._store import Store
from krixik_async.server.runners import RunnerError, missing
from krixik_async.server.runners._keyword_db import KeywordHits, parse_query
from krixik_async.server.runners._keyword_db import search as search_keywords
from krixik_async.server.runners._semantic import Indexed
from krixik_async.server.runners._semantic import search as search_vectors


class Searching:
    """Answer searches in the complete files of an account's pipelines."""

    def __init__(
        self,
        settings: ServerSettings,
        store: Store,
        clock: Clock,
        offload: Offload,
        search: Offload,
    ) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._offload = offload
        self._search = search

    async def select(self, account: str, asked: Query) -> Selection:
        """Give the files that a query means, or raise InvalidArgument for one that cannot be."""
        check_query(asked)
        records = await self._store.complete(
            account, asked.pipeline, self._clock.wall(), only_ids(asked)
        )
        return await self._offload(select, records, asked)

    async def by_keyword(self, account: str, request_id: str, asked: KeywordSearch) -> Answer:
        """Give the places of a query's words."""
        check_words(asked.query)
        if not can_keyword_search(check_chain(asked.pipeline_ordered_modules)):
            raise InvalidArgument("keyword search is for pipelines that end with 'keyword-db'")
        selection = await self.select(account, asked)
        searchable = [record for record in selection.records if can_keyword_search(record.chain)]
        chosen = searchable[: asked.max_files]
        paths = [self._store.output_path(record) for record in chosen]
        found = await self._offload(_search_all, paths, asked.query)
        return answers.hits(
            request_id,
            list(zip(chosen, found, strict=True)),
            matched=len(searchable),
            warnings=selection.warnings,
            stop_words=parse_query(asked.query)[1],
        )

    async def by_meaning(self, account: str, request_id: str, asked: SemanticSearch) -> Answer:
        """Give the snippets that are nearest to a query."""
        check_words(asked.query)
        check_nearest(asked.k)
        chain = check_chain(asked.pipeline_ordered_modules)
        if not can_semantic_search(chain):
            raise InvalidArgument(
                "semantic search is for pipelines that end with 'text-embedder', 'vector-db'"
            )
        selection = await self.select(account, asked)
        searchable = [record for record in selection.records if can_semantic_search(record.chain)]
        chosen = searchable[: asked.max_files]
        files = [self._indexed(record) for record in chosen]
        if not all(file.simulated for file in files):
            _check_runnable(chain[-1])
        if not all(file.embedded.simulated for file in files):
            _check_runnable(chain[-2])
        try:
            found: list[list[Any] | None] = await self._search(
                search_vectors, asked.query, files, asked.k
            )
        except RunnerError as error:
            raise InvalidArgument(f"the query cannot be embedded: {error}") from error
        return answers.near(
            request_id,
            list(zip(chosen, found, strict=True)),
            matched=len(searchable),
            warnings=selection.warnings,
        )

    def _indexed(self, record: Record) -> Indexed:
        position = len(record.chain) - 2
        index = self._store.output_path(record)
        embedded = self._store.module_request(
            record,
            position,
            index,
            model_dir=self._settings.model_dir,
            simulated=record.simulated(position),
        )
        return Indexed(embedded, index, simulated=record.simulated(position + 1))


def _check_runnable(module: str) -> None:
    lack = missing(module)
    if lack is not None:
        raise InvalidArgument(lack)


def _search_all(paths: list[Path], query: str) -> list[list[JSON]]:
    return [_search_one(path, query) for path in paths]


def _search_one(path: Path, query: str) -> list[Any]:
    try:
        found: KeywordHits = search_keywords(path, query)
    except RunnerError:
        # Deleted since it was chosen: as if it had been a moment earlier.
        return []
    return found.hits
