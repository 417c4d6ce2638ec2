"""Records under a fault from their birth on: read before they can be, or ended too early."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime
from typing import Any

import attrs

from krixik_async._clock import Clock
from krixik_async._reply import JSON
from krixik_async.server import _answers as answers
from krixik_async.server._faults import ExpireEarly, Fault, Lag

_TICKET, _STATUS, _LIST = "process", "process_status", "list"
# Lagging records that are remembered; the oldest are forgotten, and lag no more.
_MOST = 10_000
# From so many on it is seen which are gone, and again when there are twice as many as were left.
_MANY = 100


@attrs.frozen
class Given:
    """Hold an answer of the app, or one in its place."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    @classmethod
    def whole(cls, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> Given:
        """Give an answer that says how long it is."""
        length = (b"content-length", str(len(body)).encode())
        return cls(status, (length, *headers), body)

    @property
    def head(self) -> dict[str, Any]:
        """Give the ASGI message that begins it."""
        return {"type": "http.response.start", "status": self.status, "headers": [*self.headers]}

    def saying(self, status: int, body: object) -> Given:
        """Give the answer with another status and another body, as JSON."""
        kept = (header for header in self.headers if header[0] != b"content-length")
        return Given.whole(status, json.dumps(body).encode(), *kept)


@attrs.frozen
class _Lagging:
    process_id: str
    seconds: float
    hidden_until: float


class YoungRecords:
    """Remember which records lag and which end early. Times are epoch seconds."""

    def __init__(
        self,
        clock: Clock,
        *,
        forget: Callable[[str], Awaitable[None]],
        known: Callable[[], Awaitable[Collection[str]]],
    ) -> None:
        self._clock = clock
        self._forget = forget
        self._known = known
        self._lagging: dict[str, _Lagging] = {}
        self._ends: dict[str, float] = {}
        self._enough = _MANY

    async def tidy(self) -> None:
        """Remove the records whose early end has come; let go of what is of records gone."""
        await self._end_due()
        if len(self._lagging) >= self._enough:
            # Of those there are now: one that begins meanwhile may not be among the known.
            lagging = tuple(self._lagging)
            self._enough = 2 * len(lagging)
            known = await self._known()
            for file_id in lagging:
                if file_id not in known:
                    self._lagging.pop(file_id, None)
            self._enough = max(_MANY, 2 * len(self._lagging))

    async def _end_due(self) -> None:
        now = self._clock.wall()
        due = [file_id for file_id, end in self._ends.items() if end <= now]
        # Off the list first: another call may come here while this one waits.
        for file_id in due:
            del self._ends[file_id]
        for file_id in due:
            await self._forget(file_id)

    def concern(self, name: str, struck: tuple[Fault, ...]) -> bool:
        """Tell whether the answer to a call has to be looked at."""
        if name == _TICKET:
            return any(isinstance(fault, Lag | ExpireEarly) for fault in struck)
        return name in (_STATUS, _LIST) and bool(self._lagging)

    def seen(self, name: str, given: Given, struck: tuple[Fault, ...]) -> Given:
        """Give an answer as it is to be seen; learn of a record that it tells the birth of."""
        if given.status != 200 or not self.concern(name, struck):
            return given
        body = json.loads(given.body)
        if name == _TICKET:
            for fault in struck:
                self._begin(fault, body["file_id"], body["request_id"])
            return given
        if name == _STATUS:
            return self._status(given, body)
        return self._listed(given, body)

    def _begin(self, fault: Fault, file_id: str, process_id: str) -> None:
        now = self._clock.wall()
        if isinstance(fault, ExpireEarly):
            self._ends[file_id] = now + fault.seconds
        if isinstance(fault, Lag):
            self._lagging[file_id] = _Lagging(process_id, fault.seconds, now + fault.seconds)
            if len(self._lagging) > _MOST:
                del self._lagging[next(iter(self._lagging))]

    def _status(self, given: Given, body: dict[str, Any]) -> Given:
        record = self._lagging.get(body["file_id"])
        if record is None or record.hidden_until <= self._clock.wall():
            return given
        unknown = answers.process_not_found(body["request_id"], record.process_id)
        return given.saying(unknown.status_code, unknown.body)

    def _listed(self, given: Given, body: dict[str, Any]) -> Given:
        shown: list[JSON] = [item for item in body["items"] if not self._hides(item)]
        if len(shown) == len(body["items"]):
            return given
        message = answers.returned(len(shown), by_ids=True)
        return given.saying(200, {**body, "message": message, "items": shown})

    def _hides(self, item: dict[str, Any]) -> bool:
        record = self._lagging.get(item["file_id"])
        if record is None:
            return False
        complete = datetime.strptime(item["created_at"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
        # Times on the wire have whole seconds: it lags at least as long as it should.
        return complete.timestamp() + 1 + record.seconds > self._clock.wall()
