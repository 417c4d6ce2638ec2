"""Sending files of 100 kB: how many a second, and what memory that takes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.processes import Numbers, Server, canned, official_python, run_client

NAME = "submitting"
ROUNDS = 2
FILES = 1000
SIZE = 100_000
# The latency of each answer, and how many files the official client sends one after another: at
# two answers a file of 50 ms each, all of them would take it two minutes.
LATENCIES_MS = {0: FILES, 50: 100}


def run(*, quick: bool) -> list[Numbers]:
    """Give one row a variant, latency and round."""
    rows: list[Numbers] = []
    with tempfile.TemporaryDirectory() as folder:
        words = "word " * (SIZE // 5)
        for number in range(20 if quick else FILES):
            Path(folder, f"{number:04d}.txt").write_text(words, encoding="utf-8")
        for latency_ms, in_a_loop in LATENCIES_MS.items():
            if quick and latency_ms:
                continue
            with canned(latency_ms / 1000) as server:
                for number in range(1 if quick else ROUNDS):
                    rows += [
                        {"round": number, "latency_ms": latency_ms, **row}
                        for row in _one_round(server, folder, in_a_loop)
                    ]
    return rows


def _one_round(server: Server, folder: str, in_a_loop: int) -> Iterator[Numbers]:
    python = official_python()
    yield {"variant": "krixik_async", **run_client("ours", server.url, "--files", folder)}
    if python is not None:
        for variant, workers, limit in (
            ("official, a loop", 1, in_a_loop),
            ("official, 32 threads", 32, FILES),
        ):
            options = ("--files", folder, "--workers", str(workers), "--limit", str(limit))
            numbers = run_client("official", server.url, *options, python=python)
            yield {"variant": variant, **numbers}
