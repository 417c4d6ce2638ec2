"""How would a policy do? Jobs of known durations, looked at in virtual time, no client needed.

Deterministic for a seed (as far as the policy draws from the state's `rng`: tenacity's own
strategies draw from the global one), and fast: no task and no sleep.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence

import attrs
from tenacity import Future, RetryCallState

from krixik_async._durations import Durations
from krixik_async._errors import InvalidArgument, InvalidArgumentType
from krixik_async._law import Law
from krixik_async._numbers import pause, positive, positives, shown, whole
from krixik_async._poll_policy import PollState
from krixik_async._timing import Plan, looks_and_delay, times
from krixik_async.testing._laws import SHAPES, named_law

# More looks than this at one job: the policy does not get anywhere.
MOST_LOOKS = 1_000_000
# Looks that miss the end by rounding alone have not missed it.
ROUNDING = 1e-9


@attrs.frozen
class Simulation:
    """Tell how a policy did; the look that a wait begins with is not counted.

    `cost_s` is delay_worth * looks_per_job + mean_delay_s. The optimum is that of a schedule made
    by dynamic programming with the law of the durations known beforehand, its looks and delay
    expected ones; no policy does better but by chance. `excess` is what `cost_s` is above its cost,
    as a share.
    """

    jobs: int
    delay_worth: float
    looks_per_job: float
    mean_delay_s: float
    delay_95_s: float
    optimal_looks_per_job: float
    optimal_mean_delay_s: float

    @property
    def cost_s(self) -> float:
        """Give what a job cost, in seconds."""
        return self.delay_worth * self.looks_per_job + self.mean_delay_s

    @property
    def optimal_cost_s(self) -> float:
        """Give what a job costs at least, in seconds."""
        return self.delay_worth * self.optimal_looks_per_job + self.optimal_mean_delay_s

    @property
    def excess(self) -> float:
        """Give how much more it cost than it had to: 0.1 is a tenth more."""
        return self.cost_s / self.optimal_cost_s - 1.0

    def __str__(self) -> str:
        return (
            f"{self.looks_per_job:.2f} looks a job, delay {self.mean_delay_s:.2f} s "
            f"(95 %: {self.delay_95_s:.2f} s); at best {self.optimal_looks_per_job:.2f} and "
            f"{self.optimal_mean_delay_s:.2f} s; cost {self.excess:+.0%}"
        )


def simulate(
    policy: Callable[[RetryCallState], float],
    durations: Iterable[float] | str,
    *,
    jobs: int = 1000,
    delay_worth: float = 1.0,
    learned: Durations | None = None,
    warm_up: int = 0,
    learn: bool = True,
    seed: int = 0,
) -> Simulation:
    """Look at one job after another as the policy says, and measure looks and delay.

    `policy` is a `PollPolicy` or any tenacity wait strategy. `durations` are seconds, a job each,
    in this order; or the name of a law with a mean of a minute, of which `jobs` are drawn, evenly
    over its quantiles and in random order: "steady", "lognormal 0.25", "lognormal 1",
    "exponential", "gamma", "uniform", "floor and tail", "two humps", "rare hump".

    The policy begins with what is `learned` and with `warm_up` jobs, drawn from the same durations
    and not measured, and learns on from what its looks see unless `learn` is false. `learned` is
    added to. `delay_worth` weighs a look for `cost_s` and the optimum; it is not handed to the
    policy.

    Raises InvalidArgument for durations that are negative or not finite, none at all, an unknown
    name, a policy that does not get on, or one that gives no seconds, 0 or more and finite; and
    InvalidArgumentType for what is of the wrong type.
    """
    _check(policy, durations, learned)
    whole("jobs", jobs, least=1)
    whole("warm_up", warm_up, least=0)
    whole("seed", seed, least=0)
    delay_worth = positive("delay_worth", delay_worth)
    rng = random.Random(seed)
    law, lasting = _jobs(durations, jobs, rng)
    state = PollState(learned, rng=rng)
    for _ in range(warm_up):
        _follow(policy, state, law.quantile(rng.random()), learn=True)
    seen = [_follow(policy, state, seconds, learn=learn) for seconds in lasting]
    delays = sorted(delay for _, delay in seen)
    best_looks, best_delay = looks_and_delay(law, list(times(Plan(law, delay_worth))))
    return Simulation(
        jobs=len(seen),
        delay_worth=delay_worth,
        looks_per_job=sum(looks for looks, _ in seen) / len(seen),
        mean_delay_s=math.fsum(delays) / len(delays),
        delay_95_s=delays[math.ceil(0.95 * len(delays)) - 1],
        optimal_looks_per_job=best_looks,
        optimal_mean_delay_s=best_delay,
    )


def _check(policy: object, durations: object, learned: object) -> None:
    if isinstance(policy, type) or not callable(policy):
        raise InvalidArgumentType(
            f"policy is {shown(policy)} but must be a PollPolicy, such as PollPolicy.fixed(3), or "
            "a tenacity wait strategy, such as tenacity.wait_fixed(3)"
        )
    if isinstance(durations, bytes) or not isinstance(durations, Iterable):
        raise InvalidArgumentType(
            f"durations is {shown(durations)} but must be an iterable of seconds, or the name of a "
            f"law, one of {[*SHAPES]}"
        )
    if learned is not None and not isinstance(learned, Durations):
        raise InvalidArgumentType(
            f"learned is {shown(learned)} but must be Durations, such as client.durations, or None"
        )


def _jobs(
    durations: Iterable[float] | str, jobs: int, rng: random.Random
) -> tuple[Law, Sequence[float]]:
    if isinstance(durations, str):
        if durations not in SHAPES:
            raise InvalidArgument(
                f"durations is {durations!r} but must be seconds or one of {[*SHAPES]}"
            )
        law = named_law(durations)
        drawn = [law.quantile((i + 0.5) / jobs) for i in range(jobs)]
        rng.shuffle(drawn)
        return law, drawn
    lasting = positives("durations", durations)
    if not lasting:
        raise InvalidArgument("durations is empty but must be seconds, one job at least")
    return Law.of(lasting), lasting


def _follow(
    policy: Callable[[RetryCallState], float], state: PollState, lasting: float, *, learn: bool
) -> tuple[int, float]:
    """Look at one job until it is seen done; give the looks that took and the delay."""
    job = state.job
    age = before = 0.0
    state.start_time = 0.0
    state.outcome = Future(1)
    state.outcome.set_result(None)
    for looks in range(1, MOST_LOOKS):
        job.age_s = job.stage_age_s = state.outcome_timestamp = age
        job.since_look_s = age - before
        state.attempt_number = looks
        before, age = age, age + pause(policy, policy(state))
        if age >= lasting * (1.0 - ROUNDING):
            if learn:
                state.durations.observe(job.pipeline, 0, job.size_bytes, before, age)
            return looks, max(0.0, age - lasting)
    raise InvalidArgument(f"{policy!r} looks at a job of {lasting} s a million times")
