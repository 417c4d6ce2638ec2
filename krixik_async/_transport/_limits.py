"""Time limits for posts on asyncio, thousands of them at once, that share their timers.

An `anyio.CancelScope` with a deadline does the same for any code and on both backends, but makes a
timer of its own and takes its place in a tree of scopes: 14 us of the 110 that a status request
took, where this takes 4 (2026-11). A post needs less: it runs in one task, nests nothing, and ends
as soon as it is cancelled once. Limits of one length run out in the order in which they began, so
one timer, set for the oldest, serves them all and is never late.

The rules of cancelling are those of `asyncio.timeout`: what is cancelled is the task, and the
block keeps the CancelledError to itself only if nobody else has cancelled that task meanwhile.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self
from weakref import WeakValueDictionary

# How soon to look again whether the cancellation of somebody else has ended a block.
_AGAIN_S = 0.01


class Limits:
    """Make the limits of one event loop. No timer is left when no block is being run."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        # Weak, or a program that works out a limit for each call would fill it up.
        self._by_length: WeakValueDictionary[float, _SameLength] = WeakValueDictionary()

    def limit(self, seconds: float) -> Limit:
        """Give a limit that counts from when its block begins."""
        same = self._by_length.get(seconds)
        if same is None:
            same = self._by_length[seconds] = _SameLength(seconds, self._loop)
        return Limit(same)


class Limit:
    """End one block when its time is up, or when told to: `with limit: ...` goes on after it.

    For one block, and for code that lets a CancelledError through and does not wait for long on
    its way out.
    """

    __slots__ = ("_cancelling", "_has_cancelled", "_same", "_task")

    def __init__(self, same: _SameLength) -> None:
        self._same = same
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._has_cancelled = False

    def cancel(self) -> None:
        """End the block, if it is being run; not from inside it. Returns at once. Idempotent."""
        if self._task is None or self._has_cancelled:
            return
        if self._task.cancelling() > self._cancelling:
            # Somebody else was faster. Ours on top of it could take the message from which a scope
            # of anyio's knows its own cancellation: they become a single CancelledError. So let it
            # go first, and see whether it has ended the block too.
            self._same.loop.call_later(_AGAIN_S, self.cancel)
            return
        self._has_cancelled = True
        self._task.cancel()

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task, self._cancelling = task, task.cancelling()
        self._same.begin(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        task, self._task = self._task, None
        self._same.end(self)
        if task is None or not self._has_cancelled:
            return False
        is_alone = task.uncancel() <= self._cancelling
        return is_alone and isinstance(error, asyncio.CancelledError)


class _SameLength:
    """Keep the limits of one length, the oldest first."""

    __slots__ = ("__weakref__", "_due", "_seconds", "_timer", "loop")

    def __init__(self, seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._seconds = seconds
        self._due: dict[Limit, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, limit: Limit) -> None:
        due = self._due[limit] = self.loop.time() + self._seconds
        if self._timer is None:
            self._timer = self.loop.call_at(due, self._ring, due)

    def end(self, limit: Limit) -> None:
        self._due.pop(limit, None)
        if not self._due and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self, now: float) -> None:
        """Cancel what is due, and set the timer for the oldest of the others."""
        self._timer = None
        for limit, due in tuple(self._due.items()):
            if due > now:
                self._timer = self.loop.call_at(due, self._ring, due)
                return
            del self._due[limit]
            limit.cancel()
