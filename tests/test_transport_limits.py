"""The limits of posts on asyncio: what ends a block, when, and whose cancellation it was."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import ExitStack
from typing import Any, TypeVar

import anyio
import pytest

from krixik_async._config import Config
from krixik_async._errors import AnswerLost, ClientClosed
from krixik_async._transport._limits import Limit, Limits
from krixik_async.testing import VirtualTimeLoop
from tests.transport_world import KEY, STATUS, Peer, raw_server, read_text, transport_to

T = TypeVar("T")


class CountingLoop(VirtualTimeLoop):
    """Count the timers that are set."""

    def __init__(self) -> None:
        super().__init__(start=100.0)
        self.timers = 0

    def call_at(
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        self.timers += 1
        return super().call_at(when, callback, *args, context=context)


def virtually(body: Callable[[], Coroutine[Any, Any, T]]) -> T:
    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        return runner.run(body())


def now() -> float:
    return asyncio.get_running_loop().time()


def timers_left() -> int:
    loop: Any = asyncio.get_running_loop()
    return sum(not timer.cancelled() for timer in loop._scheduled)


def lengths(limits: Limits) -> list[float]:
    return list(limits._by_length)


async def forever(limit: Limit) -> str:
    """Say what ended a block that would never end."""
    try:
        with limit:
            await asyncio.sleep(1e9)
    except asyncio.CancelledError:
        return "cancelled"
    return "limit"


def test_every_block_ends_exactly_by_its_own_limit() -> None:
    """200 blocks of three lengths, begun at any time; every second one is done before that."""

    async def body() -> tuple[list[float], list[float], int]:
        limits, draws = Limits(), random.Random(5)
        late: list[float] = []
        early: list[float] = []

        async def block(begins: float, seconds: float, needs: float | None) -> None:
            await asyncio.sleep(begins)
            began = now()
            with limits.limit(seconds):
                await asyncio.sleep(1e9 if needs is None else needs)
                early.append(now() - began - (needs or 0.0))
                return
            late.append(now() - began - seconds)

        await asyncio.gather(
            *(
                block(
                    draws.uniform(0, 100),
                    seconds := draws.choice((15.0, 30.0, 60.0)),
                    draws.uniform(0, seconds) if number % 2 else None,
                )
                for number in range(200)
            )
        )
        return late, early, timers_left()

    late, early, left = virtually(body)
    assert late == pytest.approx([0.0] * 100, abs=1e-5)
    assert early == pytest.approx([0.0] * 100, abs=1e-5)
    assert left == 0


def test_blocks_of_one_length_share_a_timer_and_leave_none() -> None:
    async def body() -> tuple[int, int, list[float]]:
        limits = Limits()
        loop: Any = asyncio.get_running_loop()
        turn = asyncio.Event()

        async def block() -> None:
            with limits.limit(30.0):
                await turn.wait()

        blocks = [asyncio.ensure_future(block()) for _ in range(1000)]
        await asyncio.sleep(0)
        before = loop.timers, timers_left(), lengths(limits)
        turn.set()
        await asyncio.gather(*blocks)
        assert (timers_left(), lengths(limits)) == (0, [])
        return before

    assert virtually(body) == (1, 1, [30.0])


def test_a_limit_ends_its_block_only_while_that_is_run() -> None:
    async def body() -> None:
        limit = Limits().limit(30.0)
        limit.cancel()
        block = asyncio.ensure_future(forever(limit))
        await asyncio.sleep(1)
        assert not block.done()
        loop: Any = asyncio.get_running_loop()
        timers = loop.timers
        limit.cancel()
        limit.cancel()
        assert loop.timers == timers
        assert await block == "limit"
        assert now() == 101.0
        limit.cancel()
        await asyncio.sleep(60)
        assert block.cancelling() == 0

    virtually(body)


def test_what_a_block_raises_passes_even_when_its_time_is_up() -> None:
    async def body() -> None:
        task = asyncio.current_task()
        assert task is not None
        limits = Limits()
        with pytest.raises(ValueError, match="before"), limits.limit(5.0):
            raise ValueError("before")

        async def translated() -> None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                raise ValueError("after") from None

        with pytest.raises(ValueError, match="after"), limits.limit(5.0):
            await translated()
        assert (now(), task.cancelling()) == (105.0, 0)
        await asyncio.sleep(1)

    virtually(body)


def test_a_task_that_somebody_else_cancels_is_cancelled() -> None:
    """Before the limit, in the same turn as it, or in the same turn and just before it."""

    async def body() -> list[tuple[str, bool]]:
        found = []
        for order in ("task", "limit task", "task limit"):
            limit = Limits().limit(30.0)
            block = asyncio.ensure_future(forever(limit))
            await asyncio.sleep(1)
            for who in order.split():
                {"task": block.cancel, "limit": limit.cancel}[who]()
            found.append((await block, block.cancelling() == 1))
        await asyncio.sleep(1)
        assert timers_left() == 0
        return found

    assert virtually(body) == [("cancelled", True)] * 3


@pytest.mark.parametrize("first", ["scope", "limit"])
def test_a_scope_that_ends_in_the_turn_of_the_limit_knows_its_own_cancellation(first: str) -> None:
    async def body() -> bool:
        limit = Limits().limit(30.0)
        with anyio.CancelScope() as scope:
            loop = asyncio.get_running_loop()
            for who in (scope, limit) if first == "scope" else (limit, scope):
                loop.call_soon(who.cancel)
            with limit:
                # So a task waits for no future, which would keep the first cancellation.
                while True:  # noqa: ASYNC110
                    await asyncio.sleep(0)
            await asyncio.sleep(1e9)
        await asyncio.sleep(1)
        return scope.cancelled_caught

    assert virtually(body)


def test_an_asyncio_timeout_inside_or_outside_keeps_its_meaning() -> None:
    async def body() -> None:
        limits = Limits()

        async def limited() -> None:
            with limits.limit(30.0):
                await asyncio.sleep(1e9)

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(limited(), 10)
        with pytest.raises(TimeoutError), limits.limit(30.0):
            async with asyncio.timeout(10):
                await asyncio.sleep(1e9)
        assert now() == 120.0
        with limits.limit(30.0):
            async with asyncio.timeout(60):
                await asyncio.sleep(1e9)
        assert now() == 150.0

    virtually(body)


def test_a_block_that_goes_on_after_the_cancellation_of_another_still_ends() -> None:
    """As a connect that has timed out and tries the next address."""

    async def body() -> None:
        with Limits().limit(5.0):
            try:
                # Due in the same turn of the loop as the limit, and just before it.
                async with asyncio.timeout_at(105.0 - 5e-7):
                    await asyncio.sleep(1e9)
            except TimeoutError:
                await asyncio.sleep(1e9)
        assert now() == pytest.approx(105.01, abs=1e-4)

    virtually(body)


async def no_answer(peer: Peer) -> None:
    await peer.request()
    await peer.closed_by_client()


async def half_an_answer(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 X\r\nContent-Length: 4\r\n\r\nok")
    await peer.closed_by_client()


@pytest.mark.anyio
@pytest.mark.parametrize("handler", [no_answer, half_an_answer])
async def test_a_call_ends_by_its_limit_and_closes_its_connection(
    handler: Callable[[Peer], Awaitable[None]],
) -> None:
    ended = anyio.Event()

    async def handle(peer: Peer) -> None:
        await peer.request()
        await peer.answer()
        try:
            await handler(peer)
        finally:
            ended.set()

    async with raw_server(handle) as server, transport_to(server.url) as world:
        await world.transport.call(STATUS, read_text)
        brief = Config(api_url=server.url, api_key=KEY, attempts=1, attempt_timeout_s=0.05)
        with pytest.raises(AnswerLost, match=r"no answer within 0\.05 s"):
            await world.transport.with_config(brief).call(STATUS, read_text)
        with anyio.fail_after(10):
            await ended.wait()
        world.check_nothing_leaked()


@pytest.mark.anyio
async def test_closing_ends_a_connect() -> None:
    """The backlog of the listening socket is full, so the kernel answers no further handshake."""
    with ExitStack() as sockets:
        deaf = sockets.enter_context(socket.socket())
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(2):
            filler = sockets.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
        async with transport_to(f"http://127.0.0.1:{deaf.getsockname()[1]}") as world:

            async def call() -> None:
                with pytest.raises(ClientClosed, match="was closed while process_status was under"):
                    await world.transport.call(STATUS, read_text)

            with anyio.fail_after(3):
                async with anyio.create_task_group() as group:
                    group.start_soon(call)
                    await anyio.wait_all_tasks_blocked()
                    await world.transport.aclose()
            world.check_nothing_leaked()
