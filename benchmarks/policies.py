"""What do policies cost? Looks a job and seconds of delay over nine laws, and what guards add.

    python benchmarks/policies.py            prints the tables
    python benchmarks/policies.py --write    puts them into docs/policies.md

Virtual time and fixed seeds: the tables come out the same on every machine. All laws have a mean of
60 s; a look is worth 1 s of delay. It takes a minute or two.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean
from typing import TypeAlias

import attrs
from tenacity import RetryCallState

from krixik_async import Durations, PollGuards, PollPolicy
from krixik_async.testing import Simulation, simulate

Policy: TypeAlias = Callable[[RetryCallState], float]

LAWS = (
    "steady",
    "lognormal 0.25",
    "floor and tail",
    "uniform",
    "gamma",
    "lognormal 1",
    "exponential",
    "two humps",
    "rare hump",
)
SEEDS = 40
PAGE = Path(__file__).parent.parent / "docs" / "policies.md"
BARE = PollGuards.none()
GUARDS = {
    "none": BARE,
    "tail": attrs.evolve(BARE, tail=0.03),
    "jitter": attrs.evolve(BARE, jitter=0.1),
    "probe": attrs.evolve(BARE, probe=0.1),
    "longest interval": attrs.evolve(BARE, longest_s=10.0, longest_share=0.15),
    "all": PollGuards(),
}


def after_twenty(policy: Policy, law: str) -> list[Simulation]:
    """Give what it does on jobs of a law once it knows twenty of them, for forty such twenties."""
    return [
        simulate(policy, law, jobs=100, warm_up=20, learn=False, seed=seed) for seed in range(SEEDS)
    ]


def excess_table() -> Iterator[str]:
    """Give how much more than the optimum the adaptive policy costs, by law and guard."""
    yield "| law | " + " | ".join(GUARDS) + " |"
    yield "|---|" + "---:|" * len(GUARDS)
    for law in LAWS:
        cells = [
            fmean(run.excess for run in after_twenty(PollPolicy.adaptive(guards=guards), law))
            for guards in GUARDS.values()
        ]
        yield f"| {law} | " + " | ".join(f"{100 * cell:.0f} %" for cell in cells) + " |"


def peer_table() -> Iterator[str]:
    """Give looks a job and mean delay of the adaptive policy and of others, by law."""
    policies: dict[str, Policy] = {
        "fixed 3 s": PollPolicy.fixed(3),
        "exponential": PollPolicy.exponential(),
        "adaptive, bare": PollPolicy.adaptive(guards=BARE),
        "adaptive": PollPolicy.adaptive(),
    }
    yield "| law | optimum | " + " | ".join(policies) + " |"
    yield "|---|" + "---:|" * (len(policies) + 1)
    for law in LAWS:
        best = simulate(PollPolicy.fixed(3), law)
        cells = [f"{best.optimal_looks_per_job:.1f} / {best.optimal_mean_delay_s:.1f}"]
        for policy in policies.values():
            runs = after_twenty(policy, law)
            looks = fmean(run.looks_per_job for run in runs)
            cells.append(f"{looks:.1f} / {fmean(run.mean_delay_s for run in runs):.1f}")
        yield f"| {law} | " + " | ".join(cells) + " |"


def learning_table() -> Iterator[str]:
    """Give how the cost above the optimum falls as jobs become known, without guards."""
    policy = PollPolicy.adaptive(guards=BARE)
    known = (0, 2, 5, 10, 20, 50, 200)
    yield "| law | " + " | ".join(f"{count} jobs" for count in known) + " |"
    yield "|---|" + "---:|" * len(known)
    for law in LAWS:
        cells = []
        for count in known:
            runs = [
                simulate(
                    policy,
                    law,
                    jobs=100,
                    learned=Durations(),
                    warm_up=count,
                    learn=False,
                    seed=seed,
                )
                for seed in range(SEEDS // 2)
            ]
            cells.append(f"{100 * fmean(run.excess for run in runs):.0f} %")
        yield f"| {law} | " + " | ".join(cells) + " |"


TABLES = {"excess": excess_table, "peers": peer_table, "learning": learning_table}


def main(*, write: bool) -> None:
    """Make the tables, and print them or put them between their marks on the page."""
    page = PAGE.read_text(encoding="utf-8")
    for name, table in TABLES.items():
        rows = "\n".join(table())
        print(f"{name}\n\n{rows}\n")
        start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, _, rest = page.partition(start)
        page = f"{before}{start}\n{rows}\n{end}{rest.partition(end)[2]}"
    if write:
        PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(write="--write" in sys.argv[1:])
