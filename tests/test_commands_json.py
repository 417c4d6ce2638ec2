"""With --json every failure is JSON: of one id on stdout, of the whole command on stderr."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import attrs
import click
import pytest
from click.testing import CliRunner, Result

from krixik_async._cli import cli
from krixik_async._commands._connecting import Connection, connected
from tests.command_side import PIPELINE, TEXT, UNKNOWN, Shelf, filled_shelf


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """Make a folder with one finished file."""
    return filled_shelf(tmp_path_factory.mktemp("shelf"), {"/sea/moon.txt": TEXT})


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(
    ("command", "name", "kind"),
    [
        ("status", "request_id", "RequestNotFound"),
        ("fetch", "file_id", "FileRecordNotFound"),
        ("delete", "file_id", "FileRecordNotFound"),
    ],
)
def test_each_id_has_its_line_on_stdout_whatever_became_of_it(
    filled: Shelf, tmp_path: Path, command: str, name: str, kind: str
) -> None:
    """It begins with the id, and no other id goes by the same name."""
    shelf = attrs.evolve(filled, data_dir=tmp_path / "copy")
    shutil.copytree(filled.data_dir, shelf.data_dir)
    known = shelf.request_id if command == "status" else shelf.file_id
    out = ["--out", str(tmp_path / "out")] if command == "fetch" else []
    done = shelf.run(command, "--json", "-p", PIPELINE, *out, UNKNOWN, known)
    failed, good = lines(done.stdout)
    assert (done.exit_code, done.stderr) == (5, "")
    assert [next(iter(said.items())) for said in (failed, good)] == [(name, UNKNOWN), (name, known)]
    assert "is on record" in failed.pop("error")
    assert failed == {name: UNKNOWN, "status_code": 400, "error_kind": kind}
    assert (good["status_code"], good["error"], good["error_kind"]) == (200, None, None)
    assert ("request_id" in good) is (command == "status")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["list", "-p", "books=keyword-db,parser"], "'keyword-db' ends a chain"),
        (["list", "-p", PIPELINE, "--tag", "prose"], "--tag 'prose' must be KEY=VALUE"),
        (["search", "-p", PIPELINE, "-k", "2", "harbour"], "-k counts the hits"),
        (["tree", "-p", PIPELINE, "nothere"], "symbolic_directory_path is 'nothere'"),
        (["status", "-p", PIPELINE, "nothere"], "request_id is 'nothere'"),
        (["wait", "-p", PIPELINE, "nothere"], "'nothere'"),
        (["fetch", "-p", PIPELINE, UNKNOWN, "nothere"], "file_id is 'nothere'"),
        (["delete", "-p", PIPELINE, "nothere", UNKNOWN], "file_id is 'nothere'"),
        (["process", "-p", PIPELINE, ""], "FILE is empty"),
        (["resume", __file__], "no resume token"),
        # wrong usage, which click finds
        (["list", "--nothing"], "No such option"),
        (["list"], "Missing option '-p'"),
        (["list", "-p", PIPELINE, "--max-files", "0"], "0 is not in the range"),
        (["resume", "nothere"], "No such file"),
        (["delete", "-p", PIPELINE], "Missing argument"),
    ],
)
def test_what_ends_a_command_is_one_line_of_json_on_stderr(
    filled: Shelf, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.delenv("KRIXIK_PIPELINE", raising=False)
    done = filled.run(arguments[0], "--json", *arguments[1:])
    (said,) = lines(done.stderr)
    assert (done.exit_code, done.stdout) == (2, "")
    assert words in said.pop("error")
    assert said == {"error_kind": "InvalidArgument", "status_code": None}


@pytest.mark.parametrize("arguments", [["modules", "parsr"], ["no-such-command"], ["list"]])
def test_so_it_is_without_a_connection(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str]
) -> None:
    """Of a module, a command or credentials that are not there."""
    for name in ("KRIXIK_API_KEY", "KRIXIK_API_URL", "MY_API_KEY", "MY_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KRIXIK_PIPELINE", PIPELINE)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, [*arguments, "--json"])
    (said,) = lines(done.stderr)
    assert (done.exit_code, said["error_kind"]) == (2, "InvalidArgument")


def test_without_json_wrong_usage_is_told_as_click_tells_it() -> None:
    done = CliRunner().invoke(cli, ["list", "--nothing"])
    assert (done.exit_code, done.stderr[:6]) == (2, "Usage:")


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("journal", [None, "run.db"])
def test_an_interrupt_says_what_goes_on(journal: str | None, as_json: bool) -> None:
    """The jobs do; and with its journal so does the same command."""

    async def interrupted(connection: Connection, **given: object) -> None:
        raise KeyboardInterrupt

    command = click.command()(click.option("--journal")(connected(interrupted)))
    given = [] if journal is None else ["--journal", journal]
    done = CliRunner().invoke(command, [*given, *["--json"] * as_json])
    so_does = "" if journal is None else ", and so does the same command with the same journal"
    said = f"Interrupted. Jobs that were sent go on{so_does}."
    assert done.exit_code == 130
    if as_json:
        value = {"error": said, "error_kind": "KeyboardInterrupt", "status_code": None}
        assert lines(done.stderr) == [value]
    else:
        assert done.stderr == f"{said}\n"


def test_what_became_of_a_file_or_job_tells_the_kind_of_its_error(
    filled: Shelf, tmp_path: Path
) -> None:
    """`process` and `wait` do, on stdout; null where nothing failed."""
    short = tmp_path / "short.txt"
    short.write_text("too few words", encoding="utf-8")
    sent = filled.run("process", "--json", "-p", PIPELINE, str(short))
    waited = filled.run("wait", "--json", "-p", PIPELINE, "--timeout", "0.3", UNKNOWN)
    ended = filled.run("wait", "--json", "-p", PIPELINE, filled.request_id)
    said = [lines(done.stdout)[0] for done in (sent, waited, ended)]
    assert [(one["state"], one["error_kind"]) for one in said] == [
        ("error", "InvalidArgument"),
        ("pending", "RequestNotFound"),
        ("complete", None),
    ]
    assert [one["error"] is None for one in said] == [False, False, True]


def test_a_dry_run_tells_of_each_file_whether_it_would_be_sent(
    filled: Shelf, tmp_path: Path
) -> None:
    short, good = tmp_path / "a.txt", tmp_path / "b.txt"
    short.write_text("too few words", encoding="utf-8")
    good.write_text(TEXT, encoding="utf-8")
    done = filled.run("process", "--json", "--dry-run", "-p", PIPELINE, str(tmp_path))
    refused, sent = lines(done.stdout)
    assert (done.exit_code, done.stderr) == (2, "")
    assert "has 3 word(s)" in refused.pop("error")
    assert refused == {
        "input": str(short),
        "would": "refuse",
        "step": None,
        "request_id": None,
        "file_id": None,
        "bytes": None,
        "request": None,
        "error_kind": "InvalidArgument",
    }
    assert refused.keys() | {"error"} == sent.keys()
    assert (sent["would"], sent["error"], sent["error_kind"]) == ("send", None, None)


def test_how_to_go_on_is_a_command_of_a_line_of_json(filled: Shelf, tmp_path: Path) -> None:
    """As after an interrupt, and it leads to the same place."""
    token = tmp_path / "a token"
    options = ["--timeout", "0.2", "--save-token", str(token), UNKNOWN]
    done = filled.run("wait", "--json", "-p", PIPELINE, *options)
    command = ["krixik-async", "resume", "--local", str(filled.data_dir), str(token)]
    assert done.exit_code == 6
    assert lines(done.stderr) == [{"request_ids": [UNKNOWN], "command": shlex.join(command)}]


def test_an_empty_folder_is_a_warning_in_json(filled: Shelf, tmp_path: Path) -> None:
    done = filled.run("process", "--json", "-p", PIPELINE, str(tmp_path))
    said = f"{tmp_path}: no file in this folder; those below are not read"
    assert (done.exit_code, done.stdout, lines(done.stderr)) == (0, "", [{"warning": said}])


def test_a_full_stdout_ends_the_command(filled: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no failure of the id whose line it was: nothing more is asked for."""

    def refuse(*_: object, **given: object) -> None:
        if "file" not in given:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(click, "echo", refuse)
    done: Result = filled.run("status", "-p", PIPELINE, filled.request_id, UNKNOWN)
    assert done.exit_code == 1
