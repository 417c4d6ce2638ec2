"""The commands, each against an embedded server in this process whose folder lasts."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import json
import os
import pty
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import attrs
import click
import pytest
from click.testing import CliRunner, Result

from krixik_async import (
    FileRecordNotFound,
    JobOutcome,
    JobRef,
    KeywordHit,
    Krixik,
    SaveFailed,
    SemanticHit,
    ServerError,
    WaitResult,
    _errors,
)
from krixik_async._cli import cli
from krixik_async._commands._connecting import Connection
from krixik_async._commands._failing import EXIT_STATUS, INTERRUPTED, exit_status, for_each
from krixik_async._commands._files import _hit_line
from krixik_async._commands._jobs import follow
from krixik_async._commands._printing import Printer, columns
from krixik_async._commands._process import Wanted
from krixik_async._journal import _rows
from krixik_async.testing import Answer, Delay, FaultPlan, ServerProcess
from tests.command_side import PIPELINE, TEXT, UNKNOWN, Shelf, filled_shelf

MOMENT = r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d"
ANYWHERE = Connection(None, None, Printer(as_json=False))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """Make a folder with one finished file."""
    return filled_shelf(tmp_path_factory.mktemp("shelf"), {"/sea/moon.txt": TEXT})


def test_status_tells_each_module(filled: Shelf) -> None:
    done = filled.run("status", "-p", PIPELINE, filled.request_id)
    assert (done.exit_code, done.stdout) == (
        0,
        f"{filled.request_id}  complete  module_1 done\n",
    )


def test_status_as_json_names_the_job_and_not_only_the_call(filled: Shelf) -> None:
    (said,) = filled.json("status", "-p", PIPELINE, filled.request_id)
    assert (said["request_id"], said["overall_status"], said["process_status"]) == (
        filled.request_id,
        "complete",
        {"module_1": True},
    )


def test_wait_prints_what_became_of_each(filled: Shelf) -> None:
    done = filled.run("wait", "-p", PIPELINE, filled.request_id)
    assert (done.exit_code, done.stdout) == (0, f"{filled.request_id}  complete\n")


def test_wait_that_ends_too_early_says_how_to_go_on(filled: Shelf, tmp_path: Path) -> None:
    """Nothing is known of an id that was never seen for 15 seconds: it is pending, status 6."""
    token = tmp_path / "token.json"
    done = filled.run(
        "wait", "-p", PIPELINE, "--timeout", "0.3", "--save-token", str(token), UNKNOWN
    )
    assert (done.exit_code, done.stdout.split()[:2]) == (6, [UNKNOWN, "pending"])
    command = ["krixik-async", "resume", "--local", str(filled.data_dir), str(token)]
    assert done.stderr == f"1 pending: go on with {shlex.join(command)}\n"
    again = CliRunner().invoke(cli, [*command[1:], "--timeout", "0.2"])
    assert (again.exit_code, again.stdout.split()[:2]) == (6, [UNKNOWN, "pending"])


def test_resume_reads_a_token_from_stdin(filled: Shelf) -> None:
    async def token() -> str:
        async with Krixik.local(filled.data_dir) as krixik:
            pipeline = krixik.create_pipeline(name="books", module_chain=["keyword-db"])
            result = await pipeline.wait_until_complete([filled.request_id], timeout=0)
            return WaitResult(
                [attrs.evolve(outcome, state="pending") for outcome in result.values()]
            ).resume_token

    done = filled.run("resume", "-", stdin=asyncio.run(token()) + "\n")
    assert (done.exit_code, done.stdout) == (0, f"{filled.request_id}  complete\n")


@pytest.mark.parametrize("content", [b"hello", b"\x80\x81"])
def test_a_token_that_is_none_is_a_wrong_argument(
    filled: Shelf, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "token").write_bytes(content)
    done = filled.run("resume", str(tmp_path / "token"))
    assert (done.exit_code, done.stderr.startswith("Error: this is no resume token")) == (2, True)


def test_a_token_that_cannot_be_saved_is_told_in_one_line(filled: Shelf, tmp_path: Path) -> None:
    token = tmp_path / "nowhere" / "token"
    options = ["--timeout", "0.2", "--save-token", str(token), UNKNOWN]
    done = filled.run("wait", "-p", PIPELINE, *options)
    assert (done.exit_code, done.stderr) == (
        1,
        f"Error: --save-token '{token}' cannot be written: No such file or directory\n",
    )


def test_list_shows_ids_and_paths(filled: Shelf) -> None:
    done = filled.run("list", "-p", PIPELINE)
    assert done.exit_code == 0
    assert re.fullmatch(rf"{filled.file_id}  {MOMENT}  /sea/moon\.txt\n", done.stdout)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--tag", "kind=prose"], 1),
        (["--tag", "kind=verse"], 0),
        (["--dir", "/sea"], 1),
        (["--name", "moon*"], 1),
        (["--path", "/sea/sun.txt"], 0),
        (["--created-before", "2023-01-02"], 0),
        (["--created-after", "2023-01-02", "--max-files", "1"], 1),
    ],
)
def test_list_takes_what_list_takes(filled: Shelf, options: list[str], found: int) -> None:
    (said,) = filled.json("list", "-p", PIPELINE, *options)
    assert len(said["items"]) == found


def test_warnings_go_to_stderr(filled: Shelf) -> None:
    done = filled.run("list", "-p", PIPELINE, "--file-id", UNKNOWN)
    assert (done.stdout, done.stderr) == (
        "",
        f"Warning: the following file_ids were not found: {UNKNOWN}\n",
    )


def test_a_tag_without_value_is_a_wrong_argument(filled: Shelf) -> None:
    done = filled.run("list", "-p", PIPELINE, "--tag", "prose")
    assert (done.exit_code, done.stderr) == (2, "Error: --tag 'prose' must be KEY=VALUE\n")


def test_search_shows_where_the_words_are(filled: Shelf) -> None:
    done = filled.run("search", "-p", PIPELINE, "harbour")
    assert (done.exit_code, done.stdout) == (
        0,
        "/sea/moon.txt:1: harbour\n/sea/moon.txt:1: harbour\n",
    )


def test_hits_a_file_are_counted_where_meaning_is_searched_alone(filled: Shelf) -> None:
    """-k means nothing to a keyword search, so it is refused rather than ignored."""
    done = filled.run("search", "-p", PIPELINE, "-k", "2", "harbour")
    assert (done.exit_code, done.stdout, done.stderr) == (
        2,
        "",
        (
            "Error: -k counts the hits of a semantic search, and the pipeline's last module is "
            "keyword-db, not vector-db\n"
        ),
    )


def test_fetch_saves_the_output_and_says_where(filled: Shelf, tmp_path: Path) -> None:
    done = filled.run("fetch", "-p", PIPELINE, "--out", str(tmp_path / "new"), filled.file_id)
    saved = tmp_path / "new" / f"{filled.file_id}.db"
    assert (done.exit_code, done.stdout, saved.is_file()) == (0, f"{saved}\n", True)


def test_tree_draws_the_folders(filled: Shelf) -> None:
    assert filled.run("tree", "-p", PIPELINE).stdout == "/\n└── /sea\n    └── moon.txt\n"


def test_what_is_not_there_has_a_status_of_its_own(filled: Shelf) -> None:
    for command in (["status", UNKNOWN], ["fetch", UNKNOWN], ["delete", UNKNOWN]):
        done = filled.run(command[0], "-p", PIPELINE, command[1])
        assert (command, done.exit_code, done.stdout, done.stderr[:7]) == (
            command, 5, "", "Error: ",
        )  # fmt: skip


def test_delete_goes_on_after_a_failure(filled: Shelf, tmp_path: Path) -> None:
    """The file that is there is deleted, the one that is not is named; both ids are tried."""
    import shutil

    copy = attrs.evolve(filled, data_dir=tmp_path / "copy")
    shutil.copytree(filled.data_dir, copy.data_dir)
    done = copy.run("delete", "-p", PIPELINE, UNKNOWN, filled.file_id)
    assert (done.exit_code, done.stdout) == (5, f"deleted {filled.file_id}\n")
    assert copy.json("list", "-p", PIPELINE)[0]["items"] == []


def test_status_and_fetch_go_on_after_a_failure(filled: Shelf, tmp_path: Path) -> None:
    asked = filled.run("status", "-p", PIPELINE, UNKNOWN, filled.request_id)
    assert (asked.exit_code, asked.stdout) == (
        5,
        f"{filled.request_id}  complete  module_1 done\n",
    )
    done = filled.run("fetch", "-p", PIPELINE, "--out", str(tmp_path), UNKNOWN, filled.file_id)
    assert (done.exit_code, done.stdout) == (5, f"{tmp_path / filled.file_id}.db\n")


@pytest.mark.parametrize("pipeline", ["books", "p.txt"])
def test_a_pipeline_is_a_file_or_a_name_and_its_modules(pipeline: str) -> None:
    done = CliRunner().invoke(cli, ["list", "-p", pipeline])
    assert done.exit_code == 2
    assert "NAME=module,module such as books=keyword-db" in done.stderr


def test_a_pipeline_file_serves_too(filled: Shelf, tmp_path: Path) -> None:
    path = tmp_path / "books.yml"
    path.write_text("pipeline:\n  name: books\n  modules:\n  - name: keyword-db\n")
    (said,) = filled.json("list", "-p", str(path))
    assert len(said["items"]) == 1


def test_a_wrong_chain_is_a_wrong_argument(filled: Shelf) -> None:
    done = filled.run("list", "-p", "books=keyword-db,parser")
    assert (done.exit_code, done.stderr[:7]) == (2, "Error: ")


def test_without_credentials_it_says_which(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KRIXIK_API_KEY", "KRIXIK_API_URL", "MY_API_KEY", "MY_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, ["list", "-p", PIPELINE])
    assert (done.exit_code, "KRIXIK_API_KEY" in done.stderr) == (2, True)


def test_modules_lists_all_and_shows_one() -> None:
    lines = CliRunner().invoke(cli, ["modules"]).stdout.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["caption", "json-to-txt", "keyword-db"]
    names = json.loads(CliRunner().invoke(cli, ["modules", "--json"]).stdout)
    assert (len(names), len(lines)) == (11, 11)
    shown = json.loads(CliRunner().invoke(cli, ["modules", "parser"]).stdout)
    assert shown == json.loads(CliRunner().invoke(cli, ["modules", "--json", "parser"]).stdout)


def test_an_unknown_module_suggests_the_nearest() -> None:
    done = CliRunner().invoke(cli, ["modules", "parsr"])
    assert (done.exit_code, "'parser'" in done.stderr) == (2, True)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_for_the_shell(shell: str) -> None:
    done = CliRunner().invoke(cli, ["completion", shell])
    assert (done.exit_code, "_KRIXIK_ASYNC_COMPLETE" in done.stdout) == (0, True)


# --- failing, printing -----------------------------------------------------------------------


def test_every_error_has_an_exit_status() -> None:
    """Each class of the tree is found in the table, and the special before the general."""
    statuses = {
        name: exit_status(kind("x"))
        for name, kind in vars(_errors).items()
        if isinstance(kind, type) and issubclass(kind, _errors.KrixikError)
    }
    assert {
        "InvalidArgument": 2,
        "AuthenticationError": 3,
        "ProcessFailed": 4,
        "RequestVanished": 4,
        "RequestNotFound": 5,
        "WaitTimeout": 6,
        "ServerError": 7,
        "AnswerLost": 8,
        "SubmitUncertain": 9,
        "ClientClosed": 1,
    }.items() <= statuses.items()
    kinds = [kind for kind, _ in EXIT_STATUS]
    shadowed = [
        later.__name__
        for at, later in enumerate(kinds)
        if any(issubclass(later, earlier) for earlier in kinds[:at])
    ]
    assert shadowed == []


def test_without_a_pipeline_it_says_where_one_may_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KRIXIK_PIPELINE", raising=False)
    done = CliRunner().invoke(cli, ["list"])
    assert (done.exit_code, "KRIXIK_PIPELINE" in done.stderr) == (2, True)


def test_the_pipeline_that_the_help_shows_is_one(filled: Shelf) -> None:
    text = " ".join(CliRunner().invoke(cli, ["list", "--help"]).stdout.split())
    shown = re.search(r"its name and modules: (\S+)\.", text)
    assert shown is not None
    assert filled.run("list", "-p", shown[1]).exit_code == 0


def test_columns_line_up_and_nothing_makes_no_line() -> None:
    assert columns([("a", "bb"), ("ccc", "d")]) == ["a    bb", "ccc  d"]
    assert columns([]) == []


def test_the_page_tells_every_command_and_every_status() -> None:
    """docs/command-line.md has a row for each command and for each exit status there is."""
    page = (Path(__file__).parent.parent / "docs" / "command-line.md").read_text(encoding="utf-8")
    assert [name for name in cli.commands if f"| `{name}" not in page] == []
    statuses = {0, INTERRUPTED, *(status for _, status in EXIT_STATUS)}
    assert [status for status in sorted(statuses) if f"\n| {status} |" not in page] == []


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_every_command_and_option_has_help(name: str) -> None:
    command = cli.commands[name]
    options = [found for found in command.params if isinstance(found, click.Option)]
    assert command.help
    assert [option.name for option in options if not option.help] == []


def test_on_a_terminal_a_bar_is_drawn_and_the_pipe_gets_lines(filled: Shelf) -> None:
    """Stderr is a terminal, stdout a pipe: the bar goes to one and the outcome to the other."""
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [
            *[sys.executable, "-m", "krixik_async", "wait", "--local", str(filled.data_dir)],
            *["-p", PIPELINE, filled.request_id],
        ],
        stdout=subprocess.PIPE,
        stderr=theirs,
        timeout=30,
        check=False,
    )
    os.close(theirs)
    drawn = os.read(ours, 100_000).decode()
    os.close(ours)
    assert (done.returncode, done.stdout.decode()) == (0, f"{filled.request_id}  complete\n")
    assert "waiting" in drawn


# --- process ---------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder with two good files, a bad one and a hidden one."""
    made = tmp_path / "texts"
    made.mkdir()
    for name, text in (("b.txt", TEXT * 2), ("a.txt", TEXT), (".hidden.txt", TEXT)):
        (made / name).write_text(text, encoding="utf-8")
    return made


