"""The server as a process of its own: sockets, signals, kills, restarts."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import attrs
import httpx
import pytest

from krixik_async import InvalidArgument, MissingExtra
from krixik_async.server import ServerSettings, _serving
from krixik_async.server._serving import CannotServe, quiet_about_late_ends, serve
from krixik_async.server.runners import RunRequest
from krixik_async.server.runners import run as run_module
from tests.server_side import KEY, multipart, submission

CHAIN = ("parser", "json-to-txt", "keyword-db")
READY = re.compile(r"krixik-async server ready on (http://127\.0\.0\.1:\d+)\n")


def text_of(number: int, lines: int = 40) -> bytes:
    """Give a text of its own for each number."""
    return b"".join(
        b"Chapter %d, line %d: the whale was seen. It went down again, said Ishmael%d.\n"
        % (number, line, line % 97)
        for line in range(lines)
    )


@attrs.frozen
class Server:
    """A running `krixik-async serve`."""

    process: subprocess.Popen[str]
    http: httpx.Client

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self.http.post(path, json=body, headers={"krixikApiKey": KEY})

    def submit(self, text: bytes, **changes: Any) -> dict[str, Any]:
        ticket: dict[str, Any] = self.post("/krixik-core-process", **submission(**changes)).json()
        form = ticket["presigned_post_url_results"]
        reply = self.http.post(
            form["url"],
            content=multipart(form["fields"], text),
            headers={"Content-Type": "multipart/form-data; boundary=frontier"},
        )
        assert reply.status_code == 204, reply.text
        return ticket

    def flags(self, ticket: dict[str, Any]) -> list[bool]:
        body = {"pipeline": "books", "version": "1", "process_id": ticket["request_id"]}
        reply = self.post("/krixik-core-process-status", **body)
        assert reply.status_code == 200, reply.text
        return list(reply.json()["process_status"].values())

    def output(self, ticket: dict[str, Any]) -> bytes:
        body = {"pipeline": "books", "version": "1", "file_id": ticket["file_id"]}
        links = self.post("/krixik-core-fetch-output", **body).json()["process_output"]
        return self.http.get(links[0]["url"]).content

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str, str]:
        """Send a signal; give status, the rest of stdout, and stderr."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=10)
        return self.process.returncode, out, err


@contextlib.contextmanager
def started(data_dir: Path, *options: str) -> Iterator[Server]:
    """Run the command on a free port, in a process group of its own; kill it at the end."""
    command = [sys.executable, "-m", "krixik_async", "serve", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--data-dir", str(data_dir), "--api-key", KEY, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        match = READY.fullmatch(line)
        assert match is not None, (line, process.communicate())
        with httpx.Client(base_url=match[1], timeout=20, trust_env=False) as http:
            yield Server(process, http)
    finally:
        process.kill()
        process.communicate()


def wait_until(condition: Callable[[], bool], *, within_s: float = 30) -> None:
    """Look again and again; the processes observed have no virtual time."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def processes_of(group: int) -> list[int]:
    """Give the live processes of a process group."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, owner = stat.read_text().rpartition(")")[2].split()[:3]
            if int(owner) == group and state != "Z":
                found.append(int(stat.parent.name))
    return found


def expected_output(folder: Path, text: bytes) -> bytes:
    """Give what the modules make of a text when nothing interrupts them."""
    source = folder / "expected-0"
    source.write_bytes(text)
    models = {"parser": "sentence", "json-to-txt": "base", "keyword-db": "sqlite"}
    for number, module in enumerate(CHAIN, 1):
        target = folder / f"expected-{number}"
        key = "snippet" if module == "json-to-txt" else None
        run_module(RunRequest(module, models[module], {}, source, target, key))
        source = target
    return source.read_bytes()


def test_killed_right_after_its_204s_it_loses_nothing(tmp_path: Path) -> None:
    """After kill -9 and a restart every acknowledged file is completed with the right output."""
    texts = [text_of(number) for number in range(6)]
    with started(tmp_path / "data", "--min-module-seconds", "0.2") as server:
        tickets = [
            server.submit(text, chain=CHAIN, file_name=f"{number}.txt")
            for number, text in enumerate(texts)
        ]
        server.kill()
    with started(tmp_path / "data") as server:
        wait_until(lambda: all(all(server.flags(ticket)) for ticket in tickets))
        outputs = [server.output(ticket) for ticket in tickets]
    assert outputs == [expected_output(tmp_path, text) for text in texts]


