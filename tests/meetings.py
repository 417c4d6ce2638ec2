"""What a client meets under each fault, whichever way it reaches the server."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from krixik_async import Krixik, KrixikError
from krixik_async._catalogue import output_process_keys
from krixik_async._sources import BytesSource
from krixik_async._wire import Submit, Ticket, read_ticket
from krixik_async.testing import (
    Answer,
    Corrupt,
    Delay,
    DropAfter,
    DropBefore,
    Fault,
    Refuse,
    Throttle,
    Truncate,
)
from tests.faulty import TEXT

LARGE = bytes(24 * 2**20)


async def ticket(krixik: Krixik, name: str) -> Ticket:
    request = Submit(
        pipeline="forms",
        pipeline_ordered_modules=("parser",),
        pipeline_output_process_keys=output_process_keys(("parser",)),
        modules={},
        file_name=name,
        symbolic_directory_path="/etc",
        file_tags=(),
        file_description="",
        expire_time=1800,
    )
    return await krixik._session.transport.call(request, read_ticket)


def own_name(folder: Path) -> str:
    """Give a name that no other test has: that of its folder."""
    return re.sub(r"[^a-z0-9]", "", folder.name.lower())[-40:] + ".txt"


async def a_call(krixik: Krixik, folder: Path) -> object:
    pipeline = krixik.create_pipeline(name="books", module_chain=["parser"])
    return await pipeline.list(file_names=["a.txt"])


async def an_upload(krixik: Krixik, folder: Path, content: bytes = TEXT) -> object:
    form = await ticket(krixik, own_name(folder))
    transport = krixik._session.transport
    return await transport.upload(form, BytesSource(content), file_name="a.txt")


async def a_large_upload(krixik: Krixik, folder: Path) -> object:
    return await an_upload(krixik, folder, LARGE)


async def a_download(krixik: Krixik, folder: Path) -> object:
    pipeline = krixik.create_pipeline(name="books", module_chain=["parser"])
    job = await pipeline.process(local_file_path=TEXT, file_name=own_name(folder))
    await job
    return await pipeline.fetch_output(file_id=job.file_id, local_save_directory=folder)


CALL, UPLOAD, DOWNLOAD = ("list",), ("upload",), ("download",)
MEETINGS: list[tuple[Callable[[Krixik, Path], Awaitable[object]], Fault, str]] = [
    (a_call, Refuse(CALL), "AnswerLost"),
    (a_call, DropBefore(CALL), "AnswerLost"),
    (a_call, DropAfter(CALL), "AnswerLost"),
    (a_call, Truncate(CALL), "AnswerLost"),
    (a_call, Truncate(CALL, after_bytes=0), "AnswerLost"),
    (a_call, Corrupt(CALL), "UnexpectedReply"),
    (a_call, Corrupt(CALL, how="flip"), "UnexpectedReply"),
    (a_call, Throttle(CALL), "RateLimited"),
    (a_call, Throttle(CALL, status=503, form="float"), "RateLimited"),
    (a_call, Throttle(CALL, retry_after=None), "RateLimited"),
    (a_call, Answer(CALL), "ServerError"),
    (a_call, Answer(CALL, status=403), "AuthenticationError"),
    (a_call, Answer(CALL, status=404), "UnexpectedReply"),
    (a_call, Answer(CALL, status=400, body={"request_id": "r", "message": "m"}), "RequestRejected"),
    (a_call, Answer(CALL, status=200, body="<html>"), "UnexpectedReply"),
    (a_call, Answer(CALL, status=204), "UnexpectedReply"),
    (a_call, Delay(CALL, seconds=0.01), "ListResult"),
    (an_upload, Refuse(UPLOAD), "AnswerLost"),
    (an_upload, DropBefore(UPLOAD), "AnswerLost"),
    (an_upload, DropAfter(UPLOAD), "AnswerLost"),
    (an_upload, Truncate(UPLOAD), "AnswerLost"),
    (an_upload, Corrupt(UPLOAD), "NoneType"),
    (an_upload, Corrupt(UPLOAD, how="flip"), "NoneType"),
    (an_upload, Throttle(UPLOAD, form="date"), "UploadRejected"),
    (an_upload, Answer(UPLOAD, carry_out=True), "UploadRejected"),
    (a_large_upload, Refuse(UPLOAD), "UploadInterrupted"),
    (a_large_upload, DropBefore(UPLOAD), "AnswerLost"),
    (a_download, Refuse(DOWNLOAD), "DownloadInterrupted"),
    (a_download, DropAfter(DOWNLOAD), "DownloadInterrupted"),
    (a_download, Truncate(DOWNLOAD), "DownloadInterrupted"),
    (a_download, Throttle(DOWNLOAD), "RateLimited"),
    (a_download, Answer(DOWNLOAD, status=403), "DownloadRejected"),
    (a_download, Corrupt(DOWNLOAD), "Output"),
]  # fmt: skip
every_meeting = pytest.mark.parametrize(
    ("act", "fault", "meets"),
    MEETINGS,
    ids=[f"{act.__name__}-{fault.kind}-{n}" for n, (act, fault, _) in enumerate(MEETINGS)],
)


async def meet(act: Callable[[Krixik, Path], Awaitable[object]], krixik: Krixik, to: Path) -> str:
    try:
        return type(await act(krixik, to)).__name__
    except KrixikError as error:
        return type(error).__name__
