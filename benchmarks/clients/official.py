"""The official client, in its own environment: in a loop, or in `--workers` threads.

Each thread has a pipeline object of its own, because that keeps the state of a call on itself:
one for all threads fails with "local_file_path is None". What its calls print is thrown away.
"""

from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from krixik import krixik  # type: ignore[import-not-found] # in an environment of its own

from benchmarks import window

_thread = threading.local()


def pipeline() -> Any:  # noqa: ANN401 - it has no types
    """Give this thread's own."""
    if not hasattr(_thread, "pipeline"):
        _thread.pipeline = krixik.create_pipeline(
            name="bench", module_chain=["parser", "text-embedder"]
        )
    return _thread.pipeline


def ask() -> None:
    """Ask for a status once."""
    pipeline().process_status(request_id=window.PROCESS)


def send(path: Path) -> None:
    """Send one file."""
    pipeline().process(local_file_path=str(path), wait_for_process=False, verbose=False)


def submit(paths: list[Path], threads: int) -> None:
    """Send all files."""
    with redirect_stdout(sys.stderr):
        send(paths[0])
        before, start, cpu_s = window.megabytes_at_most(), time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(send, paths))
    window.report(
        files=len(paths),
        seconds=time.perf_counter() - start,
        cpu_s=time.process_time() - cpu_s,
        megabytes=window.megabytes_at_most(),
        megabytes_before=before,
    )


def main() -> None:
    """Ask or submit, as the command line says."""
    given = window.arguments()
    krixik.init(api_key=window.KEY, api_url=given.url)
    if given.files is not None:
        submit(sorted(Path(given.files).iterdir())[: given.limit], given.workers)
    elif given.workers == 1:
        window.count_loop(ask, given)
    else:
        window.count_threads(ask, given)


if __name__ == "__main__":
    main()
