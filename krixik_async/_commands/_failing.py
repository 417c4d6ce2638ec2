"""What a failure says and what the exit status is: one line on stderr, one number by its kind.

With `--json` the line is JSON. What became of one id among several is told with the results.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

import click

from krixik_async import _errors as errors
from krixik_async._commands._printing import Printer

if TYPE_CHECKING:
    from krixik_async._reply import JSON

    # What one id brought: the answer as JSON has it, and the lines for people.
    Brought: TypeAlias = tuple[Mapping[str, JSON], Iterable[str]]

# The first class that fits, from the special to the general; docs/command-line.md has the table.
EXIT_STATUS: tuple[tuple[type[BaseException], int], ...] = (
    (errors.InvalidArgument, 2),
    (errors.InvalidArgumentType, 2),
    (errors.AuthenticationError, 3),
    (errors.WaitTimeout, 6),
    (errors.JobError, 4),
    (errors.RequestNotFound, 5),
    (errors.FileRecordNotFound, 5),
    (errors.SubmitUncertain, 9),
    (errors.ServiceError, 7),
    (errors.TransportError, 8),
    (errors.KrixikError, 1),
)
JOBS_FAILED, TIMED_OUT, INTERRUPTED = 4, 6, 130


def exit_status(error: BaseException) -> int:
    """Give the exit status that stands for an error of ours."""
    return next(status for kind, status in EXIT_STATUS if isinstance(error, kind))


def failure(error: errors.KrixikError | None) -> dict[str, JSON]:
    """Give the keys that tell in JSON why something failed; both null where nothing did."""
    if error is None:
        return {"error": None, "error_kind": None}
    return {"error": str(error), "error_kind": type(error).__name__}


@contextmanager
def failing(printer: Printer, interrupted: str = "") -> Iterator[None]:
    """Turn an error of ours into its line on stderr and its exit status.

    `interrupted` is what to say after an interrupt of what goes on.
    """
    try:
        yield
    except errors.KrixikError as error:
        value = {**failure(error), "status_code": error.status_code}
        printer.note(value, [f"Error: {error}"])
        raise click.exceptions.Exit(exit_status(error)) from error
    except KeyboardInterrupt:
        said = f"Interrupted. {interrupted}".rstrip()
        value = {"error": said, "error_kind": "KeyboardInterrupt", "status_code": None}
        printer.note(value, [said])
        raise click.exceptions.Exit(INTERRUPTED) from None


class Commands(click.Group):
    """Be a group of commands that tells of wrong usage in JSON, too, where `--json` is given."""

    def invoke(self, ctx: click.Context) -> object:
        """Run the command that is named."""
        printer = Printer("--json" in ctx.args)
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            if not printer.as_json:
                raise
            with failing(printer):
                raise errors.InvalidArgument(error.format_message()) from error


async def for_each(
    printer: Printer, name: str, ids: Iterable[str], act: Callable[[str], Awaitable[Brought]]
) -> None:
    """Act on every id, also after one that fails; leave with the status of what went wrong.

    With `--json` each id has its line on stdout, whatever became of it. An id that cannot be one is
    refused before anything is sent: status 2 promises that. A rejected key ends it: no other id
    would fare better.
    """
    from krixik_async._validation import check_id

    ids = [check_id(name, one) for one in ids]
    statuses: set[int] = set()
    for one in ids:
        try:
            value, lines = await act(one)
        except errors.AuthenticationError:
            raise
        except errors.KrixikError as error:
            tell = printer.result if printer.as_json else printer.note
            tell(_about(name, one, {"status_code": error.status_code}, error), [f"Error: {error}"])
            statuses.add(exit_status(error))
        else:
            printer.result(_about(name, one, value), lines)
    if statuses:
        raise click.exceptions.Exit(statuses.pop() if len(statuses) == 1 else JOBS_FAILED)


def _about(
    name: str, one: str, value: Mapping[str, JSON], error: errors.KrixikError | None = None
) -> dict[str, JSON]:
    """Give an answer with the id that it is about; its own `request_id` is that of the call."""
    rest = {key: said for key, said in value.items() if key not in (name, "request_id")}
    return {name: one, **rest, **failure(error)}
