"""One waiter's end of the scheduler."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

import anyio
import attrs

from krixik_async._models import JobOutcome, JobRef, WaitStatistics
from krixik_async._poll_policy import PollState
from krixik_async._polling._entries import Entry, Key, key_of
from krixik_async._polling._tally import Tally
from krixik_async._strategies import Begun, Interval, Stop, is_stopped

if TYPE_CHECKING:
    from krixik_async._polling._scheduler import Scheduler

# What a waiter who does not listen may miss of the notices, beyond this many.
NOTICES_KEPT = 16
# From so many ended jobs on, those are taken off a long-lived waiter's list now and then.
_MANY = 64


def surfaced(error: Exception, raiser: str) -> Exception:
    """Give the error to raise for one of a caller's function: no iterator's end, as in PEP 479."""
    if not isinstance(error, StopIteration | StopAsyncIteration):
        return error
    instead = RuntimeError(f"{raiser} raised {type(error).__name__}")
    instead.__cause__ = error
    return instead


@attrs.frozen
class PaceChanged:
    """Tell that the client sends fewer requests, or as many as usual again, and why.

    `rate_per_s` is the requests per second that it allows itself now; None means no limit.
    """

    reason: Literal["throttled", "unreachable", "reachable"]
    rate_per_s: float | None
    message: str


class Subscription:
    """Gather the latest outcome of each of a waiter's jobs until taken.

    With `wants_changes` every change is told, else only how jobs end. `bulk_look` allows bulk looks
    to look for its jobs in place of `interval`. `stop` is asked, after each look that finds a job
    unfinished, whether to wait for it no longer; `stopped` are those given up, as they were then.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        interval: Interval,
        *,
        now: float,
        wants_changes: bool,
        wants_notices: bool,
        bulk_look: bool,
        stop: Stop | None = None,
    ) -> None:
        self.interval = interval
        self.stop = stop
        self.stopped: deque[JobOutcome] = deque()
        self.since = now
        self.wants_changes = wants_changes
        self.wants_notices = wants_notices
        self.bulk_look = bulk_look
        self.entries: list[Entry] = []
        self.tally = Tally()
        self.notices: deque[PaceChanged] = deque(maxlen=NOTICES_KEPT)
        self._scheduler = scheduler
        self._fresh: dict[Key, JobOutcome] = {}
        # For `stop` alone.
        self._begun: dict[Entry, Begun] = {}
        self._ended = 0
        self._event = anyio.Event()
        self._error: Exception | None = None
        self._throttled_before = scheduler.throttled
        self._timed_out = False
        self._detached = False

    @property
    def timed_out(self) -> bool:
        """Tell whether the last `take` ended because its time was over."""
        return self._timed_out

    @property
    def statistics(self) -> WaitStatistics:
        """Give what the wait has cost so far."""
        throttles = self._scheduler.throttled - self._throttled_before
        return attrs.evolve(self.tally.statistics(), throttles=throttles)

    def add(self, refs: Iterable[JobRef]) -> None:
        """Wait for these jobs too, unless detached. Takes time linear in them."""
        if not self._detached:
            self._scheduler.add(self, refs)

    @property
    def unfinished(self) -> list[Entry]:
        """Give the jobs that are waited for still: neither ended nor stopped."""
        return [entry for entry in self.entries if not entry.ended and entry.has_waiter(self)]

    def begin(self, entry: Entry, now: float) -> None:
        """Begin to wait for a job."""
        self.entries.append(entry)
        self.tally.jobs += 1
        if self.stop is not None:
            self._begun[entry] = Begun(now, entry.looks)

    def is_stopped(self, entry: Entry, state: PollState, upcoming_sleep: float) -> bool:
        """Tell whether a job that a look found unfinished is not waited for any longer.

        Raises what the caller's strategy raises.
        """
        assert self.stop is not None
        if not is_stopped(self.stop, state, entry, self._begun[entry], upcoming_sleep):
            return False
        self._forget_ended()
        self.stopped.append(entry.outcome())
        self._event.set()
        return True

    def push(self, outcome: JobOutcome) -> None:
        """Take an outcome in; an older one of the same job that was not taken yet is replaced."""
        if outcome.ended:
            self._forget_ended()
        elif not self.wants_changes:
            return
        self._fresh[key_of(outcome.job)] = outcome
        self._event.set()

    def notify(self, notice: PaceChanged) -> None:
        """Take a notice in."""
        self.notices.append(notice)
        self._event.set()

    def wake(self) -> None:
        """End a `take` under way."""
        self._event.set()

    def fail(self, error: Exception) -> None:
        """End the wait with an error, once what was gathered has been taken."""
        self._error = surfaced(error, "a schedule or stop")
        self._event.set()

    async def take(self, *, until: float) -> list[JobOutcome]:
        """Give what is new, waiting for it until the monotonic time `until`; then an empty list.

        A notice ends the waiting too, and so does `wake`. Raises what `fail` was given.
        Cancel-safe: nothing is lost.
        """
        with anyio.CancelScope(deadline=until) as scope:
            await self._event.wait()
        self._timed_out = scope.cancelled_caught
        if not self._fresh and self._error is not None:
            raise self._error
        fresh = list(self._fresh.values())
        self._fresh.clear()
        if self._error is None:
            self._event = anyio.Event()
        return fresh

    def detach(self) -> None:
        """Stop listening; the jobs go on. Idempotent, never blocks."""
        self._detached = True
        self._scheduler.detach(self)

    def _forget_ended(self) -> None:
        self._ended += 1
        if self._ended > max(_MANY, len(self.entries) // 2):
            self.entries = self.unfinished
            self._begun = {e: self._begun[e] for e in self.entries if e in self._begun}
            self._ended = 0
