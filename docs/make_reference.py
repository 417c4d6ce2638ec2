"""Write docs/reference.md, or the file that is named, from the docstrings.

One section for each public name of `krixik_async`, `krixik_async.server` and
`krixik_async.testing`: the signature as the source has it, the docstring, and for classes their
fields, methods and properties; errors last, then the types of `krixik_async.typing`.
Nothing is written by hand, so a page that is out of date is a failing test.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs

PAGE = Path(__file__).with_name("reference.md")
FIRST = ("Krixik", "Pipeline", "Job")
MODULES = ("krixik_async", "krixik_async.server", "krixik_async.testing")
WORDS = "krixik_async.typing"
HEAD = """\
# Reference

Made from the docstrings by `make reference`. What is not on this page is not public and may
change in any release. Durations are seconds as floats, times are epoch seconds, sizes are bytes.
"""


def page() -> str:
    """Give the whole page."""
    parts = [HEAD]
    for module in MODULES:
        parts.append(f"\n## {module}\n")
        found = importlib.import_module(module)
        public = {name: getattr(found, name) for name in found.__all__ if name[:2] != "__"}
        for name in sorted(public, key=lambda name: _place(name, public[name])):
            parts.extend(_section(name, public[name]))
    parts.extend(_words())
    return "\n".join(parts).rstrip() + "\n"


def _words() -> Iterator[str]:
    """Give the source of each type that signatures call by a short name."""
    module = importlib.import_module(WORDS)
    yield f"\n## {WORDS}\n"
    yield f"{module.__doc__}"
    sources = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.ImportFrom) and node.module != "__future__":
            source = inspect.getsource(importlib.import_module(str(node.module)))
            for defined in ast.parse(source).body:
                sources[_defined(defined)] = str(ast.get_source_segment(source, defined))
    for name in sorted(module.__all__, key=str.lower):
        yield f"### {name}\n"
        yield _code(sources[name])


def _defined(node: ast.stmt) -> str:
    """Give the name that a class or an annotated assignment defines."""
    if isinstance(node, ast.AnnAssign):
        return ast.unparse(node.target)
    return node.name if isinstance(node, ast.ClassDef) else ""


def _place(name: str, value: object) -> tuple[bool, int, str]:
    """Order what callers hold first, errors last, the rest by name."""
    is_error = inspect.isclass(value) and issubclass(value, BaseException)
    return is_error, FIRST.index(name) if name in FIRST else len(FIRST), name


def _section(name: str, value: object) -> Iterator[str]:
    if inspect.isclass(value):
        yield from _class(name, value)
    elif inspect.isroutine(value):
        yield f"### {name}\n"
        yield _code(_signature(name, value))
        yield _text(value)
    else:
        yield f"### {name}\n"
        yield _code(f"{name} = {str(value).replace('krixik_async.', '')}")


def _class(name: str, value: type) -> Iterator[str]:
    yield f"### {name}\n"
    if issubclass(value, BaseException):
        parents = " and ".join(f"`{parent.__name__}`" for parent in value.__bases__)
        yield f"An error; a kind of {parents}.\n"
    elif attrs.has(value):
        yield _code(_fields(name, value))
    elif "Made by" not in str(value.__doc__):
        yield _code(_signature(name, value))
    yield _text(value)
    for member, found in _members(value):
        yield from _member(member, found)


def _members(value: type) -> Iterator[tuple[str, object]]:
    """Give what a caller may use: of the class and of its parents that have no section here."""
    seen: dict[str, object] = {}
    for parent in reversed(value.__mro__):
        own = parent is value or not issubclass(parent, BaseException)
        if own and parent.__module__.partition(".")[0] == "krixik_async":
            seen.update(vars(parent))
    skipped = {field.name for field in attrs.fields(value)} if attrs.has(value) else set()
    for member, found in seen.items():
        if not member.startswith("_") and member not in skipped:
            yield member, found


def _member(name: str, found: object) -> Iterator[str]:
    if isinstance(found, property):
        returned = inspect.signature(found.fget).return_annotation if found.fget else "?"
        yield f"#### `{name}` -> `{returned}`\n"
        yield _text(found)
        return
    kind = ""
    if isinstance(found, classmethod | staticmethod):
        kind = f"{type(found).__name__}: "
        found = found.__func__
    if inspect.isfunction(found):
        yield f"#### {kind}`{name}`\n"
        yield _code(_signature(name, found))
        yield _text(found)


def _signature(name: str, value: object) -> str:
    """Give `name(arguments) -> result`, an argument a line where one line is too long."""
    try:
        signature = inspect.signature(value)  # type: ignore[arg-type]  # any callable, or ValueError
    except (TypeError, ValueError):
        return name
    before = "async " if inspect.iscoroutinefunction(value) else ""
    shown = [item for key, item in signature.parameters.items() if key not in ("self", "cls")]
    plain = signature.replace(parameters=shown)
    arguments, _, result = f"{plain} ->".partition(") ->")
    result = result.removesuffix(" ->")
    returned = f" -> {result.strip()}" if result and not inspect.isclass(value) else ""
    returned = returned.replace("'", "")
    line = f"{before}{name}{arguments}){returned}".replace("'", "")
    if len(line) <= 96:
        return line
    pieces = _pieces(shown)
    return f"{before}{name}(\n" + "".join(f"    {piece},\n" for piece in pieces) + f"){returned}"


def _pieces(parameters: list[inspect.Parameter]) -> list[str]:
    pieces: list[str] = []
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and not any(p.startswith("*") for p in pieces):
            pieces.append("*")
        pieces.append(str(parameter).replace("'", ""))
    return pieces


def _fields(name: str, value: type) -> str:
    lines = [
        f"    {field.name}: {field.type}" + _default(field.default)
        for field in attrs.fields(value)
        if field.init and not field.name.startswith("_")
    ]
    return f"{name}(\n" + "".join(f"{line},\n" for line in lines) + ")"


def _default(default: object) -> str:
    if default is attrs.NOTHING:
        return ""
    return " = ..." if isinstance(default, attrs.Factory) else f" = {default!r}"  # type: ignore[arg-type]  # attrs types Factory as a function


def _text(value: object) -> str:
    """Give the docstring; its sections (`Raises:` ...) as paragraphs."""
    text = inspect.getdoc(value) or ""
    return re.sub(r"^(\w+):\n((?: {4}.*\n?)+)", _as_list, text + "\n", flags=re.MULTILINE)


def _as_list(section: re.Match[str]) -> str:
    body = inspect.cleandoc("\n" + section[2])
    items = re.sub(r"^(?! )", "- ", body, flags=re.MULTILINE)
    return f"{section[1]}:\n\n{items}\n"


def _code(text: str) -> str:
    return f"```text\n{text}\n```\n"


if __name__ == "__main__":
    Path(sys.argv[1] if len(sys.argv) > 1 else PAGE).write_text(page(), encoding="utf-8")
