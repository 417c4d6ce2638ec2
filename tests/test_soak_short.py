"""The proofs of tests/soak in their short form, seeded: each as its long form, with fewer runs."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Iterator

import anyio
import pytest

from krixik_async.testing import Fault, ServerProcess, VirtualTimeLoop
from tests.soak import cancellations, endurance, long_life, matrix, replies, secrets
from tests.soak.operations import OPERATIONS, one_of_each
from tests.soak.running import Run, slope_with_margin
from tests.soak.weighing import Weight, weigh


@pytest.fixture
def short() -> Run:
    return Run("short", seed=2, runs=1, seconds=60)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(
        tmp_path_factory.mktemp("server"), api_key=secrets.CANARY, faults=cancellations.PLAN
    ) as running:
        yield running


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_cancelled_in_flight_the_client_stays_healthy(
    backend: str, server: ServerProcess, short: Run
) -> None:
    server.set_faults(cancellations.PLAN)
    outcomes = cancellations.cancel_on(backend, server, short, 70)
    assert short.found == []
    assert outcomes["cancelled"] >= 70
    assert outcomes["healthy"] > 1


@pytest.mark.parametrize(
    "fault", one_of_each(), ids=lambda fault: f"{fault.kind}-{getattr(fault, 'status', '')}"
)
def test_every_operation_ends_typed_and_in_time(fault: Fault) -> None:
    """Each kind of fault at every call, in virtual time; one operation beside the other."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        took = runner.run(matrix.row(fault, seed=1))
    assert set(took) == set(OPERATIONS)
    late = {name: took[name] for name in took if took[name][1] > matrix.limit_of(name)}
    assert late == {}


