"""aiohttp as one would use it by hand: one session, the body dumped, the answer parsed."""

from __future__ import annotations

import asyncio
import json
from argparse import Namespace

import aiohttp
import httpx

from benchmarks import window


async def main(given: Namespace) -> None:
    """Ask for a status over and over."""
    url = f"{given.url}/krixik-core-process-status"
    headers = {"krixikApiKey": window.KEY, "Content-Type": "text/plain"}
    # The context that ours takes too, so that both trust the same certificates.
    connector = aiohttp.TCPConnector(limit=0, ssl=httpx.create_ssl_context())
    async with aiohttp.ClientSession(connector=connector) as session:

        async def ask() -> None:
            body = {"pipeline": "bench", "version": "1.1.19", "process_id": window.PROCESS}
            async with session.post(url, data=json.dumps(body), headers=headers) as response:
                response.raise_for_status()
                await response.json()

        await window.count_async(ask, given)


if __name__ == "__main__":
    asyncio.run(main(window.arguments()))
