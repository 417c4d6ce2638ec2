"""Two times and a wait, all following the running loop."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

import anyio
import pytest
import trio

from krixik_async._clock import AnchoredClock, Clock, LoopClock
from krixik_async.testing import VirtualTimeLoop

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_backend: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """Let time jump."""
    return virtual_backend


@pytest.mark.parametrize("clock", [LoopClock(), AnchoredClock(5e9)], ids=["loop", "anchored"])
async def test_sleeping_moves_now_by_that_much_in_no_real_time(clock: Clock) -> None:
    real, start = time.monotonic(), clock.now()
    await clock.sleep(36_000)
    assert clock.now() - start == pytest.approx(36_000, abs=0.01)
    assert time.monotonic() - real < 5


@pytest.mark.parametrize("seconds", [0, 0.0, -1, -1e9])
async def test_sleeping_no_time_lets_others_run_and_takes_no_time(seconds: float) -> None:
    clock, seen = LoopClock(), []

    async def other() -> None:
        seen.append("other")

    async with anyio.create_task_group() as group:
        group.start_soon(other)
        start = clock.now()
        while not seen:
            await clock.sleep(seconds)
        assert clock.now() - start < 1


async def test_a_sleep_can_be_cancelled() -> None:
    clock = LoopClock()
    start = clock.now()
    with anyio.move_on_after(5) as scope:
        await clock.sleep(1e6)
    assert scope.cancelled_caught
    assert clock.now() - start == pytest.approx(5, abs=0.01)


def test_the_loop_clocks_wall_is_the_machines() -> None:
    async def wall() -> float:
        return LoopClock().wall()

    for run in (asyncio.run, lambda coroutine: trio.run(lambda: coroutine)):
        before = time.time()
        assert before <= run(wall()) <= time.time()
    assert LoopClock().wall() >= before


def test_where_a_loop_is_virtual_wall_time_is_so_too_for_all_clocks_alike() -> None:
    """Those of a client and of its server begin at different times, and go by one calendar."""

    async def main() -> list[float]:
        walls = [LoopClock().wall()]
        await asyncio.sleep(3600)
        return [*walls, LoopClock().wall()]

    for options in ({}, {"start": 50.0}):
        with asyncio.Runner(loop_factory=partial(VirtualTimeLoop, **options)) as runner:
            assert runner.run(main()) == [1_780_000_000.0, 1_780_003_600.0]
    with asyncio.Runner(loop_factory=partial(VirtualTimeLoop, start=5, epoch=9e8)) as runner:
        assert runner.run(main()) == [9e8, 9e8 + 3600]


async def test_an_anchored_wall_runs_with_the_loop_from_its_epoch_on() -> None:
    clock = AnchoredClock(1_700_000_000.0)
    await clock.sleep(50)  # counted from the first question, not from here
    assert clock.wall() == 1_700_000_000.0
    await clock.sleep(3600)
    assert clock.wall() == pytest.approx(1_700_003_600.0, abs=0.01)


def test_the_clock_of_a_guest_is_its_own() -> None:
    """Trio may run as a guest on asyncio's loop; its deadlines are by its own time."""
    apart: list[float] = []

    async def guest() -> None:
        apart.append(LoopClock().now() - anyio.current_time())

    async def host() -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        trio.lowlevel.start_guest_run(
            guest,
            run_sync_soon_threadsafe=loop.call_soon_threadsafe,
            done_callback=lambda _: ended.set(),
        )
        await ended.wait()

    asyncio.run(host())
    assert apart == [pytest.approx(0.0, abs=1.0)]
