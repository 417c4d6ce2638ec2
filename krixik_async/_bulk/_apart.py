"""Outputs saved where inputs are looked for would be taken for inputs, in this run or the next.

Outputs lie directly in the folder that is named for them. So it must be none that a folder or
pattern takes files from, which its name tells: nothing is left out of the inputs in silence, and
nothing about outputs need be remembered.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from krixik_async._bulk._patterns import fits, has_wildcard
from krixik_async._errors import InvalidArgument


def check_apart(source: str, directory: Path) -> None:
    """Raise InvalidArgument if outputs in `directory` may be files of this folder or pattern."""
    if takes_from(source, directory):
        raise InvalidArgument(
            f"local_save_directory {str(directory)!r} is a folder that the files are taken from, "
            f"by {source!r}: outputs would be taken for inputs; name another folder"
        )


def takes_from(source: str, directory: Path) -> bool:
    """Tell whether a folder or pattern takes files that lie directly in `directory`.

    False for a single file; whatever of a file's own name a pattern wants does not count.
    """
    if "\0" in source:
        return False  # no name of anything: it is refused when it is looked for
    target = Path(os.path.realpath(directory))
    # `os.path` rather than Path: what cannot be a name, being too long, is no reason to raise here.
    if os.path.exists(source) or not has_wildcard(source):  # noqa: PTH110
        return target == Path(os.path.realpath(source))
    *folders, name = Path(source).parts
    if name == "**":  # any depth, as glob has it
        folders.append(name)
    fixed = next((n for n, part in enumerate(folders) if has_wildcard(part)), len(folders))
    root = Path(os.path.realpath(Path(*folders[:fixed])))
    return _fits((*root.parts, *folders[fixed:]), target.parts)


def _fits(patterns: Sequence[str], parts: Sequence[str]) -> bool:
    """Tell whether a folder's parts are what a pattern of folders stands for."""
    if not patterns or not parts:
        return not parts and all(pattern == "**" for pattern in patterns)
    first, *others = patterns
    if first == "**":
        return _fits(others, parts) or (fits(parts[0], "*") and _fits(patterns, parts[1:]))
    return fits(parts[0], first) and _fits(others, parts[1:])