def test_process_sends_waits_and_saves(folder: Path, tmp_path: Path) -> None:
    data, out = str(tmp_path / "data"), tmp_path / "out"
    options = ["--local", data, "-p", PIPELINE, "--keep-names", "--dir", "/Sea", "--tag", "a=b"]
    done = CliRunner().invoke(cli, ["process", *options, "--out", str(out), str(folder)])
    assert done.exit_code == 0, done.output
    words = sorted(line.split() for line in done.stdout.splitlines())
    saved = sorted(map(str, out.iterdir()))
    assert [[first, second, arrow] for first, second, _, arrow, _ in words] == [
        [str(folder / name), "complete", "->"] for name in ("a.txt", "b.txt")
    ]
    assert sorted(last for *_, last in words) == saved
    listed = CliRunner().invoke(cli, ["tree", "--local", data, "-p", PIPELINE])
    assert listed.stdout == "/\n└── /sea\n    ├── b.txt\n    └── a.txt\n" or listed.stdout == (
        "/\n└── /sea\n    ├── a.txt\n    └── b.txt\n"
    )


def test_process_again_with_its_journal_sends_nothing_twice(folder: Path, tmp_path: Path) -> None:
    options = ["--local", str(tmp_path / "data"), "-p", PIPELINE, "--json"]
    options += ["--journal", str(tmp_path / "run.db"), str(folder / "*.txt")]
    first, again = (CliRunner().invoke(cli, ["process", *options]) for _ in range(2))
    said = [
        sorted((json.loads(line) for line in done.stdout.splitlines()), key=lambda v: v["input"])
        for done in (first, again)
    ]
    assert [[value["resumed"] for value in values] for values in said] == [[False] * 2, [True] * 2]
    assert [value["file_id"] for value in said[0]] == [value["file_id"] for value in said[1]]


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
@pytest.mark.parametrize("inputs", ["", "*.txt", "**/*.txt"])
def test_outputs_are_not_saved_where_inputs_are_looked_for(
    folder: Path, tmp_path: Path, inputs: str, dry_run: list[str]
) -> None:
    """Else the same command would take them for inputs the next time."""
    options = ["--local", str(tmp_path / "data"), "-p", PIPELINE, "--out", str(folder), *dry_run]
    done = CliRunner().invoke(cli, ["process", *options, str(folder / inputs)])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "is a folder that the files are taken from" in done.stderr
    named = [str(folder / name) for name in ("a.txt", "b.txt")]
    assert CliRunner().invoke(cli, ["process", *options, *named]).exit_code == 0


