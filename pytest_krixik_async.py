"""The pytest plugin of krixik_async: fixtures for servers, clients, faults and virtual time.

It stands beside the package so that a test run that uses none of this imports none of it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from krixik_async import Krixik
    from krixik_async._clock import AnchoredClock
    from krixik_async.testing import FaultPlan, ServerProcess

_BACKENDS = [name for name in ("asyncio", "trio") if importlib.util.find_spec(name)]


def _is_ours(item: pytest.Item) -> bool:
    return any(name.startswith("krixik_") for name in getattr(item, "fixturenames", ()))


@pytest.fixture
def krixik_faults() -> FaultPlan:
    """Give the fault plan of `krixik_client`'s server, empty: `krixik_faults.add(...)`."""
    from krixik_async.testing import FaultPlan

    return FaultPlan()


@pytest.fixture
def krixik_client(
    request: pytest.FixtureRequest, krixik_faults: FaultPlan, _krixik_clock: AnchoredClock
) -> Krixik:
    """Give a client of an embedded server in this process, both of this test only."""
    from krixik_async.testing import _pytest_items

    return _pytest_items.local_client(request.node, krixik_faults, _krixik_clock)


@pytest.fixture
def krixik_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Give an embedded server in a process of its own, on a socket, for this test only."""
    from krixik_async.testing import ServerProcess

    with ServerProcess(tmp_path_factory.mktemp("krixik")) as server:
        yield server


@pytest.fixture(scope="session")
def krixik_session_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Give an embedded server in a process of its own that all tests of the run share."""
    from krixik_async.testing import ServerProcess

    with ServerProcess(tmp_path_factory.mktemp("krixik")) as server:
        yield server


@pytest.fixture
def krixik_server_client(request: pytest.FixtureRequest, krixik_server: ServerProcess) -> Krixik:
    """Give a client of `krixik_server`."""
    from krixik_async import Krixik
    from krixik_async.testing import _pytest_items

    _pytest_items.check_runs_in_real_time(request.node)
    client = Krixik(api_key=krixik_server.api_key, api_url=krixik_server.url)
    return _pytest_items.keep(request.node, client)


@pytest.fixture
def krixik_virtual_time(
    request: pytest.FixtureRequest, _krixik_clock: AnchoredClock
) -> AnchoredClock:
    """Run this async test in virtual time, without a mark; give its clock."""
    from krixik_async.testing import _pytest_items

    _pytest_items.check_runs_virtually(request.node)
    return _krixik_clock


@pytest.fixture(params=_BACKENDS)
def krixik_virtual_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Give what anyio's plugin wants of a fixture `anyio_backend`, for virtual time."""
    from krixik_async.testing import _pytest_items

    _pytest_items.let_anyio_run(request.node)
    return _pytest_items.virtual_backend(request.param)


@pytest.fixture
def _krixik_clock() -> AnchoredClock:
    """Give the one clock of a test: wall time follows the loop's from a fixed moment on."""
    from krixik_async._clock import AnchoredClock
    from krixik_async.testing._virtual_time import EPOCH

    return AnchoredClock(EPOCH)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Close the clients that fixtures made, inside the test that used them."""
    if not (_is_ours(item) and isinstance(item, pytest.Function)):
        return (yield)
    from krixik_async.testing import _pytest_items

    with _pytest_items.closing_clients(item):
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object | None:
    """Run the tests that want virtual time and that no other plugin runs."""
    wants = "krixik_virtual_time" in pyfuncitem.fixturenames
    if not wants or pyfuncitem.get_closest_marker("anyio") is not None:
        return None
    from krixik_async.testing import _pytest_items

    _pytest_items.run_virtually(pyfuncitem)
    return True
