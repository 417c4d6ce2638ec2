"""The service of `service` behind a real socket, for waits in real time.

    python -m benchmarks.job_server --jobs 1000

Prints "ready on URL". A line "start" on its standard input lets the jobs begin; a line "count" is
answered with the requests so far, by path. Ends with its input.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

import httpx

from benchmarks.service import Service, lognormal


async def main(given: argparse.Namespace) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    service = Service(lognormal(given.jobs))
    server = await asyncio.start_server(
        lambda reader, writer: serve(service, reader, writer), "127.0.0.1", 0
    )
    print(f"ready on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    while said := await loop.run_in_executor(None, sys.stdin.readline):
        if said == "start\n":
            service.started = loop.time()
        print(json.dumps(service.requests), flush=True)


async def serve(
    service: Service, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer the requests of one connection."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
            body = await reader.readexactly(length)
            url = f"http://service{head.split(' ', 2)[1]}"
            answer = await service.handle_async_request(httpx.Request("POST", url, content=body))
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer.content)
                + answer.content
            )
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, required=True)
    asyncio.run(main(parser.parse_args()))