# What a shell starts in the background ignores Ctrl-C.
INTERRUPTIBLE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from krixik_async.__main__ import main
main()
"""


@pytest.mark.parametrize(
    ("as_json", "number"),
    [(False, signal.SIGINT), (True, signal.SIGINT), (False, signal.SIGTERM)],
)
def test_an_interrupt_tells_how_to_go_on_waiting_for_what_was_sent(
    folder: Path, tmp_path: Path, as_json: bool, number: signal.Signals
) -> None:
    """Without a journal the ids are known to nobody else: they are told as a command to paste."""
    no_answer = FaultPlan(Delay("process_status", seconds=60))
    with ServerProcess(tmp_path / "data", faults=no_answer, min_module_seconds=100) as server:
        environment = {**os.environ, "KRIXIK_API_KEY": server.api_key}
        options = ["-p", PIPELINE, "--api-url", server.url]

        def begin(*command: str) -> subprocess.Popen[str]:
            return subprocess.Popen(
                [sys.executable, "-c", INTERRUPTIBLE, *command],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )

        with begin("process", *options, *["--json"] * as_json, str(folder)) as sending:
            while server.fault_counts[0]["matched"] < 2:
                assert sending.poll() is None
                time.sleep(0.02)
            sending.send_signal(number)
            out, err = sending.communicate(timeout=30)
        assert (sending.returncode, out) == (130, "")
        *told, last = err.splitlines()
        said = "Interrupted. Jobs that were sent go on."
        if as_json:
            assert json.loads(last) == {
                "error": said, "error_kind": "KeyboardInterrupt", "status_code": None,
            }  # fmt: skip
            said = json.loads(told.pop())
            command = said["command"]
            assert said == {"request_ids": shlex.split(command)[6:], "command": command}
        else:
            assert last == said
            introduction, command = told
            assert introduction == "To go on waiting for what was sent:"
        server.set_faults(FaultPlan())
        program, name, *given, first, second = shlex.split(command)
        assert (program, name, given) == ("krixik-async", "wait", options)
        with begin("status", *options, first, second) as asking:
            out, _ = asking.communicate(timeout=30)
    assert out == f"{first}  ongoing  module_1 waiting\n{second}  ongoing  module_1 waiting\n"


def test_signals_are_as_before_after_a_command_and_left_alone_in_a_thread(
    filled: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python refuses handlers that are set in one."""
    before = signal.getsignal(signal.SIGTERM)
    # What a shell starts in the background ignores Ctrl-C, these tests perhaps.
    ctrl_c = signal.signal(signal.SIGINT, signal.default_int_handler)
    done = [filled.run("list", "-p", PIPELINE)]
    assert signal.getsignal(signal.SIGTERM) is before
    with monkeypatch.context() as background:
        background.setattr(signal, "getsignal", lambda _: signal.SIG_IGN)
        background.setattr(signal, "signal", None)
        done.append(filled.run("list", "-p", PIPELINE))
    thread = threading.Thread(target=lambda: done.append(filled.run("list", "-p", PIPELINE)))
    thread.start()
    thread.join()
    signal.signal(signal.SIGINT, ctrl_c)
    assert [one.exit_code for one in done] == [0, 0, 0]


