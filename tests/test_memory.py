"""Nothing is kept that is not needed: live objects are counted, not bytes."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest

from krixik_async import JobRef, Krixik, KrixikError, PollPolicy
from krixik_async.testing import FaultPlan
from tests.faulty import Local, local
from tests.soak import endurance
from tests.soak.living import BOUNDED, grown, living
from tests.soak.operations import OPERATIONS, TEXT, desk

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("what_is_new")]

EACH_SECOND = PollPolicy.fixed(1)


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


async def waits_of_all_kinds(krixik: Krixik, tag: str) -> None:
    """Wait to the end, to a time-out, and leave early in every way there is."""
    books = krixik.create_pipeline(name="books", module_chain=["keyword-db"])
    jobs = [
        await books.process(local_file_path=TEXT, file_name=f"{tag}-{n}.txt") for n in range(60)
    ]
    few = jobs[:3]
    assert (await books.wait_until_complete(jobs, timeout=0)).pending
    with anyio.move_on_after(0.4):
        await books.wait_until_complete(jobs)
    with anyio.move_on_after(0.4):
        await krixik.wait_until_complete(few, poll=EACH_SECOND)
    async for _ in books.as_completed(few, poll=EACH_SECOND):
        break
    async for _ in books.watch(few):
        break
    async with books.watch(few) as watching:
        await anext(watching)
    with suppress(KrixikError):
        await krixik.wait_until_complete([JobRef(request_id=tag, pipeline="books")], timeout=3)
    copy = books.with_options(attempts=2)
    assert len((await copy.wait_until_complete(jobs)).complete) == 60


async def a_round(world: Local, folder: Path, number: int) -> None:
    """Do everything once, on faults too, and come back to where nothing is left."""
    rng = random.Random(number)
    here = await desk(world.krixik, folder, rng)
    world.plan.replace(endurance.faults(5))
    for name, operation in OPERATIONS.items():
        if name not in ("delete", "reset_pipeline", "wait_for_nothing"):
            with suppress(KrixikError):
                await operation(attrs.evolve(here, journal=f"{number}-{name}.db"))
    world.plan.replace(FaultPlan())
    await waits_of_all_kinds(world.krixik, str(number))


async def at_rest(world: Local) -> Counter[str]:
    await anyio.sleep(100)
    await world.krixik.reset_pipeline(
        world.krixik.create_pipeline(name="books", module_chain=["keyword-db"])
    )
    await anyio.sleep(100)
    return living()


async def test_a_call_leaves_nothing_alive(tmp_path: Path) -> None:
    """Neither in the client nor in the server, of some 700 calls and 400 files, under faults too.

    The first rounds fill what is kept on purpose.
    """
    async with local(None, min_module_seconds=0.5) as world:
        for number in (1, 2):
            await a_round(world, tmp_path, number)
        before = await at_rest(world)
        for number in (3, 4):
            await a_round(world, tmp_path, number)
        after = await at_rest(world)
        assert grown(before, after) == {}
    assert before["_client.Krixik"] == before["server._engine.Engine"] == 1
    assert {name for name in BOUNDED if before[name]} > {"_durations.Durations._sketches"}