def test_spoilt_bodies_raise_nothing_but_our_own(short: Run) -> None:
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        outcomes = runner.run(replies.spoil_bodies(short, short.seed, 8))
    assert short.found == []
    assert outcomes["answers spoilt"] > 100 < outcomes["UnexpectedReply"] + outcomes["result"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_spoilt_heads_raise_nothing_but_our_own(backend: str, short: Run) -> None:
    outcomes = anyio.run(replies.spoil_heads, short, short.seed, 6, backend=backend)
    assert short.found == []
    assert outcomes["answers spoilt"] > 30


@pytest.mark.parametrize(("backend", "sender"), secrets.SENDERS)
def test_no_canary_is_seen(backend: str, sender: str, server: ServerProcess, short: Run) -> None:
    some = [fault for fault in one_of_each(probability=0.5) if fault.kind in (
        "drop_after", "expire_early")]  # fmt: skip
    names = ["process", "process_many", "process_and_fetch", "resume"]
    with secrets.listening(short) as listener:
        anyio.run(
            secrets.under_every_fault,
            short,
            server,
            f"{backend} {sender}",
            names,
            some,
            backend=backend,
        )
    assert short.found == []
    assert listener.heard["krixik_async"] > 20


def test_the_canary_would_be_seen(short: Run) -> None:
    """The net has no hole: each kind of secret is found in each kind of place."""
    secrets.check(short, "text", f"x{secrets.CANARY}y")
    secrets.check(short, "policy", "x eyJleHBpcmF0aW9u y")
    secrets.check(short, "signature", "0123456789abcdef" * 4)
    secrets.check(short, "nothing", "eyJ 0123")
    with secrets.listening(short) as listener:
        logging.getLogger("somewhere.deep").debug("with %s", secrets.CANARY)
    with pytest.raises(ValueError) as raised:
        raise ValueError(secrets.CANARY)
    assert secrets.CANARY in secrets.said_by(raised.value)
    assert len(short.found) == 4
    assert listener.heard["somewhere"] == 1


@pytest.mark.usefixtures("what_is_new")
def test_under_mixed_faults_for_a_virtual_minute(
    short: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hour's programme is run; its memory is judged in the long form only."""
    monkeypatch.setattr(endurance, "VIRTUAL_S", 60.0)
    short.runs = 4
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        seen = runner.run(endurance.two_hours(short))["virtual hour"]
    assert [minutes for minutes, _ in seen.rests] == [0.25, 0.5, 0.75, 1]
    assert seen.outcomes["result"] > 5
    assert seen.kept == []


@pytest.mark.usefixtures("what_is_new")
def test_a_thousand_calls_leave_nothing(short: Run) -> None:
    """By the count of objects: blocks are for more calls to tell."""
    short.runs = 900
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        calls, _ = runner.run(long_life.live(short))
    assert short.found == []
    assert calls == 600


def resting(*weights: Weight) -> endurance.Seen:
    """Give what was seen of a process that is weighed each minute."""
    seen = endurance.Seen(len(weights) // 2)
    for minutes, weight in enumerate(weights, 1):
        seen.note(minutes, weight)
    return seen


def test_an_object_more_at_each_rest_is_found() -> None:
    counts = [{"_job.Job": n, "_models._jobs.JobRef": n} for n in range(4)]
    assert resting(*(Weight(one, 0, 0, 0) for one in counts)).kept == [
        "{'_job.Job': 1} at rest 3, over rest 2",
        "{'_job.Job': 2} at rest 4, over rest 2",
    ]


def test_memory_that_grows_by_its_limit_is_found(short: Run) -> None:
    """In the second half of the rests."""
    grows = resting(*(Weight({}, 64 * n, 16 * n, 512 * n) for n in range(12)))
    endurance.judge_memory(short, "it", grows)
    assert short.found == [
        "it grows: resident_kib 0/320/704, +64.0 +-0.0 a minute",
        "it grows: malloc_kib 0/80/176, +16.0 +-0.0 a minute",
        "it grows: blocks 0/2560/5632, +512.0 +-0.0 a minute",
    ]


def test_memory_that_grows_less_or_in_the_first_half_only_is_flat(short: Run) -> None:
    """Where malloc tells nothing, the others are judged."""
    flat = resting(
        *(Weight({}, 900 * n, None, 9000 * n) for n in range(6)),
        *(Weight({}, 9000 + 63 * n, None, 90000 - 511 * n) for n in range(6)),
    )
    said = endurance.judge_memory(short, "it", flat)
    assert said == (
        "resident_kib 0/4500/9315, +63.0 +-0.0 a minute; "
        "blocks 0/45000/87445, -511.0 +-0.0 a minute"
    )
    assert short.found == []


def test_what_is_too_uncertain_to_be_called_flat_is_found(short: Run) -> None:
    noisy = resting(*(Weight({}, 300 * (n % 2), 0, 0) for n in range(12)))
    endurance.judge_memory(short, "it", noisy)
    assert short.found == ["it grows: resident_kib 0/300/300, +25.7 +-116.6 a minute"]


def test_many_kept_pieces_weigh_what_they_are() -> None:
    """Those of a KiB are malloc's, those of a few bytes the interpreter's.

    So many that what else the process does meanwhile is nothing beside them.
    """
    before = weigh()
    large = [bytes(1024) for _ in range(20_000)]
    with_large = weigh()
    small = [str(n) for n in range(100_000, 120_000)]
    with_small = weigh()
    assert len(large) == len(small) == 20_000
    if before.malloc_kib is not None and with_large.malloc_kib is not None:
        assert with_large.malloc_kib - before.malloc_kib == pytest.approx(20_600, rel=0.1)
    assert with_small.blocks - with_large.blocks == pytest.approx(20_000, rel=0.1)


def test_a_slope_needs_three_points() -> None:
    assert slope_with_margin([(0, 0), (1, 1)]) == (0, math.inf)
    assert slope_with_margin([(0, 0), (1, 1), (2, 2)]) == pytest.approx((1, 0))


@pytest.mark.parametrize("points", [3, 6, 12, 40])
def test_the_margin_holds_the_slope_that_is_behind_the_noise(points: int) -> None:
    """In 95 of 100 cases."""
    rng, held = random.Random(3), 0
    for _ in range(400):
        noisy = [(5.0 * n, 9000 + 35.0 * n + rng.gauss(0, 40)) for n in range(points)]
        slope, margin = slope_with_margin(noisy)
        held += abs(slope - 7) <= margin
    assert held == pytest.approx(380, abs=12)


def test_finding_something_is_said_and_fails(
    short: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    short.finding("a leak")
    with pytest.raises(SystemExit) as ended:
        short.end(runs_done=3)
    assert ended.value.code == 1
    said = capsys.readouterr()
    assert said.err == "short: FOUND a leak\n"
    assert said.out == "short: runs done 3; 1 findings, 0 s, seed 2\n"
