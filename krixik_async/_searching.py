"""Searching a pipeline's finished files: by keyword, by meaning, or in one row over all files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, Unpack, overload

from krixik_async import _catalogue, _selectors, _validation, _wire
from krixik_async._arguments import names_checked
from krixik_async._errors import InvalidArgument
from krixik_async._files import FilesOnRecord, sort_result
from krixik_async._models import (
    GlobalHit,
    GlobalSearchResult,
    KeywordItem,
    KeywordSearchResult,
    SemanticHit,
    SemanticItem,
    SemanticSearchResult,
)
from krixik_async._paging import DEFAULT_PAGE_SIZE, Page, Pager, SearchPages
from krixik_async._reply import JSON
from krixik_async._selectors import FileSelectors, Selectors

ORDERS = (*_selectors.SORT_ORDERS, _selectors.GLOBAL_ORDER)


@names_checked
class SearchableFiles(FilesOnRecord):
    """Be the part of `Pipeline` that searches files after their processing."""

    async def keyword_search(
        self,
        *,
        query: str,
        sort_order: str | None = "descending",
        verbose: bool = False,
        **selectors: Unpack[Selectors],
    ) -> KeywordSearchResult:
        """Find the query's words (2 to 256 characters) in the selected finished files.

        Matches whole words, by their noun lemma; stop words are named in `.warnings`. Selectors and
        the rest are as in `list`. Raises InvalidArgument if the chain does not end in keyword-db.
        Idempotent, cancel-safe.
        """
        _validation.check_bool("verbose", verbose)
        order = _selectors.check_sort_order(sort_order)
        ask = self._keyword_request(query)
        request = ask(**_selectors.check_selection(self._chain, selectors))
        return sort_result(await self._call(request, _wire.read_keyword_search), order)

    def iter_keyword_search(
        self,
        *,
        query: str,
        page_size: int = DEFAULT_PAGE_SIZE,
        **selectors: Unpack[FileSelectors],
    ) -> Pager[KeywordItem]:
        """Iterate over the hits in all files that match, however many, the newest file first.

        Query as in `keyword_search`, the rest as in `iter_files`: files are listed by `page_size`
        and searched by at most 500.
        """
        ask = self._keyword_request(query)

        async def search(ids: Sequence[str]) -> Page[KeywordItem]:
            request = ask(**_selectors.check_selection(self._chain, {"file_ids": ids}))
            found = await self._call(request, _wire.read_keyword_search)
            return Page(sort_result(found, "descending").items, found)

        return Pager(SearchPages(self._file_pages(page_size, selectors), search))

    def _keyword_request(self, query: object) -> Callable[..., _wire.KeywordSearch]:
        """Give what makes the request of a checked selection."""
        if not _catalogue.can_keyword_search(self._chain):
            raise InvalidArgument(
                f"pipeline {self._name!r} cannot keyword_search: its chain "
                f"({', '.join(self._chain)}) does not end in 'keyword-db'"
            )
        return partial(
            _wire.KeywordSearch,
            pipeline=self._name,
            pipeline_ordered_modules=self._chain,
            query=_selectors.check_query(query),
        )

    @overload
    async def semantic_search(
        self,
        *,
        query: str,
        k: int = _selectors.DEFAULT_NEAREST,
        sort_order: Literal["descending", "ascending"] | None = "descending",
        verbose: bool = False,
        **selectors: Unpack[Selectors],
    ) -> SemanticSearchResult: ...

    @overload
    async def semantic_search(
        self,
        *,
        query: str,
        k: int = _selectors.DEFAULT_NEAREST,
        sort_order: Literal["global"],
        verbose: bool = False,
        **selectors: Unpack[Selectors],
    ) -> GlobalSearchResult: ...

    @overload
    async def semantic_search(
        self,
        *,
        query: str,
        k: int = _selectors.DEFAULT_NEAREST,
        sort_order: str | None,
        verbose: bool = False,
        **selectors: Unpack[Selectors],
    ) -> SemanticSearchResult | GlobalSearchResult: ...

    async def semantic_search(
        self,
        *,
        query: str,
        k: int = _selectors.DEFAULT_NEAREST,
        sort_order: str | None = "descending",
        verbose: bool = False,
        **selectors: Unpack[Selectors],
    ) -> SemanticSearchResult | GlobalSearchResult:
        """Find the snippets nearest in meaning to the query, at most `k` (1 to 10) a file.

        `query` has 2 to 256 characters. Selectors and the rest as in `list`; `sort_order="global"`
        puts the snippets of all files in one row, nearest first. Raises InvalidArgument if the
        chain does not end in text-embedder, vector-db. Idempotent, cancel-safe.
        """
        _validation.check_bool("verbose", verbose)
        order = _selectors.check_sort_order(sort_order, allowed=ORDERS)
        ask = self._semantic_request(query, k)
        request = ask(**_selectors.check_selection(self._chain, selectors))
        found = await self._call(request, _wire.read_semantic_search)
        in_one_row = order == _selectors.GLOBAL_ORDER
        return _in_one_row(found) if in_one_row else sort_result(found, order)

    def iter_semantic_search(
        self,
        *,
        query: str,
        k: int = _selectors.DEFAULT_NEAREST,
        page_size: int = DEFAULT_PAGE_SIZE,
        **selectors: Unpack[FileSelectors],
    ) -> Pager[SemanticItem]:
        """Iterate over the nearest snippets of all files that match, the newest file first.

        `query` and `k` as in `semantic_search`, the rest as in `iter_files`: files are listed by
        `page_size` and searched by at most 500.
        """
        ask = self._semantic_request(query, k)

        async def search(ids: Sequence[str]) -> Page[SemanticItem]:
            request = ask(**_selectors.check_selection(self._chain, {"file_ids": ids}))
            found = await self._call(request, _wire.read_semantic_search)
            return Page(sort_result(found, "descending").items, found)

        return Pager(SearchPages(self._file_pages(page_size, selectors), search))

    def _semantic_request(self, query: object, k: object) -> Callable[..., _wire.SemanticSearch]:
        """Give what makes the request of a checked selection."""
        if not _catalogue.can_semantic_search(self._chain):
            raise InvalidArgument(
                f"pipeline {self._name!r} cannot semantic_search: its chain "
                f"({', '.join(self._chain)}) does not end in 'text-embedder', 'vector-db'"
            )
        return partial(
            _wire.SemanticSearch,
            pipeline=self._name,
            pipeline_ordered_modules=self._chain,
            query=_selectors.check_query(query),
            k=_selectors.check_nearest(k),
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
                raw=hit.raw,
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
