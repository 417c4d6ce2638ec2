"""Nothing that was said in confidence appears in a log, a repr, a message or behind an error.

Everything is looked at: all loggers at DEBUG, the HTTP libraries' own among them, and of each
error its text, its arguments, its notes and those of every error it is chained to.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import respx
from httpx_aiohttp import HttpxAiohttpClient

from krixik_async._errors import KrixikError
from krixik_async._sources import BytesSource
from krixik_async._transport._seam import HideQueries, PresignedURL, hidden
from tests.transport_world import (
    KEY,
    SECRETS,
    SENDERS,
    STATUS,
    Peer,
    raw_server,
    read_text,
    settled,
    ticket_for,
    transport_by,
    transport_to,
)

pytestmark = pytest.mark.anyio
by_every_sender = pytest.mark.parametrize("sender", SENDERS)
LINK = "/out/a.json?X-Signature=SECRET-QUERY"


async def ok(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.answer(200, b"ok")


async def confirm(peer: Peer) -> None:
    await peer.request()
    await peer.answer(204, b"")


async def refuse(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.answer(403, b"<Error>SECRET</Error>")


async def drop(peer: Peer) -> None:
    await peer.head()
    await peer.reset()


async def babble(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 abc\r\n\r\n")


async def half(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")


def everything_said_by(error: BaseException | None) -> str:
    said = []
    while error is not None:
        said += [str(error), repr(error), repr(error.args), repr(getattr(error, "__notes__", ""))]
        said.append("".join(traceback.format_exception(error)))
        if not isinstance(error, KrixikError):
            said.append(repr(vars(error)))
        error = error.__cause__ or error.__context__
    return "\n".join(said)


@by_every_sender
@pytest.mark.parametrize("act", [ok, confirm, refuse, drop, babble, half, None])
async def test_no_secret_is_told_whatever_happens(
    sender: str, act: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = "http://127.0.0.1:9"
    said: list[str] = []

    async def attempt(work: Callable[[], Any]) -> None:
        try:
            await work()
        except KrixikError as error:
            said.append(everything_said_by(error))

    async def three(url: str) -> None:
        async with transport_by(sender, url, attempts=2) as world:
            transport = world.transport
            said.append(repr(vars(transport)["_config"]))
            await attempt(lambda: transport.call(STATUS, read_text))
            await attempt(
                lambda: transport.upload(ticket_for(url), BytesSource(b"x"), file_name="a")
            )
            await attempt(lambda: transport.download(url + LINK, tmp_path / "a"))
            await settled(world.tasks)

    if act is None:
        await three(url)
    else:
        async with raw_server(act) as server:
            await three(server.url)
    records = [
        f"{record.name}: {record.getMessage()} {record.__dict__!r}" for record in caplog.records
    ]
    assert any("krixik_async" in record for record in records)
    for text in [*said, *records]:
        assert SECRETS.search(text) is None, text


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_users_aiohttp_client_works_with_presigned_links(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """That transport reads `str(request.url)`: hiding the query there would break the link."""
    caplog.set_level(logging.DEBUG)
    heads: list[str] = []

    async def handler(peer: Peer) -> None:
        heads.append((await peer.request()).head.splitlines()[0])
        await peer.answer(200, b"ok")

    async with (
        raw_server(handler) as server,
        HttpxAiohttpClient() as client,
        transport_to(server.url, http_client=client) as world,
    ):
        assert await world.transport.download(server.url + LINK, tmp_path / "a") == 2
    assert heads == [f"GET {LINK} HTTP/1.1"]
    assert "HTTP Request: GET" in caplog.text
    assert "SECRET" not in caplog.text


async def test_other_requests_of_the_same_client_are_logged_as_ever(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with (
        raw_server(ok) as server,
        httpx.AsyncClient() as client,
        transport_to(server.url, http_client=client),
    ):
        await client.get(server.url + "/own?q=1")
    assert "/own?q=1" in caplog.text
    assert not [f for f in logging.getLogger("httpx").filters if isinstance(f, HideQueries)]


def test_a_record_without_arguments_passes_the_filter() -> None:
    record = logging.LogRecord("httpx", 20, "p", 1, "text", None, None)
    assert HideQueries().filter(record)
    assert record.getMessage() == "text"


def test_a_presigned_url_is_whole_for_machines_and_hidden_in_reprs() -> None:
    url = PresignedURL("https://host:8443/a%20b/c?SECRET#f")
    assert str(url) == "https://host:8443/a%20b/c?SECRET#f"
    assert repr(url) == "PresignedURL('https://host:8443/a b/c')"
    assert hidden(httpx.URL("https://host/x")) == "https://host/x"


# --- respx, which users mock with ----------------------------------------------------------


@respx.mock
async def test_respx_answers_for_a_users_client(tmp_path: Path) -> None:
    api = respx.post("http://api.test/krixik-core-process-status").mock(
        return_value=httpx.Response(200, text="mocked")
    )
    upload = respx.post("http://h/bucket?X-Signature=SECRET-QUERY").mock(
        return_value=httpx.Response(204)
    )
    respx.get("http://h/out?SECRET").mock(
        side_effect=[httpx.ConnectError("x"), httpx.Response(200, content=b"there")]
    )
    async with (
        httpx.AsyncClient() as client,
        transport_to("http://api.test", http_client=client) as world,
    ):
        assert await world.transport.call(STATUS, read_text) == "mocked"
        await world.transport.upload(ticket_for("http://h"), BytesSource(b"abc"), file_name="a")
        assert await world.transport.download("http://h/out?SECRET", tmp_path / "a") == 5
        assert await anyio.Path(tmp_path / "a").read_bytes() == b"there"
    assert api.calls[0].request.headers["krixikApiKey"] == KEY
    assert b"abc\r\n--" in upload.calls[0].request.content
