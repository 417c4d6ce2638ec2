"""The server among enemies: no 500, no data of others, no crash, nothing without bounds."""

from __future__ import annotations

import asyncio
import json
import random
import resource
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from krixik_async._clock import AnchoredClock
from krixik_async._offload import InlineOffload
from krixik_async.server import ServerSettings, create_app
from krixik_async.server import _connections as bounds
from krixik_async.server._connections import BoundedConnection, allow_open_files
from krixik_async.testing import ServerProcess, VirtualTimeLoop
from tests.server_side import (
    KEY,
    OTHER_KEY,
    TEXT,
    Api,
    contents,
    listing,
    multipart,
    names,
    searching,
    serving,
    settle,
    submission,
)
from tests.soak.running import resident_kib
from tests.soak.server_bytes import exchange, hostile_request
from tests.soak.server_schema import attack

GET_DESCRIPTION = b"GET /openapi.json HTTP/1.0\r\n\r\n"
UNTIDY = "\r\nHost: 127.0.0.1\r\n"


# --- uploads -------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_an_upload_that_is_forged_expired_replayed_or_too_large_changes_nothing(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, ticket_seconds=60) as api:
        mine, theirs = await api.submit(), await api.as_other().submit()
        form = mine["presigned_post_url_results"]
        other = theirs["presigned_post_url_results"]["fields"]
        forged = [
            {**form["fields"], "key": other["key"]},
            {**form["fields"], "key": "uploads/../../secret"},
            {**other, "policy": form["fields"]["policy"]},
            {**form["fields"], "x-amz-signature": "0" * 64},
            {**form["fields"], "x-amz-signature": "é" * 64},
            {"key": form["fields"]["key"]},
        ]
        before = contents(tmp_path)
        answers = [await api.post_form(form["url"], multipart(f, TEXT)) for f in forged]
        answers.append(await api.upload(mine, b"x" * (2 * 2**20 + 2)))
        assert [answer.status_code for answer in answers] == [403] * 6 + [400]
        assert contents(tmp_path) == before
        assert (await api.upload(mine)).status_code == 204
        await settle()
        stored = contents(tmp_path)
        assert (await api.upload(mine)).status_code == 204
        assert (await api.upload(mine, TEXT + b"more")).status_code == 409
        api.clock.advance(61)
        assert (await api.upload(theirs)).status_code == 403
        assert {name: text for name, text in contents(tmp_path).items() if "files" in name} == {
            name: text for name, text in stored.items() if "files" in name
        }


# --- other people's files ------------------------------------------------------------------


async def everything(api: Api) -> tuple[Any, Any]:
    everywhere = {"symbolic_directory_paths": ["/*"]}
    listed = await api.list(**everywhere)
    return listed["items"], (await api.search("clocks", **everywhere))["items"]


