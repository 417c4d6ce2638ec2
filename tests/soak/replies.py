"""Answers mutated by a fuzzer: whatever comes back, what is raised is a KrixikError.

Two ways. "Bodies": the embedded server's own answers to every operation, spoilt in structure, in
bytes or in their headers, in virtual time. "Bytes": whole answers spoilt byte by byte, heads
included, sent by a raw socket to the HTTP libraries themselves.
"""

from __future__ import annotations

import asyncio
import copy
import json
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import attrs
import httpx

from krixik_async import Krixik, KrixikError
from krixik_async._client import LOCAL_KEY, LOCAL_URL
from krixik_async._clock import AnchoredClock
from krixik_async._offload import InlineOffload
from krixik_async._tasks import TaskSet
from krixik_async._transport import InProcessTransport
from krixik_async.server import ServerSettings, create_app
from krixik_async.testing import VirtualTimeLoop
from tests.faulty import EPOCH
from tests.soak.matrix import outcome_of
from tests.soak.operations import OPERATIONS, Desk, desk
from tests.soak.running import Run, begin, counted
from tests.transport_world import Peer, QuickClock, raw_server

_HOUR_S = 3600.0
# Values of every kind that JSON has, and some that it should not have.
VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 10**400, -(10**400), 1.5, 1e308, float("nan"), float("inf"), "",
    "x", "\0", "\ud800", "\u2028", "é" * 100, "../../etc/passwd", "http://[", "http://a b/", "//",
    "http://127.0.0.1:1/x\r\nX: y", "x\r\ny", "file:///etc/passwd", "http://:0", "9" * 50, [], {},
    [[]], [None], [{}], {"": ""}, {"\ud800": "\ud800"}, [1, "a", None, {"a": [{}]}],
    {"module_1": True}, {"module_1": "true"}, "2026-13-45 99:99:99", "module_1", "/", ".", 2**63,
]  # fmt: skip
HEADERS = [
    ("content-type", "text/html"), ("content-encoding", "gzip"), ("content-encoding", "br"),
    ("content-encoding", "deflate, gzip, x"), ("content-length", "5"), ("content-length", "abc"),
    ("content-length", "9" * 30), ("location", "http://["), ("location", "//"), ("location", ""),
    ("retry-after", "-1"), ("retry-after", "nan"), ("retry-after", "1e999"), ("retry-after", "x"),
    ("retry-after", "Mon, 99 Foo 20266 25:61:61 GMT"), ("retry-after", "9" * 400),
    ("retry-after", "Sun, 06 Nov 0000 08:49:37 -9999"), ("retry-after", "\udcff"),
    ("set-cookie", "a=b; expires=x"),
    ("x", "\x80"), ("transfer-encoding", "chunked"),
    ("content-type", "application/json; charset=x"),
]  # fmt: skip
STATUSES = [
    *range(200, 209),
    226,
    *range(300, 309),
    *range(400, 430),
    451,
    499,
    *range(500, 512),
    599,
    999,
]


def _places(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inside in pairs:
        found.append((value, key))
        if isinstance(inside, dict | list):
            _places(inside, found)
    return found


def spoil_json(rng: random.Random, body: bytes) -> bytes:
    """Change one to three places of a JSON value."""
    try:
        value = copy.deepcopy(json.loads(body))
    except ValueError:
        return spoil_bytes(rng, body)
    for _ in range(rng.randint(1, 3)):
        places = _places(value, []) if isinstance(value, dict | list) else []
        if not places or rng.random() < 0.03:
            value = rng.choice(VALUES)
            continue
        holder, key = rng.choice(places)
        action = rng.randrange(4)
        if action == 0:
            del holder[key]
        elif action == 1 and isinstance(holder, dict):
            holder[str(rng.choice(VALUES))] = holder.pop(key)
        else:
            holder[key] = copy.deepcopy(rng.choice(VALUES))
    return json.dumps(value).encode()


def spoil_bytes(rng: random.Random, body: bytes) -> bytes:
    """Flip, cut, double or insert some bytes."""
    spoilt = bytearray(body)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(spoilt) + 1)
        action = rng.randrange(4)
        if action == 0:
            spoilt[at : at + 1] = bytes([rng.randrange(256)])
        elif action == 1:
            del spoilt[at : at + rng.randrange(1, 40)]
        elif action == 2:
            spoilt[at:at] = rng.randbytes(rng.randrange(8))
        else:
            spoilt[at:at] = spoilt[at : at + rng.randrange(40)]
    return bytes(spoilt)


