"""While the service cannot be reached, one look at a time finds out when it can be again.

Without this, each of a hundred thousand waiting jobs, or of files to be sent, would find out for
itself. Pure: `now` is monotonic seconds.
"""

from __future__ import annotations

import math

from krixik_async._errors import KrixikError, RateLimited, ServerError, TransportError
from krixik_async._evidence import outage_pause

# So many looks in a row, whatever the job, failed as they do when nobody is there. Each of them
# was tried several times by then. (Or attempts to send files, whatever the file.)
OPENS_AFTER = 5


def is_outage(error: KrixikError) -> bool:
    """Tell whether an error says that the service is away, not that it means this job."""
    return isinstance(error, TransportError | ServerError | RateLimited)


class Breaker:
    """Let every look through, or one at a time with pauses that grow to 30 s."""

    def __init__(self) -> None:
        self._in_a_row = 0
        self._probing = False
        self._first_failure = 0.0
        self._next_probe = 0.0

    @property
    def is_open(self) -> bool:
        """Tell whether looks are held back."""
        return self._in_a_row >= OPENS_AFTER

    @property
    def since(self) -> float:
        """Give the time of the first failure of those in a row."""
        return self._first_failure

    @property
    def next_probe(self) -> float:
        """Give the time from which the next probe may go; infinity while one is on its way."""
        return math.inf if self._probing else self._next_probe

    def admits(self, now: float) -> bool:
        """Tell whether a look may be sent now."""
        return not self.is_open or now >= self.next_probe

    def sent(self) -> None:
        """Learn that a look is on its way."""
        self._probing = self.is_open

    def failed(self, now: float) -> bool:
        """Learn of a failed look; tells whether that opened it."""
        was_open = self.is_open
        if not self._in_a_row:
            self._first_failure = now
        self._in_a_row += 1
        self._probing = False
        self._next_probe = now + outage_pause(now - self._first_failure)
        return self.is_open and not was_open

    def answered(self) -> bool:
        """Learn that the service answered, whatever it said; tells whether that closed it."""
        was_open = self.is_open
        self._in_a_row = 0
        self._probing = False
        return was_open
