"""A scheduler over a service that is a table, for the tests of what waits."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import tenacity

from krixik_async._clock import AnchoredClock
from krixik_async._durations import Durations
from krixik_async._errors import KrixikError
from krixik_async._models import JobOutcome, JobRef, ProcessStatus
from krixik_async._polling import Scheduler, Subscription
from krixik_async._tasks import TaskSet
from krixik_async._waiting import Schedule, Waiter

FIXED = tenacity.wait_fixed(1)
EACH_SECOND = Schedule(FIXED, bulk_look=False)
EPOCH = 1_000_000.0


def ref(number: int = 1) -> JobRef:
    return JobRef(request_id=f"r{number}", pipeline="p", file_id=f"f{number}")


@attrs.define
class House:
    """A scheduler over a table of moments at which each job's one module is done.

    `answer` may give an error for a status of a request_id, `list_answer` one for a list; `hidden`
    are file_ids that lists do not show, and statuses lag `status_lag_s` behind them. `per_s` is the
    pace at which requests may go.
    """

    done_at: dict[str, float] = attrs.field(factory=dict)
    answer: Callable[[str, float], KrixikError | None] = lambda _id, _now: None
    list_answer: Callable[[float], KrixikError | None] = lambda _now: None
    takes_s: float = 0.0
    max_looks: int = 64
    bulk_look: bool = True
    per_s: float | None = None
    status_lag_s: float = 0.0
    hidden: set[str] = attrs.field(factory=set)
    failed: set[str] = attrs.field(factory=set)
    looks: list[tuple[str, float]] = attrs.field(factory=list)
    lists: list[tuple[int, float]] = attrs.field(factory=list)
    busy: int = 0
    busiest: int = 0
    throttled: int = 0
    tasks: TaskSet = attrs.field(factory=TaskSet)
    clock: AnchoredClock = attrs.field(factory=lambda: AnchoredClock(EPOCH))
    durations: Durations = attrs.field(factory=Durations)
    rng: random.Random = attrs.field(factory=lambda: random.Random(20261122))
    scheduler: Scheduler = attrs.field(init=False)
    start: float = 0.0
    slot: float = 0.0

    def __attrs_post_init__(self) -> None:
        self.scheduler = Scheduler(
            asker=self,
            clock=self.clock,
            tasks=self.tasks,
            rng=self.rng,
            durations=self.durations,
            max_looks=self.max_looks,
            bulk_look=self.bulk_look,
        )
        self.start = self.clock.now()

    @property
    def now(self) -> float:
        return round(self.clock.now() - self.start, 6)

    @property
    def rate(self) -> float | None:
        return self.per_s

    async def opening(self) -> House:
        if self.per_s is not None:
            at = max(self.slot, self.now)
            self.slot = at + 1.0 / self.per_s
            await self.clock.sleep(at - self.now)
        return self

    def release(self) -> None:
        pass

    async def status(self, job: JobRef) -> ProcessStatus:
        self.looks.append((job.request_id, self.now))
        await self.work()
        return self.status_of(job)

    async def finished(self, _pipeline: str, file_ids: Sequence[str]) -> set[str]:
        assert 0 < len(file_ids) <= 500
        self.lists.append((len(file_ids), self.now))
        # What a list shows is as of when it was asked for: the worst case.
        shown = {i for i in file_ids if self.is_done("r" + i[1:]) and i not in self.hidden}
        await self.work()
        error = self.list_answer(self.now)
        if error is not None:
            raise error.with_traceback(None)
        return shown

    async def work(self) -> None:
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        try:
            await self.clock.sleep(self.takes_s)
        finally:
            self.busy -= 1

    def is_done(self, request_id: str) -> bool:
        done = self.now >= self.done_at.get(request_id, float("inf"))
        return done and request_id not in self.failed

    def status_of(self, job: JobRef) -> ProcessStatus:
        error = self.answer(job.request_id, self.now)
        if error is not None:
            raise error.with_traceback(None)
        done_at = self.done_at.get(job.request_id, float("inf"))
        done = self.now >= done_at + self.status_lag_s
        failed = done and job.request_id in self.failed
        return ProcessStatus(
            status_code=200,
            request_id="call",
            file_id=str(job.file_id),
            message="",
            pipeline=job.pipeline,
            modules={"module_1": done and not failed},
            overall_status="failed" if failed else "complete" if done else "ongoing",
        )

    def subscribe(self, *jobs: JobRef, interval: Any = FIXED, **wants: bool) -> Subscription:
        subscription = self.scheduler.subscribe(interval, **wants)
        subscription.add(jobs)
        return subscription

    @property
    def waiter(self) -> Waiter:
        return Waiter(self.scheduler, self.clock, self.tasks)

    async def take(self, subscription: Subscription, within_s: float = 1000.0) -> list[JobOutcome]:
        return await subscription.take(until=self.clock.now() + within_s)

    async def ended(self, subscription: Subscription, count: int = 1) -> list[JobOutcome]:
        outcomes: list[JobOutcome] = []
        while len(outcomes) < count:
            outcomes += [o for o in await self.take(subscription) if o.ended]
        return outcomes
