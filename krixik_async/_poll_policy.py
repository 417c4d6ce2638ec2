"""When to look at a job next: policies, each of them a tenacity wait strategy.

A policy is asked after each look that found a job unfinished, and gives the seconds until the next
one. Ours read what the state says of the job (`JobView`) and what was learned (`Durations`); any
other tenacity strategy reads what tenacity puts there. A policy may be shared by any number of
jobs and clients: it keeps nothing of a job.

Pure: the clock is in the state, and so is the source of randomness.
"""

from __future__ import annotations

import math
import random
from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Iterable
from weakref import WeakKeyDictionary

import attrs
from tenacity import RetryCallState
from tenacity.wait import wait_base

from krixik_async._durations import ENOUGH_JOBS, Durations
from krixik_async._errors import InvalidArgument, InvalidArgumentType
from krixik_async._explaining import Explanation, explanation
from krixik_async._law import Law
from krixik_async._numbers import number, pause, positive, positives, shown, whole
from krixik_async._timing import Plan, Quantiles, Schedule, growing_interval

# One look is worth a second of delay: of a minute's job with a spread of 25 % that makes about four
# looks and three seconds of delay.
DELAY_WORTH_S = 1.0
# While little is known a look is also what is learned from, and costs only this share of what it is
# worth: rising, with the jobs known, to all of it. While nothing is known, the k-th look falls near
# worth / 8 * k**2 seconds: 13 looks at a job of 20 s, the last 3 s apart.
LEARNING, WELL_KNOWN = 0.25, 16
# Looking at young jobs again soon takes at most so much of the client's rate.
YOUNG_SHARE = 0.5
# An exponential policy and its cap: full growth of 1.5 as the middle of the usual 1.25 to 2.
FIRST_S, FACTOR, CAP_S = 0.5, 1.5, 30.0
JITTER = 0.1
# A look that comes too early by rounding alone is the one that was meant.
ROUNDING = 1e-9


@attrs.define
class JobView:
    """Show a policy the job that it is asked about. Do not keep it: it is refilled for each call.

    `age_s` counts from the submission, or from the first look if that is unknown; `stage_age_s`
    from when the last of the `modules_done` was done; `since_look_s` from the look before this
    one. `looks` is the number so far, with this one; `waiting` is how many jobs the client waits
    for, and `rate_per_s` how many requests per second it may send (None: no limit).
    """

    pipeline: str = ""
    module_count: int | None = None
    modules_done: int = 0
    size_bytes: int | None = None
    age_s: float = 0.0
    stage_age_s: float = 0.0
    since_look_s: float = 0.0
    expires_in_s: float | None = None
    waiting: int = 1
    looks: int = 1
    rate_per_s: float | None = None


class PollState(RetryCallState):
    """Call a policy with this: tenacity's retry state, with the job and what is known of its like.

    `job` is the job asked about, `durations` what was learned so far, `rng` the source of
    randomness. One state may serve any number of jobs in turn.
    """

    def __init__(
        self, durations: Durations | None = None, *, rng: random.Random | None = None
    ) -> None:
        super().__init__(None, None, (), {})  # type: ignore[arg-type]  # not under a retrying
        self.job = JobView()
        self.durations = Durations() if durations is None else durations
        self.rng = random.Random() if rng is None else rng