@pytest.mark.parametrize("as_json", [False, True])
def test_so_does_an_error_that_ends_all(folder: Path, tmp_path: Path, as_json: bool) -> None:
    rejected = FaultPlan(Answer("process_status", status=401))
    with ServerProcess(tmp_path / "data", faults=rejected) as server:
        options = ["-p", PIPELINE, "--api-url", server.url, str(folder / "a.txt")]
        done = CliRunner(env={"KRIXIK_API_KEY": server.api_key}).invoke(
            cli, ["process", *["--json"] * as_json, *options]
        )
    *told, error = done.stderr.splitlines()
    error = json.loads(error)["error"] if as_json else error.removeprefix("Error: ")
    assert (done.exit_code, done.stdout) == (3, "")
    assert "The api key was rejected" in error
    command = json.loads(told[-1])["command"] if as_json else told[-1]
    *before, request_id = shlex.split(command)
    assert before == ["krixik-async", "wait", *options[:-1]]
    assert uuid.UUID(request_id)
    assert told[:-1] == ([] if as_json else ["To go on waiting for what was sent:"])


def test_another_command_is_led_to_the_same_place() -> None:
    local = Connection(None, Path("krixik data"), Printer(as_json=False))
    assert local.options() == ["--local", "krixik data"]


@pytest.mark.parametrize("pattern", ["", "*"])
def test_a_journal_in_the_folder_is_none_of_its_files(
    folder: Path, tmp_path: Path, pattern: str
) -> None:
    options = ["--local", str(tmp_path / "data"), "-p", PIPELINE]
    options += ["--journal", str(folder / "run.db"), str(folder / pattern)]
    for _ in range(2):
        done = CliRunner().invoke(cli, ["process", *options])
        assert (done.exit_code, len(done.stdout.splitlines())) == (0, 2)
    named = CliRunner().invoke(cli, ["process", *options[:-1], str(folder / "run.db")])
    assert (named.exit_code, "extension '.db'" in named.stdout) == (2, True)


