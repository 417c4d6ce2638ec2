"""What the client's tests share: a real server in process, and a wire to it that can go wrong."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx

from krixik_async import Job, JobOutcome, Krixik, Pipeline
from krixik_async._clock import AnchoredClock
from krixik_async._offload import InlineOffload
from krixik_async._tasks import TaskSet
from krixik_async._transport import InProcessTransport
from krixik_async.server import ServerSettings, create_app

KEY = "11111111-1111-4111-8111-111111111111"
OTHER_KEY = "22222222-2222-4222-8222-222222222222"
URL = "http://krixik.test"
EPOCH = 1_780_000_000.0
UNKNOWN = "00000000-0000-4000-8000-000000000000"
TEXT = b"It was a bright cold day in April, and the clocks were striking thirteen.\n"

TICKET = "/krixik-core-process"
UPLOAD = "/upload"
STATUS = "/krixik-core-process-status"
OUTPUT = "/krixik-core-fetch-output"
LIST = "/krixik-core-list"
DELETE = "/krixik-core-delete"
LINK = "/outputs/"

Answer = Callable[[httpx.Request, httpx.Response], httpx.Response]


@attrs.define
class Fault:
    """Let calls to a path go wrong: `times` of them, after the first `skip`.

    `before` is raised instead of carrying the call out, after its body was read if `swallow`;
    `after` is raised once it was carried out; `answer` is given in place of the server's, or, if
    it is a function, of what it makes of the server's.
    """

    path: str
    before: Exception | None = None
    after: Exception | None = None
    answer: httpx.Response | Answer | None = None
    swallow: bool = False
    times: int = 1
    skip: int = 0

    def strikes(self, path: str) -> bool:
        same = path.startswith(self.path) if self.path == LINK else path == self.path
        if not same or not self.times:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.times -= 1
        return True


def _fresh(error: Exception) -> Exception:
    """Give one like it: each time that one error is raised adds to what its traceback holds."""
    return type(error)(*error.args)


def says(status: int, body: object = None, **headers: str) -> httpx.Response:
    """Give an answer; a body of bytes goes as it is, anything else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.Response(status, headers=headers, content=content)


def forbidden() -> httpx.Response:
    return says(403, {"message": "Forbidden"})


class Wire(httpx.AsyncBaseTransport):
    """Carry requests to the server in process, except where a fault strikes."""

    def __init__(self, app: Any) -> None:
        self._server = InProcessTransport(app, tasks=TaskSet())
        self.faults: list[Fault] = []
        self.paths: list[str] = []
        self.bodies: list[Any] = []
        self.forms: list[bytes] = []
        self.in_flight = 0
        self.busiest = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.paths.append(path)
        if request.method == "POST" and path != UPLOAD:
            self.bodies.append(json.loads(await request.aread()))
        fault = next((f for f in self.faults if f.strikes(path)), None)
        self.in_flight += 1
        self.busiest = max(self.busiest, self.in_flight)
        try:
            return await self._carry(request, fault or Fault(path))
        finally:
            self.in_flight -= 1

    async def _carry(self, request: httpx.Request, fault: Fault) -> httpx.Response:
        if fault.swallow:
            await self._read(request)
        if fault.before is not None:
            raise _fresh(fault.before)
        if isinstance(fault.answer, httpx.Response):
            return httpx.Response(
                fault.answer.status_code, headers=fault.answer.headers, content=fault.answer.content
            )
        response = await self._server.handle_async_request(request)
        if fault.after is not None or fault.answer is not None:
            await response.aread()
            await response.aclose()
        if fault.after is not None:
            raise _fresh(fault.after)
        return response if fault.answer is None else fault.answer(request, response)

    async def _read(self, request: httpx.Request) -> None:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        self.forms.append(b"".join([piece async for piece in request.stream]))

    async def aclose(self) -> None:
        """Stay open: several clients may share it."""

    async def end(self) -> None:
        await self._server.aclose()


@attrs.define
class World:
    """Hold a server, the wire to it and a client of its first account."""

    wire: Wire
    clock: AnchoredClock
    client: Krixik
    folder: Path
    clients: list[Krixik] = attrs.field(factory=list)

    @property
    def sent(self) -> list[str]:
        """The paths that were called so far."""
        return self.wire.paths

    def fail(self, path: str, **how: Any) -> None:
        self.wire.faults.append(Fault(path, **how))

    def another(self, key: str = KEY, **settings: Any) -> Krixik:
        """Give one more client of the same server."""
        client = Krixik(
            api_key=key,
            api_url=URL,
            http_transport=self.wire,
            clock=self.clock,
            offload=InlineOffload(),
            rng=random.Random(len(self.clients)),
            **settings,
        )
        self.clients.append(client)
        return client

    def books(self, *chain: str, name: str = "books", client: Krixik | None = None) -> Pipeline:
        return (client or self.client).create_pipeline(
            name=name, module_chain=chain or ("keyword-db",)
        )

    async def done(self, pipeline: Pipeline, name: str = "a.txt", text: bytes = TEXT) -> Job:
        """Send a file and wait until it is complete."""
        job = await pipeline.process(local_file_path=text, file_name=name)
        await job
        return job

    async def names(self, pipeline: Pipeline) -> list[str]:
        """Give the names of the finished files, in order."""
        found = await pipeline.list(symbolic_directory_paths=["/*"])
        return sorted(record.file_name for record in found)


@asynccontextmanager
async def world(
    folder: Path, *, min_module_seconds: float = 0.0, **settings: Any
) -> AsyncIterator[World]:
    """Run a server in process, and a client of it, everything inline."""
    clock, inline = AnchoredClock(EPOCH), InlineOffload()
    clock.wall()  # time runs from here
    server = ServerSettings(
        data_dir=folder / "server",
        api_keys=(KEY, OTHER_KEY),
        min_module_seconds=min_module_seconds,
        link_seconds=600,
    )
    wire = Wire(create_app(server, clock=clock, offload=inline, compute=inline))
    here = World(wire, clock, client=None, folder=folder)
    here.client = here.another(**settings)
    try:
        yield here
    finally:
        for client in here.clients:
            await client.aclose()
        await wire.end()


def entries(folder: Path) -> list[str]:
    """Give the names in a folder, in order; none if there is no folder."""
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def states(outcomes: Any) -> list[str]:
    """Give the states of outcomes, or of a `WaitResult`."""
    values = outcomes.values() if hasattr(outcomes, "values") else outcomes
    return [outcome.state for outcome in values if isinstance(outcome, JobOutcome)]


async def nothing_runs(w: World) -> None:
    """Wait until the client's own tasks have ended; what is ending may need a turn or a look."""
    for _ in range(100):
        if not len(w.client._opened.tasks):
            return
        await w.clock.sleep(0.1)
    raise AssertionError(f"{len(w.client._opened.tasks)} tasks still run")