class PollPolicy(wait_base):
    """Say when to look at a job next. Pass one as `poll=` to a wait.

    `adaptive`, `fixed`, `exponential` and `schedule` make one. To write your own, derive from this
    and define `delay`. Each is a tenacity wait strategy, and can be combined with those.
    """

    def __call__(self, retry_state: RetryCallState) -> float:
        """Give the seconds until the next look; InvalidArgument if `delay` gives no such thing.

        Any tenacity state will do: of one that is not ours the time since its start is the age.
        """
        if isinstance(retry_state, PollState):
            job, durations, rng = retry_state.job, retry_state.durations, retry_state.rng
        else:
            age = max(0.0, retry_state.seconds_since_start or 0.0)
            job = JobView(age_s=age, stage_age_s=age)
            durations, rng = Durations(), random.Random()
        job.looks = retry_state.attempt_number
        return pause(self, self.delay(job, durations, rng))

    @abstractmethod
    def delay(self, job: JobView, durations: Durations, rng: random.Random) -> float:
        """Return the seconds until the next look at a job that was not done at this one.

        They must be 0 or more, and finite. Take randomness from `rng` only, and do not keep `job`.
        """

    def describe(self, job: JobView, durations: Durations) -> str:
        """Say in words how the next look at this job is found."""
        return f"as {type(self).__name__} says"

    def explain(
        self,
        durations: Durations | Iterable[float] | None = None,
        *,
        pipeline: str = "",
        stage: int = 0,
        size_bytes: int | None = None,
        age_s: float = 0.0,
    ) -> Explanation:
        """Say when this policy asks, why, and what that costs, in words (`str`) and numbers.

        `durations` is what a client has learned (`Durations`), or how many seconds such jobs took.
        `age_s` is the age of the job in its present stage, with `stage` modules done. Jitter is
        left out. Raises InvalidArgument or InvalidArgumentType for arguments that are no such
        thing, and if the policy returns no seconds.
        """
        whole("stage", stage, least=0)
        if size_bytes is not None:
            whole("size_bytes", size_bytes, least=0)
        age_s = number("age_s", age_s, "seconds, 0 or more, and finite")
        if not isinstance(durations, Durations):
            took = () if durations is None else positives("durations", durations)
            durations = Durations()
            for seconds in took:
                durations.observe(pipeline, stage, size_bytes, seconds, seconds)
        state = PollState(durations, rng=_Middle())
        state.start_time = 0.0
        job = state.job = JobView(
            pipeline=pipeline,
            modules_done=stage,
            size_bytes=size_bytes,
            age_s=age_s,
            stage_age_s=age_s,
        )

        def delay(age: float, looks: int) -> float:
            job.since_look_s = age - job.age_s
            job.age_s = job.stage_age_s = state.outcome_timestamp = age
            state.attempt_number = looks
            return self(state)

        reason = self.describe(job, durations)
        law = _law_for(job, durations)
        return explanation(reason, delay, None if law is None else law[0], age_s=age_s)

    @staticmethod
    def adaptive(
        delay_worth: float = DELAY_WORTH_S, *, guards: PollGuards | None = None
    ) -> PollPolicy:
        """Ask when it pays, by how long such jobs have taken so far. The default.

        `delay_worth` is how many seconds of delay one look is worth: at 1 it asks once more only if
        that finds a finished job at least a second sooner, on average. A quarter of it asks about
        twice as often, for half the delay. While fewer than five such jobs are known, the schedule
        is a plain one. `guards` bound what a misleading past can cost; `PollGuards.none()` gives
        the bare schedule.
        """
        worth = positive("delay_worth", delay_worth)
        if guards is not None and not isinstance(guards, PollGuards):
            raise InvalidArgumentType(
                f"guards is {shown(guards)} but must be PollGuards(...), PollGuards.none() or None"
            )
        return _Adaptive(worth, PollGuards() if guards is None else guards)

    @staticmethod
    def fixed(seconds: float) -> PollPolicy:
        """Ask every `seconds` seconds."""
        return _Fixed(positive("seconds", seconds))

    @staticmethod
    def exponential(
        first: float = FIRST_S,
        factor: float = FACTOR,
        cap: float = CAP_S,
        *,
        jitter: float = JITTER,
    ) -> PollPolicy:
        """Ask after `first` seconds, then wait `factor` times as long each time, at most `cap`.

        Each interval is varied by up to `jitter` (0 to 1) of it, either way.
        """
        factor = number("factor", factor, "1 or more, and finite")
        if factor < 1:
            raise InvalidArgument(f"factor is {factor} but must be 1 or more, and finite")
        jitter = number("jitter", jitter, "0 to 1", most=1.0)
        return _Exponential(positive("first", first), factor, positive("cap", cap), jitter)

    @staticmethod
    def schedule(ages: Iterable[float]) -> PollPolicy:
        """Ask at these ages of a job, in seconds; then at the interval between the last two."""
        at = positives("ages", ages)
        if not at or list(at) != sorted(set(at)):
            raise InvalidArgument(f"ages are {at} but must be increasing seconds, one at least")
        return _Ages(at)