def test_a_name_that_is_no_text_is_shown_escaped(folder: Path, tmp_path: Path) -> None:
    """Where stdout takes valid UTF-8 only; in JSON it reads back as the name that it is."""
    odd = folder / b"caf\xe9.txt".decode("utf-8", "surrogateescape")
    odd.write_text(TEXT, encoding="utf-8")
    options = ["process", "--local", str(tmp_path / "data"), "-p", PIPELINE, "--dry-run", str(odd)]
    done = CliRunner().invoke(cli, options)
    assert (done.exit_code, "caf\\udce9.txt  " in done.stdout) == (0, True)
    said = json.loads(CliRunner().invoke(cli, [*options, "--json"]).stdout)
    assert said["input"] == str(odd)


def test_process_goes_on_after_a_bad_file_and_says_so(folder: Path, tmp_path: Path) -> None:
    (folder / "short.txt").write_text("too few words", encoding="utf-8")
    files = [str(folder / name) for name in ("short.txt", "a.txt")]
    done = CliRunner().invoke(
        cli, ["process", "--local", str(tmp_path / "data"), "-p", PIPELINE, *files]
    )
    states = dict(line.split("  ")[:2] for line in done.stdout.splitlines())
    assert (done.exit_code, states) == (2, {files[0]: "error", files[1]: "complete"})


def test_what_was_never_sent_has_no_ids_in_json(folder: Path, tmp_path: Path) -> None:
    options = ["--local", str(tmp_path / "data"), "-p", PIPELINE, "--json"]
    done = CliRunner().invoke(cli, ["process", *options, str(folder / "missing.txt")])
    said = json.loads(done.stdout)
    assert (said["request_id"], said["file_id"]) == (None, None)
    waited = CliRunner().invoke(cli, ["wait", *options, "--timeout", "0", UNKNOWN])
    said = json.loads(waited.stdout)
    assert (said["request_id"], said["file_id"]) == (UNKNOWN, None)


def test_a_pattern_that_nothing_matches_is_no_success(folder: Path, tmp_path: Path) -> None:
    """It fails as a name does that is not there; a folder may be empty, and that is said."""
    options = ["--local", str(tmp_path / "data"), "-p", PIPELINE]
    pattern, empty = str(folder / "*.pdf"), tmp_path / "empty"
    empty.mkdir()
    done = CliRunner().invoke(cli, ["process", *options, pattern])
    assert (done.exit_code, done.stdout.split("  ")[:2]) == (2, [pattern, "error"])
    nothing = CliRunner().invoke(cli, ["process", *options, str(empty)])
    assert (nothing.exit_code, nothing.stdout, nothing.stderr) == (
        0,
        "",
        f"Warning: {empty}: no file in this folder; those below are not read\n",
    )


