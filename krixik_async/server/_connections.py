"""One connection of the server's process: uvicorn's own, with bounds, and a way to hang up.

uvicorn gives a client all the time it takes. Here each request has 20 seconds and one more for
every 500 bytes of it that have come (Apache's mod_reqtimeout, its defaults of 2.4), a client that
stops reading is let go after a minute, and there are so many connections and no more.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from krixik_async.server._mischief import HANG_UP

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

REQUEST_SECONDS = 20.0
SLOWEST_BYTES_PER_S = 500
READING_SECONDS = 60.0
# A thousand clients are served; what is kept for each is 64 KiB of a body, and a file or two.
MOST_CONNECTIONS = 2000
# For connections, files of uploads and downloads, and the rest.
_OPEN_FILES = 2 * MOST_CONNECTIONS + 200
_BEING_READ = (h11.IDLE, h11.SEND_BODY)


def allow_open_files() -> None:
    """Raise the process's own limit on open files, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class BoundedConnection(H11Protocol):
    """Serve one connection within the bounds."""

    _began = 0.0
    _received = 0
    _reading: asyncio.TimerHandle | None = None
    _writing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Begin, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
            return
        app: Any = self.app

        async def within_bounds(scope: Message, receive: Receive, send: Send) -> None:
            async def send_or_let_go(message: Message) -> None:
                try:
                    await send(message)
                except h11.LocalProtocolError:
                    # The client broke the protocol in the middle of its request: nobody is owed
                    # an answer, and the log no traceback. One turn, and uvicorn knows.
                    transport.abort()
                    await asyncio.sleep(0)

            scope["extensions"] = {HANG_UP: transport.close}
            await app(scope, receive, send_or_let_go)

        self.app = within_bounds
        self._expect_request()

    def data_received(self, data: bytes) -> None:
        """Take bytes; know whether more of this request has to come."""
        if self._reading is None:
            self._expect_request()
        self._received += len(data)
        super().data_received(data)
        if self.conn.their_state not in _BEING_READ:
            _stop(self._reading)
            self._reading = None

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP; in the middle of another answer there is no way but to close."""
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:
            self.transport.abort()

    def _expect_request(self) -> None:
        self._began, self._received = self.loop.time(), 0
        self._reading = self.loop.call_at(self._began + REQUEST_SECONDS, self._check_pace)

    def _check_pace(self) -> None:
        deadline = self._began + REQUEST_SECONDS + self._received / SLOWEST_BYTES_PER_S
        if self.loop.time() >= deadline:
            self.transport.abort()
        else:
            self._reading = self.loop.call_at(deadline, self._check_pace)

    def pause_writing(self) -> None:
        """Wait for the client to read, but not for ever."""
        super().pause_writing()
        self._writing = self.loop.call_later(READING_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: the client reads."""
        super().resume_writing()
        _stop(self._writing)

    def connection_lost(self, exc: Exception | None) -> None:
        """End; no timer is left behind."""
        _stop(self._reading)
        _stop(self._writing)
        super().connection_lost(exc)


def _stop(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
