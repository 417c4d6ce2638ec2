"""Who may send next: a request needs a permit, of which there are so many, and a slot of the pace.

Who waits for a slot stands in one line and holds no permit: where slots are minutes apart, all
permits would be with those whose turn is far off, and an upload, whose ticket lives a minute, could
not pass them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from krixik_async._clock import Clock
from krixik_async._transport._pace import Pace
from krixik_async._transport._permits import Permits

# Slots are counted from when a request came, so that they do not drift by what waking takes. Those
# of longer ago are gone: a program that stood still for five seconds sent five seconds' requests at
# once, was refused, and halved its rate for half a minute.
_CATCH_UP_S = 0.05


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


class Turns:
    """Wait for turns. `pause` waits some seconds, and raises when the client is closed."""

    def __init__(
        self,
        *,
        permits: Permits,
        pace: Pace,
        clock: Clock,
        pause: Callable[[float], Awaitable[None]],
    ) -> None:
        self._permits = permits
        self._pace = pace
        self._clock = clock
        self._pause = pause
        # Only its first looks out for a slot.
        self._line = Permits(1)

    async def take(self, *, follows: bool) -> None:
        """Wait for a slot and take it with a permit, which is to be given back. Cancel-safe.

        What `follows` a request that was sent, an upload its ticket, passes all who wait.
        """
        await (self._overtake() if follows else self._stand_in_line())

    async def _stand_in_line(self) -> None:
        came = self._clock.now()
        await self._line.acquire()
        try:
            while True:
                while (delay := self._pace.next_slot(came) - self._clock.now()) > 0:
                    await self._pause(delay)
                had_to_wait = not self._permits.free
                await self._permits.acquire()
                if not had_to_wait:
                    break
                # Slots that went by unused are gone, and uploads may have taken others.
                came = self._clock.now()
                if self._pace.next_slot(came) <= came:
                    break
                self._permits.release()
            self._pace.reserve(max(came, self._clock.now() - _CATCH_UP_S))
        finally:
            self._line.release()

    async def _overtake(self) -> None:
        await self._permits.acquire(urgent=True)
        try:
            now = self._clock.now()
            slot = self._pace.follow(now)
            while slot > now:
                await self._pause(slot - now)
                now = self._clock.now()
                if self._pace.is_blocked(now):
                    slot = self._pace.follow(now)
        except BaseException:
            self._permits.release()
            raise
