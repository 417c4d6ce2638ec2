"""What one client's pipelines share: the transport, the scheduler, the clock; closed as one."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import attrs

from krixik_async import _wire
from krixik_async._catalogue import labels
from krixik_async._clock import Clock
from krixik_async._config import Config, Options
from krixik_async._errors import ClientClosed, KrixikError
from krixik_async._models import JobRef, ProcessStatus
from krixik_async._offload import Offload
from krixik_async._polling import Scheduler
from krixik_async._reply import Reply
from krixik_async._tasks import TaskSet
from krixik_async._waiting import Waiter

if TYPE_CHECKING:
    from krixik_async._transport import Transport, TransportSettings


def transport_settings(config: Config) -> TransportSettings:
    """Give what the transport needs to know of a client's settings."""
    from krixik_async._transport import TransportSettings

    return TransportSettings(
        **{field.name: getattr(config, field.name) for field in attrs.fields(Config)}
    )


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

    def with_options(self, options: Options) -> Session:
        """Give one that shares everything with this and sends by other settings.

        Raises InvalidArgument, InvalidArgumentType for a value out of range.
        """
        config = attrs.evolve(self.config, **options)
        transport = self.transport.with_settings(transport_settings(config))
        return attrs.evolve(self, transport=transport, config=config)

    def shares_with(self, other: Session) -> bool:
        """Tell whether both are of one client."""
        return self.tasks is other.tasks

    @property
    def waiter(self) -> Waiter:
        """Give what a wait needs."""
        return Waiter(self.scheduler, self.status, self.clock)

    async def status(self, ref: JobRef) -> ProcessStatus:
        """Ask once how far a job is. Raises RequestNotFound; see `Pipeline.process_status`."""
        expected = None if ref.module_count is None else labels(ref.module_count)

        def read(endpoint: _wire.Endpoint, reply: Reply) -> ProcessStatus:
            return _wire.read_status(
                endpoint,
                reply,
                pipeline=ref.pipeline,
                process_id=ref.request_id,
                expected=expected,
            )

        request = _wire.GetStatus(pipeline=ref.pipeline, process_id=ref.request_id)
        try:
            return await self.transport.call(request, read)
        except ClientClosed:
            # A wait begun on a closed client ends with that; it would be ridden out as an outage.
            self.scheduler.close()
            raise
        except KrixikError as error:
            error.request_id = ref.request_id
            error.fill(file_id=ref.file_id, pipeline=ref.pipeline)
            raise

    async def aclose(self) -> None:
        """End the waits, then the tasks, then the connections."""
        self.scheduler.close()
        await self.transport.aclose()
        await self.tasks.aclose()
