"""A run of `process_many`: one task that pulls inputs, one task for each input in the window.

The window bounds everything: an input counts from the moment it is pulled until its outcome has
been taken by the caller. What another worker of the same journal is at is set aside (an input
each, bounded too) and looked at again later, also while the source has nothing to give.

The tasks know the run and not the stream that the caller holds, so that a stream that is dropped
is collected, and stops its run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from pathlib import Path

import anyio
import attrs

from krixik_async._bulk._flow import OneFile, Work
from krixik_async._bulk._inputs import (
    Files,
    Taken,
    is_journal,
    pull,
    take,
)
from krixik_async._bulk._once import Once
from krixik_async._bulk._outcomes import BulkOutcome
from krixik_async._errors import ClientClosed
from krixik_async._journal import Journal, open_journal
from krixik_async._models import JobRef
from krixik_async._tasks import OwnedTask, TaskSet

# How many inputs that other workers are at are set aside before they are looked at again.
SET_ASIDE_MOST = 1000
# How often they are looked at: at first, and at most, in seconds.
LOOK_AGAIN_S = (0.5, 5.0)


@attrs.frozen(kw_only=True, eq=False)
class Plan:
    """Hold what a call of `process_many` asked for, checked."""

    work: Work
    files: Files
    max_in_flight: int
    journal: Path | None


class Run:
    """Work through the inputs. Its attributes are read by `BulkStream` in the same loop."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._session = plan.work.session
        self._ready: deque[BulkOutcome] = deque()
        self._aside: deque[Taken] = deque()
        self._seen = Once(plan.work.defaults)
        self._active = 0
        self._begun: list[OneFile] = []
        self._journal: Journal | None = None
        self._tasks = TaskSet()
        self._body = anyio.CancelScope()
        self._moved = anyio.Event()
        self._error: Exception | None = None
        self._stopped = False
        self._over = False
        self._main: OwnedTask = self._session.tasks.spawn(self._work, name="krixik_async bulk")

    # --- the caller's side -------------------------------------------------------------------

    async def next(self) -> BulkOutcome | None:
        """Give the next outcome; None at the end. Raises what ended the run before that."""
        await self._until(lambda: bool(self._ready) or self._over)
        if self._ready:
            outcome = self._ready.popleft()
            self._notify()
            return outcome
        error, self._error = self._error, None
        if error is not None:
            raise error
        return None

    @property
    def outstanding(self) -> tuple[JobRef, ...]:
        """Give the jobs of inputs whose outcome was not taken, be they cut off or done."""
        jobs = [one.job for one in self._begun] + [outcome.job for outcome in self._ready]
        return tuple(job for job in jobs if job is not None)

    def stop(self) -> None:
        """Stop pulling and working; returns at once. What is under way is left as it stands."""
        if not self._over:
            self._stopped = True
            self._main.cancel()

    async def wait(self) -> None:
        """Wait until everything that was begun has ended."""
        await self._main.wait()

    # --- the run's side ----------------------------------------------------------------------

    async def _work(self) -> None:
        whole = False
        try:
            with self._body:
                await self._open()
                await self._pull_all()
                whole = True
        except Exception as error:  # noqa: BLE001 - handed to whoever iterates, as it is
            self._fail(error)
        finally:
            if not whole and not self._stopped and self._error is None:
                # Nobody may take what was cut off from without for the end.
                self._error = ClientClosed(
                    "the client was closed before all files were done; with a journal, the same "
                    "call goes on where it stopped"
                )
            with anyio.CancelScope(shield=True):
                await self._tasks.aclose()
                if self._journal is not None:
                    await self._journal.aclose()
            self._over = True
            self._notify()

    async def _open(self) -> None:
        path, session = self._plan.journal, self._session
        if path is None:
            return
        self._journal = await open_journal(
            path, self._plan.work.owner, clock=session.clock, offload=session.offload
        )
        self._spawn(self._journal.heartbeat, "krixik_async lease")
        self._spawn(self._look_again, "krixik_async aside")

    async def _pull_all(self) -> None:
        failed: Exception | None = None
        try:
            await self._pull()
        except Exception as error:  # noqa: BLE001 - of the caller's own iterable
            # What was begun is seen through first; then the caller gets his error.
            failed = error
        await self._until(lambda: not self._active and not self._aside)
        if failed is not None:
            raise failed

    async def _pull(self) -> None:
        items = pull(self._plan.files, self._session.offload, self._is_own)
        async with aclosing(items):
            while True:
                await self._until(lambda: len(self._aside) < SET_ASIDE_MOST)
                await self._room()
                try:
                    item = await anext(items)
                except StopAsyncIteration:
                    return
                # Something that was set aside may have taken the room meanwhile.
                await self._room()
                self._start(self._once(take(item)))

    async def _look_again(self) -> None:
        """Take up what was set aside, again and again; ends by being cancelled."""
        pause, longest = LOOK_AGAIN_S
        while True:
            await self._until(lambda: bool(self._aside))
            await self._session.clock.sleep(pause)
            pause = min(longest, pause * 1.5)
            for _ in range(len(self._aside)):
                await self._room()
                self._start(self._aside.popleft())

    def _start(self, taken: Taken) -> None:
        self._active += 1
        self._spawn(partial(self._one, taken), "krixik_async bulk file")

    async def _one(self, taken: Taken) -> None:
        one = OneFile(self._plan.work, taken, self._journal)
        self._begun.append(one)
        try:
            outcome = await one.run()
            self._begun.remove(one)
            if outcome is None:
                self._aside.append(taken)
            else:
                self._ready.append(outcome)
        finally:
            self._active -= 1
            self._notify()

    def _spawn(self, body: Callable[[], Awaitable[None]], name: str) -> None:
        async def run() -> None:
            try:
                await body()
            except Exception as error:  # noqa: BLE001 - handed to whoever iterates, as it is
                self._fail(error)

        self._tasks.spawn(run, name=name)

    def _fail(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
        self._body.cancel()

    # --- bounds ------------------------------------------------------------------------------

    async def _room(self) -> None:
        most = self._plan.max_in_flight
        await self._until(lambda: self._active + len(self._ready) < most)

    async def _until(self, true: Callable[[], bool]) -> None:
        while not true():
            await self._moved.wait()

    def _notify(self) -> None:
        moved, self._moved = self._moved, anyio.Event()
        moved.set()

    def _is_own(self, name: str) -> bool:
        """Tell whether a file of the folder is the journal itself."""
        journal = self._plan.journal
        return journal is not None and is_journal(name, journal)

    def _once(self, taken: Taken) -> Taken:
        """Refuse what comes twice."""
        error = taken.error or self._seen.refusal(taken.file)
        return taken if error is taken.error else attrs.evolve(taken, error=error)