def test_killed_in_the_middle_again_and_again_it_still_ends_right(tmp_path: Path) -> None:
    """Flags once true stay true over each kill, and the end is the same."""
    text = text_of(1, lines=3000)
    slow = ("--min-module-seconds", "0.3")
    with started(tmp_path / "data", *slow) as server:
        ticket = server.submit(text, chain=CHAIN)
        wait_until(lambda: server.flags(ticket)[0])
        seen = server.flags(ticket)
        server.kill()
    for _ in range(2):
        with started(tmp_path / "data", *slow) as server:
            flags = server.flags(ticket)
            assert all(now for now, before in zip(flags, seen, strict=True) if before)
            seen = flags
            time.sleep(0.1)
            server.kill()
    with started(tmp_path / "data") as server:
        wait_until(lambda: all(server.flags(ticket)))
        assert server.output(ticket) == expected_output(tmp_path, text)
        leftovers = [path.name for path in (tmp_path / "data" / "files").glob("*/*.part")]
        assert server.stop() == (0, "", "")
    # Parts of killed tries are gone with their record at the latest; they are never taken for
    # outputs, whose names are others.
    assert all(re.fullmatch(r"module_\d\..*\.part", name) for name in leftovers)


def test_while_a_large_file_is_processed_the_server_answers(tmp_path: Path) -> None:
    """Statuses are answered, several, before 2 MiB of text are through the parser."""
    text = text_of(1, lines=26_000)[: 2 * 2**20]
    with started(tmp_path) as server:
        ticket = server.submit(text, chain=("parser",))
        answers = 0
        while not all(server.flags(ticket)):
            answers += 1
        assert answers >= 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("everyone", [True, False])
def test_a_signal_ends_it_quietly_and_no_process_stays(
    tmp_path: Path, number: int, everyone: bool
) -> None:
    """Status 0, nothing on stderr, in the middle of work; to the group, as Ctrl-C, or alone."""
    with started(tmp_path, "--min-module-seconds", "30") as server:
        group = server.process.pid
        ticket = server.submit(text_of(1, lines=10_000), chain=("parser",))
        wait_until(lambda: len(processes_of(group)) > 1)
        assert server.flags(ticket) == [False]
        if everyone:
            os.killpg(group, number)
            out, err = server.process.communicate(timeout=10)
            assert (server.process.returncode, out, err) == (0, "", "")
        else:
            assert server.stop(number) == (0, "", "")
        wait_until(lambda: processes_of(group) == [])
    with started(tmp_path) as server:
        wait_until(lambda: all(server.flags(ticket)))


def test_a_kill_leaves_no_worker_behind(tmp_path: Path) -> None:
    """A worker notices that its server is gone."""
    with started(tmp_path) as server:
        group = server.process.pid
        ticket = server.submit(text_of(1), chain=("parser",))
        wait_until(lambda: all(server.flags(ticket)))
        assert len(processes_of(group)) > 1
        server.kill()
        wait_until(lambda: processes_of(group) == [])


def refusal(*options: str) -> tuple[int, str, str]:
    """Run a server that cannot start; give status, stdout, stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "krixik_async", "serve", "--api-key", KEY, *options],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_a_second_server_on_the_same_folder_or_port_says_so_in_one_line(tmp_path: Path) -> None:
    with started(tmp_path / "data") as server:
        port = str(server.http.base_url.port)
        assert refusal("--port", "0", "--data-dir", str(tmp_path / "data")) == (
            2,
            "",
            (
                f"Error: data_dir '{tmp_path}/data' is in use by another krixik-async server: stop "
                "that one, or choose another folder\n"
            ),
        )
        assert refusal("--port", port, "--data-dir", str(tmp_path / "other")) == (
            1,
            "",
            f"Error: cannot listen on 127.0.0.1 port {port}: Address already in use\n",
        )


def test_answers_carry_no_server_header_and_connections_are_kept(tmp_path: Path) -> None:
    with started(tmp_path) as server:
        replies = [server.post("/cli-checkin") for _ in range(3)]
        assert [reply.status_code for reply in replies] == [200] * 3
        assert {reply.headers.get("server") for reply in replies} == {None}
        ports = {
            reply.extensions["network_stream"].get_extra_info("client_addr") for reply in replies
        }
        assert len(ports) == 1


# --- the same code inside this process, so that it is measured too -------------------------


@pytest.fixture
def settings(tmp_path: Path) -> ServerSettings:
    return ServerSettings(data_dir=tmp_path / "data", api_keys=(KEY,))


def signal_self(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_returns_after_a_signal_and_puts_the_handlers_back(
    settings: ServerSettings, number: int, host: str
) -> None:
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    answers: list[httpx.Response] = []
    threads: list[threading.Thread] = []

    def use(url: str) -> None:
        with httpx.Client(base_url=url, trust_env=False) as http:
            server = Server(None, http)  # type: ignore[arg-type]  # no process of its own
            ticket = server.submit(text_of(1), chain=("parser",))
            wait_until(lambda: all(server.flags(ticket)))
            answers.append(server.post("/cli-checkin"))
        signal_self(number)

    def ready(url: str) -> None:
        threads.append(threading.Thread(target=use, args=(url,)))
        threads[0].start()

    serve(settings, host=host, port=0, ready=ready)
    threads[0].join()
    assert [answer.status_code for answer in answers] == [200]
    assert handlers == [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]


def test_a_signal_before_the_server_is_up_ends_it_too(
    settings: ServerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handlers are there from the start: nothing is lost between them and uvicorn's."""
    create_app = _serving.create_app

    def create_and_interrupt(*args: Any, **given: Any) -> Any:
        app = create_app(*args, **given)
        lifespan = app.router.lifespan_context

        @contextlib.asynccontextmanager
        async def interrupted(app: Any) -> Any:
            async with lifespan(app):
                signal_self(signal.SIGTERM)
                yield

        app.router.lifespan_context = interrupted
        return app

    monkeypatch.setattr(_serving, "create_app", create_and_interrupt)
    urls: list[str] = []
    serve(settings, host="127.0.0.1", port=0, ready=urls.append)
    assert len(urls) == 1


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("no such host", "'no such host' is no address to listen on: "),
        ("192.0.2.1", "cannot listen on 192.0.2.1 port 0: "),
    ],
)
def test_an_address_that_cannot_be_listened_on_is_named(
    settings: ServerSettings, host: str, words: str
) -> None:
    with pytest.raises(CannotServe, match=f"^{words}"):
        serve(settings, host=host, port=0, ready=print)


