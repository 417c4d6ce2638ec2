"""Downloads that broke off go on where they stopped: in the call, in a later one, or not at all."""

from __future__ import annotations

import fcntl
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from krixik_async._errors import DownloadInterrupted, DownloadRejected
from krixik_async._offload import InlineOffload, ThreadOffload
from krixik_async._transport._download import WRITE_BYTES, validator_of
from krixik_async._transport._part import Held, Part, look
from tests.transport_world import SENDERS, Peer, raw_server, settled, transport_by, transport_to

pytestmark = pytest.mark.anyio
by_every_sender = pytest.mark.parametrize("sender", SENDERS)

CONTENT = os.urandom(1_300_000)
LINK = "/out/a.json?X-Signature=SECRET-QUERY"
TAG = '"abc-1"'


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return tmp_path / "a.json"


def names(destination: Path) -> list[str]:
    return sorted(path.name for path in destination.parent.iterdir())


LEFT = ["a.json.part", "a.json.part.validator"]


def content_of(path: Path) -> bytes:
    return path.read_bytes()


def remove(path: Path) -> None:
    path.unlink()


def write_to(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def leave(destination: Path, content: bytes, validator: str = TAG) -> None:
    """Leave what a download leaves that broke off, or whose process was killed."""
    destination.with_name(LEFT[0]).write_bytes(content)
    destination.with_name(LEFT[1]).write_text(validator)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock, as another download would."""
    with path.open("r+b") as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        yield


class Watched(ThreadOffload):
    """Tell of each try when something of it was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = [anyio.Event() for _ in range(5)]
        self.tries = 0

    async def __call__(self, function: Callable[..., Any], /, *args: object) -> Any:
        result = await super().__call__(function, *args)
        self.tries += function is look
        if function.__name__ == "write":
            self.written[self.tries - 1].set()
        return result


class Host:
    """Hold `content` under an ETag, and break the first downloads off after so many bytes."""

    def __init__(
        self,
        content: bytes = CONTENT,
        *,
        breaks: int = 0,
        after: int = 700_000,
        head: str = f"ETag: {TAG}\r\n",
        tag: str = TAG,
    ) -> None:
        self.content, self.head, self.tag = content, head, tag
        self.breaks, self.after = breaks, after
        self.asked: list[tuple[str | None, str | None]] = []
        self.offload = Watched()

    async def written(self) -> None:
        if self.after >= WRITE_BYTES:
            await self.offload.written[len(self.asked) - 1].wait()

    async def __call__(self, peer: Peer) -> None:
        while True:
            headers = (await peer.request()).headers
            self.asked.append((headers.get("range"), headers.get("if-range")))
            start, status, head = 0, 200, self.head
            found = re.fullmatch(r"bytes=(\d+)-", headers.get("range", ""))
            if found and headers["if-range"] == self.tag:
                start, status = int(found[1]), 206
                last = len(self.content) - 1
                head += f"Content-Range: bytes {start}-{last}/{last + 1}\r\n"
            rest = self.content[start:]
            answer = f"HTTP/1.1 {status} X\r\n{head}Content-Length: {len(rest)}\r\n\r\n".encode()
            if len(self.asked) <= self.breaks:
                rest = rest[: self.after]
                await peer.send(answer + rest)
                # aiohttp throws away what it has received and not handed over when a connection
                # breaks: break it when something of this try is on the disk.
                await self.written()
                return
            await peer.send(answer + rest)


# --- within a call ---------------------------------------------------------------------------


@by_every_sender
async def test_the_next_try_goes_on_where_the_last_one_stopped(
    sender: str, destination: Path
) -> None:
    host = Host(breaks=2, after=600_000)
    async with (
        raw_server(host) as server,
        transport_by(sender, server.url, offload=host.offload) as world,
    ):
        assert await world.transport.download(server.url + LINK, destination) == len(CONTENT)
        await settled(world.tasks)
        world.check_nothing_leaked()
    assert (content_of(destination), names(destination)) == (CONTENT, ["a.json"])
    assert host.asked[0] == (None, None)
    assert all(tag == TAG for _, tag in host.asked[1:])
    starts = [int(str(asked)[6:-1]) for asked, _ in host.asked[1:]]
    assert 0 < starts[0] < starts[1] < len(CONTENT)


async def test_a_rest_that_does_not_fit_is_asked_for_as_a_whole(destination: Path) -> None:
    """Answers to a Range that are not what was asked for: the whole is asked for at once."""
    wrong = [
        (416, "Content-Range: bytes */5\r\n"),
        (206, "Content-Range: bytes 2-4/5\r\n"),
        (206, "Content-Range: bytes 3-4/*\r\n"),
        (206, 'ETag: "other"\r\nContent-Range: bytes 3-4/5\r\n'),
        (206, ""),
    ]
    for status, head in wrong:
        asked: list[str | None] = []

        async def handler(
            peer: Peer,
            status: int = status,
            head: str = head,
            asked: list[str | None] = asked,
        ) -> None:
            while True:
                asked.append((await peer.request()).headers.get("range"))
                if asked[-1] is not None:
                    await peer.answer(status, b"xx", head=head)
                else:
                    await peer.answer(200, b"whole")

        leave(destination, b"who")
        async with raw_server(handler) as server, transport_to(server.url) as world:
            assert await world.transport.download(server.url + LINK, destination) == 5
        assert (asked, content_of(destination)) == (["bytes=3-", None], b"whole")
        assert names(destination) == ["a.json"]


async def test_a_rest_that_was_not_asked_for_is_refused(destination: Path) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.answer(206, b"st", head="Content-Range: bytes 2-3/4\r\n")

    async with raw_server(handler) as server, transport_to(server.url) as world:
        with pytest.raises(DownloadRejected):
            await world.transport.download(server.url + LINK, destination)
    assert names(destination) == []


async def test_a_rest_too_short_for_the_whole_is_never_put_in_place(destination: Path) -> None:
    """The host says 9 bytes in all and sends, of its own accord, fewer: start over, then end."""

    async def handler(peer: Peer) -> None:
        while True:
            if "range" in (await peer.request()).headers:
                await peer.answer(206, b"xx", head="Content-Range: bytes 3-8/9\r\n")
            else:
                await peer.answer(200, b"the whole")

    leave(destination, b"the")
    async with raw_server(handler) as server, transport_to(server.url, attempts=1) as world:
        with pytest.raises(DownloadInterrupted, match=r"for a\.json came to 5 of 9 bytes"):
            await world.transport.download(server.url + LINK, destination)
        assert names(destination) == []
        assert await world.transport.download(server.url + LINK, destination) == 9
    assert content_of(destination) == b"the whole"


# --- from call to call -----------------------------------------------------------------------


@by_every_sender
async def test_a_later_call_goes_on_where_an_earlier_one_stopped(
    sender: str, destination: Path
) -> None:
    write_to(destination, b"older")
    host = Host(breaks=1)
    async with raw_server(host) as server:
        async with transport_by(sender, server.url, attempts=1, offload=host.offload) as world:
            with pytest.raises(DownloadInterrupted, match="calling again goes on from there"):
                await world.transport.download(server.url + LINK, destination)
        assert names(destination) == ["a.json", *LEFT]
        kept = content_of(destination.with_name(LEFT[0]))
        assert CONTENT.startswith(kept)
        assert content_of(destination) == b"older"
        async with transport_by(sender, server.url) as world:
            assert await world.transport.download(server.url + LINK, destination) == len(CONTENT)
    assert host.asked == [(None, None), (f"bytes={len(kept)}-", TAG)]
    assert (content_of(destination), names(destination)) == (CONTENT, ["a.json"])


async def test_bytes_that_have_changed_are_fetched_from_the_start(destination: Path) -> None:
    leave(destination, b"of an older output")
    host = Host(tag='"new"', head='ETag: "new"\r\n')
    async with raw_server(host) as server, transport_to(server.url) as world:
        await world.transport.download(server.url + LINK, destination)
    assert host.asked == [("bytes=18-", TAG)]
    assert (content_of(destination), names(destination)) == (CONTENT, ["a.json"])


async def test_what_a_cancelled_call_has_got_is_gone_on_with(destination: Path) -> None:
    cancelled = anyio.Event()
    asked: list[str | None] = []

    async def handler(peer: Peer) -> None:
        asked.append((await peer.request()).headers.get("range"))
        if peer.number == 1:
            head = f"HTTP/1.1 200 OK\r\nETag: {TAG}\r\nContent-Length: {len(CONTENT)}\r\n\r\n"
            await peer.send(head.encode() + CONTENT[:700_000])
            await cancelled.wait()
            await peer.send(CONTENT[700_000:710_000])
            await peer.closed_by_client()
        else:
            start = int(str(asked[-1])[6:-1])
            last = len(CONTENT) - 1
            head = f"Content-Range: bytes {start}-{last}/{last + 1}\r\n"
            await peer.answer(206, CONTENT[start:], head=head)

    watched = Watched()
    async with raw_server(handler) as server, transport_to(server.url, offload=watched) as world:
        async with anyio.create_task_group() as group:
            group.start_soon(world.transport.download, server.url + LINK, destination)
            await watched.written[0].wait()
            group.cancel_scope.cancel()
        cancelled.set()
        await settled(world.tasks)
        assert names(destination) == LEFT
        await world.transport.download(server.url + LINK, destination)
    assert asked[0] is None
    assert int(str(asked[1])[6:-1]) > 500_000
    assert (content_of(destination), names(destination)) == (CONTENT, ["a.json"])


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({"etag": TAG}, TAG),
        ({"etag": TAG, "last-modified": "yesterday"}, TAG),
        ({"last-modified": "Sun, 22 Nov 2026 10:00:00 GMT"}, "Sun, 22 Nov 2026 10:00:00 GMT"),
        ({}, None),
        ({"etag": f"W/{TAG}"}, None),
        ({"etag": f"W/{TAG}", "last-modified": "yesterday"}, None),
        ({"etag": TAG, "accept-ranges": "none"}, None),
        ({"etag": TAG, "content-encoding": "gzip"}, None),
        ({"etag": TAG, "content-encoding": "identity"}, TAG),
        ({"etag": '"' + "x" * 300 + '"'}, None),
        ({"etag": '"ü"'}, None),
    ],
)
def test_what_counts_as_a_validator(headers: dict[str, str], validator: str | None) -> None:
    assert validator_of(headers) == validator


