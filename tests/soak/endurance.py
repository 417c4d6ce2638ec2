"""Mixed work under mixed faults for long: memory stays flat, in client and server.

First an hour of virtual time in one process, then --seconds of real time over a socket. Each
sample is the resident memory (Linux, VmRSS); the slope is by least squares over the second half,
the first being the warming up (threads, their arenas, connections, caches).
"""

from __future__ import annotations

import asyncio
import gc
import random
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path

import anyio
import attrs

from krixik_async import FileRecordNotFound, Krixik, KrixikError
from krixik_async.testing import (
    Answer,
    Corrupt,
    Delay,
    DropAfter,
    DropBefore,
    ExpireEarly,
    FaultPlan,
    Lag,
    Refuse,
    ServerProcess,
    Throttle,
    Truncate,
    VirtualTimeLoop,
)
from tests.faulty import local
from tests.soak.operations import OPERATIONS, Desk, desk
from tests.soak.running import Run, begin, counted, resident_kib, slope_kib_per_minute

VIRTUAL_S = 3600.0
AT_ONCE = 8
# More than this is no noise: 0.25 MiB a minute would be 15 MiB an hour.
MOST_SLOPE_KIB_PER_MINUTE = 256.0
_LEAST_SAMPLES = 20


def faults(seed: int) -> FaultPlan:
    """Give a plan under which about one call in four goes wrong."""
    return FaultPlan(
        Delay(seconds=0.05, probability=0.1),
        Refuse(probability=0.03),
        DropBefore(probability=0.03),
        DropAfter(probability=0.03),
        Truncate(probability=0.03),
        Corrupt(probability=0.03),
        Answer(status=502, probability=0.03),
        Throttle(retry_after=0.2, form="float", probability=0.02),
        Lag(seconds=1, probability=0.1),
        ExpireEarly(seconds=2, probability=0.05),
        seed=seed,
    )


async def work(
    here: Desk, rng: random.Random, outcomes: Counter[str], until: float, pause_s: float
) -> None:
    """Run one operation after the other."""
    while anyio.current_time() < until:
        # What there is goes rarely, or there would be nothing to work with.
        name = rng.choice([one for one in OPERATIONS if one not in ("delete", "reset_pipeline")])
        # One for each run: what a journal that grows takes is its own.
        here = attrs.evolve(here, journal=f"journal-{rng.getrandbits(60):x}")
        try:
            await OPERATIONS[name](here)
            outcomes["result"] += 1
            if rng.random() < 1 / 200:
                await here.krixik.reset_pipeline(here.pipeline)
        except FileRecordNotFound:
            with suppress(KrixikError):
                here = await desk(here.krixik, here.folder, rng)
        except KrixikError as error:
            outcomes[type(error).__name__] += 1
        for path in here.folder.glob(f"{here.journal}*"):
            path.unlink()
        await anyio.sleep(rng.uniform(0, pause_s))


async def workers(
    here: Desk, seed: int, outcomes: Counter[str], until: float, pause_s: float
) -> None:
    """Let some of them work side by side."""
    async with anyio.create_task_group() as group:
        for number in range(AT_ONCE):
            rng = random.Random(f"{seed} {number}")
            group.start_soon(work, here, rng, outcomes, until, pause_s)


async def an_hour(seed: int, outcomes: Counter[str]) -> list[tuple[float, int]]:
    """Work for an hour of virtual time; give a sample a virtual minute."""
    samples: list[tuple[float, int]] = []
    with tempfile.TemporaryDirectory() as folder:
        async with local(None) as world:
            here = await desk(world.krixik, Path(folder), random.Random(seed))
            world.plan.replace(faults(seed))
            while world.clock.now() < VIRTUAL_S:
                await workers(here, seed, outcomes, anyio.current_time() + 60, pause_s=2)
                gc.collect()
                samples.append((world.clock.now(), resident_kib()))
    return samples


async def for_real(
    run: Run, server: ServerProcess, outcomes: Counter[str]
) -> tuple[list[tuple[float, int]], list[tuple[float, int]]]:
    """Work over a socket; give the client's samples and the server's, one every five seconds."""
    ours: list[tuple[float, int]] = []
    theirs: list[tuple[float, int]] = []

    async def sample(until: float) -> None:
        while anyio.current_time() < until:
            await anyio.sleep(5)
            ours.append((anyio.current_time(), resident_kib()))
            theirs.append((anyio.current_time(), resident_kib(str(server.pid))))

    with tempfile.TemporaryDirectory() as folder:
        async with Krixik(
            api_key=server.api_key, api_url=server.url, attempt_timeout_s=5
        ) as krixik:
            here = await desk(krixik, Path(folder), random.Random(run.seed))
            server.set_faults(faults(run.seed))
            until = anyio.current_time() + run.seconds
            async with anyio.create_task_group() as group:
                group.start_soon(sample, until)
                await workers(here, run.seed, outcomes, until, pause_s=0.1)
    return ours, theirs


def main() -> None:
    """Run until the end."""
    run = begin("endurance", runs=1, seconds=600)
    virtual, real, said = Counter[str](), Counter[str](), {}
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        samples = {"virtual_hour": runner.run(an_hour(run.seed, virtual))}
    with tempfile.TemporaryDirectory() as folder, ServerProcess(folder) as server:
        ours, theirs = anyio.run(for_real, run, server, real)
    samples |= {"real_client": ours, "real_server": theirs}
    for name, taken in samples.items():
        slope = slope_kib_per_minute(taken)
        said[name] = (
            f"{taken[0][1] / 1024:.1f} to {taken[-1][1] / 1024:.1f} MiB, {slope:+.1f} KiB/min"
        )
        if len(taken) >= _LEAST_SAMPLES and slope > MOST_SLOPE_KIB_PER_MINUTE:
            run.finding(f"{name} grows: {said[name]}")
    run.end(**said, virtual_operations=counted(virtual), real_operations=counted(real))


if __name__ == "__main__":
    main()
