"""Mixed work under mixed faults for long: nothing piles up, in client and server.

First two hours of virtual time in one process, then --seconds of work in real time over a socket,
both in --runs spells with a rest after each: faults off, all files deleted, nothing under way. Each
process is weighed at each rest (see `weighing`). The first half is for warming up: a client and its
interpreter take some 1,800 operations until all tables they keep have come to their size. The
second half is judged, an hour of virtual and a quarter of real time. What "flat" means was laid
down before the runs that are reported:

- The live objects of this package, and what their lists, dicts and sets hold, are at each rest of
  the second half as many as at the last one of the first. What is kept on purpose stays within its
  bound (see `living`).
- For each minute of work, by the slope over the rests of the second half plus its 95 % margin:

  - resident memory that is no file's (Linux, RssAnon) grows by less than 64 KiB. That is 4 MiB an
    hour, less than a tenth of what the process takes;
  - what malloc has given out (glibc) by less than 16 KiB, a quarter of that: it has not the noise
    of what the allocator keeps for later;
  - the interpreter's memory blocks by less than 512: at some 64 bytes each, 32 KiB. There are more
    requests than that in a minute, so one block left by each is too many.

Rests do not count as time, which makes this stricter than the clock would be. From one to the next
what malloc has given out differs by some 40 KiB, the blocks by some 500: 16 rests in a quarter of
an hour give margins of about 5 KiB and 60 blocks.

Spells are counted in seconds that the process was awake: a machine that stops it for a while only
makes the run longer. Both processes are run with one arena of glibc's, MALLOC_ARENA_MAX=1, if the
environment does not say otherwise: each thread would keep what its busiest moment took.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

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
from tests.soak.living import grown
from tests.soak.operations import OPERATIONS, Desk, desk
from tests.soak.running import Run, begin, counted, slope_with_margin
from tests.soak.watched import WHERE
from tests.soak.weighing import Weight, weigh

_T = TypeVar("_T")

VIRTUAL_S = 7200.0
AT_ONCE = 8
# Most of what may grow in a minute of work, margin included.
LIMITS: Mapping[str, float] = {"resident_kib": 64.0, "malloc_kib": 16.0, "blocks": 512.0}
ARENAS = "MALLOC_ARENA_MAX"
# Tickets have ended by then, and what has ended is swept, which is done every five seconds.
_TICKET_S = 5.0
_REST_S = 11.0
# A call at rest that fails was cut off by the machine, which had stopped a process.
_TRIES = 5


@attrs.define
class Seen:
    """Hold what was seen of one process: its weight at each rest, by minutes of work till then.

    Counts are compared at once and those of one rest kept: else they would be what grows.
    """

    half: int
    rests: list[tuple[float, Weight]] = attrs.field(factory=list)
    counts: Mapping[str, int] = attrs.field(factory=dict)
    kept: list[str] = attrs.field(factory=list)
    outcomes: Counter[str] = attrs.field(factory=Counter)

    def note(self, minutes: float, weight: Weight) -> None:
        """Add what was weighed at one more rest."""
        self.rests.append((minutes, attrs.evolve(weight, counts={})))
        number = len(self.rests)
        if number == self.half:
            self.counts = weight.counts
        elif number > self.half and (more := grown(self.counts, weight.counts)):
            self.kept.append(f"{more} at rest {number}, over rest {self.half}")


class Watched(ServerProcess):
    """Be a server that tells what it has at rest."""

    _program = "tests.soak.watched"

    def weigh(self) -> Weight:
        """Ask it, and wait; there is nothing else to do at rest."""
        path = Path(os.environ[WHERE])
        path.unlink(missing_ok=True)
        assert self.pid is not None
        os.kill(self.pid, signal.SIGUSR1)
        while not path.exists():
            time.sleep(0.05)
        return Weight(**json.loads(path.read_text(encoding="utf-8")))


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
        Throttle(retry_after=0.2, form="float", probability=0.002),
        Lag(seconds=1, probability=0.1),
        ExpireEarly(seconds=2, probability=0.05),
        seed=seed,
    )


async def work(here: Desk, rng: random.Random, outcomes: Counter[str], pause_s: float) -> None:
    """Run one operation after the other, until cancelled."""
    while True:
        # As many files come as go: lists of ever more files would take ever more memory.
        name = rng.choice([one for one in OPERATIONS if one not in ("delete", "reset_pipeline")])
        # One for each run: what a journal that grows takes is its own.
        here = attrs.evolve(here, journal=f"journal-{rng.getrandbits(60):x}")
        try:
            await OPERATIONS[name](here)
            outcomes["result"] += 1
            if rng.random() < 1 / 30:
                await here.krixik.reset_pipeline(here.pipeline)
        except FileRecordNotFound:
            with suppress(KrixikError):
                here = await desk(here.krixik, here.folder, rng)
        except KrixikError as error:
            outcomes[type(error).__name__] += 1
        # By name: each pattern to look for would be kept, compiled, by the standard library.
        for end in ("", "-wal", "-shm"):
            (here.folder / f"{here.journal}{end}").unlink(missing_ok=True)
        await anyio.sleep(rng.uniform(0, pause_s))


async def spell(
    here: Desk, seed: str, outcomes: Counter[str], seconds: float, pause_s: float
) -> None:
    """Let some of them work side by side, for so many seconds awake; then cancel them."""
    async with anyio.create_task_group() as group:
        for number in range(AT_ONCE):
            rng = random.Random(f"{seed} {number}")
            group.start_soon(work, here, rng, outcomes, pause_s)
        for _ in range(math.ceil(seconds)):
            await anyio.sleep(seconds / math.ceil(seconds))
        group.cancel_scope.cancel()


async def insist(call: Callable[[], Awaitable[_T]]) -> _T:
    """Make a call that is to succeed."""
    for _ in range(_TRIES - 1):
        with suppress(KrixikError, OSError):
            return await call()
    return await call()


async def rest(krixik: Krixik) -> None:
    """Come to where no file is on record and nothing is under way; without faults."""
    pipeline = krixik.create_pipeline(name="books", module_chain=["keyword-db"])
    await anyio.sleep(_REST_S)
    while await insist(lambda: pipeline.list(symbolic_directory_paths=["/*"])):
        await insist(lambda: krixik.reset_pipeline(pipeline))
    await anyio.sleep(1)


async def spells(
    run: Run, krixik: Krixik, seconds: float, pause_s: float, plan: Callable[[FaultPlan], object]
) -> AsyncIterator[tuple[float, Counter[str]]]:
    """Work and rest by turns; give at each rest the minutes of work, and what the spell came to."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(run.runs):
            seed, outcomes = f"{run.seed} {number}", Counter[str]()
            here = await insist(partial(desk, krixik, Path(folder), random.Random(seed)))
            plan(faults(run.seed + number))
            await spell(here, seed, outcomes, seconds / run.runs, pause_s)
            plan(FaultPlan())
            del here
            await rest(krixik)
            yield (number + 1) * seconds / run.runs / 60, outcomes


