"""Faults over a socket, through the default senders of asyncio and trio."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from krixik_async import Krixik
from krixik_async.testing import Fault, FaultPlan, Refuse, ServerProcess
from tests.meetings import an_upload, every_meeting, meet

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("server")) as running:
        yield running


@every_meeting
async def test_what_is_met_over_a_socket(
    act: Any, fault: Fault, meets: str, tmp_path: Path, server: ServerProcess
) -> None:
    server.set_faults(FaultPlan(fault))
    async with Krixik(api_key=server.api_key, api_url=server.url, attempts=1) as krixik:
        met = await meet(act, krixik, tmp_path)
    if act is an_upload and isinstance(fault, Refuse):
        # Whether all of a small form is on its way when the connection closes is a race.
        assert met in (meets, "UploadInterrupted")
    else:
        assert met == meets
    # aiohttp by itself repeats a GET whose kept connection was closed.
    assert server.fault_counts[0]["fired"] >= 1
