"""Whatever waits, in virtual time: pace, pauses, backoff, limits."""

from __future__ import annotations

import logging
import random
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from krixik_async._clock import AnchoredClock, LoopClock
from krixik_async._errors import (
    AnswerLost,
    ClientClosed,
    DownloadInterrupted,
    RateLimited,
    ServerError,
    UploadInterrupted,
    UploadRejected,
)
from krixik_async._sources import BytesSource
from krixik_async._tasks import TaskSet
from krixik_async._transport import InProcessTransport, TransportStatistics
from krixik_async._transport._pace import Pace
from krixik_async._transport._permits import Permits
from krixik_async._transport._turns import Turns
from tests.transport_world import STATUS, SUBMIT, read_text, ticket_for, transport_to

pytestmark = pytest.mark.anyio


class Service:
    """Be an application whose answers are listed, and which notes when it was asked."""

    def __init__(self, *answers: tuple[int, str] | None) -> None:
        self.answers = list(answers)
        self.asked: list[float] = []

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        self.asked.append(anyio.current_time())
        said = self.answers.pop(0) if self.answers else (200, "")
        if said is None:
            await anyio.sleep_forever()
            return
        head = [(b"retry-after", said[1].encode())] if said[1] else []
        await send({"type": "http.response.start", "status": said[0], "headers": head})
        await send({"type": "http.response.body", "body": b"ok"})


def virtual(service: Any, **options: Any) -> Any:
    tasks = TaskSet()
    return transport_to(
        "http://krixik.test",
        http_transport=InProcessTransport(service, tasks=tasks),
        tasks=tasks,
        **{"clock": LoopClock(), "backoff_s": 0.5, "backoff_cap_s": 30.0} | options,
    )


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


def since(service: Service) -> list[float]:
    return [round(at - service.asked[0], 3) for at in service.asked]


async def test_a_limit_of_the_user_spaces_everything_that_is_sent() -> None:
    service = Service()
    async with virtual(service, rate_limit=2.0) as world, anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(world.transport.call, STATUS, read_text)
    assert since(service) == [0.0, 0.5, 1.0, 1.5, 2.0]


async def test_retry_after_stops_the_whole_client() -> None:
    service = Service((429, "7"))
    async with virtual(service) as world:
        async with anyio.create_task_group() as group:
            group.start_soon(world.transport.call, STATUS, read_text)
            await anyio.sleep(1)
            for _ in range(3):
                group.start_soon(world.transport.call, STATUS, read_text)
        assert world.transport.statistics == TransportStatistics(5, 1, 1)
    # One a second at first; each good answer lets it grow.
    assert since(service)[1:] == [8.0, 9.0, 9.652, 10.277]


async def test_refusals_of_one_moment_are_one_piece_of_news(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "krixik_async")
    async with virtual(Service((429, ""), (429, ""), (429, ""))) as world:
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(world.transport.call, STATUS, read_text)
        assert world.transport.statistics == TransportStatistics(6, 3, 3)
    assert len([r for r in caplog.records if r.name == "krixik_async"]) == 1


async def test_retry_after_holds_back_who_had_a_slot_already() -> None:
    service = Service((200, ""), (503, "30"))
    async with virtual(service, rate_limit=1.0) as world, anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(world.transport.call, STATUS, read_text)
    asked = since(service)
    assert asked[:2] == [0.0, 1.0]
    assert min(asked[2:]) >= 31.0


async def test_who_gives_up_waiting_takes_no_slot_along() -> None:
    """Else a program with time-outs of its own would push the line ahead of itself for ever."""
    service = Service()
    async with virtual(service, rate_limit=2.0) as world:
        for _ in range(3):
            with anyio.move_on_after(1.25):
                async with anyio.create_task_group() as group:
                    for _ in range(20):
                        group.start_soon(world.transport.call, STATUS, read_text)
    assert since(service) == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5]


async def test_a_rate_that_was_lowered_holds_for_those_in_line_already() -> None:
    service = Service((429, ""))
    async with virtual(service, rate_limit=10.0) as world, anyio.create_task_group() as group:
        for _ in range(6):
            group.start_soon(world.transport.call, STATUS, read_text)
    assert all(later - one > 0.18 for one, later in pairwise(since(service)))


async def test_an_upload_goes_before_all_who_stand_in_line() -> None:
    service = Service()
    async with virtual(service, rate_limit=1.0) as world, anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(world.transport.call, STATUS, read_text)
        await anyio.sleep(0.5)
        with pytest.raises(UploadRejected):
            await world.transport.upload(
                ticket_for("http://h"), BytesSource(b"x"), file_name="a.txt"
            )
        uploaded_at = anyio.current_time() - service.asked[0]
    assert round(uploaded_at, 3) == 1.0
    assert since(service) == [0.0, 1.0, 2.0, 3.0, 4.0]


