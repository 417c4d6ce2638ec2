"""What is due when, for a hundred thousand entries in a hundred bytes each or less.

A heap of tuples would cost 0.1 kB an entry, and most entries are not due for long. So only the
next second stands in a heap; what is due later lies unsorted in a list for its second, and is
poured into the heap when that second comes up.

Nothing is taken out when an entry is moved or forgotten: what was put carries the time it was put
for, and whatever does not agree with the entry's own `due` any more is passed over. `prune` throws
such leftovers away.
"""

from __future__ import annotations

import heapq
import math
from typing import Generic, Protocol, TypeVar


class Due(Protocol):
    """Be something that is due at a time, in seconds; None while it is not."""

    due: float | None


T = TypeVar("T", bound=Due)


class Agenda(Generic[T]):
    """Give entries in the order in which they are due."""

    def __init__(self) -> None:
        self._near: list[tuple[float, int, T]] = []
        self._far: dict[int, list[T]] = {}
        self._seconds: list[int] = []
        self._poured: float = -math.inf
        self._sequence = 0
        self._held = 0

    def __len__(self) -> int:
        """Count what is held, leftovers too."""
        return self._held

    def put(self, entry: T, due: float) -> None:
        """Enter it for `due`, in place of any time it was entered for before."""
        entry.due = due
        self._held += 1
        second = math.floor(due)
        if second <= self._poured:
            self._push(due, entry)
        elif second in self._far:
            self._far[second].append(entry)
        else:
            self._far[second] = [entry]
            heapq.heappush(self._seconds, second)

    def next_due(self) -> float:
        """Give the time at which the first entry is due; infinity without any."""
        while True:
            while self._near and self._near[0][2].due != self._near[0][0]:
                heapq.heappop(self._near)
                self._held -= 1
            if not self._seconds or (self._near and self._near[0][0] < self._seconds[0]):
                return self._near[0][0] if self._near else math.inf
            self._pour()

    def pop(self, now: float) -> T | None:
        """Take out the first entry that is due at `now`, or None; its `due` is None then."""
        if self.next_due() > now or not self._near:
            return None
        entry = heapq.heappop(self._near)[2]
        self._held -= 1
        entry.due = None
        return entry

    def prune(self) -> None:
        """Throw away what was moved or forgotten. Takes time linear in what is held."""
        near = [item for item in self._near if item[2].due == item[0]]
        far = {
            second: [entry for entry in entries if _is_in(entry, second)]
            for second, entries in self._far.items()
        }
        self._near, self._far = near, {second: left for second, left in far.items() if left}
        heapq.heapify(self._near)
        self._seconds = sorted(self._far)
        self._held = len(near) + sum(map(len, self._far.values()))

    def _pour(self) -> None:
        second = heapq.heappop(self._seconds)
        self._poured = second
        for entry in self._far.pop(second):
            if _is_in(entry, second):
                assert entry.due is not None
                self._push(entry.due, entry)
            else:
                self._held -= 1

    def _push(self, due: float, entry: T) -> None:
        self._sequence += 1
        heapq.heappush(self._near, (due, self._sequence, entry))


def _is_in(entry: Due, second: int) -> bool:
    return entry.due is not None and math.floor(entry.due) == second
