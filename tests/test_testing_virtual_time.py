"""Virtual time: hours pass in no time, in order, and a standstill is told."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import anyio
import pytest

from krixik_async import Krixik
from krixik_async.testing import VirtualTimeLoop, _virtual_time

T = TypeVar("T")


def run_virtually(coroutine: Coroutine[Any, Any, T], **options: float) -> T:
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(**options)) as runner:
        return runner.run(coroutine)


def test_ten_hours_of_sleep_pass_at_once() -> None:
    async def main() -> float:
        await asyncio.sleep(36_000)
        return asyncio.get_running_loop().time()

    started = time.monotonic()
    assert run_virtually(main()) == 36_000.0
    assert time.monotonic() - started < 2.0


def test_time_begins_where_it_is_told_to() -> None:
    async def main() -> float:
        await anyio.sleep(2.5)
        return anyio.current_time()

    assert run_virtually(main(), start=100.0) == 102.5


def test_sleepers_wake_in_the_order_of_their_times() -> None:
    async def main() -> list[tuple[float, float]]:
        woken = []

        async def sleeper(seconds: float) -> None:
            await asyncio.sleep(seconds)
            woken.append((seconds, asyncio.get_running_loop().time()))

        await asyncio.gather(*(sleeper(s) for s in (3, 1, 86_400 * 3, 2)))
        return woken

    assert run_virtually(main()) == [(1, 1.0), (2, 2.0), (3, 3.0), (259_200, 259_200.0)]


def test_small_waits_end_however_late_it_is() -> None:
    """At the epoch's 1.7e9 s a double steps by 0.24 microseconds."""

    async def main() -> float:
        for _ in range(100):
            await asyncio.sleep(1e-7)
        await asyncio.sleep(30 * 86_400)
        return asyncio.get_running_loop().time() - 1.7e9

    assert run_virtually(main(), start=1.7e9) == pytest.approx(30 * 86_400, abs=1e-3)


def test_a_time_out_of_anyio_follows_the_virtual_clock() -> None:
    async def main() -> tuple[bool, float]:
        with anyio.move_on_after(3600) as scope:
            await anyio.sleep_forever()
        return scope.cancelled_caught, anyio.current_time()

    assert run_virtually(main()) == (True, 3600.0)


def test_ready_sockets_are_served_before_time_moves() -> None:
    async def main() -> tuple[bytes, float]:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.read(5))
            writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello")
        said = await reader.read(5)
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        return said, asyncio.get_running_loop().time()

    assert run_virtually(main()) == (b"hello", 0.0)


def test_a_full_socket_is_written_on_when_there_is_room() -> None:
    """The loop changes what it waits for on a socket that already stands in the selector."""

    async def main() -> int:
        received = 0
        ended = asyncio.Event()

        async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal received
            while piece := await reader.read(65_536):
                received += len(piece)
            writer.close()
            ended.set()

        server = await asyncio.start_server(swallow, "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(bytes(20_000_000))
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        await ended.wait()
        server.close()
        await server.wait_closed()
        return received

    assert run_virtually(main()) == 20_000_000


def test_a_thread_can_wake_a_loop_that_has_nothing_else_to_do() -> None:
    async def main() -> str:
        loop = asyncio.get_running_loop()
        woken = loop.create_future()
        # Long enough for the loop to have settled down to wait for it.
        thread = threading.Timer(
            0.05, lambda: loop.call_soon_threadsafe(woken.set_result, "by the thread")
        )
        thread.start()
        said = await woken
        thread.join()
        return said

    assert run_virtually(main()) == "by the thread"


def test_a_standstill_is_an_error_and_not_a_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_virtual_time, "PATIENCE_S", 0.01)
    loop = VirtualTimeLoop()
    never = loop.create_future()
    with pytest.raises(RuntimeError, match="virtual time stands still"):
        loop.run_until_complete(never)
    loop.close()


def test_a_local_client_that_was_told_nothing_lives_in_virtual_time(tmp_path: Path) -> None:
    """Its server too: files are read, a journal is written, records expire, and no thread works."""

    async def main(krixik: Krixik) -> list[str]:
        async with krixik:
            pipeline = krixik.create_pipeline(name="books", module_chain=["parser"])
            stream = pipeline.process_many(
                tmp_path / "in", journal=tmp_path / "run.db", local_save_directory=tmp_path / "out"
            )
            (outcome,) = [outcome async for outcome in stream]
            assert outcome.ok, outcome.error
            assert outcome.job is not None
            took = asyncio.get_running_loop().time()
            assert took == pytest.approx(600, rel=0.2)
            assert outcome.job.submitted_at == pytest.approx(1_780_000_000.0, abs=1.0)
            await asyncio.sleep(3600)
            gone = await krixik.wait_until_complete(outcome.job)
            return [outcome.state, *(one.state for one in gone.values())]

    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("one two three four five six")
    before = {*threading.enumerate()}
    # Made before there is a loop, too.
    assert run_virtually(main(Krixik.local(min_module_seconds=600))) == ["complete", "expired"]
    assert {*threading.enumerate()} <= before