async def test_an_upload_that_waits_is_held_back_by_a_retry_after_too() -> None:
    service = Service((200, ""), (429, "30"))

    async def upload() -> None:
        with pytest.raises((UploadRejected, RateLimited)):
            await world.transport.upload(ticket_for("http://h"), BytesSource(b"x"), file_name="a")

    async with virtual(service, rate_limit=1.0) as world, anyio.create_task_group() as group:
        await world.transport.call(STATUS, read_text)
        group.start_soon(upload)
        group.start_soon(upload)
    assert since(service) == [0.0, 1.0, 32.0]


async def test_retry_after_as_a_date_is_held_against_the_wall() -> None:
    service = Service((429, "Wed, 21 Oct 2015 07:28:20 GMT"))
    clock = AnchoredClock(1_445_412_480.0)
    async with virtual(service, clock=clock) as world:
        await world.transport.call(STATUS, read_text)
    assert 20.0 <= since(service)[1] <= 22.0


async def test_throttling_is_told_at_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "krixik_async")
    async with virtual(Service((503, "7"))) as world:
        await world.transport.call(STATUS, read_text)
    assert [r.getMessage() for r in caplog.records if r.name == "krixik_async"] == [
        "the service asks for fewer requests (503): now at most 1.00 a second, none for 7.0 s"
    ]


async def test_the_backoff_is_full_jitter_of_the_injected_generator() -> None:
    service = Service(*[(500, "")] * 4)
    async with virtual(service) as world:
        with pytest.raises(ServerError) as caught:
            await world.transport.call(STATUS, read_text)
    draws = random.Random(1)
    expected = [0.0]
    for cap in (0.5, 1.0, 2.0):
        expected.append(expected[-1] + draws.uniform(0.0, cap))
    assert since(service) == [round(at, 3) for at in expected]
    assert caught.value.elapsed_s == pytest.approx(expected[-1], abs=0.01)


async def test_the_backoff_is_capped_however_many_tries() -> None:
    service = Service(*[(429, "")] * 79)
    async with virtual(service, attempts=80, backoff_cap_s=3.0) as world:
        await world.transport.call(STATUS, read_text)
    gaps = [b - a for a, b in zip(service.asked, service.asked[1:], strict=False)]
    assert max(gaps) < 5.1


async def test_an_attempt_ends_by_its_own_limit() -> None:
    """15 s for a ticket, in one attempt; 30 s for each of a status's four."""
    for request, limit, attempts in ((SUBMIT, 15.0, 1), (STATUS, 30.0, 4)):
        service = Service(*[None] * attempts)
        started = anyio.current_time()
        async with virtual(service, backoff_s=0.001) as world:
            with pytest.raises(AnswerLost, match=f"no answer within {limit:g} s"):
                await world.transport.call(request, read_text)
            assert anyio.current_time() - started == pytest.approx(limit * attempts, abs=0.1)
            world.check_nothing_leaked()


async def test_an_upload_has_45_seconds_and_what_a_slow_line_needs() -> None:
    source = BytesSource(bytes(500_000))
    async with virtual(Service(None)) as world:
        with pytest.raises(UploadInterrupted, match=r"no answer within 55\.\d+ s"):
            await world.transport.upload(ticket_for("http://h"), source, file_name="a.txt")
        world.check_nothing_leaked()


