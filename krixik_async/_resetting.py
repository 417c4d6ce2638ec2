"""Emptying a pipeline: every finished file deleted, however many, and what could not be, named."""

from __future__ import annotations

from collections.abc import Iterable

import anyio

from krixik_async._errors import AuthenticationError, FileRecordNotFound, KrixikError
from krixik_async._models import DeleteResult, FileRecord, ResetResult
from krixik_async._pipeline import Pipeline
from krixik_async._selectors import MAX_FILES

# How many deletions of a reset are in flight.
RESET_AT_A_TIME = 16


async def reset(pipeline: Pipeline) -> ResetResult:
    """Delete what `Krixik.reset_pipeline` says."""
    tried: set[str] = set()
    answers: list[DeleteResult] = []
    failures: dict[str, KrixikError] = {}
    while True:
        found = await pipeline.list(symbolic_directory_paths=["/*"], max_files=MAX_FILES[1])
        # Each file once: a list may lag behind and show what is deleted.
        left = [record for record in found if record.file_id not in tried]
        if not left:
            return ResetResult(pipeline=pipeline.name, answers=tuple(answers), failures=failures)
        tried.update(record.file_id for record in left)
        await _delete_all(pipeline, left, answers, failures)


async def _delete_all(
    pipeline: Pipeline,
    records: Iterable[FileRecord],
    answers: list[DeleteResult],
    failures: dict[str, KrixikError],
) -> None:
    waiting = iter(records)
    rejected: list[AuthenticationError] = []

    async def work() -> None:
        for record in waiting:
            if rejected:
                return
            try:
                answers.append(await pipeline.delete(file_id=record.file_id))
            except AuthenticationError as error:
                rejected.append(error)
            except FileRecordNotFound:
                pass  # deleted or expired since it was listed
            except KrixikError as error:
                failures[record.file_id] = error

    async with anyio.create_task_group() as group:
        for _ in range(RESET_AT_A_TIME):
            group.start_soon(work)
    if rejected:
        raise rejected[0]
