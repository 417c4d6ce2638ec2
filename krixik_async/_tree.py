"""The files of a pipeline as a tree of folders: a value, and its drawing as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import attrs

from krixik_async._models import Answer
from krixik_async._reply import JSON

# Folders carry a leading "/", so that a folder and a file of one name stay two.
Branches: TypeAlias = dict[str, "Branches"]


@attrs.frozen(kw_only=True)
class Tree(Answer):
    """Hold the symbolic paths of finished files; iterate over it, read `items`, or draw it."""

    items: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[str]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def to_dict(self) -> dict[str, JSON]:
        """Give the official dict: status_code, then items, which are null where there are none."""
        shape = super().to_dict()
        items = shape.pop("items", None)
        return {"status_code": shape.pop("status_code"), "items": items, **shape}

    def render(self) -> str:
        """Draw the tree: "/" first, then a line a folder ("/name") or file, in order of `items`."""
        return "\n".join(_draw(self.items))


def _draw(paths: Sequence[str]) -> Iterator[str]:
    yield "/"
    # A stack in place of recursion: how deep the folders go is the service's word.
    waiting = _next("", _grow(paths))
    while waiting:
        indent, is_last, name, inside = waiting.pop()
        yield f"{indent}{'└── ' if is_last else '├── '}{name}"
        waiting += _next(f"{indent}{'    ' if is_last else '│   '}", inside)


def _grow(paths: Sequence[str]) -> Branches:
    root: Branches = {}
    for path in paths:
        *folders, name = path.removeprefix("/").split("/")
        branch = root
        for folder in folders:
            branch = branch.setdefault(f"/{folder}", {})
        branch.setdefault(name, {})
    return root


def _next(indent: str, branches: Mapping[str, Branches]) -> list[tuple[str, bool, str, Branches]]:
    """Give a branch's entries, last first, as they come off a stack."""
    entries = list(branches.items())[::-1]
    return [(indent, at == 0, name, inside) for at, (name, inside) in enumerate(entries)]
