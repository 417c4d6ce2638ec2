"""Send real files through a Krixik pipeline and watch: on this machine, with no account.

    python examples/demo.py [FILE ...] [--query WORDS] [--save-to DIR]

The server is the embedded one, as a process of its own; all else is what any program would do.
"""

from __future__ import annotations

import sys

try:
    import argparse
    import asyncio
    import json
    import signal
    import subprocess
    import tempfile
    import textwrap
    import time
    import uuid
    from collections.abc import AsyncIterator, Sequence
    from contextlib import asynccontextmanager
    from pathlib import Path

    from rich.console import Console
    from rich.live import Live
    from rich.spinner import Spinner
    from rich.table import Table

    from krixik_async import Job, JobOutcome, Krixik, KrixikError, Pipeline, RequestNotFound
except KeyboardInterrupt:  # Ctrl-C while these are still being loaded
    sys.exit(130)

CHAIN = ["keyword-db"]
READY = "krixik-async server ready on "
EXAMPLES = sorted(Path(__file__).parent.glob("*.txt"))

console = Console(soft_wrap=not sys.stdout.isatty(), highlight=False)


@asynccontextmanager
async def embedded_server(api_key: str) -> AsyncIterator[str]:
    """Run a server on a free loopback port, give its URL, and end it whatever happens."""
    with tempfile.TemporaryDirectory(prefix="krixik-demo-") as folder:
        command = [sys.executable, "-m", "krixik_async", "serve", "--port", "0"]
        command += ["--data-dir", folder, "--api-key", api_key, "--min-module-seconds", "1.5"]
        # In a session of its own, so that Ctrl-C reaches us alone and we end it in order.
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, start_new_session=True
        ) as server:
            try:
                assert server.stdout is not None
                line = await asyncio.to_thread(server.stdout.readline)
                if not line.startswith(READY):
                    raise SystemExit("demo: the server did not start")
                yield line.removeprefix(READY).strip()
            finally:
                server.terminate()
                try:
                    server.wait(timeout=5)
                except subprocess.TimeoutExpired:
                    server.kill()


