"""Mixed work under mixed faults for long: nothing piles up, in client and server.

First an hour of virtual time in one process, then --seconds of real time over a socket, both in
four quarters of work with a rest after each: faults off, all files deleted, nothing under way. What
"flat" means was laid down before the runs that are reported:

- The state of all rests is the same, so the live objects of this package, and what their lists,
  dicts and sets hold, are counted (see `living`): after the third and the fourth quarter there is
  of each as much as after the second. What is kept on purpose stays within its bound.
- The memory of a process that is no file's (Linux, RssAnon) is sampled while it works. The slope
  over the second half plus its 95 % margin is below 64 KiB a minute. That is 4 MiB an hour, less
  than a tenth of what the process takes; a limit of none would be missed by an allocator that
  settles for long. What is finer than that is for the counts to show.

glibc gives each thread an arena of its own, which keeps what the thread's busiest moment took. As
threads come and go that goes on rising for long, and says nothing of what is in use (see
docs/reliability.md); so both processes are run with one arena, MALLOC_ARENA_MAX=1, if the
environment does not say otherwise. Decided after the first four runs, which missed the limit.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
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
from tests.soak.living import grown, living
from tests.soak.operations import OPERATIONS, Desk, desk
from tests.soak.running import Run, begin, counted, own_kib, slope_kib_per_minute
from tests.soak.watched import WHERE

VIRTUAL_S = 3600.0
AT_ONCE = 8
QUARTERS = 4
MOST_SLOPE_KIB_PER_MINUTE = 64.0
SAMPLE_S = 5.0
ARENAS = "MALLOC_ARENA_MAX"
# Tickets have ended by then, and what has ended is swept.
_TICKET_S = 5.0
_REST_S = 15.0


@attrs.define
class Seen:
    """Hold what was seen of one process."""

    samples: list[tuple[float, int]] = attrs.field(factory=list)
    counts: list[Mapping[str, int]] = attrs.field(factory=list)
    outcomes: Counter[str] = attrs.field(factory=Counter)


class Watched(ServerProcess):
    """Be a server that tells what is alive in it."""

    _program = "tests.soak.watched"

    def living(self) -> Mapping[str, int]:
        """Ask it, and wait; there is nothing else to do at rest."""
        path = Path(os.environ[WHERE])
        path.unlink(missing_ok=True)
        assert self.pid is not None
        os.kill(self.pid, signal.SIGUSR1)
        while not path.exists():
            time.sleep(0.05)
        counts: Mapping[str, int] = json.loads(path.read_text(encoding="utf-8"))["counts"]
        return counts


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


async def work(
    here: Desk, rng: random.Random, outcomes: Counter[str], until: float, pause_s: float
) -> None:
    """Run one operation after the other."""
    while anyio.current_time() < until:
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


async def workers(
    here: Desk, seed: str, outcomes: Counter[str], until: float, pause_s: float
) -> None:
    """Let some of them work side by side."""
    async with anyio.create_task_group() as group:
        for number in range(AT_ONCE):
            rng = random.Random(f"{seed} {number}")
            group.start_soon(work, here, rng, outcomes, until, pause_s)


async def rest(krixik: Krixik) -> None:
    """Come to where no file is on record and nothing is under way; without faults."""
    pipeline = krixik.create_pipeline(name="books", module_chain=["keyword-db"])
    await anyio.sleep(_REST_S)
    while await pipeline.list(symbolic_directory_paths=["/*"]):
        await krixik.reset_pipeline(pipeline)
    await anyio.sleep(1)


async def an_hour(seed: int) -> Mapping[str, Seen]:
    """Work for an hour of virtual time; sample each virtual minute."""
    seen = Seen()
    with tempfile.TemporaryDirectory() as folder:
        async with local(None) as world:
            for quarter in range(QUARTERS):
                here = await desk(world.krixik, Path(folder), random.Random(f"{seed} {quarter}"))
                world.plan.replace(faults(seed + quarter))
                until = anyio.current_time() + VIRTUAL_S / QUARTERS
                while (now := anyio.current_time()) < until:
                    await workers(here, f"{seed} {now}", seen.outcomes, min(now + 60, until), 2)
                    seen.samples.append((world.clock.now(), own_kib()))
                world.plan.replace(FaultPlan())
                del here
                await rest(world.krixik)
                seen.counts.append(living())
    return {"virtual hour": seen}


async def for_real(run: Run, server: Watched) -> Mapping[str, Seen]:
    """Work over a socket; sample client and server every five seconds."""
    ours, theirs = Seen(), Seen()

    async def sample(until: float) -> None:
        while anyio.current_time() < until:
            await anyio.sleep(SAMPLE_S)
            at = SAMPLE_S * len(ours.samples)
            ours.samples.append((at, own_kib()))
            theirs.samples.append((at, own_kib(str(server.pid))))

    with tempfile.TemporaryDirectory() as folder:
        async with Krixik(
            api_key=server.api_key, api_url=server.url, attempt_timeout_s=5
        ) as krixik:
            for quarter in range(QUARTERS):
                here = await desk(krixik, Path(folder), random.Random(f"{run.seed} {quarter}"))
                server.set_faults(faults(run.seed + quarter))
                until = anyio.current_time() + run.seconds / QUARTERS
                async with anyio.create_task_group() as group:
                    group.start_soon(sample, until)
                    await workers(here, f"{run.seed} {quarter}", ours.outcomes, until, 0.1)
                server.set_faults(FaultPlan())
                del here
                await rest(krixik)
                ours.counts.append(living())
                theirs.counts.append(server.living())
    return {"real client": ours, "real server": theirs}


def judge(run: Run, name: str, seen: Seen) -> str:
    """Hold one process against what was laid down; give its figures."""
    half = QUARTERS // 2
    for number, counts in enumerate(seen.counts[half:], half + 1):
        more = grown(seen.counts[half - 1], counts)
        if more:
            run.finding(f"{name} keeps {more} after quarter {number}, over quarter {half}")
    slope, margin = slope_kib_per_minute(seen.samples)
    first, last = (kib / 1024 for _, kib in (seen.samples[0], seen.samples[-1]))
    said = f"{first:.1f} to {last:.1f} MiB, {slope:+.0f} +-{margin:.0f} KiB/min"
    if MOST_SLOPE_KIB_PER_MINUTE < slope + margin < float("inf"):
        run.finding(f"{name} grows: {said}")
    return said


def main() -> None:
    """Run until the end."""
    if ARENAS not in os.environ:
        # It is read when a process starts.
        again = [sys.executable, "-m", "tests.soak.endurance", *sys.argv[1:]]
        os.execve(sys.executable, again, {**os.environ, ARENAS: "1"})
    run = begin("endurance", runs=1, seconds=600)
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        seen = dict(runner.run(an_hour(run.seed)))
    with tempfile.TemporaryDirectory() as folder:
        os.environ[WHERE] = str(Path(folder, "living.json"))
        with Watched(Path(folder, "data"), ticket_seconds=_TICKET_S) as server:
            seen |= anyio.run(for_real, run, server)
    said = {name: judge(run, name, one) for name, one in seen.items()}
    for name in ("virtual hour", "real client"):
        said[f"{name} operations"] = counted(seen[name].outcomes)
    run.end(**said)


if __name__ == "__main__":
    main()
