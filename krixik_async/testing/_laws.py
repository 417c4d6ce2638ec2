"""Laws of durations to try policies on: the shapes that jobs have, each with a mean of a minute."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

from krixik_async._law import Law

POINTS = 600
MEAN_S = 60.0


def _lognormal(mean: float, sigma: float) -> Callable[[float], float]:
    normal = NormalDist(math.log(mean) - sigma * sigma / 2, sigma)
    return lambda t: normal.cdf(math.log(t))


def _exponential(t: float) -> float:
    return -math.expm1(-t / MEAN_S)


def _gamma(t: float) -> float:
    x = 3 * t / MEAN_S
    return 1 - math.exp(-x) * (1 + x + x * x / 2)


def _floor(t: float) -> float:
    return -math.expm1(-max(0.0, t - 50) / 10)


def _uniform(t: float) -> float:
    return (t - 20) / 80


def _two_humps(t: float) -> float:
    return (_lognormal(15, 0.2)(t) + _lognormal(105, 0.2)(t)) / 2


def _rare_hump(t: float) -> float:
    return 0.9 * _lognormal(33, 0.25)(t) + 0.1 * _lognormal(303, 0.25)(t)


#: name -> (F, the seconds between which it is tabulated)
SHAPES: dict[str, tuple[Callable[[float], float], float, float]] = {
    "steady": (_lognormal(MEAN_S, 0.05), 45.0, 80.0),
    "lognormal 0.25": (_lognormal(MEAN_S, 0.25), 15.0, 240.0),
    "lognormal 1": (_lognormal(MEAN_S, 1.0), 0.3, 3000.0),
    "exponential": (_exponential, 0.1, 1200.0),
    "gamma": (_gamma, 1.0, 400.0),
    "uniform": (_uniform, 20.0, 100.0),
    "floor and tail": (_floor, 50.0, 200.0),
    "two humps": (_two_humps, 5.0, 260.0),
    "rare hump": (_rare_hump, 10.0, 1200.0),
}


def named_law(name: str) -> Law:
    """Give a law of SHAPES as a table of 600 points; KeyError for any other name."""
    function, low, high = SHAPES[name]
    times = [low * (high / low) ** (i / POINTS) for i in range(POINTS)]
    done = [min(1.0, max(0.0, function(t))) for t in times]
    return Law([0.0, *times, high], [0.0, *done, 1.0])
