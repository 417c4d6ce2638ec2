"""Status requests: how many a second a client makes on one core, and what one costs.

The aim: with no latency at least 6 times the official client in a loop, and 0.75 of what aiohttp
does by itself; at 50 ms of latency with 256 workers at least 150 times the official loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import attrs

from benchmarks.processes import (
    Numbers,
    Server,
    canned,
    certificate,
    official_python,
    run_client,
    run_wrk,
)

NAME = "requests"
ROUNDS = 3


@attrs.frozen
class Setting:
    """Name a server and a number of workers."""

    latency_ms: int
    tls: bool
    workers: int


FULL = (
    Setting(0, False, 64),
    Setting(0, False, 256),
    Setting(50, False, 64),
    Setting(50, False, 256),
    Setting(0, True, 64),
)
QUICK = (Setting(0, False, 64),)

# Variant, client program, workers (None: those of the setting). The official client's numbers do
# not depend on the setting's workers, so it is asked once for each server.
VARIANTS: tuple[tuple[str, str, int | None], ...] = (
    ("krixik_async", "ours", None),
    ("official, a loop", "official", 1),
    ("official, 32 threads", "official", 32),
    ("httpx, gather", "plain_httpx", None),
    ("aiohttp", "raw_aiohttp", None),
    ("wrk (C)", "wrk", None),
)


def run(*, quick: bool) -> list[Numbers]:
    """Give one row a variant, setting and round."""
    settings = QUICK if quick else FULL
    rows: list[Numbers] = []
    with ExitStack() as stack:
        trust = stack.enter_context(certificate()) if not quick else None
        servers = {
            (setting.latency_ms, setting.tls): stack.enter_context(
                canned(setting.latency_ms / 1000, trust if setting.tls else None)
            )
            for setting in settings
            if trust is not None or not setting.tls
        }
        for number in range(1 if quick else ROUNDS):
            for setting in settings:
                server = servers.get((setting.latency_ms, setting.tls))
                if server is not None:
                    rows += [
                        {"round": number, **attrs.asdict(setting), **row}
                        for row in _one_round(setting, server, quick, trust)
                    ]
    return rows


def _one_round(
    setting: Setting, server: Server, quick: bool, trust: Path | None
) -> Iterator[Numbers]:
    for variant, program, workers in VARIANTS:
        if program == "official" and (
            official_python() is None
            or (setting.workers == 256 and not quick)
            or (quick and workers == 32)
        ):
            continue
        if quick and program in ("plain_httpx", "wrk"):
            continue
        busy_before = server.cpu_s()
        numbers = _measure(
            program,
            server.url,
            workers or setting.workers,
            seconds=0.1 if quick else 1.0,
            trust=trust if setting.tls else None,
        )
        if numbers is not None:
            yield {"variant": variant, **numbers, "server_cpu_s": server.cpu_s() - busy_before}


def _measure(
    program: str, url: str, workers: int, *, seconds: float, trust: Path | None
) -> Numbers | None:
    if program == "wrk":
        return run_wrk(url, connections=workers, seconds=seconds)
    warm_up = seconds / 3
    if program == "plain_httpx":
        # At ten to sixty answers a second a shorter look would see hardly any.
        warm_up, seconds = 1.0, 3.0
    options = ("--workers", str(workers), "--warm-up", str(warm_up), "--seconds", str(seconds))
    python = official_python() if program == "official" else None
    if python is None:
        return run_client(program, url, *options, trust=trust)
    return run_client(program, url, *options, trust=trust, python=python)
