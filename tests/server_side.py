"""What the server's tests share: an app in process, a clock moved by hand, a plain API caller."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import attrs
import httpx

from krixik_async._catalogue import output_process_keys
from krixik_async._offload import InlineOffload, Offload
from krixik_async.server import ServerSettings, create_app

KEY = "11111111-1111-4111-8111-111111111111"
OTHER_KEY = "22222222-2222-4222-8222-222222222222"
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
BASE_URL = "http://server.test:8642"
EPOCH = 1_750_000_000.0
TEXT = (
    b"It was a bright cold day in April, and the clocks were striking thirteen.\n"
    b"Winston Smith, his chin nuzzled into his breast, slipped quickly through the doors.\n"
)


class HandClock:
    """Stand still until `advance` is called; then let sleepers go whose time has come."""

    def __init__(self) -> None:
        self._now = 0.0
        self._moved = anyio.Event()
        self.sleepers = 0

    def now(self) -> float:
        return self._now

    def wall(self) -> float:
        return EPOCH + self._now

    async def sleep(self, seconds: float) -> None:
        end = self._now + seconds
        self.sleepers += 1
        try:
            while self._now < end:
                await self._moved.wait()
        finally:
            self.sleepers -= 1

    def advance(self, seconds: float) -> None:
        self._now += seconds
        moved, self._moved = self._moved, anyio.Event()
        moved.set()


async def settle(turns: int = 200) -> None:
    """Let all tasks run until they wait for something other than a turn."""
    for _ in range(turns):
        await anyio.lowlevel.checkpoint()


def multipart(
    fields: Mapping[str, str] | Sequence[tuple[str, str]], file: bytes | None, *, name: str = "file"
) -> bytes:
    """Give a form's body, boundary "frontier"."""
    pairs = fields.items() if isinstance(fields, Mapping) else fields
    body = b"".join(
        f'--frontier\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'.encode()
        for n, v in pairs
    )
    if file is not None:
        head = f'--frontier\r\nContent-Disposition: form-data; name="{name}"; filename="/x/a b"'
        body += head.encode() + b"\r\n\r\n" + file + b"\r\n"
    return body + b"--frontier--\r\n"


def submission(
    *, chain: Sequence[str] = ("keyword-db",), file_name: str = "a.txt", **other: Any
) -> dict[str, Any]:
    """Give the body of a good submission, with changes."""
    return {
        "pipeline": "books",
        "pipeline_ordered_modules": list(chain),
        "pipeline_output_process_keys": list(output_process_keys(chain)),
        "modules": {},
        "version": "1.1.19",
        "file_name": file_name,
        "symbolic_directory_path": "/etc",
        "file_tags": [],
        "file_description": "",
        "expire_time": 1800,
        **other,
    }


def listing(**given: Any) -> dict[str, Any]:
    """Give the body of a list call that selects by what is given only."""
    names = ("file_ids", "file_names", "symbolic_directory_paths", "symbolic_file_paths")
    times = ("created_at_start", "created_at_end", "last_updated_start", "last_updated_end")
    return {
        "pipeline": "books",
        "version": "1.1.19",
        **dict.fromkeys((*names, "file_tags")),
        "max_files": 1000,
        **dict.fromkeys(times),
        **given,
    }


def searching(query: str, **given: Any) -> dict[str, Any]:
    """Give the body of a keyword search."""
    body = listing(**given)
    del body["version"]
    return {**body, "query": query, "pipeline_ordered_modules": ["keyword-db"]}


class InProcess(httpx.AsyncBaseTransport):
    """Call an ASGI app: bodies whole, in pieces of `piece` bytes. An error in the app is raised.

    httpx's own leaves an async generator behind where an app answers before the body's end, and
    trio rightly complains of it.
    """

    def __init__(self, app: Any, *, piece: int = 2**16) -> None:
        self.app = app
        self._piece = piece

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        pieces = [body[i : i + self._piece] for i in range(0, len(body), self._piece)] or [b""]
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            if not pieces:
                return {"type": "http.disconnect"}
            piece = pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

        async def send(message: Any) -> None:
            sent.append(message)

        try:
            scope = http_scope(request.method, request.url, request.headers.raw)
            await self.app(scope, receive, send)
        finally:
            self.last = httpx.Response(
                sent[0]["status"],
                headers=sent[0]["headers"],
                content=b"".join(message["body"] for message in sent[1:]),
            )
        return self.last


