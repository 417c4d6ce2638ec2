"""The event loop that a client is at home on: its sockets and tasks are of no use on another."""

from __future__ import annotations

from krixik_async._tasks import running_loop

ELSEWHERE = (
    "the client belongs to the event loop of its first call, which is not this one (as in a second "
    "asyncio.run or trio.run): make a client for each"
)
_NONE_YET = object()


class Home:
    """Remember the loop of the first request."""

    def __init__(self) -> None:
        self._loop: object = _NONE_YET

    def is_elsewhere(self) -> bool:
        """Tell whether this is another loop than the first time."""
        loop = running_loop()
        if self._loop is _NONE_YET:
            self._loop = loop
        return self._loop is not loop