@attrs.frozen
class PollGuards:
    """Keep an adaptive policy from trusting the past too much. Seconds, and shares of 0 to 1.

    - Looks at a job are at least `shortest_s` apart, and at most `longest_s` or, if that is more,
      `longest_share` of the job's age, which bounds the delay.
    - A share `tail` of the jobs is assumed to end at any time, of any magnitude.
    - Intervals are varied by up to a share `jitter`.
    - A share `probe` of the jobs is looked at early, in case jobs have become faster, or fail.
    - A young job of which nothing is known is looked at again at twice its age, so that quick jobs
      are noticed at once. Over all waiting jobs, these looks are at least `young_s` apart and take
      at most half of the client's rate.
    """

    shortest_s: float = 0.02
    longest_s: float = 10.0
    longest_share: float = 0.15
    tail: float = 0.03
    jitter: float = 0.1
    probe: float = 0.1
    young_s: float = 0.02

    def __attrs_post_init__(self) -> None:
        for name in ("shortest_s", "longest_s", "young_s"):
            number(f"PollGuards: {name}", getattr(self, name), "seconds, 0 or more", most=math.inf)
        for name in ("longest_share", "tail", "jitter", "probe"):
            number(f"PollGuards: {name}", getattr(self, name), "a share, 0 to 1", most=1.0)
        if not self.shortest_s <= self.longest_s or not self.longest_s > 0:
            raise InvalidArgument(f"{self} does not have 0 <= shortest_s <= longest_s")
        if not self.young_s > 0:
            raise InvalidArgument(f"{self} does not have young_s > 0")

    @classmethod
    def none(cls) -> PollGuards:
        """Return guards that do nothing, for the bare schedule, to compare with."""
        return cls(
            shortest_s=0.0,
            longest_s=math.inf,
            longest_share=0.0,
            tail=0.0,
            jitter=0.0,
            probe=0.0,
            young_s=math.inf,
        )

    def longest(self, age_s: float) -> float:
        """Give the longest interval after a look at this age, which is also the longest delay."""
        return max(self.longest_s, self.longest_share * age_s)

    def young(self, job: JobView) -> float:
        """Give the longest interval after a look at a young job: its age, if not too many wait.

        Twice the age each time costs log2 of what it bridges: four looks more at most up to half a
        second, where the plain schedule is as wide.
        """
        apart = self.young_s
        if job.rate_per_s is not None:
            apart = max(apart, 1.0 / (YOUNG_SHARE * job.rate_per_s))
        return max(job.waiting * apart, job.age_s)


@attrs.frozen
class _Fixed(PollPolicy):
    seconds: float

    def delay(self, job: JobView, durations: Durations, rng: random.Random) -> float:
        return self.seconds

    def describe(self, job: JobView, durations: Durations) -> str:
        return f"every {self.seconds:g} s, whatever the job"


@attrs.frozen
class _Exponential(PollPolicy):
    first: float
    factor: float
    cap: float
    jitter: float

    def delay(self, job: JobView, durations: Durations, rng: random.Random) -> float:
        # In logarithms, for factor ** looks leaves the range of a float after some thousand looks.
        steps = (job.looks - 1) * math.log(self.factor)
        if self.first >= self.cap or steps >= math.log(self.cap / self.first):
            interval = self.cap
        else:
            interval = self.first * math.exp(steps)
        return interval * (1.0 + self.jitter * (2.0 * rng.random() - 1.0))

    def describe(self, job: JobView, durations: Durations) -> str:
        return f"{self.factor:g} times later each time, from {self.first:g} to {self.cap:g} s"


