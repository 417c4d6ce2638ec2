"""One attempt: a permit, a slot, one request, one answer or one error of ours.

What must hold, whoever cancels what and when: a permit taken is given back once, after the
request has ended; a sender that cancellation would hurt runs in a task of its own, which the
caller only waits for; everything ends by its limit.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Generic, TypeVar

import anyio
import attrs
import httpx

from krixik_async._clock import Clock
from krixik_async._errors import AnswerLost, ClientClosed, KrixikError
from krixik_async._reply import Reply
from krixik_async._tasks import TaskSet, on_trio
from krixik_async._transport._asgi import InProcessTransport
from krixik_async._transport._failures import meaning, reported, timed_out
from krixik_async._transport._given import ClientSender, TransportSender
from krixik_async._transport._home import ELSEWHERE, Home
from krixik_async._transport._pace import Pace, retry_after_s
from krixik_async._transport._permits import Permits
from krixik_async._transport._seam import Progress, Scope, Sender, Target, host_of
from krixik_async._transport._turns import Turn, Turns
from krixik_async._transport._upload import UploadBody

logger = logging.getLogger("krixik_async")

T = TypeVar("T")

# What `aclose()` gives requests under way to end, once they were told to.
_END_WITHIN_S = 5.0
_THROTTLES = (429, 503)


# Told the status and the headers of an answer as soon as they are known.
Heard = Callable[["Attempt[Any]", int, Mapping[str, str]], None]


@attrs.define(eq=False, kw_only=True)
class Attempt(ABC, Generic[T]):
    """Be one try at one request."""

    name: str
    limit_s: float
    body: UploadBody | None = None
    # Runs apart from its caller even where the sender would not need that: for what has files
    # of its own to clean up.
    in_own_task: bool = False
    # An upload follows its ticket, which does not live long: it must not stand behind others.
    follows: bool = False
    is_wanted: bool = True
    # What became of it, for the log: the answer's status, or in words.
    outcome: int | str = "cancelled"
    progress: Progress = attrs.field(factory=Progress)
    # What it runs in: ends by its limit, or when cancelled.
    scope: Scope = attrs.field(init=False)

    @property
    @abstractmethod
    def host(self) -> str:
        """Give the "host:port" that it goes to, for messages."""

    @abstractmethod
    def limit_by(self, sender: Sender) -> None:
        """Make its scope; the limit counts from now or from when the scope is entered."""

    @abstractmethod
    async def carry_out(self, sender: Sender, heard: Heard) -> T:
        """Send the request and give what is made of the answer."""

    def abandon(self) -> None:
        """Let it know that its caller has gone."""
        self.is_wanted = False
        if self.body is not None:
            self.body.abandoned = True


@attrs.define(eq=False, kw_only=True)
class Posted(Attempt[Reply]):
    """Be one try at a call: a small body there, a whole answer back."""

    target: Target
    content: bytes = attrs.field(repr=False)

    @property
    def host(self) -> str:
        """Give the "host:port" of the target."""
        return host_of(self.target.url)

    def limit_by(self, sender: Sender) -> None:
        """Take what the sender has for posts."""
        self.scope = sender.limit(self.limit_s)

    async def carry_out(self, sender: Sender, heard: Heard) -> Reply:
        """Post it by the sender's shortest way."""
        reply = await sender.post(self.target, self.content, self.progress)
        heard(self, reply.status_code, reply.headers)
        return reply


@attrs.define(eq=False, kw_only=True)
class Streamed(Attempt[T]):
    """Be one try at what is too large to hold; `consume` makes the result of the open answer."""

    request: httpx.Request = attrs.field(repr=False)
    consume: Callable[[httpx.Response, Streamed[T]], Awaitable[T]] = attrs.field(repr=False)
    scope: anyio.CancelScope = attrs.field(init=False)

    @property
    def host(self) -> str:
        """Give the "host:port" of the request."""
        return host_of(self.request.url)

    def limit_by(self, _sender: Sender) -> None:
        """Take anyio's: there are files and threads in it, which must not be left by halves."""
        self.scope = anyio.move_on_after(self.limit_s)

    def restart_limit(self) -> None:
        """Count the limit from now: for answers of any length that still come in."""
        self.scope.deadline = anyio.current_time() + self.limit_s

    async def carry_out(self, sender: Sender, heard: Heard) -> T:
        """Open it and consume the answer as it comes in."""
        async with sender.open(self.request, self.progress) as response:
            heard(self, response.status_code, response.headers)
            return await self.consume(response, self)


Consume = Callable[[httpx.Response, Streamed[T]], Awaitable[T]]


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


@attrs.frozen
class TransportStatistics:
    """Count what a client has sent: all requests, retries among them, "too many" answers."""

    requests: int
    retries: int
    throttled: int


