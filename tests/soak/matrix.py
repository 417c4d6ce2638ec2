"""Every operation under every kind of fault, in virtual time: a typed outcome in its time."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import anyio

from krixik_async import BulkOutcome, JobOutcome, KrixikError
from krixik_async.testing import Fault, FaultPlan, VirtualTimeLoop
from tests.faulty import Local, local
from tests.soak.operations import (
    DEADLINES_S,
    ONE_CALL_S,
    OPERATIONS,
    Desk,
    desk,
    one_of_each,
)
from tests.soak.running import Run, begin, counted

_STATES = {
    "vanished",
    "undecided",
    "complete",
    "failed",
    "expired",
    "deleted",
    "not_found",
    "pending",
    "error",
}


def outcome_of(value: object) -> str:
    """Give a name for what an operation gave. Raises AssertionError for what has no type."""
    if isinstance(value, Mapping):  # a WaitResult
        value = [*value.values()]
    if isinstance(value, list) and value and isinstance(value[0], JobOutcome | BulkOutcome):
        states = {one.state for one in value}
        assert states <= _STATES, states
        return "+".join(sorted(states))
    known = value is None or type(value).__module__.startswith("krixik_async.")
    assert known, f"{type(value).__name__} is no outcome"
    return "done"


async def cell(operation: str, faults: Sequence[Fault], seed: int) -> tuple[str, float]:
    """Run one operation on a server of its own; give what it came to, and its virtual seconds."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        async with local(None) as world:
            here = await desk(world.krixik, Path(folder), rng)
            world.plan.replace(FaultPlan(*faults, seed=seed))
            came, took = await _timed(operation, here, world)
            # A look that was under way when its wait was over ends by itself.
            await world.clock.sleep(ONE_CALL_S)
            exchanges = here.krixik._session.transport._exchanges
            assert exchanges._permits.free == 64, "a permit was not given back"
            return came, took


async def row(fault: Fault, seed: int) -> dict[str, tuple[str, float]]:
    """Run every operation under one fault, on one server; by operation as `cell` does."""
    took: dict[str, tuple[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        async with local(None) as world:
            here = await desk(world.krixik, Path(folder), random.Random(seed))
            for name in OPERATIONS:
                world.plan.replace(FaultPlan(fault, seed=seed))
                took[name] = await _timed(name, here, world)
            await world.clock.sleep(ONE_CALL_S)
            exchanges = world.krixik._session.transport._exchanges
            assert exchanges._permits.free == 64, "a permit was not given back"
    return took


async def _timed(operation: str, here: Desk, world: Local) -> tuple[str, float]:
    began = world.clock.now()
    with anyio.fail_after(10 * 86_400):
        try:
            came = outcome_of(await OPERATIONS[operation](here))
        except KrixikError as error:
            came = type(error).__name__
    return came, world.clock.now() - began


def limit_of(operation: str) -> float:
    """Give the deadline of an operation in seconds."""
    return DEADLINES_S.get(operation, ONE_CALL_S)


def main() -> None:
    """Run until the end: first every pair, then pairs of faults that strike by chance."""
    run: Run = begin("matrix", runs=10_000, seconds=600)
    rng, outcomes, longest = random.Random(run.seed), Counter[str](), 0.0
    pairs = [
        (operation, (fault,))
        for operation in OPERATIONS
        for which in ({}, {"on": 1})
        for fault in one_of_each(**which)
    ]
    for number in run.numbers():
        if number < len(pairs):
            operation, faults = pairs[number]
        else:
            operation = rng.choice([*OPERATIONS])
            faults = tuple(rng.sample(one_of_each(probability=rng.choice([0.1, 0.3, 0.6])), 2))
        try:
            with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
                came, took = runner.run(cell(operation, faults, run.seed + number))
        except Exception as error:  # noqa: BLE001 - a finding, whatever it is
            run.finding(f"{operation} under {faults}: {type(error).__name__}: {error}")
            continue
        outcomes[came] += 1
        longest = max(longest, took / limit_of(operation))
        if took > limit_of(operation):
            run.finding(f"{operation} under {faults} took {took:.0f} s")
    run.end(
        cells=outcomes.total(),
        operations=len(OPERATIONS),
        faults=len(one_of_each()),
        outcomes=counted(outcomes),
        longest=f"{longest:.0%} of its deadline",
    )


if __name__ == "__main__":
    main()
