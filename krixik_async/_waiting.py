"""Waiting for many jobs at once: until all, the first, or the first failure, or one by one.

A wait never raises for a time-out or a job's fate, and never touches a job: what is not known when
it ends comes back as pending, with what is needed to go on in another process.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Literal, Protocol, TypeAlias

import attrs
from tenacity import RetryCallState

from krixik_async._clock import Clock
from krixik_async._errors import AuthenticationError, InvalidArgument, InvalidArgumentType
from krixik_async._evidence import ends_at, merged
from krixik_async._models import JobOutcome, JobRef, WaitStatistics
from krixik_async._numbers import shown
from krixik_async._poll_policy import PollPolicy
from krixik_async._polling import Key, Scheduler, Subscription, key_of, surfaced
from krixik_async._results import WaitResult
from krixik_async._strategies import Interval, Stop
from krixik_async._tasks import TaskSet
from krixik_async._validation import kind_of

ReturnWhen: TypeAlias = Literal["all", "first", "first_failure"]
OnUpdate: TypeAlias = Callable[[JobOutcome], object] | Callable[[JobOutcome], Awaitable[object]]
# As every tenacity `wait_*` object is.
Poll: TypeAlias = Callable[[RetryCallState], float]
# As every tenacity `stop_*` object is.
StopWaiting: TypeAlias = Callable[[RetryCallState], bool]

# How often a display is brought up to date while nothing happens.
SHOW_EVERY_S = 0.5
# Timers of a loop may be early by less than this.
_TICK_S = 1e-3

RETURN_WHEN: tuple[ReturnWhen, ...] = ("all", "first", "first_failure")


# --- arguments -------------------------------------------------------------------------------


def check_timeout(timeout: object) -> float | None:
    """Give the seconds, or None for "until each record's own end"."""
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise InvalidArgumentType(f"timeout is {kind_of(timeout)} but must be seconds, or None")
    # An int may be beyond what a float can be, and beyond what can be printed.
    if not 0 <= timeout <= sys.float_info.max:
        raise InvalidArgument(
            f"timeout is {shown(timeout)} but must be 0 or more and finite; None waits until the "
            "records expire"
        )
    return float(timeout)


@attrs.frozen
class Schedule:
    """Hold when a wait looks at its jobs, and until when, and whether by bulk looks too."""

    interval: Interval
    bulk_look: bool
    stop: Stop | None = None


def check_poll(poll: object, stop: object = None) -> Schedule:
    """Give the schedule: a `PollPolicy` or any tenacity `wait_*` object; None means adaptive.

    Whoever gives a schedule of his own gets that one, and no bulk looks in its place. Nor are there
    any with a tenacity `stop_*` object, for it is asked after each look at a job.
    """
    if stop is not None and (isinstance(stop, type) or not callable(stop)):
        raise InvalidArgumentType(
            f"stop is {stop!r} but must be a tenacity stop strategy, such as "
            "tenacity.stop_after_attempt(10), or None"
        )
    if poll is None:
        return Schedule(PollPolicy.adaptive(), bulk_look=stop is None, stop=stop)
    if isinstance(poll, type) or not callable(poll):
        raise InvalidArgumentType(
            f"poll is {poll!r} but must be a PollPolicy, such as PollPolicy.fixed(3), or a "
            "tenacity wait strategy, such as tenacity.wait_fixed(3)"
        )
    adaptive = isinstance(poll, type(PollPolicy.adaptive()))
    return Schedule(poll, bulk_look=adaptive and stop is None, stop=stop)


def check_max_waiting(max_waiting: object) -> int | None:
    """Give it back, or raise: an int of 1 or more, or None."""
    if max_waiting is None:
        return None
    if isinstance(max_waiting, bool) or not isinstance(max_waiting, int):
        raise InvalidArgumentType(
            f"max_waiting is {kind_of(max_waiting)} but must be an int of 1 or more, or None"
        )
    if max_waiting < 1:
        raise InvalidArgument(f"max_waiting is {max_waiting} but must be 1 or more")
    return max_waiting


def check_return_when(return_when: object) -> ReturnWhen:
    """Give it back, or raise InvalidArgument naming the three that are allowed."""
    for allowed in RETURN_WHEN:
        if return_when == allowed:
            return allowed
    raise InvalidArgument(f"return_when is {return_when!r} but must be one of {RETURN_WHEN}")


def check_on_update(on_update: object) -> OnUpdate | None:
    """Give it back, or raise InvalidArgumentType: a function, sync or async, or None."""
    if on_update is not None and not callable(on_update):
        raise InvalidArgumentType(
            f"on_update is {kind_of(on_update)} but must be a function of one JobOutcome"
        )
    return on_update


# --- the waits -------------------------------------------------------------------------------


class Display(Protocol):
    """Show how far a wait is."""

    def start(self, total: int) -> None:
        """Begin, with so many jobs to wait for."""

    def show(self, outcomes: Sequence[JobOutcome], time_left_s: float | None) -> None:
        """Show what is new (perhaps nothing) and the estimate of what is left."""

    def stop(self) -> None:
        """End. Idempotent."""


@attrs.frozen
class Waiter:
    """Hold what a wait needs: the scheduler, the clock, and where tasks are made."""

    scheduler: Scheduler
    clock: Clock
    tasks: TaskSet

    def subscribe(self, schedule: Schedule, **wants: bool) -> Subscription:
        """Make a waiter's end, without jobs yet."""
        return self.scheduler.subscribe(
            schedule.interval, bulk_look=schedule.bulk_look, stop=schedule.stop, **wants
        )

    def deadline(self, refs: Iterable[JobRef], timeout: float | None) -> float:
        """Give the monotonic time at which a wait for these jobs ends."""
        now, wall = self.clock.now(), self.clock.wall()
        if timeout is not None:
            return now + timeout
        return max((ends_at(ref, now=now, wall=wall) for ref in refs), default=now)

    async def wait(
        self,
        refs: Iterable[JobRef],
        *,
        timeout: float | None,
        return_when: ReturnWhen,
        on_update: OnUpdate | None,
        schedule: Schedule,
        display: Display | None = None,
    ) -> WaitResult:
        """Wait for the jobs as `wait_until_complete` documents it."""
        if timeout == 0:
            unseen = [unseen_yet(ref) for ref in known_refs(refs)]
            statistics = WaitStatistics(jobs=len(unseen))
            return WaitResult(unseen, timed_out=bool(unseen), statistics=statistics)
        subscription = self.subscribe(
            schedule, wants_changes=on_update is not None, wants_notices=False
        )
        wait = _Wait(self, subscription, on_update, return_when, display)
        try:
            subscription.add(refs)
            return await wait.run(timeout)
        except AuthenticationError as error:
            error.partial = wait.result(timed_out=False)
            raise
        finally:
            subscription.detach()
            if display is not None:
                display.stop()


