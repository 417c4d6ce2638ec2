"""Carrying bulk looks out: which jobs go into which list, round by round."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

import attrs

from krixik_async._models import JobRef
from krixik_async._polling._entries import Crowd, Entry
from krixik_async._polling._laws import Laws
from krixik_async._polling._seam import Asker
from krixik_async._polling._sweep import JOBS_A_LIST, ROUND_S, expected_per_s

# The ages and prospects of so many of a crowd stand for all of it.
_SAMPLE = 16


@attrs.frozen(eq=False)
class Chunk:
    """Hold what one list request asks for: jobs, and files known to be complete."""

    crowd: Crowd
    entries: tuple[Entry, ...]
    canaries: tuple[JobRef, ...]

    @property
    def file_ids(self) -> list[str]:
        """Give the ids to ask for."""
        refs = (*(entry.ref for entry in self.entries), *self.canaries)
        return [ref.file_id for ref in refs if ref.file_id is not None]


class Rounds:
    """Hold the crowds that bulk looks are on for, and the requests of the rounds under way."""

    def __init__(self, laws: Laws, asker: Asker) -> None:
        self.chunks: deque[Chunk] = deque()
        self._laws = laws
        self._asker = asker
        self._crowds: dict[str, Crowd] = {}

    def settle(self, crowd: Crowd) -> None:
        """Take a crowd in or out, as its bulk looks are on or off."""
        if crowd.sweep.on:
            self._crowds[crowd.pipeline] = crowd
        else:
            self._crowds.pop(crowd.pipeline, None)

    def next_due(self) -> float:
        """Give the time at which the next round begins; infinity if none will."""
        idle = (c.sweep.next_round for c in self._crowds.values() if not c.sweep.under_way)
        return min(idle, default=math.inf)

    def begin_due(self, now: float) -> None:
        """Begin the rounds that are due."""
        for crowd in self._crowds.values():
            if not crowd.sweep.under_way and crowd.sweep.next_round <= now:
                self._begin(crowd, now)

    def pay(self, now: float, look_at: Callable[[Entry], None]) -> None:
        """Have jobs looked at by themselves that could not be paid for when they were due."""
        for crowd in self._crowds.values():
            while crowd.unpaid and crowd.sweep.pay(now):
                entry = crowd.unpaid.popleft()
                if entry.place == "unpaid" and crowd.is_sweeping(entry):
                    look_at(entry)
                else:
                    crowd.sweep.give_back()

    def _begin(self, crowd: Crowd, now: float) -> None:
        members = [
            entry
            for entry in crowd.entries.values()
            if entry.place != "asked" and crowd.is_sweeping(entry)
        ]
        if not members:
            crowd.sweep.next_round = now + ROUND_S[1]
            return
        canaries = tuple(crowd.sweep.canaries)
        chunks = [
            Chunk(crowd, tuple(members[first : first + JOBS_A_LIST]), canaries)
            for first in range(0, len(members), JOBS_A_LIST)
        ]
        some = members[:: math.ceil(len(members) / _SAMPLE)]
        ages = [(now - entry.started_at, self._laws.whole(entry, now)) for entry in some]
        crowd.sweep.begin(
            now,
            len(chunks),
            age_s=sum(age for age, _ in ages) / len(ages),
            expected_per_s=expected_per_s(ages, len(members)),
            rate=self._asker.rate,
        )
        self.chunks.extend(chunks)
