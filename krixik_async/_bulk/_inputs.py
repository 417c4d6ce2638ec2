"""What `process_many` may be given as its files, brought into one shape and pulled one by one.

Pulled, not read: of a hundred thousand files no more are known here than are being worked on.
Only the names of a folder are asked for in small batches, away from the event loop.
"""

from __future__ import annotations

import os
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import attrs

from krixik_async._bulk._patterns import fits, has_wildcard, is_file, matching
from krixik_async._catalogue import nearest
from krixik_async._errors import InvalidArgument, InvalidArgumentType, KrixikError
from krixik_async._offload import Offload
from krixik_async._sending import GivenFile, LocalFile, Modules
from krixik_async._validation import kind_of

# Names are few bytes each; a hop to a thread for each would cost more than the rest.
NAMES_AT_A_TIME = 64


@attrs.frozen
class FileInput:
    """Hold one file for `process_many`, with arguments of its own.

    The arguments are those of `Pipeline.process`; what is None is taken from the call. A journal
    knows the file by its `key`, which defaults to the path as given. Bytes and file objects have
    no path, and need a key with a journal.
    """

    local_file_path: LocalFile = attrs.field(repr=lambda file: _shown(file))
    file_name: str | None = attrs.field(default=None, kw_only=True)
    symbolic_directory_path: str | None = attrs.field(default=None, kw_only=True)
    symbolic_file_path: str | None = attrs.field(default=None, kw_only=True)
    file_tags: Sequence[Mapping[str, str]] | None = attrs.field(default=None, kw_only=True)
    file_description: str | None = attrs.field(default=None, kw_only=True)
    modules: Modules | None = attrs.field(default=None, kw_only=True)
    expire_time: int | None = attrs.field(default=None, kw_only=True)
    key: str | None = attrs.field(default=None, kw_only=True)


FileLike: TypeAlias = FileInput | LocalFile | Mapping[str, object]
Files: TypeAlias = str | os.PathLike[str] | Iterable[FileLike] | AsyncIterable[FileLike]
_ARGUMENTS = tuple(field.name for field in attrs.fields(FileInput))


@attrs.frozen(kw_only=True)
class Taken:
    """Hold one item as it was pulled: the input, and why it cannot be one if it cannot."""

    file: FileInput
    error: KrixikError | None = None


def take(item: object) -> Taken:
    """Bring one item into shape; what is wrong with it is a value, for its siblings go on."""
    if isinstance(item, FileInput):
        key: object = item.key
        if key is None or (isinstance(key, str) and key):
            return Taken(file=item)
        wrong = InvalidArgumentType(f"key is {item.key!r} but must be a text that is not empty")
        return Taken(file=attrs.evolve(item, key=None), error=wrong)
    if not isinstance(item, Mapping):
        return Taken(file=FileInput(item))  # type: ignore[arg-type]  # checked when it is prepared
    given = {name: item[name] for name in _ARGUMENTS if name in item}
    given.setdefault("local_file_path", None)
    file = FileInput(**given)
    for name in item:
        if name not in _ARGUMENTS:
            error = InvalidArgumentType(
                f"a record of files has {name!r}, which is no argument of a file."
                f"{nearest(str(name), _ARGUMENTS)} There are: {', '.join(_ARGUMENTS)}"
            )
            return Taken(file=attrs.evolve(file, key=None), error=error)
    return take(file)


def given_file(file: FileInput, defaults: FileInput) -> GivenFile:
    """Give what is to be prepared: the file's own arguments over the call's."""
    own = {name: getattr(file, name) for name in _ARGUMENTS}
    for name in ("symbolic_directory_path", "file_tags", "file_description", "modules"):
        if own[name] is None:
            own[name] = getattr(defaults, name)
    if file.symbolic_file_path is not None and file.symbolic_directory_path is None:
        own["symbolic_directory_path"] = None  # it names a folder itself
    if own["expire_time"] is None:
        own["expire_time"] = defaults.expire_time
    del own["key"]
    return GivenFile(**own)


