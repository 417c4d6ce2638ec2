"""Uploads over real sockets: the form, the counting, and what a failure at each stage means."""

from __future__ import annotations

import io
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from krixik_async._errors import (
    AnswerLost,
    ClientClosed,
    ConnectFailed,
    FileChanged,
    KrixikError,
    UnexpectedReply,
    UploadInterrupted,
    UploadRejected,
)
from krixik_async._offload import InlineOffload, Offload, ThreadOffload
from krixik_async._sources import (
    READ_BYTES,
    BytesSource,
    FileSource,
    PathSource,
    UploadSource,
)
from krixik_async._transport import TransportStatistics
from krixik_async._wire import encode_form
from tests.transport_world import (
    KEY,
    SENDERS,
    Got,
    Peer,
    raw_server,
    settled,
    ticket_for,
    transport_by,
    transport_to,
)

pytestmark = pytest.mark.anyio
by_every_sender = pytest.mark.parametrize("sender", SENDERS)

CONTENT = os.urandom(1_300_000)


async def confirm(peer: Peer) -> None:
    await peer.request()
    await peer.answer(204, b"")


class Source:
    """Say one size and give other pieces; `on_piece` is called before each."""

    def __init__(self, size: int, pieces: list[bytes], on_piece: Any = None) -> None:
        self._size = size
        self._pieces = pieces
        self._on_piece = on_piece

    async def size(self, offload: Offload) -> int:  # noqa: ARG002
        return self._size

    async def chunks(self, offload: Offload) -> AsyncGenerator[bytes, None]:  # noqa: ARG002
        for piece in self._pieces:
            if self._on_piece is not None:
                await self._on_piece()
            yield piece


def sources(folder: Path, content: bytes) -> dict[str, UploadSource]:
    path = folder / "a.txt"
    path.write_bytes(content)
    later = io.BytesIO(b"read already" + content)
    later.seek(12)
    return {"path": PathSource(path), "bytes": BytesSource(content), "file": FileSource(later)}


# --- what is sent --------------------------------------------------------------------------


@by_every_sender
@pytest.mark.parametrize("kind", ["path", "bytes", "file"])
@pytest.mark.parametrize("content", [CONTENT, b""], ids=["large", "empty"])
async def test_the_form_goes_out_whole_with_its_length_and_without_the_key(
    sender: str, kind: str, content: bytes, tmp_path: Path
) -> None:
    got: list[Got] = []

    async def handler(peer: Peer) -> None:
        got.append(await peer.request())
        await peer.answer(204, b"")

    source = sources(tmp_path, content)[kind]
    async with (
        raw_server(handler) as server,
        transport_by(sender, server.url, offload=ThreadOffload()) as world,
    ):
        await world.transport.upload(ticket_for(server.url), source, file_name="/x/y/a.txt")
        world.check_nothing_leaked()
    [request] = got
    boundary = request.headers["content-type"].removeprefix("multipart/form-data; boundary=")
    fields = ticket_for("").fields
    form = encode_form(fields, file_name="a.txt", boundary=boundary)
    assert request.body == form.head + content + form.tail
    assert request.headers["content-length"] == str(len(request.body))
    assert "transfer-encoding" not in request.headers
    assert request.head.splitlines()[0] == "POST /bucket?X-Signature=SECRET-QUERY HTTP/1.1"
    assert KEY not in request.head
    assert len(boundary) == 32


class CountingOffload(InlineOffload):
    """Counts what is handed to it."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self, function: Any, /, *args: object) -> Any:
        self.calls += 1
        return await super().__call__(function, *args)


@pytest.mark.parametrize(
    ("size", "reads"),
    [(0, 1), (5, 1), (READ_BYTES - 1, 1), (READ_BYTES, 2), (READ_BYTES + 1, 2)],
)
async def test_a_file_is_read_with_no_hop_to_a_thread_too_many(
    size: int, reads: int, tmp_path: Path
) -> None:
    """A read that comes back short was the last."""
    path = tmp_path / "a.txt"
    path.write_bytes(bytes(size))
    offload = CountingOffload()
    read = b"".join([chunk async for chunk in PathSource(path).chunks(offload)])
    assert (len(read), offload.calls) == (size, reads)


async def test_every_source_reads_again_from_its_start(tmp_path: Path) -> None:
    for source in sources(tmp_path, CONTENT).values():
        for _ in range(2):
            assert await source.size(InlineOffload()) == len(CONTENT)
            chunks = [chunk async for chunk in source.chunks(InlineOffload())]
            assert b"".join(chunks) == CONTENT
            assert max(map(len, chunks)) <= READ_BYTES


async def test_a_file_source_that_was_not_measured_is_read_from_the_start() -> None:
    chunks = [chunk async for chunk in FileSource(io.BytesIO(b"abc")).chunks(InlineOffload())]
    assert chunks == [b"abc"]


# --- what a failure means ------------------------------------------------------------------


@by_every_sender
@pytest.mark.parametrize("status", [200, 201, 400, 403, 413, 503])
async def test_anything_but_204_is_a_refusal_that_is_not_repeated(sender: str, status: int) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.answer(status, b"<Error/>")

    async with raw_server(handler) as server, transport_by(sender, server.url) as world:
        with pytest.raises(UploadRejected) as caught:
            await world.transport.upload(
                ticket_for(server.url), BytesSource(b"x"), file_name="a.txt"
            )
        assert world.transport.statistics == TransportStatistics(1, 0, status == 503)
    assert (caught.value.status_code, caught.value.endpoint, caught.value.attempts) == (
        status,
        "upload",
        1,
    )


@by_every_sender
async def test_a_form_cut_off_on_its_way_is_known_not_to_have_arrived(sender: str) -> None:
    """The file's second half is only given out once the server has hung up."""
    hung_up = anyio.Event()
    pieces = 0

    async def second_piece_waits() -> None:
        nonlocal pieces
        pieces += 1
        if pieces == 2:
            await hung_up.wait()
        if pieces > 2:
            await anyio.sleep(0.01)

    async def handler(peer: Peer) -> None:
        got = await peer.head()
        assert got.headers["content-length"]
        await peer.take(1000)
        await peer.reset()
        hung_up.set()

    source = Source(300 * 65_536, [bytes(65_536)] * 300, second_piece_waits)
    async with raw_server(handler) as server, transport_by(sender, server.url) as world:
        with pytest.raises(UploadInterrupted, match=r"after \d+ of \d+ bytes"):
            await world.transport.upload(ticket_for(server.url), source, file_name="a.txt")
        await settled(world.tasks)
        world.check_nothing_leaked()


