"""The files of a pipeline as a tree of folders: a value, and its drawing as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import attrs

from krixik_async._errors import MissingExtra
from krixik_async._models import Answer
from krixik_async._reply import JSON

if TYPE_CHECKING:
    from rich.console import Console

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

    def draw(self, *, console: Console | None = None) -> None:
        """Print the tree with rich, in colour where the terminal has it.

        Without a `console` of yours it goes to standard output. Raises MissingExtra without
        `pip install "krixik-async[cli]"`; `render()` needs nothing.
        """
        try:
            from rich.console import Console
            from rich.text import Text
            from rich.tree import Tree as Drawing
        except ModuleNotFoundError as error:
            raise MissingExtra(
                'drawing a tree needs rich: pip install "krixik-async[cli]", or print what '
                "render() gives"
            ) from error
        # Text, and not str: names are data, not markup.
        drawing = Drawing(Text("/", style="bold blue"), guide_style="dim")
        waiting = [(drawing, name, inside) for name, inside in _grow(self.items).items()]
        for branch, name, inside in waiting:
            style = "bold blue" if name.startswith("/") else ""
            grown = branch.add(Text(name, style=style))
            waiting += [(grown, *entry) for entry in inside.items()]
        (Console() if console is None else console).print(drawing)

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