class Spoiling(httpx.AsyncBaseTransport):
    """Carry requests to the server and spoil some of its answers."""

    def __init__(self, app: Any, rng: random.Random) -> None:
        self._server = InProcessTransport(app, tasks=TaskSet())
        self._rng = rng
        self.likely = 0.0
        self.spoilt = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._server.handle_async_request(request)
        if self._rng.random() >= self.likely:
            return answer
        self.spoilt += 1
        body = await answer.aread()
        await answer.aclose()
        return self._spoil(answer, body)

    def _spoil(self, answer: httpx.Response, body: bytes) -> httpx.Response:
        rng, status = self._rng, answer.status_code
        headers = [(k, v) for k, v in answer.headers.items() if k != "content-length"]
        kind = rng.randrange(8)
        if kind < 4:
            body = spoil_json(rng, body)
        elif kind == 4:
            body = spoil_bytes(rng, body)
        if kind >= 5 or rng.random() < 0.2:
            headers.append(rng.choice(HEADERS))
        if kind >= 6:
            status = rng.choice(STATUSES)
        raw = [(k.encode(), v.encode("utf-8", "surrogateescape")) for k, v in headers]
        return httpx.Response(status, headers=raw, stream=httpx.ByteStream(body))

    async def aclose(self) -> None:
        await self._server.aclose()


async def spoil_bodies(run: Run, seed: int, rounds: int) -> Counter[str]:
    """Run every operation so often, in virtual time."""
    rng, outcomes = random.Random(seed), Counter[str]()
    clock, inline = AnchoredClock(EPOCH), InlineOffload()
    clock.wall()
    settings = ServerSettings(api_keys=(LOCAL_KEY,))
    wire = Spoiling(create_app(settings, clock=clock, offload=inline, compute=inline), rng)
    with tempfile.TemporaryDirectory() as folder:
        async with Krixik(
            api_key=LOCAL_KEY, api_url=LOCAL_URL, http_transport=wire, clock=clock, offload=inline,
            rng=random.Random(seed), attempts=2,
        ) as krixik:  # fmt: skip
            for _ in range(rounds):
                wire.likely = 0.0
                here = await desk(krixik, Path(folder), rng)
                wire.likely = rng.choice([0.2, 0.6, 1.0])
                for name in OPERATIONS:
                    await _judge(run, name, here, outcomes, f"seed {seed}")
    outcomes["answers spoilt"] = wire.spoilt
    return outcomes


async def _judge(
    run: Run,
    name: str,
    here: Desk,
    outcomes: Counter[str],
    where: str,
    limit_s: float = 50 * _HOUR_S,
) -> None:
    try:
        with anyio.fail_after(limit_s):
            value = await OPERATIONS[name](here)
        outcome_of(value)
        _use(value)
        outcomes["result"] += 1
    except KrixikError as error:
        outcomes[type(error).__name__] += 1
        _use(error)
    except Exception as error:  # noqa: BLE001 - a finding, whatever it is
        run.finding(f"{name} ({where}): {type(error).__name__}: {str(error)[:300]}")


def _use(value: Any) -> None:
    """Do with a result what people do with one."""
    repr(value), str(value)
    for one in value.values() if isinstance(value, Mapping) else [value]:
        to_dict: Callable[[], Any] | None = getattr(one, "to_dict", None)
        if to_dict is not None:
            to_dict()


# --- whole answers, byte by byte -----------------------------------------------------------

