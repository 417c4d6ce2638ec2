"""How long does one small file take, from `process(wait)` to its output? Ours and the official one.

    make bench                     (PARITY_PYTHON names an environment with krixik 1.1.19)

Both clients send the same text through a parser pipeline of the same embedded server, a process of
its own, in turns: ours, official, ours, official, ... The raw seconds and the ratio of the medians
are printed as JSON. The server needs a few hundredths of a second for such a file; all else is the
client's: how it polls, and whether it connects anew for each request.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from krixik_async import Krixik

ROUNDS = 5
KEY = str(uuid.uuid4())
TEXT = "It was a bright cold day in April, and the clocks were striking thirteen. " * 20
OFFICIAL = """
import sys, time
from krixik import krixik
url, key, path, folder, rounds = sys.argv[1:]
krixik.init(api_key=key, api_url=url)
pipeline = krixik.create_pipeline(name="official", module_chain=["parser"])
print("ready", flush=True)
for _ in range(int(rounds)):
    sys.stdin.readline()
    started = time.perf_counter()
    pipeline.process(local_file_path=path, local_save_directory=folder, verbose=False)
    print("seconds", time.perf_counter() - started, flush=True)
"""


def line(process: subprocess.Popen[str], start: str) -> str:
    """Give the next line of a process that begins with `start`, without it."""
    assert process.stdout is not None
    for said in process.stdout:
        if said.startswith(start):
            return said.removeprefix(start).strip()
    raise SystemExit("benchmark: a process ended early")


async def ours(url: str, path: Path, folder: Path) -> float:
    """Time one file with a client that is open already, as the official one is."""
    async with Krixik(api_key=KEY, api_url=url) as krixik:
        await krixik.check_in()
        pipeline = krixik.create_pipeline(name="ours", module_chain=["parser"])
        started = time.perf_counter()
        await pipeline.process(
            local_file_path=path, wait_for_process=True, local_save_directory=folder
        )
        return time.perf_counter() - started


def main(official_python: str) -> None:
    """Run the rounds and print what they took."""
    with tempfile.TemporaryDirectory() as name:
        folder, path = Path(name), Path(name) / "april.txt"
        path.write_text(TEXT, encoding="utf-8")
        serve = [sys.executable, "-m", "krixik_async", "serve", "--port", "0", "--api-key", KEY]
        pipe = subprocess.PIPE
        with subprocess.Popen(
            [*serve, "--data-dir", str(folder / "data")], stdout=pipe, text=True
        ) as server:
            url = line(server, "krixik-async server ready on ")
            command = [official_python, "-c", OFFICIAL, url, KEY, str(path), name, str(ROUNDS)]
            with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as official:
                assert official.stdin is not None
                line(official, "ready")
                seconds: dict[str, list[float]] = {"krixik_async": [], "krixik 1.1.19": []}
                for _ in range(ROUNDS):
                    seconds["krixik_async"].append(asyncio.run(ours(url, path, folder)))
                    official.stdin.write("go\n")
                    official.stdin.flush()
                    seconds["krixik 1.1.19"].append(float(line(official, "seconds")))
            server.terminate()
    medians = [statistics.median(taken) for taken in seconds.values()]
    ratio = round(medians[1] / medians[0], 1)
    print(json.dumps({"seconds": seconds, "times faster": ratio}, indent=2))


if __name__ == "__main__":
    if "PARITY_PYTHON" not in os.environ:
        sys.exit("benchmark: run it by `make bench`, or set PARITY_PYTHON")
    main(os.environ["PARITY_PYTHON"])
