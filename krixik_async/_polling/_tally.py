"""What one wait has cost and how late it may have been."""

from __future__ import annotations

from krixik_async._models import WaitStatistics


class Tally:
    """Count for one waiter; a look that several share is counted for each of them."""

    __slots__ = ("_delays_s", "_ended", "_longest_s", "jobs", "lists", "statuses")

    def __init__(self) -> None:
        self.jobs = 0
        self.statuses = 0
        self.lists = 0
        self._ended = 0
        self._delays_s = 0.0
        self._longest_s = 0.0

    def ended(self, delay_s: float) -> None:
        """Count a job that ended in the `delay_s` seconds before it was seen to have."""
        self._ended += 1
        self._delays_s += delay_s
        self._longest_s = max(self._longest_s, delay_s)

    def statistics(self) -> WaitStatistics:
        """Give the counts so far as a value; throttles are not counted here."""
        return WaitStatistics(
            jobs=self.jobs,
            status_requests=self.statuses,
            list_requests=self.lists,
            delay_bound_mean_s=self._delays_s / self._ended if self._ended else 0.0,
            delay_bound_max_s=self._longest_s,
        )
