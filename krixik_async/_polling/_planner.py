"""What is asked next, and when: the agenda, what is due, and the rounds of bulk looks."""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterable

from krixik_async._clock import Clock
from krixik_async._durations import Durations
from krixik_async._evidence import CONFIRM_S, is_ending, next_look
from krixik_async._poll_policy import PollState
from krixik_async._polling._agenda import Agenda
from krixik_async._polling._breaker import Breaker
from krixik_async._polling._entries import Crowd, Entry
from krixik_async._polling._laws import Laws
from krixik_async._polling._ready import Ready
from krixik_async._polling._rounds import Chunk, Rounds
from krixik_async._polling._seam import Asker
from krixik_async._strategies import delay_by, fill

# While so many that turned up are not confirmed, finding more would help nobody.
_TO_CONFIRM = 256
# With fewer than these, lists of a round go first: while their answers come, there is work enough.
_TO_LIST = 64
# A job that the purse does not pay for waits for some of its age, and a few seconds at least.
_PUT_OFF_S, _PUT_OFF_SHARE = 5.0, 0.5
# What there is time for falls on a grid, of a quarter of a second or a hundredth of the delay: one
# waking serves many, and one float.
_GRID_S, _GRID_SHARE = 0.25, 1 / 128
_TIMES_KEPT = 1024
# A crowd that bulk looks are over for is asked anew at this rate, if no rate is set.
_REPLAN_PER_S = 500.0
# From so many leftovers on, the agenda is cleaned up when they are the most of it.
_LEFTOVERS = 1000


