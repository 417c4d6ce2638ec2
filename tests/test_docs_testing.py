"""The test functions that docs/testing.md shows are run by pytest, with the plugin."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.test_docs import BLOCK
from tests.test_testing_plugin import run

PAGE = Path(__file__).parent.parent / "docs" / "testing.md"
BLOCKS = [
    block for block in BLOCK.findall(PAGE.read_text(encoding="utf-8")) if "def test_" in block
]


@pytest.mark.parametrize("block", BLOCKS, ids=lambda text: text.partition("def ")[2].split("(")[0])
def test_what_the_page_shows_passes(block: str, pytester: pytest.Pytester) -> None:
    outcomes = run(pytester, block).parseoutcomes()
    assert set(outcomes) == {"passed"}


def test_the_page_shows_tests() -> None:
    assert len(BLOCKS) == 4
