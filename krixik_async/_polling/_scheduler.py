"""The tasks that look: as many as there is something to ask, and no more than allowed."""

from __future__ import annotations

import random
from collections.abc import Iterable

import anyio

from krixik_async._clock import Clock
from krixik_async._durations import Durations
from krixik_async._errors import (
    AuthenticationError,
    ClientClosed,
    InvalidArgument,
    KrixikError,
    RequestNotFound,
)
from krixik_async._models import JobRef, ProcessStatus
from krixik_async._polling._answers import Answers
from krixik_async._polling._entries import Entry
from krixik_async._polling._planner import Planner
from krixik_async._polling._register import Register
from krixik_async._polling._rounds import Chunk
from krixik_async._polling._seam import Asker, Opening
from krixik_async._polling._subscription import PaceChanged, Subscription
from krixik_async._strategies import Interval, Stop
from krixik_async._tasks import TaskSet

# So many looks stand in line for an opening: submits, which stand there too, get their share, and
# what is asked is chosen only when it can go.
SEEKERS = 4
# What concerns every wait, and is no outage to be ridden out: a key that is refused, a client that
# is closed, settings of the machine (a proxy, certificates) with which nothing can be sent.
_OF_ALL = (AuthenticationError, ClientClosed, InvalidArgument)


class Scheduler:
    """Ask for many jobs, each when its schedule says so, and tell whoever waits."""

    def __init__(
        self,
        *,
        asker: Asker,
        clock: Clock,
        tasks: TaskSet,
        rng: random.Random,
        durations: Durations,
        max_looks: int,
        bulk_look: bool,
    ) -> None:
        self.durations = durations
        self._asker = asker
        self._clock = clock
        self._tasks = tasks
        self._max_looks = max_looks
        self._planner = Planner(asker=asker, clock=clock, durations=durations, rng=rng)
        self._register = Register(self._planner, clock=clock, bulk_look=bulk_look)
        self._answers = Answers(
            self._register, self._planner, clock=clock, durations=durations, rng=rng
        )
        self._lookers = 0
        self._seekers = 0
        self._throttled = 0
        self._pumping = False
        self._changed = anyio.Event()

    def __len__(self) -> int:
        return len(self._register)

    @property
    def throttled(self) -> int:
        """Count the "too many" answers to the client so far."""
        return self._asker.throttled

    def time_left(self, subscription: Subscription) -> float | None:
        """Estimate the seconds until a waiter's jobs have ended; None while nothing is known."""
        return self._planner.time_left(subscription.entries)

    def subscribe(
        self,
        interval: Interval,
        *,
        wants_changes: bool = True,
        wants_notices: bool = False,
        bulk_look: bool = False,
        stop: Stop | None = None,
    ) -> Subscription:
        """Make a waiter's end, without jobs yet."""
        return Subscription(
            self,
            interval,
            now=self._clock.now(),
            wants_changes=wants_changes,
            wants_notices=wants_notices,
            bulk_look=bulk_look,
            stop=stop,
        )

    def add(self, subscription: Subscription, refs: Iterable[JobRef]) -> None:
        """Let a subscription wait for these jobs too.

        The first look of each is due at once, or it is found by a bulk look.
        """
        self._register.add(subscription, refs)
        if not self._pumping and len(self):
            self._pumping = True
            self._throttled = self._asker.throttled
            self._tasks.spawn(self._pump, name="krixik_async polling")
        self._changed.set()

    def detach(self, subscription: Subscription) -> None:
        """Forget a waiter, and every entry that nobody else waits for."""
        self._register.drop(subscription)
        self._changed.set()

    def close(self) -> None:
        """End every wait with ClientClosed; the jobs go on."""
        self._fail_all(ClientClosed("the client was closed while jobs were waited for"))

    def _fail_all(self, error: Exception) -> None:
        self._register.fail(self._register.everything(), error)
        self._changed.set()

    # --- the tasks ---------------------------------------------------------------------------

    async def _pump(self) -> None:
        try:
            while len(self):
                self._changed = changed = anyio.Event()
                self._planner.gather()
                self._hire()
                full = self._lookers >= self._max_looks
                until = float("inf") if full else self._planner.next_due()
                with anyio.CancelScope(deadline=until):
                    await changed.wait()
            self._planner.clear()
        except Exception as error:  # noqa: BLE001 - handed to whoever waits, as it is
            # A bug of ours: the waits must end, not hang.
            self._fail_all(error)
        finally:
            self._pumping = False

    def _hire(self) -> None:
        while (
            self._lookers < self._max_looks
            and self._seekers < SEEKERS
            and self._seekers < self._planner.work()
        ):
            self._lookers += 1
            self._seekers += 1
            self._tasks.spawn(self._keep_looking, name="krixik_async look")

    async def _keep_looking(self) -> None:
        seeking = True
        try:
            while True:
                opening = await self._asker.opening()
                try:
                    self._seekers -= 1
                    seeking = False
                    if not await self._look(opening):
                        return
                finally:
                    opening.release()
                self._planner.gather()
                if self._seekers >= min(SEEKERS, self._planner.work()):
                    return
                self._seekers += 1
                seeking = True
        except Exception as error:  # noqa: BLE001 - as in the pump
            self._fail_all(error)
        finally:
            self._seekers -= seeking
            self._lookers -= 1
            self._changed.set()

    async def _look(self, opening: Opening) -> bool:
        """Ask what is worth it most; tells whether there was anything to ask."""
        work = self._planner.pick()
        if work is None:
            return False
        self._hire()
        entries = work.entries if isinstance(work, Chunk) else (work,)
        try:
            if isinstance(work, Chunk):
                await self._sweep(work, opening)
            else:
                await self._ask(work, opening)
        except _OF_ALL as error:
            self._fail_all(error)
        except Exception as error:  # noqa: BLE001 - a bug: these waits must end, not hang
            self._register.fail(entries, error)
        self._notice_throttles()
        return True

    async def _ask(self, entry: Entry, opening: Opening) -> None:
        asked_at = self._clock.now()
        try:
            status = await opening.status(entry.ref)
        except _OF_ALL:
            raise
        except KrixikError as error:
            self._answers.failure(entry, error)
        else:
            self._answers.status(entry, status, asked_at)

    async def _sweep(self, chunk: Chunk, opening: Opening) -> None:
        sent_at = self._clock.now()
        try:
            found = await opening.finished(chunk.crowd.pipeline, chunk.file_ids)
        except _OF_ALL:
            raise
        except KrixikError as error:
            self._answers.list_failure(chunk, error)
            return
        self._answers.listed(chunk, found, sent_at)
        missing = [ref for ref in chunk.canaries if ref.file_id not in found]
        if missing:
            await self._look_after(chunk, missing[0])
        elif chunk.canaries:
            chunk.crowd.sweep.agreed()

    async def _look_after(self, chunk: Chunk, canary: JobRef) -> None:
        """Ask what became of a file that was complete before the list was sent, and is not in it.

        Its owner may have deleted it, or it may have expired.
        """
        opening = await self._asker.opening()
        status: ProcessStatus | None = None
        try:
            status = await opening.status(canary)
        except RequestNotFound:
            pass
        except _OF_ALL:
            raise
        except KrixikError:
            return
        finally:
            opening.release()
        self._answers.canary(chunk.crowd, canary, status)

    def _notice_throttles(self) -> None:
        throttled = self._asker.throttled
        if throttled != self._throttled:
            self._throttled = throttled
            rate = self._asker.rate
            said = "" if rate is None else f": now at most {rate:.2f} a second"
            message = f"the service asks for fewer requests{said}"
            self._register.notify(PaceChanged("throttled", rate, message))