async def test_without_a_validator_nothing_is_kept(destination: Path) -> None:
    host = Host(breaks=1, head="")
    async with (
        raw_server(host) as server,
        transport_to(server.url, attempts=1, offload=host.offload) as world,
    ):
        with pytest.raises(DownloadInterrupted, match="Nothing was left half-written"):
            await world.transport.download(server.url + LINK, destination)
    assert names(destination) == []


async def test_a_part_without_a_byte_is_not_kept(destination: Path) -> None:
    host = Host(breaks=1, after=0)
    async with raw_server(host) as server, transport_to(server.url, attempts=1) as world:
        with pytest.raises(DownloadInterrupted, match="Nothing was left half-written"):
            await world.transport.download(server.url + LINK, destination)
    assert names(destination) == []


# --- whose part it is ------------------------------------------------------------------------


async def test_two_downloads_of_one_output_do_not_mix(destination: Path) -> None:
    """One has the part; the others write files of their own. All end whole."""
    host = Host(breaks=1, after=300_000)
    async with (
        raw_server(host) as server,
        transport_to(server.url, offload=ThreadOffload()) as world,
        anyio.create_task_group() as group,
    ):
        for _ in range(4):
            group.start_soon(world.transport.download, server.url + LINK, destination)
    assert (content_of(destination), names(destination)) == (CONTENT, ["a.json"])


