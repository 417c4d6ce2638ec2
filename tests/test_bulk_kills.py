"""Real processes on one journal, really killed: the short form of `make soak`, part (a)."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from krixik_async.testing import ServerProcess
from tests.soak.kill_and_resume import KEY, soak


@pytest.mark.parametrize("workers", [1, 4])
def test_killed_at_random_moments_each_file_is_processed_once(workers: int) -> None:
    """One uploaded record on the server, one end in the journal, one outcome for each file."""
    tally = soak(1, workers, seed=20261122, files=8, rounds=1, longest_kill_s=1.0)
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


def started(server: ServerProcess, folder: Path, backend: str) -> subprocess.Popen[str]:
    given = (server.url, KEY, "books", str(folder / "in"), str(folder / "run.db"), "", backend)
    return subprocess.Popen(
        [sys.executable, "-m", "tests.soak.bulk_worker", *given],
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
