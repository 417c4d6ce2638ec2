"""Every Python example of the README and of docs/ is run, as a reader would run it.

A block that calls `asyncio.run` (or `anyio.run`, `trio.run`) is a whole program. A block with an
`await` at its top level is an excerpt: it finds `krixik` (a client on an embedded server),
`pipeline` (a keyword-db pipeline of it) and `job` (a file sent through that). Any other block is
executed as it stands. Blocks share nothing. The working folder is a copy of the checkout's
`examples/`, in a folder of that name, and the environment names an embedded server that runs.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

import attrs
import pytest

from krixik_async import Krixik
from krixik_async._config import Config, Settings
from krixik_async._wire import Request

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
API_KEY = "5e0d3a1c-8a3f-4a52-9d5b-0c6a7f1e2d34"
#: pages that are all tables
TABLES = {"benchmarks.md", "models.md", "reference.md", "support.md"}
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> Iterator[object]:
    """Give each block with the page and line that it stands on."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in BLOCK.finditer(text):
            line = text.count("\n", 0, found.start(1)) + 1
            yield pytest.param(page, line, found[1], id=f"{page.name}:{line}")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the embedded server as a process of its own and give its URL."""
    command = [sys.executable, "-m", "krixik_async", "serve", "--port", "0", "--api-key", API_KEY]
    command += ["--data-dir", str(tmp_path_factory.mktemp("server"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
        process.terminate()


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Undo what a page sets: at DEBUG, records would keep alive what later tests look for."""
    loggers = [logging.getLogger(name) for name in (None, "krixik_async")]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


async def run_excerpt(code: CodeType) -> None:
    """Run a block that awaits at its top level, with the names such a block may use."""
    async with Krixik.local() as krixik:
        pipeline = krixik.create_pipeline(name="books", module_chain=["keyword-db"])
        job = await pipeline.process(local_file_path="examples/bees.txt")
        names = {"krixik": krixik, "pipeline": pipeline, "job": job}
        result = eval(code, names)
        assert inspect.isawaitable(result)
        await result


@pytest.mark.parametrize(("page", "line", "source"), list(blocks()))
def test_example_runs(
    page: Path,
    line: int,
    source: str,
    server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the page shows works as shown."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KRIXIK_API_KEY", API_KEY)
    monkeypatch.setenv("KRIXIK_API_URL", server)
    padded = "\n" * (line - 1) + source
    code = compile(padded, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if code.co_flags & inspect.CO_COROUTINE:
        asyncio.run(run_excerpt(code))
    else:
        exec(code, {"__name__": "__main__"})


def test_every_page_has_an_example() -> None:
    """A page of the documentation shows code, and this file finds it; tables of facts need none."""
    without = {page.name for page in PAGES if not BLOCK.search(page.read_text(encoding="utf-8"))}
    assert without - TABLES == set()


def anchors(page: Path) -> set[str]:
    """Give the names under which the headings of a page can be linked to, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_links_between_pages_lead_somewhere() -> None:
    """A relative link names a file of the checkout and, after a `#`, a heading of that page."""
    link = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)")
    broken = []
    for page in PAGES:
        for target, anchor in link.findall(page.read_text(encoding="utf-8")):
            there = page.parent / target if target else page
            if not there.exists() or (anchor and anchor not in anchors(there)):
                broken.append(f"{page.name}: {target}#{anchor}")
    assert broken == []


def test_the_readme_is_short_and_shows_code_early() -> None:
    """Problem, claim and working code stand within the first 25 lines of some eighty."""
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert (lines.index("```python") < 25, len(lines) <= 90) == (True, True)


def test_the_bundled_demo_is_ended_quietly_while_it_is_still_loading(tmp_path: Path) -> None:
    """Ctrl-C in the midst of its imports: status 130 and no traceback."""
    (tmp_path / "rich.py").write_text(
        "import os, signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
    )
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "demo.py"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_the_bundled_demo_is_short_enough_to_copy_from() -> None:
    """`examples/demo.py` stays under 200 lines."""
    assert len((ROOT / "examples" / "demo.py").read_text(encoding="utf-8").splitlines()) < 200


def test_the_settings_table_says_what_the_settings_are() -> None:
    """docs/settings.md names every setting with the default that the code has."""
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^\| `(\w+)` \| (\S+) \|", page, re.MULTILINE))
    config = attrs.fields_dict(Config)
    assert documented == {name: str(config[name].default) for name in Settings.__annotations__}


def test_the_documented_time_limits_are_the_endpoints_own() -> None:
    """docs/settings.md tells the limit of one try at each call."""
    limits = {
        kind.endpoint.name: kind.endpoint.attempt_timeout_s for kind in Request.__subclasses__()
    }
    assert limits == {
        "check_in": 15.0,
        "process": 15.0,
        "process_status": 30.0,
        "list": 60.0,
        "keyword_search": 60.0,
        "semantic_search": 60.0,
        "update": 60.0,
        "show_tree": 60.0,
        "check_cap": 60.0,
        "delete": 60.0,
        "fetch_output": 60.0,
    }


def test_the_errors_page_draws_the_tree_that_there_is() -> None:
    """The drawing is the one at the head of `_errors`: each class below its parent."""
    from krixik_async import _errors

    drawn = [line[4:] for line in str(_errors.__doc__).splitlines() if line.startswith("    ")]
    assert "\n".join(drawn) in (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    parents: dict[int, str] = {}
    found: dict[str, str] = {}
    for line in drawn:
        depth, name = re.search(r"\w", line).start(), re.search(r"\w+", line)[0]
        parents[depth] = name
        found[name] = parents.get(depth - 4, "Exception")
    classes = {
        n: c
        for n, c in vars(_errors).items()
        if inspect.isclass(c) and c.__module__ == _errors.__name__
    }
    assert found == {
        name: found_class.__bases__[0].__name__ for name, found_class in classes.items()
    }
