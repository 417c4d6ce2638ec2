"""One small job: how long it takes from `process(wait)` to its output.

Both clients send the same text through a parser pipeline of the same embedded server, a process of
its own, which needs 10 ms for it; in turns: ours, official, ours, official, ... All else is the
client's: how it polls, and whether it connects anew for each request. The aim: 40 times as fast.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from benchmarks.processes import ROOT, Numbers, line, official_python
from krixik_async import Krixik

NAME = "one-job"
ROUNDS = 5
SERVER_NEEDS_S = 0.01
KEY = str(uuid.uuid4())
TEXT = "It was a bright cold day in April, and the clocks were striking thirteen. " * 20
OFFICIAL = """
import sys, time
from krixik import krixik
url, key, path, folder = sys.argv[1:]
krixik.init(api_key=key, api_url=url)
pipeline = krixik.create_pipeline(name="official", module_chain=["parser"])
print("ready", flush=True)
for _ in sys.stdin:
    started = time.perf_counter()
    pipeline.process(local_file_path=path, local_save_directory=folder, verbose=False)
    print("seconds", time.perf_counter() - started, flush=True)
"""


def run(*, quick: bool) -> list[Numbers]:
    """Give one row a variant and round."""
    pipe = subprocess.PIPE
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "april.txt"
        path.write_text(TEXT, encoding="utf-8")
        command = [sys.executable, "-m", "krixik_async", "serve", "--port", "0", "--api-key", KEY]
        command += ["--data-dir", f"{folder}/data", "--min-module-seconds", str(SERVER_NEEDS_S)]
        with subprocess.Popen(command, cwd=ROOT, stdout=pipe, text=True) as server:
            try:
                url = line(server, "krixik-async server ready on ")
                # The first job loads what the module needs: half a second of the server's own.
                asyncio.run(ours(url, path))
                return _rounds(url, path, 1 if quick else ROUNDS)
            finally:
                server.terminate()


def _rounds(url: str, path: Path, rounds: int) -> list[Numbers]:
    python = official_python()
    if python is None:
        return [
            _row(number, "krixik_async", asyncio.run(ours(url, path))) for number in range(rounds)
        ]
    pipe = subprocess.PIPE
    command = [python, "-c", OFFICIAL, url, KEY, str(path), str(path.parent)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as official:
        assert official.stdin is not None
        line(official, "ready")
        rows: list[Numbers] = []
        for number in range(rounds):
            rows.append(_row(number, "krixik_async", asyncio.run(ours(url, path))))
            official.stdin.write("go\n")
            official.stdin.flush()
            rows.append(_row(number, "official", float(line(official, "seconds"))))
        official.stdin.close()
    return rows


def _row(number: int, variant: str, seconds: float) -> Numbers:
    return {"round": number, "variant": variant, "seconds": seconds}


async def ours(url: str, path: Path) -> float:
    """Time one file with a client that is open already, as the official one is."""
    async with Krixik(api_key=KEY, api_url=url) as krixik:
        await krixik.check_in()
        pipeline = krixik.create_pipeline(name="ours", module_chain=["parser"])
        started = time.perf_counter()
        await pipeline.process(
            local_file_path=path, wait_for_process=True, local_save_directory=path.parent
        )
        return time.perf_counter() - started
