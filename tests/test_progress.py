"""A wait drawn in a terminal, and nowhere else unless told to."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest
from rich.console import Console

from krixik_async._errors import ConnectFailed, InvalidArgumentType, MissingExtra
from krixik_async._models import JobOutcome, JobRef
from krixik_async._progress import ProgressDisplay, check_progress
from krixik_async._waiting import Schedule
from tests.polled_service import EACH_SECOND, FIXED, House, ref

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


def paper(*, terminal: bool) -> tuple[io.StringIO, Console]:
    text = io.StringIO()
    return text, Console(file=text, force_terminal=terminal, width=100, color_system=None)


def last_line(text: io.StringIO) -> str:
    return [line for line in text.getvalue().splitlines() if "krixik" in line][-1]


def outcome(state: Any) -> JobOutcome:
    return JobOutcome(request_id="r", state=state, job=JobRef(request_id="r", pipeline="p"))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (4.4, "about 4 s left"),
        (75.0, "about 1 min 15 s left"),
        (7320.0, "about 2 h 02 min left"),
    ],
)
def test_it_counts_what_has_ended_and_says_what_is_left(seconds: float, words: str) -> None:
    text, console = paper(terminal=True)
    display = ProgressDisplay(console=console)
    display.start(4)
    display.show([outcome("complete"), outcome("failed"), outcome("pending")], seconds)
    display.stop()
    display.stop()
    last = last_line(text)
    assert "2/4" in last
    assert "1 complete, 1 failed" in last
    assert words in last
    assert ("left" in last) == bool(words)


def test_at_the_end_nothing_is_left() -> None:
    text, console = paper(terminal=True)
    display = ProgressDisplay(console=console)
    display.start(1)
    display.show([outcome("complete")], 60.0)
    display.stop()
    assert "left" not in text.getvalue()


@pytest.mark.parametrize(("force", "written"), [(False, False), (True, True)])
def test_it_writes_to_a_terminal_only_unless_told_otherwise(force: bool, written: bool) -> None:
    text, console = paper(terminal=False)
    display = ProgressDisplay(console=console, force=force)
    display.start(1)
    display.show([outcome("complete")], None)
    display.stop()
    assert bool(text.getvalue()) is written


def test_one_display_serves_one_wait_after_the_other() -> None:
    text, console = paper(terminal=True)
    display = ProgressDisplay(console=console)
    for _ in range(2):
        display.start(2)
        display.show([outcome("complete")], None)
    display.stop()
    assert "1/2" in last_line(text)


def test_progress_is_a_yes_a_no_or_a_display(capsys: pytest.CaptureFixture[str]) -> None:
    display = ProgressDisplay()
    assert (check_progress(False), check_progress(display)) == (None, display)
    own = check_progress(True)
    assert isinstance(own, ProgressDisplay)
    own.start(1)
    own.stop()
    assert capsys.readouterr() == ("", "")
    with pytest.raises(InvalidArgumentType, match="progress is int but must be True, False or a"):
        check_progress(1)


def test_without_rich_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.progress", None)
    with pytest.raises(MissingExtra, match=r'pip install "krixik-async\[cli\]"'):
        check_progress(True)


async def test_a_wait_draws_each_half_second_and_stops_when_it_ends() -> None:
    text, console = paper(terminal=True)
    house = House({"r1": 2.0, "r2": 5.0})
    for n in range(10):
        house.durations.observe("p", 0, None, 5.0 + n / 10, 5.0 + n / 10)
    display = ProgressDisplay(console=console)
    result = await house.waiter.wait(
        [ref(1), ref(2)],
        timeout=60.0,
        return_when="all",
        on_update=None,
        schedule=EACH_SECOND,
        display=display,
    )
    assert (len(result.complete), house.now, result.timed_out) == (2, 5.0, False)
    assert "2/2" in text.getvalue()
    assert "left" in text.getvalue()


async def test_a_wait_that_raises_leaves_no_display_behind() -> None:
    text, console = paper(terminal=True)

    def broken(_: JobOutcome) -> None:
        raise ZeroDivisionError

    house = House(answer=lambda _, __: ConnectFailed("down"))
    with pytest.raises(ZeroDivisionError):
        await house.waiter.wait(
            [ref(1)],
            timeout=None,
            return_when="all",
            on_update=broken,
            schedule=Schedule(FIXED, bulk_look=False),
            display=ProgressDisplay(console=console),
        )
    # The cursor is shown again.
    assert text.getvalue().rstrip().endswith("\x1b[?25h")
