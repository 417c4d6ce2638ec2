"""Outcomes as they come, of jobs that may still be coming in.

A growing source is pulled only as far as jobs may wait: whoever takes outcomes slowly slows the
source down.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Iterator
from contextlib import suppress
from typing import Self, TypeAlias

import anyio

from krixik_async._closing import Closing
from krixik_async._errors import AuthenticationError
from krixik_async._evidence import ends_at
from krixik_async._models import JobOutcome, JobRef, WaitStatistics
from krixik_async._polling import Key, Subscription, key_of, surfaced
from krixik_async._results import WaitResult
from krixik_async._tasks import OwnedTask
from krixik_async._waiting import OnUpdate, Schedule, Waiter, tell

# How many jobs of an async iterable wait at a time, unless told otherwise.
MAX_WAITING = 1000

Read: TypeAlias = Callable[[object], JobRef]


class _Intake:
    """Take jobs in as long as there is room; knows its subscription, and not the stream."""

    def __init__(
        self,
        waiter: Waiter,
        subscription: Subscription,
        read: Read,
        *,
        timeout: float | None,
        max_waiting: int | None,
    ) -> None:
        self.is_over = False
        self.error: Exception | None = None
        self._waiter = waiter
        self._subscription = subscription
        self._read = read
        self._max_waiting = max_waiting
        # Those that may come a second time after they have ended: each comes out once.
        self._seen: set[Key] = set()
        self.in_hand = 0
        self._room = anyio.Event()
        now = waiter.clock.now()
        self._timeout_at = None if timeout is None else now + timeout
        self._last_end = now
        self._task: OwnedTask | None = None

    @property
    def until(self) -> float:
        """Give when to stop waiting: with the time-out, or at the jobs' own ends, if none come."""
        if self._timeout_at is not None:
            return self._timeout_at
        return self._last_end if self.is_over else float("inf")

    @property
    def has_room(self) -> bool:
        return self._max_waiting is None or self.in_hand < self._max_waiting

    def handed_over(self) -> None:
        """Make room: an outcome was taken."""
        self.in_hand -= 1
        self._room.set()

    def pull(self, source: Iterator[object]) -> None:
        """Take in what there is room for."""
        if self._max_waiting is None:
            # All at once, so that what several references know of one job is put together.
            self._add([self._read(job) for job in source])
            self.is_over = True
        while self.has_room and not self.is_over:
            try:
                job = next(source)
            except StopIteration:
                self.is_over = True
            else:
                self._add([self._read(job)])

    def start(self, source: AsyncIterable[object]) -> None:
        """Take in what comes, in a task of its own: cancelling a source's step would end it."""

        async def run() -> None:
            jobs = aiter(source)
            try:
                async for job in jobs:
                    self._add([self._read(job)])
                    while not self.has_room:
                        self._room = anyio.Event()
                        await self._room.wait()
                    if self.is_over:
                        break  # stopped just as there was room: what comes next is not ours
            except Exception as error:  # noqa: BLE001 - the caller's source: his to see
                self.error = error
            finally:
                self.is_over = True
                self._subscription.wake()
                if jobs is not source and isinstance(jobs, AsyncGenerator):
                    # Made for this, so ended with it; one that was handed in is the caller's.
                    with anyio.CancelScope(shield=True):
                        await jobs.aclose()

        self._task = self._waiter.tasks.spawn(run, name="krixik_async intake")

    def stop(self) -> None:
        """Take no more in. Idempotent."""
        self.is_over = True
        if self._task is not None:
            self._task.cancel()

    def _add(self, refs: list[JobRef]) -> None:
        now, wall = self._waiter.clock.now(), self._waiter.clock.wall()
        if self._max_waiting is not None:
            refs = [ref for ref in refs if key_of(ref) not in self._seen]
            self._seen.update(map(key_of, refs))
        before = self._subscription.tally.jobs
        self._subscription.add(refs)
        self.in_hand += self._subscription.tally.jobs - before
        for ref in refs:
            self._last_end = max(self._last_end, ends_at(ref, now=now, wall=wall))


class AsCompleted(Closing):
    """Yield each job's outcome once, as the jobs end; at the time-out the rest, as pending.

    An async iterator and an async context manager. Leaving it early, by break, error,
    cancellation or garbage collection, only stops the waiting: the jobs go on.
    """

    def __init__(
        self,
        waiter: Waiter,
        jobs: Iterable[object] | AsyncIterable[object],
        read: Read,
        *,
        timeout: float | None,
        on_update: OnUpdate | None,
        schedule: Schedule,
        max_waiting: int | None,
    ) -> None:
        self._waiter = waiter
        self._jobs = jobs
        self._read = read
        self._timeout = timeout
        self._on_update = on_update
        self._schedule = schedule
        self._max_waiting = max_waiting
        self._source: Iterator[object] | None = None
        # Taken but not told yet, told but not handed over: nothing is lost between the two.
        self._untold: deque[JobOutcome] = deque()
        self._ready: deque[JobOutcome] = deque()
        self._subscription: Subscription | None = None
        self._intake: _Intake | None = None
        self._closed = False

    @property
    def statistics(self) -> WaitStatistics:
        """Give what the waiting has cost so far."""
        return WaitStatistics() if self._subscription is None else self._subscription.statistics

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> JobOutcome:
        while True:
            while self._untold:
                outcome = self._untold.popleft()
                if outcome.ended:
                    self._ready.append(outcome)
                await tell(self._on_update, outcome)
            if self._ready and self._intake is not None:
                self._intake.handed_over()
                return self._ready.popleft()
            if self._closed:
                raise StopAsyncIteration
            await self._gather()

    async def _gather(self) -> None:
        subscription, intake = self._open()
        if self._source is not None and not intake.is_over:
            try:
                intake.pull(self._source)
            except StopAsyncIteration as end:
                raise surfaced(end, "the iterator of jobs") from end
        if intake.error is not None:
            error, intake.error = intake.error, None
            raise error
        if intake.is_over and not intake.in_hand:
            await self.aclose()
            return
        try:
            self._untold.extend(await subscription.take(until=intake.until))
        except AuthenticationError as error:
            error.partial = WaitResult(entry.outcome() for entry in subscription.entries)
            raise
        self._ready.extend(subscription.stopped)
        subscription.stopped.clear()
        if subscription.timed_out and not self._untold:
            self._ready.extend(entry.outcome() for entry in subscription.unfinished)
            await self.aclose()

    def _open(self) -> tuple[Subscription, _Intake]:
        if self._subscription is None or self._intake is None:
            self._subscription = self._waiter.subscribe(
                self._schedule, wants_changes=self._on_update is not None, wants_notices=False
            )
            self._intake = _Intake(
                self._waiter,
                self._subscription,
                self._read,
                timeout=self._timeout,
                max_waiting=self._max_waiting,
            )
            if isinstance(self._jobs, AsyncIterable):
                self._intake.start(self._jobs)
            else:
                self._source = iter(self._jobs)
            self._jobs = ()
        return self._subscription, self._intake

    async def aclose(self) -> None:
        """Stop waiting. Idempotent; the jobs go on."""
        self._detach()

    def _detach(self) -> None:
        self._closed = True
        if self._subscription is not None:
            self._subscription.detach()
        if self._intake is not None:
            self._intake.stop()

    def __del__(self) -> None:
        # Without a running loop there is nothing left to stop.
        with suppress(RuntimeError):
            self._detach()
