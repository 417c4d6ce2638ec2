"""The client: how it comes to be, how it ends, and what it does over its pipelines."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
import warnings
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import attrs
import httpx
import pytest
import respx
import trio

from krixik_async import (
    AuthenticationError,
    ClientClosed,
    Durations,
    FileInput,
    FileRecordNotFound,
    InvalidArgument,
    InvalidArgumentType,
    Job,
    JobRef,
    KrixikError,
    MissingExtra,
    NotFinished,
    RequestNotFound,
    RequestRejected,
    ServerError,
)
from krixik_async._client import Krixik
from krixik_async._clock import AnchoredClock
from krixik_async._offload import InlineOffload
from tests.client_side import (
    DELETE,
    EPOCH,
    KEY,
    LIST,
    OTHER_KEY,
    STATUS,
    TEXT,
    TICKET,
    UNKNOWN,
    UPLOAD,
    URL,
    World,
    entries,
    forbidden,
    says,
    states,
    world,
)

pytestmark = pytest.mark.anyio

CHECK_IN = "/cli-checkin"


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


@pytest.fixture
async def w(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, min_module_seconds=10) as here:
        yield here


def virtual(data_dir: Any = None, **settings: Any) -> Krixik:
    """Give a client with a server inside, for virtual time."""
    clock = AnchoredClock(EPOCH)
    return Krixik.local(data_dir, clock=clock, offload=InlineOffload(), **settings)


# --- how it comes to be ----------------------------------------------------------------------


def test_a_client_is_made_outside_any_loop_and_without_a_word() -> None:
    """No I/O, no loop, and no warning when one is thrown away unused."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        krixik = Krixik(api_key=KEY, api_url=URL)
        assert repr(krixik) == f"<Krixik {URL} (open)>"
        krixik.create_pipeline(name="books", module_chain=["parser"])
        del krixik
        gc.collect()


def test_the_key_is_in_no_repr() -> None:
    krixik = Krixik(api_key=KEY, api_url=URL)
    assert KEY not in f"{krixik!r} {krixik._opened.config!r} {krixik._opened!r}"


async def test_nothing_is_sent_before_the_first_call(w: World) -> None:
    async with w.another() as krixik:
        w.books(client=krixik)
    assert w.sent == []


BAD_SETTINGS: list[tuple[dict[str, Any], str, type[Exception]]] = [
    ({"api_key": ""}, "api_key is empty", InvalidArgument),
    ({"api_key": "a b"}, "api_key is empty or holds blanks", InvalidArgument),
    ({"api_key": "k\n"}, "line ends", InvalidArgument),
    ({"api_key": None}, "api_key is NoneType", InvalidArgumentType),
    ({"api_url": "api.krixik.com"}, "must look like https://host", InvalidArgument),
    ({"api_url": "ftp://host"}, "must look like https://host", InvalidArgument),
    ({"api_url": None}, "api_url is NoneType", InvalidArgumentType),
    ({"max_in_flight": 0}, "max_in_flight is 0", InvalidArgument),
    ({"max_in_flight": "64"}, "max_in_flight is str", InvalidArgumentType),
    ({"rate_limit": 0}, "rate_limit is 0", InvalidArgument),
    ({"rate_limit": "fast"}, "rate_limit is str", InvalidArgumentType),
    ({"attempts": 0}, "attempts is 0", InvalidArgument),
    ({"attempts": True}, "attempts is bool", InvalidArgumentType),
    ({"backoff_s": -1}, "backoff_s is -1", InvalidArgument),
    ({"backoff_cap_s": float("inf")}, "backoff_cap_s is inf", InvalidArgument),
    ({"connect_timeout_s": None}, "connect_timeout_s is NoneType", InvalidArgumentType),
    ({"attempt_timeout_s": 0}, "attempt_timeout_s is 0", InvalidArgument),
    ({"max_in_fligth": 8}, "takes no argument 'max_in_fligth'", InvalidArgumentType),
    (
        {"http_client": httpx.AsyncClient(), "http_transport": httpx.AsyncHTTPTransport()},
        "http_client and http_transport were both given",
        InvalidArgument,
    ),
    ({"http_client": httpx.Client()}, "http_client is Client but must be", InvalidArgumentType),
    ({"http_client": "proxy"}, "must be an httpx.AsyncClient", InvalidArgumentType),
    ({"http_transport": httpx.HTTPTransport()}, "HTTPTransport but must", InvalidArgumentType),
]


