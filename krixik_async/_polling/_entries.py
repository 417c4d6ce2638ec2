"""What is held of each waited-for job, and of the jobs of one pipeline together."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Literal, TypeAlias

import attrs

from krixik_async._evidence import Watched
from krixik_async._models import JobRef
from krixik_async._polling._sweep import Sweep

if TYPE_CHECKING:
    from krixik_async._polling._subscription import Subscription

Key: TypeAlias = tuple[str, str]
Place: TypeAlias = Literal["new", "agenda", "unpaid", "ready", "asked", "gone"]


def key_of(ref: JobRef) -> Key:
    """Give what two references to one job have in common."""
    return (ref.pipeline, ref.request_id)


@attrs.define(eq=False, weakref_slot=False)
class Entry(Watched):
    """Hold one waited-for job in the scheduler.

    `due` is when the agenda has it; `place` where it is ("unpaid" is in the agenda too); `listed`
    that a bulk look has shown it finished, `absent_at` when the last one was sent that did not;
    `swept` that they may look for it. `waiters` is one subscription or several: a dict for one
    would cost as much as all the rest.
    """

    crowd: Crowd = attrs.field(kw_only=True)
    waiters: Subscription | dict[Subscription, None] | None = None
    due: float | None = None
    place: Place = "new"
    listed: bool = False
    absent_at: float | None = None
    swept: bool = False

    @property
    def unfinished_at(self) -> float | None:
        """Give the last time at which it was not complete yet, if it was ever seen."""
        if self.looked_at is None or self.absent_at is None:
            return self.absent_at if self.looked_at is None else self.looked_at
        return max(self.looked_at, self.absent_at)

    def add_waiter(self, waiter: Subscription) -> bool:
        """Let one more wait for it; tells whether it did not already."""
        if self.waiters is None:
            self.waiters = waiter
        elif isinstance(self.waiters, dict):
            if waiter in self.waiters:
                return False
            self.waiters[waiter] = None
        elif self.waiters is waiter:
            return False
        else:
            self.waiters = {self.waiters: None, waiter: None}
        return True

    def drop_waiter(self, waiter: Subscription) -> bool:
        """Let one go; tells whether somebody is left."""
        if isinstance(self.waiters, dict):
            self.waiters.pop(waiter, None)
            return bool(self.waiters)
        if self.waiters is waiter:
            self.waiters = None
        return self.waiters is not None

    def has_waiter(self, waiter: Subscription) -> bool:
        """Tell whether this one waits for it now."""
        return waiter in self.waiters if isinstance(self.waiters, dict) else self.waiters is waiter

    def each_waiter(self) -> tuple[Subscription, ...]:
        """Give all who wait for it now."""
        if self.waiters is None:
            return ()
        return tuple(self.waiters) if isinstance(self.waiters, dict) else (self.waiters,)


@attrs.define(eq=False)
class Crowd:
    """Hold the waited-for jobs of one pipeline.

    `swept` counts those that bulk looks look for; `unpaid` are those of them that were due for a
    look of their own which the purse could not pay. `most` is how many there were at one time.
    """

    pipeline: str
    sweep: Sweep
    entries: dict[str, Entry] = attrs.field(factory=dict)
    swept: int = 0
    most: int = 0
    unpaid: deque[Entry] = attrs.field(factory=deque)

    def is_sweeping(self, entry: Entry) -> bool:
        """Tell whether bulk looks look for this job now, so that nothing else needs to."""
        return self.sweep.on and entry.swept and not entry.listed and not entry.in_doubt

    def reckon(self, entry: Entry) -> None:
        """See whether bulk looks may look for this job: its file_id is known and no waiter minds.

        To be called whenever one of the two may have changed.
        """
        swept = (
            entry.place != "gone"
            and entry.ref.file_id is not None
            and all(waiter.bulk_look for waiter in entry.each_waiter())
        )
        self.swept += swept - entry.swept
        entry.swept = swept