class Board:
    """One row a file, module by module: live on a terminal, plain lines elsewhere."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.started = time.monotonic()
        self.names: dict[str, str] = {}
        self.rows = {path.name: ("uploading", [False] * len(CHAIN), 0.0) for path in paths}
        self.spinner = Spinner("dots")

    def sent(self, path: Path, job: Job) -> None:
        self.names[job.request_id] = path.name
        self.show(path.name, "uploaded", [False] * len(CHAIN))

    def update(self, outcome: JobOutcome) -> None:
        """Take what `wait_until_complete` tells of a job at each change."""
        flags = list(outcome.modules.values()) or [False] * len(CHAIN)
        state = "processing" if outcome.state == "pending" else outcome.state
        self.show(self.names[outcome.request_id], state, flags)

    def show(self, name: str, state: str, flags: list[bool]) -> None:
        elapsed = time.monotonic() - self.started
        self.rows[name] = (state, flags, elapsed)
        if not console.is_terminal:
            done = " ".join(f"{m}={str(f).lower()}" for m, f in zip(CHAIN, flags, strict=True))
            console.print(f"{elapsed:6.2f} s  {name:<24} {state:<12} {done}")

    def __rich__(self) -> Table:
        table = Table("file", *(f"module_{i}: {m}" for i, m in enumerate(CHAIN, 1)), "state", "s")
        for name, (state, flags, elapsed) in self.rows.items():
            cells = ["[green]done" if flag else self.spinner for flag in flags]
            colour = "green" if state == "complete" else "cyan"
            table.add_row(name, *cells, f"[{colour}]{state}", f"{elapsed:.2f}")
        return table


async def send(pipeline: Pipeline, path: Path, board: Board) -> Job:
    job = await pipeline.process(
        local_file_path=path, file_name=path.name, expire_time=60 * 30, wait_for_process=False
    )
    board.sent(path, job)
    return job


async def show_status(pipeline: Pipeline, job: Job) -> None:
    status = await pipeline.process_status(request_id=job.request_id)
    console.print(f"\nprocess_status of {job.file_name}, {status.overall_status}:")
    console.print_json(json.dumps(status.to_dict()))


async def show_hits(pipeline: Pipeline, query: str, sources: dict[str, Path]) -> None:
    found = await pipeline.keyword_search(query=query, symbolic_directory_paths=["/*"])
    table = Table("file", "line", "word", "keyword", "text", title=f"keyword_search: {query}")
    for item in found.items:
        lines = sources[item.file_id].read_text(encoding="utf-8").split("\n")
        for hit in item.search_results[:4]:
            where = (str(hit.line_number), str(hit.keyword_number), hit.keyword)
            text = textwrap.shorten(lines[hit.line_number - 1], 34, placeholder=" …")
            table.add_row(item.file_metadata.file_name, *where, text)
    console.print("", table if found.items else f"No file has a word of {query!r}.")


async def run(krixik: Krixik, paths: Sequence[Path], query: str, save_to: Path) -> None:
    pipeline = krixik.create_pipeline(name="demo", module_chain=CHAIN)
    board = Board(paths)

    with Live(board, console=console, auto_refresh=console.is_terminal, transient=False):
        async with asyncio.TaskGroup() as group:
            sending = [group.create_task(send(pipeline, path, board)) for path in paths]
        jobs = [task.result() for task in sending]
        await show_status(pipeline, jobs[0])
        result = await pipeline.wait_until_complete(jobs, timeout=50, on_update=board.update)
    result.raise_for_failures()
    await show_status(pipeline, jobs[0])

    save_to.mkdir(parents=True, exist_ok=True)
    console.print(f"\nOutputs, in {save_to}/:")
    for job in jobs:
        output = await pipeline.fetch_output(file_id=job.file_id, local_save_directory=save_to)
        for file in map(Path, output.process_output_files):
            console.print(f"  {job.file_name}: {file.name}, {file.stat().st_size:,} bytes")

    await show_hits(pipeline, query, {j.file_id: p for j, p in zip(jobs, paths, strict=True)})

    await pipeline.delete(file_id=jobs[0].file_id)
    console.print(f"\nDeleted {jobs[0].file_name}. Its request_id now:")
    try:
        await pipeline.process_status(request_id=jobs[0].request_id)
    except RequestNotFound as gone:
        console.print(f"  RequestNotFound: {gone}")


async def main(paths: Sequence[Path], query: str, save_to: Path) -> None:
    this = asyncio.current_task()
    assert this is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, this.cancel)
    api_key = str(uuid.uuid4())
    async with (
        embedded_server(api_key) as api_url,
        Krixik(api_key=api_key, api_url=api_url) as krixik,
    ):
        console.print(f"The embedded server runs on {api_url}; sending {len(paths)} files.")
        await run(krixik, paths, query, save_to)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Send text files through a keyword-db pipeline.")
    parser.add_argument("files", nargs="*", type=Path, default=EXAMPLES, metavar="FILE")
    parser.add_argument("--query", default="lamp tide honey", help="the words to look for")
    parser.add_argument("--save-to", type=Path, default=Path("demo-output"), metavar="DIR")
    asked = parser.parse_args()
    for file in asked.files:
        if not file.is_file():
            sys.exit(f"demo: {file}: no such file")
    problem, status = "", 1
    try:
        asyncio.run(main(asked.files, asked.query, asked.save_to))
    except* KrixikError as group:
        problem = "\n      ".join(str(error) for error in group.exceptions)
    except* (KeyboardInterrupt, asyncio.CancelledError):
        problem, status = "stopped; no process was left behind", 130
    if problem:
        print(f"\ndemo: {problem}", file=sys.stderr)
        sys.exit(status)
