"""What a failure says and what the exit status is: one line on stderr, one number by its kind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager

import click

from krixik_async import _errors as errors

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


@contextmanager
def failing(interrupted: str = "Jobs that were sent go on.") -> Iterator[None]:
    """Turn an error of ours into its line on stderr and its exit status."""
    try:
        yield
    except errors.KrixikError as error:
        click.echo(f"Error: {error}", err=True)
        raise click.exceptions.Exit(exit_status(error)) from error
    except KeyboardInterrupt:
        click.echo(f"Interrupted. {interrupted}", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None


async def for_each(name: str, ids: Iterable[str], act: Callable[[str], Awaitable[None]]) -> None:
    """Act on every id, also after one that fails; leave with the status of what went wrong.

    An id that cannot be one is refused before anything is sent: status 2 promises that. A rejected
    key ends it: no other id would fare better.
    """
    from krixik_async._validation import check_id

    ids = [check_id(name, one) for one in ids]
    statuses: set[int] = set()
    for one in ids:
        try:
            await act(one)
        except errors.AuthenticationError:
            raise
        except errors.KrixikError as error:
            click.echo(f"Error: {error}", err=True)
            statuses.add(exit_status(error))
    if statuses:
        raise click.exceptions.Exit(statuses.pop() if len(statuses) == 1 else JOBS_FAILED)
