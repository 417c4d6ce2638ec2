"""Every step of many jobs, as one stream of events."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Self, TypeAlias

import attrs

from krixik_async._closing import Closing
from krixik_async._errors import AuthenticationError, KrixikError
from krixik_async._models import JobOutcome, JobRef, WaitStatistics
from krixik_async._polling import Key, PaceChanged, Subscription, key_of
from krixik_async._results import WaitResult
from krixik_async._waiting import Schedule, Waiter


@attrs.frozen
class ModuleDone:
    """Tell that one more module of a job is done; `module` is "module_1", "module_2", ..."""

    job: JobRef
    module: str


@attrs.frozen
class JobEnded:
    """Tell what became of a job. No more events follow for it."""

    outcome: JobOutcome


@attrs.frozen
class LookFailed:
    """Tell that a look at a job failed; it is looked at again."""

    job: JobRef
    error: KrixikError


@attrs.frozen
class WatchTimedOut:
    """Tell that the wait has ended before these jobs did, which go on. The last event."""

    pending: tuple[JobOutcome, ...]


WatchEvent: TypeAlias = ModuleDone | JobEnded | LookFailed | PaceChanged | WatchTimedOut


class Watch(Closing):
    """Yield what happens to jobs: modules done, ends, failed looks, changes of pace.

    An async iterator and an async context manager. It ends when every job has ended, or with a
    `WatchTimedOut`. Leaving it early, by break, error, cancellation or garbage collection, only
    stops the waiting: the jobs go on. A slow reader misses no module and no end.
    """

    def __init__(
        self,
        waiter: Waiter,
        refs: Sequence[JobRef],
        *,
        timeout: float | None,
        schedule: Schedule,
    ) -> None:
        self._waiter = waiter
        self._refs = refs
        self._timeout = timeout
        self._schedule = schedule
        self._events: deque[WatchEvent] = deque()
        self._done: dict[Key, set[str]] = {}
        self._stopped: list[JobOutcome] = []
        self._left = 0
        self._until = 0.0
        self._subscription: Subscription | None = None
        self._closed = False

    @property
    def statistics(self) -> WaitStatistics:
        """Give what the waiting has cost so far."""
        return WaitStatistics() if self._subscription is None else self._subscription.statistics

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> WatchEvent:
        while not self._events:
            if self._closed:
                raise StopAsyncIteration
            await self._gather(self._open())
        return self._events.popleft()

    def _open(self) -> Subscription:
        if self._subscription is None:
            self._subscription = self._waiter.subscribe(
                self._schedule, wants_changes=True, wants_notices=True
            )
            self._subscription.add(self._refs)
            self._until = self._waiter.deadline(self._refs, self._timeout)
            self._left = self._subscription.tally.jobs
            self._refs = ()
        return self._subscription

    async def _gather(self, subscription: Subscription) -> None:
        if not self._left:
            await self._end(subscription)
            return
        try:
            fresh = await subscription.take(until=self._until)
        except AuthenticationError as error:
            error.partial = WaitResult(entry.outcome() for entry in subscription.entries)
            raise
        self._events.extend(subscription.notices)
        subscription.notices.clear()
        for outcome in fresh:
            self._events.extend(self._told(outcome))
        self._left -= len(subscription.stopped)
        self._stopped.extend(subscription.stopped)
        subscription.stopped.clear()
        if subscription.timed_out and not fresh:
            await self._end(subscription)

    async def _end(self, subscription: Subscription) -> None:
        pending = (*self._stopped, *(entry.outcome() for entry in subscription.unfinished))
        if pending:
            self._events.append(WatchTimedOut(pending))
        await self.aclose()

    def _told(self, outcome: JobOutcome) -> Iterator[WatchEvent]:
        key = key_of(outcome.job)
        done = self._done.setdefault(key, set())
        for module, is_done in outcome.modules.items():
            if is_done and module not in done:
                done.add(module)
                yield ModuleDone(outcome.job, module)
        if outcome.ended:
            del self._done[key]
            self._left -= 1
            yield JobEnded(outcome)
        elif outcome.error is not None:
            yield LookFailed(outcome.job, outcome.error)

    async def aclose(self) -> None:
        """Stop waiting. Idempotent; the jobs go on."""
        self._detach()

    def _detach(self) -> None:
        self._closed = True
        if self._subscription is not None:
            self._subscription.detach()

    def __del__(self) -> None:
        self._detach()
