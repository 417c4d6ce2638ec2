"""Free-standing tasks: they outlive their spawner, end with their owner, and never raise."""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from krixik_async._tasks import TaskSet, on_trio

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_backend: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """Let time jump."""
    return virtual_backend


async def test_the_backend_is_told(anyio_backend_name: str) -> None:
    assert on_trio() is (anyio_backend_name == "trio")


async def test_without_trio_in_the_process_it_is_not_trio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "trio", raising=False)
    assert on_trio() is False


async def test_a_task_runs_until_its_end_and_is_forgotten() -> None:
    tasks, seen = TaskSet(), []

    async def body() -> None:
        await anyio.sleep(3)
        seen.append("done")

    task = tasks.spawn(body, name="worker")
    assert (task.name, len(tasks)) == ("worker", 1)
    await task.wait()
    assert (seen, len(tasks)) == (["done"], 0)
    await task.wait()  # and again, at once


async def test_a_task_runs_in_a_copy_of_the_context_it_was_spawned_in() -> None:
    """Or the spans and log records of its requests would belong to nobody."""
    tasks, seen = TaskSet(), []
    caller: ContextVar[str] = ContextVar("caller")
    caller.set("span 1")

    async def body() -> None:
        seen.append(caller.get("nobody"))
        caller.set("span 2")

    await tasks.spawn(body, name="worker").wait()
    assert (seen, caller.get()) == (["span 1"], "span 1")


async def test_a_task_outlives_the_scope_and_the_task_it_was_spawned_in() -> None:
    tasks, seen, spawned = TaskSet(), [], []

    async def body() -> None:
        await anyio.sleep(10)
        seen.append("done")

    async def spawner() -> None:
        with anyio.CancelScope() as scope:
            spawned.append(tasks.spawn(body, name="worker"))
            scope.cancel()
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(spawner)
    assert (seen, len(tasks)) == ([], 1)
    await spawned[0].wait()
    assert seen == ["done"]


async def test_giving_up_the_wait_leaves_the_task_alone() -> None:
    tasks, seen = TaskSet(), []

    async def body() -> None:
        await anyio.sleep(10)
        seen.append("done")

    task = tasks.spawn(body, name="worker")
    with anyio.move_on_after(1) as scope:
        await task.wait()
    assert (scope.cancelled_caught, seen) == (True, [])
    await task.wait()
    assert seen == ["done"]


async def test_a_task_can_be_cancelled_from_another_and_cleans_up() -> None:
    tasks, seen = TaskSet(), []

    async def body() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            seen.append("cleaned")

    task = tasks.spawn(body, name="worker")
    await anyio.sleep(1)
    task.cancel()
    assert seen == []  # it returns at once
    await task.wait()
    assert (seen, len(tasks)) == (["cleaned"], 0)
    task.cancel()  # nothing left to cancel


async def test_a_task_cancelled_before_it_began_ends_at_its_first_checkpoint() -> None:
    tasks, seen = TaskSet(), []

    async def body() -> None:
        await anyio.lowlevel.checkpoint()
        seen.append("past the checkpoint")

    task = tasks.spawn(body, name="worker")
    task.cancel()
    await task.wait()
    assert seen == []


async def test_an_error_goes_to_the_log_and_not_to_the_loop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tasks = TaskSet()

    async def body() -> None:
        raise ValueError("a bug")

    with caplog.at_level(logging.DEBUG):
        await tasks.spawn(body, name="worker").wait()
        await anyio.sleep(1)
    assert len(tasks) == 0
    assert [(r.name, r.getMessage()) for r in caplog.records if r.levelno >= logging.WARNING] == [
        ("krixik_async", "krixik_async task worker ended by an error")
    ]
    assert caplog.records[-1].exc_info is not None
    assert repr(caplog.records[-1].exc_info[1]) == "ValueError('a bug')"


async def test_an_error_in_one_task_leaves_the_others_running() -> None:
    tasks, seen = TaskSet(), []

    async def good() -> None:
        await anyio.sleep(5)
        seen.append("done")

    async def bad() -> None:
        raise ValueError("a bug")

    task = tasks.spawn(good, name="good")
    await tasks.spawn(bad, name="bad").wait()
    await task.wait()
    assert seen == ["done"]


async def test_closing_cancels_all_and_waits_for_them() -> None:
    tasks, cleaned = TaskSet(), []

    async def body() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(2)
            cleaned.append(True)

    for n in range(3):
        tasks.spawn(body, name=f"worker {n}")
    await anyio.sleep(1)
    start = anyio.current_time()
    await tasks.aclose()
    assert (cleaned, len(tasks)) == ([True] * 3, 0)
    assert anyio.current_time() - start == pytest.approx(2, abs=0.01)
    await tasks.aclose()  # and again, with nothing to do


async def test_closing_gives_up_on_a_task_that_will_not_end_after_the_bound() -> None:
    tasks, let_go = TaskSet(), anyio.Event()

    async def stubborn() -> None:
        with anyio.CancelScope(shield=True):
            await let_go.wait()

    task = tasks.spawn(stubborn, name="stubborn")
    await anyio.sleep(1)
    start = anyio.current_time()
    await tasks.aclose()
    assert anyio.current_time() - start == pytest.approx(5, abs=0.01)
    await tasks.aclose(within_s=0.5)
    assert anyio.current_time() - start == pytest.approx(5.5, abs=0.01)
    let_go.set()
    await task.wait()


async def test_closing_is_not_cut_short_by_cancellation() -> None:
    tasks, cleaned = TaskSet(), []

    async def body() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(2)
            cleaned.append(True)

    tasks.spawn(body, name="worker")
    await anyio.sleep(1)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await tasks.aclose()
    assert cleaned == [True]


async def test_made_in_one_task_and_closed_in_another() -> None:
    tasks = TaskSet()

    async def opener() -> None:
        tasks.spawn(anyio.sleep_forever, name="worker")

    async def closer() -> None:
        await tasks.aclose()

    async with anyio.create_task_group() as group:
        group.start_soon(opener)
    assert len(tasks) == 1
    async with anyio.create_task_group() as group:
        group.start_soon(closer)
    assert len(tasks) == 0


def test_the_end_of_the_program_ends_the_tasks_that_nobody_closed(anyio_backend: Any) -> None:
    """On asyncio the loop cancels what is left, on trio system tasks end with the main one."""
    name, options = anyio_backend
    cleaned: list[bool] = []
    tasks = TaskSet()

    async def body() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cleaned.append(True)

    async def main() -> None:
        tasks.spawn(body, name="worker")
        await anyio.sleep(1)

    anyio.run(main, backend=name, backend_options=options)
    assert (cleaned, len(tasks)) == ([True], 0)
