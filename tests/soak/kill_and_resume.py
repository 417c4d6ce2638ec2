"""Kill the submitting process at a random moment, resume, again and again; then count.

    python -m tests.soak.kill_and_resume --runs 300 --workers 1 --seed 1

A run: a folder of files of different content, W processes on one journal. Processes are killed
with SIGKILL at random moments and started again, some immediately; in the end one or more are let
through. Then every file must have exactly one uploaded record on the server, and one entry in the
journal, complete; and whoever ran through must have yielded one outcome for each. The summary says
in which steps the killed processes had left their files: those are the ways back that were tried.

With `--stops S` one process after the other is also suspended, for up to S seconds, and goes on:
with leases of 2 seconds (instead of 60) its companions take its work over in the midst of it. The
summary says at which steps they did.

Meanwhile the server goes wrong at random, each of nine ways with the probability `--faults`, and
takes the worst to be true of a second upload to one ticket: it would fail the job. What faults do
to an input (too many lost answers in a row, say) is an error for that run of the call and is taken
up by the next, so the last processes may be started a few times.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import json
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs

from krixik_async.testing import (
    Answer,
    Corrupt,
    Delay,
    DropAfter,
    DropBefore,
    FaultPlan,
    Refuse,
    ServerProcess,
    SpoilSecondUpload,
    Throttle,
    Truncate,
)
from tests.soak.suspending import Suspender

KEY = "11111111-1111-4111-8111-111111111111"
LONGEST_KILL_S = 4.0
LAST_TRIES = 4
# Where processes are suspended, so that a lease ends before they go on.
HEARTBEAT_S = 0.5


@attrs.define
class Tally:
    """Count over all runs."""

    runs: int = 0
    kills: int = 0
    resumes: int = 0
    files: int = 0
    faults: int = 0
    left: collections.Counter[str] = attrs.field(factory=collections.Counter)
    stops: int = 0
    overtaken: collections.Counter[str] = attrs.field(factory=collections.Counter)
    wrong: list[str] = attrs.field(factory=list)
    lock: threading.Lock = attrs.field(factory=threading.Lock, repr=False)


@attrs.frozen
class Run:
    """One folder, one journal, and the processes on it."""

    number: int
    folder: Path
    url: str
    files: int
    rng: random.Random
    tally: Tally
    rounds: int
    longest_kill_s: float
    longest_stop_s: float
    suspender: Suspender = attrs.field(init=False)

    @suspender.default
    def _made(self) -> Suspender:
        rng = random.Random(self.rng.random())
        return Suspender(self.journal, rng, self.longest_stop_s)

    @property
    def pipeline(self) -> str:
        return f"soak_{self.number}"

    @property
    def journal(self) -> Path:
        return self.folder / "run.db"

    def write(self) -> None:
        (self.folder / "in").mkdir(parents=True)
        for n in range(self.files):
            text = f"In run {self.number} the clocks were striking thirteen, file {n}.\n"
            (self.folder / "in" / f"{n:03}.txt").write_text(text * self.rng.randint(1, 200))

    def digests(self) -> dict[str, str]:
        """Give the files' names by the digest of their content."""
        paths = sorted((self.folder / "in").iterdir())
        return {hashlib.sha256(path.read_bytes()).hexdigest(): path.name for path in paths}

    def start(self) -> subprocess.Popen[str]:
        given = (self.url, KEY, self.pipeline, str(self.folder / "in"), str(self.journal))
        out = str(self.folder / "out") if self.number % 2 else ""
        backend = self.rng.choice(["asyncio", "trio"])
        beat = [str(HEARTBEAT_S)] if self.longest_stop_s else []
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.soak.bulk_worker", *given, out, backend, *beat],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.suspender.watch(process)
        return process

    def kill(self, process: subprocess.Popen[str]) -> None:
        """Let it begin, then kill it; it may have been quicker."""
        assert process.stdout is not None
        if self.rng.random() < 0.9:
            process.stdout.readline()
        time.sleep(self.rng.random() ** 2 * self.longest_kill_s)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        with self.tally.lock:
            self.tally.kills += process.returncode == -signal.SIGKILL
            self.tally.left.update(self.steps().values())

    def steps(self) -> dict[str, str]:
        """Give each key's step, looking without changing anything."""
        if not self.journal.exists():
            return {}
        uri = f"file:{self.journal}?mode=ro"
        try:
            with sqlite3.connect(uri, uri=True, timeout=10) as connection:
                return dict(connection.execute("SELECT key, step FROM files"))
        except sqlite3.OperationalError:
            return {}  # killed before the tables were made
        finally:
            connection.close()

    def go(self, workers: int) -> None:
        self.write()
        with self.suspender.at_work():
            self.work(workers)
        steps = self.steps()
        self.expect(len(steps) == self.files, f"{len(steps)} entries for {self.files} files")
        ends = collections.Counter(steps.values())
        self.expect(set(ends) == {"fetched" if self.number % 2 else "complete"}, str(ends))
        with self.tally.lock:
            self.tally.runs += 1
            self.tally.files += self.files
            self.tally.stops += self.suspender.stops
            self.tally.overtaken.update(self.suspender.overtaken)

    def work(self, workers: int) -> None:
        for _ in range(self.rng.randint(1, self.rounds)):
            processes = [self.start() for _ in range(workers)]
            # With several, some are let go on and have to take over the others' share.
            doomed = processes[: self.rng.randint(1, workers)]
            for process in doomed:
                self.kill(process)
            for process in processes[len(doomed) :]:
                self.see_through(process)
            with self.tally.lock:
                self.tally.resumes += 1
        for tries_left in reversed(range(LAST_TRIES)):
            last = [self.start() for _ in range(workers)]
            done = [self.see_through(process, is_last=not tries_left) for process in last]
            if all(done):
                break

    def see_through(self, process: subprocess.Popen[str], *, is_last: bool = False) -> bool:
        """Let it end; tell whether everything is complete."""
        out, err = process.communicate(timeout=300)
        lines = [json.loads(line) for line in out.splitlines()[1:]]
        names = collections.Counter(line["input"] for line in lines)
        self.expect(process.returncode == 0, err[-2000:])
        self.expect(len(names) == self.files, f"{len(names)} outcomes for {self.files} files")
        self.expect(set(names.values()) <= {1}, "an outcome came twice")
        bad = [line for line in lines if line["state"] != "complete"]
        # An error is for the next one to take up; anything else is wrong at once.
        ruined = [line for line in bad if is_last or line["state"] not in ("error", "undecided")]
        self.expect(not ruined, f"not complete: {ruined[:2]}")
        return not bad

    def expect(self, true: bool, what: str) -> None:
        if not true:
            with self.tally.lock:
                self.tally.wrong.append(f"run {self.number}: {what}")

    def count_records(self, database: Path) -> None:
        """Hold the server's own records against the files."""
        with sqlite3.connect(database) as connection:
            rows = connection.execute(
                "SELECT input_sha256, count(*) FROM files WHERE pipeline = ? "
                "AND uploaded_at IS NOT NULL GROUP BY input_sha256",
                (self.pipeline,),
            ).fetchall()
        connection.close()
        self.expect(dict(rows) == dict.fromkeys(self.digests(), 1), f"records: {rows}")


