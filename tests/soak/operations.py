"""Every public operation that talks to a server, by name; each gives what it came to."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from krixik_async import FileInput, Job, JobRef, Krixik, Pipeline
from krixik_async._wire import Request
from krixik_async.testing import (
    Answer,
    Corrupt,
    Delay,
    DropAfter,
    DropBefore,
    ExpireEarly,
    Fault,
    Lag,
    Refuse,
    SpoilSecondUpload,
    Throttle,
    Truncate,
)

TEXT = b"It was a bright cold day in April, and the clocks were striking thirteen.\n" * 3


@attrs.frozen
class Desk:
    """Hold what an operation works with: a client, a pipeline, a file that is complete."""

    krixik: Krixik
    pipeline: Pipeline
    job: Job
    folder: Path
    rng: random.Random
    journal: str = "run.db"

    def name(self) -> str:
        """Make up a file's name."""
        return f"f{self.rng.getrandbits(60):x}.txt"


async def desk(krixik: Krixik, folder: Path, rng: random.Random, name: str = "books") -> Desk:
    """Send a file and wait for it, so that there is something to work with."""
    pipeline = krixik.create_pipeline(name=name, module_chain=["keyword-db"])
    job = await pipeline.process(local_file_path=TEXT, file_name=f"f{rng.getrandbits(60):x}.txt")
    await job
    return Desk(krixik, pipeline, job, folder, rng)


async def check_in(here: Desk) -> object:
    return await here.krixik.check_in()


async def check_cap(here: Desk) -> object:
    return await here.krixik.check_cap()


async def process(here: Desk) -> object:
    return await here.pipeline.process(local_file_path=TEXT, file_name=here.name())


async def process_nameless(here: Desk) -> object:
    path = here.folder / "a.txt"
    path.write_bytes(TEXT)
    return await here.pipeline.process(local_file_path=path)


async def process_and_fetch(here: Desk) -> object:
    return await here.pipeline.process(
        local_file_path=TEXT,
        file_name=here.name(),
        wait_for_process=True,
        local_save_directory=here.folder,
    )


async def process_status(here: Desk) -> object:
    return await here.pipeline.process_status(request_id=here.job.request_id)


async def wait_until_complete(here: Desk) -> object:
    return await here.pipeline.wait_until_complete([here.job, here.job.request_id], timeout=120)


async def wait_for_nothing(here: Desk) -> object:
    gone = JobRef(request_id=here.name(), pipeline=here.pipeline.name)
    return await here.krixik.wait_until_complete([gone], timeout=120)


async def as_completed(here: Desk) -> object:
    return [one async for one in here.pipeline.as_completed([here.job], timeout=120)]


async def resume(here: Desk) -> object:
    pending = await here.pipeline.wait_until_complete([here.job.request_id], timeout=0)
    return await here.krixik.resume(pending.resume_token, timeout=120)


async def fetch_output(here: Desk) -> object:
    return await here.pipeline.fetch_output(
        file_id=here.job.file_id, local_save_directory=here.folder
    )


async def list_files(here: Desk) -> object:
    return await here.pipeline.list(symbolic_directory_paths=["/*"])


async def update(here: Desk) -> object:
    return await here.pipeline.update(file_id=here.job.file_id, file_description="told anew")


async def delete(here: Desk) -> object:
    return await here.pipeline.delete(file_id=here.job.file_id)


async def show_tree(here: Desk) -> object:
    return await here.pipeline.show_tree(symbolic_directory_path="/*")


async def keyword_search(here: Desk) -> object:
    return await here.pipeline.keyword_search(query="clocks", symbolic_directory_paths=["/*"])


async def semantic_search(here: Desk) -> object:
    pipeline = here.krixik.create_pipeline(
        name="meanings", module_chain=["parser", "text-embedder", "vector-db"]
    )
    return await pipeline.semantic_search(query="clocks", symbolic_directory_paths=["/*"])


