"""What the scheduler asks: the service, seen from the engine."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from krixik_async._models import JobRef, ProcessStatus


class Opening(Protocol):
    """Be the right to send one request now; the first of the calls uses it up."""

    async def status(self, ref: JobRef) -> ProcessStatus:
        """Ask how far one job is. Raises RequestNotFound and all that a call raises."""

    async def finished(self, pipeline: str, file_ids: Sequence[str]) -> Collection[str]:
        """Ask which of up to 500 files a list shows: those are finished. Absence says nothing."""

    def release(self) -> None:
        """Give it back, if it was not used. Idempotent."""


class Asker(Protocol):
    """Give openings at the pace that the service and the user's limits allow."""

    async def opening(self) -> Opening:
        """Wait until one more request may go. Cancel-safe."""

    @property
    def rate(self) -> float | None:
        """Tell the requests per second allowed now; None is without limit."""

    @property
    def throttled(self) -> int:
        """Count the "too many" answers so far."""
