"""What the pytest plugin does to the tests that use its fixtures.

Its fixtures are no coroutines: whichever plugin runs an async test (anyio's, pytest-asyncio,
pytest-trio), what has to be awaited is awaited inside the test's own task, around its body.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from krixik_async._client import Krixik
from krixik_async._clock import AnchoredClock
from krixik_async._offload import InlineOffload
from krixik_async.server._plan import FaultPlan
from krixik_async.testing._virtual_time import VirtualTimeLoop

VIRTUAL_TIME = "krixik_virtual_time"
VIRTUAL_BACKEND = "krixik_virtual_backend"
_SEED = 1
_CLIENTS = pytest.StashKey[list[Krixik]]()


def is_virtual(item: pytest.Item) -> bool:
    """Tell whether a test runs in virtual time."""
    return bool({VIRTUAL_TIME, VIRTUAL_BACKEND} & {*getattr(item, "fixturenames", ())})


def local_client(item: pytest.Item, faults: FaultPlan, clock: AnchoredClock) -> Krixik:
    """Give a client of an embedded server in process, in the time of the test."""
    if not is_virtual(item):
        return keep(item, Krixik.local(faults=faults))
    client = Krixik.local(
        faults=faults, clock=clock, offload=InlineOffload(), rng=random.Random(_SEED)
    )
    return keep(item, client)


def keep(item: pytest.Item, client: Krixik) -> Krixik:
    """Have a client closed at the end of the test's body."""
    if not inspect.iscoroutinefunction(getattr(item, "obj", None)):
        pytest.fail(
            "krixik_client and krixik_server_client are for async tests: in others open a client "
            "where your event loop runs, with `async with Krixik.local(...)`"
        )
    item.stash.setdefault(_CLIENTS, []).append(client)
    return client


def virtual_backend(name: str) -> tuple[str, dict[str, Any]]:
    """Give anyio's name and options of a backend in virtual time."""
    if name == "asyncio":
        return name, {"loop_factory": VirtualTimeLoop}
    import trio.testing

    return name, {"clock": trio.testing.MockClock(autojump_threshold=0)}


def check_runs_virtually(item: pytest.Item) -> None:
    """Fail a test that asks for virtual time and would be run in real time."""
    if item.get_closest_marker("anyio") is not None:
        if VIRTUAL_BACKEND not in getattr(item, "fixturenames", ()):
            pytest.fail(
                "an anyio test runs in virtual time if its backend does: define a fixture "
                "anyio_backend(krixik_virtual_backend) that returns krixik_virtual_backend, or "
                "leave out the anyio mark"
            )
    elif not inspect.iscoroutinefunction(getattr(item, "obj", None)):
        pytest.fail("virtual time is for async tests: this one is not")
    elif _is_marked_for_all(item):
        _leave_to_the_hooks(item)
    elif item.get_closest_marker("asyncio") is not None:
        pytest.fail(
            "pytest-asyncio would run this test in real time: leave out the asyncio mark, "
            "krixik_virtual_time runs it by itself"
        )
    elif item.get_closest_marker("trio") is not None:
        pytest.fail(
            "pytest-trio would run this test in real time: use the anyio mark and a fixture "
            "anyio_backend(krixik_virtual_backend) instead, or no mark at all for asyncio"
        )


def let_anyio_run(item: pytest.Item) -> None:
    """See to it that a test on a virtual backend is not run by pytest-asyncio, in real time."""
    if _is_marked_for_all(item):
        _leave_to_the_hooks(item)


def check_runs_in_real_time(item: pytest.Item) -> None:
    """Fail a test whose clock would run away while a server in another process answers."""
    if is_virtual(item):
        pytest.fail(
            "krixik_server_client has a server of real time, and this test runs in virtual time: "
            "every call would time out at once. Use krixik_client here"
        )


def _is_marked_for_all(item: pytest.Item) -> bool:
    """Tell whether it is pytest-asyncio's auto mode that has marked this test, as it does all."""
    if not item.config.pluginmanager.hasplugin("asyncio"):
        return False
    mode = item.config.getoption("asyncio_mode", None) or item.config.getini("asyncio_mode")
    return str(mode) == "auto"


def _leave_to_the_hooks(item: pytest.Item) -> None:
    """Run a test as pytest does, by whichever plugin takes it: ours, or anyio's.

    pytest-asyncio's item would run it on a loop of its own.
    """
    item.runtest = functools.partial(pytest.Function.runtest, item)  # type: ignore[method-assign,arg-type]


@contextmanager
def closing_clients(item: pytest.Function) -> Iterator[None]:
    """Let the test's body end with its clients closed, in its own task."""
    body: Any = item.obj
    clients = item.stash.get(_CLIENTS, [])
    if not clients:
        yield
        return

    @functools.wraps(body)
    async def with_clients(*args: object, **given: object) -> None:
        try:
            await body(*args, **given)
        finally:
            for client in clients:
                await client.aclose()

    item.obj = with_clients
    try:
        yield
    finally:
        item.obj = body


def run_virtually(item: pytest.Function) -> None:
    """Run an async test on a loop whose clock jumps."""
    body: Any = item.obj
    given = {name: item.funcargs[name] for name in item._fixtureinfo.argnames}
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(body(**given))
