"""What a client's pipelines share: the one status call, and how it all ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from krixik_async import ClientClosed, JobRef, RequestNotFound, ServerError, UnexpectedReply
from krixik_async._session import Session
from tests.client_side import STATUS, UNKNOWN, says, world

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


async def test_status_asks_once_and_gives_the_answer(tmp_path: Path) -> None:
    async with world(tmp_path, min_module_seconds=3) as w:
        job = await w.books().process(
            local_file_path=b"one two three four five six", file_name="a.txt"
        )
        status = await w.client._opened.status(job.ref)
        assert (status.file_id, dict(status.modules)) == (job.file_id, {"module_1": False})
        assert (status.pipeline, status.overall_status) == ("books", "ongoing")
        assert w.sent.count(STATUS) == 1


async def test_flags_that_lack_a_module_of_the_chain_are_not_complete(tmp_path: Path) -> None:
    """All true is done only if the chain's modules are all there, where the chain is known."""
    async with world(tmp_path) as w:
        body = {"request_id": "r", "file_id": "f", "process_status": {"module_1": True}}
        w.fail(STATUS, answer=says(200, body), times=2)
        of_two = JobRef(request_id=UNKNOWN, pipeline="books", module_count=2)
        of_unknown = JobRef(request_id=UNKNOWN, pipeline="books")
        session = w.client._opened
        assert (await session.status(of_two)).overall_status == "ongoing"
        assert (await session.status(of_unknown)).overall_status == "complete"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (says(400, {"request_id": "r", "message": "process_id was not found"}), RequestNotFound),
        (says(500, {"request_id": "r", "message": "no"}), ServerError),
        (says(200, b"<html>"), UnexpectedReply),
    ],
    ids=["not found", "broken", "no JSON"],
)
async def test_errors_of_a_status_carry_the_ids_of_the_job(
    tmp_path: Path, answer: Any, kind: type[Exception]
) -> None:
    """The id in a status error is the process's, not that of the call that failed."""
    async with world(tmp_path) as w:
        w.fail(STATUS, answer=answer, times=4)
        with pytest.raises(kind) as caught:
            await w.client._opened.status(JobRef(request_id=UNKNOWN, pipeline="p", file_id="f"))
        error: Any = caught.value
        assert (error.request_id, error.file_id, error.pipeline) == (UNKNOWN, "f", "p")


async def test_a_wait_begun_after_closing_ends_at_once(tmp_path: Path) -> None:
    """It is not ridden out as if the service could not be reached."""
    async with world(tmp_path) as w:
        session = w.client._opened
        await w.client.aclose()
        before = w.clock.now()
        with pytest.raises(ClientClosed):
            await w.books().wait_until_complete(UNKNOWN)
        assert (w.clock.now() - before, len(session.scheduler), w.sent) == (0.0, 0, [])


async def test_closing_ends_waits_calls_and_tasks(tmp_path: Path) -> None:
    async with world(tmp_path, min_module_seconds=1000) as w:
        session: Session = w.client._opened
        job = await w.books().process(local_file_path=b"a b c d e f", file_name="a.txt")
        ended: list[str] = []

        async def wait() -> None:
            with pytest.raises(ClientClosed):
                await job
            ended.append("wait")

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await w.clock.sleep(5)
            await session.aclose()
            await session.aclose()
        assert (ended, len(session.tasks), len(session.scheduler)) == (["wait"], 0, 0)
