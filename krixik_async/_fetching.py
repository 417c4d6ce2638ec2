"""Bringing a finished file's outputs to disk."""

from __future__ import annotations

import json
import os
import stat
from functools import partial
from pathlib import Path

import attrs

from krixik_async import _wire
from krixik_async._errors import (
    DownloadInterrupted,
    DownloadRejected,
    InvalidArgument,
    InvalidArgumentType,
    KrixikError,
    SaveFailed,
)
from krixik_async._models import Output
from krixik_async._reply import JSON
from krixik_async._session import Session
from krixik_async._validation import kind_of

# A single JSON output smaller than 0.5 MiB is parsed into the result (official client, 1.1.19).
PARSE_BELOW_BYTES = 2**19
# The official client appends this to the service's message.
SAVED = "Output saved to location(s) listed in process_output_files."


def check_directory(local_save_directory: object) -> Path:
    """Give the folder as a path (None: the working folder); it is made when first written to."""
    if local_save_directory is None:
        return Path()
    if not isinstance(local_save_directory, str | os.PathLike):
        raise InvalidArgumentType(
            f"local_save_directory is {kind_of(local_save_directory)} but must be a path"
        )
    try:
        path = Path(local_save_directory)
        mode = path.stat().st_mode
    except FileNotFoundError:
        return path
    except TypeError:  # an os.PathLike over bytes
        raise InvalidArgumentType(
            f"local_save_directory is {kind_of(local_save_directory)} whose path is not a str: "
            "pass the path as str"
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a zero character in it
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidArgument(
            f"local_save_directory {str(path)!r} cannot be a folder: {reason}"
        ) from error
    if not stat.S_ISDIR(mode):
        raise InvalidArgument(f"local_save_directory {str(path)!r} is a file: name a folder")
    return path


async def fetch_output(session: Session, pipeline: str, file_id: str, directory: Path) -> Output:
    """Fetch every output of the file into `directory`. See `Pipeline.fetch_output`."""
    try:
        answer, paths = await _download_all(session, pipeline, file_id, directory)
    except KrixikError as error:
        error.fill(file_id=file_id, pipeline=pipeline)
        raise
    return attrs.evolve(
        answer.output,
        message=answer.output.message + (SAVED if paths else ""),
        process_output=await session.offload(_parse, paths),
        process_output_files=tuple(str(path) for path in paths),
    )


async def _ask_links(session: Session, pipeline: str, file_id: str) -> _wire.OutputLinks:
    request = _wire.FetchOutput(pipeline=pipeline, file_id=file_id)
    return await session.transport.call(request, partial(_wire.read_output_links, file_id=file_id))


async def _download_all(
    session: Session, pipeline: str, file_id: str, directory: Path
) -> tuple[_wire.OutputLinks, list[Path]]:
    answer = await _ask_links(session, pipeline, file_id)
    paths: list[Path] = []
    is_fresh = False
    while len(paths) < len(answer.links or ()):
        link = (answer.links or ())[len(paths)]
        path = directory / f"{file_id}{link.extension}"
        if path in paths:
            path = directory / f"{file_id}_{len(paths) + 1}{link.extension}"
        try:
            await _download(session, link.url, path)
        except DownloadRejected:
            if is_fresh:
                raise
            # Links have a short life: with a fresh one each output is worth one more try, which
            # goes on where the one before stopped.
            answer, is_fresh = await _ask_links(session, pipeline, file_id), True
            continue
        paths.append(path)
        is_fresh = False
    return answer, paths


async def _download(session: Session, url: str, path: Path) -> None:
    try:
        await session.offload(_make, path.parent)
        await session.transport.download(url, path)
    except OSError as error:
        raise _not_saved(path.parent, error) from error
    except DownloadInterrupted as error:
        if isinstance(error.__cause__, OSError):
            raise _not_saved(path.parent, error.__cause__) from error.__cause__
        raise


def _not_saved(directory: Path, error: OSError) -> SaveFailed:
    return SaveFailed(
        f"the output cannot be written to {str(directory)!r}: {error.strerror or error}"
    )


def _make(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)


def _parse(paths: list[Path]) -> JSON:
    if len(paths) != 1 or paths[0].suffix != ".json":
        return None
    try:
        if paths[0].stat().st_size >= PARSE_BELOW_BYTES:
            return None
        parsed: JSON = json.loads(paths[0].read_bytes())
    except (OSError, ValueError, RecursionError):
        return None  # the caller may look at the file himself, if nobody took it away
    return parsed
