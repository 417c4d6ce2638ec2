"""Wait for many jobs in virtual time, by one policy, and report requests, delays, CPU and memory.

    python -m benchmarks.clients.waits POLICY --jobs 10000 [--rate-limit 20] [--no-bulk-look]

With `--real` time is real and the service a process of its own. With `--hold` the jobs do not end,
and what is reported is the memory that more is resident two minutes into the wait for all of them,
given as references or, with `--bare`, as request_ids.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tenacity

from benchmarks.processes import ROOT, line
from benchmarks.service import EPOCH, PIPELINE, Life, Service, lognormal, refs
from krixik_async import JobRef, Krixik
from krixik_async._clock import AnchoredClock
from krixik_async.testing import VirtualTimeLoop

# What other SDKs do by default (read from their sources, 2026-11), as tenacity says it.
POLICIES: dict[str, Callable[[], Any]] = {
    "default": lambda: None,
    "fixed 3 s": lambda: tenacity.wait_fixed(3),
    "exponential": lambda: tenacity.wait_exponential(multiplier=0.5, exp_base=1.5, max=30),
    "google": lambda: tenacity.wait_random_exponential(multiplier=1, exp_base=2, max=60),
    "azure": lambda: tenacity.wait_fixed(30),
    "hourly": lambda: tenacity.wait_fixed(3600),
}
# Long enough for the first looks at 100,000 jobs, and for what follows them.
HOLD_S = 120.0


async def wait(given: argparse.Namespace) -> dict[str, float]:
    """Wait for all jobs; give the numbers."""
    lives = lognormal(given.jobs)
    if given.real:
        with job_server(given.jobs) as (url, say):
            krixik = Krixik(api_key="k", api_url=url, rate_limit=given.rate_limit)
            say("start")
            numbers = await seen(krixik, lives, time.time(), given)
            requests = say("count")
    else:
        service = Service(lives, started=asyncio.get_running_loop().time())
        numbers = await seen(client_of(service, given), lives, EPOCH, given)
        requests = dict(service.requests)
    return {
        "status_requests": requests.get("/krixik-core-process-status", 0),
        "list_requests": requests.get("/krixik-core-list", 0),
        **numbers,
    }


async def seen(
    client: Krixik, lives: dict[str, Life], submitted_at: float, given: argparse.Namespace
) -> dict[str, float]:
    """Wait; give how late the ends were seen, and what that took."""
    now = asyncio.get_running_loop().time
    late: dict[bool, list[float]] = {False: [], True: []}
    async with client as krixik:
        pipeline = krixik.create_pipeline(name=PIPELINE, module_chain=["parser"])
        jobs, poll = refs(lives, submitted_at), POLICIES[given.policy]()
        started, cpu_s = now(), time.process_time()
        async for outcome in pipeline.as_completed(jobs, poll=poll):
            life = lives[outcome.request_id]
            late[life.fails].append(now() - started - life.ends_s)
        cpu_s, seconds = time.process_time() - cpu_s, now() - started
    return {
        **delays("", late[False]),
        **delays("failure_", late[True]),
        "cpu_s": cpu_s,
        "waited_s": seconds,
    }


@contextmanager
def job_server(jobs: int) -> Iterator[tuple[str, Callable[[str], dict[str, int]]]]:
    """Run the service as a process; give its address, and what says a word to it."""
    command = [sys.executable, "-m", "benchmarks.job_server", "--jobs", str(jobs)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        into = process.stdin

        def say(word: str) -> dict[str, int]:
            print(word, file=into, flush=True)
            counts: dict[str, int] = json.loads(line(process, ""))
            return counts

        yield line(process, "ready on "), say
        into.close()


async def hold(given: argparse.Namespace) -> dict[str, float]:
    """Let so many jobs be waited for and measure what that takes."""
    # As real ones are written; the service in memory calls the file by the same name.
    ids = (f"00000000-0000-4000-8000-{number:012d}" for number in range(given.jobs))
    lives = dict.fromkeys(ids, Life(1000 * HOLD_S))
    jobs: list[str] | list[JobRef] = list(lives) if given.bare else refs(lives, EPOCH)
    async with client_of(Service(lives), given) as krixik:
        pipeline = krixik.create_pipeline(name=PIPELINE, module_chain=["parser"])
        # One job first, so that what is loaded and made once is there already.
        await pipeline.wait_until_complete(jobs[0], timeout=1)
        before, cpu_s, wall_s = resident_mb(), time.process_time(), time.perf_counter()
        waiting = asyncio.ensure_future(
            pipeline.wait_until_complete(jobs, poll=POLICIES[given.policy]())
        )
        await asyncio.sleep(HOLD_S)
        numbers = {
            "megabytes": resident_mb() - before,
            "cpu_s": time.process_time() - cpu_s,
            "seconds": time.perf_counter() - wall_s,
        }
        waiting.cancel()
    return numbers


def client_of(service: Service, given: argparse.Namespace) -> Krixik:
    """Make a client of the service in memory."""
    return Krixik(
        api_key="k",
        api_url="http://bench",
        http_transport=service,
        clock=AnchoredClock(EPOCH),
        rate_limit=given.rate_limit,
        max_in_flight=given.max_in_flight,
        bulk_look=not given.no_bulk_look,
    )


def delays(kind: str, seconds: list[float]) -> dict[str, float]:
    """Give mean and 95th percentile."""
    if not seconds:
        return {}
    return {
        f"{kind}delay_mean_s": statistics.fmean(seconds),
        f"{kind}delay_95_s": sorted(seconds)[int(0.95 * len(seconds))],
    }


def resident_mb() -> float:
    """Give the memory that is resident now (Linux), in MB."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096 / 1e6


def main() -> None:
    """Wait as the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("policy", choices=POLICIES)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rate-limit", type=float)
    parser.add_argument("--max-in-flight", type=int, default=64)
    parser.add_argument("--no-bulk-look", action="store_true")
    parser.add_argument("--hold", action="store_true")
    parser.add_argument("--bare", action="store_true")
    parser.add_argument("--real", action="store_true")
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=None if given.real else VirtualTimeLoop) as runner:
        print(json.dumps(runner.run(hold(given) if given.hold else wait(given))))


if __name__ == "__main__":
    main()