@by_every_sender
async def test_a_whole_form_without_an_answer_is_a_lost_answer(sender: str) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()

    async with raw_server(handler) as server, transport_by(sender, server.url) as world:
        with pytest.raises(AnswerLost):
            await world.transport.upload(
                ticket_for(server.url), BytesSource(b"x"), file_name="a.txt"
            )


async def test_no_connection_is_told_as_such() -> None:
    async with raw_server(confirm) as server:
        url = server.url
    async with transport_to(url) as world:
        with pytest.raises(ConnectFailed):
            await world.transport.upload(ticket_for(url), BytesSource(b"x"), file_name="a.txt")


@by_every_sender
async def test_an_early_refusal_is_taken_as_the_answer(sender: str) -> None:
    """S3 refuses a bad policy before the file is through."""
    refused = anyio.Event()
    pieces = 0

    async def wait_after_the_first() -> None:
        nonlocal pieces
        pieces += 1
        if pieces == 2:
            await refused.wait()
            await anyio.sleep(0.05)

    async def handler(peer: Peer) -> None:
        got = await peer.head()
        await peer.answer(403, b"<Error/>", head="Connection: close\r\n")
        refused.set()
        await peer.take(int(got.headers["content-length"]))

    source = Source(2_000, [bytes(1_000)] * 2, wait_after_the_first)
    async with raw_server(handler) as server, transport_by(sender, server.url) as world:
        with pytest.raises(UploadRejected) as caught:
            await world.transport.upload(ticket_for(server.url), source, file_name="a.txt")
    assert caught.value.status_code == 403


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_confirmation_before_the_file_is_through_is_not_believed() -> None:
    """Only the aiohttp-backed sender reads so early; the others have sent all by then."""
    confirmed = anyio.Event()
    pieces = 0

    async def wait_after_the_first() -> None:
        nonlocal pieces
        pieces += 1
        if pieces == 2:
            await confirmed.wait()
            await anyio.sleep(10)

    async def handler(peer: Peer) -> None:
        await peer.head()
        await peer.answer(204, b"", head="Connection: close\r\n")
        confirmed.set()
        await peer.closed_by_client()

    source = Source(2_000, [bytes(1_000)] * 2, wait_after_the_first)
    async with raw_server(handler) as server, transport_to(server.url) as world:
        with pytest.raises(AnswerLost, match="confirmed before the whole file"):
            await world.transport.upload(ticket_for(server.url), source, file_name="a.txt")


async def test_a_ticket_with_a_broken_url_is_an_unexpected_reply() -> None:
    async with transport_to("http://127.0.0.1:1") as world:
        for url in ("ftp://host", "no url", "http://h:port", "http:", "\ud800"):
            with pytest.raises(UnexpectedReply, match="no http"):
                await world.transport.upload(ticket_for(url), BytesSource(b""), file_name="a")


# --- a file that changes -------------------------------------------------------------------


@by_every_sender
@pytest.mark.parametrize(
    ("size", "pieces", "why"),
    [
        (100, [bytes(60)], "ended 40 bytes short of the 100 bytes"),
        (100, [bytes(60), bytes(60)], "grew beyond the 100 bytes"),
        (0, [b"x"], "grew beyond the 0 bytes"),
    ],
)
async def test_a_file_that_is_not_what_was_measured_stops_the_upload(
    sender: str, size: int, pieces: list[bytes], why: str
) -> None:
    ended = anyio.Event()

    async def handler(peer: Peer) -> None:
        try:
            await peer.request()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            ended.set()

    async with raw_server(handler) as server, transport_by(sender, server.url) as world:
        with pytest.raises(FileChanged, match=why):
            await world.transport.upload(
                ticket_for(server.url), Source(size, pieces), file_name="a.txt"
            )
        with anyio.fail_after(5):
            await ended.wait()
        world.check_nothing_leaked()


