"""Who is still at work: workers are heard of by their heartbeats, and those are counted.

No clock is asked. A lease "until ten past" ends too early where the clock is set forward, or is
another one, and an hour late where it is set back. Instead each worker counts its heartbeats in
the journal, and with each of its own looks whether the others have gone on. One that has not, for
several of its own in a row, is given up. Whoever is suspended together with the others (a laptop
that is closed, a container that is paused) has not beaten meanwhile, and gives nobody up.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

# A worker beats this often, in seconds of its own monotonic clock.
HEARTBEAT_S = 15.0
# For so many heartbeats of one's own in a row nothing is heard of a worker that is given up.
MISSED_MOST = 4
LEASE_S = MISSED_MOST * HEARTBEAT_S


@attrs.frozen
class Beat:
    """Hold what the journal says of a worker: how often it has beaten, and when last.

    That time, epoch seconds, is for whoever looks only once and has nothing else to go by.
    """

    worker: int
    beats: int
    heard_at: float


class Leases:
    """Know which of the other workers are given up."""

    def __init__(self) -> None:
        self._heard: dict[int, tuple[int, int]] = {}

    def listen(self, workers: Iterable[Beat]) -> None:
        """Take in what the journal says of the workers; once with each heartbeat of one's own."""
        heard = {}
        for one in workers:
            beats, missed = self._heard.get(one.worker, (None, 0))
            heard[one.worker] = one.beats, missed + 1 if beats == one.beats else 0
        self._heard = heard

    def judge(self, workers: Iterable[Beat], now: float) -> None:
        """Judge the workers by a single look, at `now`: by the clock, for want of better."""
        self._heard = {
            one.worker: (one.beats, MISSED_MOST if now - one.heard_at >= LEASE_S else 0)
            for one in workers
        }

    def has_ended(self, worker: int, beats: int) -> bool:
        """Tell whether a worker, who has beaten so often by now, is given up."""
        heard, missed = self._heard.get(worker, (beats, 0))
        return heard == beats and missed >= MISSED_MOST
