"""Calls over real sockets: what is sent, what is understood, what is repeated."""

from __future__ import annotations

import gzip
import json
import logging
import random
import socket
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from krixik_async import _wire
from krixik_async._errors import (
    AnswerLost,
    AuthenticationError,
    ClientClosed,
    ConnectFailed,
    InvalidArgument,
    KrixikError,
    RateLimited,
    RequestRejected,
    ServerError,
    UnexpectedReply,
)
from krixik_async._reply import Reply
from krixik_async._transport import TransportStatistics, _posting
from krixik_async._transport._bodies import BytesBody
from krixik_async._version import __version__
from tests.transport_world import (
    KEY,
    SENDERS,
    STATUS,
    SUBMIT,
    Got,
    Peer,
    World,
    raw_server,
    read_text,
    settled,
    transport_by,
    transport_to,
)

pytestmark = pytest.mark.anyio
by_every_sender = pytest.mark.parametrize("sender", SENDERS)


async def ok(peer: Peer) -> None:
    await peer.request()
    await peer.answer()


# --- what is sent and what comes back ------------------------------------------------------


@by_every_sender
async def test_a_call_is_one_post_of_the_encoded_request(sender: str) -> None:
    got: list[Got] = []

    async def handler(peer: Peer) -> None:
        got.append(await peer.request())
        await peer.answer(200, b"hello", head="X-Some: Thing\r\nSet-Cookie: a=b\r\n")
        got.append(await peer.request())
        await peer.answer(200, b"again")

    async with raw_server(handler) as server, transport_by(sender, server.url) as world:
        seen: list[tuple[_wire.Endpoint, Reply]] = []
        for _ in range(2):
            await world.transport.call(STATUS, lambda *both: seen.append(both))
        world.check_nothing_leaked()
    assert server.connections == 1
    assert [reply.body for _, reply in seen] == [b"hello", b"again"]
    assert seen[0][0] == STATUS.endpoint
    assert (seen[0][1].status_code, seen[0][1].headers["x-some"]) == (200, "Thing")
    for request in got:
        assert request.head.splitlines()[0] == "POST /krixik-core-process-status HTTP/1.1"
        assert request.body == _wire.encode(STATUS)
        expected = {
            "host": server.url.removeprefix("http://"),
            "user-agent": f"krixik-async/{__version__}",
            "accept": "*/*",
            "accept-encoding": "gzip, deflate",
            "content-type": "text/plain",
            "krixikapikey": KEY,
            "content-length": str(len(request.body)),
        }
        connection = request.headers.pop("connection", None)
        assert connection in (None, "keep-alive")
        assert {k: v for k, v in request.headers.items() if k != "connection"} == expected


async def test_the_api_url_is_used_as_it_is() -> None:
    heads: list[str] = []

    async def handler(peer: Peer) -> None:
        heads.append((await peer.request()).head.splitlines()[0])
        await peer.answer()

    async with raw_server(handler) as server, transport_to(server.url + "/stage//v1") as world:
        await world.transport.call(STATUS, read_text)
    assert heads == ["POST /stage//v1/krixik-core-process-status HTTP/1.1"]


@by_every_sender
async def test_a_compressed_answer_comes_out_decoded(sender: str) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.answer(200, gzip.compress(b"plain", mtime=0), head="Content-Encoding: gzip\r\n")

    async with raw_server(handler) as server, transport_by(sender, server.url) as world:
        assert await world.transport.call(STATUS, read_text) == "plain"


def bare(content: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflate.compress(content) + deflate.flush()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("deflate", zlib.compress(b"plain")),
        ("deflate", bare(b"plain")),
        ("GZIP", gzip.compress(b"plain", mtime=0)),
        ("deflate, gzip", gzip.compress(zlib.compress(b"plain"), mtime=0)),
        ("gzip, identity", gzip.compress(b"plain", mtime=0)),
        ("br", b"plain"),  # never asked for: passed as it is
        ("gzip", b""),
    ],
)
async def test_encodings_come_off_in_turn(encoding: str, body: bytes) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.answer(200, body, head=f"Content-Encoding: {encoding}\r\n")

    async with raw_server(handler) as server, transport_to(server.url) as world:
        assert await world.transport.call(STATUS, read_text) == ("plain" if body else "")