async def two_hours(run: Run) -> Mapping[str, Seen]:
    """Work in virtual time: an hour to warm up, an hour that is judged."""
    seen = Seen(run.runs // 2)
    async with local(None) as world:
        async for minutes, outcomes in spells(run, world.krixik, VIRTUAL_S, 2, world.plan.replace):
            seen.outcomes += outcomes
            seen.note(minutes, weigh())
    return {"virtual hour": seen}


async def for_real(run: Run, server: Watched) -> Mapping[str, Seen]:
    """Work over a socket."""
    ours, theirs = Seen(run.runs // 2), Seen(run.runs // 2)
    async with Krixik(api_key=server.api_key, api_url=server.url, attempt_timeout_s=5) as krixik:
        async for minutes, outcomes in spells(run, krixik, run.seconds, 0.1, server.set_faults):
            ours.outcomes += outcomes
            ours.note(minutes, weigh())
            theirs.note(minutes, server.weigh())
    return {"real client": ours, "real server": theirs}


def judge_memory(run: Run, name: str, seen: Seen) -> str:
    """Hold the memory of one process against what was laid down; give its figures."""
    said = []
    for what, limit in LIMITS.items():
        points = [(minutes, getattr(weight, what)) for minutes, weight in seen.rests]
        if points[0][1] is None:
            continue
        slope, margin = slope_with_margin(points[seen.half :])
        levels = "/".join(f"{points[at][1]:.0f}" for at in (0, seen.half - 1, -1))
        figures = f"{what} {levels}, {slope:+.1f} +-{margin:.1f} a minute"
        said.append(figures)
        if slope + margin >= limit:
            run.finding(f"{name} grows: {figures}")
    return "; ".join(said)


def main() -> None:
    """Run until the end."""
    if ARENAS not in os.environ:
        # It is read when a process starts.
        again = [sys.executable, "-m", "tests.soak.endurance", *sys.argv[1:]]
        os.execve(sys.executable, again, {**os.environ, ARENAS: "1"})
    run = begin("endurance", runs=32, seconds=1800)
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        seen = dict(runner.run(two_hours(run)))
    with tempfile.TemporaryDirectory() as folder:
        os.environ[WHERE] = str(Path(folder, "weight.json"))
        with Watched(Path(folder, "data"), ticket_seconds=_TICKET_S) as server:
            seen |= anyio.run(for_real, run, server)
    said = {}
    for name, one in seen.items():
        for more in one.kept:
            run.finding(f"{name} keeps {more}")
        said[name] = judge_memory(run, name, one)
    for name in ("virtual hour", "real client"):
        said[f"{name} operations"] = counted(seen[name].outcomes)
    run.end(**said)


if __name__ == "__main__":
    main()