async def process_many(here: Desk) -> object:
    """Send three files, with a journal; by default one that every run of it shares."""
    names = [here.name() for _ in range(3)]
    inputs = [FileInput(TEXT + name.encode(), file_name=name, key=name) for name in names]
    async with here.pipeline.process_many(inputs, journal=here.folder / here.journal) as stream:
        return [one async for one in stream]


async def reset_pipeline(here: Desk) -> object:
    return await here.krixik.reset_pipeline(here.pipeline)


OPERATIONS: Mapping[str, Callable[[Desk], Awaitable[object]]] = {
    operation.__name__: operation
    for operation in (
        check_in,
        check_cap,
        process,
        process_nameless,
        process_and_fetch,
        process_status,
        wait_until_complete,
        wait_for_nothing,
        as_completed,
        resume,
        fetch_output,
        list_files,
        update,
        delete,
        show_tree,
        keyword_search,
        semantic_search,
        process_many,
        reset_pipeline,
    )
}

# The longest that one call may take: every try its whole time, every pause its longest. The
# longest `Retry-After` obeyed is 60 s, and one that comes in a pause begins anew.
_LONGEST_TRY_S = max(kind.endpoint.attempt_timeout_s for kind in Request.__subclasses__())
ONE_CALL_S = 4 * _LONGEST_TRY_S + 3 * (30 + 60) + 60
# What is made of several calls: a submission asks for up to four tickets, waits 90 s for a name
# and looks an upload up for as long; a wait rides an outage out until its own time-out of 120 s.
DEADLINES_S: Mapping[str, float] = {
    "process": 12 * ONE_CALL_S,
    "process_nameless": 12 * ONE_CALL_S,
    # Its waits go on until the record's own end.
    "process_many": 1800 + 16 * ONE_CALL_S,
    "process_and_fetch": 1800 + 16 * ONE_CALL_S,
    "wait_until_complete": 120 + ONE_CALL_S,
    "wait_for_nothing": 120 + ONE_CALL_S,
    "as_completed": 120 + ONE_CALL_S,
    "resume": 120 + ONE_CALL_S,
    "fetch_output": 3 * ONE_CALL_S,
    "reset_pipeline": 3 * ONE_CALL_S,
}

FOREVER_S = 1e5


def one_of_each(**which: Any) -> list[Fault]:
    """Give a fault of every kind, and of kinds that have several the several."""
    anywhere: list[Fault] = [
        Refuse(**which),
        Delay(seconds=3, **which),
        Delay(seconds=FOREVER_S, **which),
        DropBefore(**which),
        DropAfter(**which),
        Truncate(**which),
        Truncate(after_bytes=0, **which),
        Corrupt(**which),
        Corrupt(how="flip", **which),
        Throttle(**which),
        Throttle(form="float", retry_after=0.25, status=503, **which),
        Throttle(form="date", retry_after=3600, **which),
        Throttle(retry_after=None, **which),
    ]
    answers: list[Fault] = [
        Answer(status=status, **which)
        for status in (200, 204, 301, 400, 401, 403, 404, 409, 413, 422, 500, 501, 502, 503, 504)
    ]
    spoken: list[Fault] = [
        Answer(status=200, body="<html>a proxy</html>", **which),
        Answer(status=200, body=[], carry_out=True, **which),
        Answer(status=400, body={"request_id": "r", "message": "no such thing found"}, **which),
        Answer(status=400, body={"request_id": "r", "message": "it was not found"}, **which),
        Answer(status=500, body={"request_id": "r", "message": "FAILURE"}, carry_out=True, **which),
    ]
    records: list[Fault] = [
        Lag(seconds=20, **which),
        ExpireEarly(seconds=0, **which),
        ExpireEarly(seconds=1, **which),
        SpoilSecondUpload(**which),
    ]
    return [*anywhere, *answers, *spoken, *records]
