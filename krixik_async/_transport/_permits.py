"""How many requests may be on the way at once.

Of our own because a permit is taken by the caller and given back by the task that outlives it,
and because a waiter that is cancelled just as it is handed a permit must pass it on.

Who has a permit and waits for its slot lends it to the urgent: where a slot comes once a minute,
all permits may be with tickets whose turn is hours away, while an upload's ticket lives a minute.
"""

from __future__ import annotations

import anyio


class _Waiter:
    __slots__ = ("granted", "woken")

    def __init__(self) -> None:
        self.woken = anyio.Event()
        self.granted = False


class Turn:
    """Be the right to send one request now: a permit, taken at the pace the service allows."""

    __slots__ = ("_permits", "_taken")

    def __init__(self, permits: Permits) -> None:
        self._permits = permits
        self._taken = False

    def take(self) -> None:
        """Use it: from here on, whoever sends the request gives the permit back."""
        self._taken = True

    def release(self) -> None:
        """Give it back, if it was not used. Idempotent."""
        if not self._taken:
            self._taken = True
            self._permits.release()


class Permits:
    """Hand out at most `total` permits, first come first served, but to the urgent first."""

    def __init__(self, total: int) -> None:
        self._free = total
        # Dicts for their order and for removing a cancelled waiter at once among thousands.
        self._queue: dict[_Waiter, None] = {}
        self._urgent: dict[_Waiter, None] = {}
        # Of those who lend theirs: so many permits are there still, so many were taken.
        self._lent = 0
        self._owed = 0

    @property
    def free(self) -> int:
        """Tell how many could be taken now."""
        return self._free

    async def acquire(self, *, urgent: bool = False) -> None:
        """Wait for a permit and take it. Cancel-safe: a cancelled wait takes none."""
        if self._free:
            self._free -= 1
            return
        if urgent and self._lent:
            self._lent -= 1
            self._owed += 1
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
        if self._urgent:
            _grant(self._urgent)
        elif self._owed:
            self._owed -= 1
            self._lent += 1
        elif self._queue:
            _grant(self._queue)
        else:
            self._free += 1

    def lend(self) -> None:
        """Let the urgent have a permit that is not used yet, until `reclaim` or `forgo`."""
        if self._urgent:
            _grant(self._urgent)
            self._owed += 1
        else:
            self._lent += 1

    async def reclaim(self) -> None:
        """Have the permit again that was lent, or the next; cancelled, it is given up."""
        if self._lent:
            self._lent -= 1
            return
        self._owed -= 1
        await self.acquire(urgent=True)

    def forgo(self) -> None:
        """Give up a permit that was lent."""
        if self._lent:
            self._lent -= 1
            self.release()
        else:
            self._owed -= 1


def _grant(queue: dict[_Waiter, None]) -> None:
    waiter = next(iter(queue))
    del queue[waiter]
    waiter.granted = True
    waiter.woken.set()
