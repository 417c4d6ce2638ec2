"""The main job over real sockets, against the server as a process of its own."""

from __future__ import annotations

import random
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from krixik_async import Job, JobOutcome, Krixik, Pipeline, RequestNotFound
from krixik_async.testing import ServerProcess

pytestmark = pytest.mark.anyio

KEY = str(uuid.UUID(int=7, version=4))
WORDS = [
    *("whale", "harpoon", "children", "doors", "sea", "ship", "captain", "lamp", "tide", "honey"),
    *("the", "of", "and", "a", "it", "was", "bright", "cold", "sub-librarian", "o'clock"),
]


def text(seed: int, size: int) -> bytes:
    """Give a text of nearly `size` bytes, whole lines of a dozen words, the same for a seed."""
    rng = random.Random(seed)
    lines: list[str] = []
    room = size
    while room > 200:
        lines.append(" ".join(rng.choices(WORDS, k=12)) + " end.")
        room -= len(lines[-1]) + 1
    return "\n".join(lines).encode()


def rows(database: Path) -> list[tuple[object, ...]]:
    """Give what a keyword-db output holds."""
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute("SELECT * FROM keyword_search").fetchall()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path / "data", api_key=KEY, ticket_seconds=2) as running:
        yield running


async def submit_all(
    pipeline: Pipeline, files: dict[str, bytes], folder: Path, jobs: dict[str, Job]
) -> None:
    """Send all files at once, each under a name of the client's own making."""

    async def submit(name: str, content: bytes) -> None:
        path = anyio.Path(folder / name)
        await path.write_bytes(content)
        jobs[name] = await pipeline.process(local_file_path=path)

    async with anyio.create_task_group() as group:
        for name, content in files.items():
            group.start_soon(submit, name, content)


async def test_a_novel_and_fifty_small_files_go_through_together(
    server: ServerProcess, tmp_path: Path
) -> None:
    files = {f"{n}.txt": text(n, 2000) for n in range(50)}
    files["novel.txt"] = text(99, 2 * 2**20)
    jobs: dict[str, Job] = {}
    async with Krixik(api_key=KEY, api_url=server.url) as krixik:
        pipeline = krixik.create_pipeline(name="books", module_chain=["keyword-db"])
        await submit_all(pipeline, files, tmp_path, jobs)
        result = await pipeline.wait_until_complete(jobs.values(), timeout=50)
        assert len(result.complete) == 51, result
        novel = await pipeline.fetch_output(
            file_id=jobs["novel.txt"].file_id, local_save_directory=tmp_path / "out"
        )
        lines = [row[2] for row in rows(Path(novel.process_output_files[0]))]
        found = await pipeline.keyword_search(query="harpoon", file_ids=[jobs["7.txt"].file_id])
        hits = [(hit.line_number, hit.keyword_number) for hit in found.items[0].search_results]
    assert lines[-1] == files["novel.txt"].count(b"\n") + 1
    assert hits == [
        (line, number)
        for line, words in enumerate(files["7.txt"].decode().split("\n"), 1)
        for number, word in enumerate(words.split(), 1)
        if word.strip(".") == "harpoon"
    ]


# Real time passes here (a lost upload is looked for during 15 s), so on one backend only; on both,
# in virtual time, test_sending has every lost answer.
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_server_killed_in_the_middle_loses_nothing_that_was_confirmed(
    tmp_path: Path, server: ServerProcess
) -> None:
    """A kill -9 with files uploaded, in work and on their way; the client rides it out."""
    files = {f"{n}.txt": text(n, 20_000) for n in range(40)}
    jobs: dict[str, Job] = {}
    states: list[str] = []

    def note(outcome: JobOutcome) -> None:
        states.append(outcome.state)

    # More attempts: on a busy machine a server takes longer to start than four of them last.
    async with Krixik(api_key=KEY, api_url=server.url, attempts=12) as krixik:
        pipeline = krixik.create_pipeline(name="books", module_chain=["keyword-db"])
        async with anyio.create_task_group() as group:
            group.start_soon(submit_all, pipeline, files, tmp_path, jobs)
            while len(jobs) < 15:
                await anyio.lowlevel.checkpoint()
            confirmed = dict(jobs)
            server.kill()
            await anyio.to_thread.run_sync(server.start)
        assert len(confirmed) < len(files), "the kill came too late to be in the middle"
        result = await pipeline.wait_until_complete(jobs.values(), timeout=50, on_update=note)
        assert len(result.complete) == len(files), result
        assert set(states) <= {"pending", "complete"}
        for name, job in jobs.items():
            saved = await pipeline.fetch_output(
                file_id=job.file_id, local_save_directory=tmp_path / "out"
            )
            last_line = rows(Path(saved.process_output_files[0]))[-1][2]
            assert last_line == files[name].count(b"\n") + 1
        listed = await pipeline.list(symbolic_directory_paths=["/*"])
        assert {record.file_id for record in listed} == {job.file_id for job in jobs.values()}


async def test_what_is_deleted_is_not_found(server: ServerProcess) -> None:
    async with Krixik(api_key=KEY, api_url=server.url) as krixik:
        pipeline = krixik.create_pipeline(name="books", module_chain=["parser"])
        job = await pipeline.process(local_file_path=text(1, 500), file_name="one.txt")
        await job
        await pipeline.delete(file_id=job.file_id)
        with pytest.raises(RequestNotFound, match=f"process_id was not found - {job.request_id}"):
            await pipeline.process_status(request_id=job.request_id)


def test_a_stopped_server_exits_in_order(tmp_path: Path) -> None:
    assert ServerProcess(tmp_path / "data").start().stop() == 0