class Exchanges:
    """Make attempts, at most `max_in_flight` at once and at the pace the service allows."""

    def __init__(
        self, *, sender: Sender | None, permits: Permits, pace: Pace, clock: Clock, tasks: TaskSet
    ) -> None:
        self._sender = sender
        self._permits = permits
        self._pace = pace
        self._turns = Turns(permits=permits, pace=pace, clock=clock, pause=self.pause)
        self._clock = clock
        self._tasks = tasks
        self._under_way: set[Attempt[Any]] = set()
        self._pauses: set[anyio.CancelScope] = set()
        self._closed = False
        self._home = Home()
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

    @property
    def rate(self) -> float | None:
        """Tell the requests per second allowed now; None is without limit."""
        return self._pace.rate

    async def turn(self) -> Turn:
        """Wait until one more request may go. Cancel-safe. Give it to `run`, or release it."""
        await self._turns.take(follows=False)
        return Turn(self._permits)

    async def run(self, attempt: Attempt[T], turn: Turn | None = None) -> T:
        """Carry the attempt out and give its result.

        Raises ConnectFailed, AnswerLost, UnexpectedReply, ClientClosed, and what consuming an
        answer raises. Cancel-safe: returns promptly; a request that was sent may still be carried
        out.
        """
        if turn is None:
            await self._turns.take(follows=attempt.follows)
        else:
            turn.take()
        try:
            sender = self._open_sender()
            attempt.limit_by(sender)
        except BaseException:
            self._permits.release()
            raise
        self._under_way.add(attempt)
        if attempt.in_own_task or sender.needs_own_task:
            return await self._apart(sender, attempt)
        try:
            return await self._exchange(sender, attempt)
        except BaseException:
            attempt.abandon()
            raise
        finally:
            self._ended(attempt)

    async def aclose(self) -> None:
        """End what is under way, then close what was made here. Idempotent; shielded.

        What waits for a permit gets one as others end, and learns of the closing then.
        """
        self._closed = True
        if self._home.is_elsewhere():
            # Where that loop has ended there is nothing left that could close in order.
            with suppress(RuntimeError):
                await self._close_sender()
            return
        for scope in tuple(self._pauses):
            scope.cancel()
        with anyio.CancelScope(shield=True):
            if self._under_way:
                self._all_ended = self._all_ended or anyio.Event()
                for attempt in tuple(self._under_way):
                    attempt.abandon()
                    attempt.scope.cancel()
                with anyio.move_on_after(_END_WITHIN_S):
                    await self._all_ended.wait()
            await self._close_sender()

    async def _close_sender(self) -> None:
        sender, self._sender = self._sender, None
        if sender is not None:
            await sender.aclose()

    async def pause(self, seconds: float) -> None:
        """Wait between two requests of one call. Raises ClientClosed as soon as that happens."""
        if not self._closed:
            with anyio.CancelScope() as scope:
                self._pauses.add(scope)
                try:
                    await self._clock.sleep(seconds)
                finally:
                    self._pauses.discard(scope)
        if self._closed:
            raise ClientClosed(
                "the client was closed while this was under way: it may or may not have been done"
            )

    def _open_sender(self) -> Sender:
        if self._closed:
            raise ClientClosed("the client is closed: make a new one")
        if self._home.is_elsewhere():
            raise ClientClosed(ELSEWHERE)
        if self._sender is None:
            self._sender = default_sender()
        self._requests += 1
        return self._sender

    def _ended(self, attempt: Attempt[Any]) -> None:
        self._under_way.discard(attempt)
        self._permits.release()
        if self._all_ended is not None and not self._under_way:
            self._all_ended.set()

    async def _apart(self, sender: Sender, attempt: Attempt[T]) -> T:
        results: list[T] = []
        errors: list[Exception] = []

        async def body() -> None:
            try:
                results.append(await self._exchange(sender, attempt))
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
        raise errors.pop() if errors else _cut_off(attempt.name)

    async def _exchange(self, sender: Sender, attempt: Attempt[T]) -> T:
        started = self._clock.now() if logger.isEnabledFor(logging.DEBUG) else None
        failure: KrixikError | None = None
        try:
            with attempt.scope:
                try:
                    return await attempt.carry_out(sender, self._learn)
                except reported() as error:
                    # Raised below, outside: an error raised here would carry this one, which
                    # holds the whole request, as its context.
                    failure = meaning(attempt.name, error, attempt.progress, attempt.host)
            if failure is None and not self._closed:
                failure = timed_out(attempt.name, attempt.limit_s, attempt.progress, attempt.host)
            if failure is None or (self._closed and isinstance(failure, AnswerLost)):
                failure = _cut_off(attempt.name)
            attempt.outcome = type(failure).__name__
            raise failure
        finally:
            if attempt.body is not None:
                with anyio.CancelScope(shield=True):
                    await attempt.body.aclose()
            if started is not None:
                took = self._clock.now() - started
                logger.debug("%s: %s, %.3f s", attempt.name, attempt.outcome, took)

    def _learn(self, attempt: Attempt[Any], status_code: int, headers: Mapping[str, str]) -> None:
        attempt.outcome = status_code
        if status_code not in _THROTTLES:
            if status_code < 500 and self._pace.rate is not None:
                self._pace.succeeded(self._clock.now())
            return
        now = self._clock.now()
        self._throttled += 1
        pause = retry_after_s(headers, self._clock.wall())
        if self._pace.throttled(now, pause):
            logger.info(
                "the service asks for fewer requests (%d): now at most %.2f a second%s",
                status_code,
                self._pace.rate,
                f", none for {pause:.1f} s" if pause else "",
            )


def _cut_off(name: str) -> ClientClosed:
    return ClientClosed(
        f"the client was closed while {name} was under way: it may or may not have been carried out"
    )