@pytest.mark.parametrize(("given", "said", "kind"), BAD_SETTINGS)
def test_a_setting_that_is_none(given: dict[str, Any], said: str, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        Krixik(**{"api_key": KEY, "api_url": URL, **given})
    assert said in str(caught.value)
    assert KEY not in str(caught.value)


def test_a_client_that_was_never_finished_is_put_away_quietly() -> None:
    with pytest.raises(InvalidArgument):
        Krixik(api_key="", api_url=URL)
    gc.collect()


@pytest.mark.parametrize(
    ("given", "said", "kind"),
    [
        ({"name": ""}, "name has 0 characters", InvalidArgument),
        ({"name": "x" * 65}, "name has 65 characters", InvalidArgument),
        ({"name": None}, "NoneType", InvalidArgumentType),
        ({"module_chain": []}, "module_chain is empty", InvalidArgument),
        ({"module_chain": "parser"}, "module_chain is str", InvalidArgumentType),
        ({"module_chain": ["parser", 7]}, "module_chain holds int", InvalidArgumentType),
        ({"module_chain": ["parsr"]}, "names 'parsr' at position 1", InvalidArgument),
        (
            {"module_chain": ["parser", "keyword-db"]},
            "'keyword-db' after 'parser'",
            InvalidArgument,
        ),
        ({"module_chain": ["summarize"] * 11}, "has 11 modules", InvalidArgument),
    ],
)
async def test_a_pipeline_that_is_none(
    w: World, given: dict[str, Any], said: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind) as caught:
        w.client.create_pipeline(**{"name": "books", "module_chain": ["parser"], **given})
    assert said in str(caught.value)


# --- from the environment --------------------------------------------------------------------


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with nothing in it, and none of our variables set."""
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("KRIXIK_API_KEY", "KRIXIK_API_URL", "MY_API_KEY", "MY_API_URL"):
        monkeypatch.delenv(name, raising=False)
    return folder


def credentials(krixik: Krixik) -> tuple[str, str]:
    return krixik._opened.config.api_key, krixik._opened.config.api_url


def test_the_environment_gives_key_and_url(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Argument, then KRIXIK_*, then MY_*, then the same names in .env."""
    url = "http://{}.test".format
    (empty / ".env").write_text(
        f"MY_API_KEY=file-my\nMY_API_URL={url('file-my')}\n"
        f"KRIXIK_API_KEY=file\nKRIXIK_API_URL={url('file')}\n"
    )
    found = [credentials(Krixik.from_env())]
    monkeypatch.setenv("MY_API_KEY", "my")
    monkeypatch.setenv("MY_API_URL", url("my"))
    found.append(credentials(Krixik.from_env()))
    monkeypatch.setenv("KRIXIK_API_KEY", "own")
    monkeypatch.setenv("KRIXIK_API_URL", url("own"))
    found.append(credentials(Krixik.from_env()))
    found.append(credentials(Krixik.from_env(api_key="given")))
    found.append(credentials(Krixik.from_env(api_url=url("given"))))
    assert found == [
        ("file", url("file")),
        ("my", url("my")),
        ("own", url("own")),
        ("given", url("own")),
        ("own", url("given")),
    ]


def test_the_environment_can_be_handed_in(empty: Path) -> None:
    """Settings go along."""
    (empty / "other.env").write_text(f"KRIXIK_API_URL={URL}\n")
    krixik = Krixik.from_env(
        environ={"KRIXIK_API_KEY": "k"}, dotenv_path=empty / "other.env", max_in_flight=7
    )
    assert (credentials(krixik), krixik._opened.config.max_in_flight) == (("k", URL), 7)


def test_every_way_to_a_client_takes_what_another_one_has_learned() -> None:
    learned = Durations()
    credentials = {"KRIXIK_API_KEY": KEY, "KRIXIK_API_URL": URL}
    for krixik in (
        Krixik(api_key=KEY, api_url=URL, durations=learned),
        Krixik.from_env(environ=credentials, durations=learned),
        Krixik.local(durations=learned),
    ):
        assert krixik.durations is learned


def test_what_is_found_nowhere_is_named(empty: Path) -> None:
    with pytest.raises(InvalidArgument, match="none of KRIXIK_API_KEY, MY_API_KEY is set"):
        Krixik.from_env()
    with pytest.raises(InvalidArgument, match="none of KRIXIK_API_URL, MY_API_URL is set"):
        Krixik.from_env(api_key="k")


# --- checking in -----------------------------------------------------------------------------


async def test_a_good_key_checks_in(w: World) -> None:
    assert await w.client.check_in() is None  # type: ignore[func-returns-value]
    assert (w.sent, w.wire.bodies) == ([CHECK_IN], ["{}"])


async def test_a_wrong_key_is_an_error_of_whatever_call_meets_it_first(w: World) -> None:
    wrong = w.another("33333333-3333-4333-8333-333333333333")
    pipeline = w.books(client=wrong)
    calls: list[Callable[[], Any]] = [
        wrong.check_in,
        lambda: pipeline.process(local_file_path=TEXT, file_name="a.txt"),
        lambda: pipeline.process_status(request_id=UNKNOWN),
        lambda: pipeline.wait_until_complete(UNKNOWN),
        lambda: pipeline.list(symbolic_directory_paths=["/*"]),
        lambda: pipeline.keyword_search(query="bright", symbolic_directory_paths=["/*"]),
        lambda: pipeline.fetch_output(file_id=UNKNOWN),
        lambda: pipeline.delete(file_id=UNKNOWN),
        lambda: wrong.reset_pipeline(pipeline),
    ]
    for call in calls:
        with pytest.raises(AuthenticationError, match="The api key was rejected") as caught:
            await call()
        assert "33333333" not in repr(caught.value)


# --- the server inside -----------------------------------------------------------------------


async def test_a_local_client_needs_nothing_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    async with virtual(min_module_seconds=5) as krixik:
        assert repr(krixik) == "<Krixik http://krixik.local (open)>"
        assert entries(tmp_path) == []
        pipeline = krixik.create_pipeline(name="books", module_chain=["keyword-db"])
        job = await pipeline.process(local_file_path=TEXT, file_name="a.txt")
        assert len(entries(tmp_path)) == 1
        assert (await job).state == "complete"
    assert repr(krixik) == "<Krixik http://krixik.local (closed)>"
    assert entries(tmp_path) == []


async def test_with_a_folder_the_files_last(tmp_path: Path) -> None:
    async with virtual(tmp_path / "data") as krixik:
        pipeline = krixik.create_pipeline(name="books", module_chain=["keyword-db"])
        job = await pipeline.process(local_file_path=TEXT, file_name="a.txt")
    async with virtual(str(tmp_path / "data")) as krixik:
        assert states(await krixik.wait_until_complete(job.ref)) == ["complete"]


async def test_a_second_opener_of_a_folder_is_told(tmp_path: Path) -> None:
    async with virtual(tmp_path) as first, virtual(tmp_path) as second:
        await first.check_in()
        with pytest.raises(InvalidArgument, match="is in use by another krixik-async server"):
            await second.check_in()
        await first.check_in()


@pytest.mark.parametrize(
    ("given", "said", "kind"),
    [
        ({"data_dir": 7}, "data_dir is int but must be a path", InvalidArgumentType),
        ({"data_dir": b"x"}, "data_dir is bytes but must be a path", InvalidArgumentType),
        ({"min_module_seconds": -1}, "min_module_seconds is -1", InvalidArgument),
        ({"min_module_seconds": "1"}, "min_module_seconds is str", InvalidArgumentType),
        ({"simulate": ["parsr"]}, "Did you mean 'parser'", InvalidArgument),
        ({"simulate": "parser"}, "must be a list of module names", InvalidArgumentType),
        ({"attempts": 0}, "attempts is 0", InvalidArgument),
        ({"api_key": "k"}, "Instead: leave it out", InvalidArgumentType),
    ],
)
def test_an_argument_of_local_that_is_none(
    given: dict[str, Any], said: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match=said):
        Krixik.local(**given)


async def test_a_data_folder_that_is_a_file() -> None:
    async with virtual(Path(__file__)) as krixik:
        with pytest.raises(InvalidArgument, match=r"data_dir .* cannot be used: File exists"):
            await krixik.check_in()


def test_without_the_servers_extra_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] == "starlette"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "krixik_async.server._app", raising=False)
    monkeypatch.setitem(sys.modules, "starlette", None)
    with pytest.raises(MissingExtra, match=r'pip install "krixik-async\[server\]"'):
        Krixik.local()


