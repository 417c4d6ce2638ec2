"""Asking the service how far jobs are: one at a time, or by list; for the scheduler and alone."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING

from krixik_async import _wire
from krixik_async._catalogue import labels
from krixik_async._errors import KrixikError
from krixik_async._models import JobRef, ProcessStatus

if TYPE_CHECKING:
    from krixik_async._transport import Transport, Turn


class ServiceAsker:
    """Ask over a transport, at its pace: what the scheduler knows of the service."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @property
    def rate(self) -> float | None:
        """Tell the requests per second allowed now; None is without limit."""
        return self._transport.rate

    @property
    def throttled(self) -> int:
        """Count the "too many" answers so far."""
        return self._transport.statistics.throttled

    async def opening(self) -> ServiceOpening:
        """Wait until one more request may go, among all that the client sends. Cancel-safe."""
        return ServiceOpening(self._transport, await self._transport.turn())


class ServiceOpening:
    """Be the right to send one request now."""

    __slots__ = ("_transport", "_turn")

    def __init__(self, transport: Transport, turn: Turn) -> None:
        self._transport = transport
        self._turn = turn

    async def status(self, ref: JobRef) -> ProcessStatus:
        """Ask how far one job is; see `ask_status`."""
        return await ask_status(self._transport, ref, turn=self._turn)

    async def finished(self, pipeline: str, file_ids: Sequence[str]) -> Collection[str]:
        """Ask which of these files a list shows. Raises what a call raises."""
        request = _wire.ListFiles(
            pipeline=pipeline, file_ids=tuple(file_ids), max_files=len(file_ids)
        )
        found = await self._transport.call(request, _wire.read_list, turn=self._turn)
        return {record.file_id for record in found}

    def release(self) -> None:
        """Give it back, if it was not used. Idempotent."""
        self._turn.release()


async def ask_status(
    transport: Transport, ref: JobRef, *, turn: Turn | None = None
) -> ProcessStatus:
    """Ask once how far a job is; errors carry its ids. Raises RequestNotFound."""
    read = partial(
        _wire.read_status,
        pipeline=ref.pipeline,
        process_id=ref.request_id,
        expected=None if ref.module_count is None else labels(ref.module_count),
    )
    request = _wire.GetStatus(pipeline=ref.pipeline, process_id=ref.request_id)
    try:
        return await transport.call(request, read, turn=turn)
    except KrixikError as error:
        error.request_id = ref.request_id
        error.fill(file_id=ref.file_id, pipeline=ref.pipeline)
        raise
