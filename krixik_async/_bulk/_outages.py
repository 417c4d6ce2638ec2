"""While the service is away, files wait for it: else a folder would be used up in failures.

One file at a time finds out whether the service is back, with pauses that grow to 30 s; the others
wait, and as they fill the window, no more are pulled. Each rides an outage out for ten minutes, as
a wait does for each job. A service that has not answered yet in this run may be a wrong address:
that is said at once.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from krixik_async._clock import Clock
from krixik_async._errors import (
    RateLimited,
    ServerError,
    ServiceError,
    SubmitUncertain,
    TransportError,
)
from krixik_async._evidence import OUTAGE_S, outage_pause
from krixik_async._polling import OPENS_AFTER, Breaker

T = TypeVar("T")

logger = logging.getLogger("krixik_async")

# What gateways answer for a service that is not there; 500 may be about one file alone.
AWAY = frozenset({502, 503, 504})


def is_away(error: Exception) -> bool:
    """Tell whether an error says that nobody is there, and not that it means this file."""
    if isinstance(error, ServerError):
        return error.status_code in AWAY
    return isinstance(error, TransportError | RateLimited) and not isinstance(
        error, SubmitUncertain
    )


class Outages:
    """Know whether the service is away, for all files of a run."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._breaker = Breaker()
        self._was_there = False
        self._moved = anyio.Event()

    async def ride_out(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Give what `attempt` gives; made again while the service is away.

        Raises what has another reason, and what it failed with last: where the service was away
        for ten minutes, or where it failed five times while others did not.
        """
        ends = self._clock.now() + OUTAGE_S if self._breaker.is_open else math.inf
        failures = 0
        while True:
            await self._turn(ends)
            try:
                result = await attempt()
            except Exception as error:
                self._learn(error)
                now, is_open = self._clock.now(), self._breaker.is_open
                ends = min(ends, now + OUTAGE_S)
                failures += 1
                if (
                    not (self._was_there and is_away(error))
                    or now >= ends
                    or (failures >= OPENS_AFTER and not is_open)
                ):
                    raise
            else:
                self._answered()
                return result
            if not is_open:
                await self._clock.sleep(outage_pause(now + OUTAGE_S - ends))

    async def _turn(self, until: float) -> None:
        """Wait until an attempt may be made, or that late."""
        breaker = self._breaker
        while breaker.is_open and (now := self._clock.now()) < until:
            if (due := breaker.next_probe) == math.inf:
                await self._moved.wait()
            else:
                breaker.sent()
                await self._clock.sleep(due - now)
                return

    def _learn(self, error: Exception) -> None:
        """Learn from a failure whether the service is there, if it tells."""
        self._was_there |= isinstance(error, ServiceError)
        if self._was_there and (is_away(error) or self._breaker.is_open):
            if self._breaker.failed(self._clock.now()):
                logger.info("the service is away, files wait for it: %s", error)
            self._notify()

    def _answered(self) -> None:
        self._was_there = True
        if self._breaker.answered():
            logger.info("the service answers again, files go on")
        self._notify()

    def _notify(self) -> None:
        moved, self._moved = self._moved, anyio.Event()
        moved.set()
