"""The only place that starts a task.

A client that held a task group open between calls would break fixtures and frameworks that set
up and tear down in different tasks, and would wrap its user's own errors in an ExceptionGroup.
So the tasks that outlive a call are free-standing: made here, tracked, ended by their owner, and
never raising into the loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
from collections.abc import Awaitable, Callable

import anyio

logger = logging.getLogger("krixik_async")


def on_trio() -> bool:
    """Tell whether the caller runs under trio rather than asyncio."""
    trio = sys.modules.get("trio")
    if trio is None:
        return False
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return False
    return True


def running_loop() -> object:
    """Give what stands for the loop that runs the caller: one for each asyncio.run or trio.run.

    By asyncio's quick means first: it is asked for with each request.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        import trio

        return trio.lowlevel.current_trio_token()


class OwnedTask:
    """Be the handle of one free-standing task."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._scope = anyio.CancelScope()
        self._done = anyio.Event()

    def cancel(self) -> None:
        """Ask it to stop; returns at once."""
        self._scope.cancel()

    async def wait(self) -> None:
        """Wait until it has ended. Cancel-safe: giving up the wait leaves the task alone."""
        await self._done.wait()

    async def _run(self, body: Callable[[], Awaitable[None]]) -> None:
        try:
            with self._scope:
                await body()
        except Exception:
            # Whoever waits for the result was told by the body itself; a bug ends up here.
            logger.exception("krixik_async task %s ended by an error", self.name)
        finally:
            self._done.set()


class TaskSet:
    """Own free-standing tasks on asyncio or trio and end them on `aclose()`."""

    def __init__(self) -> None:
        self._tasks: set[OwnedTask] = set()
        self._handles: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, body: Callable[[], Awaitable[None]], *, name: str) -> OwnedTask:
        """Start `body` now, in a copy of the caller's context; it should report its own errors.

        So what is logged and traced in it is known to be the caller's.
        """
        owned = OwnedTask(name)
        self._tasks.add(owned)

        async def run() -> None:
            try:
                await owned._run(body)
            finally:
                self._tasks.discard(owned)

        if on_trio():
            import trio

            trio.lowlevel.spawn_system_task(run, name=name, context=contextvars.copy_context())
        else:
            # The loop keeps only weak references to tasks: hold one until it is done.
            handle = asyncio.get_running_loop().create_task(run(), name=name)
            self._handles.add(handle)
            handle.add_done_callback(self._handles.discard)
        return owned

    async def aclose(self, *, within_s: float = 5.0) -> None:
        """Cancel what still runs and wait for it, at most `within_s` seconds, shielded."""
        for task in tuple(self._tasks):
            task.cancel()
        with anyio.move_on_after(within_s, shield=True):
            for task in tuple(self._tasks):
                await task.wait()
