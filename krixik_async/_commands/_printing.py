"""What stdout and stderr get: lines for people, or JSON for programs."""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

import attrs
import click

from krixik_async._errors import SaveFailed

if TYPE_CHECKING:
    from krixik_async._reply import JSON


class Bar(Protocol):
    """Be told how many of the jobs have ended."""

    def ended(self) -> None:
        """Count one more."""


class _NoBar:
    def ended(self) -> None:
        """Draw nothing."""


@attrs.frozen
class Printer:
    """Print a command's results; `as_json` for programs."""

    as_json: bool

    def result(self, value: JSON, lines: Iterable[str]) -> None:
        """Print one result: the value as one line of JSON, or the lines."""
        for line in self._told(value, lines):
            try:
                click.echo(line)
            except OSError as error:
                if error.errno == errno.EPIPE:
                    raise  # nobody reads any more, which is no failure to tell of
                why = error.strerror or type(error).__name__
                raise SaveFailed(f"stdout cannot be written: {why}") from error

    def note(self, value: JSON, lines: Iterable[str]) -> None:
        """Say on stderr what is no result: the value as one line of JSON, or the lines."""
        for line in self._told(value, lines):
            click.echo(line, err=True)

    def _told(self, value: JSON, lines: Iterable[str]) -> Iterator[str]:
        for line in [json.dumps(value, ensure_ascii=False)] if self.as_json else lines:
            # A name on disk may hold bytes that are no text; so escaped they are right in JSON too.
            yield line.encode("utf-8", "backslashreplace").decode("utf-8")

    def progress(self, total: int, what: str) -> AbstractContextManager[Bar]:
        """Draw a bar on stderr while the block lasts, if that is a terminal."""
        if self.as_json or not sys.stderr.isatty():
            return nullcontext(_NoBar())
        return _Bar(total, what)


class _Bar:
    """Be a rich progress bar; lines that are printed meanwhile appear above it."""

    def __init__(self, total: int, what: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

        self._progress = Progress(
            "{task.description}",
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
            # Lines of a pipe must go into the pipe.
            redirect_stdout=sys.stdout.isatty(),
        )
        self._task = self._progress.add_task(what, total=total or None)

    def ended(self) -> None:
        """Count one more."""
        self._progress.advance(self._task)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()


def columns(rows: Iterable[Sequence[str]]) -> list[str]:
    """Give rows as lines whose cells stand below each other."""
    table = [tuple(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