def test_an_empty_name_does_not_stand_for_the_working_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in `krixik-async process "$UNSET"`: nobody meant to send all that is there."""
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(
        cli, ["process", "--local", str(tmp_path / "data"), "-p", PIPELINE, ""]
    )
    assert (done.exit_code, done.stdout, "FILE is empty" in done.stderr) == (2, "", True)


def test_a_name_that_is_too_long_is_told_in_one_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        cli, ["process", "--local", str(tmp_path / "data"), "-p", PIPELINE, "a" * 300 + ".txt"]
    )
    assert (done.exit_code, done.stdout.rstrip()[-18:]) == (2, "File name too long")


def test_a_folder_that_cannot_be_read_is_told_in_one_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", refuse)  # the tests may run as root, who may read all
    options = ["--local", str(tmp_path / "data"), "-p", PIPELINE]
    done = CliRunner().invoke(cli, ["process", *options, str(folder)])
    assert (done.exit_code, done.stderr) == (
        2,
        f"Error: {str(folder)!r} cannot be read: Permission denied\n",
    )


@pytest.mark.parametrize(("code", "raised"), [(errno.ENOSPC, SaveFailed), (errno.EPIPE, OSError)])
def test_what_stdout_refuses_is_an_error_unless_nobody_reads_any_more(
    monkeypatch: pytest.MonkeyPatch, code: int, raised: type[Exception]
) -> None:
    def refuse(_: str) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(click, "echo", refuse)
    with pytest.raises(raised) as info:
        Printer(as_json=False).result(None, ["line"])
    assert type(info.value) in (SaveFailed, BrokenPipeError)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("command", [["modules"], ["completion", "fish"]])
def test_a_full_disk_under_stdout_is_told_in_one_line(command: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "krixik_async", *command],
            stdout=full, stderr=subprocess.PIPE, encoding="utf-8", check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        1,
        "Error: stdout cannot be written: No space left on device\n",
    )


def test_a_pipe_that_nobody_reads_is_left_without_a_word() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "krixik_async", "modules"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(folder: Path, tmp_path: Path) -> None:
    data, short = str(tmp_path / "data"), str(folder / "c.txt")
    Path(short).write_text("too few words", encoding="utf-8")
    options = ["--local", data, "-p", PIPELINE, "--dry-run"]
    done = CliRunner().invoke(cli, ["process", *options, str(folder)])
    assert (done.exit_code, done.stdout.splitlines()) == (
        2,
        [
            f"{folder / 'a.txt'}  {len(TEXT)} bytes -> /etc/(a generated name)",
            f"{folder / 'b.txt'}  {len(TEXT) * 2} bytes -> /etc/(a generated name)",
            f"{short}  error  local_file_path {short!r} has 3 word(s) but must have at least 6",
        ],
    )
    assert done.stderr == ""
    named = CliRunner().invoke(
        cli, ["process", *options, "--keep-names", "--json", str(folder / "a.txt")]
    )
    said = json.loads(named.stdout)
    assert (said["bytes"], said["request"]["file_name"]) == (len(TEXT), "a.txt")
    listed = CliRunner().invoke(cli, ["list", "--local", data, "-p", PIPELINE, "--json"])
    assert json.loads(listed.stdout)["items"] == []


def test_a_dry_run_refuses_what_comes_twice(folder: Path, tmp_path: Path) -> None:
    file = str(folder / "a.txt")
    options = ["--local", str(tmp_path / "data"), "-p", PIPELINE, "--dry-run"]
    done = CliRunner().invoke(cli, ["process", *options, "--keep-names", file, file])
    first, second = done.stdout.splitlines()
    assert (done.exit_code, first) == (2, f"{file}  {len(TEXT)} bytes -> /etc/a.txt")
    assert "was given twice in one call" in second


def rewritten(connection: sqlite3.Connection, step: str) -> None:
    """Let the only entry of a journal be at this step."""
    (key,) = connection.execute("SELECT key FROM files").fetchone()
    found = _rows.find(connection, key)
    assert found is not None
    values = _rows._values(attrs.evolve(found[0], step=step))
    connection.execute("UPDATE files SET step = :step, checksum = :checksum", values)


def beside(journal: Path) -> dict[str, tuple[bytes, int]]:
    """Give all that there is of a journal."""
    files = journal.parent.glob(f"{journal.name}*")
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_a_dry_run_looks_into_the_journal_and_leaves_no_trace(folder: Path, tmp_path: Path) -> None:
    data, journal, out = str(tmp_path / "data"), tmp_path / "run.db", tmp_path / "out"
    a, b = str(folder / "a.txt"), str(folder / "b.txt")
    options = ["--local", data, "-p", PIPELINE, "--journal", str(journal)]

    def dry(*more: str) -> Result:
        before = beside(journal)
        done = CliRunner().invoke(cli, ["process", *options, "--dry-run", *more, a, b])
        assert beside(journal) == before
        return done

    new = dry().stdout.splitlines()
    assert [line.rpartition("/")[2] for line in new] == ["(a generated name)"] * 2
    assert CliRunner().invoke(cli, ["process", *options, a]).exit_code == 0
    done = dry()
    assert (done.exit_code, done.stdout.splitlines()) == (
        0,
        [f"{a}  complete: sent already, nothing to do", new[1]],
    )
    fetched = dry("--out", str(out)).stdout.splitlines()[0]
    assert fetched == f"{a}  complete: sent already, its output would be fetched"
    assert not out.exists()
    said = [json.loads(line) for line in dry("--json").stdout.splitlines()]
    assert [one["would"] for one in said] == ["skip", "send"]
    assert (said[0]["step"], said[0]["bytes"]) == ("complete", None)
    assert said[0]["request_id"]
    assert said[1]["request"]["pipeline"] == "books"
    assert CliRunner().invoke(cli, ["process", *options, "--out", str(out), a]).exit_code == 0
    assert dry("--out", str(out)).stdout.splitlines()[0].startswith(f"{a}  fetched: sent")
    other = dry("--tag", "a=b")
    assert other.exit_code == 2
    assert "was sent with other arguments" in other.stdout
    journal.write_bytes(b"?")
    damaged = dry()
    assert (damaged.exit_code, damaged.stdout) == (1, "")
    assert f"journal '{journal}' is damaged" in damaged.stderr


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("ticketed", "bytes -> /etc/(a generated name)  (it may have been sent: that would be"),
        ("running", "running: sent already, would be waited for"),
        ("failed", "failed: sent already, nothing to do"),
    ],
)
def test_a_dry_run_tells_what_was_begun(
    folder: Path, tmp_path: Path, step: str, words: str
) -> None:
    """Also what is in the -wal only, as after a kill; and what another process is at.

    It leaves with the status that a run would leave with: 4 for a job that has failed before.
    """
    journal, a = tmp_path / "run.db", str(folder / "a.txt")
    options = ["--local", str(tmp_path / "data"), "-p", PIPELINE, "--journal", str(journal)]
    assert CliRunner().invoke(cli, ["process", *options, a]).exit_code == 0
    command = ["process", *options, "--dry-run", "--out", str(tmp_path / "out"), a]
    with closing(sqlite3.connect(journal, isolation_level=None)) as connection:
        (row,) = connection.execute("SELECT id FROM files").fetchall()
        rewritten(connection, step)
        assert journal.with_name("run.db-wal").stat().st_size
        before = beside(journal)
        done = CliRunner().invoke(cli, command)
        assert (done.exit_code, done.stderr) == (4 if step == "failed" else 0, "")
        assert words in done.stdout
        assert beside(journal) == before
        connection.execute("INSERT INTO workers VALUES (99, '', 0, 1e12)")
        connection.execute("UPDATE files SET owner = 99 WHERE id = ?", row)
        busy = CliRunner().invoke(cli, command).stdout
    assert ("another process is at it" in busy) is (step != "failed")


def test_how_many_files_there_are_is_known_for_names_alone(folder: Path) -> None:
    one = {
        "journal": None, "out": None, "keep_names": False, "max_in_flight": 1, "tag_texts": (),
        "symbolic_directory_path": None, "file_description": None, "expire_time": 1800,
    }  # fmt: skip
    totals = [
        Wanted(files=files, **one).total
        for files in (("a.txt", "b.txt"), (str(folder),), (f"{folder}/*.txt",))
    ]
    assert totals == [2, 0, 0]


# --- a job that fails ------------------------------------------------------------------------


def test_a_failed_job_is_told_by_status_and_wait(folder: Path, tmp_path: Path) -> None:
    """There are no weights for summarize here: status names the module, wait leaves with 4."""
    options = ["--local", str(tmp_path / "data"), "-p", "sums=summarize"]
    sent = CliRunner().invoke(cli, ["process", *options, "--json", str(folder / "a.txt")])
    said = json.loads(sent.stdout)
    assert (sent.exit_code, said["state"]) == (4, "failed")
    asked = CliRunner().invoke(cli, ["status", *options, said["request_id"]])
    assert (asked.exit_code, asked.stdout) == (
        0,
        f"{said['request_id']}  failed at module_1.summarize\n",
    )
    waited = CliRunner().invoke(cli, ["wait", *options, said["request_id"]])
    assert (waited.exit_code, waited.stdout) == (
        4,
        f"{said['request_id']}  failed  module_1.summarize\n",
    )


def test_a_hit_is_a_line_with_its_place() -> None:
    found = KeywordHit(keyword="a", line_number=3, keyword_number=1)
    meaning = SemanticHit(snippet="A\nsnippet.", line_numbers=(2, 3), distance=0.25)
    nowhere = SemanticHit(snippet="Another.", line_numbers=(), distance=0.5)
    assert [_hit_line(hit) for hit in (found, meaning, nowhere)] == [
        "3: a",
        "2: 0.250 A snippet.",
        ": 0.500 Another.",
    ]


class Terminal(io.StringIO):
    """Be a stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_bar_counts_and_leaves_no_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is printed meanwhile goes into the pipe that stdout is."""
    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    with Printer(as_json=False).progress(2, "working") as bar:
        bar.ended(None, ["one"])
        bar.ended(None, ["two"])
    assert ("working" in screen.getvalue(), "2/2" in screen.getvalue()) == (True, True)
    assert capsys.readouterr().out == "one\ntwo\n"


def test_json_draws_no_bar_even_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    with Printer(as_json=True).progress(2, "working") as bar:
        bar.ended({"one": 1}, [])
    assert (screen.getvalue(), capsys.readouterr().out) == ("", '{"one": 1}\n')


def test_on_one_terminal_the_bar_prints_the_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who writes past it writes into the line that it has drawn."""
    monkeypatch.setattr(sys, "stdout", past_it := Terminal())
    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    with Printer(as_json=False).progress(1, "working") as bar:
        bar.ended(None, ["one"])
    assert ("one\n" in screen.getvalue(), past_it.getvalue()) == (True, "")


