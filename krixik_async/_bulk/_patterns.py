"""Patterns of file names, as shells have them; "**" is any depth.

As `glob` does it, but that "**" does not go through links to folders: one that leads upwards would
name each file forty times, and two of them so often that it never ends.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress

_MAGIC = "*?["


def has_wildcard(text: str) -> bool:
    """Tell whether this is a pattern, or has one in it."""
    return any(sign in text for sign in _MAGIC)


def fits(name: str, pattern: str) -> bool:
    """Tell whether a name is of a pattern; a hidden one only where the pattern says so."""
    hidden = name.startswith(".") and not pattern.startswith(".")
    return not hidden and fnmatch.fnmatch(name, pattern)


def is_file(entry: os.DirEntry[str]) -> bool:
    """Tell whether it is a file, or a link to one.

    A link that leads to itself cannot be followed: it is no file, and no reason to stop.
    """
    try:
        return entry.is_file()
    except OSError:
        return False


def matching(pattern: str) -> Iterator[str]:
    """Give the files that a pattern names, spelled as it is.

    A folder that is not there, or cannot be read, has no files.
    """
    folder, parts = _parted(pattern)
    return _descend(folder, parts)


def _parted(pattern: str) -> tuple[str, list[str]]:
    """Give the folder that stands before the first wildcard, and the parts from there on."""
    parts: list[str] = []
    head = pattern
    while has_wildcard(head):
        head, last = os.path.split(head)
        # "**/**" is any depth once more: it would name each file several times.
        if last and not (last == "**" and parts[:1] == ["**"]):
            parts.insert(0, last)
    return head, parts


def _descend(folder: str, parts: Sequence[str]) -> Iterator[str]:
    part, rest = parts[0], parts[1:]
    if part == "**":
        yield from _descend(folder, rest or ["*"])
        for path in _folders(folder):
            yield from _descend(path, parts)
    elif has_wildcard(part):
        for entry in _entries(folder):
            if not fits(entry.name, part):
                continue
            path = os.path.join(folder, entry.name)  # noqa: PTH118 - spelled as given
            if rest:
                yield from _descend(path, rest)
            elif is_file(entry):
                yield path
    else:
        path = os.path.join(folder, part)  # noqa: PTH118 - ".." is no entry of its folder
        if rest:
            yield from _descend(path, rest)
        elif os.path.isfile(path):  # noqa: PTH113 - of a text
            yield path


def _folders(folder: str) -> Iterator[str]:
    for entry in _entries(folder):
        if entry.name[:1] != "." and entry.is_dir(follow_symlinks=False):
            yield os.path.join(folder, entry.name)  # noqa: PTH118 - spelled as given


def _entries(folder: str) -> list[os.DirEntry[str]]:
    found: list[os.DirEntry[str]] = []
    # Embedded zeros are a ValueError.
    with suppress(OSError, ValueError), os.scandir(folder or ".") as entries:
        found.extend(entries)
    return found