def key_of(file: FileInput) -> str | None:
    """Give what a journal knows the file by: its key, or its path as given, tidied; or None."""
    key = file.key
    if key is None and isinstance(file.local_file_path, str | os.PathLike):
        path: object = os.fspath(file.local_file_path)
        key = os.path.normpath(path) if isinstance(path, str) else None
    # A name on disk may hold bytes that are no text, which a database would not take.
    return None if key is None else key.encode("utf-8", "backslashreplace").decode("utf-8")


def called(file: FileInput) -> str:
    """Name the input in a message."""
    return repr(key_of(file) or file.file_name or file.symbolic_file_path or "a file without name")


# --- where they come from --------------------------------------------------------------------


def check_files(files: object) -> None:
    """Raise InvalidArgument or InvalidArgumentType for what is no source of files at all."""
    if isinstance(files, bytes | FileInput | Mapping) or not isinstance(
        files, str | os.PathLike | Iterable | AsyncIterable
    ):
        raise InvalidArgumentType(
            f"files is {kind_of(files)} but must be a folder, a glob pattern, or an iterable or "
            "async iterable of paths, FileInputs or mappings with process()'s arguments"
        )
    if files == "":
        # As a path it would be the working folder: what an unset variable must not send.
        raise InvalidArgument('files is an empty text: for the working folder give "."')
    if isinstance(files, os.PathLike) and not isinstance(os.fspath(files), str):
        raise InvalidArgumentType(f"files is {kind_of(files)} whose path is not a str")


async def pull(
    files: Files, offload: Offload, skip: Callable[[str], bool]
) -> AsyncGenerator[object, None]:
    """Give the items one by one, each when it is asked for.

    `skip` tells which paths of a folder are none of the caller's files. An iterable of the
    caller's own is run on the event loop, as he would run it himself.
    """
    if isinstance(files, str | os.PathLike):
        names = await offload(_names, os.fspath(files))
        while batch := await offload(_some, names):
            for name in batch:
                if not skip(name):
                    yield name
    elif isinstance(files, AsyncIterable):
        async for item in files:
            yield item
    else:
        for item in files:
            yield item


def is_journal(name: str, journal: Path) -> bool:
    """Tell whether a file found in a folder is the journal itself, or one that SQLite adds."""
    path, own = Path(name).absolute(), journal.absolute()
    return path.parent == own.parent and path.name in (
        own.name,
        f"{own.name}-wal",
        f"{own.name}-shm",
    )


def _some(names: Iterator[str]) -> list[str]:
    return list(islice(names, NAMES_AT_A_TIME))


def _names(source: str) -> Iterator[str]:
    """Find the files that a folder, a file or a pattern names. Raises InvalidArgument for none."""
    path = Path(source)
    try:
        if path.is_dir():
            return _folder(source, "*")
        if path.exists():
            return iter([source])
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InvalidArgument(f"files {source!r} cannot be read: {reason}") from error
    folder, pattern = os.path.split(source)
    if not has_wildcard(source):
        raise InvalidArgument(f"files {source!r} is neither a folder, nor a file, nor a pattern")
    if has_wildcard(folder) or "**" in pattern:
        return matching(source)
    return _folder(folder, pattern)


def _folder(folder: str, pattern: str) -> Iterator[str]:
    """Give the files of one folder as they come; hidden ones only where the pattern says so."""
    try:
        with os.scandir(folder or ".") as entries:
            for entry in entries:
                if fits(entry.name, pattern) and is_file(entry):
                    yield os.path.join(folder, entry.name)  # noqa: PTH118 - spelled as given
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InvalidArgument(f"files {folder!r} cannot be read: {reason}") from error


def _shown(file: object) -> str:
    return f"<{len(file)} bytes>" if isinstance(file, bytes) else repr(file)
