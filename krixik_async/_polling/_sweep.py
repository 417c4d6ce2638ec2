"""The bulk look: one list request sees five hundred jobs.

A list shows finished files only. So where many jobs of one pipeline wait, their ids are swept by
list, and each that turns up is asked for once, for its authoritative flags. 10,000 jobs of 20 s
each cost 75,000 requests if they are asked every 3 s; like this, little more than 10,000, with a
third of the delay.

What a list does not show may be unfinished, failed, deleted or lagging behind: nothing follows from
an absence. Failed and deleted jobs are found by a slow schedule of status requests underneath,
most of which fall after the learned 99th percentile, when a job that is still unseen is odd; and
by early probes of a few, for what fails tends to fail early. Both are paid from a purse that a
fiftieth of the requests goes into; a look that finds a job ended is not charged.

Is a list to be trusted? Each sweep carries a few ids that a status has called complete before (the
canaries). One that is missing is asked for: if its status still says complete, list and status
really disagree. After three sweeps like that in a row, or three that failed, it is off for five
minutes.

How often: a round of c requests every t seconds, while jobs end at the rate a, costs c / t
requests and a t / 2 seconds of delay each second; worth w seconds of delay a request, that is
least at t = sqrt(2 w c / a).

Pure: `now` is monotonic seconds.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Sequence

from krixik_async._law import Law
from krixik_async._models import JobRef

# The service takes at most 500 ids a list (official documentation, 2026-11); five are canaries.
IDS_A_LIST = 500
CANARIES = 5
JOBS_A_LIST = IDS_A_LIST - CANARIES
# On from so many jobs, and off again when so few are left that a sweep saves little.
ON_FROM, OFF_BELOW = 50, 4
BAD_LIMIT = 3
OFF_S = 300.0
# What a list request is worth, in seconds of delay of one job. Chosen so that 10,000 jobs around
# 20 s (lognormal, sigma 0.25 to 1) cost 1.1 requests each at a mean delay of half a second.
LIST_WORTH_S = 10.0
ROUND_S = (0.25, 1.0)
# However calm it is, a round falls in each tenth of the jobs' age.
ROUND_SHARE = 0.05
# Lists take at most half of a limited rate: what they find has to be asked for as well.
RATE_SHARE = 0.5
# The rate expected counts for at most so many times the rate seen.
TRUST = 1.5
PURSE_SHARE, PURSE_START, PURSE_MAX = 0.02, 5.0, 50.0
# And a little with time, so that it is never empty for good; and three for two whose look found a
# job ended: where there was one there are more. (With three for one, 10,000 jobs of lognormal 20 s,
# sigma 0.5, of which 5 % fail, cost 1.15 requests each in place of 1.11.)
PURSE_PER_S, PURSE_FOUND = 0.1, 1.5
EARLY_SHARE = 0.05
SLOW_S = 30.0
# A job so many times as old as it should be is asked for whatever is in the purse.
LONG_OVERDUE, UNKNOWN_OVERDUE = 3.0, 16.0


class Sweep:
    """Decide when the jobs of one pipeline are swept, and how much else they are asked."""

    def __init__(self, *, enabled: bool) -> None:
        self.on = False
        # Requests of the round under way that are not answered yet.
        self.under_way = 0
        self.next_round = -math.inf
        self.canaries: deque[JobRef] = deque(maxlen=CANARIES)
        self._enabled = enabled
        self._off_until = -math.inf
        self._bad = 0
        self._purse = PURSE_START
        self._paid_at = -math.inf
        self._began = -math.inf
        self._turned_up = 0
        self._per_s = 0.0
        self._round_s = ROUND_S[1]

    @property
    def off_until(self) -> float:
        """Give the time from which it may be on again."""
        return self._off_until

    def settle(self, jobs: int, now: float) -> bool:
        """Go on or off by the number of jobs that could be swept; tells whether it did."""
        wanted = (
            self._enabled and now >= self._off_until and jobs >= (OFF_BELOW if self.on else ON_FROM)
        )
        changed = wanted != self.on
        self.on = wanted
        if changed and wanted:
            self.next_round = now
        return changed

    # --- rounds ------------------------------------------------------------------------------

    def begin(
        self, now: float, requests: int, *, age_s: float, expected_per_s: float, rate: float | None
    ) -> None:
        """Begin a round of so many requests.

        `age_s` is how old the jobs are about, `expected_per_s` how many should end a second by what
        was learned, `rate` the requests per second that are allowed.
        """
        if self._began > -math.inf:
            seen = self._turned_up / max(1e-6, now - self._began)
            self._per_s = (self._per_s + seen) / 2.0
        self._began, self._turned_up = now, 0
        self.under_way = requests
        if self._per_s > 0.0:
            # What is learned from the first to end is too quick for the rest: seeing is believing.
            expected_per_s = min(expected_per_s, TRUST * self._per_s)
        per_s = max(self._per_s, expected_per_s, 1e-9)
        longest = max(ROUND_S[1], ROUND_SHARE * age_s)
        best = math.sqrt(2.0 * LIST_WORTH_S * requests / per_s)
        self._round_s = min(longest, max(ROUND_S[0], best))
        if rate is not None:
            self._round_s = max(self._round_s, requests / (RATE_SHARE * rate))

    def answered(self, now: float, turned_up: int) -> None:
        """Learn that one of its requests was answered, or failed."""
        self._turned_up += turned_up
        self.under_way -= 1
        if not self.under_way:
            self.next_round = max(now, self._began + self._round_s)

    def agreed(self) -> None:
        """Learn that a list showed what it had to show."""
        self._bad = 0

    def disagreed(self, now: float) -> bool:
        """Learn that a list was wrong, or failed; tells whether that is the end of it for now."""
        self._bad += 1
        if self._bad < BAD_LIMIT:
            return False
        self._bad = 0
        self._off_until = now + OFF_S
        return True

    # --- the slow schedule underneath --------------------------------------------------------

    def earn(self) -> None:
        """Put a request's share into the purse."""
        self._purse = min(PURSE_MAX, self._purse + PURSE_SHARE)

    def found(self) -> None:
        """Pay back a look that found a job ended, and pay for more of the kind."""
        self._purse = min(PURSE_MAX, self._purse + PURSE_FOUND)

    def give_back(self) -> None:
        """Put back what a look would have cost that was not needed."""
        self._purse += 1.0

    def pay(self, now: float) -> bool:
        """Take a look at a job that the sweep does not show out of the purse, if it is in there."""
        since = now - self._paid_at if self._paid_at > -math.inf else 0.0
        self._paid_at = now
        self._purse = min(PURSE_MAX, self._purse + PURSE_PER_S * since)
        if self._purse < 1.0:
            return False
        self._purse -= 1.0
        return True

    @staticmethod
    def is_overdue(law: Law | None, age_s: float, looks: int) -> bool:
        """Tell whether a job is so old that it is looked at whatever is in the purse."""
        if law is None:
            return age_s >= SLOW_S * UNKNOWN_OVERDUE ** (looks + 1)
        return age_s >= LONG_OVERDUE * law.quantile(0.99) + SLOW_S

    def slow_delay(
        self, law: Law | None, age_s: float, rng: random.Random, *, early: bool
    ) -> float:
        """Give the seconds until a job is looked at by itself.

        `early` for one that was never looked at: a few of those are probed early.
        """
        due = SLOW_S if law is None else law.quantile(0.99)
        if early and rng.random() < EARLY_SHARE:
            soon = 10.0 if law is None else law.quantile(0.5)
            if age_s < soon:
                return rng.uniform(0.0, soon - age_s)
        if early and age_s >= due:
            return rng.uniform(0.0, SLOW_S)
        if age_s < due:
            return due - age_s + rng.uniform(0.0, SLOW_S * 0.8)
        return max(SLOW_S, age_s / 2.0) * rng.uniform(0.8, 1.2)


def expected_per_s(sample: Sequence[tuple[float, Law | None]], jobs: int) -> float:
    """Give how many of `jobs` should end in the next second, from (age, law) of some of them.

    What was learned counts for as many jobs as it was learned from: of a crowd that was sent at
    one time the first to end are not like the rest.
    """
    per_s = 0.0
    for age, law in sample:
        left = 0.0 if law is None else law.survival(age)
        if law is not None and left > 0.0:
            chance = 1.0 - law.survival(age + 1.0) / left
            per_s += jobs / len(sample) * chance / (1.0 + jobs / law.known)
    return per_s
