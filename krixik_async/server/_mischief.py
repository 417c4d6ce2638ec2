"""Faults carried out: middleware around the app that lets calls go wrong as a plan says.

What a client sees is the same over a socket and in process. Where a connection is to be closed,
the host is asked to by an ASGI extension, `krixik_async.hang_up`: the process around the app
(`_connections`) and the client's in-process transport offer it. Under another host the answer is
broken off after its head instead.

`/-/faults`, for whoever has one of the api keys: GET gives the plan with its counts, PUT takes
another plan's faults in place of those there are.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from email.utils import formatdate
from typing import Any, TypeAlias

import attrs

from krixik_async._clock import Clock
from krixik_async._errors import InvalidArgument, InvalidArgumentType
from krixik_async._reply import JSON
from krixik_async._wire import FORBIDDEN, KEY_HEADER
from krixik_async.server import _answers as answers
from krixik_async.server._bucket import OUTPUT_PATH, UPLOAD_PATH
from krixik_async.server._faults import (
    CALLS,
    DOWNLOAD,
    UPLOAD,
    Answer,
    Corrupt,
    Delay,
    DropAfter,
    DropBefore,
    Fault,
    Refuse,
    Throttle,
    Truncate,
)
from krixik_async.server._plan import FAULTS_PATH, FaultPlan
from krixik_async.server._records import account_of, new_id
from krixik_async.server._young import Given, YoungRecords

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

HANG_UP = "krixik_async.hang_up"
_MOST_PLAN_BYTES = 2**20
_JSON = (b"content-type", b"application/json")
_XML = (b"content-type", b"application/xml")
# What AWS's API gateway says by itself, without a service behind it; 500 and 502 have one text.
_GATEWAY_WORDS = {
    401: "Unauthorized",
    403: FORBIDDEN,
    404: "Not Found",
    413: "Request Too Long",
    429: "Too Many Requests",
    503: "Service Unavailable",
    504: "Endpoint request timed out",
}
_OTHER_WORDS = "Internal server error"
# One byte in so many is changed in a corrupted answer.
_FLIP_ONE_IN = 64


def endpoint_of(path: str) -> str | None:
    """Give the name that a fault knows a path by, None for one that is no call."""
    if path == UPLOAD_PATH:
        return UPLOAD
    return DOWNLOAD if path.startswith(f"{OUTPUT_PATH}/") else CALLS.get(path)


class FaultMiddleware:
    """Stand around the app; `accounts` may see and set the plan.

    `forget` removes a record, `known` gives the file_ids of all there are.
    """

    def __init__(
        self,
        app: App,
        *,
        plan: FaultPlan,
        clock: Clock,
        accounts: Collection[str],
        forget: Callable[[str], Awaitable[None]],
        known: Callable[[], Awaitable[Collection[str]]],
    ) -> None:
        self._app = app
        self._plan = plan
        self._clock = clock
        self._accounts = accounts
        self._young = YoungRecords(clock, forget=forget, known=known)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Carry the call out, or do to it what the plan says."""
        path = scope.get("path", "")
        name = endpoint_of(path) if scope["type"] == "http" else None
        if scope["type"] == "http" and path == FAULTS_PATH:
            await _send_whole(send, await self._administer(scope, receive))
        elif name is None:
            await self._app(scope, receive, send)
        else:
            await self._young.tidy()
            struck = self._plan.strike(name)
            for delay in (fault for fault in struck if isinstance(fault, Delay)):
                await self._clock.sleep(delay.seconds)
            await self._act(_Exchange(self._app, scope, receive, send), name, struck)

    async def _act(self, call: _Exchange, name: str, struck: tuple[Fault, ...]) -> None:
        end = next((fault for fault in struck if not fault.adds), None)
        if end is None and not self._young.concern(name, struck):
            await call.pass_on()
            return
        if isinstance(end, DropBefore | Throttle | Answer) and not getattr(end, "carry_out", False):
            await call.read_whole_request()
        elif not isinstance(end, Refuse):
            given = self._young.seen(name, await call.carry_out(), struck)
        match end:
            case None:
                await _send_whole(call.send, given)
            case Throttle():
                await _send_whole(call.send, _throttled(end, name, self._clock.wall()))
            case Answer():
                await _send_whole(call.send, _answered(end, name))
            case Truncate():
                await call.break_off(given, end.after_bytes)
            case Corrupt():
                await _send_whole(
                    call.send, _corrupted(given, end, random.Random(self._plan.fired))
                )
            case _:
                assert isinstance(end, Refuse | DropBefore | DropAfter)
                await call.hang_up()

    async def _administer(self, scope: Message, receive: Receive) -> Given:
        keys = [value for name, value in scope["headers"] if name == KEY_HEADER.lower().encode()]
        if not keys or account_of(keys[0].decode("latin-1")) not in self._accounts:
            return _as_json(403, answers.gateway(FORBIDDEN).body)
        if scope["method"] == "PUT":
            body = await _read(receive, most=_MOST_PLAN_BYTES)
            try:
                wanted = FaultPlan.from_json(body)
            except (InvalidArgument, InvalidArgumentType) as error:
                return _as_json(400, answers.refused(new_id(), str(error)).body)
            self._plan.replace(wanted)
        counts: list[JSON] = [
            {"matched": count.matched, "fired": count.fired} for count in self._plan.counts
        ]
        return _as_json(200, {"plan": self._plan.describe(), "counts": counts})


