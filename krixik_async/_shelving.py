"""Keeping order among a pipeline's finished files: changing metadata, seeing the folders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from krixik_async import _selectors, _validation, _wire
from krixik_async._arguments import names_checked
from krixik_async._errors import InvalidArgument, KrixikError
from krixik_async._files import FilesOnRecord
from krixik_async._models import UpdateResult
from krixik_async._reply import Reply
from krixik_async._selectors import Tags
from krixik_async._tree import Tree

EVERYTHING = "/*"


@names_checked
class ShelvedFiles(FilesOnRecord):
    """Be the part of `Pipeline` that arranges files and shows how they are arranged."""

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

        def read(endpoint: _wire.Endpoint, reply: Reply) -> UpdateResult:
            return _wire.read_update(endpoint, reply, file_id=file_id)

        request = _wire.Update(pipeline=self._name, file_id=file_id, **changes)
        try:
            return await self._call(request, read)
        except KrixikError as error:
            error.fill(file_id=file_id)
            raise

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


def _check_changes(chain: Sequence[str], **given: Any) -> dict[str, Any]:  # noqa: ANN401 - checked here
    """Give what changes as the wire wants it, or raise for the first rule that is broken."""
    if all(value is None for value in given.values()):
        raise InvalidArgument(f"nothing to change was given: pass one of {', '.join(given)}")
    path = given.pop("symbolic_file_path")
    if path is not None:
        if given["symbolic_directory_path"] is not None or given["file_name"] is not None:
            raise InvalidArgument(
                "symbolic_file_path was given together with file_name or "
                "symbolic_directory_path: it is both of them in one, so give it alone"
            )
        parts = _validation.split_symbolic_path(path)
        given["symbolic_directory_path"], given["file_name"] = parts
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
