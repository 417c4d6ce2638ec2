"""An asyncio event loop whose clock jumps instead of waiting.

A loop asks its selector to wait until the next timer is due. This one's selector does not wait:
it looks once for I/O that is ready, and if there is none, sets the clock to that time. Ten hours
of polling pass in a fraction of a second, in the order they would have happened in.

It must see no threads: the clock runs away while a real thread works. Clients and servers in
process notice that they run under it, and use none. Real sockets work, but any timer beats them.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any

from krixik_async._clock import VirtualTime

# Where wall time begins: the same in every run, 2026-05-28.
EPOCH = 1_780_000_000.0
# How long, in real seconds, to wait for I/O or a thread when no timer is set at all.
PATIENCE_S = 5.0


class VirtualTimeLoop(VirtualTime, asyncio.SelectorEventLoop):
    """Run tasks in virtual time, which begins at `start` seconds, and wall time at `epoch`.

    `Krixik.local()` under it goes by both, without a clock or an offload of its own.

    The class is its own factory: `asyncio.Runner(loop_factory=VirtualTimeLoop)`, or with anyio's
    pytest plugin the backend `("asyncio", {"loop_factory": VirtualTimeLoop})`.

    A program that waits with no timer set would wait forever: after 5 real seconds without I/O it
    is stopped by a RuntimeError out of `run_until_complete`.
    """

    def __init__(self, *, start: float = 0.0, epoch: float = EPOCH) -> None:
        self._jumping = _JumpingSelector(start)
        self._wall_at_zero = epoch - start
        super().__init__(self._jumping)
        # A timer counts as due within this of the time. The system clock's 1 ns would be lost in
        # rounding after 52 days (in a double), and the loop would turn on a due timer forever.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        """Give the virtual time in seconds."""
        return self._jumping.now

    def wall(self) -> float:
        """Give the virtual time in epoch seconds."""
        return self._wall_at_zero + self._jumping.now


class _JumpingSelector(selectors.BaseSelector):
    def __init__(self, start: float) -> None:
        self.now = start
        self._selector = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._selector.select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            ready = self._selector.select(PATIENCE_S)
            if not ready:
                raise RuntimeError(
                    "virtual time stands still: every task waits and none of them for a time; "
                    "this would never end (or a thread works: give the code an inline offload)"
                )
            return ready
        self.now += timeout
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:  # noqa: ANN401 - as the base class has it
        return self._selector.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:  # noqa: ANN401
        return self._selector.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:  # noqa: ANN401
        return self._selector.modify(fileobj, events, data)

    def close(self) -> None:
        self._selector.close()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._selector.get_map()
