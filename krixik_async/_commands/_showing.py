"""Files on record, page by page: all of them, or so many and a word that there are more."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

from krixik_async._commands._printing import Printer

if TYPE_CHECKING:
    from krixik_async._paging import Pager
    from krixik_async._reply import JSON

# A search warns of each file that has none of its words: so many ids are shown, and how many more.
_SHOWN = 3
# What a warning names where all files were asked for and there are none.
_EVERYTHING = {"symbolic_directory_paths": ["/*"]}


async def show_all(
    printer: Printer, pager: Pager[Any], most: int | None, lines: Callable[[Any], Iterable[str]]
) -> None:
    """Print what the pager gives: line by line as the pages come, or as one value of JSON.

    `most` is how many items are shown; that there are more is said.
    """
    items: list[JSON] = []
    warnings: list[JSON] = []
    shown, more = 0, ""
    # Pages and not items: one without items warns, too.
    while not more and (page := await pager._pages.next()) is not None:
        warnings += page.answer.warnings
        for item in page.items:
            if shown == most:
                more = f"there are more files than --max-files {most}"
                break
            shown += 1
            if printer.as_json:
                items.append(dict(item.raw))
            else:
                printer.result(None, lines(item))
    end(printer, items, warnings, more)


def end(printer: Printer, items: list[JSON], warnings: Iterable[JSON], more: str) -> None:
    """Print the one value; or, on stderr, what the service warned of and why this is not all."""
    said = _merged(warnings)
    if printer.as_json:
        printer.result({"items": items, "warnings": said, "more": bool(more)}, ())
        return
    for line in [*map(_line, said), *([more] if more else [])]:
        printer.note(None, [f"Warning: {line}"])


def _merged(warnings: Iterable[JSON]) -> list[JSON]:
    """Give what pages warned of, each once: `{"WARNING: not found": [ids]}` as one for all."""
    by_text: dict[str, dict[str, JSON]] = {}
    others: dict[str, JSON] = {}
    for warning in warnings:
        if _names_values(warning):
            for text, values in warning.items():
                by_text.setdefault(text, {}).update((json.dumps(one), one) for one in values)
        else:
            others[json.dumps(warning)] = warning
    merged: list[JSON] = [{text: list(values.values())} for text, values in by_text.items()]
    return merged + list(others.values())


def _names_values(warning: JSON) -> TypeGuard[dict[str, list[JSON]]]:
    return isinstance(warning, dict) and all(isinstance(said, list) for said in warning.values())


def _line(warning: JSON) -> str:
    """Give a warning as people write it."""
    if not _names_values(warning):
        return _word(warning)
    if [*warning.values()] == [[_EVERYTHING]]:
        return "this pipeline has no finished files"
    parts = (f"{text}: {_some(values)}" for text, values in warning.items())
    return "; ".join(parts).removeprefix("WARNING: ")


def _some(values: Sequence[JSON]) -> str:
    shown = ", ".join(map(_word, values[:_SHOWN]))
    return shown if len(values) <= _SHOWN else f"{shown} and {len(values) - _SHOWN:,} more"


def _word(value: JSON) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
