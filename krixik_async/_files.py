"""What a pipeline can do with its finished files: list, search, fetch, delete."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias, TypeVar

from krixik_async import _catalogue, _fetching, _selectors, _validation, _wire
from krixik_async._errors import FileRecordNotFound, InvalidArgument, KrixikError
from krixik_async._models import DeleteResult, KeywordSearchResult, ListResult, Output
from krixik_async._reply import Reply
from krixik_async._session import Session

T = TypeVar("T")

Tags: TypeAlias = Sequence[Mapping[str, str]]
SaveTo: TypeAlias = str | os.PathLike[str]


class FilesOnRecord:
    """Be the half of `Pipeline` that deals with files after their processing."""

    def __init__(self, session: Session, name: object, module_chain: object) -> None:
        self._session = session
        self._name = _catalogue.check_pipeline_name(name)
        self._chain = _catalogue.check_chain(module_chain)

    async def fetch_output(
        self, *, file_id: str, local_save_directory: SaveTo | None = None
    ) -> Output:
        """Fetch a finished file's output into a folder (default: the working folder).

        Each output is streamed to a temporary name and renamed when whole, as
        `<file_id><extension>`; the folder is made if missing. Raises FileRecordNotFound,
        NotFinished, DownloadInterrupted, SaveFailed. Idempotent (overwrites); cancelled, it
        leaves no partial file.
        """
        file_id = _validation.check_id("file_id", file_id)
        directory = _fetching.check_directory(local_save_directory)
        return await _fetching.fetch_output(self._session, self._name, file_id, directory)

    async def list(
        self,
        *,
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
    ) -> ListResult:
        """List the finished files that match at least one selector; files in work do not show.

        Selectors are OR-ed, timestamps ("YYYY-MM-DD" or "YYYY-MM-DD HH:MM:SS", UTC) AND-ed on
        top. `symbolic_directory_paths=["/*"]` is everything. `max_files` is 1 to 10000;
        `sort_order`, by created_at, is "descending" or "ascending". What matched nothing is named
        in `.warnings`. Idempotent, cancel-safe.
        """
        _validation.check_bool("verbose", verbose)
        order = _selectors.check_sort_order(sort_order)
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
        request = _wire.ListFiles(pipeline=self._name, **selection)
        return _selectors.sort_result(await self._call(request, _wire.read_list), order)

    async def keyword_search(
        self,
        *,
        query: str,
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
    ) -> KeywordSearchResult:
        """Find the query's words (2 to 256 characters) in the selected finished files.

        Whole words, by their noun lemma; stop words are named in `.warnings`. Selectors and the
        rest as in `list`. Raises InvalidArgument if the chain does not end in keyword-db.
        Idempotent, cancel-safe.
        """
        if not _catalogue.can_keyword_search(self._chain):
            raise InvalidArgument(
                f"pipeline {self._name!r} cannot keyword_search: its chain "
                f"({', '.join(self._chain)}) does not end in 'keyword-db'"
            )
        _validation.check_bool("verbose", verbose)
        order = _selectors.check_sort_order(sort_order)
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
        request = _wire.KeywordSearch(
            pipeline=self._name,
            pipeline_ordered_modules=self._chain,
            query=_selectors.check_query(query),
            **selection,
        )
        return _selectors.sort_result(await self._call(request, _wire.read_keyword_search), order)

    async def delete(self, *, file_id: str) -> DeleteResult:
        """Delete a finished file and its record.

        Raises FileRecordNotFound, and NotFinished for a file in work (nothing is changed then).
        Idempotent over its own retries: a repeat that finds the file gone counts as done.
        """
        file_id = _validation.check_id("file_id", file_id)
        refused = 0

        def read(endpoint: _wire.Endpoint, reply: Reply) -> DeleteResult:
            nonlocal refused
            refused += reply.status_code < 500
            return _wire.read_delete(endpoint, reply, file_id=file_id)

        request = _wire.Delete(pipeline=self._name, file_id=file_id)
        try:
            return await self._call(request, read)
        except FileRecordNotFound as error:
            if (error.attempts or 1) == refused or error.reply is None:
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

    async def _call(self, request: _wire.Request, read: Callable[[_wire.Endpoint, Reply], T]) -> T:
        try:
            return await self._session.transport.call(request, read)
        except KrixikError as error:
            error.fill(pipeline=self._name)
            raise
