"""Taking answers in: what they mean for the job, its waiters, the next look and the breaker."""

from __future__ import annotations

import copy
import logging
import random
from collections.abc import Collection

from krixik_async._clock import Clock
from krixik_async._durations import Durations
from krixik_async._errors import KrixikError
from krixik_async._evidence import OUTAGE_S, Trouble, note_error, note_status, shared_status
from krixik_async._models import JobRef, ProcessStatus
from krixik_async._polling._breaker import is_outage
from krixik_async._polling._entries import Crowd, Entry
from krixik_async._polling._laws import learn
from krixik_async._polling._planner import Planner
from krixik_async._polling._register import Register
from krixik_async._polling._rounds import Chunk
from krixik_async._polling._subscription import PaceChanged

logger = logging.getLogger("krixik_async")

# How many different last answers are kept of jobs that wait; all jobs equally far share one.
_SHARED = 1024
# Of a crowd, about so many teach how long jobs take. Those that were sent together end in the order
# of their durations, and what was learned last counts most: if all taught, the slowest would.
_TAUGHT = 100


class Answers:
    """Take in what the service says."""

    def __init__(
        self,
        register: Register,
        planner: Planner,
        *,
        clock: Clock,
        durations: Durations,
        rng: random.Random,
    ) -> None:
        self._register = register
        self._planner = planner
        self._clock = clock
        self._durations = durations
        self._rng = rng
        self._statuses: dict[object, ProcessStatus] = {}

    # --- of one job --------------------------------------------------------------------------

    def status(self, entry: Entry, status: ProcessStatus, asked_at: float) -> None:
        """Take a status in; `asked_at` is when the question was sent."""
        now = self._clock.now()
        self.reached()
        low_at = entry.looked_at if status.overall_status == "failed" else entry.unfinished_at
        changed = note_status(entry, status, asked_at=asked_at, now=now)
        if entry.ended:
            if self._rng.random() * entry.crowd.most < _TAUGHT:
                learn(self._durations, entry, low_at=low_at, ended_by=now)
            if entry.crowd.is_sweeping(entry):
                entry.crowd.sweep.found()
        self._settle(entry, changed, low_at)

    def failure(self, entry: Entry, error: KrixikError) -> None:
        """Take a failed look in."""
        logger.debug("a look at %s failed: %s", entry.ref.request_id, error)
        now, wall = self._clock.now(), self._clock.wall()
        changed = note_error(entry, error, now=now, wall=wall)
        self._settle(entry, changed, entry.looked_at)
        self._judge(error)

    def _settle(self, entry: Entry, changed: bool, low_at: float | None) -> None:
        """Tell the waiters, and plan the next look, or the end."""
        for waiter in entry.each_waiter():
            waiter.tally.statuses += 1
        entry.crowd.sweep.earn()
        if entry.place != "asked":
            return  # every wait was ended meanwhile
        if entry.ended:
            self._end(entry, low_at)
            return
        entry.crowd.reckon(entry)  # the file_id may be known now
        if changed:
            for waiter in entry.each_waiter():
                waiter.push(entry.outcome())
        if entry.last_status is not None:
            entry.last_status = self._shared(entry.last_status)
        if not entry.each_waiter() or not self._planner.plan(entry):
            self._register.forget(entry)
            return
        self._planner.settle_sweep(entry.crowd)

    def _end(self, entry: Entry, low_at: float | None) -> None:
        if entry.state == "complete" and entry.ref.file_id is not None:
            entry.crowd.sweep.canaries.append(entry.ref)
        waiters = entry.each_waiter()
        self._register.forget(entry)
        delay = self._clock.now() - (entry.started_at if low_at is None else low_at)
        for waiter in waiters:
            waiter.tally.ended(delay)
            waiter.push(entry.outcome())

    def _shared(self, status: ProcessStatus) -> ProcessStatus:
        flags = tuple(status.modules.items())
        key = (status.pipeline, status.status_code, status.message, flags)
        if key not in self._statuses:
            if len(self._statuses) >= _SHARED:
                self._statuses.clear()
            self._statuses[key] = shared_status(status)
        return self._statuses[key]

    # --- of many -----------------------------------------------------------------------------

    def listed(self, chunk: Chunk, found: Collection[str], sent_at: float) -> None:
        """Take in which files a list shows; what is absent may be anything."""
        self.reached()
        turned_up = 0
        for entry in chunk.entries:
            if entry.ref.file_id not in found:
                entry.absent_at = sent_at
            elif entry.place in ("agenda", "unpaid", "ready") and not entry.listed:
                turned_up += 1
                self._planner.confirm(entry)
        self._count(chunk, turned_up)

    def list_failure(self, chunk: Chunk, error: KrixikError) -> None:
        """Take in that a bulk look failed."""
        self._count(chunk, 0)
        self.distrust(chunk.crowd, f"a list failed: {error}")
        self._judge(error)

    def canary(self, crowd: Crowd, ref: JobRef, status: ProcessStatus | None) -> None:
        """Take in what became of a complete file that a list did not show; None: it is gone."""
        self.reached()
        if status is not None and status.overall_status == "complete":
            self.distrust(
                crowd, f"a list did not show file {ref.file_id}, whose status is complete"
            )
        elif ref in crowd.sweep.canaries:
            crowd.sweep.canaries.remove(ref)

    def distrust(self, crowd: Crowd, why: str) -> None:
        """Count against bulk looks; the third time in a row they are off for a while."""
        now = self._clock.now()
        if crowd.sweep.disagreed(now):
            logger.info(
                "no bulk looks for pipeline %r for %.0f s, its jobs are asked for one by one: %s",
                crowd.pipeline,
                crowd.sweep.off_until - now,
                why,
            )
            self._planner.settle_sweep(crowd)

    def _count(self, chunk: Chunk, turned_up: int) -> None:
        chunk.crowd.sweep.earn()
        chunk.crowd.sweep.answered(self._clock.now(), turned_up)
        for waiter in {w: None for entry in chunk.entries for w in entry.each_waiter()}:
            waiter.tally.lists += 1

    # --- of the service ----------------------------------------------------------------------

    def reached(self) -> None:
        """Learn that the service answers."""
        if self._planner.breaker.answered():
            logger.info("the service answers again")
            self._register.notify(PaceChanged("reachable", None, "the service answers again"))

    def _judge(self, error: KrixikError) -> None:
        if not is_outage(error):
            self.reached()
            return
        now, breaker = self._clock.now(), self._planner.breaker
        if breaker.failed(now):
            message = f"the service does not answer; until it does, one look at a time: {error}"
            logger.info("%s", message)
            self._register.notify(PaceChanged("unreachable", None, message))
        if breaker.is_open and now - breaker.since >= OUTAGE_S:
            self._give_up(error, now)

    def _give_up(self, error: KrixikError, now: float) -> None:
        """End, as errors, the jobs that could not be asked for all through the outage."""
        for entry in self._register.everything():
            waited = now - min((w.since for w in entry.each_waiter()), default=now)
            if entry.place == "asked" or waited < OUTAGE_S:
                continue
            own = copy.copy(error)
            own.request_id, own.file_id = entry.ref.request_id, entry.ref.file_id
            own.pipeline = entry.ref.pipeline
            entry.trouble, entry.state = Trouble(own, now), "error"
            self._end(entry, entry.looked_at)
