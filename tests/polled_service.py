"""A scheduler over a service that is a table, for the tests of what waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import tenacity

from krixik_async._clock import AnchoredClock
from krixik_async._errors import KrixikError
from krixik_async._models import JobOutcome, JobRef, ProcessStatus
from krixik_async._polling import Scheduler, Subscription
from krixik_async._tasks import TaskSet
from krixik_async._waiting import Waiter

FIXED = tenacity.wait_fixed(1)
EPOCH = 1_000_000.0


def ref(number: int = 1) -> JobRef:
    return JobRef(request_id=f"r{number}", pipeline="p", file_id=f"f{number}")


@attrs.define
class House:
    """A scheduler over a table of moments at which each job's one module is done."""

    done_at: dict[str, float] = attrs.field(factory=dict)
    answer: Callable[[str, float], KrixikError | None] = lambda _id, _now: None
    takes_s: float = 0.0
    max_looks: int = 64
    looks: list[tuple[str, float]] = attrs.field(factory=list)
    busy: int = 0
    busiest: int = 0
    tasks: TaskSet = attrs.field(factory=TaskSet)
    clock: AnchoredClock = attrs.field(factory=lambda: AnchoredClock(EPOCH))
    scheduler: Scheduler = attrs.field(init=False)
    start: float = 0.0

    def __attrs_post_init__(self) -> None:
        self.scheduler = Scheduler(clock=self.clock, tasks=self.tasks, max_looks=self.max_looks)
        self.start = self.clock.now()

    @property
    def now(self) -> float:
        return round(self.clock.now() - self.start, 6)

    async def check(self, job: JobRef) -> ProcessStatus:
        self.looks.append((job.request_id, self.now))
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        try:
            await self.clock.sleep(self.takes_s)
        finally:
            self.busy -= 1
        error = self.answer(job.request_id, self.now)
        if error is not None:
            raise error
        done = self.now >= self.done_at.get(job.request_id, float("inf"))
        return ProcessStatus(
            status_code=200,
            request_id="call",
            file_id=str(job.file_id),
            message="",
            pipeline=job.pipeline,
            modules={"module_1": done},
            overall_status="complete" if done else "ongoing",
        )

    def subscribe(self, *jobs: JobRef, interval: Any = FIXED) -> Subscription:
        return self.scheduler.subscribe(jobs, self.check, interval)

    @property
    def waiter(self) -> Waiter:
        return Waiter(self.scheduler, self.check, self.clock)

    async def take(self, subscription: Subscription, within_s: float = 1000.0) -> list[JobOutcome]:
        return await subscription.take(until=self.clock.now() + within_s)

    async def ended(self, subscription: Subscription, count: int = 1) -> list[JobOutcome]:
        outcomes: list[JobOutcome] = []
        while len(outcomes) < count:
            outcomes += [o for o in await self.take(subscription) if o.ended]
        return outcomes
