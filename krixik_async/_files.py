"""What a pipeline can do with its finished files: fetch, list, change, delete, see the folders."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Self, TypeAlias, TypeVar, Unpack

import attrs

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
    SemanticItem,
    SemanticSearchResult,
    UpdateResult,
)
from krixik_async._paging import DEFAULT_PAGE_SIZE, FilePages, Pager
from krixik_async._reply import JSON, Reply
from krixik_async._selectors import FileSelectors, Selectors, Tags
from krixik_async._session import Session
from krixik_async._tree import Tree

T = TypeVar("T")
R = TypeVar("R", ListResult, KeywordSearchResult, SemanticSearchResult)

SaveTo: TypeAlias = str | os.PathLike[str]

EVERYTHING = "/*"


@names_checked
class FilesOnRecord:
    """Be the part of `Pipeline` that deals with files after their processing."""

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
        return sort_result(await self._call(request, _wire.read_list), order)

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

    async def update(
        self,
        *,
        file_id: str,
        expire_time: int | None = None,
        symbolic_directory_path: str | None = None,
        file_name: str | None = None,
        symbolic_file_path: str | None = None,
        file_tags: Tags | None = None,
        file_description: str | None = None,
        verbose: bool = True,
    ) -> UpdateResult:
        """Change a finished file's metadata; what is not given stays as it is.

        At least one thing to change is needed. The rules are those of `process`; the extension
        of a file cannot be changed, `symbolic_file_path` is folder and name in one, `file_tags`
        replaces all tags ([] removes them). `expire_time` is in seconds, 1800 to 2592000; the
        embedded server counts it from this call. `verbose` is accepted and prints nothing.

        Raises InvalidArgument before anything is sent, FileRecordNotFound, NotFinished if the file
        is still being processed, and RequestRejected, with the service's words, for another
        extension or a path that another file has: nothing is changed then. Idempotent, except that
        an expiry starts again. If it is cancelled, it may or may not have been carried out.
        """
        _validation.check_bool("verbose", verbose)
        file_id = _validation.check_id("file_id", file_id)
        changes = _check_changes(
            self._chain,
            file_name=file_name,
            symbolic_directory_path=symbolic_directory_path,
            symbolic_file_path=symbolic_file_path,
            file_tags=file_tags,
            file_description=file_description,
            expire_time=expire_time,
        )
        request = _wire.Update(pipeline=self._name, file_id=file_id, **changes)
        read = partial(_wire.read_update, file_id=file_id)
        try:
            return await self._call(request, read)
        except KrixikError as error:
            error.fill(file_id=file_id)
            raise

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

    async def show_tree(
        self,
        *,
        symbolic_directory_path: str = EVERYTHING,
        max_files: int | None = _selectors.DEFAULT_MAX_FILES,
        verbose: bool = True,
    ) -> Tree:
        """Give the paths of the finished files below a folder; `Tree.render()` draws them.

        `symbolic_directory_path` is a folder, or the beginning of one with a "*" at its end
        ("/*" is everything). `max_files` is 1 to 10000; None leaves it to the service. `verbose`
        is accepted and prints nothing: print what `render()` gives. Idempotent, cancel-safe.
        """
        _validation.check_bool("verbose", verbose)
        request = _wire.ShowTree(
            pipeline=self._name,
            symbolic_directory_path=_selectors.query_directory(
                symbolic_directory_path, name="symbolic_directory_path"
            ),
            max_files=None if max_files is None else _selectors.check_max_files(max_files),
        )
        return await self._call(request, _wire.read_tree)

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


def sort_result(result: R, order: str) -> R:
    """Give the result with its items by created_at (the service's UTC text), stable."""

    def created_at(item: FileRecord | KeywordItem | SemanticItem) -> str:
        return item.created_at if isinstance(item, FileRecord) else item.file_metadata.created_at

    items = sorted(result.items, key=created_at, reverse=order == "descending")
    raw: dict[str, JSON] = {**result.raw, "items": [dict(item.raw) for item in items]}
    return attrs.evolve(result, items=tuple(items), raw=raw)


def _check_changes(chain: Sequence[str], **given: Any) -> dict[str, Any]:  # noqa: ANN401 - checked here
    """Give what changes as the wire wants it, or raise for the first rule that is broken."""
    if all(value is None for value in given.values()):
        raise InvalidArgument(f"nothing to change was given: pass one of {', '.join(given)}")
    given["symbolic_directory_path"], given["file_name"] = _validation.one_place(
        given["symbolic_directory_path"], given["file_name"], given.pop("symbolic_file_path")
    )
    checks: Mapping[str, Callable[[Any], object]] = {
        "file_name": lambda name: _check_name(name, chain),
        "symbolic_directory_path": _validation.check_directory,
        "file_tags": _validation.check_tags,
        "file_description": _validation.check_description,
        "expire_time": _validation.check_expire_time,
    }
    return {name: checks[name](value) for name, value in given.items() if value is not None}


def _check_name(file_name: object, chain: Sequence[str]) -> str:
    name = _validation.require_text("file_name", file_name)
    return _validation.check_file_name(name, extension=_validation.check_extension(name, chain))
