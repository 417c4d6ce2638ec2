"""The in-process transport against small applications, each with one habit."""

from __future__ import annotations

import logging
from typing import Any, Self

import anyio
import anyio.lowlevel
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request  # noqa: TC002 - starlette reads the annotations
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from krixik_async._errors import (
    AnswerLost,
    ClientClosed,
    FileChanged,
    InvalidArgument,
    ServerError,
    ServiceError,
    UploadInterrupted,
)
from krixik_async._sources import BytesSource
from krixik_async._tasks import TaskSet
from krixik_async._transport import InProcessTransport, _asgi
from tests.transport_world import STATUS, read_text, settled, ticket_for, transport_to

pytestmark = pytest.mark.anyio
URL = "http://krixik.local"


def only_http(inner: Any) -> Any:
    """Make an application that knows no lifespan."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await inner(scope, receive, send)

    return app


async def answer(send: Any, status: int = 200, body: bytes = b"ok") -> None:
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": body})


class House:
    """Hold an application in process; `async with` closes it."""

    def __init__(self, app: Any) -> None:
        self.tasks = TaskSet()
        self.transport = InProcessTransport(app, tasks=self.tasks)
        self.client = httpx.AsyncClient(transport=self.transport, base_url=URL)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()
        await settled(self.tasks)

    async def get(self, path: str = "/", *, method: str = "GET", **options: Any) -> httpx.Response:
        return await self.client.request(method, path, **options)


# --- requests ------------------------------------------------------------------------------


async def test_the_application_sees_the_request_as_a_server_would_show_it() -> None:
    seen: dict[str, Any] = {}

    @only_http
    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.update(scope, message=await receive())
        await answer(send, 201, b"made")

    async with House(app) as house:
        response = await house.get(
            "/a%20b/c?q=1%2F2", method="POST", content=b"body", headers={"X-Some": "Thing"}
        )
    assert (response.status_code, response.content) == (201, b"made")
    headers = dict(seen.pop("headers"))
    assert headers[b"x-some"] == b"Thing"
    assert headers[b"content-length"] == b"4"
    assert [*seen.pop("extensions")] == ["krixik_async.hang_up"]
    assert seen == {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/a b/c",
        "raw_path": b"/a%20b/c",
        "query_string": b"q=1%2F2",
        "root_path": "",
        "client": None,
        "server": ("krixik.local", None),
        "state": {},
        "message": {"type": "http.request", "body": b"body", "more_body": True},
    }


async def test_an_answer_streams_at_the_pace_of_its_reader() -> None:
    sent: list[int] = []

    async def numbers(request: Request) -> StreamingResponse:
        async def pieces() -> Any:
            for number in range(100):
                sent.append(number)
                yield f"{number},".encode()

        return StreamingResponse(pieces())

    async with House(Starlette(routes=[Route("/", numbers)])) as house:
        response = await house.transport.handle_async_request(httpx.Request("GET", URL))
        pieces = aiter(response.stream)  # type: ignore[arg-type]
        assert await anext(pieces) == b"0,"
        await anyio.wait_all_tasks_blocked()
        assert len(sent) <= 3
        rest = b"".join([piece async for piece in pieces])
        await response.aclose()
    assert rest == ",".join(map(str, range(1, 100))).encode() + b","


async def test_a_body_streams_at_the_pace_of_the_application() -> None:
    read = anyio.Event()
    given: list[int] = []

    class Body(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            for number in range(10):
                given.append(number)
                yield bytes(10)

    async def count(request: Request) -> PlainTextResponse:
        size, chunks = 0, request.stream()
        async for chunk in chunks:
            size += len(chunk)
            await read.wait()
        return PlainTextResponse(str(size))

    async with House(Starlette(routes=[Route("/", count, methods=["POST"])])) as house:
        responses = []

        async def post() -> None:
            request = httpx.Request("POST", URL, stream=Body())
            response = await house.transport.handle_async_request(request)
            await response.aread()
            responses.append(response.text)

        async with anyio.create_task_group() as group:
            group.start_soon(post)
            await anyio.wait_all_tasks_blocked()
            assert given == [0]
            read.set()
    assert responses == ["100"]


async def test_a_request_ends_for_the_application_when_its_answer_is_out() -> None:
    seen: list[str] = []

    @only_http
    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((await receive())["type"])
        assert not (await receive()).get("more_body")
        await answer(send)
        seen.append((await receive())["type"])

    async with House(app) as house:
        await house.get(method="POST", content=b"x")
        await anyio.wait_all_tasks_blocked()
    assert seen == ["http.request", "http.disconnect"]


# --- failures ------------------------------------------------------------------------------


async def test_an_error_of_the_application_is_an_answer_of_500(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @only_http
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise LookupError("a bug in the server")

    async with House(broken) as house:
        assert (await house.get()).status_code == 500
    [record] = [r for r in caplog.records if r.name == "krixik_async.server"]
    assert record.levelno == logging.ERROR
    assert "a bug in the server" in str(record.exc_info)


async def test_an_application_that_answers_nothing_is_an_answer_of_500(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @only_http
    async def silent(scope: Any, receive: Any, send: Any) -> None:
        pass

    async with House(silent) as house:
        assert (await house.get()).status_code == 500
    assert "ended without an answer" in caplog.text


async def test_starlettes_own_500_is_logged_and_comes_out_as_it_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(request: Request) -> PlainTextResponse:
        raise LookupError("a bug in the route")

    async with House(Starlette(routes=[Route("/", broken)])) as house:
        response = await house.get()
        await anyio.wait_all_tasks_blocked()
    assert (response.status_code, response.text) == (500, "Internal Server Error")
    assert "a bug in the route" in caplog.text


async def test_an_answer_broken_off_is_not_taken_for_a_whole_one() -> None:
    @only_http
    async def breaks(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise LookupError("a bug in the middle")

    async with House(breaks) as house:
        with pytest.raises(httpx.RemoteProtocolError, match="broke off"):
            await house.get()


# --- a caller that leaves ------------------------------------------------------------------


async def test_a_caller_that_leaves_does_not_cancel_the_server() -> None:
    arrived, seen = anyio.Event(), []

    @only_http
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await receive()
        arrived.set()
        seen.append((await receive())["type"])
        seen.append((await receive())["type"])
        await anyio.lowlevel.checkpoint()
        with pytest.raises(OSError, match="gone"):
            await answer(send)
        seen.append("done")

    async with House(app) as house:
        async with anyio.create_task_group() as group:
            group.start_soon(house.get)
            await arrived.wait()
            group.cancel_scope.cancel()
        await anyio.wait_all_tasks_blocked()
        assert seen == ["http.disconnect", "http.disconnect", "done"]


async def test_a_reader_that_leaves_stops_the_stream(caplog: pytest.LogCaptureFixture) -> None:
    @only_http
    async def endless(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b"x", "more_body": True})

    async with House(endless) as house:
        response = await house.transport.handle_async_request(httpx.Request("GET", URL))
        pieces = aiter(response.stream)  # type: ignore[arg-type]
        assert await anext(pieces) == b"x"
        await anyio.wait_all_tasks_blocked()
        await response.aclose()
        await pieces.aclose()  # type: ignore[attr-defined]
        await anyio.wait_all_tasks_blocked()
        assert not house.transport._exchanges
    assert caplog.text == ""


async def test_an_error_of_the_callers_body_is_the_callers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[str] = []

    class Body(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            yield b"x"
            raise FileChanged("it grew")

    @only_http
    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] == "http.request":
            seen.append(message["type"])
        seen.append(message["type"])

    async with House(app) as house:
        with pytest.raises(FileChanged, match="it grew"):
            await house.transport.handle_async_request(httpx.Request("POST", URL, stream=Body()))
        await anyio.wait_all_tasks_blocked()
    assert seen == ["http.request", "http.disconnect"]
    assert caplog.text == ""


async def test_an_upload_given_up_does_not_look_like_a_whole_one() -> None:
    """Its stream ends where it was left; the application must not store that as the file."""
    waiting, go_on, seen = anyio.Event(), anyio.Event(), []

    class Body(httpx.AsyncByteStream):
        async def __aiter__(self) -> Any:
            yield b"half"
            waiting.set()
            await go_on.wait()

    @only_http
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(2):
            seen.append((await receive())["type"])

    async with House(app) as house:
        request = httpx.Request("POST", URL, stream=Body())
        async with anyio.create_task_group() as group:
            group.start_soon(house.transport.handle_async_request, request)
            await waiting.wait()
            group.cancel_scope.cancel()
        go_on.set()
        await anyio.wait_all_tasks_blocked()
    assert seen == ["http.request", "http.disconnect"]


# --- lifespan ------------------------------------------------------------------------------


def lifespan_app(seen: list[str], *, fail: BaseException | None = None, say: str = "") -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            seen.append(f"request {scope['state']}")
            scope["state"]["own"] = True
            await answer(send)
            return
        assert (await receive())["type"] == "lifespan.startup"
        if fail is not None:
            await send({"type": "lifespan.startup.failed", "message": say})
            raise fail
        scope["state"]["from"] = "startup"
        seen.append("started")
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        seen.append("stopped")
        await send({"type": "lifespan.shutdown.complete"})

    return app


async def test_the_lifespan_starts_with_the_first_request_and_ends_with_the_last() -> None:
    seen: list[str] = []
    async with House(lifespan_app(seen)) as house:
        assert seen == []
        await house.get()
        await house.get()
        assert seen == ["started", *["request {'from': 'startup'}"] * 2]
    assert seen[-1] == "stopped"
    await house.transport.aclose()
    with pytest.raises(ClientClosed, match="is closed"):
        await house.transport.handle_async_request(httpx.Request("GET", URL))


async def test_what_keeps_the_application_from_starting_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    trace = "Traceback:\n  File x\nOSError: the folder is not writable\n"
    async with House(lifespan_app([], fail=OSError("x"), say=trace)) as house:
        for _ in range(2):
            with pytest.raises(ServiceError, match="could not start: OSError: the folder is not"):
                await house.transport.handle_async_request(httpx.Request("GET", URL))
    assert "could not start" in caplog.text


async def test_an_error_of_ours_at_startup_is_raised_as_it_is() -> None:
    in_use = InvalidArgument("data_dir is in use by another process")
    async with House(lifespan_app([], fail=in_use, say="...")) as house:
        with pytest.raises(InvalidArgument, match="in use"):
            await house.transport.handle_async_request(httpx.Request("GET", URL))


async def test_a_failing_shutdown_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await answer(send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        raise LookupError("a bug at the end")

    async with House(app) as house:
        await house.get()
    assert "failed while it shut down" in caplog.text


async def test_closing_ends_what_does_not_end_on_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_asgi, "_END_WITHIN_S", 0.05)
    arrived = anyio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
        else:
            arrived.set()
        await anyio.sleep_forever()

    async with House(app) as house:
        responses = []

        async def get() -> None:
            request = httpx.Request("GET", URL)
            response = await house.transport.handle_async_request(request)
            responses.append(response.status_code)

        async with anyio.create_task_group() as group:
            group.start_soon(get)
            await arrived.wait()
            await house.transport.aclose()
    assert responses == [500]


async def test_a_transport_that_was_never_used_closes() -> None:
    async with House(lifespan_app([])):
        pass


# --- under the transport -------------------------------------------------------------------


async def test_calls_go_through_it_and_closing_the_transport_closes_it() -> None:
    seen: list[str] = []
    tasks = TaskSet()
    in_process = InProcessTransport(lifespan_app(seen), tasks=tasks)
    async with transport_to(URL, http_transport=in_process, tasks=tasks) as world:
        assert await world.transport.call(STATUS, read_text) == "ok"
        world.check_nothing_leaked()
    assert seen[-1] == "stopped"
    assert len(tasks) == 0


async def test_a_broken_server_is_a_server_error_and_a_cut_answer_a_lost_one() -> None:
    @only_http
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/bucket":
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
        raise LookupError("a bug")

    tasks = TaskSet()
    in_process = InProcessTransport(app, tasks=tasks)
    async with transport_to(URL, http_transport=in_process, tasks=tasks) as world:
        with pytest.raises(ServerError) as caught:
            await world.transport.call(STATUS, read_text)
        assert caught.value.attempts == 4
        with pytest.raises(UploadInterrupted, match="after 0 of"):
            await world.transport.upload(ticket_for(URL), BytesSource(b""), file_name="a")


async def test_a_confirmation_of_an_upload_that_was_not_read_is_not_believed() -> None:
    @only_http
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, 204, b"")

    tasks = TaskSet()
    in_process = InProcessTransport(app, tasks=tasks)
    async with transport_to(URL, http_transport=in_process, tasks=tasks) as world:
        with pytest.raises(AnswerLost, match="confirmed before the whole file"):
            await world.transport.upload(ticket_for(URL), BytesSource(b"x"), file_name="a")


async def test_a_cancelled_call_returns_while_the_server_works_on() -> None:
    arrived, go_on, seen = anyio.Event(), anyio.Event(), []

    @only_http
    async def app(scope: Any, receive: Any, send: Any) -> None:
        arrived.set()
        await go_on.wait()
        seen.append("worked on")

    tasks = TaskSet()
    in_process = InProcessTransport(app, tasks=tasks)
    async with transport_to(URL, http_transport=in_process, tasks=tasks) as world:
        async with anyio.create_task_group() as group:
            group.start_soon(world.transport.call, STATUS, read_text)
            await arrived.wait()
            group.cancel_scope.cancel()
        world.check_nothing_leaked()
        go_on.set()
    assert seen == ["worked on"]
