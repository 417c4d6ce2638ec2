"""A client of a server that goes wrong as a plan says: in process, or over a socket."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs

from krixik_async import Krixik
from krixik_async._clock import AnchoredClock
from krixik_async._offload import InlineOffload
from krixik_async.testing import FaultPlan

EPOCH = 1_780_000_000.0
TEXT = b"It was a bright cold day in April, and the clocks were striking thirteen.\n" * 20


@attrs.frozen
class Local:
    """Hold a client in virtual time, its server's plan, and its clock."""

    krixik: Krixik
    plan: FaultPlan
    clock: AnchoredClock


@asynccontextmanager
async def local(folder: Path | None = None, *faults: Any, **settings: Any) -> AsyncIterator[Local]:
    """Run server and client in process, in the virtual time of the test's backend."""
    clock, plan = AnchoredClock(EPOCH), FaultPlan(*faults, seed=7)
    clock.wall()  # time runs from here
    async with Krixik.local(
        folder, faults=plan, clock=clock, offload=InlineOffload(), rng=random.Random(5), **settings
    ) as krixik:
        yield Local(krixik, plan, clock)
