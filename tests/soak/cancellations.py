"""Calls in flight cancelled at random moments: the client stays healthy, nothing leaks."""

from __future__ import annotations

import gc
import random
import socket
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.lowlevel

from krixik_async import Krixik, KrixikError
from krixik_async.testing import Delay, FaultPlan, ServerProcess
from tests.soak.operations import OPERATIONS, Desk, desk
from tests.soak.running import Run, begin, counted

AT_ONCE = 24
MAX_IN_FLIGHT = 16
# Half of the calls take a little longer, so that cancelling meets them at every stage.
PLAN = FaultPlan(Delay(probability=0.5, seconds=0.004), seed=1)
_SETTLE_S = 10.0


def sockets(process: str = "self") -> int:
    """Count a process's open sockets."""
    count = 0
    for handle in Path(f"/proc/{process}/fd").iterdir():
        with suppress(OSError):  # the one that listed the folder is gone by now
            count += str(handle.readlink()).startswith("socket:")
    return count


def half_written(folder: Path) -> list[str]:
    """Give the names of temporary files of downloads."""
    return [path.name for path in folder.iterdir() if path.name.endswith("krixik-part")]


async def _one(here: Desk, rng: random.Random, outcomes: Counter[str]) -> None:
    name = rng.choice([one for one in OPERATIONS if one not in ("delete", "reset_pipeline")])
    # From at once to later than most calls take: on average in the middle of one.
    after_s = rng.choice([0.0, rng.uniform(0, 0.004), rng.expovariate(1 / 0.06)])
    with anyio.move_on_after(after_s) as scope:
        try:
            await OPERATIONS[name](here)
            outcomes["finished"] += 1
        except KrixikError as error:
            outcomes[type(error).__name__] += 1
    if scope.cancelled_caught:
        outcomes["cancelled"] += 1


async def settled(krixik: Krixik) -> tuple[int, int]:
    """Wait for what cancelled calls left to end by itself; give (permits out, tasks)."""
    session = krixik._session
    exchanges = session.transport._exchanges
    with anyio.move_on_after(_SETTLE_S):
        while exchanges._permits.free < MAX_IN_FLIGHT or len(session.tasks):  # noqa: ASYNC110
            await anyio.sleep(0.01)
    return MAX_IN_FLIGHT - exchanges._permits.free, len(session.tasks)


async def cancel_many(
    server: ServerProcess, run: Run, rng: random.Random, wanted: int
) -> Counter[str]:
    """Cancel that many calls of one client; note whatever is left behind."""
    outcomes: Counter[str] = Counter()
    before = sockets()
    with tempfile.TemporaryDirectory() as folder:
        async with Krixik(
            api_key=server.api_key, api_url=server.url, max_in_flight=MAX_IN_FLIGHT
        ) as krixik:
            here = await desk(krixik, Path(folder), rng, name=f"b{rng.getrandbits(60):x}")
            began = time.monotonic()
            while outcomes["cancelled"] < wanted and time.monotonic() - began < run.seconds:
                async with anyio.create_task_group() as group:
                    for _ in range(AT_ONCE):
                        group.start_soon(_one, here, rng, outcomes)
                with anyio.move_on_after(_SETTLE_S):
                    await krixik.check_in()
                    outcomes["healthy"] += 1
            outcomes["requests"] += krixik._session.transport.statistics.requests
            left = await settled(krixik)
            if left != (0, 0):
                run.finding(f"(permits, tasks) left behind: {left}")
            if (open_now := sockets() - before) > MAX_IN_FLIGHT + 2:
                run.finding(f"{open_now} sockets for {MAX_IN_FLIGHT} calls at once")
            if stray := half_written(Path(folder)):
                run.finding(f"half-written downloads left behind: {stray}")
    gc.collect()
    await anyio.sleep(0.05)
    if sockets() != before:
        run.finding(f"{sockets() - before} sockets left open")
    return outcomes


def cancel_on(backend: str, server: ServerProcess, run: Run, wanted: int) -> Counter[str]:
    """Run it on one backend."""
    # Both make a pair of sockets of their own, and trio keeps threads: begin with them there.
    anyio.run(anyio.sleep, 0, backend=backend)
    return anyio.run(
        cancel_many, server, run, random.Random(f"{backend} {run.seed}"), wanted, backend=backend
    )


def main() -> None:
    """Run until the end; --runs is cancellations on each backend."""
    run = begin("cancellations", runs=10_000, seconds=900)
    socket.setdefaulttimeout(30)
    said = {}
    with tempfile.TemporaryDirectory() as folder:
        for backend in ("asyncio", "trio"):
            with ServerProcess(Path(folder) / backend, faults=PLAN) as server:
                outcomes = cancel_on(backend, server, run, run.runs)
            if outcomes["cancelled"] < run.runs:
                run.finding(f"only {outcomes['cancelled']} cancellations on {backend}")
            said[backend] = counted(outcomes)
    run.end(**said)


if __name__ == "__main__":
    main()
