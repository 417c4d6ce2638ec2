"""Ask the questions, keep the numbers, write the page; see the package for what and how."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from types import ModuleType

from benchmarks import (
    importing,
    many,
    one_job,
    report,
    requests_per_second,
    results,
    submitting,
    waiting,
)
from benchmarks.processes import ROOT, official_python

QUESTIONS: dict[str, ModuleType] = {
    module.NAME: module
    for module in (requests_per_second, one_job, waiting, many, submitting, importing)
}


def main() -> None:
    """Do as the command line says."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("questions", nargs="*", metavar="QUESTION", help=", ".join(QUESTIONS))
    parser.add_argument("--quick", action="store_true", help="one short round: does it all run?")
    parser.add_argument("--again", action="store_true", help="ask also what was asked already")
    parser.add_argument("--results", type=Path, default=results.FOLDER, metavar="FOLDER")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", metavar="FOLDER")
    parser.add_argument("--report", action="store_true", help="ask nothing, write the page only")
    given = parser.parse_args()
    unknown = set(given.questions) - set(QUESTIONS)
    if unknown:
        parser.error(f"no such question: {', '.join(sorted(unknown))}")
    if not given.report:
        ask(given)
    report.write(given.results, given.docs)
    print(f"written: {given.docs / report.PAGE}")


def ask(given: argparse.Namespace) -> None:
    """Ask what was named, or all that was not asked yet."""
    if official_python() is None:
        print("PARITY_PYTHON is not set: the official client is left out")
    for name, question in QUESTIONS.items():
        named = name in given.questions
        if given.questions and not named:
            continue
        if not (named or given.again) and results.load(given.results, name) is not None:
            print(f"{name}: asked already; name it to ask again")
            continue
        started = time.perf_counter()
        results.save(given.results, name, question.run(quick=given.quick))
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
