"""The service goes away in the midst of bulk work: files wait for it, and none is used up.

Everything against the real server in process, in virtual time.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest

from krixik_async import (
    AnswerLost,
    BulkOutcome,
    BulkStream,
    ConnectFailed,
    FileChanged,
    InvalidArgument,
    Krixik,
    KrixikError,
    Pipeline,
    ServerError,
    SubmitUncertain,
)
from krixik_async._bulk._outages import Outages, is_away
from krixik_async._clock import LoopClock
from krixik_async._reply import Reply
from krixik_async.testing import Answer, Fault, FaultPlan, Refuse
from tests.faulty import TEXT, Local, local

pytestmark = pytest.mark.anyio
MINUTE = 60.0


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Forty files."""
    made = [tmp_path / f"{n:02}.txt" for n in range(40)]
    for path in made:
        path.write_bytes(TEXT)
    return made


def books(krixik: Krixik) -> Pipeline:
    return krixik.create_pipeline(name="books", module_chain=["keyword-db"])


async def through_an_outage(here: Local, stream: BulkStream, fault: Fault) -> list[str]:
    """Give the ends; every call goes wrong for four minutes once the first file is done."""

    async def outage() -> None:
        await here.clock.sleep(4 * MINUTE)
        here.plan.replace(FaultPlan())

    async with stream, anyio.create_task_group() as group:
        ends = [state(await anext(stream))]
        here.plan.replace(FaultPlan(fault))
        group.start_soon(outage)
        return ends + await states(stream)


def state(outcome: BulkOutcome) -> str:
    return f"{outcome.state} {type(outcome.error).__name__}"


async def states(stream: BulkStream) -> list[str]:
    return [state(outcome) async for outcome in stream]


@pytest.mark.parametrize("journal", [False, True])
@pytest.mark.parametrize("fault", [Refuse(), Answer(status=503)], ids=["refused", "gateway"])
async def test_an_outage_of_minutes_costs_no_file(
    tmp_path: Path, paths: list[Path], fault: Fault, journal: bool
) -> None:
    """Neither while files are sent nor while their outputs are fetched; and few ask meanwhile."""
    async with local() as here:
        began = here.clock.now()
        stream = books(here.krixik).process_many(
            paths,
            max_in_flight=8,
            journal=tmp_path / "run.db" if journal else None,
            local_save_directory=tmp_path / "out",
        )
        assert await through_an_outage(here, stream, fault) == ["complete NoneType"] * 40
        assert 4 * MINUTE < here.clock.now() - began < 6 * MINUTE
        files = await books(here.krixik).list(symbolic_directory_paths=["/*"])
        assert len(files.items) == 40


async def test_few_ask_while_the_service_is_away(paths: list[Path]) -> None:
    """One file at a time, with pauses that grow to 30 s; nothing is pulled beyond the window."""
    pulled: list[Path] = []

    def pull() -> Any:
        for path in paths:
            pulled.append(path)
            yield path

    async with local() as here:
        stream = books(here.krixik).process_many(pull(), max_in_flight=8)
        async with stream, anyio.create_task_group() as group:
            first, rest = await anext(stream), list[str]()
            here.plan.replace(FaultPlan(Refuse()))

            async def take() -> None:
                rest.extend(await states(stream))

            group.start_soon(take)
            await here.clock.sleep(MINUTE)
            asked = here.plan.counts[0].fired
            await here.clock.sleep(5 * MINUTE)
            # Two probes, of sending and of waiting, in four attempts each.
            assert here.plan.counts[0].fired - asked <= 2 * 4 * (5 * MINUTE / 30 + 1)
            assert len(pulled) <= 1 + 8
            here.plan.replace(FaultPlan())
    assert first.ok
    assert rest == ["complete NoneType"] * 39


async def test_one_file_of_many_finds_out_whether_the_service_is_back() -> None:
    """After five that failed, with pauses that grow to 30 s; then all go on at once."""
    clock, tries = LoopClock(), list[float]()
    outages, began = Outages(clock), clock.now()

    async def attempt() -> None:
        tries.append(clock.now() - began)
        if tries[-1] < 5 * MINUTE:
            raise ConnectFailed("away")

    await outages.ride_out(partial(clock.sleep, 0))
    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(outages.ride_out, attempt)
    assert len([at for at in tries if at < 0.1]) == 5
    meanwhile = [at for at in tries if 0.1 < at < 5 * MINUTE]
    pauses = [later - at for at, later in pairwise(meanwhile)]
    assert min(pauses) >= 1.0
    assert max(pauses) == pytest.approx(30.0)
    assert len([at for at in tries if at >= 5 * MINUTE]) == 20
    assert max(tries) < 5 * MINUTE + 31.0


