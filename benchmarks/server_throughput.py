"""Small files that the embedded server processes a second, and how fast it answers meanwhile.

    make bench-server                (or: python benchmarks/server_throughput.py)

Two questions, one server process of its own each time, the figures as JSON:

1. throughput: 200 texts of twenty sentences through a keyword-db pipeline, sixteen submissions at a
   time, from the first submission to the last file complete.
2. answers: while all workers compute (2 MiB texts through parser and keyword-db, more of them than
   can be done), one client asks for a status, a list or a tree fifty times a second. The
   milliseconds are those of the whole call, the client's share included.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from krixik_async import Job, Krixik

KEY = str(uuid.uuid4())
SENTENCE = "It was a bright cold day in April, and the clocks were striking thirteen. "
FILES = 200
AT_A_TIME = 16
CALLS = 500
CALLS_PER_S = 50
READY = "krixik-async server ready on "


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Run a server and give its url."""
    command = [sys.executable, "-m", "krixik_async", "serve", "--port", "0", "--api-key", KEY]
    command += ["--data-dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().removeprefix(READY).strip()
        server.terminate()


@asynccontextmanager
async def client(folder: Path) -> AsyncIterator[Krixik]:
    """Run a server and give a client of it."""
    with serving(folder) as url:
        async with Krixik(api_key=KEY, api_url=url) as krixik:
            await krixik.check_in()
            yield krixik


async def files_per_second(folder: Path) -> float:
    """Answer the first question."""
    path = folder / "small.txt"
    path.write_text(SENTENCE * 20, encoding="utf-8")
    async with client(folder / "data") as krixik:
        pipeline = krixik.create_pipeline(name="small", module_chain=["keyword-db"])
        permits = asyncio.Semaphore(AT_A_TIME)

        async def submit(number: int) -> Job:
            async with permits:
                return await pipeline.process(local_file_path=path, file_name=f"{number}.txt")

        await pipeline.process(local_file_path=path, wait_for_process=True, download_output=False)
        started = time.perf_counter()
        jobs = await asyncio.gather(*(submit(number) for number in range(FILES)))
        result = await pipeline.wait_until_complete(jobs, timeout=600)
        assert len(result.complete) == FILES
        return FILES / (time.perf_counter() - started)


async def milliseconds(folder: Path) -> list[float]:
    """Answer the second question."""
    path = folder / "large.txt"
    path.write_text(SENTENCE * (2**21 // len(SENTENCE)), encoding="utf-8")
    async with client(folder / "data") as krixik:
        chain = ["parser", "json-to-txt", "keyword-db"]
        pipeline = krixik.create_pipeline(name="large", module_chain=chain)
        jobs = [
            await pipeline.process(local_file_path=path, file_name=f"{number}.txt")
            for number in range(50)
        ]
        asked: list[Callable[[], Awaitable[object]]] = [
            lambda: pipeline.process_status(request_id=jobs[0].request_id),
            lambda: pipeline.list(symbolic_directory_paths=["/*"]),
            pipeline.show_tree,
        ]
        taken = []
        for number in range(CALLS):
            started = time.perf_counter()
            await asked[number % len(asked)]()
            taken.append((time.perf_counter() - started) * 1000)
            await asyncio.sleep(max(0.0, 1 / CALLS_PER_S - taken[-1] / 1000))
        status = await pipeline.process_status(request_id=jobs[-1].request_id)
        assert status.overall_status == "ongoing", "it was not computing to the end"
        return taken


def main() -> None:
    """Run both and print the figures."""
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        rate = asyncio.run(files_per_second(Path(first)))
        taken = asyncio.run(milliseconds(Path(second)))
    cuts = statistics.quantiles(taken, n=100)
    answers = {"median": cuts[49], "p99": cuts[98], "most": max(taken)}
    figures = {
        "small files per second": round(rate, 1),
        "milliseconds an answer takes while all workers compute": {
            name: round(value, 1) for name, value in answers.items()
        },
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
