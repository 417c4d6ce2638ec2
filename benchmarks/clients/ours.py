"""krixik_async by its public API: `process_status` in many tasks, or `process` of many files."""

from __future__ import annotations

import asyncio
import time
from argparse import Namespace
from pathlib import Path

from benchmarks import window
from krixik_async import Krixik, Pipeline


async def main(given: Namespace) -> None:
    """Ask or submit, as the command line says."""
    async with Krixik(api_key=window.KEY, api_url=given.url, max_in_flight=given.workers) as krixik:
        pipeline = krixik.create_pipeline(name="bench", module_chain=["parser", "text-embedder"])
        if given.files is None:
            await window.count_async(
                lambda: pipeline.process_status(request_id=window.PROCESS), given
            )
        else:
            await submit(pipeline, files(given))


def files(given: Namespace) -> list[Path]:
    """List the files that are to be sent."""
    return sorted(Path(given.files).iterdir())[: given.limit]


async def submit(pipeline: Pipeline, paths: list[Path]) -> None:
    """Send every file at once: how many are under way is the client's to bound."""
    await pipeline.process(local_file_path=paths[0])
    before, start, cpu_s = window.megabytes_at_most(), time.perf_counter(), time.process_time()
    await asyncio.gather(*(pipeline.process(local_file_path=path) for path in paths))
    window.report(
        files=len(paths),
        seconds=time.perf_counter() - start,
        cpu_s=time.process_time() - cpu_s,
        megabytes=window.megabytes_at_most(),
        megabytes_before=before,
    )


if __name__ == "__main__":
    asyncio.run(main(window.arguments()))