async def test_an_outage_of_hours_ends_each_file_after_ten_minutes(paths: list[Path]) -> None:
    """What is in the window; the rest is not used up meanwhile."""
    async with local() as here:
        stream = books(here.krixik).process_many(paths, max_in_flight=8)
        async with stream:
            assert (await anext(stream)).ok
            here.plan.replace(FaultPlan(Refuse()))
            began, ended = here.clock.now(), []
            with anyio.move_on_after(25 * MINUTE):
                async for outcome in stream:
                    if not outcome.ok:
                        ended.append((outcome.error, here.clock.now() - began))
    assert 8 <= len(ended) <= 24
    assert {type(error) for error, _ in ended} == {AnswerLost}
    assert min(after for _, after in ended) >= 10 * MINUTE


async def test_a_service_that_never_answered_is_not_waited_for(paths: list[Path]) -> None:
    """It may be a wrong address."""
    async with local(None, Refuse()) as here:
        began = here.clock.now()
        stream = books(here.krixik).process_many(paths, max_in_flight=8)
        assert await states(stream) == ["error AnswerLost"] * 40
        assert here.clock.now() - began < MINUTE


async def test_a_file_that_fails_where_others_do_not_ends_alone(paths: list[Path]) -> None:
    """Five attempts; nobody waits for it."""
    async with local() as here:

        async def attempt() -> None:
            tries.append(clock.now())
            raise ServerError("away", reply=Reply(503))

        async def other() -> str:
            return "done"

        clock, tries = here.clock, list[float]()
        outages = Outages(clock)
        assert await outages.ride_out(other) == "done"
        async with anyio.create_task_group() as group:

            async def others() -> None:
                while True:
                    await clock.sleep(0.5)
                    assert await outages.ride_out(other) == "done"

            group.start_soon(others)
            with pytest.raises(ServerError, match="away"):
                await outages.ride_out(attempt)
            group.cancel_scope.cancel()
        assert len(tries) == 5
        assert tries[-1] - tries[0] < MINUTE


@pytest.mark.parametrize("error", [FileChanged("it grew"), OSError("of the disk"), None])
async def test_who_probes_and_ends_for_another_reason_lets_the_next_one_probe(
    error: Exception | None,
) -> None:
    """Nobody waits for a probe that will not come."""
    clock, done = LoopClock(), list[str]()
    outages = Outages(clock)
    back = clock.now() + 2 * MINUTE

    async def attempt() -> None:
        if clock.now() < back:
            raise ConnectFailed("away")

    async def probe_in_vain() -> None:
        if error is not None:
            raise error

    async def file(name: str, how: Any) -> None:
        with suppress(FileChanged, OSError):
            await outages.ride_out(how)
        done.append(name)

    await outages.ride_out(partial(clock.sleep, 0))
    async with anyio.create_task_group() as group:
        for number in range(6):
            group.start_soon(file, f"file {number}", attempt)
        await clock.sleep(1)
        group.start_soon(file, "other", probe_in_vain)
    assert len(done) == 7
    assert clock.now() < back + 2 * MINUTE


async def test_it_is_said_when_an_outage_begins_and_ends(
    paths: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "krixik_async"):
        async with local() as here:
            stream = books(here.krixik).process_many(paths, max_in_flight=8)
            assert await through_an_outage(here, stream, Refuse()) == ["complete NoneType"] * 40
    said = [line for line in caplog.messages if "files" in line]
    assert [line.partition(":")[0] for line in said] == [
        "the service is away, files wait for it",
        "the service answers again, files go on",
    ]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ConnectFailed("x"), True),
        (ServerError("x", reply=Reply(502)), True),
        (ServerError("x", reply=Reply(500)), False),
        (SubmitUncertain("x"), False),
        (InvalidArgument("x"), False),
    ],
)
async def test_what_says_that_nobody_is_there(error: KrixikError, expected: bool) -> None:
    assert is_away(error) is expected
