"""What a policy will do, in words and numbers.

Pure: no clock, no randomness.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile

import attrs

from krixik_async._law import Law
from krixik_async._timing import looks_and_delay

SHOWN = 8
# Looks at a job that is as good as surely done by then are not followed up.
ALMOST_NONE = 1e-4
MOST_LOOKS = 10_000


@attrs.frozen
class Explanation:
    """Tell when a policy looks at a job, and why; `str()` puts it in a few lines.

    `looks_at` are the first eight looks, as ages of the job (in its stage) in seconds.
    `expected_looks` and `expected_delay_s` are for the rest of the job's life, and `ends_at_s` are
    the ages by which 50 % and 95 % of such jobs end; None while nothing is known of such jobs.
    """

    reason: str
    looks_at: tuple[float, ...]
    known_jobs: int = 0
    expected_looks: float | None = None
    expected_delay_s: float | None = None
    ends_at_s: tuple[float, float] | None = None

    def __str__(self) -> str:
        shown = ", ".join(f"{at:.3g}" for at in self.looks_at)
        lines = [f"asks {self.reason}", f"at an age of {shown} s ..."]
        if self.ends_at_s is not None:
            half, most = self.ends_at_s
            ends = f"half of such jobs end by {half:.3g} s, 95 % by {most:.3g} s"
            lines.append(f"{ends} (known from {self.known_jobs})")
            looks = f"{self.expected_looks:.3g} looks"
            lines.append(f"expected: {looks}, {self.expected_delay_s:.3g} s of delay")
        return "\n".join(lines)


def explanation(
    reason: str, delay: Callable[[float, int], float], law: Law | None, *, age_s: float
) -> Explanation:
    """Follow a schedule, `delay(age, looks so far)`, from `age_s` to the end of the law.

    Beyond 10,000 looks it is taken to look once more, at the law's end.
    """
    looks: list[float] = []
    age = age_s
    end = age_s if law is None else law.quantile(1.0 - ALMOST_NONE, after_s=age_s)
    while len(looks) < SHOWN or (age < end and len(looks) < MOST_LOOKS):
        age += delay(age, len(looks) + 1)
        looks.append(age)
    shown = tuple(looks[:SHOWN])
    if law is None or law.survival(age_s) <= 0:
        return Explanation(reason, shown)
    inside = [*takewhile(lambda at: at < law.times[-1], looks), law.times[-1]]
    expected_looks, expected_delay_s = looks_and_delay(law, inside, after_s=age_s)
    return Explanation(
        reason,
        shown,
        int(law.known),
        expected_looks,
        expected_delay_s,
        (law.quantile(0.5, after_s=age_s), law.quantile(0.95, after_s=age_s)),
    )