def test_a_taken_port_is_named(settings: ServerSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotServe, match=f"cannot listen on 127.0.0.1 port {port}"):
            serve(settings, host="127.0.0.1", port=port, ready=print)


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings = ServerSettings(data_dir=tmp_path / "file", api_keys=(KEY,))
    with pytest.raises(InvalidArgument, match="cannot be used: File exists"):
        serve(settings, host="127.0.0.1", port=0, ready=print)


@pytest.mark.parametrize(
    ("package", "words"),
    [
        ("uvicorn", 'needs uvicorn: pip install "krixik-async[server]"'),
        ("starlette", 'needs starlette: pip install "krixik-async[server]"'),
    ],
)
def test_a_missing_extra_is_one_line(
    settings: ServerSettings, monkeypatch: pytest.MonkeyPatch, package: str, words: str
) -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] == package or name == "krixik_async.server._app":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra) as refused:
        serve(settings, host="127.0.0.1", port=0, ready=print)
    assert str(refused.value).endswith(words)


def raise_value_error(text: str) -> None:
    raise ValueError(text)


def test_a_worker_process_leaves_stops_to_its_server_and_carries_errors_out() -> None:
    stops = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in stops]
    try:
        assert _serving.run_in_worker(max, 1, 2) == 2
        assert [signal.getsignal(number) for number in stops] == [signal.SIG_IGN] * 2
        raised = _serving.run_in_worker(raise_value_error, "why")
        assert isinstance(raised, _serving.Raised)
        assert repr(raised.error) == "ValueError('why')"
    finally:
        for number, handler in zip(stops, before, strict=True):
            signal.signal(number, handler)


def test_what_a_function_raises_is_raised_and_all_else_is_the_workers_death() -> None:
    """A worker that is killed, or ends itself, is told apart from a module's error."""

    async def use() -> None:
        workers = _serving.WorkerProcesses(1)
        assert await workers(max, 1, 2) == 2
        with pytest.raises(ValueError, match="why"):
            await workers(raise_value_error, "why")
        with pytest.raises(anyio.BrokenWorkerProcess):
            await workers(os._exit, 1)
        assert await workers(max, 3, 4) == 4
        with pytest.raises(anyio.BrokenWorkerProcess):
            await workers(sys.exit, 1)

    anyio.run(use)


def test_a_pipe_that_ends_after_its_loop_is_no_news(monkeypatch: pytest.MonkeyPatch) -> None:
    """What else goes wrong while something is collected is still heard of."""
    heard: list[str] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda told: heard.append(str(told.exc_value)))

    class Left:
        def __init__(self, complaint: str) -> None:
            self.complaint = complaint
            self.itself = self  # for the collector to find, not the count

        def __del__(self) -> None:
            raise RuntimeError(self.complaint)

    before = sys.unraisablehook
    with quiet_about_late_ends():
        Left("Event loop is closed")
        Left("something else")
    assert (heard, sys.unraisablehook) == (["something else"], before)
