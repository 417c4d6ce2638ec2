"""Downloads over real sockets: whole files, or no file and a reason."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from krixik_async._errors import (
    ConnectFailed,
    DownloadInterrupted,
    DownloadRejected,
    KrixikError,
    RateLimited,
    ServerError,
    UnexpectedReply,
)
from krixik_async._offload import InlineOffload, ThreadOffload
from krixik_async._transport import TransportStatistics, _posting
from tests.transport_world import (
    KEY,
    SENDERS,
    Got,
    Peer,
    raw_server,
    settled,
    transport_by,
    transport_to,
)

pytestmark = pytest.mark.anyio
by_every_sender = pytest.mark.parametrize("sender", SENDERS)

CONTENT = os.urandom(1_300_000)
LINK = "/out/a.json?X-Signature=SECRET-QUERY"


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    """Give a place that holds an older output, which only a whole new one may replace."""
    path = tmp_path / "a.json"
    path.write_bytes(b"older")
    return path


def now_in(destination: Path) -> bytes:
    """Give what is there, and see that nothing else is."""
    assert list(destination.parent.iterdir()) == [destination]
    return destination.read_bytes()


def untouched(destination: Path) -> bool:
    return list(destination.parent.iterdir()) == [destination] and (
        destination.read_bytes() == b"older"
    )


@by_every_sender
@pytest.mark.parametrize("content", [CONTENT, b""], ids=["large", "empty"])
async def test_a_download_ends_up_whole_under_its_name(
    sender: str, content: bytes, destination: Path
) -> None:
    got: list[Got] = []

    async def handler(peer: Peer) -> None:
        got.append(await peer.request())
        await peer.answer(200, content)

    async with (
        raw_server(handler) as server,
        transport_by(sender, server.url, offload=ThreadOffload()) as world,
    ):
        assert await world.transport.download(server.url + LINK, destination) == len(content)
        await settled(world.tasks)
        world.check_nothing_leaked()
    assert now_in(destination) == content
    [request] = got
    assert request.head.splitlines()[0] == f"GET {LINK} HTTP/1.1"
    assert KEY not in request.head
    assert request.headers["accept-encoding"] == "identity"


async def test_a_file_stored_compressed_is_saved_as_what_it_is(destination: Path) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.answer(200, gzip.compress(b"plain"), head="Content-Encoding: gzip\r\n")

    async with raw_server(handler) as server, transport_to(server.url) as world:
        assert await world.transport.download(server.url + LINK, destination) == 5
    assert now_in(destination) == b"plain"


async def test_a_download_of_unknown_length_ends_with_its_last_chunk(destination: Path) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        )

    async with raw_server(handler) as server, transport_to(server.url) as world:
        assert await world.transport.download(server.url + LINK, destination) == 3
    assert now_in(destination) == b"abc"


# --- redirects -----------------------------------------------------------------------------


def redirecting(times: int) -> tuple[Callable[[Peer], Any], list[str]]:
    paths: list[str] = []

    async def handler(peer: Peer) -> None:
        while True:
            paths.append((await peer.request()).head.split(" ")[1])
            if len(paths) <= times:
                await peer.answer(302, b"", head=f"Location: /hop{len(paths)}?SECRET\r\n")
            else:
                await peer.answer(200, b"there")

    return handler, paths


@by_every_sender
async def test_redirects_are_followed(sender: str, destination: Path) -> None:
    handler, paths = redirecting(5)
    async with raw_server(handler) as server, transport_by(sender, server.url) as world:
        assert await world.transport.download(server.url + LINK, destination) == 5
    assert paths == [LINK, *(f"/hop{n}?SECRET" for n in range(1, 6))]


async def test_a_loop_of_redirects_ends(destination: Path) -> None:
    handler, paths = redirecting(100)
    async with raw_server(handler) as server, transport_to(server.url) as world:
        with pytest.raises(DownloadRejected, match="redirected more than 5 times"):
            await world.transport.download(server.url + LINK, destination)
    assert len(paths) == 6
    assert untouched(destination)


async def test_a_redirect_to_nowhere_is_refused(destination: Path) -> None:
    heads = ["Location: file:///etc/passwd\r\n", ""]
    errors: list[type[KrixikError]] = [UnexpectedReply, DownloadRejected]
    for head, error in zip(heads, errors, strict=True):

        async def handler(peer: Peer, head: str = head) -> None:
            await peer.request()
            await peer.answer(302, b"", head=head)

        async with raw_server(handler) as server, transport_to(server.url) as world:
            with pytest.raises(error):
                await world.transport.download(server.url + LINK, destination)
    assert untouched(destination)


# --- refusals and interruptions ------------------------------------------------------------


@by_every_sender
@pytest.mark.parametrize(
    ("status", "error", "attempts"),
    [
        (403, DownloadRejected, 1),
        (404, DownloadRejected, 1),
        (206, DownloadRejected, 1),
        (429, RateLimited, 4),
        (500, ServerError, 4),
        (503, ServerError, 4),
    ],
)
async def test_a_refusal_names_the_place_without_its_query(
    sender: str, status: int, error: type[KrixikError], attempts: int, destination: Path
) -> None:
    async def handler(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.answer(status, b"<Error/>")

    async with raw_server(handler) as server, transport_by(sender, server.url) as world:
        with pytest.raises(error) as caught:
            await world.transport.download(server.url + LINK, destination)
        statistics = world.transport.statistics
    assert type(caught.value) is error
    assert f"{server.url}/out/a.json was answered with {status}" in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert (caught.value.attempts, caught.value.status_code) == (attempts, status)
    throttled = attempts if status in (429, 503) else 0
    assert statistics == TransportStatistics(attempts, attempts - 1, throttled)
    assert untouched(destination)


@by_every_sender
async def test_a_download_that_stops_short_starts_again(sender: str, destination: Path) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        if peer.number < 3:
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + bytes(peer.number))
        else:
            await peer.answer(200, CONTENT)

    async with raw_server(handler) as server, transport_by(sender, server.url) as world:
        assert await world.transport.download(server.url + LINK, destination) == len(CONTENT)
    assert now_in(destination) == CONTENT


@by_every_sender
async def test_a_download_that_keeps_stopping_short_leaves_nothing(
    sender: str, destination: Path
) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc")

    async with raw_server(handler) as server, transport_by(sender, server.url) as world:
        with pytest.raises(DownloadInterrupted, match="Nothing was left") as caught:
            await world.transport.download(server.url + LINK, destination)
        await settled(world.tasks)
        world.check_nothing_leaked()
    assert (caught.value.attempts, caught.value.endpoint) == (4, "download")
    assert untouched(destination)


async def test_no_connection_is_told_as_such(destination: Path) -> None:
    async with raw_server(lambda peer: peer.reset()) as server:
        url = server.url
    async with transport_to(url) as world:
        with pytest.raises(ConnectFailed):
            await world.transport.download(url + LINK, destination)
    assert untouched(destination)


async def test_a_link_that_is_none_is_an_unexpected_reply(destination: Path) -> None:
    async with transport_to("http://h") as world:
        with pytest.raises(UnexpectedReply, match="no http"):
            await world.transport.download("file:///etc/passwd", destination)


async def test_a_refusal_without_end_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, destination: Path
) -> None:
    monkeypatch.setattr(_posting, "LARGEST_REPLY_BYTES", 100)

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 403 No\r\nContent-Length: 100000\r\n\r\n" + bytes(5000))
        await peer.closed_by_client()

    async with raw_server(handler) as server, transport_to(server.url) as world:
        with pytest.raises(UnexpectedReply, match="more than 100 bytes"):
            await world.transport.download(server.url + LINK, destination)


# --- the disk ------------------------------------------------------------------------------


class FullDisk(InlineOffload):
    """Fail the function of that name as a full disk does."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def __call__(self, function: Any, /, *args: object) -> Any:
        if function.__name__ == self._name:
            raise OSError(28, "No space left on device")
        return await super().__call__(function, *args)