async def test_a_pipe_in_its_place_is_an_error_at_once(tmp_path: Path) -> None:
    """To open one waits until somebody writes to it, and that cannot be cancelled."""
    path = tmp_path / "a.txt"
    os.mkfifo(path)
    with pytest.raises(OSError, match="it is no regular file"):
        await anext(PathSource(path).chunks(InlineOffload()))


async def test_another_file_put_in_its_place_is_noticed(tmp_path: Path) -> None:
    path, other = tmp_path / "a.txt", tmp_path / "b.txt"
    path.write_bytes(CONTENT)
    other.write_bytes(CONTENT)
    chunks = PathSource(path).chunks(InlineOffload())
    await anext(chunks)
    other.rename(path)
    with pytest.raises(FileChanged, match="was replaced by another file"):
        await anext(chunks)


@by_every_sender
async def test_a_replaced_file_stops_the_upload(sender: str, tmp_path: Path) -> None:
    path, other = tmp_path / "a.txt", tmp_path / "b.txt"
    path.write_bytes(CONTENT)
    other.write_bytes(CONTENT)

    async def handler(peer: Peer) -> None:
        await peer.head()
        await peer.take(READ_BYTES)
        other.rename(path)
        await peer.closed_by_client()

    async with (
        raw_server(handler) as server,
        transport_by(sender, server.url, offload=SlowOffload()) as world,
    ):
        with pytest.raises(FileChanged, match="was replaced"):
            await world.transport.upload(
                ticket_for(server.url), PathSource(path), file_name="a.txt"
            )


class SlowOffload(InlineOffload):
    """Give the other side time to act between two reads."""

    async def __call__(self, function: Any, /, *args: object) -> Any:
        await anyio.sleep(0.05)
        return await super().__call__(function, *args)


async def test_a_file_that_is_gone_is_told_with_the_systems_words(tmp_path: Path) -> None:
    async with transport_to("http://127.0.0.1:1") as world:
        with pytest.raises(FileChanged, match="No such file") as caught:
            await world.transport.upload(
                ticket_for("http://h"), PathSource(tmp_path / "none"), file_name="a"
            )
    assert caught.value.endpoint == "upload"


@by_every_sender
async def test_a_file_closed_on_the_way_stops_the_upload(sender: str) -> None:
    file = io.BytesIO(CONTENT)

    async def handler(peer: Peer) -> None:
        await peer.head()
        file.close()
        await peer.closed_by_client()

    async with (
        raw_server(handler) as server,
        transport_by(sender, server.url, offload=SlowOffload()) as world,
    ):
        with pytest.raises(FileChanged, match=r"could not be read any more \(ValueError\)"):
            await world.transport.upload(
                ticket_for(server.url), FileSource(file), file_name="a.txt"
            )


# --- cancelling ----------------------------------------------------------------------------


@by_every_sender
async def test_a_cancelled_upload_returns_at_once_and_stops_at_the_next_piece(sender: str) -> None:
    arrived, ended, go_on = anyio.Event(), anyio.Event(), anyio.Event()
    pieces = 0

    async def pause() -> None:
        nonlocal pieces
        pieces += 1
        if pieces == 2:
            await go_on.wait()

    async def handler(peer: Peer) -> None:
        await peer.head()
        arrived.set()
        try:
            await peer.take(10_000_000)
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            ended.set()

    source = Source(10_000, [bytes(100)] * 100, pause)
    async with raw_server(handler) as server, transport_by(sender, server.url) as world:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:

                async def cancel() -> None:
                    await arrived.wait()
                    scope.cancel()

                group.start_soon(cancel)
                await world.transport.upload(ticket_for(server.url), source, file_name="a.txt")
        go_on.set()
        with anyio.fail_after(5):
            await ended.wait()
        await settled(world.tasks)
        world.check_nothing_leaked()
    assert pieces <= 2


@by_every_sender
async def test_an_upload_cancelled_while_the_host_reads_nothing_ends(sender: str) -> None:
    """The body stands at a piece that does not get through; it is closed from outside."""
    arrived = anyio.Event()

    async def handler(peer: Peer) -> None:
        await peer.head()
        arrived.set()
        await anyio.sleep_forever()

    async with raw_server(handler) as server, transport_by(sender, server.url) as world:
        async with anyio.create_task_group() as group:

            async def upload() -> None:
                error: KrixikError | None = None
                try:
                    await world.transport.upload(
                        ticket_for(server.url), BytesSource(bytes(30_000_000)), file_name="a"
                    )
                except ClientClosed as closed:
                    error = closed
                assert error is not None

            group.start_soon(upload)
            await arrived.wait()
            await anyio.wait_all_tasks_blocked()
            await world.transport.aclose()
        await settled(world.tasks)
        world.check_nothing_leaked()
