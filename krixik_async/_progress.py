"""A wait drawn in a terminal: how many jobs have ended, how, and when the rest may have."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from krixik_async._errors import InvalidArgumentType, MissingExtra
from krixik_async._models import JobOutcome
from krixik_async._validation import kind_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress


class ProgressDisplay:
    """Draw a bar with counts and the time left, as learned from earlier jobs; needs extra `cli`.

    Pass one as `progress=`, or just True. Writes to `console` (default: standard error) and only if
    that is a terminal; `force=True` writes anyway. For one wait at a time. Raises MissingExtra
    without `pip install "krixik-async[cli]"`.
    """

    def __init__(self, *, console: Console | None = None, force: bool = False) -> None:
        _need_rich()
        from rich.console import Console

        self._console = Console(stderr=True) if console is None else console
        self._shown = force or self._console.is_terminal
        self._progress: Progress | None = None
        self._counts: Counter[str] = Counter()

    def start(self, total: int) -> None:
        """Begin to draw, with so many jobs to wait for."""
        self.stop()
        self._counts.clear()
        if not self._shown:
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        # Nothing is drawn by a thread of rich's own, and lines printed meanwhile are the user's.
        self._progress = Progress(
            TextColumn("[bold]krixik"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[said]}"),
            console=self._console,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._progress.add_task("jobs", total=total, said="")
        self._progress.start()

    def show(self, outcomes: Sequence[JobOutcome], time_left_s: float | None) -> None:
        """Draw what is new and the estimate of what is left."""
        self._counts.update(outcome.state for outcome in outcomes if outcome.ended)
        if self._progress is not None:
            task = self._progress.tasks[0]
            left = (task.total or 0) - self._counts.total()
            said = [f"{count} {state}" for state, count in sorted(self._counts.items())]
            if left and time_left_s is not None:
                said.append(f"about {_minutes(time_left_s)} left")
            self._progress.update(task.id, completed=self._counts.total(), said=", ".join(said))
            self._progress.refresh()

    def stop(self) -> None:
        """Leave the last state standing and draw no more. Idempotent."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def check_progress(progress: object) -> ProgressDisplay | None:
    """Give the display for `progress=`: False, True, or one of the caller's own."""
    if isinstance(progress, ProgressDisplay):
        return progress
    if not isinstance(progress, bool):
        raise InvalidArgumentType(
            f"progress is {kind_of(progress)} but must be True, False or a ProgressDisplay"
        )
    return ProgressDisplay() if progress else None


def _minutes(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {whole % 60:02d} s" if minutes else f"{whole} s"


def _need_rich() -> None:
    try:
        importlib.import_module("rich.progress")
    except ImportError:
        raise MissingExtra(
            'a progress display needs rich: pip install "krixik-async[cli]"'
        ) from None