@attrs.frozen
class _Exchange:
    """Be one call on its way to the app."""

    app: App
    scope: Message
    receive: Receive
    send: Send

    async def pass_on(self) -> None:
        await self.app(self.scope, self.receive, self.send)

    async def carry_out(self) -> Given:
        """Give the app's answer, held back."""
        heads: list[Message] = []
        pieces: list[bytes] = []

        async def collect(message: Message) -> None:
            if message["type"] == "http.response.start":
                heads.append(message)
            else:
                pieces.append(message.get("body", b""))

        await self.app(self.scope, self.receive, collect)
        return Given(heads[0]["status"], tuple(heads[0]["headers"]), b"".join(pieces))

    async def read_whole_request(self) -> None:
        await _read(self.receive)

    async def break_off(self, given: Given, after_bytes: int | None) -> None:
        """Send the head and a part of the body."""
        part = given.body[: len(given.body) // 2 if after_bytes is None else after_bytes]
        if given.body:
            await self.send(given.head)
            # At least an empty piece: servers hold the head back until there is one.
            await self.send({"type": "http.response.body", "body": part, "more_body": True})
        await self.hang_up(head_sent=bool(given.body))

    async def hang_up(self, *, head_sent: bool = False) -> None:
        """Close the connection and wait until it is closed."""
        close = self.scope.get("extensions", {}).get(HANG_UP)
        if close is not None:
            close()
            while (await self.receive())["type"] != "http.disconnect":
                pass
        elif not head_sent:
            await self.send(Given(200, ((b"content-length", b"1"),), b"").head)


async def _read(receive: Receive, *, most: int | None = None) -> bytes:
    """Give the request's body, cut at `most` bytes; none of it is kept if `most` is None."""
    body = bytearray()
    while (message := await receive())["type"] == "http.request":
        body += message.get("body", b"")[: (most or 0) - len(body)]
        if not message.get("more_body", False):
            break
    return bytes(body)


async def _send_whole(send: Send, given: Given) -> None:
    await send(given.head)
    await send({"type": "http.response.body", "body": given.body})


def _as_json(status: int, body: object, *headers: tuple[bytes, bytes]) -> Given:
    return Given.whole(status, json.dumps(body).encode(), _JSON, *headers)


def _gateway(status: int, name: str, *headers: tuple[bytes, bytes]) -> Given:
    """Say what is said in front of a service: a message and no request_id; S3's hosts use XML."""
    words = _GATEWAY_WORDS.get(status, _OTHER_WORDS)
    if name in (UPLOAD, DOWNLOAD):
        code = words.title().replace(" ", "")
        text = f"<Error><Code>{code}</Code><Message>{words}</Message></Error>"
        return Given.whole(status, text.encode(), _XML, *headers)
    return _as_json(status, {"message": words}, *headers)


def _throttled(fault: Throttle, name: str, wall: float) -> Given:
    if fault.retry_after is None:
        return _gateway(fault.status, name)
    said = {
        "seconds": str(math.ceil(fault.retry_after)),
        "float": str(float(fault.retry_after)),
        # Dates have whole seconds: not before the time is over.
        "date": formatdate(math.ceil(wall + fault.retry_after), usegmt=True),
    }[fault.form]
    return _gateway(fault.status, name, (b"retry-after", said.encode()))


def _answered(fault: Answer, name: str) -> Given:
    headers = [(key.lower().encode(), value.encode()) for key, value in fault.headers.items()]
    if fault.status == 204:
        return Given(204, tuple(headers), b"")
    if fault.body is None:
        return _gateway(fault.status, name, *headers)
    if isinstance(fault.body, str):
        return Given.whole(fault.status, fault.body.encode(), *headers)
    return _as_json(fault.status, fault.body, *headers)


def _corrupted(given: Given, fault: Corrupt, rng: random.Random) -> Given:
    body = bytearray(given.body)
    if fault.how == "not_json":
        body[:1] = b"<" if body else b""
    else:
        for start in range(0, len(body), _FLIP_ONE_IN):
            body[rng.randrange(start, min(start + _FLIP_ONE_IN, len(body)))] ^= rng.randint(1, 255)
    return attrs.evolve(given, body=bytes(body))
