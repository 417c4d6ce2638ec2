"""Asking again: when, how often, and at whose expense.

Retries draw on one budget, so that a service that is down is not asked `attempts` times by every
call.

Each call that fails gets an `AsyncRetrying` of its own. The object keeps the state of its attempt
on itself, so one shared by concurrent calls mixes up their results (200 sharing one: 34 right, 42
with the error of another, 124 with nothing). A call that does not fail needs none: it is made only
once there is a failure to judge, which is then its first attempt (19 of 110 us a call, 2026-11).
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import attrs
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt

from krixik_async._clock import Clock
from krixik_async._errors import (
    AnswerLost,
    AuthenticationError,
    ConnectFailed,
    DownloadInterrupted,
    KrixikError,
    RateLimited,
    ServerError,
)

T = TypeVar("T")

# 2 ** 32 of any backoff is past every cap; without a bound a large `attempts` would overflow.
_DOUBLINGS = 32

# botocore's standard retry quota (1.40, 2026-11): 500 tokens, a retry takes 5, a success gives 1.
BUDGET = 500
RETRY_COST = 5
SUCCESS_RETURNS = 1


class MayRepeat:
    """Judge the errors of one call, in order."""

    def __init__(self, repeatable: bool) -> None:
        self._repeatable = repeatable
        self._was_forbidden = False

    def __call__(self, error: BaseException) -> bool:
        """Tell whether asking again can help and cannot harm."""
        if isinstance(error, AuthenticationError):
            # Gateways answer 403 for their own troubles as well; 401 always means the key.
            again = error.status_code == 403 and not self._was_forbidden
            self._was_forbidden = True
            return again
        self._was_forbidden = False
        if isinstance(error, ConnectFailed | RateLimited):
            return True
        return self._repeatable and isinstance(error, ServerError | AnswerLost)


def may_repeat_download(error: BaseException) -> bool:
    """Tell whether a download can be tried again: not where the disk was in the way."""
    if isinstance(error, DownloadInterrupted):
        return not isinstance(error.__cause__, OSError)
    return isinstance(error, ConnectFailed | RateLimited | ServerError)


class RetryBudget:
    """Let a client repeat itself only so often."""

    def __init__(self) -> None:
        self._tokens = BUDGET

    def spend(self) -> bool:
        """Take the price of one retry; tells whether it was there."""
        if self._tokens < RETRY_COST:
            return False
        self._tokens -= RETRY_COST
        return True

    def succeeded(self) -> None:
        """Put back what a success is worth."""
        self._tokens = min(BUDGET, self._tokens + SUCCESS_RETURNS)


@attrs.frozen(eq=False, kw_only=True)
class Retries:
    """Repeat calls with exponential backoff and full jitter, on one budget for all of them."""

    _attempts: int
    _backoff_s: float
    _backoff_cap_s: float
    _clock: Clock
    _pause: Callable[[float], Awaitable[None]]
    _rng: random.Random
    _on_retry: Callable[[], None]
    _budget: RetryBudget = attrs.field(factory=RetryBudget)

    async def run(
        self,
        name: str,
        once: Callable[[], Awaitable[T]],
        may_repeat: Callable[[BaseException], bool],
    ) -> T:
        """Give what `once` gives; raises its last error, with endpoint, attempts and time."""
        started = self._clock.now()
        failures: list[KrixikError] = []
        try:
            result = await once()
        except KrixikError as error:
            failures.append(error)
        # Outside, or the errors of later attempts would carry the first as their context.
        if failures:
            result = await self._go_on(name, once, may_repeat, failures, started)
        self._budget.succeeded()
        return result

    async def _go_on(
        self,
        name: str,
        once: Callable[[], Awaitable[T]],
        may_repeat: Callable[[BaseException], bool],
        failures: list[KrixikError],
        started: float,
    ) -> T:
        tries = 0

        async def counted() -> T:
            nonlocal tries
            tries += 1
            if failures:
                # Taken out, or this frame and the error's traceback would hold each other.
                raise failures.pop()
            return await once()

        retrying = AsyncRetrying(
            sleep=self._pause,
            stop=stop_after_attempt(self._attempts),
            wait=self._wait,
            retry=retry_if_exception(may_repeat),
            before_sleep=self._spend,
            reraise=True,
        )
        try:
            result: T = await retrying(counted)
        except KrixikError as error:
            elapsed = self._clock.now() - started
            error.fill(endpoint=name, attempts=tries, elapsed_s=elapsed)
            raise
        return result

    def _wait(self, state: RetryCallState) -> float:
        doublings = min(state.attempt_number - 1, _DOUBLINGS)
        return self._rng.uniform(0.0, min(self._backoff_cap_s, self._backoff_s * 2.0**doublings))

    def _spend(self, state: RetryCallState) -> None:
        if self._budget.spend():
            self._on_retry()
            return
        # Called after a failure that `may_repeat` has let pass, so there is one and it is ours.
        outcome: Any = state.outcome
        error: KrixikError = outcome.exception()
        error.message += (
            ". Not tried again: this client's retry budget is spent, too many of its calls fail"
        )
        error.args = (error.message,)
        raise error
