"""What every test has: both event loops, virtual time, and no way off this machine."""

from __future__ import annotations

import gc
import random
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio.testing
from hypothesis import HealthCheck, settings

from krixik_async.testing import VirtualTimeLoop
from tests.client_side import World, world

# A busy machine is no finding: examples have no deadline, only each test its time limit.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

LOOPBACK = ("127.", "::1", "localhost", "/")


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run an anyio test on both backends, in real time."""
    return str(request.param)


@pytest.fixture(params=["asyncio", "trio"])
def virtual_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Give the backend and options of a run in virtual time; use it as `anyio_backend`."""
    if request.param == "asyncio":
        return "asyncio", {"loop_factory": VirtualTimeLoop}
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}


@pytest.fixture
async def w(tmp_path: Path) -> AsyncIterator[World]:
    """Give a server and a client of it, in this process; for tests on `virtual_backend`."""
    async with world(tmp_path) as here:
        yield here


@pytest.fixture
def what_is_new() -> Iterator[None]:
    """Keep what other tests have left out of counts of live objects."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def rng() -> random.Random:
    """Give a generator that draws the same in every run."""
    return random.Random(20261122)


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections that leave the machine."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        host = address[0] if isinstance(address, tuple) else str(address)
        assert str(host).startswith(LOOPBACK), f"a test wanted to leave the machine: {address!r}"
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
