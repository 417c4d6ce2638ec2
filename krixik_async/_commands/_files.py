"""What is on record: list, search, fetch, delete, tree."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from krixik_async._commands._connecting import Chosen, Connection, connected, pipeline_option
from krixik_async._commands._failing import for_each
from krixik_async._commands._showing import end, show_all
from krixik_async._errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from krixik_async._commands._failing import Brought
    from krixik_async._models import KeywordHit, KeywordItem, SemanticHit, SemanticItem
    from krixik_async._paging import Pager
    from krixik_async._pipeline import Pipeline
    from krixik_async._selectors import FileSelectors


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
    click.option(
        "--max-files",
        type=click.IntRange(1),
        metavar="N",
        help="Show so many files, and say if there are more.  [default: all]",
    ),
)


def selecting(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that choose files; without any of them it is all files."""
    for option in reversed(_SELECTING):
        command = option(command)
    return command


def selectors(*, tag_texts: tuple[str, ...], **given: Any) -> FileSelectors:
    """Give the arguments that choose files."""
    chosen = {name: value or None for name, value in given.items()}
    chosen["file_tags"] = tags(tag_texts)
    if not any(chosen.values()):
        chosen["symbolic_directory_paths"] = ("/*",)
    return cast("FileSelectors", chosen)


@click.command("list")
@pipeline_option
@selecting
@connected
async def list_files(
    connection: Connection, chosen: Chosen, max_files: int | None, **given: Any
) -> None:
    """List finished files, newest first. All if nothing chooses."""
    from krixik_async._paging import DEFAULT_PAGE_SIZE

    # One more than is shown tells whether there are more.
    page_size = min(max_files or DEFAULT_PAGE_SIZE, DEFAULT_PAGE_SIZE - 1) + 1
    async with connection.open() as krixik:
        pipeline = await chosen.open(krixik)
        pager = pipeline.iter_files(page_size=page_size, **selectors(**given))
        await show_all(
            connection.printer,
            pager,
            max_files,
            lambda record: [f"{record.file_id}  {record.created_at}  {record.symbolic_file_path}"],
        )


@click.command()
@click.argument("query")
@pipeline_option
@click.option("-k", type=int, help="Hits a file; of a semantic search alone.  [default: 5]")
@selecting
@connected
async def search(
    connection: Connection,
    query: str,
    chosen: Chosen,
    k: int | None,
    max_files: int | None,
    **given: Any,
) -> None:
    """Search finished files. By keyword or by meaning, as the pipeline's last module says."""
    async with connection.open() as krixik:
        pipeline = await chosen.open(krixik)
        pager = _search(pipeline, query, k, selectors(**given))
        await show_all(connection.printer, pager, max_files, _hit_lines)


def _search(
    pipeline: Pipeline, query: str, k: int | None, selected: FileSelectors
) -> Pager[KeywordItem] | Pager[SemanticItem]:
    last = pipeline.module_chain[-1]
    if last == "vector-db":
        if k is None:
            return pipeline.iter_semantic_search(query=query, **selected)
        return pipeline.iter_semantic_search(query=query, k=k, **selected)
    if k is not None:
        raise InvalidArgument(
            "-k counts the hits of a semantic search, and the pipeline's last module is "
            f"{last}, not vector-db"
        )
    return pipeline.iter_keyword_search(query=query, **selected)


def _hit_lines(item: KeywordItem | SemanticItem) -> Iterator[str]:
    about = item.file_metadata
    for hit in item.search_results:
        place = f"{about.symbolic_directory_path.rstrip('/')}/{about.file_name}"
        yield f"{place}:{_hit_line(hit)}"


def _hit_line(hit: KeywordHit | SemanticHit) -> str:
    from krixik_async._models import KeywordHit

    if isinstance(hit, KeywordHit):
        return f"{hit.line_number}: {hit.keyword}"
    first = hit.line_numbers[0] if hit.line_numbers else ""
    return f"{first}: {hit.distance:.3f} {' '.join(hit.snippet.split())}"


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

        async def fetch_one(file_id: str) -> Brought:
            output = await pipeline.fetch_output(file_id=file_id, local_save_directory=out)
            return output.to_dict(), output.process_output_files

        await for_each(connection.printer, "file_id", file_ids, fetch_one)


@click.command()
@click.argument("file_ids", nargs=-1, required=True, metavar="FILE_ID...")
@pipeline_option
@connected
async def delete(connection: Connection, file_ids: tuple[str, ...], chosen: Chosen) -> None:
    """Delete finished files. Goes on after one that cannot be deleted."""
    async with connection.open() as krixik:
        pipeline = await chosen.open(krixik)

        async def delete_one(file_id: str) -> Brought:
            done = await pipeline.delete(file_id=file_id)
            return done.to_dict(), [f"deleted {file_id}"]

        await for_each(connection.printer, "file_id", file_ids, delete_one)


@click.command()
@click.argument("directory", default="/*")
@pipeline_option
@connected
async def tree(connection: Connection, directory: str, chosen: Chosen) -> None:
    """Draw the symbolic folders of finished files."""
    import attrs

    from krixik_async._selectors import MAX_FILES

    most = MAX_FILES[1]
    async with connection.open() as krixik:
        pipeline = await chosen.open(krixik)
        found = await pipeline.show_tree(symbolic_directory_path=directory, max_files=most)
    drawn = attrs.evolve(found, items=tuple(sorted(found.items)))
    if not connection.printer.as_json:
        connection.printer.result(None, drawn.render().splitlines())
    more = f"{most:,} files are drawn and there may be more: choose a DIRECTORY"
    end(connection.printer, [*drawn.items], found.warnings, more if len(found) >= most else "")