@attrs.frozen
class _Ages(PollPolicy):
    ages: tuple[float, ...]

    def delay(self, job: JobView, durations: Durations, rng: random.Random) -> float:
        ahead = bisect_right(self.ages, job.age_s * (1.0 + ROUNDING))
        if ahead < len(self.ages):
            return self.ages[ahead] - job.age_s
        last, before = self.ages[-1], (0.0, *self.ages)[-2]
        gone = math.floor((job.age_s - last) / (last - before) + ROUNDING)
        return max(0.0, last + (gone + 1) * (last - before) - job.age_s)

    def describe(self, job: JobView, durations: Durations) -> str:
        return f"at {len(self.ages)} given ages, then on as far apart as the last two"


@attrs.frozen
class _Adaptive(PollPolicy):
    delay_worth: float
    guards: PollGuards
    # One per law, made when it is first asked for; a law that nobody uses any more goes.
    _schedules: WeakKeyDictionary[Law, Schedule] = attrs.field(
        init=False, factory=WeakKeyDictionary, repr=False, eq=False
    )

    def delay(self, job: JobView, durations: Durations, rng: random.Random) -> float:
        guards, longest = self.guards, self.guards.longest(job.age_s)
        interval = growing_interval(job.age_s, LEARNING * self.delay_worth)
        interval = spacing = min(interval, guards.young(job))
        known = _law_for(job, durations)
        if known is not None:
            law, age = known
            schedule = self._schedule(law)
            at = schedule.next_look(age)
            if at is not None:
                interval = min(longest, at - age)
                spacing = (schedule.next_look(at) or at + interval) - at
                # Not again for a job that was probed: it is an eighth of its interval old.
                if 7 * age < interval and job.modules_done == 0 and rng.random() < guards.probe:
                    interval *= 2.0 ** -(1.0 + 2.0 * rng.random())
        # Of the interval, but not of a long one up to where looks stand close together.
        interval += guards.jitter * min(interval, spacing) * (2.0 * rng.random() - 1.0)
        return min(longest, max(guards.shortest_s, interval))

    def _schedule(self, law: Law) -> Schedule:
        schedule = self._schedules.get(law)
        if schedule is None:
            # A law of its own in any case: holding its key the schedule would keep itself alive.
            tail = self.guards.tail
            guarded = law.with_tail(tail) if tail else Law(law.times, law.done, law.known)
            worth = self.delay_worth * max(LEARNING, min(1.0, law.known / WELL_KNOWN))
            make = Quantiles.best if law.known < ENOUGH_JOBS else Plan
            schedule = make(guarded, worth)
            self._schedules[law] = schedule
        return schedule

    def describe(self, job: JobView, durations: Durations) -> str:
        worth = f"a look being worth {self.delay_worth:g} s of delay"
        known = _law_for(job, durations)
        if known is None:
            young = "" if math.isinf(self.guards.young_s) else "at twice its age at first, then "
            return f"{young}less and less often, nothing being known of such jobs; {worth}"
        law = known[0]
        if law.known < ENOUGH_JOBS:
            return f"by the {law.known:g} such jobs known, each look as likely to find it; {worth}"
        return f"by the cheapest plan for what {law.known:g} such jobs took; {worth}"


def _law_for(job: JobView, durations: Durations) -> tuple[Law, float] | None:
    """Give the law to go by, and the job's age in it: of its stage, or of the whole job."""
    name, size = job.pipeline, job.size_bytes
    for at_least in (ENOUGH_JOBS, 1):
        law = durations.law(name, job.modules_done, size, at_least=at_least)
        if law is not None:
            return law, max(0.0, job.stage_age_s if job.modules_done else job.age_s)
        whole = durations.law(name, 0, size, at_least=at_least) if job.modules_done else None
        if whole is not None:
            return whole, max(0.0, job.age_s)
    return None


class _Middle(random.Random):
    """Draw the middle of every range: no jitter."""

    def random(self) -> float:
        return 0.5
