"""Tab completes modules where a chain is typed and files where a file is taken, and is quick."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import BashComplete
from click.testing import CliRunner

from krixik_async._catalogue import MODULES
from krixik_async._cli import cli

FILES = ["file:"]


def offered(*words: str) -> list[str]:
    """Give what the last of the words may become: values, or `file:` where the shell looks."""
    complete = BashComplete(cli, {}, "krixik-async", "_KRIXIK_ASYNC_COMPLETE")
    items = complete.get_completions([*words[:-1]], words[-1])
    return [item.value if item.type == "plain" else f"{item.type}:" for item in items]


@pytest.mark.parametrize("command", ["list", "search", "process", "wait", "tree"])
@pytest.mark.parametrize("option", ["-p", "--pipeline"])
def test_a_pipeline_is_a_file_until_it_has_a_sign(command: str, option: str) -> None:
    assert offered(command, option, "boo") == FILES
    assert offered(command, option, "books=key") == ["books=keyword-db"]


@pytest.mark.parametrize(
    ("typed", "modules"),
    [
        ("b=", [f"b={name}" for name in MODULES]),
        ("b=trans", ["b=transcribe", "b=translate"]),
        # what is the only one gets a comma where more may follow, lest the shell ends the word
        ("b=pars", ["b=parser", "b=parser,"]),
        ("b=parser,text", ["b=parser,text-embedder", "b=parser,text-embedder,"]),
        ("b=parser,text-embedder,", ["b=parser,text-embedder,vector-db"]),
        ("b=parser, t", []),
        ("b=keyword-db,", []),
        ("b=nothing,", []),
        ("a=b=vec", ["a=b=vector-db"]),
    ],
)
def test_a_chain_goes_on_with_what_fits(typed: str, modules: list[str]) -> None:
    assert offered("list", "-p", typed) == modules


def test_a_module_is_completed_where_one_is_named() -> None:
    assert offered("modules", "s") == ["sentiment", "summarize"]
    assert offered("serve", "--simulate", "") == [*MODULES, "all"]
    assert offered("serve", "--simulate", "al") == ["all"]
    assert offered("serve", "--simulate", "ocr,") == [f"ocr,{m}" for m in MODULES if m != "ocr"]
    assert offered("serve", "--simulate", "ocr,cap") == ["ocr,caption", "ocr,caption,"]
    every_other = ",".join(name for name in MODULES if name != "ocr")
    assert offered("serve", "--simulate", f"{every_other},o") == [f"{every_other},ocr"]


def test_files_are_left_to_the_shell() -> None:
    assert [offered("process", "tex"), offered("process", "a.txt", "b")] == [FILES, FILES]
    assert [offered("resume", "tok"), offered("process", "--journal", "r")] == [FILES, FILES]


def test_completing_imports_nothing_heavy() -> None:
    """Who presses Tab waits for it."""
    program = (
        "import sys\nfrom click.shell_completion import BashComplete\n"
        "from krixik_async._cli import cli\n"
        "BashComplete(cli, {}, 'k', 'K').get_completions(['list', '-p'], 'b=')\n"
        "heavy = {'anyio', 'asyncio', 'httpx', 'aiohttp', 'rich', 'krixik_async._client'}\n"
        "print(sorted((heavy | {'krixik_async._wire', 'krixik_async.server'}) & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_each_shell(shell: str) -> None:
    done = CliRunner().invoke(cli, ["completion", shell])
    assert (done.exit_code, f"_KRIXIK_ASYNC_COMPLETE={shell}_complete" in done.stdout) == (0, True)


# --- in the shells themselves ----------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Give a PATH that leads to the command as it is here."""
    program = tmp_path / "bin" / "krixik-async"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m krixik_async "$@"\n')
    program.chmod(0o755)
    return f"{program.parent}:{os.environ['PATH']}"


def shell_says(path: str, shell: list[str], program: str) -> str:
    done = subprocess.run(
        shell,
        input=program,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


# What readline hands over: words parted at blanks and at the signs in COMP_WORDBREAKS, and the
# number of the word that Tab was pressed in. What is left in COMPREPLY stands for that word alone.
BASH = """
compopt() { printf 'compopt %s %s\\n' "$@"; }
asked() {
    COMP_CWORD=$(( $# - 1 )) COMP_WORDS=("$@") COMPREPLY=()
    _krixik_async_completion krixik-async
    echo "${COMPREPLY[*]}"
}
eval "$(krixik-async completion bash)"
asked krixik-async mod
asked krixik-async list -p books = key
asked krixik-async list -p books =
asked krixik-async list --pipeline = books = parser,te
asked krixik-async list --api-url http : //localhost : 80 -p books = parser,text-embedder,v
COMP_WORDBREAKS=' '
asked krixik-async list --name= -p books=key
asked krixik-async process tex
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_in_bash_the_parts_of_a_word_are_put_together_again(path: str) -> None:
    """Bash parts books=parser into three words, and takes what comes back for the last of them."""
    assert shell_says(path, ["bash", "--norc"], BASH).splitlines() == [
        "modules",
        "keyword-db",
        " ".join(MODULES),
        "parser,text-embedder parser,text-embedder,",
        "parser,text-embedder,vector-db",
        "books=keyword-db",
        "compopt -o default",
        "",
    ]


FISH = """
krixik-async completion fish | source
complete -C "krixik-async list -p books=parser,te"
complete -C "krixik-async mod"
"""


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish")
def test_in_fish_a_chain_is_not_cut_at_its_commas(path: str) -> None:
    assert shell_says(path, ["fish", "--no-config"], FISH).splitlines() == [
        "books=parser,text-embedder",
        "books=parser,text-embedder,",
        "modules\tList the modules for pipelines, or show one.",
    ]
