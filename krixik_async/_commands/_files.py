"""What is on record: list, search, fetch, delete, tree."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

import click

from krixik_async._commands._connecting import Chosen, Connection, connected, pipeline_option
from krixik_async._commands._failing import for_each
from krixik_async._commands._printing import columns
from krixik_async._errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from krixik_async._models import (
        KeywordHit,
        KeywordSearchResult,
        SemanticHit,
        SemanticSearchResult,
    )
    from krixik_async._pipeline import Pipeline


class Selectors(TypedDict, total=False):
    """Hold the arguments that choose files, as `list` and the searches take them."""

    file_ids: tuple[str, ...] | None
    file_names: tuple[str, ...] | None
    symbolic_directory_paths: tuple[str, ...] | None
    symbolic_file_paths: tuple[str, ...] | None
    file_tags: list[dict[str, str]] | None
    created_at_start: str | None
    created_at_end: str | None
    max_files: int


def tags(given: Iterable[str]) -> list[dict[str, str]] | None:
    """Give --tag options as file_tags. Raises InvalidArgument for one without "="."""
    found: list[dict[str, str]] = []
    for text in given:
        key, sign, value = text.partition("=")
        if not sign:
            raise InvalidArgument(f"--tag {text!r} must be KEY=VALUE")
        found.append({key: value})
    return found or None


_SELECTING = (
    click.option("--file-id", "file_ids", multiple=True, metavar="ID", help="Of this id."),
    click.option("--name", "file_names", multiple=True, help='Of this name; "*" at either end.'),
    click.option(
        "--dir", "symbolic_directory_paths", multiple=True, help='In this folder; "*" at the end.'
    ),
    click.option("--path", "symbolic_file_paths", multiple=True, help="Of this symbolic path."),
    click.option("--tag", "tag_texts", multiple=True, metavar="KEY=VALUE", help="With this tag."),
    click.option("--created-after", "created_at_start", metavar="DATE", help="UTC, inclusive."),
    click.option("--created-before", "created_at_end", metavar="DATE", help="UTC, inclusive."),
    click.option("--max-files", type=int, default=1000, show_default=True, help="At most."),
)


def selecting(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that choose files; without any of them it is all files."""
    for option in reversed(_SELECTING):
        command = option(command)
    return command


def selectors(*, tag_texts: tuple[str, ...], max_files: int, **given: Any) -> Selectors:
    """Give the arguments of `list` and the searches."""
    chosen = {name: value or None for name, value in given.items()}
    chosen["file_tags"] = tags(tag_texts)
    if not any(chosen.values()):
        chosen["symbolic_directory_paths"] = ("/*",)
    return cast("Selectors", {**chosen, "max_files": max_files})


@click.command("list")
@pipeline_option
@selecting
@connected
async def list_files(connection: Connection, chosen: Chosen, **given: Any) -> None:
    """List finished files, newest first. All if nothing chooses, up to --max-files."""
    async with connection.open() as krixik:
        pipeline = await chosen.open(krixik)
        found = await pipeline.list(**selectors(**given))
    rows = [
        (
            record.file_id,
            record.symbolic_file_path,
            f"created {record.created_at}",
        )
        for record in found
    ]
    connection.printer.result(found.to_dict(), columns(rows))
    _warn(found.warnings)


def _warn(warnings: Iterable[object]) -> None:
    for warning in warnings:
        click.echo(f"Warning: {_warning_line(warning)}", err=True)


def _warning_line(warning: object) -> str:
    """Give `{"WARNING: not found": [ids]}`, as the service sends them, as people write it."""
    if isinstance(warning, dict) and all(isinstance(ids, list) for ids in warning.values()):
        parts = (f"{text}: {', '.join(map(str, ids))}" for text, ids in warning.items())
        return "; ".join(parts).removeprefix("WARNING: ")
    return str(warning)


@click.command()
@click.argument("query")
@pipeline_option
@click.option("-k", type=int, help="Hits a file; of a semantic search alone.  [default: 5]")
@selecting
@connected
async def search(
    connection: Connection, query: str, chosen: Chosen, k: int | None, **given: Any
) -> None:
    """Search finished files. By keyword or by meaning, as the pipeline's last module says."""
    async with connection.open() as krixik:
        pipeline = await chosen.open(krixik)
        found = await _search(pipeline, query, k, selectors(**given))
    lines = [
        f"{item.file_metadata.symbolic_directory_path.rstrip('/')}/{item.file_metadata.file_name}:"
        f"{_hit_line(hit)}"
        for item in found.items
        for hit in item.search_results
    ]
    connection.printer.result(found.to_dict(), lines)
    _warn(found.warnings)


async def _search(
    pipeline: Pipeline, query: str, k: int | None, selected: Selectors
) -> KeywordSearchResult | SemanticSearchResult:
    last = pipeline.module_chain[-1]
    if last == "vector-db":
        if k is None:
            return await pipeline.semantic_search(query=query, **selected)
        return await pipeline.semantic_search(query=query, k=k, **selected)
    if k is not None:
        raise InvalidArgument(
            "-k counts the hits of a semantic search, and the pipeline's last module is "
            f"{last}, not vector-db"
        )
    return await pipeline.keyword_search(query=query, **selected)


def _hit_line(hit: KeywordHit | SemanticHit) -> str:
    from krixik_async._models import KeywordHit

    if isinstance(hit, KeywordHit):
        return f"{hit.line_number}: {hit.keyword}"
    first = hit.line_numbers[0] if hit.line_numbers else ""
    return f"{first}: {hit.distance:.3f} {hit.snippet}"


@click.command()
@click.argument("file_ids", nargs=-1, required=True, metavar="FILE_ID...")
@pipeline_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Folder for the outputs, made if missing. Default: the working folder.",
)
@connected
async def fetch(
    connection: Connection, file_ids: tuple[str, ...], chosen: Chosen, out: Path
) -> None:
    """Save the outputs of finished files. Goes on after one that cannot be fetched."""
    async with connection.open() as krixik:
        pipeline = await chosen.open(krixik)

        async def fetch_one(file_id: str) -> None:
            output = await pipeline.fetch_output(file_id=file_id, local_save_directory=out)
            connection.printer.result(output.to_dict(), map(str, output.process_output_files))

        await for_each("file_id", file_ids, fetch_one)


@click.command()
@click.argument("file_ids", nargs=-1, required=True, metavar="FILE_ID...")
@pipeline_option
@connected
async def delete(connection: Connection, file_ids: tuple[str, ...], chosen: Chosen) -> None:
    """Delete finished files. Goes on after one that cannot be deleted."""
    async with connection.open() as krixik:
        pipeline = await chosen.open(krixik)

        async def delete_one(file_id: str) -> None:
            done = await pipeline.delete(file_id=file_id)
            connection.printer.result(done.to_dict(), [f"deleted {file_id}"])

        await for_each("file_id", file_ids, delete_one)


@click.command()
@click.argument("directory", default="/*")
@pipeline_option
@connected
async def tree(connection: Connection, directory: str, chosen: Chosen) -> None:
    """Draw the symbolic folders of finished files."""
    async with connection.open() as krixik:
        pipeline = await chosen.open(krixik)
        found = await pipeline.show_tree(symbolic_directory_path=directory)
    connection.printer.result(found.to_dict(), [found.render()])