class Planner:
    """Decide what is asked next."""

    def __init__(
        self, *, asker: Asker, clock: Clock, durations: Durations, rng: random.Random
    ) -> None:
        self.breaker = Breaker()
        self.waiting = 0
        self._asker = asker
        self._clock = clock
        self._rng = rng
        self._laws = Laws(durations)
        self._agenda: Agenda[Entry] = Agenda()
        self._ready = Ready(self._laws)
        self._confirm: deque[Entry] = deque()
        self._rounds = Rounds(self._laws, asker)
        self._times: dict[float, float] = {}
        # One for all jobs: a state with its outcome is 2 kB.
        self._state = PollState(durations, rng=rng)

    # --- planning ----------------------------------------------------------------------------

    def hurry(self, entry: Entry) -> None:
        """Let a job be asked for as soon as it can be."""
        entry.due = None
        self._ready.add(entry)

    def confirm(self, entry: Entry) -> None:
        """Let a job be asked for before all others: a bulk look has shown it finished."""
        entry.due = None
        entry.listed = True
        entry.place = "ready"
        self._confirm.append(entry)

    def plan_first(self, entry: Entry) -> None:
        """Plan the first look: at once, unless bulk looks will find the job."""
        if entry.crowd.is_sweeping(entry):
            self._put_slowly(entry, self._clock.now(), early=True)
        else:
            self.hurry(entry)

    def plan(self, entry: Entry) -> bool:
        """Plan the next look after one that was taken in; tells whether anybody still waits.

        A waiter whose own schedule or stop raises is out of it with that error; one that stops is
        out of it too.
        """
        now = self._clock.now()
        if entry.crowd.is_sweeping(entry):
            self._put_slowly(entry, now, early=False)
            return True
        wall = self._clock.wall()
        delays: list[float] = []
        rate = self._asker.rate
        fill(self._state, entry, now=now, wall=wall, waiting=self.waiting, rate_per_s=rate)
        for waiter in entry.each_waiter():
            try:
                delay = delay_by(waiter.interval, self._state, entry)
                if waiter.stop is not None and waiter.is_stopped(
                    entry, self._state, next_look(entry, delay, now=now, wall=wall) - now
                ):
                    entry.drop_waiter(waiter)
                else:
                    delays.append(delay)
            except Exception as error:  # noqa: BLE001 - a schedule of that caller's own: his to see
                entry.drop_waiter(waiter)
                waiter.fail(error)
        if not delays:
            return False
        # A list shows it finished and a status does not: the one lags behind the other.
        delay = max(CONFIRM_S, min(delays)) if entry.listed else min(delays)
        self._put(entry, next_look(entry, delay, now=now, wall=wall))
        return True

    def settle_sweep(self, crowd: Crowd) -> None:
        """Turn bulk looks on or off as they pay, and plan the crowd anew if that changes."""
        now = self._clock.now()
        if not crowd.sweep.settle(crowd.swept, now):
            return
        self._rounds.settle(crowd)
        spread_s = crowd.swept / (self._asker.rate or _REPLAN_PER_S)
        for entry in tuple(crowd.entries.values()):
            if not entry.swept or entry.in_doubt or entry.listed or entry.place in ("new", "asked"):
                continue
            if crowd.sweep.on:
                self._put_slowly(entry, now, early=entry.looks == 0)
            else:
                self._put(entry, now + self._rng.uniform(0.0, max(1.0, spread_s)))

    def tidy(self) -> None:
        """Throw out what was detached, once it is the most of what is held."""
        if len(self._agenda) > 2 * self.waiting + _LEFTOVERS:
            self._agenda.prune()

    def clear(self) -> None:
        """Throw out all that is held, for nobody waits any more: it would keep those jobs."""
        self._pick(self._clock.now())
        self._agenda.prune()
        self._times.clear()

    def _put(self, entry: Entry, due: float) -> None:
        entry.place = "agenda"
        self._agenda.put(entry, due)

    def _put_slowly(self, entry: Entry, now: float, *, early: bool) -> None:
        law = self._laws.whole(entry, now)
        age = now - entry.started_at
        delay = entry.crowd.sweep.slow_delay(law, age, self._rng, early=early)
        self._put(entry, self._with_expiry(entry, delay, now))

    def _put_off(self, entry: Entry, now: float) -> None:
        pause = max(_PUT_OFF_S, _PUT_OFF_SHARE * (now - entry.started_at))
        pause *= self._rng.uniform(0.5, 1.0)
        self._agenda.put(entry, self._with_expiry(entry, pause, now))
        if entry.place != "unpaid":
            entry.place = "unpaid"
            entry.crowd.unpaid.append(entry)

    def _with_expiry(self, entry: Entry, delay: float, now: float) -> float:
        at = self._on_grid(now + delay, delay)
        due = next_look(entry, at - now, now=now, wall=self._clock.wall())
        return at if math.isclose(due, at) else due

    def _on_grid(self, at: float, delay: float) -> float:
        """Give the next point of the grid, the same object for all that fall on it."""
        step = max(_GRID_S, 2.0 ** math.floor(math.log2(max(_GRID_S, delay * _GRID_SHARE))))
        point = math.ceil(at / step) * step
        if len(self._times) > _TIMES_KEPT:
            self._times.clear()
        return self._times.setdefault(point, point)

    def time_left(self, entries: Iterable[Entry]) -> float | None:
        """Estimate the seconds until all of these have ended; None while nothing is known."""
        waiting = [entry for entry in entries if not entry.ended]
        return self._laws.time_left(waiting, self._clock.now())

    # --- what is next ------------------------------------------------------------------------

    def gather(self) -> None:
        """Bring up what is due: single looks, and rounds of bulk looks."""
        now = self._clock.now()
        while (entry := self._agenda.pop(now)) is not None:
            if entry.in_doubt:
                entry.place = "ready"
                self._confirm.append(entry)
            elif self._may_look(entry, now):
                self._ready.add(entry)
            else:
                self._put_off(entry, now)
        self._rounds.pay(now, self.hurry)
        if len(self._confirm) < _TO_CONFIRM:
            self._rounds.begin_due(now)

    def work(self) -> int:
        """Count what could be asked now, if there were openings; a little too much at times."""
        if not self.breaker.admits(self._clock.now()):
            return 0
        return min(1, self._held()) if self.breaker.is_open else self._held()

    def pick(self) -> Entry | Chunk | None:
        """Take out what is to be asked next: confirmations, bulk looks, then by worth.

        Bulk looks come first while little is to be confirmed.
        """
        now = self._clock.now()
        if not self.breaker.admits(now):
            return None
        picked = self._pick(now)
        if picked is not None:
            self.breaker.sent()
        return picked

    def next_due(self) -> float:
        """Give the time at which there may be more to ask than there is now."""
        due = self._agenda.next_due()
        if len(self._confirm) < _TO_CONFIRM:
            # Until then no round begins, however long it has been due.
            due = min(due, self._rounds.next_due())
        if self._held() and not self.breaker.admits(self._clock.now()):
            # Once its time has come a probe is work, which may have to stand in line for long.
            due = min(due, self.breaker.next_probe)
        return due

    def _held(self) -> int:
        return len(self._confirm) + len(self._rounds.chunks) + len(self._ready)

    def _pick(self, now: float) -> Entry | Chunk | None:
        picked: Entry | Chunk | None = None
        if len(self._confirm) < _TO_LIST:
            picked = self._next_chunk(now)
        picked = picked or self._next_to_confirm() or self._next_chunk(now) or self._ready.pop(now)
        if isinstance(picked, Entry):
            picked.place = "asked"
        return picked

    def _next_to_confirm(self) -> Entry | None:
        while self._confirm:
            entry = self._confirm.popleft()
            if entry.place == "ready":
                return entry
        return None

    def _next_chunk(self, now: float) -> Chunk | None:
        while self._rounds.chunks:
            chunk = self._rounds.chunks.popleft()
            if any(swept.place != "gone" for swept in chunk.entries):
                return chunk
            chunk.crowd.sweep.answered(now, 0)  # everybody has left meanwhile
        return None

    def _may_look(self, entry: Entry, now: float) -> bool:
        """Tell whether a job that bulk looks look for may be looked at by itself besides."""
        if not entry.crowd.is_sweeping(entry) or is_ending(entry.ref, self._clock.wall()):
            return True
        sweep, law = entry.crowd.sweep, self._laws.whole(entry, now)
        return sweep.pay(now) or sweep.is_overdue(law, now - entry.started_at, entry.looks)
