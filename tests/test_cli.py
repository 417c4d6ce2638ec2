"""The command line."""

from __future__ import annotations

import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from krixik_async import __main__
from krixik_async._cli import cli
from krixik_async._version import __version__
from krixik_async.server._database import open_database
from tests.server_side import KEY


def interrupt_when_ready(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """End a server in this process once it has said that it is ready; collect a reply's status."""
    from krixik_async import _cli

    announce = _cli._announce
    statuses: list[int] = []

    def use(url: str) -> None:
        headers = {"krixikApiKey": KEY}
        statuses.append(httpx.post(f"{url}/cli-checkin", headers=headers).status_code)
        os.kill(os.getpid(), signal.SIGINT)

    def announce_and_use(url: str, made_up_key: str | None) -> None:
        announce(url, made_up_key)
        threading.Thread(target=use, args=(url,)).start()

    monkeypatch.setattr(_cli, "_announce", announce_and_use)
    return statuses


def test_serve_says_one_line_and_serves_until_it_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    statuses = interrupt_when_ready(monkeypatch)
    options = ["--port", "0", "--data-dir", str(tmp_path), "--api-key", KEY, "--api-key", "other"]
    result = CliRunner().invoke(cli, ["serve", *options])
    assert re.fullmatch(r"krixik-async server ready on http://127\.0\.0\.1:\d+\n", result.stdout), (
        result.output
    )
    assert (result.exit_code, result.stderr, statuses) == (0, "", [200])


def test_without_a_key_one_is_made_up_and_shown_on_stderr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    statuses = interrupt_when_ready(monkeypatch)
    result = CliRunner().invoke(cli, ["serve", "--port", "0", "--data-dir", str(tmp_path)])
    assert re.fullmatch(
        r"No --api-key was given\. For this run the key is [0-9a-f-]{36}; give it with --api-key "
        r"next time to see the same files\.\n",
        result.stderr,
    )
    assert result.stdout.count("\n") == 1
    assert (result.exit_code, statuses) == (0, [403])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--api-key", "a b"], "api_keys holds a key that is empty"),
        (["--ticket-seconds", "0"], "ticket_seconds is 0.0 but must be above 0"),
        (["--min-module-seconds", "-1"], "min_module_seconds is -1.0"),
        (["--min-module-seconds", "x"], "'x' is not a valid float"),
        (["--port", "65536"], "65536 is not in the range"),
        (["--simulate", "ocr,captoin"], "simulate names 'captoin', which is no module. Did you"),
        (["--nothing"], "No such option"),
    ],
)
def test_wrong_usage_is_status_2_and_says_what_is_wrong(
    tmp_path: Path, options: list[str], words: str
) -> None:
    base = ["serve", "--data-dir", str(tmp_path / "data"), "--api-key", KEY]
    result = CliRunner().invoke(cli, [*base, *options])
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("text", "words"),
    [('{"faults": [{"kind": "lag", "seconds": -1}]}', "seconds is -1"), (None, "does not exist")],
)
def test_a_fault_plan_that_is_none_is_wrong_usage(
    text: str | None, words: str, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.json"
    if text is not None:
        plan.write_text(text)
    options = ["--port=0", "--data-dir", str(tmp_path / "data"), "--faults", str(plan)]
    result = CliRunner().invoke(cli, ["serve", *options])
    assert (result.exit_code, words in result.stderr) == (2, True)


def test_a_folder_in_use_has_one_status_and_one_message_for_all_commands(tmp_path: Path) -> None:
    folder = str(tmp_path)
    with closing(open_database(tmp_path)):
        results = [
            CliRunner().invoke(cli, ["serve", "--port=0", "--data-dir", folder]),
            CliRunner().invoke(cli, ["list", "-p", "books=keyword-db", "--local", folder]),
        ]
    assert [(result.exit_code, result.output) for result in results] == [
        (
            2,
            (
                f"Error: data_dir '{folder}' is in use by another krixik-async server: stop that "
                "one, or choose another folder\n"
            ),
        )
    ] * 2


def test_what_cannot_be_done_is_status_1_and_one_line(tmp_path: Path) -> None:
    """No key is made up for a server that does not serve: nobody could use it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options = [f"--port={port}", "--data-dir", str(tmp_path)]
        result = CliRunner().invoke(cli, ["serve", *options])
    assert (result.exit_code, result.stdout, result.stderr) == (
        1,
        "",
        f"Error: cannot listen on 127.0.0.1 port {port}: Address already in use\n",
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_server_that_cannot_say_that_it_is_ready_ends_with_one_line(tmp_path: Path) -> None:
    """Who started it waits for that line."""
    command = ["serve", "--port=0", "--api-key=a", "--data-dir", str(tmp_path)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "krixik_async", *command],
            stdout=full, stderr=subprocess.PIPE, encoding="utf-8", check=False, timeout=30,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        1,
        "Error: stdout cannot be written: No space left on device\n",
    )


def test_every_command_has_help() -> None:
    runner = CliRunner()
    for command in ([], *([name] for name in cli.commands)):
        for option in ("-h", "--help"):
            result = runner.invoke(cli, [*command, option])
            assert (result.exit_code, result.stdout.startswith("Usage: ")) == (0, True)


def test_the_version_is_told() -> None:
    result = CliRunner().invoke(cli, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"krixik-async, version {__version__}\n")


def test_the_module_runs_as_a_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`python -m krixik_async` is the command."""
    monkeypatch.setattr(sys, "argv", ["krixik_async", "--version"])
    monkeypatch.delitem(sys.modules, "krixik_async.__main__")
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("krixik_async", run_name="__main__")
    assert (ended.value.code, capsys.readouterr().out) == (
        0,
        f"krixik-async, version {__version__}\n",
    )


def test_without_click_one_line_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "krixik_async._cli")
    monkeypatch.setitem(sys.modules, "click", None)
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    captured = capsys.readouterr()
    assert (ended.value.code, captured.out, captured.err) == (
        1,
        "",
        'The command line needs click: pip install "krixik-async[cli]"\n',
    )


def test_an_interrupt_of_the_start_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupting:
        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            if name == "krixik_async._cli":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "krixik_async._cli")
    monkeypatch.setattr(sys, "meta_path", [Interrupting, *sys.meta_path])
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    assert (ended.value.code, capsys.readouterr()) == (130, ("", ""))


def test_any_other_import_error_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "krixik_async._cli", None)
    with pytest.raises(ModuleNotFoundError, match="_cli"):
        __main__.main()


def test_help_imports_no_server() -> None:
    """The command line starts fast: heavy imports wait for the command that needs them."""
    program = (
        "import sys\nfrom click.testing import CliRunner\nfrom krixik_async._cli import cli\n"
        "CliRunner().invoke(cli, ['serve', '--help'])\n"
        "print(sorted({'starlette', 'uvicorn', 'nltk', 'aiohttp'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == "[]\n"
