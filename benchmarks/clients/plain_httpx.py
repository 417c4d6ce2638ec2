"""httpx as one would use it by hand: one `AsyncClient` for all tasks."""

from __future__ import annotations

import asyncio
from argparse import Namespace

import httpx

from benchmarks import window


async def main(given: Namespace) -> None:
    """Ask for a status over and over."""
    url = f"{given.url}/krixik-core-process-status"
    headers = {"krixikApiKey": window.KEY, "Content-Type": "text/plain"}
    # As many connections as tasks, and no time-out: by its defaults most would raise PoolTimeout.
    limits = httpx.Limits(max_connections=given.workers, max_keepalive_connections=given.workers)
    async with httpx.AsyncClient(limits=limits, timeout=None) as client:

        async def ask() -> None:
            body = {"pipeline": "bench", "version": "1.1.19", "process_id": window.PROCESS}
            response = await client.post(url, json=body, headers=headers)
            response.raise_for_status().json()

        await window.count_async(ask, given)


if __name__ == "__main__":
    asyncio.run(main(window.arguments()))
