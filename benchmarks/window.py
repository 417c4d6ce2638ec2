"""What the client programs have in common: ask for a while, count what was done in a window of it.

Stdlib only, for it runs in the official client's environment too. A program warms up (connections
are made, caches filled), then counts the answers and the CPU seconds between two moments, prints
them as JSON, and ends without tidying up: what a client does on its way out is not the question.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import threading
import time
from collections.abc import Awaitable, Callable

KEY = "00000000-0000-4000-8000-000000000000"
PROCESS = "5b4bfe5c-9d2a-4b2f-8f7e-6d2d1a0f3c11"


class Counter:
    """Count answers; one for all threads or tasks of a program."""

    def __init__(self) -> None:
        self.answers = 0
        self.stopping = False


def arguments() -> argparse.Namespace:
    """Read the command line that all client programs share, and go to the core that it names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--warm-up", type=float, default=0.3)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--cpu", type=int)
    parser.add_argument("--files", help="submit the files of this folder instead of asking")
    parser.add_argument("--limit", type=int, help="not more of them than this")
    given = parser.parse_args()
    if given.cpu is not None:
        os.sched_setaffinity(0, {given.cpu})
    return given


def report(**numbers: float) -> None:
    """Print the numbers and end."""
    print(json.dumps(numbers), flush=True)
    os._exit(0)


async def count_async(ask: Callable[[], Awaitable[object]], given: argparse.Namespace) -> None:
    """Let `--workers` tasks ask over and over, and report."""
    counter = Counter()

    async def work() -> None:
        while True:
            await ask()
            counter.answers += 1

    tasks = [asyncio.ensure_future(work()) for _ in range(given.workers)]
    await asyncio.sleep(given.warm_up)
    start = _now(counter)
    await asyncio.wait(tasks, timeout=given.seconds, return_when=asyncio.FIRST_COMPLETED)
    _report_since(start, counter)
    for task in tasks:
        if task.done():
            task.result()  # it never ends by itself: raise what ended it


def count_threads(ask: Callable[[], object], given: argparse.Namespace) -> None:
    """Let `--workers` threads ask over and over, and report."""
    counter = Counter()
    lock = threading.Lock()

    def work() -> None:
        while not counter.stopping:
            ask()
            with lock:
                counter.answers += 1

    for _ in range(given.workers):
        threading.Thread(target=work, daemon=True).start()
    time.sleep(given.warm_up)
    start = _now(counter)
    time.sleep(given.seconds)
    _report_since(start, counter)


def count_loop(ask: Callable[[], object], given: argparse.Namespace) -> None:
    """Ask over and over in a plain loop, and report."""
    counter = Counter()
    until = time.perf_counter() + given.warm_up
    while time.perf_counter() < until:
        ask()
    start = _now(counter)
    until = time.perf_counter() + given.seconds
    while time.perf_counter() < until:
        ask()
        counter.answers += 1
    _report_since(start, counter)


def megabytes_at_most() -> float:
    """Give the largest resident memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _now(counter: Counter) -> tuple[float, float, int]:
    return time.perf_counter(), time.process_time(), counter.answers


def _report_since(start: tuple[float, float, int], counter: Counter) -> None:
    seconds, cpu_s, answers = time.perf_counter(), time.process_time(), counter.answers
    report(
        answers=answers - start[2],
        seconds=seconds - start[0],
        cpu_s=cpu_s - start[1],
        megabytes=megabytes_at_most(),
    )
