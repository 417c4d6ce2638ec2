"""How fast a client may ask: pure decisions over `now`, shared by all its requests.

Requests are given slots 1/rate seconds apart. "Too many" (429, 503) halves the rate and a good
answer lets it grow by a fixed step a second, as TCP does (AIMD; Chiu and Jain 1989); a
`Retry-After` stops everything until then. Who waits for a slot has none yet, so that whoever gives
up takes none along; but an upload takes the next one at once, past all who wait: its ticket lives
a minute, and behind hundreds of others that ask for tickets it would come too late.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

# A server may ask for an hour; a client that obeyed would look hung (2026-11).
LONGEST_RETRY_AFTER_S = 60.0
# One halving a second: a burst of refusals to requests of one moment is one piece of news.
_HALVE_EVERY_S = 1.0
# From half the rate back to the whole of it in this time, if all goes well.
_RECOVERY_S = 30.0
# However often it is halved, one request a second may go (or the user's limit, if that is less): a
# client that sends little was not the cause, and `Retry-After` is there for longer pauses.
_SLOWEST_PER_S = 1.0
_RATE_WINDOW_S = 1.0
# However low the rate is, an upload goes within its ticket's life, at the cost of what comes after.
_FOLLOW_WITHIN_S = 10.0


class Pace:
    """Decide when the next request may go; `limit` is requests per second, None for no limit."""

    def __init__(self, limit: float | None) -> None:
        self._limit = limit
        self._rate = limit
        # Where growing ends: the user's limit, or twice what was measured before the first no.
        self._ceiling = limit or 0.0
        self._next_slot = -math.inf
        self._blocked_until = -math.inf
        self._last_halving = -math.inf
        self._last_growth = -math.inf
        self._window_start = -math.inf
        self._window_count = 0
        self._measured = 0.0

    @property
    def rate(self) -> float | None:
        """Tell the requests per second allowed now; None is without limit."""
        return self._rate

    def is_blocked(self, now: float) -> bool:
        """Tell whether a `Retry-After` is running."""
        return now < self._blocked_until

    def next_slot(self, now: float) -> float:
        """Tell when the next request may go; `now` if at once."""
        slot = max(now, self._blocked_until)
        return slot if self._rate is None else max(slot, self._next_slot)

    def reserve(self, now: float) -> float:
        """Take the next slot; gives the time at which it begins, `now` if at once."""
        slot = self.next_slot(now)
        self._take(slot, now)
        return slot

    def follow(self, now: float) -> float:
        """Take the next slot for an upload, or an earlier time if that is too far off."""
        slot = min(self.next_slot(now), max(now, self._blocked_until) + _FOLLOW_WITHIN_S)
        self._take(slot, now)
        return slot

    def _take(self, slot: float, now: float) -> None:
        if self._rate is not None:
            self._next_slot = max(self._next_slot, slot) + 1.0 / self._rate
        self._count(now)

    def throttled(self, now: float, retry_after_s: float | None) -> bool:
        """Learn of a "too many"; tells whether that changed anything (once a second at most)."""
        if retry_after_s is not None:
            self._blocked_until = max(self._blocked_until, now + retry_after_s)
        if now - self._last_halving < _HALVE_EVERY_S:
            return False
        if self._rate is None:
            before = max(self._measured, float(self._window_count), 2.0 * _SLOWEST_PER_S)
            self._ceiling = 2.0 * before
        else:
            before = self._rate
        self._rate = max(before / 2.0, min(_SLOWEST_PER_S, self._ceiling))
        self._last_halving = self._last_growth = now
        # Slots handed out at the old rate are forgotten; the new ones begin here.
        self._next_slot = max(now, self._blocked_until) + 1.0 / self._rate
        return True

    def succeeded(self, now: float) -> None:
        """Learn of a good answer: grow by what the time since the last one allows."""
        if self._rate is None or self._rate == self._limit:
            return
        step = (now - self._last_growth) * self._ceiling / 2.0 / _RECOVERY_S
        self._rate += step
        self._last_growth = now
        if self._rate >= self._ceiling:
            self._rate = self._limit

    def _count(self, now: float) -> None:
        if now - self._window_start >= _RATE_WINDOW_S:
            self._measured = self._window_count / (now - self._window_start)
            self._window_start, self._window_count = now, 0
        self._window_count += 1


def retry_after_s(headers: Mapping[str, str], wall: float) -> float | None:
    """Read `retry-after` as seconds from `wall` (epoch), 0 to 60; None if absent or malformed."""
    said = headers.get("retry-after", "").strip()
    try:
        seconds = float(said)
    except ValueError:
        try:
            until = parsedate_to_datetime(said)
        except ValueError:
            return None
        # A date "-0000" has no zone of its own; HTTP dates are UTC (RFC 9110, 5.6.7).
        aware = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
        seconds = max(0.0, aware.timestamp() - wall)
    if not math.isfinite(seconds) or seconds < 0:
        return None
    return min(seconds, LONGEST_RETRY_AFTER_S)
