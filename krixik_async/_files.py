"""What a pipeline can do with its finished files: list, search, fetch, delete."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Self, TypeAlias, TypeVar, Unpack

from krixik_async import _catalogue, _fetching, _selectors, _validation, _wire
from krixik_async._arguments import names_checked
from krixik_async._config import Options
from krixik_async._errors import FileRecordNotFound, InvalidArgument, KrixikError
from krixik_async._models import (
    DeleteResult,
    FileRecord,
    KeywordItem,
    KeywordSearchResult,
    ListResult,
    Output,
)
from krixik_async._paging import DEFAULT_PAGE_SIZE, FilePages, Page, Pager, SearchPages
from krixik_async._reply import Reply
from krixik_async._selectors import FileSelectors, Selectors
from krixik_async._session import Session

T = TypeVar("T")

SaveTo: TypeAlias = str | os.PathLike[str]


@names_checked
class FilesOnRecord:
    """Be the half of `Pipeline` that deals with files after their processing."""

    def __init__(self, session: Session, name: object, module_chain: object) -> None:
        self._session = session
        self._name = _catalogue.check_pipeline_name(name)
        self._chain = _catalogue.check_chain(module_chain)

    def with_options(self, **options: Unpack[Options]) -> Self:
        """Give the same pipeline with other limits for its calls; see `Krixik.with_options`."""
        other = copy.copy(self)
        other._session = self._session.with_options(options)
        return other

    async def fetch_output(
        self, *, file_id: str, local_save_directory: SaveTo | None = None
    ) -> Output:
        """Fetch a finished file's output into a folder (default: the working folder).

        Each output is streamed to `<file_id><extension>.part` and renamed when whole; the folder
        is made if missing. A download that breaks off is resumed by this call or, if this call
        fails or is cancelled, by the next one into the same folder. Raises FileRecordNotFound,
        NotFinished, DownloadInterrupted, SaveFailed. Idempotent (overwrites).
        """
        file_id = _validation.check_id("file_id", file_id)
        directory = _fetching.check_directory(local_save_directory)
        return await _fetching.fetch_output(self._session, self._name, file_id, directory)

    async def list(
        self,
        *,
        sort_order: str | None = "descending",
        verbose: bool = False,
        **selectors: Unpack[Selectors],
    ) -> ListResult:
        """List finished files; at least one selector is required, and unfinished files do not show.

        The selectors `file_ids`, `file_names`, `symbolic_directory_paths`, `symbolic_file_paths`
        and `file_tags` are OR-ed; timestamps ("YYYY-MM-DD" or "YYYY-MM-DD HH:MM:SS", UTC), as
        `created_at_start`, `created_at_end`, `last_updated_start` and `last_updated_end`, are
        AND-ed on top. `symbolic_directory_paths=["/*"]` is everything. `max_files` (1000) is 1 to
        10000: for more see `iter_files`. `sort_order`, by created_at, is "descending" or
        "ascending". What matched nothing is named in `.warnings`. Idempotent, cancel-safe.
        """
        _validation.check_bool("verbose", verbose)
        order = _selectors.check_sort_order(sort_order)
        selection = _selectors.check_selection(self._chain, selectors)
        request = _wire.ListFiles(pipeline=self._name, **selection)
        return _selectors.sort_result(await self._call(request, _wire.read_list), order)

    def iter_files(
        self, *, page_size: int = DEFAULT_PAGE_SIZE, **selectors: Unpack[FileSelectors]
    ) -> Pager[FileRecord]:
        """Iterate over all finished files that match, however many, the newest first.

        Selectors are as in `list`; each call asks for `page_size` (1 to 10000) files. Each file
        comes once; files that finish meanwhile do not come. `async for` raises what `list` raises,
        and UnexpectedReply if more than 10000 of the files were created in the same second.
        """
        return Pager(self._file_pages(page_size, selectors))

    def _file_pages(self, page_size: object, selectors: FileSelectors) -> FilePages:
        size = _selectors.check_max_files(page_size, name="page_size")
        chosen = _selectors.check_selection(self._chain, selectors)

        async def list_page(max_files: int, until: int | None) -> ListResult:
            window = {} if until is None else {"created_at_end": until}
            selection = {**chosen, **window, "max_files": max_files}
            request = _wire.ListFiles(pipeline=self._name, **selection)
            return await self._call(request, _wire.read_list)

        return FilePages(list_page, page_size=size)

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
        return _selectors.sort_result(await self._call(request, _wire.read_keyword_search), order)

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
            return Page(_selectors.sort_result(found, "descending").items, found)

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

    async def delete(self, *, file_id: str) -> DeleteResult:
        """Delete a finished file and its record.

        Raises FileRecordNotFound, and NotFinished if the file is still being processed. A retry
        that finds the file gone, after a lost answer, counts as done.
        """
        file_id = _validation.check_id("file_id", file_id)
        in_doubt = False

        def read(endpoint: _wire.Endpoint, reply: Reply) -> DeleteResult:
            nonlocal in_doubt
            in_doubt = in_doubt or reply.status_code >= 500
            return _wire.read_delete(endpoint, reply, file_id=file_id)

        def lost() -> None:
            nonlocal in_doubt
            in_doubt = True

        request = _wire.Delete(pipeline=self._name, file_id=file_id)
        try:
            return await self._call(request, read, on_lost=lost)
        except FileRecordNotFound as error:
            if not in_doubt or error.reply is None:
                error.fill(file_id=file_id)
                raise
            # An earlier try broke off or brought a 5xx: it was carried out, only nobody said so.
            return DeleteResult(
                status_code=error.reply.status_code,
                request_id=error.request_id or "",
                message=error.message,
                raw=error.reply.json_object() or {},
                reply=error.reply,
                pipeline=self._name,
                file_id=file_id,
            )

    async def _call(
        self,
        request: _wire.Request,
        read: Callable[[_wire.Endpoint, Reply], T],
        *,
        on_lost: Callable[[], None] | None = None,
    ) -> T:
        try:
            return await self._session.transport.call(request, read, on_lost=on_lost)
        except KrixikError as error:
            error.fill(pipeline=self._name)
            raise
