"""How much text a file may give, and the error that says why a file is not converted."""

from __future__ import annotations

# What a pipeline takes is 2 MiB; eight times that is far from any file that is meant.
MAX_TEXT = 16 * 2**20


class Unconvertible(Exception):
    """Say of a file, as the rest of a sentence, what is wrong with it."""


def check_text(characters: int) -> None:
    """Raise Unconvertible where a file gives more text than is followed."""
    if characters > MAX_TEXT:
        raise Unconvertible(
            f"gives more than {MAX_TEXT} characters of text, and no more are read: "
            "split it into parts"
        )
