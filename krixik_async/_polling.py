"""One scheduler for all jobs a client waits for: one heap, one task, many waiters.

Invariants:
- a job waited for by several callers has one entry, and is asked for once;
- at most `max_looks` looks are in flight;
- a waiter that goes away (done, cancelled, dropped) only detaches; the entry goes with its last
  waiter and the look in flight, the job itself is never touched;
- nothing is held open between waits: the pump is a free-standing task of the client, alive only
  while there are entries;
- rejected credentials end every wait, for they end every look.

It takes a `check` callable and knows no HTTP.
"""

from __future__ import annotations

import heapq
import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, TypeAlias

import anyio
import attrs

from krixik_async._clock import Clock
from krixik_async._errors import AuthenticationError, ClientClosed, KrixikError
from krixik_async._models import JobOutcome, JobRef, ProcessStatus
from krixik_async._policy import (
    Watched,
    delay_by,
    merged,
    next_look,
    note_error,
    note_status,
)
from krixik_async._tasks import TaskSet

logger = logging.getLogger("krixik_async")

Check: TypeAlias = Callable[[JobRef], Awaitable[ProcessStatus]]
Interval: TypeAlias = Callable[[Any], float]
Key: TypeAlias = tuple[str, str]


def key_of(ref: JobRef) -> Key:
    """Give what two references to one job have in common."""
    return (ref.pipeline, ref.request_id)


class Subscription:
    """Be one waiter's end: gathers the latest outcome of each of its jobs until taken."""

    def __init__(self, scheduler: Scheduler, interval: Interval) -> None:
        self.interval = interval
        self.keys: set[Key] = set()
        self._scheduler = scheduler
        self._fresh: dict[Key, JobOutcome] = {}
        self._event = anyio.Event()
        self._error: Exception | None = None

    def push(self, outcome: JobOutcome) -> None:
        """Take an outcome in; an older one of the same job that was not taken yet is replaced."""
        self._fresh[key_of(outcome.job)] = outcome
        self._event.set()

    def fail(self, error: Exception) -> None:
        """End the wait with an error, once what was gathered has been taken."""
        self._error = error
        self._event.set()

    async def take(self, *, until: float) -> list[JobOutcome]:
        """Give what is new, waiting for it until the monotonic time `until`; then an empty list.

        Raises what `fail` was given. Cancel-safe: nothing is lost.
        """
        with anyio.CancelScope(deadline=until):
            await self._event.wait()
        if not self._fresh and self._error is not None:
            raise self._error
        fresh = list(self._fresh.values())
        self._fresh.clear()
        if self._error is None:
            self._event = anyio.Event()
        return fresh

    def detach(self) -> None:
        """Stop listening; the jobs go on. Idempotent, never blocks."""
        self._scheduler.detach(self)


@attrs.define(eq=False)
class Entry:
    """Hold one waited-for job in the scheduler; `due` None while a look is in flight."""

    watched: Watched
    check: Check
    waiters: list[Subscription]
    due: float | None


