"""The benchmarks run: what they find is for `make bench`, on a quiet machine, to say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the server needs epoll")


def run(*options: str) -> str:
    environment = {name: said for name, said in os.environ.items() if name != "PARITY_PYTHON"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_question_is_asked_and_its_answer_written(tmp_path: Path) -> None:
    """In its quick form, without the official client: the numbers and the page are there."""
    run("--quick", "--results", str(tmp_path / "results"), "--docs", str(tmp_path))
    questions = ["importing", "many", "one-job", "requests", "submitting", "waiting"]
    assert sorted(path.stem for path in (tmp_path / "results").iterdir()) == questions
    page = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    assert page.count("\n## ") >= len(questions)
    pictures = {path.name for path in tmp_path.glob("*.svg")}
    assert {name for name in pictures if f"]({name})" in page} == pictures != set()
    # Asked already, none is asked again.
    again = run("--quick", "--results", str(tmp_path / "results"), "--docs", str(tmp_path))
    assert again.count("asked already") == len(questions)


def test_the_page_is_what_the_raw_numbers_say(tmp_path: Path) -> None:
    """`docs/benchmarks.md` and its plots are made from `benchmarks/results`, and not by hand."""
    run("--report", "--docs", str(tmp_path))
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {name: (ROOT / "docs" / name).read_bytes() for name in made} == made
