"""Keeping order among a pipeline's finished files: changing metadata, seeing the folders."""

from __future__ import annotations

from krixik_async import _selectors, _validation, _wire
from krixik_async._errors import InvalidArgument, KrixikError
from krixik_async._files import FilesOnRecord, Tags
from krixik_async._models import UpdateResult
from krixik_async._reply import Reply
from krixik_async._tree import Tree

EVERYTHING = "/*"


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

        Raises InvalidArgument before anything is sent, FileRecordNotFound, NotFinished for a file
        in work, and RequestRejected, with the service's words, for a path that another file has
        or another extension: nothing is changed then. Idempotent, but for an expiry that begins
        anew; cancelled, it may or may not have been carried out.
        """
        _validation.check_bool("verbose", verbose)
        file_id = _validation.check_id("file_id", file_id)
        directory, name = _place(symbolic_directory_path, file_name, symbolic_file_path)
        if name is not None:
            extension = _validation.check_extension(name, self._chain)
            name = _validation.check_file_name(name, extension=extension)
        request = _wire.Update(
            pipeline=self._name,
            file_id=file_id,
            file_name=name,
            symbolic_directory_path=directory,
            file_tags=None if file_tags is None else _validation.check_tags(file_tags),
            file_description=(
                None
                if file_description is None
                else _validation.check_description(file_description)
            ),
            expire_time=None if expire_time is None else _validation.check_expire_time(expire_time),
        )
        if request == _wire.Update(pipeline=self._name, file_id=file_id):
            raise InvalidArgument(
                "nothing to change was given: pass file_name, symbolic_directory_path, "
                "symbolic_file_path, file_tags, file_description or expire_time"
            )

        def read(endpoint: _wire.Endpoint, reply: Reply) -> UpdateResult:
            return _wire.read_update(endpoint, reply, file_id=file_id)

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


def _place(
    directory: str | None, name: str | None, path: str | None
) -> tuple[str | None, str | None]:
    """Give (directory, name) to change to, None where it stays; the name is still unchecked."""
    if path is not None:
        if directory is not None or name is not None:
            raise InvalidArgument(
                "symbolic_file_path was given together with file_name or "
                "symbolic_directory_path: it is both of them in one, so give it alone"
            )
        directory, name = _validation.split_symbolic_path(path)
    if name is not None:
        name = _validation.require_text("file_name", name)
    return None if directory is None else _validation.check_directory(directory), name