_STATUS = {
    "request_id": "r", "file_id": "f", "message": "SUCCESS: process_status found",
    "process_status": {"module_1.keyword-db": True}, "failure_status": None,
}  # fmt: skip
_LIST = {"request_id": "r", "message": "m", "warnings": [], "items": [{"file_id": "f"}]}
_TICKET = {
    "request_id": "r", "file_id": "f", "message": "SUCCESS",
    "presigned_post_url_results": {"url": "URL/upload", "fields": {"key": "k"}},
}  # fmt: skip
_OUTPUT = {
    "request_id": "r", "file_id": "f", "message": "m", "pipeline": "books", "warnings": [],
    "process_output": [{"url": "URL/outputs/f.json?signature=x", "extension": ".json"}],
}  # fmt: skip


@attrs.define
class Babbler:
    """Answer by path, with some bytes of head and body spoilt."""

    rng: random.Random
    url: str = ""
    answers: int = 0

    async def __call__(self, peer: Peer) -> None:
        while True:
            got = await peer.request()
            path = got.head.split()[1].partition("?")[0]
            await peer.send(self._spoilt(*self._answer(path)))
            if path.startswith("/outputs/") or self.rng.random() < 0.9:
                return  # one that waits for bytes which never come is bounded by its stall limit

    def _answer(self, path: str) -> tuple[int, bytes]:
        known: dict[str, Any] = {
            "/krixik-core-process-status": _STATUS,
            "/krixik-core-list": _LIST,
            "/krixik-core-process": _TICKET,
            "/krixik-core-fetch-output": _OUTPUT,
            "/outputs/f.json": [{"snippet": "s"}],
        }
        if path == "/upload":
            return 204, b""
        said = json.dumps(known.get(path, {"request_id": "r", "message": "m", "items": []}))
        return 200, said.replace("URL", self.url).encode()

    def _spoilt(self, status: int, body: bytes) -> bytes:
        self.answers += 1
        encoding = self.rng.choice(["", "", "Content-Encoding: gzip\r\n", "Set-Cookie: a\r\n"])
        length = f"Content-Length: {len(body)}\r\n" if status != 204 else ""
        head = f"HTTP/1.1 {status} OK\r\nContent-Type: application/json\r\n{encoding}{length}\r\n"
        whole = head.encode() + body
        chance = self.rng.random()
        if chance < 0.4:  # spoil the head only
            return spoil_bytes(self.rng, head.encode()) + body
        return spoil_bytes(self.rng, whole) if chance < 0.8 else whole


async def spoil_heads(run: Run, seed: int, rounds: int) -> Counter[str]:
    """Ask a server that babbles, through the default sender of this backend."""
    rng, outcomes = random.Random(seed), Counter[str]()
    babbler = Babbler(rng)
    with tempfile.TemporaryDirectory() as folder:
        async with raw_server(babbler) as server:
            babbler.url = server.url
            async with Krixik(
                api_key="k", api_url=server.url, clock=QuickClock(), attempts=2, backoff_s=0.1,
                attempt_timeout_s=0.3, connect_timeout_s=0.5,
            ) as krixik:  # fmt: skip
                pipeline = krixik.create_pipeline(name="books", module_chain=["keyword-db"])
                here = Desk(krixik, pipeline, _Known(), Path(folder), rng)  # type: ignore[arg-type]
                for _ in range(rounds):
                    for name in ("check_in", "process_status", "list_files", "fetch_output"):
                        await _judge(run, name, here, outcomes, f"head, seed {seed}", 60)
    outcomes["answers spoilt"] = babbler.answers
    return outcomes


class _Known:
    request_id = "11111111-1111-4111-8111-111111111111"
    file_id = "22222222-2222-4222-8222-222222222222"


def main() -> None:
    """Run until the end; --runs is rounds of all operations."""
    run = begin("replies", runs=2000, seconds=600)
    bodies, heads = Counter[str](), Counter[str]()
    for number in run.numbers():
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            bodies += runner.run(spoil_bodies(run, run.seed + number, 1))
        if number % 5 == 0:
            for backend in ("asyncio", "trio"):
                heads += anyio.run(spoil_heads, run, run.seed + number, 5, backend=backend)
    run.end(bodies=counted(bodies), heads=counted(heads))


if __name__ == "__main__":
    main()
