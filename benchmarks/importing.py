"""Importing the package: what it costs, in CPU seconds of a fresh interpreter.

The aim: at most 0.2 s, where the official client takes 0.46 s on the machine it was set on.
"""

from __future__ import annotations

import subprocess
import sys

from benchmarks.processes import ROOT, Numbers, official_python

NAME = "importing"
ROUNDS = 7

OURS = {
    "import krixik_async": "import krixik_async",
    "from krixik_async import Krixik": "from krixik_async import Krixik",
    "the same, and a client made": (
        "from krixik_async import Krixik; Krixik(api_key='k', api_url='http://h')"
    ),
}
OFFICIAL = {"official: from krixik import krixik": "from krixik import krixik"}
_TIMED = """
import time
start, cpu_s = time.perf_counter(), time.process_time()
{statement}
print(time.process_time() - cpu_s, time.perf_counter() - start)
"""


def run(*, quick: bool) -> list[Numbers]:
    """Give one row a statement and round."""
    pythons = [(sys.executable, OURS)]
    official = official_python()
    if official is not None:
        pythons.append((official, OFFICIAL))
    rows: list[Numbers] = []
    # The first round compiles what has no byte code yet, and is thrown away.
    for number in range(-1, 1 if quick else ROUNDS):
        for python, statements in pythons:
            for variant, statement in statements.items():
                cpu_s, seconds = _measure(python, statement)
                row = {"round": number, "variant": variant, "cpu_s": cpu_s, "seconds": seconds}
                rows += [row] if number >= 0 else []
    return rows


def _measure(python: str, statement: str) -> tuple[float, float]:
    program = _TIMED.format(statement=statement)
    done = subprocess.run(
        [python, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
    )
    cpu_s, seconds = done.stdout.split()
    return float(cpu_s), float(seconds)
