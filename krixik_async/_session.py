"""What one client's pipelines share: the transport, the scheduler, the clock; closed as one."""

from __future__ import annotations

import random

import attrs

from krixik_async._asking import ask_status
from krixik_async._clock import Clock
from krixik_async._models import JobRef, ProcessStatus
from krixik_async._offload import Offload
from krixik_async._polling import Scheduler
from krixik_async._tasks import TaskSet
from krixik_async._transport import Transport
from krixik_async._waiting import Waiter


@attrs.frozen(eq=False)
class Session:
    """Hold a client's resources and the one call that everything waits on."""

    transport: Transport
    scheduler: Scheduler
    tasks: TaskSet
    clock: Clock
    offload: Offload
    rng: random.Random

    @property
    def waiter(self) -> Waiter:
        """Give what a wait needs."""
        return Waiter(self.scheduler, self.clock, self.tasks)

    async def status(self, ref: JobRef) -> ProcessStatus:
        """Ask once how far a job is. Raises RequestNotFound; see `Pipeline.process_status`."""
        return await ask_status(self.transport, ref)

    async def aclose(self) -> None:
        """End the waits, then the tasks, then the connections."""
        self.scheduler.close()
        await self.transport.aclose()
        await self.tasks.aclose()
