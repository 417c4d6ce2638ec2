"""One process that works on a journal: what the tests kill.

python -m tests.soak.bulk_worker URL KEY PIPELINE FOLDER JOURNAL OUT BACKEND [HEARTBEAT_S]

Prints "started" when it begins, then a line of JSON for each outcome. A lease is four heartbeats.
"""

from __future__ import annotations

import json
import signal
import sys

import anyio

from krixik_async import Krixik
from krixik_async._journal import _writer


async def work(url: str, key: str, name: str, folder: str, journal: str, out: str) -> None:
    async with Krixik(api_key=key, api_url=url) as krixik:
        pipeline = krixik.create_pipeline(name=name, module_chain=["keyword-db"])
        print("started", flush=True)
        save_to = out or None
        stream = pipeline.process_many(
            folder, journal=journal, max_in_flight=8, local_save_directory=save_to
        )
        async with stream:
            async for outcome in stream:
                line = {
                    "input": str(outcome.input.local_file_path),
                    "state": outcome.state,
                    "resumed": outcome.resumed,
                    "request_id": outcome.request_id,
                    "saved": [str(path) for path in outcome.saved],
                    "error": str(outcome.error or ""),
                }
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    # A shell lets what it starts in the background ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if len(sys.argv) > 8:
        _writer.HEARTBEAT_S = float(sys.argv[8])
    anyio.run(work, *sys.argv[1:7], backend=sys.argv[7])
