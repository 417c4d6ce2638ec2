"""The only place that hands work to a thread or a process.

Blocking work (file reads, SQLite, module runners) goes through an `Offload`, which is passed in.
Under virtual time it must run inline: a virtual clock runs away while a real thread works. What
runs in threads otherwise sees to that by itself on a loop that says it is virtual.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread

from krixik_async._clock import virtual_time

T = TypeVar("T")


class Offload(Protocol):
    """Run a blocking function with positional arguments away from the event loop."""

    async def __call__(self, function: Callable[..., T], /, *args: object) -> T:
        """Give what the function returned, or raise what it raised."""


class InlineOffload:
    """Run on the event loop itself: for virtual time."""

    async def __call__(self, function: Callable[..., T], /, *args: object) -> T:
        """Call it, after one checkpoint."""
        await anyio.lowlevel.checkpoint()
        return function(*args)


class ThreadOffload:
    """Run in worker threads, at most `workers` at a time.

    A cancelled caller waits for the function to end: a thread cannot be stopped, and letting it
    run on unwatched would let it touch files its owner believes closed.
    """

    def __init__(self, workers: int = 8) -> None:
        self._workers = workers
        self._limiter: anyio.CapacityLimiter | None = None

    async def __call__(self, function: Callable[..., T], /, *args: object) -> T:
        """Call it in a thread; on the loop itself where that one's time is virtual."""
        if virtual_time() is not None:
            return await InlineOffload()(function, *args)
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(self._workers)
        return await anyio.to_thread.run_sync(function, *args, limiter=self._limiter)


class ProcessOffload:
    """Run in worker processes, at most `workers` at a time; a cancelled call kills its worker.

    The function and its arguments must be picklable. For long computations only: starting a
    worker takes about 0.2 s, and a program without a `__main__` guard would be run again in it,
    so this is for programs of our own.
    """

    def __init__(self, workers: int = 2) -> None:
        self._workers = workers
        self._limiter: anyio.CapacityLimiter | None = None

    async def __call__(self, function: Callable[..., T], /, *args: object) -> T:
        """Call it in a process."""
        # Brings the subprocess machinery in, which clients have no use for.
        from anyio.to_process import run_sync

        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(self._workers)
        return await run_sync(function, *args, cancellable=True, limiter=self._limiter)
