"""What stdout and stderr get: lines for people, or JSON for programs."""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TextIO

import attrs
import click

from krixik_async._errors import SaveFailed

if TYPE_CHECKING:
    from krixik_async._reply import JSON


# A name on disk, or what a service says, may hold what ends a line or commands a terminal.
_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code != 0x09}


class Bar(Protocol):
    """Be told of the jobs that have ended."""

    def ended(self, value: JSON, lines: Iterable[str]) -> None:
        """Print what became of one, and count it."""


@attrs.frozen
class Printer:
    """Print a command's results; `as_json` for programs."""

    as_json: bool

    def result(self, value: JSON, lines: Iterable[str]) -> None:
        """Print one result: the value as one line of JSON, or the lines."""
        for line in self.told(value, lines):
            try:
                click.echo(line)
            except OSError as error:
                if error.errno == errno.EPIPE:
                    raise  # nobody reads any more, which is no failure to tell of
                why = error.strerror or type(error).__name__
                raise SaveFailed(f"stdout cannot be written: {why}") from error

    def note(self, value: JSON, lines: Iterable[str]) -> None:
        """Say on stderr what is no result: the value as one line of JSON, or the lines.

        Where stderr takes nothing there is nobody to tell; the exit status still says it.
        """
        for line in self.told(value, lines):
            with suppress(OSError):
                # Given as a file it is rich's while a bar is drawn, which writes above the bar.
                click.echo(line, file=sys.stderr, err=True)

    def told(self, value: JSON, lines: Iterable[str]) -> Iterator[str]:
        """Give the lines that say it: of JSON, or those for people."""
        if self.as_json:
            yield _encodable(json.dumps(value, ensure_ascii=False))
            return
        for line in lines:
            yield _encodable(line).translate(_ESCAPED)

    def progress(self, total: int, what: str) -> AbstractContextManager[Bar]:
        """Draw a bar on stderr while the block lasts, if that is a terminal and rich is there."""
        if self.as_json or not _is_terminal(sys.stderr) or find_spec("rich") is None:
            return nullcontext(_NoBar(self))
        return _Bar(self, total, what)


@attrs.frozen
class _NoBar:
    printer: Printer

    def ended(self, value: JSON, lines: Iterable[str]) -> None:
        """Print it."""
        self.printer.result(value, lines)


class _Bar:
    """Be a rich progress bar; what is printed meanwhile appears above it."""

    def __init__(self, printer: Printer, total: int, what: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

        self._progress = Progress(
            "{task.description}",
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,
        )
        self._printer = printer
        self._task = self._progress.add_task(what, total=total or None)

    def ended(self, value: JSON, lines: Iterable[str]) -> None:
        """Print it above the bar, where both are on a terminal, and move on."""
        from rich.text import Text

        if _is_terminal(sys.stdout):
            for line in self._printer.told(value, lines):
                self._progress.console.print(Text(line), soft_wrap=True)
        else:
            self._printer.result(value, lines)
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


def _encodable(text: str) -> str:
    """Escape bytes that are no text, as a name on disk may hold; in JSON they are right so, too."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _is_terminal(stream: TextIO | None) -> bool:
    """Tell whether people read it; None is what Python makes of a stream that was closed."""
    return stream is not None and stream.isatty()


def columns(rows: Iterable[Sequence[str]]) -> list[str]:
    """Give rows as lines whose cells stand below each other."""
    table = [tuple(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