@pytest.mark.anyio
async def test_no_call_sees_or_changes_a_file_of_another_account(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        ticket = await api.process()
        pending = await api.submit(file_name="b.txt")
        intruder = api.as_other()
        links = (await api.fetch_output(ticket["file_id"])).json()["process_output"]
        before = await everything(api)
        said: list[str] = []
        for one in (ticket, pending):
            about = {"pipeline": "books", "version": "1", "file_id": one["file_id"]}
            mine = {"pipeline": "books", "version": "1", "process_id": one["request_id"]}
            for path, body in {
                "/krixik-core-process-status": mine,
                "/krixik-core-fetch-output": about,
                "/krixik-core-update": {**about, "file_description": "taken"},
                "/krixik-core-delete": about,
                "/krixik-core-list": listing(file_ids=[one["file_id"]]),
                "/krixik-core-show-tree": {
                    "pipeline": "books", "symbolic_directory_path": "/*", "max_files": 9,
                    "version": "1",
                },
                "/keyword-search": searching("clocks", file_ids=[one["file_id"]]),
            }.items():  # fmt: skip
                answer = await intruder.post(path, body)
                assert answer.status_code in (200, 400)
                said.append(answer.text)
        for words in ("a.txt", "b.txt", "/etc", "clocks", links[0]["url"], "module_1"):
            assert not [text for text in said if words in text]
        after = await everything(api)
        assert after == before
        assert (await api.status(pending["request_id"])).status_code == 200


# --- path tricks ---------------------------------------------------------------------------

TRICKS = [
    "../a.txt", "..", "%2e%2e/a.txt", "a\0.txt", "/etc/passwd.txt", "a/b.txt", "~/a.txt", "a" * 4000
    + ".txt", "a.txt\r\nX: y", "\u202etxt.a", "a.txt.", "CON.txt:x", "%00.txt",
]  # fmt: skip


@pytest.mark.anyio
async def test_names_and_folders_cannot_lead_out(tmp_path: Path) -> None:
    async with serving(tmp_path / "data") as api:
        for trick in TRICKS:
            for field in ("file_name", "symbolic_directory_path"):
                body = submission(**{field: trick})
                answer = await api.post("/krixik-core-process", body)
                assert answer.status_code == 400, (field, trick)
        assert names(tmp_path) == ["data"]
        assert [name for name in contents(tmp_path) if "files/" in name] == []


@pytest.mark.anyio
async def test_links_cannot_lead_out(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        ticket = await api.process()
        link = (await api.fetch_output(ticket["file_id"])).json()["process_output"][0]["url"]
        file_id = ticket["file_id"]
        for trick in (
            "../krixik.sqlite3", "%2e%2e%2fsecret", "..%5csecret", "%00", "x" * 3000,
            f"{file_id}/../../secret", f"{file_id}%00.db", f"{file_id}.db%2f..%2fsecret", "",
        ):  # fmt: skip
            answer = await api.http.get(link.replace(f"{file_id}.db", trick))
            assert answer.status_code in (403, 404), trick
            assert b"SQLite" not in answer.content
        assert (await api.http.get(link)).status_code == 200


# --- slow clients, in virtual time ---------------------------------------------------------


@asynccontextmanager
async def listening(folder: Path) -> AsyncIterator[int]:
    """Serve the app on a socket within the virtual loop; give the port."""
    loop, inline, clock = asyncio.get_running_loop(), InlineOffload(), AnchoredClock(1e9)
    app = create_app(
        ServerSettings(data_dir=folder, api_keys=(KEY, OTHER_KEY)),
        clock=clock,
        offload=inline,
        compute=inline,
    )
    config = uvicorn.Config(app, lifespan="off", log_config=None, log_level="error", ws="none")
    state = ServerState()
    async with app.router.lifespan_context(app):
        server = await loop.create_server(
            lambda: BoundedConnection(config, state, {}), "127.0.0.1", 0
        )
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for connection in [*state.connections]:
                connection.shutdown()
            await asyncio.sleep(1)
            assert state.connections == set()


def virtually(folder: Path, client: Callable[[int], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with listening(folder) as port:
            return await client(port)

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main())


async def lasted(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *drops: bytes
) -> float:
    """Send a drop every five seconds, the last one again and again; tell how long that went."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    left = [*drops]
    ended = asyncio.ensure_future(reader.read())
    while not ended.done() and loop.time() - began < 3600:
        writer.write(left.pop(0) if len(left) > 1 else left[0])
        await asyncio.wait([ended], timeout=5)
    writer.close()
    await asyncio.wait([ended], timeout=5)
    ended.cancel()
    if not ended.cancelled() and ended.done():
        ended.exception()
    return loop.time() - began


def head(path: str, length: int) -> bytes:
    """Give a good request up to its body."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: a\r\nkrixikApiKey: {KEY}\r\nConnection: close\r\n"
        f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


@pytest.mark.parametrize(
    ("drops", "seconds"),
    [
        ([b""], 20),
        ([b"P"], 20),
        ([b"POST /upload HTTP/1.1\r\n", b"A: b\r\n"], 20),
        ([head("/cli-checkin", 9999), b"x"], 20),
        # Slow, but not too slow: 600 bytes a second.
        ([head("/upload", 99_999), b"x" * 3000], 170),
    ],
)
def test_who_dribbles_a_request_is_let_go(
    tmp_path: Path, drops: list[bytes], seconds: float
) -> None:
    """20 seconds, and one more for every 500 bytes; who sends faster may go on to the end."""

    async def client(port: int) -> float:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        return await lasted(reader, writer, *drops)

    assert virtually(tmp_path, client) == pytest.approx(seconds, abs=6)


def test_between_requests_a_connection_may_rest(tmp_path: Path) -> None:
    """A poller's connection is kept for as long as uvicorn's own limit (here 5 s) says."""

    async def client(port: int) -> list[bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        heads = []
        for _ in range(20):
            writer.write(
                b"POST /cli-checkin HTTP/1.1\r\nHost: a\r\nkrixikApiKey: "
                + KEY.encode()
                + b"\r\nContent-Length: 2\r\n\r\n{}"
            )
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split()[0])
            heads.append(head[:15])
            await reader.readexactly(length)
            await asyncio.sleep(3)
        writer.close()
        return heads

    assert virtually(tmp_path, client) == [b"HTTP/1.1 200 OK"] * 20


@asynccontextmanager
async def serving_with(app: Any) -> AsyncIterator[tuple[str, int]]:
    """Serve another app within the virtual loop; give the address."""
    config = uvicorn.Config(app, lifespan="off", log_config=None, log_level="error")
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: BoundedConnection(config, state, {}), "127.0.0.1", 0
    )
    try:
        yield server.sockets[0].getsockname()
    finally:
        server.close()
        await asyncio.sleep(1)


@pytest.mark.parametrize("reads", [False, True])
def test_who_does_not_read_is_let_go(tmp_path: Path, reads: bool) -> None:
    """An answer larger than all buffers waits a minute for its reader, and no longer."""

    async def client(_: int) -> float:
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()

        async def flood(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(64):
                body = {"type": "http.response.body", "body": bytes(2**20), "more_body": True}
                await send(body)
            gone.set()

        async with serving_with(flood) as address:
            with closing(socket.create_connection(address)) as lazy:
                lazy.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                lazy.setblocking(False)
                began = loop.time()
                while not gone.is_set() and loop.time() - began < 3600:
                    await asyncio.sleep(30)
                    if reads:
                        while await loop.sock_recv(lazy, 2**20):
                            pass
            return loop.time() - began

    expected = 30 if reads else 60
    assert virtually(tmp_path, client) == pytest.approx(expected, abs=31)


def test_who_breaks_the_protocol_in_the_middle_is_let_go(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Before an answer, in one, and after: no traceback, and the connection ends."""
    chunked = b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

    async def begin_answer(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"5")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ab", "more_body": True})
        await receive()
        await send({"type": "http.response.body", "body": b"cde"})

    async def wait_for_all(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            await asyncio.sleep(1)
            headers = [(b"content-length", b"0")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})

    async def client(port: int) -> list[bytes]:
        answers = []
        async with serving_with(begin_answer) as first, serving_with(wait_for_all) as second:
            for address in (first, second, ("127.0.0.1", port)):
                reader, writer = await asyncio.open_connection(*address)
                writer.write(chunked)
                await asyncio.sleep(0.5)
                writer.write(b"no number\r\n")
                answers.append((await reader.read())[9:12])
                writer.close()
            # All at once: the answer begins after the refusal.
            reader, writer = await asyncio.open_connection(*first)
            writer.write(chunked + b"no number\r\n")
            answers.append((await reader.read())[9:12])
            writer.close()
        return answers

    assert virtually(tmp_path, client) == [b"200", b"400", b"411", b"400"]
    assert caplog.text == ""


def test_there_are_so_many_connections_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "MOST_CONNECTIONS", 3)

    async def client(port: int) -> list[bool]:
        pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
        await asyncio.sleep(1)
        closed = [reader.at_eof() or reader.exception() is not None for reader, _ in pairs]
        for _, writer in pairs:
            writer.close()
        return closed

    assert virtually(tmp_path, client) == [False, False, False, True, True]


def test_the_limit_on_open_files_is_raised_as_far_as_may_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: seen.append(limits))
    for now in ((256, resource.RLIM_INFINITY), (256, 1000), (256, 9000), (9000, 9000)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, now=now: now)
        allow_open_files()
    assert seen == [(4200, resource.RLIM_INFINITY), (1000, 1000), (4200, 9000)]


# --- a process under fire ------------------------------------------------------------------


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("target")) as server:
        yield server


def address(server: ServerProcess) -> tuple[str, int]:
    return "127.0.0.1", int(server.url.rpartition(":")[2])


def test_a_thousand_connections_at_once_are_answered(target: ServerProcess) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4000, hard), hard))

    async def one(go: asyncio.Event) -> bytes:
        reader, writer = await asyncio.open_connection(*address(target))
        await go.wait()
        writer.write(
            b"POST /cli-checkin HTTP/1.1\r\nHost: a\r\nConnection: close\r\nkrixikApiKey: "
            + target.api_key.encode()
            + b"\r\nContent-Length: 2\r\n\r\n{}"
        )
        answer = await reader.read()
        writer.close()
        return answer[:15]

    async def main() -> Counter[bytes]:
        go = asyncio.Event()
        tasks = [asyncio.create_task(one(go)) for _ in range(1000)]
        await asyncio.sleep(0.5)
        go.set()
        return Counter(await asyncio.gather(*tasks))

    try:
        assert asyncio.run(main()) == {b"HTTP/1.1 200 OK": 1000}
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_whatever_bytes_come_no_answer_is_a_500(
    target: ServerProcess, capfd: pytest.CaptureFixture[str]
) -> None:
    """Paths, verbs, hosts, lengths and bodies of all kinds, then bytes of them changed."""
    rng = random.Random(11)
    statuses = Counter(
        exchange(address(target), hostile_request(rng, target.api_key))[9:12] for _ in range(400)
    )
    assert {status for status in statuses if status >= b"5"} == set()
    assert statuses[b"400"] > 20 < statuses[b"403"]
    assert exchange(address(target), GET_DESCRIPTION).startswith(b"HTTP/1.1 200")
    assert capfd.readouterr().err == ""


def test_bodies_without_end_are_not_kept_in_memory(target: ServerProcess) -> None:
    """48 MiB to each place that takes a body, refused; the server is as small as before."""
    form = multipart({"key": "uploads/x", "policy": "", "x-amz-signature": ""}, None)[:-15]
    opening = form + b'\r\n--frontier\r\nContent-Disposition: form-data; name="file"; filename="a"'
    kinds = [
        ("/cli-checkin", target.api_key, b""),
        ("/krixik-core-list", "wrong", b""),
        ("/upload", "", b""),
        ("/upload", "", opening + b"\r\n\r\n"),
        ("/-/faults", target.api_key, b""),
    ]
    exchange(address(target), GET_DESCRIPTION)
    before = resident_kib(str(target.pid))
    for path, key, body in kinds:
        head = f"PUT {path} HTTP/1.1" if path == "/-/faults" else f"POST {path} HTTP/1.1"
        request = (
            f"{head}{UNTIDY}krixikApiKey: {key}\r\nContent-Length: {48 * 2**20}\r\n"
            "Content-Type: multipart/form-data; boundary=frontier\r\n\r\n"
        ).encode()
        answer = exchange(address(target), request + body + bytes(48 * 2**20 - len(body)))
        assert answer[9:12] in (b"403", b"400", b"413", b""), path
    assert resident_kib(str(target.pid)) - before < 16 * 1024


# --- its own description -------------------------------------------------------------------


def test_the_description_is_of_what_the_server_takes(target: ServerProcess) -> None:
    """Every key that the codec reads stands in it, with what it may be."""
    answer = exchange(address(target), GET_DESCRIPTION)
    described = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert sorted(described["paths"]) == sorted([
        "/cli-checkin", "/keyword-search", "/krixik-core-cap-check", "/krixik-core-delete",
        "/krixik-core-fetch-output", "/krixik-core-list", "/krixik-core-process",
        "/krixik-core-process-status", "/krixik-core-show-tree", "/krixik-core-update",
        "/outputs/{name}", "/semantic-search", "/upload",
    ])  # fmt: skip
    body = described["paths"]["/krixik-core-update"]["post"]["requestBody"]["content"]
    text: dict[str, Any] = {"type": "string"}
    tags = {"type": "array", "items": {"type": "object", "additionalProperties": text}}

    def optional(schema: Any) -> Any:
        return {"anyOf": [schema, {"type": "null"}]}

    assert body["application/json"]["schema"] == {
        "type": "object",
        "properties": {
            "pipeline": text,
            "version": text,
            "file_id": text,
            "file_name": optional(text),
            "symbolic_directory_path": optional(text),
            "file_tags": optional(tags),
            "file_description": optional(text),
            "expire_time": optional({"type": "integer"}),
        },
        "required": ["pipeline", "version", "file_id"],
    }


def test_schemathesis_finds_nothing(target: ServerProcess) -> None:
    """Good and bad calls by the description, seeded: answers as described, and no 500."""
    import schemathesis.specs.openapi.checks  # here, for it takes seconds

    statuses = attack(schemathesis, target, examples=3, seed=3)
    assert {status for _, status in statuses if status >= 500} == set()
    assert sum(statuses.values()) > 50
