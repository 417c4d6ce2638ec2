"""How many requests may be on the way at once.

Of our own because a permit is taken by the caller and given back by the task that outlives it,
and because a waiter that is cancelled just as it is handed a permit must pass it on.
"""

from __future__ import annotations

import anyio


class _Waiter:
    __slots__ = ("granted", "woken")

    def __init__(self) -> None:
        self.woken = anyio.Event()
        self.granted = False


class Permits:
    """Hand out at most `total` permits, first come first served, but to the urgent first."""

    def __init__(self, total: int) -> None:
        self._free = total
        # Dicts for their order and for removing a cancelled waiter at once among thousands.
        self._queue: dict[_Waiter, None] = {}
        self._urgent: dict[_Waiter, None] = {}

    @property
    def free(self) -> int:
        """Tell how many could be taken now."""
        return self._free

    async def acquire(self, *, urgent: bool = False) -> None:
        """Wait for a permit and take it. Cancel-safe: a cancelled wait takes none."""
        if self._free:
            self._free -= 1
            return
        waiter = _Waiter()
        queue = self._urgent if urgent else self._queue
        queue[waiter] = None
        try:
            await waiter.woken.wait()
        except BaseException:
            if waiter.granted:
                self.release()
            else:
                del queue[waiter]
            raise

    def release(self) -> None:
        """Give one back, from any task."""
        queue = self._urgent or self._queue
        if queue:
            waiter = next(iter(queue))
            del queue[waiter]
            waiter.granted = True
            waiter.woken.set()
        else:
            self._free += 1
