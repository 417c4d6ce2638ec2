"""docs/reference.md is what the docstrings say now."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_reference_is_up_to_date(tmp_path: Path) -> None:
    """`make reference` would change nothing."""
    made = tmp_path / "reference.md"
    subprocess.run([sys.executable, ROOT / "docs" / "make_reference.py", made], check=True)
    now, then = made.read_text("utf-8"), (ROOT / "docs" / "reference.md").read_text("utf-8")
    assert then == now, "docs/reference.md is out of date: run `make reference`"
