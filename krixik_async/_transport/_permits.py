"""How many requests may be on the way at once.

Of our own because a permit is taken by the caller and given back by the task that outlives it,
and because a waiter that is cancelled just as it is handed a permit must pass it on.
"""

from __future__ import annotations

import anyio


class Permits:
    """Hand out at most `total` permits, first come first served, but to the urgent first."""

    def __init__(self, total: int) -> None:
        self._free = total
        # An event for each who waits, set when a permit is handed to it. Dicts for their order and
        # for removing a cancelled waiter at once among thousands.
        self._queue: dict[anyio.Event, None] = {}
        self._urgent: dict[anyio.Event, None] = {}

    @property
    def free(self) -> int:
        """Tell how many could be taken now."""
        return self._free

    async def acquire(self, *, urgent: bool = False) -> None:
        """Wait for a permit and take it. Cancel-safe: a cancelled wait takes none."""
        if self._free:
            self._free -= 1
            return
        granted = anyio.Event()
        queue = self._urgent if urgent else self._queue
        queue[granted] = None
        try:
            await granted.wait()
        except BaseException:
            if granted.is_set():
                self.release()
            else:
                del queue[granted]
            raise

    def release(self) -> None:
        """Give one back, from any task."""
        queue = self._urgent or self._queue
        if queue:
            granted = next(iter(queue))
            del queue[granted]
            granted.set()
        else:
            self._free += 1