BOTH_ON_A_TERMINAL = """
from krixik_async._commands._printing import Printer
printer = Printer(as_json=False)
with printer.progress(2, "working") as bar:
    bar.ended(None, ["word " * 30 + "[red]end"])
    printer.note(None, ["a note"])
"""
LINE_BEGINS = "\r\x1b[2K"  # back to its beginning, and it is erased


def test_what_is_printed_on_a_terminal_stands_above_the_bar() -> None:
    """Each line on a line of its own, and as it is: neither wrapped nor read as markup."""
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-c", BOTH_ON_A_TERMINAL],
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
        timeout=30,
        check=False,
    )
    os.close(theirs)
    drawn = b""
    with contextlib.suppress(OSError):  # EIO: the other end is closed and all is read
        while some := os.read(ours, 100_000):
            drawn += some
    os.close(ours)
    text = drawn.decode()
    assert done.returncode == 0
    for line in ("word " * 30 + "[red]end", "a note"):
        assert f"{LINE_BEGINS}{line}\r\n" in text


def test_without_rich_no_bar_is_drawn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Click alone is enough for the command line."""
    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    monkeypatch.setitem(sys.modules, "rich", None)
    with Printer(as_json=False).progress(1, "working") as bar:
        bar.ended(None, ["one"])
    assert (screen.getvalue(), capsys.readouterr().out) == ("", "one\n")


def test_a_stderr_that_takes_nothing_changes_no_exit_status(
    filled: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closed from the start, as by 2>&-, or full: there is nobody to tell, and work goes on."""
    command = ["status", "--local", str(filled.data_dir), "-p", PIPELINE, UNKNOWN]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "krixik_async", *command], stderr=full, check=False, timeout=30
        )
    assert done.returncode == 5
    monkeypatch.setattr(sys, "stderr", None)
    printer = Printer(as_json=False)
    with printer.progress(1, "working") as bar:
        bar.ended(None, [])
        printer.note(None, ["nobody hears it"])