async def test_a_part_that_another_has_locked_is_left_to_it(destination: Path) -> None:
    leave(destination, b"theirs")
    host = Host(b"ours")
    with locked(destination.with_name(LEFT[0])):
        async with raw_server(host) as server, transport_to(server.url) as world:
            assert await world.transport.download(server.url + LINK, destination) == 4
    assert host.asked == [(None, None)]
    assert names(destination) == ["a.json", *LEFT]
    assert content_of(destination.with_name(LEFT[0])) == b"theirs"


async def test_without_locks_there_is_nothing_to_go_on_with(
    destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on systems without `fcntl`: downloads work, and break off without a trace."""
    monkeypatch.setitem(sys.modules, "fcntl", None)
    host = Host(breaks=1)
    async with (
        raw_server(host) as server,
        transport_to(server.url, offload=host.offload) as world,
    ):
        assert await world.transport.download(server.url + LINK, destination) == len(CONTENT)
    assert host.asked == [(None, None)] * 2
    assert content_of(destination) == CONTENT


async def test_a_file_that_only_looks_like_a_part_is_left_alone(destination: Path) -> None:
    write_to(destination.with_name(LEFT[0]), b"somebody's")
    host = Host(b"ours")
    async with raw_server(host) as server, transport_to(server.url) as world:
        await world.transport.download(server.url + LINK, destination)
    assert host.asked == [(None, None)]
    assert content_of(destination.with_name(LEFT[0])) == b"somebody's"
    assert names(destination) == ["a.json", "a.json.part"]


@pytest.mark.parametrize("change", ["gone", "grown"])
async def test_a_part_that_changed_while_it_was_asked_for_is_looked_at_anew(
    destination: Path, change: str
) -> None:
    host = Host(b"the whole")

    async def handler(peer: Peer) -> None:
        if not host.asked:
            if change == "gone":
                remove(destination.with_name(LEFT[0]))
            else:
                write_to(destination.with_name(LEFT[0]), b"the w")
        await host(peer)

    async def first_then_change(peer: Peer) -> None:
        await handler(peer)

    leave(destination, b"the")
    async with raw_server(first_then_change) as server, transport_to(server.url) as world:
        assert await world.transport.download(server.url + LINK, destination) == 9
    again = (None, None) if change == "gone" else ("bytes=5-", TAG)
    assert host.asked == [("bytes=3-", TAG), again]
    assert (content_of(destination)) == b"the whole"


def test_a_part_that_was_replaced_meanwhile_is_not_the_locked_one(
    destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening it and locking it, its owner finished: the lock is on a file without name."""
    leave(destination, b"who")
    flock = fcntl.flock

    def late(descriptor: int, operation: int) -> None:
        destination.with_name(LEFT[0]).replace(destination)
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    assert look(destination) is None


def test_a_mark_that_is_none_is_not_trusted(destination: Path) -> None:
    for mark in (b"", b"\xff", b"x" * 300, b"a\nb"):
        leave(destination, b"who")
        destination.with_name(LEFT[1]).write_bytes(mark)
        assert look(destination) is None
    leave(destination, b"who")
    assert look(destination) == Held(3, TAG)
    leave(destination, b"")
    assert look(destination) is None


def test_a_part_is_put_away_on_a_full_disk(
    destination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was buffered does not fit any more: the part goes, and no error comes from going."""
    part = Part.begin(destination, destination.with_name("x"), TAG)
    part._file.close()

    class Full:
        closed = False

        def __getattr__(self, name: str) -> Any:
            def fail(*_: object) -> Any:
                raise OSError(28, "No space left on device")

            return fail

    monkeypatch.setattr(part, "_file", Full())
    assert part.put_away(True) is False
    assert names(destination) == []


class FullDisk(InlineOffload):
    """Fail at the second write, as a disk does that has just become full."""

    def __init__(self) -> None:
        self.writes = 0

    async def __call__(self, function: Callable[..., Any], /, *args: object) -> Any:
        self.writes += function.__name__ == "write"
        if self.writes == 2:
            raise OSError(28, "No space left on device")
        return await super().__call__(function, *args)


async def test_a_full_disk_is_given_back_what_the_part_took(destination: Path) -> None:
    async with (
        raw_server(Host()) as server,
        transport_to(server.url, offload=FullDisk()) as world,
    ):
        with pytest.raises(DownloadInterrupted, match="No space"):
            await world.transport.download(server.url + LINK, destination)
    assert names(destination) == []
