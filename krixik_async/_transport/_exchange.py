"""One attempt: a permit, a slot, one request, one answer or one error of ours.

What must hold, whoever cancels what and when: a permit taken is given back once, after the
request has ended; a sender that cancellation would hurt runs in a task of its own, which the
caller only waits for; everything ends by its limit.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import attrs
import httpx

from krixik_async._clock import Clock
from krixik_async._errors import AnswerLost, ClientClosed, KrixikError
from krixik_async._tasks import TaskSet, on_trio
from krixik_async._transport._asgi import InProcessTransport
from krixik_async._transport._failures import meaning, reported, timed_out
from krixik_async._transport._pace import Pace, TransportStatistics, retry_after_s
from krixik_async._transport._permits import Permits
from krixik_async._transport._seam import ClientSender, Progress, Sender, TransportSender, host_of
from krixik_async._transport._upload import UploadBody

logger = logging.getLogger("krixik_async")

T = TypeVar("T")

# What `aclose()` gives requests under way to end, once they were told to.
_END_WITHIN_S = 5.0
_THROTTLES = (429, 503)


@attrs.define(eq=False)
class Attempt:
    """Be one try at one request."""

    name: str
    request: httpx.Request = attrs.field(repr=False)
    limit_s: float
    body: UploadBody | None = None
    # Runs apart from its caller even where the sender would not need that: for what has files
    # of its own to clean up.
    in_own_task: bool = False
    is_wanted: bool = True
    progress: Progress = attrs.field(factory=Progress)
    scope: anyio.CancelScope = attrs.field(factory=lambda: anyio.CancelScope())

    def restart_limit(self) -> None:
        """Count the limit from now: for answers of any length that still come in."""
        self.scope.deadline = anyio.current_time() + self.limit_s

    def abandon(self) -> None:
        """Let it know that its caller has gone."""
        self.is_wanted = False
        if self.body is not None:
            self.body.abandoned = True


Consume = Callable[[httpx.Response, Attempt], Awaitable[T]]


def choose_sender(
    http_client: httpx.AsyncClient | None, http_transport: httpx.AsyncBaseTransport | None
) -> Sender | None:
    """Give the sender for what the user handed in; None for the default one."""
    if http_client is not None:
        return ClientSender(http_client)
    if http_transport is not None:
        own = not isinstance(http_transport, InProcessTransport)
        return TransportSender(http_transport, needs_own_task=own)
    return None


def default_sender() -> Sender:
    """Make the sender of the running loop. aiohttp is imported here and not before: 0.2 s."""
    if on_trio():
        from krixik_async._transport._sharded import ShardedSender

        return ShardedSender()
    from krixik_async._transport._aiohttp import AiohttpSender

    return AiohttpSender()


class Exchanges:
    """Make attempts, at most `max_in_flight` at once and at the pace the service allows."""

    def __init__(
        self, *, sender: Sender | None, permits: Permits, pace: Pace, clock: Clock, tasks: TaskSet
    ) -> None:
        self._sender = sender
        self._permits = permits
        self._pace = pace
        self._clock = clock
        self._tasks = tasks
        self._under_way: set[Attempt] = set()
        self._closed = False
        self._all_ended: anyio.Event | None = None
        self._requests = 0
        self._throttled = 0
        self._retries = 0

    @property
    def statistics(self) -> TransportStatistics:
        """Count what was sent so far."""
        return TransportStatistics(self._requests, self._retries, self._throttled)

    @property
    def closed(self) -> bool:
        """Tell whether `aclose()` was called."""
        return self._closed

    def count_retry(self) -> None:
        """Count one more request that repeats another."""
        self._retries += 1

    async def run(self, attempt: Attempt, consume: Consume[T]) -> T:
        """Send the request and give what `consume` makes of the answer.

        Raises what `consume` raises, ConnectFailed, AnswerLost, UnexpectedReply, ClientClosed.
        Cancel-safe: returns promptly; a request that was sent may still be carried out.
        """
        await self._permits.acquire()
        try:
            await self._turn()
            sender = self._open_sender()
        except BaseException:
            self._permits.release()
            raise
        self._under_way.add(attempt)
        if attempt.in_own_task or sender.needs_own_task:
            return await self._apart(sender, attempt, consume)
        try:
            return await self._exchange(sender, attempt, consume)
        except BaseException:
            attempt.abandon()
            raise
        finally:
            self._ended(attempt)

    async def aclose(self) -> None:
        """End what is under way, then close what was made here. Idempotent; shielded."""
        self._closed = True
        with anyio.CancelScope(shield=True):
            if self._under_way:
                self._all_ended = self._all_ended or anyio.Event()
                for attempt in tuple(self._under_way):
                    attempt.abandon()
                    attempt.scope.cancel()
                with anyio.move_on_after(_END_WITHIN_S):
                    await self._all_ended.wait()
            sender, self._sender = self._sender, None
            if sender is not None:
                await sender.aclose()

    async def _turn(self) -> None:
        slot = self._pace.reserve(self._clock.now())
        while (delay := slot - self._clock.now()) > 0:
            await self._clock.sleep(delay)
            if self._pace.is_blocked(self._clock.now()):
                slot = self._pace.reserve(self._clock.now())

    def _open_sender(self) -> Sender:
        if self._closed:
            raise ClientClosed("the client is closed: make a new one")
        if self._sender is None:
            self._sender = default_sender()
        self._requests += 1
        return self._sender

    def _ended(self, attempt: Attempt) -> None:
        self._under_way.discard(attempt)
        self._permits.release()
        if self._all_ended is not None and not self._under_way:
            self._all_ended.set()

    async def _apart(self, sender: Sender, attempt: Attempt, consume: Consume[T]) -> T:
        results: list[T] = []
        errors: list[Exception] = []

        async def body() -> None:
            try:
                results.append(await self._exchange(sender, attempt, consume))
            except Exception as error:  # noqa: BLE001 - handed to the caller as it is
                errors.append(error)
            finally:
                self._ended(attempt)

        task = self._tasks.spawn(body, name=f"krixik_async {attempt.name}")
        try:
            await task.wait()
        except BaseException:
            attempt.abandon()
            if not sender.needs_own_task:
                # It can be stopped without harm: do, and let it clean up before we are gone.
                attempt.scope.cancel()
                with anyio.move_on_after(_END_WITHIN_S, shield=True):
                    await task.wait()
            raise
        if results:
            return results[0]
        # Taken out of the list, or this frame and the error's traceback would hold each other.
        raise errors.pop() if errors else self._cut_off(attempt)

    async def _exchange(self, sender: Sender, attempt: Attempt, consume: Consume[T]) -> T:
        started = self._clock.now()
        outcome = "cancelled"
        host = host_of(attempt.request.url)
        failure: KrixikError | None = None
        try:
            with attempt.scope:
                attempt.restart_limit()
                try:
                    async with sender.open(attempt.request, attempt.progress) as response:
                        outcome = str(response.status_code)
                        self._learn(response)
                        return await consume(response, attempt)
                except reported() as error:
                    # Raised below, outside: an error raised here would carry this one, which
                    # holds the whole request, as its context.
                    failure = meaning(attempt.name, error, attempt.progress, host)
            if failure is None and not self._closed:
                failure = timed_out(attempt.name, attempt.limit_s, attempt.progress, host)
            if failure is None or (self._closed and isinstance(failure, AnswerLost)):
                failure = self._cut_off(attempt)
            outcome = type(failure).__name__
            raise failure
        finally:
            if attempt.body is not None:
                with anyio.CancelScope(shield=True):
                    await attempt.body.aclose()
            logger.debug("%s: %s, %.3f s", attempt.name, outcome, self._clock.now() - started)

    def _cut_off(self, attempt: Attempt) -> ClientClosed:
        return ClientClosed(
            f"the client was closed while {attempt.name} was under way: "
            "it may or may not have been carried out"
        )

    def _learn(self, response: httpx.Response) -> None:
        now = self._clock.now()
        if response.status_code not in _THROTTLES:
            if response.status_code < 500:
                self._pace.succeeded(now)
            return
        self._throttled += 1
        pause = retry_after_s(response.headers, self._clock.wall())
        if self._pace.throttled(now, pause):
            logger.info(
                "the service asks for fewer requests (%d): now at most %.2f a second%s",
                response.status_code,
                self._pace.rate,
                f", none for {pause:.1f} s" if pause else "",
            )
