"""The only place that reads a clock; everything else is handed one.

Two times, never mixed: `now()` is monotonic seconds and drives every wait, so that a stepped
wall clock cannot stretch or cut one; `wall()` is epoch seconds and is only compared with what the
service says about expiry. Both follow the event loop where one offers virtual time: a test that
lets the loop's clock jump needs no patching here.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from typing import Protocol

import anyio

from krixik_async._tasks import on_trio


class Clock(Protocol):
    """Tell the time and wait, in seconds as float."""

    def now(self) -> float:
        """Give monotonic seconds from an arbitrary origin."""

    def wall(self) -> float:
        """Give seconds since 1970-01-01 UTC."""

    async def sleep(self, seconds: float) -> None:
        """Wait that long; a value of 0 or less only yields. Cancel-safe."""


class VirtualTime(ABC):
    """Be an event loop of asyncio's whose clock jumps instead of waiting.

    Wall time is to run with it, and a thread is not to work beside it: see `_offload`.
    """

    @abstractmethod
    def wall(self) -> float:
        """Give epoch seconds that run with the loop's time."""


def virtual_time() -> VirtualTime | None:
    """Give the running loop, if its clock jumps."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    return loop if isinstance(loop, VirtualTime) else None


class LoopClock:
    """Read the running event loop's clock; wall time is the machine's, or virtual as well."""

    def now(self) -> float:
        """Give the running loop's own monotonic seconds."""
        try:
            # Some times as fast as finding out first which library runs the loop.
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return anyio.current_time()
        # Trio may be a guest on asyncio's loop, with a time of its own.
        return anyio.current_time() if on_trio() else loop.time()

    def wall(self) -> float:
        """Give the machine's epoch seconds; those of the loop where its time is virtual."""
        loop = virtual_time()
        return time.time() if loop is None else loop.wall()

    async def sleep(self, seconds: float) -> None:
        """Wait on the running loop."""
        await anyio.sleep(max(0.0, seconds))


class AnchoredClock(LoopClock):
    """Let wall time run with the loop's clock, from `epoch` on: for loops with virtual time."""

    def __init__(self, epoch: float) -> None:
        self._epoch = epoch
        self._origin: float | None = None

    def wall(self) -> float:
        """Give `epoch` plus the loop seconds since this was first asked."""
        if self._origin is None:
            self._origin = self.now()
        return self._epoch + self.now() - self._origin
