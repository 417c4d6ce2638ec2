"""The public face: what `krixik_async` gives is what it says it gives, both ways."""

from __future__ import annotations

import ast
import inspect
import pydoc
import subprocess
import sys
from importlib import import_module
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


def static_imports() -> dict[str, str]:
    """Give the module of each name that the source imports for type checkers."""
    [block] = [node for node in ast.parse(SOURCE).body if isinstance(node, ast.If)][:1]
    return {
        alias.name: str(node.module)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_what_type_checkers_see_is_what_is_loaded() -> None:
    """Each name is the very object that the import for type checkers would bring."""
    imported = {
        name: getattr(import_module(module), name) for name, module in static_imports().items()
    }
    assert {name: getattr(krixik_async, name) for name in imported} == imported
    assert {*imported, "__version__"} == set(krixik_async.__all__)


def test_names_are_listed_and_unknown_ones_refused() -> None:
    """`dir`, `import *` and `help` see every name; another is an AttributeError, as ever."""
    assert set(krixik_async.__all__) <= set(dir(krixik_async))
    everything: dict[str, object] = {}
    exec("from krixik_async import *", everything)
    assert set(krixik_async.__all__) <= set(everything)
    assert "class Krixik(" in pydoc.plaintext.document(krixik_async)
    with pytest.raises(AttributeError, match="module 'krixik_async' has no attribute 'Krixx'"):
        krixik_async.Krixx  # type: ignore[attr-defined] # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Krixx'"):
        exec("from krixik_async import Krixx")


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


def has_docstring(name: str) -> bool:
    """Tell a class or function from a type alias or constant."""
    value = getattr(krixik_async, name)
    return inspect.isclass(value) or inspect.isroutine(value)


@pytest.mark.parametrize("name", [name for name in krixik_async.__all__ if has_docstring(name)])
def test_every_exported_name_is_documented(name: str) -> None:
    """Each public class and function says in a docstring of its own what it is."""
    value = getattr(krixik_async, name)
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
    """`krixik_async/__init__.py` is imports, `__all__` and the two functions of PEP 562."""
    *body, loading = ast.parse(SOURCE).body
    others = [
        ast.unparse(node)
        for node in body
        if not isinstance(node, ast.Import | ast.ImportFrom)
        and not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        and not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
        and not (
            isinstance(node, ast.Assign)
            and [ast.unparse(target) for target in node.targets] == ["__all__"]
        )
    ]
    assert others == []
    assert isinstance(loading, ast.If)
    assert [type(node).__name__ for node in loading.body] == ["Assign", *["FunctionDef"] * 2]


def loaded_after(statement: str, *modules: str) -> list[str]:
    """Give those of the modules that a fresh interpreter has loaded after a statement."""
    program = f"import sys\n{statement}\nprint(*sorted({set(modules)} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    return done.stdout.split()


def test_import_brings_in_no_server_and_no_http_stack() -> None:
    """What is heavy waits: for an extra's use, for a client to be made, for the first request."""
    client = "import krixik_async; krixik = krixik_async.Krixik(api_key='k', api_url='http://h')"
    heavy = ("aiohttp", "nltk", "pytest", "starlette", "trio", "uvicorn")
    assert loaded_after("from krixik_async import *", "httpx", "multiprocessing", *heavy) == []
    # httpx itself imports click and rich where they are installed.
    assert loaded_after(client, "httpx", *heavy) == ["httpx"]


def test_a_name_brings_in_its_own_room_and_not_the_whole_house() -> None:
    """So that a command line or a test plugin starts quickly."""
    rooms = ("krixik_async._errors", "krixik_async._client", "krixik_async._models", "anyio")
    assert loaded_after("import krixik_async; krixik_async.__version__", *rooms) == []
    assert loaded_after("from krixik_async import KrixikError", *rooms) == ["krixik_async._errors"]
