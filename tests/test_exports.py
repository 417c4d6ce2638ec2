"""The public face: what `krixik_async` gives is what it says it gives, both ways."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import krixik_async

SOURCE = Path(krixik_async.__file__).read_text(encoding="utf-8")


def test_every_exported_name_is_there() -> None:
    """`__all__` names nothing that is missing."""
    missing = [name for name in krixik_async.__all__ if not hasattr(krixik_async, name)]
    assert missing == []


def test_all_is_sorted_and_has_no_doubles() -> None:
    """`__all__` reads in one order, each name once."""
    assert list(krixik_async.__all__) == sorted(set(krixik_async.__all__))


def test_nothing_public_is_left_out_of_all() -> None:
    """A name that is imported without an underscore is in `__all__`."""
    public = {
        name
        for name, value in vars(krixik_async).items()
        if not name.startswith("_") and not inspect.ismodule(value) and name != "annotations"
    }
    assert public <= set(krixik_async.__all__)


def test_every_error_is_exported() -> None:
    """A class that a caller may have to catch can be imported from the top."""
    from krixik_async import _errors

    errors = {
        name
        for name, value in vars(_errors).items()
        if inspect.isclass(value)
        and issubclass(value, BaseException)
        and not name.startswith("_")
        and value.__module__ == _errors.__name__
    }
    assert errors <= set(krixik_async.__all__)


@pytest.mark.parametrize("name", sorted(set(krixik_async.__all__) - {"__version__"}))
def test_every_exported_name_is_documented(name: str) -> None:
    """Each public class and function says in a docstring of its own what it is."""
    value = getattr(krixik_async, name)
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        pytest.skip("a type alias or constant has no docstring of its own")
    assert (value.__doc__ or "").strip() != ""
    undocumented = [
        member
        for member, found in vars(value).items()
        if inspect.isclass(value)
        and not member.startswith("_")
        and (inspect.isfunction(found) or isinstance(found, property | classmethod | staticmethod))
        and not inspect.getdoc(getattr(value, member))
    ]
    assert undocumented == []


def test_init_defines_nothing() -> None:
    """`krixik_async/__init__.py` is a docstring, imports and `__all__`, nothing else."""
    others = [
        ast.unparse(node)
        for node in ast.parse(SOURCE).body
        if not isinstance(node, ast.Import | ast.ImportFrom)
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        and not (
            isinstance(node, ast.Assign)
            and [ast.unparse(target) for target in node.targets] == ["__all__"]
        )
    ]
    assert others == []


def test_import_brings_in_no_server_and_no_http_stack() -> None:
    """`import krixik_async` needs no extra and leaves the heavy libraries for first use."""
    # httpx itself imports click and rich where they are installed.
    heavy = {"aiohttp", "nltk", "pytest", "starlette", "trio", "uvicorn"}
    program = f"import sys, krixik_async; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == "[]\n"
