"""Blocking work away from the loop: inline, in threads, in processes."""

from __future__ import annotations

import asyncio
import functools
import os
import threading
import time
from pathlib import Path
from typing import Any

import anyio
import pytest

from krixik_async._offload import InlineOffload, Offload, ProcessOffload, ThreadOffload
from krixik_async.testing import VirtualTimeLoop

pytestmark = pytest.mark.anyio

KINDS = [InlineOffload, ThreadOffload, ProcessOffload]
every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
async def test_the_result_comes_back_and_arguments_go_in_order(kind: type[Any]) -> None:
    offload: Offload = kind()
    assert await offload(divmod, 17, 5) == (3, 2)
    assert await offload(os.getcwd) == str(Path.cwd())


@every_kind
async def test_what_the_function_raises_is_raised(kind: type[Any]) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        await kind()(int, "x")


@every_kind
async def test_a_call_is_a_checkpoint(kind: type[Any]) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await kind()(os.getpid)
    assert scope.cancelled_caught


async def test_inline_runs_on_the_loops_own_thread() -> None:
    assert await InlineOffload()(threading.get_ident) == threading.get_ident()


async def test_a_cancelled_inline_call_does_not_run_the_function() -> None:
    ran: list[int] = []
    with anyio.CancelScope() as scope:
        scope.cancel()
        await InlineOffload()(ran.append, 1)
    assert ran == []


async def test_threads_run_beside_the_loop_in_this_process() -> None:
    idents, pid = await ThreadOffload()(lambda: (threading.get_ident(), os.getpid()))
    assert (idents != threading.get_ident(), pid) == (True, os.getpid())


def test_where_time_is_virtual_no_thread_works() -> None:
    """The clock would run away meanwhile: a second for a look at the clock, an hour for a file."""

    async def main() -> tuple[int, float]:
        with anyio.move_on_after(3600):
            ident = await ThreadOffload()(threading.get_ident)
        return ident, anyio.current_time()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        assert runner.run(main()) == (threading.get_ident(), 0.0)


@pytest.mark.parametrize("workers", [1, 3])
async def test_at_most_so_many_threads_work_at_a_time(workers: int) -> None:
    """None may end before as many as there can be have begun, so that more would show."""
    offload, lock, full = ThreadOffload(workers), threading.Lock(), anyio.Event()
    running, most, gate = 0, 0, threading.Event()

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            is_full = running == workers
        if is_full:
            anyio.from_thread.run_sync(full.set)
        assert gate.wait(20)
        with lock:
            running -= 1

    async with anyio.create_task_group() as group:
        for _ in range(4 * workers):
            group.start_soon(offload, work)
        await full.wait()
        gate.set()
    assert (most, running) == (workers, 0)


async def test_a_cancelled_caller_waits_for_its_thread_to_end() -> None:
    started, go_on, ended = anyio.Event(), threading.Event(), []

    def work() -> None:
        anyio.from_thread.run_sync(started.set)
        assert go_on.wait(20)
        ended.append(True)

    async with anyio.create_task_group() as group:
        group.start_soon(ThreadOffload(), work)
        await started.wait()
        group.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
            assert ended == []
            go_on.set()
    assert ended == [True]


async def test_a_process_is_another_one_and_is_used_again() -> None:
    offload = ProcessOffload(workers=1)
    pids = [await offload(os.getpid) for _ in range(3)]
    assert (os.getpid() in pids, len(set(pids))) == (False, 1)


async def test_at_most_so_many_processes_work_at_a_time() -> None:
    """Two calls at once, one worker: both are done by the same process."""
    offload, pids = ProcessOffload(workers=1), []

    async def call() -> None:
        pids.append(await offload(os.getpid))

    async with anyio.create_task_group() as group:
        group.start_soon(call)
        group.start_soon(call)
    assert (len(pids), len(set(pids))) == (2, 1)


async def test_a_cancelled_process_call_kills_its_worker(tmp_path: Path) -> None:
    offload, note = ProcessOffload(), tmp_path / "pid"

    async def call() -> None:
        await offload(functools.partial(tell_and_block, str(note)))

    async with anyio.create_task_group() as group:
        group.start_soon(call)
        with anyio.fail_after(20):
            while not (note.exists() and note.read_text()):  # noqa: ASYNC110 - another process
                await anyio.sleep(0.01)
        pid = int(note.read_text())
        assert is_alive(pid)
        group.cancel_scope.cancel()
    with anyio.fail_after(10):
        while is_alive(pid):  # noqa: ASYNC110 - another process
            await anyio.sleep(0.01)


def tell_and_block(note: str) -> None:
    Path(note).write_text(str(os.getpid()))
    time.sleep(600)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
