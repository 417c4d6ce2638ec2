"""Waiting for many jobs: how many requests a job that takes, and how late the end is noticed.

10,000 jobs are submitted at the same moment; their durations are lognormal around 20 s (sigma
0.25) and 2 % of them fail. The service answers after 50 ms. Time is virtual, so that an hour of
waiting takes as long as its requests do; 1,000 jobs are waited for in real time besides, on a
server in a process of its own, to show that the one is like the other. The policies of others are
what their SDKs do by default, driven by this client's engine, for what is compared is when to ask.
The aim: with the bulk look at most 1.1 requests a job at a mean delay under 0.7 s.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import attrs

from benchmarks.processes import LONGEST_S, ROOT, Numbers

NAME = "waiting"
JOBS, QUICK_JOBS, REAL_JOBS = 10_000, 100, 1_000


@attrs.frozen
class Wait:
    """Name one wait: a policy, and what the client was told besides."""

    variant: str
    policy: str
    options: tuple[str, ...] = ()


# With the default of 64 and 50 ms of latency 1,280 requests a second go, where 10,000 jobs asked
# about every 3 s want 3,333: those that ask so often get the room that they need.
MANY_AT_ONCE = ("--max-in-flight", "1024")
WAITS = (
    Wait("krixik_async", "default"),
    Wait("krixik_async, no bulk look", "default", ("--no-bulk-look", *MANY_AT_ONCE)),
    Wait("krixik_async, at most 1,000 requests/s", "default", ("--rate-limit", "1000")),
    Wait("fixed 3 s (krixik 1.1.19, assemblyai)", "fixed 3 s", MANY_AT_ONCE),
    Wait("exponential, 0.5 s x 1.5 to 30 s", "exponential", MANY_AT_ONCE),
    Wait("google: x 2 to 60 s, full jitter", "google", MANY_AT_ONCE),
    Wait("azure: 30 s", "azure", MANY_AT_ONCE),
)
REAL = (Wait("krixik_async", "default"), Wait("fixed 3 s (krixik 1.1.19, assemblyai)", "fixed 3 s"))


def run(*, quick: bool) -> list[Numbers]:
    """Give one row a policy; two at a time, for each takes one core."""
    jobs = QUICK_JOBS if quick else JOBS
    with ThreadPoolExecutor(2) as two:
        rows = list(two.map(lambda wait: waited(wait, jobs), WAITS[:1] if quick else WAITS))
        if not quick:
            rows += two.map(lambda wait: waited(wait, REAL_JOBS, ("--real",)), REAL)
    return rows


def waited(wait: Wait, jobs: int, options: Sequence[str] = ()) -> Numbers:
    """Run one wait in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.clients.waits", wait.policy, "--jobs", str(jobs)]
    done = subprocess.run(
        [*command, *wait.options, *options],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
    )
    real = "--real" in options
    return {"variant": wait.variant, "jobs": jobs, "real": real, **json.loads(done.stdout)}
