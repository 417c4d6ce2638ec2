"""Sending files: process, with or without a journal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from krixik_async._commands._connecting import Chosen, Connection, connected, pipeline_option
from krixik_async._commands._failing import JOBS_FAILED, exit_status
from krixik_async._commands._files import tags
from krixik_async._errors import KrixikError

if TYPE_CHECKING:
    from krixik_async._pipeline import Pipeline


@attrs.frozen(kw_only=True)
class Wanted:
    """Hold what the options of `process` say."""

    files: tuple[str, ...]
    journal: Path | None
    out: Path | None
    max_in_flight: int
    symbolic_directory_path: str | None
    tag_texts: tuple[str, ...]
    file_description: str | None
    expire_time: int

    def arguments(self) -> dict[str, Any]:
        """Give the arguments that are the same for every file."""
        given = {
            "symbolic_directory_path": self.symbolic_directory_path,
            "file_tags": tags(self.tag_texts),
            "file_description": self.file_description,
            "expire_time": self.expire_time,
        }
        return {name: value for name, value in given.items() if value is not None}


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@pipeline_option
@click.option(
    "--journal",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keep book in this file: the same command again goes on where it stopped.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Save the outputs in this folder; without it they stay on the service.",
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
@click.option("--dry-run", is_flag=True, help="Check everything, say what would be sent, stop.")
@connected
async def process(connection: Connection, chosen: Chosen, dry_run: bool, **given: Any) -> None:
    """Send files through a pipeline and wait for them; a FILE may be a folder or a pattern.

    One line a file as it ends. The exit status is 0 if all are complete.
    """
    wanted = Wanted(**given)
    async with connection.open() as krixik:
        pipeline = await chosen.open(krixik)
        if dry_run:
            failed = await _try(connection, pipeline, wanted)
        else:
            failed = await _process(connection, pipeline, wanted)
    if failed:
        statuses = {exit_status(error) for error in failed}
        raise click.exceptions.Exit(statuses.pop() if len(statuses) == 1 else JOBS_FAILED)


async def _process(connection: Connection, pipeline: Pipeline, wanted: Wanted) -> list[KrixikError]:
    return []


async def _try(connection: Connection, pipeline: Pipeline, wanted: Wanted) -> list[KrixikError]:
    return []
