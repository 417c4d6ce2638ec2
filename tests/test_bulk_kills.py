"""Real processes on one journal, really killed: the short form of `make soak`, part (a)."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from krixik_async.testing import ServerProcess
from tests.soak.kill_and_resume import KEY, soak


@pytest.mark.parametrize(("workers", "longest_stop_s"), [(1, 0.0), (4, 4.0)])
def test_killed_and_suspended_at_random_moments_each_file_is_processed_once(
    workers: int, longest_stop_s: float
) -> None:
    """One uploaded record on the server, one end in the journal, one outcome for each file."""
    tally = soak(
        1,
        workers,
        seed=20261122,
        files=8,
        rounds=1,
        longest_kill_s=1.0,
        longest_stop_s=longest_stop_s,
    )
    assert tally.wrong == []
    assert (tally.runs, tally.files) == (1, 8)
    assert tally.kills > 0


# Up to nine processes, each of which imports everything: seconds where there is a core for each.
pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(
        tmp_path / "server", api_key=KEY, ticket_seconds=2, min_module_seconds=0.2
    ) as running:
        yield running


def started(server: ServerProcess, folder: Path, backend: str, *more: str) -> subprocess.Popen[str]:
    given = (server.url, KEY, "books", str(folder / "in"), str(folder / "run.db"), "", backend)
    return subprocess.Popen(
        [sys.executable, "-m", "tests.soak.bulk_worker", *given, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_ctrl_c_leaves_the_journal_in_order_and_the_same_call_goes_on(
    server: ServerProcess, tmp_path: Path, backend: str
) -> None:
    """It ends at once, gives up its claims, and nothing is lost or sent twice."""
    (tmp_path / "in").mkdir()
    for n in range(16):
        (tmp_path / "in" / f"{n:02}.txt").write_text(f"The clocks struck {n} times in April.\n")
    with started(server, tmp_path, backend) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]  # "started", and two outcomes
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=30)
        assert process.returncode == -signal.SIGINT
    with closing(sqlite3.connect(f"file:{tmp_path / 'run.db'}?mode=ro", uri=True)) as journal:
        assert journal.execute("SELECT count(*) FROM workers").fetchone() == (0,)
    with started(server, tmp_path, backend) as process:
        out, err = process.communicate(timeout=60)
    outcomes = [json.loads(line) for line in out.splitlines()[1:]]
    assert (process.returncode, err) == (0, "")
    assert Counter(one["state"] for one in outcomes) == {"complete": 16}
    before = {json.loads(line)["input"] for line in (*lines[1:], *rest.splitlines())}
    assert before <= {one["input"] for one in outcomes if one["resumed"]}
    server.stop()
    with closing(sqlite3.connect(tmp_path / "server" / "krixik.sqlite3")) as records:
        rows = records.execute(
            "SELECT count(*), count(DISTINCT input_sha256) FROM files WHERE uploaded_at IS NOT NULL"
        )
        assert rows.fetchone() == (16, 16)


def steps(journal: Path) -> list[str]:
    """Read what the journal says, changing nothing."""
    if not journal.exists():
        return []
    try:
        with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as connection:
            return [step for (step,) in connection.execute("SELECT step FROM files ORDER BY key")]
    except sqlite3.OperationalError:
        return []  # while the tables are made


def told(out: str) -> list[tuple[str, bool]]:
    """Give the outcomes that a worker has printed: state, and whether it is another's work."""
    outcomes = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    return [(one["state"], one["resumed"]) for one in outcomes]


def test_a_suspended_workers_share_is_taken_over_and_it_finds_out_when_it_goes_on(
    tmp_path: Path,
) -> None:
    """It writes nothing over what the other has written, and yields the other's outcomes."""
    (tmp_path / "in").mkdir()
    for n in range(4):
        (tmp_path / "in" / f"{n:02}.txt").write_text(f"The clocks struck {n} times in April.\n")
    with (
        ServerProcess(tmp_path / "server", api_key=KEY, min_module_seconds=6.0) as server,
        started(server, tmp_path, "asyncio", "0.25") as one,
    ):
        while steps(tmp_path / "run.db") != ["running"] * 4:
            assert one.poll() is None
            time.sleep(0.02)
        one.send_signal(signal.SIGSTOP)
        try:
            with started(server, tmp_path, "asyncio", "0.25") as other:
                out, err = other.communicate(timeout=60)
        finally:
            one.send_signal(signal.SIGCONT)
        assert (other.returncode, err) == (0, "")
        assert told(out) == [("complete", False)] * 4
        out, err = one.communicate(timeout=60)
        assert (one.returncode, err) == (0, "")
        assert told(out) == [("complete", True)] * 4
    assert steps(tmp_path / "run.db") == ["complete"] * 4