def troubles(chance: float, seed: int) -> FaultPlan:
    """Give the plan of what goes wrong, each with this chance at each call."""
    kinds = [
        Refuse(probability=chance),
        Delay(probability=chance, seconds=0.3),
        DropBefore(probability=chance),
        DropAfter(probability=chance),
        Truncate(probability=chance),
        Corrupt(probability=chance),
        Throttle(probability=chance, retry_after=0.2, form="float"),
        Answer(probability=chance, status=500),
        Answer(probability=chance, status=502, carry_out=True),
    ]
    return FaultPlan(*(kinds if chance else ()), SpoilSecondUpload(), seed=seed)


def soak(
    runs: int,
    workers: int,
    seed: int,
    *,
    files: int = 24,
    at_a_time: int = 6,
    rounds: int = 3,
    longest_kill_s: float = LONGEST_KILL_S,
    longest_stop_s: float = 0.0,
    chance: float = 0.0,
    ticket_seconds: float = 2.0,
) -> Tally:
    """Carry the runs out against one server and count."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        with ServerProcess(
            Path(folder) / "server",
            api_key=KEY,
            faults=troubles(chance, seed),
            ticket_seconds=ticket_seconds,
            min_module_seconds=0.05,
        ) as server:
            todo = [
                Run(
                    n,
                    Path(folder) / f"run{n}",
                    server.url,
                    files,
                    random.Random(f"{seed}/{n}"),
                    tally,
                    rounds,
                    longest_kill_s,
                    longest_stop_s,
                )
                for n in range(runs)
            ]
            with ThreadPoolExecutor(at_a_time) as pool:
                list(pool.map(lambda run: run.go(workers), todo))
            tally.faults = sum(count["fired"] for count in server.fault_counts)
            server.stop()
        for run in todo:
            run.count_records(Path(folder) / "server" / "krixik.sqlite3")
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--files", type=int, default=24)
    parser.add_argument("--at-a-time", type=int, default=6)
    parser.add_argument("--faults", type=float, default=0.01, help="probability of each kind")
    parser.add_argument("--stops", type=float, default=0.0, help="the longest, in seconds")
    parser.add_argument("--ticket-seconds", type=float, default=2.0)
    given = parser.parse_args()
    began = time.monotonic()
    tally = soak(
        given.runs,
        given.workers,
        given.seed,
        files=given.files,
        at_a_time=given.at_a_time,
        longest_stop_s=given.stops,
        chance=given.faults,
        ticket_seconds=given.ticket_seconds,
    )
    print(
        f"{tally.runs} runs with {given.workers} worker(s), {tally.files} files, "
        f"{tally.kills} kills, {tally.stops} stops, {tally.faults} faults, "
        f"{time.monotonic() - began:.0f} s"
    )
    print("left by the killed:", dict(tally.left.most_common()))
    print("taken over from the suspended:", dict(tally.overtaken.most_common()))
    print("wrong:", len(tally.wrong))
    print("\n".join(tally.wrong[:20]))
    sys.exit(bool(tally.wrong))


if __name__ == "__main__":
    main()
