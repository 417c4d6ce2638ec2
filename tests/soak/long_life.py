"""One client for very many calls, in virtual time on a server in process: a call leaves nothing.

--runs calls, a third each of process, process_status and wait_until_complete; the files are
deleted as they are done. Between the first tenth and the end the live objects, and what they hold,
must not have changed, and the interpreter's memory blocks by less than one in ten calls: one string
or number left behind by each call of one of the three kinds would make it one in three.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import anyio

from krixik_async import Pipeline
from krixik_async.testing import VirtualTimeLoop
from tests.faulty import Local, local
from tests.soak.living import blocks, grown, living
from tests.soak.operations import TEXT
from tests.soak.running import Run, begin

_FILES = 100
_CALLS_A_ROUND = 3 * _FILES


async def some_calls(world: Local, pipeline: Pipeline, names: Iterator[int]) -> None:
    """Send files, ask how far each is, wait for each, delete them."""
    jobs = [
        await pipeline.process(local_file_path=TEXT, file_name=f"{next(names)}.txt")
        for _ in range(_FILES)
    ]
    for job in jobs:
        await pipeline.process_status(request_id=job.request_id)
    for job in jobs:
        assert (await pipeline.wait_until_complete([job])).complete
    assert len((await world.krixik.reset_pipeline(pipeline)).deleted) == _FILES


async def live(run: Run) -> tuple[int, int]:
    """Make the calls; give how many were counted, and by how many blocks memory has grown."""
    rounds = max(2, run.runs // _CALLS_A_ROUND)
    first = max(1, rounds // 10)
    names = iter(range(rounds * _FILES))
    async with local(None) as world:
        pipeline = world.krixik.create_pipeline(name="books", module_chain=["keyword-db"])
        for number in range(rounds):
            if number == first:
                await anyio.sleep(60)
                before, taken = living(), blocks()
            await some_calls(world, pipeline, names)
        await anyio.sleep(60)
        after, taken = living(), blocks() - taken
    if more := grown(before, after):
        run.finding(f"the calls have left {more}")
    return (rounds - first) * _CALLS_A_ROUND, taken


def main() -> None:
    """Run until the end."""
    run = begin("long_life", runs=100_000)
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        calls, more = runner.run(live(run))
    if abs(more) * 10 > calls:
        run.finding(f"{calls} calls have left {more} blocks")
    run.end(calls=calls, blocks_more=more)


if __name__ == "__main__":
    main()