class TestInRealTime:
    """With threads and the machine's own clock, as users have it."""

    @pytest.fixture(params=["asyncio", "trio"])
    def anyio_backend(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    async def test_the_main_job(self, tmp_path: Path) -> None:
        async with Krixik.local() as krixik:
            pipeline = krixik.create_pipeline(name="books", module_chain=["parser"])
            job = await pipeline.process(local_file_path=TEXT, file_name="a.txt")
            assert (await job).state == "complete"
            output = await pipeline.fetch_output(file_id=job.file_id, local_save_directory=tmp_path)
            assert output.process_output == [
                {"snippet": TEXT.decode().strip(), "line_numbers": [1]}
            ]

    async def test_closing_takes_no_time_whatever_is_under_way(self) -> None:
        krixik = Krixik.local(min_module_seconds=1000)
        pipeline = krixik.create_pipeline(name="books", module_chain=["parser"])
        job = await pipeline.process(local_file_path=TEXT, file_name="a.txt")
        async with anyio.create_task_group() as group:
            group.start_soon(closed_while, job.wait)
            await anyio.sleep(0.05)
            started = time.monotonic()
            await krixik.aclose()
            assert time.monotonic() - started < 4


async def closed_while(call: Callable[[], Any]) -> None:
    with pytest.raises(ClientClosed):
        await call()


# --- how it ends -----------------------------------------------------------------------------


def drop(held: list[Krixik]) -> None:
    held.clear()
    gc.collect()


async def test_what_is_dropped_open_warns(w: World) -> None:
    held = [w.another()]
    w.clients.remove(held[0])
    await held[0].check_in()
    said = r"<Krixik http://krixik.test \(open\)> was dropped open: use `async with` or `await kr"
    with pytest.warns(ResourceWarning, match=said):
        drop(held)


@pytest.mark.parametrize("closed", [True, False])
async def test_what_is_closed_or_was_never_used_does_not_warn(w: World, closed: bool) -> None:
    held = [w.another()]
    w.clients.remove(held[0])
    if closed:
        await held[0].check_in()
        await held[0].aclose()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drop(held)


async def test_it_may_be_opened_in_one_task_and_closed_in_another(w: World) -> None:
    """As pytest fixtures and web frameworks do; with a wait begun in a third."""
    krixik = w.another()
    jobs: list[Job] = []

    async def set_up() -> None:
        await krixik.__aenter__()
        jobs.append(await w.done(w.books(client=krixik)))

    async def use() -> None:
        assert (await jobs[0]).state == "complete"

    async def tear_down() -> None:
        await krixik.__aexit__(None, None, None)

    for step in (set_up, use, tear_down):
        async with anyio.create_task_group() as group:
            group.start_soon(step)
    assert repr(krixik).endswith("(closed)>")


async def test_an_error_in_the_body_leaves_as_it_is(w: World) -> None:
    """No ExceptionGroup around it, whatever is under way."""
    error = KeyError("mine")
    krixik = w.another()

    def body(_: object) -> None:
        raise error

    async def use() -> None:
        async with krixik:
            job = await w.books(client=krixik).process(local_file_path=TEXT, file_name="a.txt")
            await krixik.wait_until_complete(job, on_update=body)

    with pytest.raises(KeyError) as caught:
        await use()
    assert caught.value is error
    assert (len(krixik._opened.scheduler), len(krixik._opened.tasks)) == (0, 0)


async def test_closing_ends_waits_calls_and_uploads(w: World) -> None:
    """Each with ClientClosed; closing twice, or at once from two tasks, is once."""
    pipeline = w.books()
    job = await pipeline.process(local_file_path=TEXT, file_name="a.txt")
    w.fail(STATUS, answer=says(503, b"", **{"Retry-After": "50"}))
    w.fail(UPLOAD, before=httpx.ReadError("reset"), swallow=True)

    async def stream() -> None:
        async for _ in pipeline.as_completed(job):
            raise AssertionError

    async with anyio.create_task_group() as group:
        group.start_soon(closed_while, job.wait)
        group.start_soon(closed_while, stream)
        group.start_soon(closed_while, lambda: pipeline.process_status(request_id=UNKNOWN))
        group.start_soon(
            closed_while, lambda: pipeline.process(local_file_path=TEXT, file_name="b.txt")
        )
        await w.clock.sleep(3)
        group.start_soon(w.client.aclose)
        await w.client.aclose()
    await w.client.aclose()
    session = w.client._opened
    assert (len(session.tasks), len(session.scheduler)) == (0, 0)


async def test_everything_after_closing_says_so(w: World) -> None:
    krixik = w.client
    pipeline = w.books()
    token = (await pipeline.wait_until_complete(UNKNOWN, timeout=0)).resume_token
    ref = JobRef(request_id=UNKNOWN, pipeline="books")
    await krixik.aclose()
    before = len(w.sent)
    calls: list[Callable[[], Any]] = [
        krixik.check_in,
        lambda: krixik.wait_until_complete(ref),
        lambda: anext(krixik.as_completed(ref)),
        lambda: krixik.resume(token),
        lambda: krixik.reset_pipeline(pipeline),
    ]
    for call in calls:
        await closed_while(call)
    assert len(w.sent) == before


async def test_closing_in_a_cancelled_task_still_closes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    krixik = virtual(min_module_seconds=100)
    pipeline = krixik.create_pipeline(name="books", module_chain=["parser"])
    await pipeline.process(local_file_path=TEXT, file_name="a.txt")
    with anyio.CancelScope() as scope:
        scope.cancel()
        await krixik.aclose()
    assert (len(krixik._opened.tasks), entries(tmp_path)) == (0, [])


async def test_a_transport_that_was_handed_in_is_closed_and_a_client_is_not() -> None:
    closed: list[str] = []

    class Noting(httpx.MockTransport):
        async def aclose(self) -> None:
            closed.append("transport")

    def answer(request: httpx.Request) -> httpx.Response:
        return says(200, {})

    async with Krixik(api_key=KEY, api_url=URL, http_transport=Noting(answer)) as krixik:
        await krixik.check_in()
    assert closed == ["transport"]
    async with httpx.AsyncClient(transport=Noting(answer)) as http_client:
        async with Krixik(api_key=KEY, api_url=URL, http_client=http_client) as krixik:
            await krixik.check_in()
        assert (closed, http_client.is_closed) == (["transport"], False)


async def test_an_http_client_that_was_closed_too_early_is_told_of() -> None:
    async with httpx.AsyncClient() as http_client:
        pass
    async with Krixik(api_key=KEY, api_url=URL, http_client=http_client) as krixik:
        with pytest.raises(ClientClosed, match="it has to outlive this client"):
            await krixik.check_in()
        pipeline = krixik.create_pipeline(name="books", module_chain=["parser"])
        with pytest.raises(ClientClosed, match="it has to outlive this client"):
            await pipeline.wait_until_complete("33333333-3333-4333-8333-333333333333")


INTERRUPTED = """
import anyio, signal, sys
from krixik_async import Krixik

# What a shell starts in the background ignores Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

async def main():
    async with Krixik.local(min_module_seconds=1000) as krixik:
        pipeline = krixik.create_pipeline(name="books", module_chain=["keyword-db"])
        text = b"one two three four five six"
        job = await pipeline.process(local_file_path=text, file_name="a.txt")
        print("waiting", flush=True)
        await job

anyio.run(main, backend=sys.argv[1])
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_interrupt_ends_it_at_once_with_nothing_left(backend: str, tmp_path: Path) -> None:
    """Ctrl-C in the middle of a wait: KeyboardInterrupt and no other word."""
    process = subprocess.Popen(
        [sys.executable, "-X", "dev", "-c", INTERRUPTED, backend],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert time.monotonic() - started < 5  # 2 s on a machine that has nothing else to do
    assert said.strip().endswith("KeyboardInterrupt")
    assert [word for word in ("Warning", "never retrieved", "destroyed") if word in said] == []
    assert entries(tmp_path) == []


# --- two in one process ----------------------------------------------------------------------


async def test_two_accounts_on_one_server_see_nothing_of_each_other(w: World) -> None:
    other = w.another(OTHER_KEY)
    mine, theirs = w.books(), w.books(client=other)
    job = await w.done(mine)
    assert await w.names(theirs) == []
    for call, kind in (
        (lambda: theirs.process_status(request_id=job.request_id), RequestNotFound),
        (lambda: theirs.fetch_output(file_id=job.file_id), FileRecordNotFound),
        (lambda: theirs.delete(file_id=job.file_id), FileRecordNotFound),
    ):
        with pytest.raises(kind):
            await call()  # type: ignore[no-untyped-call]
    found = await theirs.keyword_search(query="bright", file_ids=[job.file_id])
    assert len(found) == 0
    same_path = await w.done(theirs)
    assert same_path.file_name == job.file_name
    assert await other.reset_pipeline(theirs)
    assert (await w.names(mine), await w.names(theirs)) == (["a.txt"], [])


async def test_closing_one_client_leaves_the_other_alone(w: World) -> None:
    other = w.another()
    job = await w.books(client=other).process(local_file_path=TEXT, file_name="a.txt")
    await w.client.aclose()
    assert (await job).state == "complete"


# --- waiting over pipelines ------------------------------------------------------------------


async def jobs_of_two_pipelines(w: World) -> list[Job]:
    return [
        await w.books(*chain, name=name).process(local_file_path=TEXT, file_name=f"{name}.txt")
        for name, chain in (("a", ("parser", "json-to-txt")), ("b", ("keyword-db",)))
    ]


async def test_jobs_of_several_pipelines_are_waited_for_together(w: World) -> None:
    first, second = await jobs_of_two_pipelines(w)
    result = await w.client.wait_until_complete([second, first.ref, second.ref])
    assert list(result) == [second.request_id, first.request_id]
    assert (states(result), result.timed_out) == (["complete"] * 2, False)
    assert [len(outcome.modules) for outcome in result.values()] == [1, 2]


async def test_jobs_of_several_pipelines_come_as_they_come(w: World) -> None:
    first, second = await jobs_of_two_pipelines(w)
    came = [outcome.request_id async for outcome in w.client.as_completed([first, second.ref])]
    assert came == [second.request_id, first.request_id]


async def test_one_job_need_not_be_a_list(w: World) -> None:
    first, second = await jobs_of_two_pipelines(w)
    assert states(await w.client.wait_until_complete(second)) == ["complete"]
    assert states([o async for o in w.client.as_completed(first.ref)]) == ["complete"]


@pytest.mark.parametrize("jobs", [UNKNOWN, [UNKNOWN], [7], [None]])
async def test_a_bare_request_id_is_refused(w: World, jobs: Any) -> None:
    """A client does not know which pipeline it is of; the error says whom to ask."""
    said = "for a bare request_id call wait_until_complete of the pipeline"
    with pytest.raises(InvalidArgumentType, match=said):
        await w.client.wait_until_complete(jobs)
    with pytest.raises(InvalidArgumentType, match=said):
        w.client.as_completed(jobs)
    assert w.sent == []


async def test_a_token_of_several_pipelines_goes_on_elsewhere(w: World) -> None:
    jobs = await jobs_of_two_pipelines(w)
    result = await w.client.wait_until_complete(jobs, timeout=1)
    told: list[str] = []
    resumed = await w.another().resume(
        result.resume_token,
        return_when="first",
        on_update=lambda outcome: told.append(outcome.state),
    )
    assert (states(resumed), resumed.timed_out) == (["pending", "complete"], False)
    assert told[-1] == "complete"


async def test_a_job_of_another_account_is_refused_and_not_taken_for_deleted(w: World) -> None:
    """The service says of it that there is none; what the reference knows would do the rest."""
    jobs = await jobs_of_two_pipelines(w)
    token = (await w.client.wait_until_complete(jobs, timeout=0)).resume_token
    before, said = len(w.sent), "was sent with another api_key or to another api_url"
    elsewhere = Krixik(api_key=KEY, api_url=f"{URL}/beta", http_transport=w.wire, clock=w.clock)
    w.clients.append(elsewhere)
    for other in (w.another(OTHER_KEY), elsewhere):
        ref = jobs[0].ref
        pipeline = other.create_pipeline(name=ref.pipeline, module_chain=["keyword-db"])
        calls: list[Callable[[], Any]] = [
            lambda other=other: other.resume(token),
            lambda other=other, ref=ref: other.wait_until_complete(ref),
            lambda other=other, ref=ref: anext(other.as_completed(ref)),
            lambda other=other, ref=ref: anext(other.watch(ref)),
            lambda pipeline=pipeline, ref=ref: pipeline.wait_until_complete([ref]),
        ]
        for call in calls:
            with pytest.raises(InvalidArgument, match=said) as caught:
                await call()
            accounts = (str(ref.account), other._opened.account, ref.request_id)
            assert all(words in str(caught.value) for words in accounts)
            assert KEY not in str(caught.value)
    assert len(w.sent) == before


async def test_a_job_of_one_account_goes_from_client_to_client_with_a_new_key_too(
    w: World,
) -> None:
    """What the caller says is his is looked for: a key may be changed while jobs go on."""
    first, _ = await jobs_of_two_pipelines(w)
    same = w.another(max_in_flight=3).with_options(attempts=2)
    assert states(await same.wait_until_complete(first.ref)) == ["complete"]
    renewed = attrs.evolve(first.ref, account=None)
    assert states(await w.another(OTHER_KEY).wait_until_complete(renewed)) == ["deleted"]


async def test_every_reference_that_a_client_makes_says_whose_it_is(w: World) -> None:
    books = w.books()
    job = await books.process(local_file_path=TEXT, file_name="a.txt")
    waited = await books.wait_until_complete([job, UNKNOWN], timeout=0)
    many = [one async for one in books.process_many([FileInput(TEXT, file_name="b.txt")])]
    refs = [job.ref, *(outcome.job for outcome in waited.values()), many[0].job]
    assert {ref and ref.account for ref in refs} == {w.client._opened.account}


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        (None, InvalidArgumentType),
        (b"{}", InvalidArgumentType),
        ("", InvalidArgument),
        ("[]", InvalidArgument),
        ('{"krixik_async": 99, "jobs": []}', InvalidArgument),
        ('{"krixik_async": 1, "jobs": [["x", "books", null, null, null, 1]]}', InvalidArgument),
    ],
)
async def test_a_token_that_is_none(w: World, token: Any, kind: type[KrixikError]) -> None:
    with pytest.raises(kind, match="token"):
        await w.client.resume(token)
    assert w.sent == []


# --- resetting -------------------------------------------------------------------------------


async def filled(w: World, count: int) -> list[str]:
    """Fill "books" with finished files; give their file_ids in order."""
    jobs = [
        await w.books().process(local_file_path=TEXT, file_name=f"{n}.txt") for n in range(count)
    ]
    await w.client.wait_until_complete(jobs)
    return [job.file_id for job in jobs]


async def test_a_reset_deletes_every_finished_file_and_leaves_those_in_work(w: World) -> None:
    file_ids = await filled(w, 8)
    working = await w.books().process(local_file_path=TEXT, file_name="late.txt")
    other = await w.done(w.books(name="others"))
    await w.books().process(local_file_path=TEXT, file_name="later.txt")
    result = await w.client.reset_pipeline(w.books())
    deleted = {*file_ids, working.file_id}  # finished while the other was waited for
    assert (result.pipeline, set(result.deleted), result.failures) == ("books", deleted, {})
    assert await w.names(w.books(name="others")) == [other.file_name]
    await w.clock.sleep(30)
    assert await w.names(w.books()) == ["later.txt"]


async def test_an_empty_pipeline_is_reset_by_one_look(w: World) -> None:
    result = await w.client.reset_pipeline(w.books())
    assert (result.deleted, result.failures, w.sent) == ((), {}, [LIST])


async def test_a_file_that_cannot_be_deleted_is_named_and_stops_nobody(w: World) -> None:
    file_ids = await filled(w, 5)
    w.fail(DELETE, answer=says(400, {"request_id": "r", "message": "BAD REQUEST: moon"}))
    w.fail(DELETE, answer=says(500, {"request_id": "r", "message": "no"}), times=4, skip=4)
    result = await w.client.reset_pipeline(w.books())
    kinds = sorted(type(error).__name__ for error in result.failures.values())
    assert kinds[0] == RequestRejected.__name__
    assert set(kinds) <= {RequestRejected.__name__, ServerError.__name__}
    assert {*result.deleted, *result.failures} == set(file_ids)
    assert len(result.deleted) + len(result.failures) == 5
    left = await w.books().list(symbolic_directory_paths=["/*"])
    assert {record.file_id for record in left} == set(result.failures)


async def test_a_list_that_is_cut_off_is_asked_for_again(w: World) -> None:
    """However many files there are: what one list did not show, the next does."""
    file_ids = await filled(w, 7)

    def three(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        body = response.json()
        return says(200, {**body, "items": body["items"][:3]})

    w.fail(LIST, answer=three, times=9)
    result = await w.client.reset_pipeline(w.books())
    assert set(result.deleted) == set(file_ids)
    assert w.sent.count(LIST) == 4
    assert {body["max_files"] for body in w.wire.bodies if "max_files" in body} == {10_000}


async def test_a_list_that_lags_behind_does_not_go_round_for_ever(w: World) -> None:
    """What is deleted and still shown is neither deleted twice nor a failure."""
    file_ids = await filled(w, 3)
    seen: list[httpx.Response] = []

    def stale(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        seen.append(response)
        return says(200, seen[0].json())

    w.fail(LIST, answer=stale, times=99)
    result = await w.client.reset_pipeline(w.books())
    assert (sorted(result.deleted), result.failures) == (sorted(file_ids), {})
    assert w.sent.count(DELETE) == 3


async def test_a_file_that_somebody_else_deleted_is_no_failure(w: World) -> None:
    await filled(w, 1)
    w.fail(DELETE, answer=says(400, {"request_id": "r", "message": "FAILURE: file_id not found"}))
    result = await w.client.reset_pipeline(w.books())
    assert (result.deleted, result.failures) == ((), {})


async def test_a_file_that_is_taken_up_again_is_a_failure(w: World) -> None:
    (file_id,) = await filled(w, 1)
    message = "The output for associated with your input file_id has not finished processing"
    w.fail(DELETE, answer=says(200, {"request_id": "r", "message": message}))
    result = await w.client.reset_pipeline(w.books())
    assert {k: type(v) for k, v in result.failures.items()} == {file_id: NotFinished}


async def test_a_key_that_is_rejected_in_the_middle_ends_the_reset(w: World) -> None:
    await filled(w, 20)
    w.fail(DELETE, answer=forbidden(), times=999, skip=2)
    with pytest.raises(AuthenticationError) as caught:
        await w.client.reset_pipeline(w.books())
    assert caught.value.pipeline == "books"
    assert w.sent.count(DELETE) <= 2 + 16 * 2
    assert len(await w.names(w.books())) == 18


async def test_a_reset_that_cannot_list_says_why(w: World) -> None:
    w.fail(LIST, answer=says(500, {"request_id": "r", "message": "no"}), times=99)
    with pytest.raises(ServerError):
        await w.client.reset_pipeline(w.books())


async def test_a_cancelled_reset_stops_deleting(w: World) -> None:
    await filled(w, 3)
    w.fail(DELETE, answer=says(503, b"", **{"Retry-After": "50"}), times=99)
    with anyio.move_on_after(5) as scope:
        await w.client.reset_pipeline(w.books())
    assert scope.cancelled_caught
    sent = w.sent.count(DELETE)
    await w.clock.sleep(200)
    assert w.sent.count(DELETE) == sent


@pytest.mark.parametrize("pipeline", [None, "books", 7])
async def test_what_is_no_pipeline_cannot_be_reset(w: World, pipeline: Any) -> None:
    with pytest.raises(InvalidArgumentType, match="but must be a Pipeline"):
        await w.client.reset_pipeline(pipeline)
    assert w.sent == []


async def test_a_pipeline_of_another_client_is_not_reset(w: World) -> None:
    """It may be of another account, whose files the caller did not mean."""
    theirs = w.books(client=w.another(OTHER_KEY))
    with pytest.raises(InvalidArgument, match="'books' was made by another client"):
        await w.client.reset_pipeline(theirs)
    assert w.sent == []


async def test_a_job_of_another_client_is_not_waited_for_but_its_reference_is(w: World) -> None:
    """Its account may be another, which would say "not found"; the reference is a free choice."""
    job = await w.books().process(local_file_path=TEXT, file_name="a.txt")
    other = w.another()
    for wait in (other.wait_until_complete, w.books(client=other).wait_until_complete):
        with pytest.raises(InvalidArgument, match=f"job {job.request_id} was sent by another"):
            await wait(job)
        assert len((await wait(job.ref)).complete) == 1


# --- somebody else's HTTP --------------------------------------------------------------------


def mocked(router: respx.Router) -> None:
    """Be a service by hand, whose file is done at once."""
    form = {"url": "https://uploads.test/", "fields": {"key": "k"}}
    ticket = {"request_id": UNKNOWN, "file_id": UNKNOWN, "presigned_post_url_results": form}
    links = [{"url": "https://downloads.test/x?signature=1", "extension": ".json"}]
    answers: dict[str, dict[str, Any]] = {
        TICKET: ticket,
        STATUS: {
            "request_id": str(uuid.UUID(int=1)),
            "file_id": UNKNOWN,
            "process_status": {"module_1": True},
        },
        "/krixik-core-fetch-output": {
            "request_id": "r",
            "pipeline": "books",
            "message": "SUCCESS.",
            "process_output": links,
        },
    }
    for path, body in answers.items():
        router.post(f"https://api.test{path}").respond(json=body)
    router.post("https://uploads.test/").respond(204)
    router.get("https://downloads.test/x").respond(json=[{"snippet": "a"}])


@pytest.mark.parametrize("using", ["httpcore", "httpx"])
async def test_respx_sees_a_client_that_is_handed_in(tmp_path: Path, using: str) -> None:
    with respx.mock(using=using) as router:
        mocked(router)
        async with (
            httpx.AsyncClient(headers={"X-Mine": "1"}) as http_client,
            Krixik(
                api_key=KEY,
                api_url="https://api.test",
                http_client=http_client,
                offload=InlineOffload(),
                rng=random.Random(1),
            ) as krixik,
        ):
            output = await krixik.create_pipeline(name="books", module_chain=["parser"]).process(
                local_file_path=TEXT,
                file_name="a.txt",
                wait_for_process=True,
                local_save_directory=tmp_path,
            )
        assert output.process_output == [{"snippet": "a"}]
        asked, uploaded = router.calls[0].request, router.calls[1].request
        assert asked.headers["krixikApiKey"] == KEY
        assert "krixikApiKey" not in uploaded.headers
        assert TEXT in uploaded.content


# --- another event loop --------------------------------------------------------------------------


def trio_run(coroutine: Any) -> None:
    trio.run(lambda: coroutine)


class Unclosable(httpx.AsyncBaseTransport):
    """Answer, and fail to close as sockets of a loop that has ended do."""

    async def handle_async_request(self, _: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"status_code": 200, "request_id": "r", "message": "ok"})

    async def aclose(self) -> None:
        raise RuntimeError("Event loop is closed")


# Each runs a loop of its own; the second of them may be of the other library.
RUNS = {
    "asyncio": (asyncio.run, asyncio.run),
    "trio": (trio_run, trio_run),
    "asyncio, then trio": (asyncio.run, trio_run),
    "trio, then asyncio": (trio_run, asyncio.run),
}
every_two_runs = pytest.mark.parametrize("runs", RUNS.values(), ids=RUNS)


@every_two_runs
def test_on_another_event_loop_a_client_says_so_and_closes(runs: tuple[Any, Any]) -> None:
    first, second = runs
    client = Krixik(api_key="k" * 36, api_url=URL, http_transport=Unclosable())
    job = JobRef(request_id=str(uuid.UUID(int=1)), pipeline="books")

    async def go_on() -> None:
        with pytest.raises(ClientClosed, match="belongs to the event loop of its first call"):
            await client.check_in()
        with pytest.raises(ClientClosed, match="belongs to the event loop of its first call"):
            await client.wait_until_complete(job)
        await client.aclose()
        await client.aclose()

    first(client.check_in())
    second(go_on())


@pytest.mark.parametrize("run", [asyncio.run, trio_run])
def test_so_does_one_that_has_its_server_inside(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    client = Krixik.local()

    async def go_on() -> None:
        with pytest.raises(ClientClosed, match="belongs to the event loop of its first call"):
            await client.check_in()
        await client.aclose()

    run(client.check_in())
    run(go_on())
