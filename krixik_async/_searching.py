"""Searching a pipeline's finished files by meaning: by file, or in one row over all files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, TypedDict, Unpack, overload

from krixik_async import _catalogue, _selectors, _validation, _wire
from krixik_async._errors import InvalidArgument
from krixik_async._files import Tags
from krixik_async._models import (
    GlobalHit,
    GlobalSearchResult,
    SemanticHit,
    SemanticItem,
    SemanticSearchResult,
)
from krixik_async._reply import JSON
from krixik_async._shelving import ShelvedFiles

ORDERS = (*_selectors.SORT_ORDERS, _selectors.GLOBAL_ORDER)


class Selectors(TypedDict, total=False):
    """Hold what chooses the files to search; see `Pipeline.list`."""

    file_ids: Iterable[str] | None
    file_names: Iterable[str] | None
    symbolic_directory_paths: Iterable[str] | None
    symbolic_file_paths: Iterable[str] | None
    file_tags: Tags | None
    created_at_start: str | None
    created_at_end: str | None
    last_updated_start: str | None
    last_updated_end: str | None
    max_files: int
    verbose: bool


class SearchableFiles(ShelvedFiles):
    """Be the part of `Pipeline` that searches by meaning."""

    @overload
    async def semantic_search(
        self,
        *,
        query: str,
        k: int = _selectors.DEFAULT_NEAREST,
        sort_order: Literal["descending", "ascending"] | None = "descending",
        **selectors: Unpack[Selectors],
    ) -> SemanticSearchResult: ...

    @overload
    async def semantic_search(
        self,
        *,
        query: str,
        k: int = _selectors.DEFAULT_NEAREST,
        sort_order: Literal["global"],
        **selectors: Unpack[Selectors],
    ) -> GlobalSearchResult: ...

    @overload
    async def semantic_search(
        self,
        *,
        query: str,
        k: int = _selectors.DEFAULT_NEAREST,
        sort_order: str | None,
        **selectors: Unpack[Selectors],
    ) -> SemanticSearchResult | GlobalSearchResult: ...

    async def semantic_search(
        self,
        *,
        query: str,
        k: int = _selectors.DEFAULT_NEAREST,
        file_ids: Iterable[str] | None = None,
        file_names: Iterable[str] | None = None,
        symbolic_directory_paths: Iterable[str] | None = None,
        symbolic_file_paths: Iterable[str] | None = None,
        file_tags: Tags | None = None,
        created_at_start: str | None = None,
        created_at_end: str | None = None,
        last_updated_start: str | None = None,
        last_updated_end: str | None = None,
        max_files: int = _selectors.DEFAULT_MAX_FILES,
        sort_order: str | None = "descending",
        verbose: bool = False,
    ) -> SemanticSearchResult | GlobalSearchResult:
        """Find the snippets nearest in meaning to the query, at most `k` (1 to 10) a file.

        `query` has 2 to 256 characters. Selectors and the rest as in `list`; `sort_order="global"`
        puts the snippets of all files in one row, nearest first. Raises InvalidArgument if the
        chain does not end in text-embedder, vector-db. Idempotent, cancel-safe.
        """
        _check_chain(self._name, self._chain)
        _validation.check_bool("verbose", verbose)
        order = _selectors.check_sort_order(sort_order, allowed=ORDERS)
        selection = _selectors.check_selection(
            self._chain,
            file_ids=file_ids,
            file_names=file_names,
            symbolic_directory_paths=symbolic_directory_paths,
            symbolic_file_paths=symbolic_file_paths,
            file_tags=file_tags,
            created_at_start=created_at_start,
            created_at_end=created_at_end,
            last_updated_start=last_updated_start,
            last_updated_end=last_updated_end,
            max_files=max_files,
        )
        request = _wire.SemanticSearch(
            pipeline=self._name,
            pipeline_ordered_modules=self._chain,
            query=_selectors.check_query(query),
            k=_selectors.check_nearest(k),
            **selection,
        )
        found = await self._call(request, _wire.read_semantic_search)
        in_one_row = order == _selectors.GLOBAL_ORDER
        return _in_one_row(found) if in_one_row else _selectors.sort_result(found, order)


def _check_chain(name: str, chain: Sequence[str]) -> None:
    if not _catalogue.can_semantic_search(chain):
        raise InvalidArgument(
            f"pipeline {name!r} cannot semantic_search: its chain ({', '.join(chain)}) does not "
            "end in 'text-embedder', 'vector-db'"
        )


def _in_one_row(found: SemanticSearchResult) -> GlobalSearchResult:
    pairs = [(hit, item) for item in found.items for hit in item.search_results]
    pairs.sort(key=lambda pair: pair[0].distance)
    return GlobalSearchResult(
        status_code=found.status_code,
        request_id=found.request_id,
        message=found.message,
        warnings=found.warnings,
        raw={**found.raw, "items": [_official_shape(hit, item) for hit, item in pairs]},
        reply=found.reply,
        items=tuple(
            GlobalHit(
                snippet=hit.snippet,
                line_numbers=hit.line_numbers,
                distance=hit.distance,
                file_id=item.file_id,
                file_metadata=item.file_metadata,
            )
            for hit, item in pairs
        ),
    )


def _official_shape(hit: SemanticHit, item: SemanticItem) -> JSON:
    """Give one entry of the row as the official client (1.1.19, read 2026-11) makes it."""
    about = item.file_metadata
    return {
        "snippet": hit.raw.get("snippet"),
        "distance": hit.raw.get("distance"),
        "line_numbers": hit.raw.get("line_numbers"),
        "file_metadata": {
            "file_id": item.file_id,
            "file_name": about.file_name,
            "symbolic_directory_path": about.symbolic_directory_path,
            "file_tags": [dict(tag) for tag in about.file_tags],
            "num_lines": about.num_lines,
            "created_at": about.created_at,
            "last_updated": about.last_updated,
        },
    }
