"""Asking and waiting for jobs: status, wait, resume."""

from __future__ import annotations

import os
import shlex
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import attrs
import click

from krixik_async._commands._connecting import Chosen, Connection, connected, pipeline_option
from krixik_async._commands._failing import JOBS_FAILED, TIMED_OUT, failure, for_each
from krixik_async._commands._printing import Bar
from krixik_async._errors import SaveFailed

if TYPE_CHECKING:
    from krixik_async._commands._failing import Brought
    from krixik_async._models import JobOutcome, ProcessStatus
    from krixik_async._reply import JSON
    from krixik_async._results import WaitResult
    from krixik_async._waiting import OnUpdate

timeout_option = click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    metavar="S",
    help="Stop waiting after so many seconds; the jobs go on. Default: until the files expire.",
)
save_token_option = click.option(
    "--save-token",
    "token_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write what `resume` goes on from, if jobs are still pending.",
)


@click.command()
@click.argument("request_ids", nargs=-1, required=True, metavar="REQUEST_ID...")
@pipeline_option
@connected
async def status(connection: Connection, request_ids: tuple[str, ...], chosen: Chosen) -> None:
    """Ask once how far jobs are. Goes on after one that is not on record."""
    async with connection.open() as krixik:
        pipeline = await chosen.open(krixik)

        async def ask(request_id: str) -> Brought:
            found = await pipeline.process_status(request_id=request_id)
            return found.to_dict(), [_status_line(request_id, found)]

        await for_each(connection.printer, "request_id", request_ids, ask)


def _status_line(request_id: str, found: ProcessStatus) -> str:
    if found.failure_status is not None:
        where = found.failure_status.failure_module or "a module that is not named"
        return f"{request_id}  failed at {where}"
    flags = ", ".join(f"{module} {_DONE[done]}" for module, done in found.modules.items())
    return f"{request_id}  {found.overall_status}  {flags}".rstrip()


_DONE = {True: "done", False: "waiting"}


@click.command()
@click.argument("request_ids", nargs=-1, required=True, metavar="REQUEST_ID...")
@pipeline_option
@timeout_option
@save_token_option
@connected
async def wait(
    connection: Connection,
    request_ids: tuple[str, ...],
    chosen: Chosen,
    timeout: float | None,
    token_file: Path | None,
) -> None:
    """Wait for jobs; print what became of each as it ends."""
    async with connection.open() as krixik:
        pipeline = await chosen.open(krixik)

        def waiting(on_update: OnUpdate) -> Awaitable[WaitResult]:
            return pipeline.wait_until_complete(request_ids, timeout=timeout, on_update=on_update)

        await follow(connection, waiting, len(set(request_ids)), token_file)


@click.command()
@click.argument("token", type=click.File(encoding="utf-8"), metavar="TOKEN_FILE|-")
@timeout_option
@save_token_option
@connected
async def resume(
    connection: Connection,
    token: TextIO,
    timeout: float | None,
    token_file: Path | None,
) -> None:
    """Go on waiting for the jobs of a token. It is a file as --save-token writes it."""
    from krixik_async._results import read_token

    try:
        text = token.read().strip()
    except UnicodeDecodeError:
        text = ""  # refused like any other text that is no token
    jobs = read_token(text)
    async with connection.open() as krixik:

        def waiting(on_update: OnUpdate) -> Awaitable[WaitResult]:
            return krixik.wait_until_complete(jobs, timeout=timeout, on_update=on_update)

        await follow(connection, waiting, len(jobs), token_file)


async def follow(
    connection: Connection,
    waiting: Callable[[OnUpdate], Awaitable[WaitResult]],
    total: int,
    token_file: Path | None,
) -> None:
    """Print outcomes as they come; leave with the status that says how it went."""
    printer = connection.printer
    with printer.progress(total, "waiting") as bar:
        result = await waiting(_teller(bar))
    for outcome in result.pending:
        printer.result(outcome_value(outcome), [_outcome_line(outcome)])
    if result.pending and token_file is not None:
        try:
            result.save_token(token_file)
        except OSError as error:
            why = error.strerror or type(error).__name__
            message = f"--save-token {str(token_file)!r} cannot be written: {why}"
            raise SaveFailed(message) from error
        command = shlex.join(
            ["krixik-async", "resume", *connection.options(), os.fspath(token_file)]
        )
        request_ids = [outcome.request_id for outcome in result.pending]
        printer.note(
            {"request_ids": [*request_ids], "command": command},
            [f"{len(request_ids)} pending: go on with {command}"],
        )
    if result.failed or result.vanished or result.errors:
        raise click.exceptions.Exit(JOBS_FAILED)
    if result.pending:
        raise click.exceptions.Exit(TIMED_OUT)


def _teller(bar: Bar) -> Callable[[JobOutcome], None]:
    def told(outcome: JobOutcome) -> None:
        if outcome.ended:
            bar.ended(outcome_value(outcome), [_outcome_line(outcome)])

    return told


def outcome_value(outcome: JobOutcome) -> dict[str, JSON]:
    """Give an outcome as JSON has it."""
    return {
        **attrs.asdict(outcome.job),
        "file_id": outcome.file_id or None,
        "state": outcome.state,
        "modules": dict(outcome.modules),
        "failure_module": outcome.failure_module,
        **failure(outcome.error),
    }


def _outcome_line(outcome: JobOutcome) -> str:
    why = outcome.failure_module or (str(outcome.error) if outcome.error else "")
    return f"{outcome.request_id}  {outcome.state}  {why}".rstrip()