def http_scope(method: str, url: httpx.URL, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    """Give the ASGI scope of a request."""
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": url.path,
        "raw_path": url.raw_path.partition(b"?")[0],
        "query_string": url.query,
        "root_path": "",
        "scheme": url.scheme,
        "server": (url.host, url.port),
        "client": ("client.test", 1),
        "headers": [(name.lower(), value) for name, value in headers],
    }


@attrs.frozen
class Api:
    """Call the server as the official client would, with one account's key."""

    http: httpx.AsyncClient
    clock: HandClock
    app: Any
    key: str = KEY

    async def post(self, path: str, body: object, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body)
        sent = {"krixikApiKey": self.key, "Content-Type": "text/plain", **headers}
        return await self.http.post(path, content=content, headers=sent)

    async def submit(self, **changes: Any) -> dict[str, Any]:
        reply = await self.post("/krixik-core-process", submission(**changes))
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    async def upload(self, ticket: Mapping[str, Any], file: bytes = TEXT) -> httpx.Response:
        form = ticket["presigned_post_url_results"]
        return await self.post_form(form["url"], multipart(form["fields"], file))

    async def post_form(self, url: str, body: bytes, **headers: str) -> httpx.Response:
        sent = {"Content-Type": "multipart/form-data; boundary=frontier", **headers}
        return await self.http.post(url, content=body, headers=sent)

    async def process(self, file: bytes = TEXT, **changes: Any) -> dict[str, Any]:
        """Submit, upload, and let the engine work as far as it can at this time."""
        ticket = await self.submit(**changes)
        reply = await self.upload(ticket, file)
        assert (reply.status_code, reply.content) == (204, b"")
        await settle()
        return ticket

    async def status(self, process_id: str, *, pipeline: str = "books") -> httpx.Response:
        body = {"pipeline": pipeline, "version": "1.1.19", "process_id": process_id}
        return await self.post("/krixik-core-process-status", body)

    async def on_file(self, path: str, file_id: str, *, pipeline: str = "books") -> httpx.Response:
        body = {"pipeline": pipeline, "version": "1.1.19", "file_id": file_id}
        return await self.post(path, body)

    async def delete(self, file_id: str, *, pipeline: str = "books") -> httpx.Response:
        return await self.on_file("/krixik-core-delete", file_id, pipeline=pipeline)

    async def fetch_output(self, file_id: str, *, pipeline: str = "books") -> httpx.Response:
        return await self.on_file("/krixik-core-fetch-output", file_id, pipeline=pipeline)

    async def list(self, **given: Any) -> dict[str, Any]:
        reply = await self.post("/krixik-core-list", listing(**given))
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    async def search(self, query: str, **given: Any) -> dict[str, Any]:
        reply = await self.post("/keyword-search", searching(query, **given))
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    def as_other(self) -> Api:
        """Give the same server under another account's key."""
        return attrs.evolve(self, key=OTHER_KEY)


def contents(folder: Path) -> dict[str, bytes]:
    """Give all files below a folder by their relative paths."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def names(folder: Path) -> list[str]:
    """Give the names in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())


def write(path: Path, content: bytes) -> None:
    """Write a file."""
    path.write_bytes(content)


def mode(path: Path) -> int:
    """Give a file's permissions."""
    return path.stat().st_mode & 0o777


@asynccontextmanager
async def serving(
    data_dir: Path | None,
    *,
    clock: HandClock | None = None,
    offload: Offload | None = None,
    compute: Offload | None = None,
    **given: Any,
) -> AsyncIterator[Api]:
    """Run the app in process, on a clock moved by hand, everything inline if not told otherwise."""
    the_clock = clock or HandClock()
    app = create_app(
        ServerSettings(data_dir=data_dir, api_keys=(KEY, OTHER_KEY), **given),
        clock=the_clock,
        offload=offload or InlineOffload(),
        compute=compute or InlineOffload(),
    )
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=InProcess(app), base_url=BASE_URL) as http,
    ):
        yield Api(http, the_clock, app)