@by_every_sender
@pytest.mark.parametrize("step", ["begin", "write", "settle", "place"])
async def test_a_full_disk_is_told_and_not_tried_again(
    sender: str, step: str, destination: Path
) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.answer(200, CONTENT)

    async with (
        raw_server(handler) as server,
        transport_by(sender, server.url, offload=FullDisk(step)) as world,
    ):
        with pytest.raises(DownloadInterrupted, match="could not be written: No space") as caught:
            await world.transport.download(server.url + LINK, destination)
        await settled(world.tasks)
        world.check_nothing_leaked()
    assert caught.value.attempts == 1
    assert untouched(destination)


async def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.answer(200, b"x")

    async with raw_server(handler) as server, transport_to(server.url) as world:
        with pytest.raises(DownloadInterrupted, match="No such file or directory"):
            await world.transport.download(server.url + LINK, tmp_path / "none" / "a.json")


# --- cancelling ----------------------------------------------------------------------------


@by_every_sender
async def test_a_cancelled_download_leaves_nothing(sender: str, destination: Path) -> None:
    begun = anyio.Event()
    go_on = anyio.Event()

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(CONTENT)}\r\n\r\n".encode())
        await peer.send(CONTENT[:700_000])
        begun.set()
        await go_on.wait()
        await peer.send(CONTENT[700_000:])
        await peer.closed_by_client()

    async with (
        raw_server(handler) as server,
        transport_by(sender, server.url, offload=ThreadOffload()) as world,
    ):
        async with anyio.create_task_group() as group:
            group.start_soon(world.transport.download, server.url + LINK, destination)
            await begun.wait()
            group.cancel_scope.cancel()
        go_on.set()
        await settled(world.tasks)
        world.check_nothing_leaked()
    assert untouched(destination)


async def test_a_download_that_nobody_waits_for_any_more_is_not_put_in_place(
    destination: Path,
) -> None:
    """Cancelled when all bytes are there, and only the file has still to be put in place."""
    settling, cancelled = anyio.Event(), anyio.Event()

    class Slow(InlineOffload):
        async def __call__(self, function: Any, /, *args: object) -> Any:
            if function.__name__ == "settle":
                settling.set()
                await cancelled.wait()
            return await super().__call__(function, *args)

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.answer(200, b"whole")

    async with (
        raw_server(handler) as server,
        transport_by("http_client", server.url, offload=Slow()) as world,
    ):
        async with anyio.create_task_group() as group:
            group.start_soon(world.transport.download, server.url + LINK, destination)
            await settling.wait()
            group.cancel_scope.cancel()
        cancelled.set()
        await settled(world.tasks)
    assert untouched(destination)
