"""The types that users see: none of them is Any, and two checkers agree on what users write."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import rich.console

import krixik_async
import krixik_async.typing
from krixik_async import _bulk, _errors, _models, _pipeline, _reply
from krixik_async.server._plan import FaultPlan

ROOT = Path(__file__).parent.parent
# What is imported for type checkers only.
FOR_CHECKERS = {
    "httpx": httpx,
    "Console": rich.console.Console,
    "Pipeline": _pipeline.Pipeline,
    **{name: value for name, value in vars(_models).items() if not name.startswith("__")},
    **{name: value for name, value in vars(_errors).items() if inspect.isclass(value)},
    "BulkStream": _bulk.BulkStream,
    "FaultPlan": FaultPlan,
    "Files": _bulk.Files,
    "JSON": _reply.JSON,
    "OnError": _bulk.OnError,
    "Reply": _reply.Reply,
}


def signatures() -> Iterator[tuple[str, Any]]:
    """Give every public function and method, and every public attribute's owner."""
    for name in sorted(set(krixik_async.__all__) - {"__version__"}):
        value = getattr(krixik_async, name)
        if not inspect.isclass(value):
            yield name, value
            continue
        yield name, value
        for owner in value.__mro__:
            if not owner.__module__.startswith("krixik_async"):
                continue
            for member, found in vars(owner).items():
                shown = not member.startswith("_") or member in ("__init__", "__aiter__")
                shown = shown or member in ("__anext__", "__await__", "__iter__", "__getitem__")
                function = inspect.unwrap(
                    getattr(found, "fget", None) or getattr(found, "__func__", found)
                )
                if shown and inspect.isfunction(function):
                    yield f"{name}.{member}", function


def parts(kind: Any, seen: frozenset[Any] = frozenset()) -> Iterator[Any]:
    """Give a type and everything it is made of."""
    if isinstance(kind, str | typing.ForwardRef):
        return  # JSON, which names itself
    yield kind
    if typing.is_typeddict(kind) and kind not in seen:
        for inner in typing.get_type_hints(kind, localns=FOR_CHECKERS).values():
            yield from parts(inner, seen | {kind})
    for inner in typing.get_args(kind):
        for one in inner if isinstance(inner, list) else [inner]:
            yield from parts(one, seen)


@pytest.mark.parametrize(("name", "value"), [pytest.param(n, v, id=n) for n, v in signatures()])
def test_no_public_signature_holds_any(name: str, value: Any) -> None:
    """Any turns the checker off for whoever calls."""
    hints = typing.get_type_hints(value, localns=FOR_CHECKERS)
    loose = [argument for argument, kind in hints.items() if any(one is Any for one in parts(kind))]
    public = [argument for argument in loose if not argument.startswith("_")]
    assert public == [], name


def test_any_would_be_found_however_deep() -> None:
    """The test above can fail."""

    class Inner(typing.TypedDict):
        x: Any

    for kind in (Any, dict[str, Any], Any | None, typing.Callable[[Any], int], Inner):
        assert any(one is Any for one in parts(kind))
    assert isinstance(int | None, types.UnionType)


def short_names() -> Iterator[str]:
    """Give the aliases, typed dicts and protocols that the package defines anywhere."""
    for path in Path(str(krixik_async.__file__)).parent.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.AnnAssign) and "TypeAlias" in ast.unparse(node.annotation):
                yield ast.unparse(node.target)
            elif isinstance(node, ast.ClassDef):
                parents = " ".join(map(ast.unparse, node.bases))
                # One typed dict may build on another: what they have in common is `total`.
                more = any(keyword.arg == "total" for keyword in node.keywords)
                if more or re.search(r"\bTypedDict\b|\bProtocol\b", parents):
                    yield node.name


def test_every_short_name_of_a_signature_can_be_imported_from_typing() -> None:
    """So that users can annotate functions around ours; and nothing else is in there."""
    made_by_us = {"AsCompleted", "BulkStream", "Job", "Pager", "Pipeline", "Watch", "WaitResult"}
    named = {
        word
        for name, value in signatures()
        if name.removesuffix(".__init__") not in made_by_us
        for one in [value, *(typing.get_overloads(value) if inspect.isfunction(value) else [])]
        for hint in getattr(one, "__annotations__", {}).values()
        for word in re.findall(r"\w+", str(hint))
    }
    # What aliases of those are made of, one layer down.
    inner = {"FileLike", "ModuleOptions"}
    short = {*short_names()} - {*krixik_async.__all__}
    assert (named & short) | inner == {*krixik_async.typing.__all__}
    assert all(hasattr(krixik_async.typing, name) for name in krixik_async.typing.__all__)


def test_overloads_have_no_any_either() -> None:
    for function in (_pipeline.Pipeline.process, krixik_async.Pipeline.semantic_search):
        found = typing.get_overloads(inspect.unwrap(function))
        assert len(found) >= 3
        for one in found:
            hints = typing.get_type_hints(one, localns=FOR_CHECKERS)
            assert not [h for h in hints.values() if any(part is Any for part in parts(h))]


def test_the_second_checker_has_nothing_to_say_of_what_users_write() -> None:
    """Pyright, strict, over tests/typed_calls.py; mypy has all of the code in `make types`."""
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--pythonpath", sys.executable],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (
        0,
        ["0 errors, 0 warnings, 0 informations"],
    )
