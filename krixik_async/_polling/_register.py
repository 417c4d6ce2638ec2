"""Who waits for which job."""

from __future__ import annotations

from collections.abc import Iterable

from krixik_async._clock import Clock
from krixik_async._evidence import merged
from krixik_async._models import JobRef
from krixik_async._polling._entries import Crowd, Entry
from krixik_async._polling._planner import Planner
from krixik_async._polling._subscription import PaceChanged, Subscription
from krixik_async._polling._sweep import Sweep

# Of so many pipelines that none of their jobs is waited for is kept what bulk looks have learned,
# 2 kB each; the one left for longest goes first.
MOST_IDLE = 64


class Register:
    """Hold the waited-for jobs, one entry each however many wait for it."""

    def __init__(self, planner: Planner, *, clock: Clock, bulk_look: bool) -> None:
        self._planner = planner
        self._clock = clock
        self._bulk_look = bulk_look
        self._crowds: dict[str, Crowd] = {}
        self._idle: dict[str, Crowd] = {}
        self._listeners: dict[Subscription, None] = {}

    def __len__(self) -> int:
        """Count the jobs that are waited for."""
        return self._planner.waiting

    def add(self, waiter: Subscription, refs: Iterable[JobRef]) -> None:
        """Let a waiter wait for these jobs. Takes time linear in them, whoever else waits."""
        now, wall = self._clock.now(), self._clock.wall()
        if waiter.wants_notices:
            self._listeners[waiter] = None
        fresh: list[Entry] = []
        crowds: dict[str, Crowd] = {}
        for ref in refs:
            entry = self._entry(ref, now, wall)
            if not entry.add_waiter(waiter):
                continue
            waiter.begin(entry, now)
            entry.crowd.reckon(entry)
            crowds[ref.pipeline] = entry.crowd
            if entry.last_status is not None:
                waiter.push(entry.outcome())
            if entry.place == "new":
                fresh.append(entry)
            elif entry.place == "agenda" and not entry.in_doubt:
                self._hurry(entry)
        for crowd in crowds.values():
            self._planner.settle_sweep(crowd)
        for entry in fresh:
            self._planner.plan_first(entry)

    def drop(self, waiter: Subscription) -> None:
        """Forget a waiter, and every entry that nobody else waits for."""
        self._listeners.pop(waiter, None)
        for entry in waiter.entries:
            # With a look in flight it stays until that is back: whoever comes meanwhile adopts it.
            if not entry.drop_waiter(waiter) and entry.place not in ("asked", "gone"):
                self.forget(entry)
        waiter.entries = []
        self._planner.tidy()

    def forget(self, entry: Entry) -> None:
        """Let go of a job that has ended, or that nobody waits for any more."""
        entry.place = "gone"
        entry.due = None
        entry.waiters = None
        crowd = entry.crowd
        del crowd.entries[entry.ref.request_id]
        crowd.reckon(entry)
        self._planner.waiting -= 1
        self._planner.settle_sweep(crowd)
        if not crowd.entries:
            self._leave(crowd)

    def _leave(self, crowd: Crowd) -> None:
        """Put a crowd aside that has no jobs any more."""
        crowd.most = 0
        crowd.unpaid.clear()
        self._idle[crowd.pipeline] = self._crowds.pop(crowd.pipeline)
        if len(self._idle) > MOST_IDLE:
            del self._idle[next(iter(self._idle))]

    def fail(self, entries: Iterable[Entry], error: Exception) -> None:
        """End the waits for these jobs with an error; the jobs go on."""
        for entry in entries:
            for waiter in entry.each_waiter():
                waiter.fail(error)
            if entry.place != "gone":
                self.forget(entry)

    def everything(self) -> list[Entry]:
        """Give all entries."""
        return [entry for crowd in self._crowds.values() for entry in crowd.entries.values()]

    def notify(self, notice: PaceChanged) -> None:
        """Tell those who listen."""
        for waiter in self._listeners:
            waiter.notify(notice)

    def _hurry(self, entry: Entry) -> None:
        if not entry.crowd.is_sweeping(entry):
            self._planner.hurry(entry)

    def _entry(self, ref: JobRef, now: float, wall: float) -> Entry:
        crowd = self._crowds.get(ref.pipeline) or self._crowd(ref.pipeline)
        entry = crowd.entries.get(ref.request_id)
        if entry is None:
            # Those whose submission is unknown share one float.
            age = 0.0 if ref.submitted_at is None else max(0.0, wall - ref.submitted_at)
            entry = Entry(ref, now - age if age else now, crowd=crowd)
            crowd.entries[ref.request_id] = entry
            crowd.most = max(crowd.most, len(crowd.entries))
            self._planner.waiting += 1
        elif ref is not entry.ref:
            entry.ref = merged(entry.ref, ref)
        return entry

    def _crowd(self, pipeline: str) -> Crowd:
        """Begin a crowd, or take up again one that was put aside."""
        crowd = self._idle.pop(pipeline, None)
        if crowd is None:
            crowd = Crowd(pipeline, Sweep(enabled=self._bulk_look))
        self._crowds[pipeline] = crowd
        return crowd