class _Wait:
    """Be one wait under way. Of a job that goes on it keeps nothing of its own."""

    def __init__(
        self,
        waiter: Waiter,
        subscription: Subscription,
        on_update: OnUpdate | None,
        return_when: ReturnWhen,
        display: Display | None,
    ) -> None:
        self._waiter = waiter
        self._subscription = subscription
        self._on_update = on_update
        self._return_when = return_when
        self._display = display
        # The list as it is now: the subscription may make itself a shorter one later on.
        self._entries = subscription.entries
        # Of those that have ended, or are not waited for any longer.
        self._known: dict[Key, JobOutcome] = {}
        self._stopped = False

    async def run(self, timeout: float | None) -> WaitResult:
        until = self._waiter.deadline((entry.ref for entry in self._entries), timeout)
        if self._display is not None:
            self._display.start(len(self._entries))
        timed_out = False
        while len(self._known) < len(self._entries) and not timed_out:
            fresh = await self._subscription.take(until=self._next_waking(until))
            timed_out = not fresh and self._waiter.clock.now() >= until - _TICK_S
            for outcome in fresh:
                if outcome.ended:
                    self._known[key_of(outcome.job)] = outcome
                await tell(self._on_update, outcome)
            self._show(fresh)
            if any(_decides(outcome, self._return_when) for outcome in fresh):
                return self.result(timed_out=False)
            self._take_stopped()
        return self.result(timed_out=timed_out or self._stopped)

    def result(self, *, timed_out: bool) -> WaitResult:
        known = self._known
        outcomes = (known.get(key_of(entry.ref)) or entry.outcome() for entry in self._entries)
        return WaitResult(outcomes, timed_out=timed_out, statistics=self._subscription.statistics)

    def _take_stopped(self) -> None:
        while self._subscription.stopped:
            outcome = self._subscription.stopped.popleft()
            self._known[key_of(outcome.job)] = outcome
            self._stopped = True

    def _next_waking(self, until: float) -> float:
        if self._display is None:
            return until
        return min(until, self._waiter.clock.now() + SHOW_EVERY_S)

    def _show(self, fresh: Sequence[JobOutcome]) -> None:
        if self._display is not None:
            self._display.show(fresh, self._waiter.scheduler.time_left(self._subscription))


def known_refs(refs: Iterable[JobRef]) -> list[JobRef]:
    """Collapse references to one job into one that knows what any of them does."""
    known: dict[Key, JobRef] = {}
    for ref in refs:
        key = key_of(ref)
        known[key] = merged(known[key], ref) if key in known else ref
    return list(known.values())


def unseen_yet(ref: JobRef) -> JobOutcome:
    """Give the outcome of a job of which nothing is known."""
    return JobOutcome(
        request_id=ref.request_id, state="pending", job=ref, file_id=ref.file_id or ""
    )


def _decides(outcome: JobOutcome, return_when: ReturnWhen) -> bool:
    if return_when == "first":
        return outcome.ended
    return return_when == "first_failure" and outcome.ended and not outcome.ok


async def tell(on_update: OnUpdate | None, outcome: JobOutcome) -> None:
    """Call a caller's function, sync or async; raises what it raises, but no iterator's end."""
    if on_update is None:
        return
    try:
        told = on_update(outcome)
        if inspect.isawaitable(told):
            await told
    except (StopIteration, StopAsyncIteration) as error:
        raise surfaced(error, "on_update") from error
