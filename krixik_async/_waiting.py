"""Waiting for many jobs at once: until all, the first, or the first failure, or one by one.

A wait never raises for a time-out or a job's fate, and never touches a job: what is not known when
it ends comes back as pending, with what is needed to go on in another process.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from types import TracebackType
from typing import Literal, Self, TypeAlias

import attrs
from tenacity import RetryCallState

from krixik_async._clock import Clock
from krixik_async._errors import AuthenticationError, InvalidArgument, InvalidArgumentType
from krixik_async._models import JobOutcome, JobRef
from krixik_async._policy import ends_at, merged, wait_sqrt
from krixik_async._polling import Check, Key, Scheduler, Subscription, key_of
from krixik_async._results import WaitResult
from krixik_async._validation import kind_of

ReturnWhen: TypeAlias = Literal["all", "first", "first_failure"]
OnUpdate: TypeAlias = Callable[[JobOutcome], object] | Callable[[JobOutcome], Awaitable[object]]
# As every tenacity `wait_*` object is.
Poll: TypeAlias = Callable[[RetryCallState], float]

RETURN_WHEN: tuple[ReturnWhen, ...] = ("all", "first", "first_failure")


# --- arguments -------------------------------------------------------------------------------


def check_timeout(timeout: object) -> float | None:
    """Give the seconds, or None for "until each record's own end"."""
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise InvalidArgumentType(f"timeout is {kind_of(timeout)} but must be seconds, or None")
    if not 0 <= timeout < float("inf"):
        raise InvalidArgument(
            f"timeout is {timeout} but must be 0 or more and finite; None waits until the "
            "records expire"
        )
    return float(timeout)


def check_poll(poll: object) -> Poll:
    """Give the schedule: any tenacity `wait_*` object; None means `wait_sqrt()`."""
    if poll is None:
        return wait_sqrt()
    if isinstance(poll, type) or not callable(poll):
        raise InvalidArgumentType(
            f"poll is {poll!r} but must be a tenacity wait strategy, such as tenacity.wait_fixed(3)"
        )
    return poll


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


@attrs.frozen
class Waiter:
    """Hold what a wait needs: the scheduler, how to ask, and the clock."""

    scheduler: Scheduler
    check: Check
    clock: Clock

    def deadline(self, refs: Sequence[JobRef], timeout: float | None) -> float:
        """Give the monotonic time at which the wait ends."""
        now, wall = self.clock.now(), self.clock.wall()
        if timeout is not None:
            return now + timeout
        return max((ends_at(ref, now=now, wall=wall) for ref in refs), default=now)

    async def wait(
        self,
        refs: Sequence[JobRef],
        *,
        timeout: float | None,
        return_when: ReturnWhen,
        on_update: OnUpdate | None,
        poll: Poll,
    ) -> WaitResult:
        """Wait for the jobs as `wait_until_complete` documents it."""
        refs = known_refs(refs)
        known = {key_of(ref): _unseen(ref) for ref in refs}
        waiting = set(known)
        until = self.deadline(refs, timeout)
        subscription = self.scheduler.subscribe(refs, self.check, poll)
        timed_out = False
        try:
            while waiting and not timed_out:
                fresh = await subscription.take(until=until)
                timed_out = not fresh
                for outcome in fresh:
                    known[key_of(outcome.job)] = outcome
                    if outcome.ended:
                        waiting.discard(key_of(outcome.job))
                    await _tell(on_update, outcome)
                if any(_stops(outcome, return_when) for outcome in fresh):
                    break
        except AuthenticationError as error:
            error.partial = WaitResult(known.values())
            raise
        finally:
            subscription.detach()
        return WaitResult(known.values(), timed_out=timed_out)


def known_refs(refs: Iterable[JobRef]) -> list[JobRef]:
    """Collapse references to one job into one that knows what any of them does."""
    known: dict[Key, JobRef] = {}
    for ref in refs:
        key = key_of(ref)
        known[key] = merged(known[key], ref) if key in known else ref
    return list(known.values())


def _unseen(ref: JobRef) -> JobOutcome:
    return JobOutcome(request_id=ref.request_id, state="pending", job=ref, file_id=ref.file_id)


def _stops(outcome: JobOutcome, return_when: ReturnWhen) -> bool:
    if return_when == "first":
        return outcome.ended
    return return_when == "first_failure" and outcome.ended and outcome.state != "complete"


async def _tell(on_update: OnUpdate | None, outcome: JobOutcome) -> None:
    if on_update is None:
        return
    told = on_update(outcome)
    if inspect.isawaitable(told):
        await told


class AsCompleted:
    """Yield each job's outcome once, as they come; at the time-out the rest, as pending.

    An async iterator and an async context manager. Leaving it early, by break, error,
    cancellation or garbage collection, only stops the waiting: the jobs go on.
    """

    def __init__(
        self,
        waiter: Waiter,
        refs: Sequence[JobRef],
        *,
        timeout: float | None,
        on_update: OnUpdate | None,
        poll: Poll,
    ) -> None:
        self._waiter = waiter
        self._refs = known_refs(refs)
        self._timeout = timeout
        self._on_update = on_update
        self._poll = poll
        self._known = {key_of(ref): _unseen(ref) for ref in self._refs}
        self._waiting = set(self._known)
        # Taken but not told yet, told but not handed over: nothing is lost between the two.
        self._untold: deque[JobOutcome] = deque()
        self._ready: deque[JobOutcome] = deque()
        self._subscription: Subscription | None = None
        self._until = 0.0
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> JobOutcome:
        while True:
            while self._untold:
                outcome = self._untold.popleft()
                if outcome.ended:
                    self._ready.append(outcome)
                await _tell(self._on_update, outcome)
            if self._ready:
                return self._ready.popleft()
            if self._closed or not self._waiting:
                await self.aclose()
                raise StopAsyncIteration
            await self._gather()

    async def _gather(self) -> None:
        if self._subscription is None:
            self._until = self._waiter.deadline(self._refs, self._timeout)
            self._subscription = self._waiter.scheduler.subscribe(
                self._refs, self._waiter.check, self._poll
            )
        try:
            fresh = await self._subscription.take(until=self._until)
        except AuthenticationError as error:
            error.partial = WaitResult(self._known.values())
            raise
        if not fresh:
            self._ready.extend(self._known[key] for key in self._known if key in self._waiting)
            self._waiting.clear()
        for outcome in fresh:
            self._known[key_of(outcome.job)] = outcome
            if outcome.ended:
                self._waiting.discard(key_of(outcome.job))
        self._untold.extend(fresh)

    async def aclose(self) -> None:
        """Stop waiting. Idempotent; the jobs go on."""
        self._detach()

    def _detach(self) -> None:
        self._closed = True
        if self._subscription is not None:
            self._subscription.detach()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        self._detach()
