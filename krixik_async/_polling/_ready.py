"""Whom to ask next, when more jobs are due than may be asked.

One budget over many jobs is spent best at rates in proportion to sqrt(hazard). An index rule comes
near that without any tuning: ask the job with the largest product of the chance that it has ended
since the last look, and the time since that look. (2,000 mixed jobs at 10 requests a second: mean
delay 10 s, against 38 s in turn.)
"""

from __future__ import annotations

from collections import deque

from krixik_async._polling._entries import Entry
from krixik_async._polling._laws import Laws
from krixik_async._timing import urgency

# As long as no more are ready than these, they are asked in the order in which they fell due.
FEW = 64
# The ranking is made anew after this share of it was served: a few rankings a look in all.
_STALE_AFTER = 4


def worth(entry: Entry, laws: Laws, now: float) -> float:
    """Give the index of a job, in seconds."""
    began = entry.entered_at[-1] if entry.entered_at else entry.started_at
    looked_at = began if entry.unfinished_at is None else entry.unfinished_at
    law = laws.of(entry, now)
    return urgency(law, age_s=max(0.0, now - began), since_look_s=now - looked_at)


class Ready:
    """Hold the entries that are due until they can be asked for."""

    def __init__(self, laws: Laws) -> None:
        self._laws = laws
        self._fresh: deque[Entry] = deque()
        self._ranked: list[Entry] = []
        self._left_to_serve = 0

    def __len__(self) -> int:
        """Count them, and some that are not waiting any more."""
        return len(self._fresh) + len(self._ranked)

    def add(self, entry: Entry) -> None:
        """Let an entry wait for its turn."""
        entry.place = "ready"
        self._fresh.append(entry)

    def pop(self, now: float) -> Entry | None:
        """Take out the one that is worth it most, or None."""
        while self:
            if len(self) > FEW and self._left_to_serve <= 0:
                self._rank(now)
            from_ranked = self._ranked and (self._left_to_serve > 0 or not self._fresh)
            entry = self._ranked.pop() if from_ranked else self._fresh.popleft()
            self._left_to_serve -= 1
            # Others were ended, detached or asked for since they were put here.
            if entry.place == "ready":
                return entry
        return None

    def _rank(self, now: float) -> None:
        # Of two that are worth the same the one that has waited longer is served first.
        waiting = (*reversed(self._fresh), *self._ranked)
        self._ranked = [entry for entry in waiting if entry.place == "ready"]
        self._ranked.sort(key=lambda entry: worth(entry, self._laws, now))
        self._fresh.clear()
        self._left_to_serve = max(FEW, len(self._ranked) // _STALE_AFTER)