def test_a_line_is_one_line_whatever_a_name_holds(capsys: pytest.CaptureFixture[str]) -> None:
    """What ends a line or commands a terminal is shown, not carried out; in JSON it is kept."""
    name = "new\nline\x1b[31m\x7f\x9b\ttab é.txt"
    Printer(as_json=False).result(None, [name])
    Printer(as_json=True).result({"input": name}, [])
    shown, value = capsys.readouterr().out.splitlines()
    assert shown == "new\\x0aline\\x1b[31m\\x7f\\x9b\ttab é.txt"
    assert json.loads(value) == {"input": name}


def test_failures_of_several_kinds_leave_with_one_status_of_their_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = UNKNOWN.replace("1", "2")
    failures = {UNKNOWN: FileRecordNotFound("none"), other: ServerError("broke")}

    async def act(one: str) -> NoReturn:
        raise failures[one]

    with pytest.raises(click.exceptions.Exit) as left:
        asyncio.run(for_each(Printer(as_json=False), "file_id", failures, act))
    assert (left.value.exit_code, capsys.readouterr().err) == (4, "Error: none\nError: broke\n")


def test_an_id_that_cannot_be_one_is_refused_before_anything_is_sent(filled: Shelf) -> None:
    """Status 2 says that nothing was sent: the file that stands before it is still there."""
    done = filled.run("delete", "-p", PIPELINE, filled.file_id, "no-id")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: file_id is 'no-id' but must be a uuid")
    assert filled.file_id in filled.run("list", "-p", PIPELINE).stdout


def test_a_rejected_key_ends_a_delete_at_once(tmp_path: Path) -> None:
    """There is no point in trying the other files; with --json that is told as JSON, too."""
    with ServerProcess(tmp_path) as server:
        environ = {"KRIXIK_API_KEY": "no-such-key"}
        options = ["--api-url", server.url, "-p", PIPELINE, UNKNOWN, UNKNOWN]
        done = CliRunner(env=environ).invoke(cli, ["delete", *options])
        in_json = CliRunner(env=environ).invoke(cli, ["delete", "--json", *options])
    assert (done.exit_code, len(done.stderr.splitlines())) == (3, 1)
    assert (in_json.exit_code, in_json.stdout) == (3, "")
    assert json.loads(in_json.stderr) == {
        "error": done.stderr.removeprefix("Error: ").rstrip(),
        "error_kind": "AuthenticationError",
        "status_code": 403,
    }


def test_what_is_pending_is_told_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`follow` prints pending jobs last, writes the token and leaves with 6."""
    job = JobRef(request_id=UNKNOWN, pipeline="books")
    result = WaitResult([JobOutcome(request_id=UNKNOWN, state="pending", job=job)], timed_out=True)

    async def waiting(_: object) -> WaitResult:
        return result

    with pytest.raises(click.exceptions.Exit) as left:
        asyncio.run(follow(ANYWHERE, waiting, 1, tmp_path / "token"))
    told = capsys.readouterr()
    assert (left.value.exit_code, told.out) == (6, f"{UNKNOWN}  pending\n")
    assert (tmp_path / "token").read_text(encoding="utf-8") == result.resume_token


def test_what_cannot_be_kept_is_an_error(tmp_path: Path) -> None:
    job = JobRef(request_id=UNKNOWN, pipeline="books")

    async def waiting(_: object) -> WaitResult:
        return WaitResult([JobOutcome(request_id=UNKNOWN, state="pending", job=job)])

    with pytest.raises(_errors.SaveFailed, match="cannot be written: Is a directory"):
        asyncio.run(follow(ANYWHERE, waiting, 1, tmp_path))


def test_a_pipeline_of_vectors_is_searched_by_meaning(filled: Shelf) -> None:
    """The last module says how; this one has no files, so the answer is empty."""
    chain = "meaning=parser,text-embedder,vector-db"
    for hits_a_file in ([], ["-k", "2"]):
        (said,) = filled.json("search", "-p", chain, *hits_a_file, "harbour")
        assert (said["items"], said["more"]) == ([], False)


def test_deleting_what_is_there_leaves_with_0(folder: Path, tmp_path: Path) -> None:
    options = ["--local", str(tmp_path / "data"), "-p", PIPELINE, "--json"]
    sent = CliRunner().invoke(cli, ["process", *options, str(folder / "a.txt")])
    file_id = json.loads(sent.stdout)["file_id"]
    done = CliRunner().invoke(cli, ["delete", *options, file_id])
    assert (done.exit_code, json.loads(done.stdout)["status_code"]) == (0, 200)