class Scheduler:
    """Ask for many jobs, each when its schedule says so, and tell whoever waits."""

    def __init__(self, *, clock: Clock, tasks: TaskSet, max_looks: int) -> None:
        self._clock = clock
        self._tasks = tasks
        self._max_looks = max_looks
        self._entries: dict[Key, Entry] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._sequence = 0
        self._looking = 0
        self._pumping = False
        self._changed: anyio.Event | None = None

    def __len__(self) -> int:
        return len(self._entries)

    def subscribe(self, refs: Iterable[JobRef], check: Check, interval: Interval) -> Subscription:
        """Wait for these jobs; the first look of each is due at once."""
        subscription = Subscription(self, interval)
        now, wall = self._clock.now(), self._clock.wall()
        for ref in refs:
            key = key_of(ref)
            entry = self._entries.get(key)
            if entry is None:
                age = 0.0 if ref.submitted_at is None else max(0.0, wall - ref.submitted_at)
                entry = self._entries[key] = Entry(Watched(ref, now - age), check, [], None)
                self._push(entry, now)
            else:
                entry.watched.ref = merged(entry.watched.ref, ref)
                if entry.due is not None and entry.due > now and not entry.watched.in_doubt:
                    self._push(entry, now)
            if entry.watched.last_status is not None:
                subscription.push(entry.watched.outcome())
            if key not in subscription.keys:
                subscription.keys.add(key)
                entry.waiters.append(subscription)
        self._wake()
        return subscription

    def detach(self, subscription: Subscription) -> None:
        """Forget a waiter, and every entry that nobody else waits for."""
        for key in subscription.keys:
            entry = self._entries.get(key)
            if entry is None or subscription not in entry.waiters:
                continue
            entry.waiters.remove(subscription)
            # With a look in flight it stays until that is back: whoever comes meanwhile adopts it.
            if not entry.waiters and entry.due is not None:
                del self._entries[key]
        subscription.keys.clear()
        if self._changed is not None:
            self._changed.set()

    def close(self) -> None:
        """End every wait with ClientClosed; the jobs go on."""
        self._fail_all(ClientClosed("the client was closed while jobs were waited for"))

    def _fail_all(self, error: Exception) -> None:
        waiters = {id(w): w for entry in self._entries.values() for w in entry.waiters}
        self._entries.clear()
        self._heap.clear()
        for waiter in waiters.values():
            waiter.fail(error)

    def _push(self, entry: Entry, due: float) -> None:
        entry.due = due
        self._sequence += 1
        heapq.heappush(self._heap, (due, self._sequence, key_of(entry.watched.ref)))

    def _wake(self) -> None:
        if not self._pumping and self._entries:
            self._pumping = True
            self._changed = anyio.Event()
            self._tasks.spawn(self._pump, name="krixik_async polling")
        elif self._changed is not None:
            self._changed.set()

    async def _pump(self) -> None:
        try:
            while self._entries:
                self._changed = changed = anyio.Event()
                self._start_due_looks()
                with anyio.CancelScope(deadline=self._next_due()):
                    await changed.wait()
        finally:
            self._pumping = False
            self._changed = None

    def _next_due(self) -> float:
        free = self._looking < self._max_looks
        return self._heap[0][0] if free and self._heap else float("inf")

    def _start_due_looks(self) -> None:
        now = self._clock.now()
        while self._heap and self._looking < self._max_looks and self._heap[0][0] <= now:
            due, _, key = heapq.heappop(self._heap)
            entry = self._entries.get(key)
            if entry is None or entry.due != due:
                continue  # left behind by a detached or moved-up entry
            entry.due = None
            self._looking += 1
            self._tasks.spawn(partial(self._look, entry), name="krixik_async look")

    async def _look(self, entry: Entry) -> None:
        key = key_of(entry.watched.ref)
        try:
            changed = await self._ask(entry)
            if self._entries.get(key) is entry:
                self._settle(key, entry, changed)
        except Exception as error:  # noqa: BLE001 - handed to whoever waits, as it is
            # A bug of ours: the waits must end, not hang.
            self._entries.pop(key, None)
            for waiter in entry.waiters:
                waiter.fail(error)
        finally:
            self._looking -= 1
            if self._changed is not None:
                self._changed.set()

    async def _ask(self, entry: Entry) -> bool:
        try:
            status = await entry.check(entry.watched.ref)
        except AuthenticationError as error:
            self._fail_all(error)
            return False
        except KrixikError as error:
            logger.debug("a look at %s failed: %s", entry.watched.ref.request_id, error)
            return note_error(entry.watched, error, now=self._clock.now(), wall=self._clock.wall())
        return note_status(entry.watched, status)

    def _settle(self, key: Key, entry: Entry, changed: bool) -> None:
        watched = entry.watched
        now, wall = self._clock.now(), self._clock.wall()
        delays = [] if watched.ended else self._delays(entry, now)
        if delays:
            self._push(entry, next_look(watched, delays, now=now, wall=wall))
        else:
            del self._entries[key]  # it has ended, or everybody has left meanwhile
        if changed:
            for waiter in entry.waiters:
                waiter.push(watched.outcome())

    def _delays(self, entry: Entry, now: float) -> list[float]:
        delays: list[float] = []
        for waiter in tuple(entry.waiters):
            try:
                delays.append(delay_by(entry.watched, waiter.interval, now))
            except Exception as error:  # noqa: BLE001 - a schedule of that caller's own: his to see
                entry.waiters.remove(waiter)
                waiter.fail(error)
        return delays