async def test_a_download_ends_a_minute_after_its_last_bytes(tmp_path: Path) -> None:
    """A slow download goes on however long it takes; a dead one does not."""
    ended: list[float] = []

    async def slow(scope: Any, _receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(100):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            await anyio.sleep(50)
        if scope["path"] == "/dead":
            await anyio.sleep_forever()
        await send({"type": "http.response.body", "body": b""})

    async with virtual(slow, attempts=1) as world:
        started = anyio.current_time()
        assert await world.transport.download("http://krixik.test/", tmp_path / "a") == 100
        ended.append(anyio.current_time() - started)
        with pytest.raises(DownloadInterrupted, match="no answer within 60 s"):
            await world.transport.download("http://krixik.test/dead", tmp_path / "b")
        ended.append(anyio.current_time() - started)
    assert ended == pytest.approx([5000, 5000 + 99 * 50 + 60], abs=1)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["a"]  # noqa: ASYNC240


async def test_a_cancelled_download_is_gone_when_its_caller_is(tmp_path: Path) -> None:
    begun = anyio.Event()

    async def stalls(scope: Any, _receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        begun.set()
        await anyio.sleep_forever()

    async with virtual(stalls) as world:
        async with anyio.create_task_group() as group:
            group.start_soon(world.transport.download, "http://krixik.test/", tmp_path / "a")
            await begun.wait()
            await anyio.sleep(1)
            cancelled_at = anyio.current_time()
            group.cancel_scope.cancel()
        assert anyio.current_time() == pytest.approx(cancelled_at, abs=0.01)
        assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240
        world.check_nothing_leaked()


async def test_the_users_limit_overrides_the_endpoints() -> None:
    async with virtual(Service(None), attempt_timeout_s=2.5) as world:
        with pytest.raises(AnswerLost, match=r"no answer within 2\.5 s"):
            await world.transport.call(SUBMIT, read_text)


async def test_closing_wakes_who_waits_for_a_turn_or_a_retry() -> None:
    async with virtual(Service((429, "60"))) as world:
        errors: list[BaseException] = []

        async def call() -> None:
            with pytest.raises(ClientClosed) as caught:
                await world.transport.call(STATUS, read_text)
            errors.append(caught.value)

        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await anyio.sleep(1)
            group.start_soon(call)
            await anyio.sleep(1)
            started = anyio.current_time()
            await world.transport.aclose()
        assert anyio.current_time() - started < 1
        assert len(errors) == 2


async def test_too_many_for_the_last_time_is_told_with_the_reply() -> None:
    async with virtual(Service(*[(429, "1")] * 4)) as world:
        with pytest.raises(RateLimited) as caught:
            await world.transport.call(STATUS, read_text)
    assert caught.value.reply is not None
    assert caught.value.reply.headers == {"retry-after": "1"}


async def test_the_backend_is_the_virtual_one() -> None:
    started = anyio.current_time()
    await anyio.sleep(3600)
    assert anyio.current_time() - started == pytest.approx(3600)


async def test_a_turn_that_comes_after_closing_is_not_taken() -> None:
    """On asyncio a waiter that was handed its permit in the turn of the closing goes on."""
    async with virtual(Service()) as world:
        await world.transport.aclose()
        attempt: Any = SimpleNamespace(leads=False, follows=False)
        with pytest.raises(ClientClosed):
            await world.transport._exchanges.run(attempt)
        world.check_nothing_leaked()


async def test_no_pause_is_begun_after_closing() -> None:
    """As by a waiter that was handed its permit while the service wants a pause."""
    async with virtual(Service()) as world:
        await world.transport.aclose()
        started = anyio.current_time()
        with pytest.raises(ClientClosed, match="under way"):
            await world.transport._exchanges.pause(60)
        assert anyio.current_time() == started


async def test_who_gets_a_permit_when_the_slot_is_gone_leaves_it_to_others_until_the_next() -> None:
    """One permit, a slot a second: at 1.5 s an upload takes the slot that was due at 1 s."""
    permits, clock, begun = Permits(1), LoopClock(), list[tuple[str, float]]()
    turns = Turns(permits=permits, pace=Pace(1.0), clock=clock, pause=clock.sleep)
    start = clock.now()

    async def send(name: str, *, at: float, takes: float, follows: bool = False) -> None:
        await clock.sleep(at)
        await turns.take(follows=follows)
        begun.append((name, round(clock.now() - start, 3)))
        await clock.sleep(takes)
        permits.release()

    async with anyio.create_task_group() as group:
        group.start_soon(partial(send, "first", at=0, takes=1.5))
        group.start_soon(partial(send, "second", at=0.1, takes=0))
        group.start_soon(partial(send, "upload", at=1.2, takes=0.1, follows=True))
        group.start_soon(partial(send, "retried upload", at=1.8, takes=0.1, follows=True))
    assert begun == [("first", 0), ("upload", 1.5), ("retried upload", 2.5), ("second", 3.5)]
    assert permits.free == 1


class StoppedClock(LoopClock):
    """Let time go by in which nothing runs, as while a program computes on its event loop."""

    stopped_s = 0.0

    def now(self) -> float:
        return super().now() + self.stopped_s


async def test_after_a_standstill_the_slots_that_went_by_are_not_made_up_for() -> None:
    """By a service that lets ten a second go, and ten at once: it refuses none of them."""
    clock, begun = StoppedClock(), list[float]()
    turns = Turns(permits=Permits(100), pace=Pace(10.0), clock=clock, pause=clock.sleep)

    async def send() -> None:
        await turns.take(follows=False)
        begun.append(clock.now())

    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(send)
        await anyio.sleep(2)
        clock.stopped_s = 5.0
    left, least = 10.0, 10.0
    for before, now in pairwise(begun):
        left = min(10.0, left + (now - before) * 10.0) - 1.0
        least = min(least, left)
    assert least >= 8.0
    assert begun[-1] - begun[0] == pytest.approx(9.9 + 5.0, abs=0.11)


async def test_what_waking_takes_is_made_up_for() -> None:
    """Else each request would be late by that much more than the one before it."""

    class LateClock(LoopClock):
        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds + 0.01)

    clock = LateClock()
    turns = Turns(permits=Permits(100), pace=Pace(10.0), clock=clock, pause=clock.sleep)
    started = clock.now()
    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(partial(turns.take, follows=False))
    assert clock.now() - started == pytest.approx(9.9, abs=0.02)


@pytest.mark.parametrize("follows", [True, False])
async def test_who_gives_up_while_waiting_for_a_slot_takes_nothing_along(follows: bool) -> None:
    permits, pace, clock = Permits(2), Pace(0.2), LoopClock()
    turns = Turns(permits=permits, pace=pace, clock=clock, pause=clock.sleep)
    start = clock.now()
    await turns.take(follows=False)
    with anyio.move_on_after(2) as scope:
        await turns.take(follows=follows)
    assert (scope.cancelled_caught, permits.free) == (True, 1)
    await turns.take(follows=False)
    assert round(clock.now() - start) == (10 if follows else 5)