@by_every_sender
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_an_answer_not_encoded_as_it_says_cannot_be_read(sender: str, encoding: str) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.answer(200, b"<html>", head=f"Content-Encoding: {encoding}\r\n")

    async with raw_server(handler) as server, transport_by(sender, server.url) as world:
        with pytest.raises(UnexpectedReply, match="cannot be read"):
            await world.transport.call(STATUS, read_text)
        await settled(world.tasks)


async def test_a_reason_that_is_not_ascii_is_no_obstacle() -> None:
    """httpx-aiohttp would fail on it, and leave the connection open."""

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 \xdb\xff\r\nContent-Length: 2\r\n\r\nok")
        await peer.request()
        await peer.send(b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok")

    async with raw_server(handler) as server, transport_to(server.url) as world:
        for _ in range(2):
            assert await world.transport.call(STATUS, read_text) == "ok"
    assert server.connections == 1


@by_every_sender
async def test_a_redirect_is_an_answer_and_is_not_followed(sender: str) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.answer(307, head="Location: /elsewhere\r\n")

    async with raw_server(handler) as server, transport_by(sender, server.url) as world:
        with pytest.raises(UnexpectedReply, match="a redirect") as caught:
            await world.transport.call(STATUS, read_text)
    assert caught.value.status_code == 307
    assert server.connections == 1


async def test_an_error_of_read_leaves_with_what_the_call_knows() -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.answer(200, b"said")

    def refuse(endpoint: _wire.Endpoint, reply: Reply) -> None:
        raise RequestRejected("no", request_id="r")

    async with raw_server(handler) as server, transport_to(server.url) as world:
        with pytest.raises(RequestRejected) as caught:
            await world.transport.call(STATUS, refuse)
    error = caught.value
    assert error.reply is not None
    assert (error.endpoint, error.attempts, error.request_id, error.reply.body) == (
        "process_status",
        1,
        "r",
        b"said",
    )
    assert error.elapsed_s is not None
    assert 0 < error.elapsed_s < 3000


@by_every_sender
async def test_headers_come_out_in_lower_case_and_repeated_ones_joined(sender: str) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.answer(200, head="X-Trace: 1\r\nWarning: a\r\nx-trace: 2\r\n")

    def read_headers(_: _wire.Endpoint, reply: Reply) -> Any:
        return reply.headers

    async with raw_server(handler) as server, transport_by(sender, server.url) as world:
        headers = await world.transport.call(STATUS, read_headers)
    # A dict: an error carries its reply, and can be pickled.
    assert (type(headers), headers) == (
        dict,
        {"content-length": "2", "x-trace": "1, 2", "warning": "a"},
    )


@by_every_sender
async def test_an_answer_that_does_not_say_how_long_it_is_is_read_to_its_end(sender: str) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n")
        await peer.send(b"3\r\nin \r\n6\r\npieces\r\n0\r\n\r\n")
        await ok(peer)

    async with raw_server(handler) as server, transport_by(sender, server.url) as world:
        assert await world.transport.call(STATUS, read_text) == "in pieces"
        assert await world.transport.call(STATUS, read_text) == "ok"
    assert server.connections == 1


@by_every_sender
async def test_an_answer_whose_end_comes_later_is_read_to_it(sender: str) -> None:
    async def handler(peer: Peer) -> None:
        while True:
            await peer.request()
            for piece in (b"HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\n", b"in p", b"ieces"):
                await peer.send(piece)
                await anyio.wait_all_tasks_blocked()

    async with raw_server(handler) as server, transport_by(sender, server.url) as world:
        for _ in range(3):
            assert await world.transport.call(STATUS, read_text) == "in pieces"
    assert server.connections == 1


async def too_long(peer: Peer) -> None:
    await peer.answer(200, bytes(101))


async def too_long_in_chunks(peer: Peer) -> None:
    await peer.send(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n")
    await peer.send(b"65\r\n" + bytes(101) + b"\r\n")


async def too_long_unpacked(peer: Peer) -> None:
    await peer.answer(200, gzip.compress(bytes(101)), head="Content-Encoding: gzip\r\n")


@by_every_sender
@pytest.mark.parametrize("answer", [too_long, too_long_in_chunks, too_long_unpacked])
async def test_an_answer_too_large_to_be_one_is_refused(
    answer: Callable[[Peer], Awaitable[None]], sender: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_posting, "LARGEST_REPLY_BYTES", 100)

    async def handler(peer: Peer) -> None:
        await peer.request()
        await answer(peer)
        await peer.closed_by_client()

    async with raw_server(handler) as server, transport_by(sender, server.url) as world:
        with pytest.raises(UnexpectedReply, match="more than 100 bytes") as caught:
            await world.transport.call(STATUS, read_text)
        world.check_nothing_leaked()
    assert caught.value.status_code == 200


async def test_a_url_that_is_none_is_the_callers_error() -> None:
    async with transport_to("http://ä..de") as world:
        with pytest.raises(InvalidArgument, match="api_url is not a URL"):
            await world.transport.call(STATUS, read_text)


async def test_a_body_can_be_sent_again() -> None:
    """As an auth flow of the user's client does it that answers a challenge."""
    body = BytesBody(b"content")
    for _ in range(2):
        assert [piece async for piece in aiter(body)] == [b"content"]


# --- a connection that breaks, stage by stage ----------------------------------------------


async def accept_and_close(peer: Peer) -> None:
    await peer.reset()


async def close_after_the_head(peer: Peer) -> None:
    await peer.head()


async def close_after_the_body(peer: Peer) -> None:
    await peer.request()


async def half_a_head(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-")


async def half_a_body(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n1234")


async def not_http(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"220 smtp.example ESMTP\r\n\r\n")


async def stall(peer: Peer) -> None:
    await peer.request()
    await peer.closed_by_client()


@by_every_sender
@pytest.mark.parametrize(
    "drop",
    [
        accept_and_close,
        close_after_the_head,
        close_after_the_body,
        half_a_head,
        half_a_body,
        not_http,
        stall,
    ],
)
async def test_once_connected_a_lost_answer_is_never_called_unsent(
    drop: object, sender: str
) -> None:
    """Also where httpx-aiohttp says ConnectTimeout; a ticket is then not asked for twice."""
    # Long enough to connect on a busy machine, for a limit while connecting means another thing.
    limit = 0.7 if drop is stall else 20.0
    async with (
        raw_server(drop) as server,  # type: ignore[arg-type]
        transport_by(sender, server.url, attempt_timeout_s=limit) as world,
    ):
        with pytest.raises(AnswerLost, match="process got no answer") as caught:
            await world.transport.call(SUBMIT, read_text)
        world.check_nothing_leaked()
    assert server.connections == 1
    assert (caught.value.endpoint, caught.value.attempts) == ("process", 1)


@by_every_sender
async def test_a_refused_connection_was_never_sent_and_is_tried_again(sender: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with transport_by(sender, url) as world:
            with pytest.raises(ConnectFailed, match=r"refused.*Nothing was sent") as caught:
                await world.transport.call(SUBMIT, read_text)
            world.check_nothing_leaked()
    assert caught.value.attempts == 4


async def test_a_connection_that_is_not_answered_times_out_as_unsent() -> None:
    """The backlog of the listening socket is full, so the kernel answers no further handshake."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        waiting = [socket.socket() for _ in range(2)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(deaf.getsockname())
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        for limits in ({"connect_timeout_s": 0.05}, {"attempt_timeout_s": 0.05}):
            async with transport_to(url, attempts=1, **limits) as world:
                with pytest.raises(ConnectFailed, match="Nothing was sent"):
                    await world.transport.call(STATUS, read_text)
                world.check_nothing_leaked()
        for one in waiting:
            one.close()


@by_every_sender
async def test_a_kept_connection_that_drops_counts_as_lost(sender: str) -> None:
    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.answer()
        await peer.request()

    async with raw_server(handler) as server, transport_by(sender, server.url) as world:
        await world.transport.call(SUBMIT, read_text)
        with pytest.raises(AnswerLost):
            await world.transport.call(SUBMIT, read_text)


# --- repeating -----------------------------------------------------------------------------


def answering(*statuses: int, head: str = "") -> tuple[object, list[int]]:
    left = list(statuses)

    async def handler(peer: Peer) -> None:
        while True:
            await peer.request()
            status = left.pop(0)
            if status == 0:
                return
            await peer.answer(status, b'{"request_id": "r"}', head=head)

    return handler, left


@pytest.mark.parametrize(
    ("statuses", "attempts"),
    [((500, 0, 429, 200), 4), ((403, 200), 2), ((403, 500, 403, 200), 4), ((429, 429, 200), 3)],
)
async def test_what_may_pass_is_asked_again(statuses: tuple[int, ...], attempts: int) -> None:
    handler, left = answering(*statuses)
    async with (
        raw_server(handler) as server,  # type: ignore[arg-type]
        transport_to(server.url, backoff_s=0.0001) as world,
    ):
        assert await world.transport.call(STATUS, read_text) == '{"request_id": "r"}'
        assert world.transport.statistics == TransportStatistics(
            attempts, attempts - 1, statuses.count(429)
        )
    assert left == []


@pytest.mark.parametrize(
    ("request_", "statuses", "error", "attempts"),
    [
        (STATUS, (401, 200), AuthenticationError, 1),
        (STATUS, (403, 403, 200), AuthenticationError, 2),
        (STATUS, (400, 200), RequestRejected, 1),
        (STATUS, (404, 200), RequestRejected, 1),
        (STATUS, (418, 200), UnexpectedReply, 1),
        (STATUS, (500, 502, 504, 500, 200), ServerError, 4),
        (STATUS, (429, 429, 429, 429, 200), RateLimited, 4),
        (SUBMIT, (500, 200), ServerError, 1),
        (SUBMIT, (0, 200), AnswerLost, 1),
        (SUBMIT, (429, 429, 429, 500, 200), ServerError, 4),
    ],
)
async def test_what_cannot_help_is_not_asked_again(
    request_: _wire.Request, statuses: tuple[int, ...], error: type[KrixikError], attempts: int
) -> None:
    handler, left = answering(*statuses)
    async with (
        raw_server(handler) as server,  # type: ignore[arg-type]
        transport_to(server.url) as world,
    ):
        with pytest.raises(error) as caught:
            await world.transport.call(request_, read_text)
    assert type(caught.value) is error
    assert caught.value.attempts == attempts
    assert len(left) == len(statuses) - attempts


async def test_two_hundred_calls_with_failures_each_get_their_own_result() -> None:
    """One AsyncRetrying shared among them would mix their results up."""
    rng, seen = random.Random(7), Counter[str]()
    fates = {
        f"p{number}": rng.choice([*[(200,)] * 5, (500, 200), (0, 500, 200), (400,)])
        for number in range(200)
    }

    async def handler(peer: Peer) -> None:
        while True:
            name = json.loads((await peer.request()).body)["process_id"]
            status = fates[name][seen[name]]
            seen[name] += 1
            if status == 0:
                return
            body = {"request_id": name, "message": f"for {name}"}
            await peer.answer(status, json.dumps(body).encode())

    results: dict[str, str] = {}
    async with raw_server(handler) as server, transport_to(server.url) as world:

        async def one(name: str) -> None:
            request = _wire.GetStatus(pipeline="b", process_id=name)
            try:
                results[name] = json.loads(await world.transport.call(request, read_text))[
                    "message"
                ]
            except RequestRejected as error:
                results[name] = f"{error.request_id} refused after {error.attempts}"

        async with anyio.create_task_group() as group:
            for name in fates:
                group.start_soon(one, name)
        world.check_nothing_leaked()
    assert results == {
        name: f"{name} refused after 1" if fate == (400,) else f"for {name}"
        for name, fate in fates.items()
    }


async def test_when_the_budget_is_spent_calls_fail_at_once_and_say_so() -> None:
    async def handler(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.answer(500)

    async with raw_server(handler) as server, transport_to(server.url, attempts=5) as world:
        said = []
        for _ in range(27):
            with pytest.raises(ServerError) as caught:
                await world.transport.call(STATUS, read_text)
            said.append((caught.value.attempts, "budget is spent" in str(caught.value)))
        assert world.transport.statistics.retries == 100
    assert said == [(5, False)] * 25 + [(1, True)] * 2


async def test_an_error_that_is_not_ours_passes_unchanged_and_unrepeated() -> None:
    async def handler(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.answer()

    def broken(endpoint: _wire.Endpoint, reply: Reply) -> None:
        raise ZeroDivisionError("a bug in the reader")

    async with raw_server(handler) as server, transport_to(server.url) as world:
        with pytest.raises(ZeroDivisionError):
            await world.transport.call(STATUS, broken)
        assert world.transport.statistics.requests == 1


async def test_what_a_users_hook_raises_reaches_its_user() -> None:
    async def hook(response: httpx.Response) -> None:
        raise LookupError("by the hook")

    async def handler(peer: Peer) -> None:
        await peer.request()
        await peer.answer()

    async with (
        raw_server(handler) as server,
        httpx.AsyncClient(event_hooks={"response": [hook]}) as client,
        transport_to(server.url, http_client=client) as world,
    ):
        with pytest.raises(LookupError, match="by the hook"):
            await world.transport.call(STATUS, read_text)
        world.check_nothing_leaked()


async def test_each_attempt_is_one_line_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "krixik_async")
    handler, _ = answering(500, 0, 429, 200)
    async with (
        raw_server(handler) as server,  # type: ignore[arg-type]
        transport_to(server.url) as world,
    ):
        await world.transport.call(STATUS, read_text)
    ours = [r for r in caplog.records if r.name == "krixik_async"]
    attempts = [r.getMessage().split(" s")[0][:-6] for r in ours if r.levelno == logging.DEBUG]
    assert [line.rpartition(",")[0] for line in attempts] == [
        "process_status: 500",
        "process_status: AnswerLost",
        "process_status: 429",
        "process_status: 200",
    ]
    assert [r.getMessage().split(":")[0] for r in ours if r.levelno == logging.INFO] == [
        "the service asks for fewer requests (429)"
    ]
    assert max(r.levelno for r in ours) == logging.INFO


# --- cancelling and closing ----------------------------------------------------------------


async def cancelled_after(turns: int, world: World) -> None:
    """Start a call and cancel it after so many turns of the loop."""
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(world.transport.call, STATUS, read_text)
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
    assert not scope.cancelled_caught


async def all_at_once(world: World, calls: int) -> list[str]:
    results = []

    async def call() -> None:
        results.append(await world.transport.call(STATUS, read_text))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            for _ in range(calls):
                group.start_soon(call)
    return results


@by_every_sender
async def test_after_three_hundred_cancellations_the_client_still_answers(sender: str) -> None:
    """A request cancelled inside httpx's own pool would leak its slot; ten of them kill it."""
    rng = random.Random(3)

    async def handler(peer: Peer) -> None:
        while True:
            await peer.request()
            for _ in range(rng.randrange(4)):
                await anyio.lowlevel.checkpoint()
            await peer.answer()

    async with (
        raw_server(handler) as server,
        transport_by(sender, server.url, max_in_flight=10, connect_timeout_s=2.0) as world,
    ):
        for _ in range(15):
            async with anyio.create_task_group() as group:
                for _ in range(20):
                    group.start_soon(cancelled_after, rng.randrange(30), world)
        assert await all_at_once(world, 20) == ["ok"] * 20
        await settled(world.tasks)
        world.check_nothing_leaked(10)


@by_every_sender
async def test_a_cancelled_caller_does_not_wait_for_the_answer(sender: str) -> None:
    arrived, go_on = anyio.Event(), anyio.Event()

    async def handler(peer: Peer) -> None:
        await peer.request()
        arrived.set()
        await go_on.wait()
        await peer.answer()

    async with raw_server(handler) as server, transport_by(sender, server.url) as world:
        with anyio.CancelScope() as scope:

            async def cancel() -> None:
                await arrived.wait()
                scope.cancel()

            async with anyio.create_task_group() as group:
                group.start_soon(cancel)
                await world.transport.call(STATUS, read_text)
        assert scope.cancelled_caught
        go_on.set()
        await settled(world.tasks)
        world.check_nothing_leaked()


async def test_at_most_max_in_flight_are_on_the_way() -> None:
    now = most = 0

    async def handler(peer: Peer) -> None:
        nonlocal now, most
        while True:
            await peer.request()
            now += 1
            most = max(most, now)
            await anyio.lowlevel.checkpoint()
            now -= 1
            await peer.answer()

    async with raw_server(handler) as server, transport_to(server.url, max_in_flight=3) as world:
        async with anyio.create_task_group() as group:
            for _ in range(30):
                group.start_soon(world.transport.call, STATUS, read_text)
        world.check_nothing_leaked(3)
    assert most <= 3
    assert server.connections <= 3


@by_every_sender
async def test_closing_ends_what_is_under_way_and_refuses_what_comes(sender: str) -> None:
    arrived = anyio.Event()

    async def handler(peer: Peer) -> None:
        await peer.request()
        arrived.set()
        await peer.closed_by_client()

    said: dict[str, str] = {}
    async with (
        raw_server(handler) as server,
        transport_by(sender, server.url, max_in_flight=1) as world,
    ):

        async def call(when: str) -> None:
            with pytest.raises(ClientClosed) as caught:
                await world.transport.call(STATUS, read_text)
            said[when] = str(caught.value)

        async with anyio.create_task_group() as group:
            group.start_soon(call, "on the wire")
            await arrived.wait()
            group.start_soon(call, "waiting for a permit")
            await anyio.wait_all_tasks_blocked()
            await world.transport.aclose()
        world.check_nothing_leaked(1)
        await call("afterwards")
        await world.transport.aclose()
        assert len(world.tasks) == 0
    assert {when for when, words in said.items() if "under way" in words} == {"on the wire"}
    assert len(said) == 3


async def test_closing_is_not_cut_short_by_cancellation() -> None:
    async def handler(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.answer()

    async with raw_server(handler) as server, transport_to(server.url) as world:
        await world.transport.call(STATUS, read_text)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await world.transport.aclose()
        with pytest.raises(ClientClosed):
            await world.transport.call(STATUS, read_text)


async def test_a_client_that_was_never_used_closes() -> None:
    async with transport_to("http://127.0.0.1:9") as world:
        await world.transport.aclose()
        assert world.transport.statistics == TransportStatistics(0, 0, 0)


async def test_ending_the_tasks_from_outside_is_told_to_the_caller() -> None:
    arrived = anyio.Event()

    async def handler(peer: Peer) -> None:
        await peer.request()
        arrived.set()
        await peer.closed_by_client()

    async with (
        raw_server(handler) as server,
        httpx.AsyncClient() as client,
        transport_to(server.url, http_client=client) as world,
        anyio.create_task_group() as group,
    ):

        async def end() -> None:
            await arrived.wait()
            await world.tasks.aclose()

        group.start_soon(end)
        with pytest.raises(ClientClosed, match="may or may not"):
            await world.transport.call(STATUS, read_text)
        world.check_nothing_leaked()
