"""What one client's pipelines share: the transport, the scheduler, the clock; closed as one."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import attrs

from krixik_async._asking import ServiceAsker, ask_status
from krixik_async._clock import Clock, LoopClock
from krixik_async._config import Config, Options
from krixik_async._durations import Durations
from krixik_async._models import JobRef, ProcessStatus
from krixik_async._offload import Offload, ThreadOffload
from krixik_async._polling import Scheduler
from krixik_async._tasks import TaskSet
from krixik_async._waiting import Waiter

if TYPE_CHECKING:
    import httpx

    from krixik_async._transport import Transport


@attrs.frozen(eq=False)
class Session:
    """Hold a client's resources and the one call that everything waits on."""

    transport: Transport
    scheduler: Scheduler
    tasks: TaskSet
    clock: Clock
    offload: Offload
    rng: random.Random
    config: Config = attrs.field(repr=False)
    # What its jobs carry: made once and not for each of a hundred thousand.
    account: str = attrs.field(init=False)

    @account.default
    def _account_of_config(self) -> str:
        return self.config.account

    def with_options(self, options: Options) -> Session:
        """Give one that shares everything with this and sends by other settings.

        Raises InvalidArgument, InvalidArgumentType for a value out of range.
        """
        config = attrs.evolve(self.config, **options)
        return attrs.evolve(self, transport=self.transport.with_config(config), config=config)

    def shares_with(self, other: Session) -> bool:
        """Tell whether both are of one client."""
        return self.tasks is other.tasks

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


def open_session(
    config: Config,
    *,
    clock: Clock | None,
    offload: Offload | None,
    rng: random.Random | None,
    durations: Durations | None,
    http_client: httpx.AsyncClient | None,
    http_transport: httpx.AsyncBaseTransport | None,
) -> Session:
    """Put a client's resources together; no I/O, and no running loop needed."""
    # Here and not above: httpx comes with it, which is a third of all that is imported.
    from krixik_async._transport import Transport

    clock = LoopClock() if clock is None else clock
    offload = ThreadOffload() if offload is None else offload
    # Seeded by the system: retries of many processes must not march in step.
    rng = random.Random() if rng is None else rng
    tasks = TaskSet()
    transport = Transport(
        config,
        clock=clock,
        offload=offload,
        rng=rng,
        tasks=tasks,
        http_client=http_client,
        http_transport=http_transport,
    )
    scheduler = Scheduler(
        asker=ServiceAsker(transport),
        clock=clock,
        tasks=tasks,
        rng=rng,
        durations=Durations() if durations is None else durations,
        max_looks=config.max_in_flight,
        bulk_look=config.bulk_look,
    )
    return Session(transport, scheduler, tasks, clock, offload, rng, config)
