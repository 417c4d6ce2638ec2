"""Sending files: process, with or without a journal."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from krixik_async._commands import _completing
from krixik_async._commands._connecting import Chosen, Connection, connected, pipeline_option
from krixik_async._commands._failing import JOBS_FAILED, exit_status, failure
from krixik_async._commands._files import tags
from krixik_async._commands._rehearsing import rehearse
from krixik_async._errors import InvalidArgument

if TYPE_CHECKING:
    from krixik_async._bulk import BulkOutcome, BulkStream, FileInput
    from krixik_async._commands._printing import Printer
    from krixik_async._models import JobRef
    from krixik_async._pipeline import Pipeline
    from krixik_async._reply import JSON


@attrs.frozen(kw_only=True)
class Wanted:
    """Hold what the options of `process` say."""

    files: tuple[str, ...]
    journal: Path | None
    out: Path | None
    keep_names: bool
    max_in_flight: int
    symbolic_directory_path: str | None
    tag_texts: tuple[str, ...]
    file_description: str | None
    expire_time: int

    @property
    def total(self) -> int:
        """Give the number of files, or 0 if folders or patterns hide it."""
        return 0 if any(_is_many(given) for given in self.files) else len(self.files)

    def check(self) -> None:
        """Raise InvalidArgument if the outputs would be saved where files are looked for."""
        from krixik_async._bulk._apart import check_apart

        for given in self.files:
            if self.out is not None and _is_many(given):
                check_apart(given, self.out)

    def arguments(self) -> dict[str, Any]:
        """Give the arguments that are the same for every file."""
        return {
            "symbolic_directory_path": self.symbolic_directory_path,
            "file_tags": tags(self.tag_texts),
            "file_description": self.file_description,
            "expire_time": self.expire_time,
        }

    def inputs(self, printer: Printer) -> Iterator[FileInput]:
        """Give the files one by one; folders and patterns in the order of their names."""
        from krixik_async._bulk import FileInput
        from krixik_async._bulk._inputs import is_journal

        for given in self.files:
            paths = _paths(given)
            if not paths:
                said = f"{given}: no file in this folder; those below are not read"
                printer.note({"warning": said}, [f"Warning: {said}"])
            for path in paths:
                if self.journal is not None and path != given and is_journal(path, self.journal):
                    continue
                yield FileInput(path, file_name=Path(path).name if self.keep_names else None)


def _is_many(given: str) -> bool:
    path = Path(given)
    try:
        return path.is_dir() or (not path.exists() and any(c in given for c in "*?["))
    except OSError:
        return False  # too long for a name, say: it fails as a file


def _paths(given: str) -> list[str]:
    from krixik_async._bulk._patterns import matching

    if not given:
        # As a path it would be the working folder: what an unset variable must not send.
        raise InvalidArgument('FILE is empty: for the working folder give "."')
    if not _is_many(given):
        return [given]
    is_folder = Path(given).is_dir()
    try:
        found = Path(given).iterdir() if is_folder else map(Path, matching(given))
        paths = sorted(str(path) for path in found if path.name[:1] != "." and path.is_file())
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InvalidArgument(f"{given!r} cannot be read: {reason}") from error
    # As shells do: a pattern that nothing matches is taken for a name, and fails as that.
    return paths or ([] if is_folder else [given])


@click.command()
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", shell_complete=_completing.files
)
@pipeline_option
@click.option(
    "--journal",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write each step down in this file: the same command again goes on where it stopped.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Save the outputs in this folder; without it they stay on the service.",
)
@click.option(
    "--keep-names", is_flag=True, help="Store each file under its own name, not a generated one."
)
@click.option("--dir", "symbolic_directory_path", help="Symbolic folder. Default: /etc.")
@click.option("--tag", "tag_texts", multiple=True, metavar="KEY=VALUE", help="A tag; repeatable.")
@click.option("--description", "file_description", help="At most 256 characters.")
@click.option(
    "--expire-time", type=int, default=1800, show_default=True, metavar="S", help="Seconds kept."
)
@click.option(
    "--max-in-flight", type=int, default=16, show_default=True, help="Files under way at a time."
)
@click.option("--dry-run", is_flag=True, help="Check everything, say what would be done, stop.")
@connected
async def process(connection: Connection, chosen: Chosen, dry_run: bool, **given: Any) -> None:
    """Send files through a pipeline and wait for them.

    A FILE may be a folder or a pattern. One line a file as it ends. The exit status is
    0 if all are complete.
    """
    wanted = Wanted(**given)
    wanted.check()
    async with connection.open() as krixik:
        pipeline = await chosen.open(krixik)
        if dry_run:
            failed = await rehearse(connection.printer, pipeline, wanted)
        else:
            stream = _stream(pipeline, wanted, connection.printer)
            try:
                failed = await _process(connection.printer, stream, wanted.total)
            finally:
                if wanted.journal is None and stream.outstanding:
                    _tell_outstanding(connection, chosen, stream.outstanding)
    if failed:
        raise click.exceptions.Exit(failed.pop() if len(failed) == 1 else JOBS_FAILED)


def _stream(pipeline: Pipeline, wanted: Wanted, printer: Printer) -> BulkStream:
    return pipeline.process_many(
        wanted.inputs(printer),
        max_in_flight=wanted.max_in_flight,
        journal=wanted.journal,
        local_save_directory=wanted.out,
        **wanted.arguments(),
    )


def _tell_outstanding(connection: Connection, chosen: Chosen, jobs: Iterable[JobRef]) -> None:
    """Say on stderr, cut short, how to go on: nothing else knows the ids any more."""
    request_ids = [job.request_id for job in jobs]
    command = shlex.join(
        ["krixik-async", "wait", "-p", chosen.given, *connection.options(), *request_ids]
    )
    connection.printer.note(
        {"request_ids": [*request_ids], "command": command},
        ["To go on waiting for what was sent:", command],
    )


async def _process(printer: Printer, stream: BulkStream, total: int) -> set[int]:
    """Send them all; print what became of each; give the exit statuses of what went wrong."""
    failed: set[int] = set()
    with printer.progress(total, "processing") as bar:
        async with stream:
            async for outcome in stream:
                bar.ended(_value(outcome), [_line(outcome)])
                if outcome.error is not None:
                    failed.add(exit_status(outcome.error))
    return failed


def _value(outcome: BulkOutcome) -> JSON:
    return {
        "input": _path(outcome.input),
        "state": outcome.state,
        "request_id": outcome.request_id or None,
        "file_id": outcome.file_id or None,
        "file_name": outcome.file_name,
        "symbolic_directory_path": outcome.symbolic_directory_path,
        "saved": [str(path) for path in outcome.saved],
        **failure(outcome.error),
        "resumed": outcome.resumed,
    }


def _line(outcome: BulkOutcome) -> str:
    saved = " -> " + ", ".join(map(str, outcome.saved)) if outcome.saved else ""
    why = f"  {outcome.error}" if outcome.error else ""
    ids = f"  {outcome.file_id}" if outcome.file_id else ""
    return f"{_path(outcome.input)}  {outcome.state}{ids}{saved}{why}"


def _path(file: FileInput) -> str:
    # A command line gives no bytes and no open files.
    return str(file.local_file_path)
