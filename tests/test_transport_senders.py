"""What is each sender's own: connections kept, proxies, what is imported when."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from krixik_async._errors import ConnectFailed, InvalidArgument, UploadRejected
from krixik_async._sources import BytesSource
from krixik_async._transport._machine import proxy_for
from krixik_async._transport._seam import Progress
from krixik_async._transport._sharded import ShardedSender
from tests.transport_world import (
    KEY,
    STATUS,
    SUBMIT,
    Peer,
    raw_server,
    read_text,
    ticket_for,
    transport_by,
    transport_to,
)

pytestmark = pytest.mark.anyio


EMPTY = BytesSource(b"")


async def ok(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.answer()


def test_no_http_library_of_the_default_senders_is_imported_early() -> None:
    code = (
        "import sys, krixik_async._transport;"
        "print([m for m in ('aiohttp', 'httpx_aiohttp', 'trio') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


@pytest.mark.parametrize("sender", ["default", "http_client"])
async def test_connections_are_kept_per_origin(sender: str) -> None:
    async with raw_server(ok) as api, raw_server(ok) as other:
        async with transport_by(sender, api.url) as world:
            for _ in range(5):
                await world.transport.call(STATUS, read_text)
                with pytest.raises(UploadRejected, match="instead of 204"):
                    await world.transport.upload(
                        ticket_for(other.url), BytesSource(b""), file_name="a"
                    )
        assert (api.connections, other.connections) == (1, 1)


async def stumble(sender: ShardedSender, request: httpx.Request) -> None:
    async with sender.open(request, Progress()) as response:
        await response.aread()
        raise KeyError


async def test_a_shard_that_may_be_upset_is_thrown_away() -> None:
    """After an error in the middle of an answer, and when the sender was closed meanwhile."""

    def idle(sender: ShardedSender) -> int:
        return sum(map(len, sender._idle.values()))

    async with raw_server(ok) as server:
        request = httpx.Request("POST", server.url, content=b"x")
        sender = ShardedSender()
        async with sender.open(request, Progress()) as response:
            await response.aread()
        assert idle(sender) == 1
        with pytest.raises(KeyError):
            await stumble(sender, request)
        assert idle(sender) == 0
        async with sender.open(request, Progress()) as response:
            await response.aread()
            await sender.aclose()
        assert idle(sender) == 0
    assert server.connections == 2


# --- proxies -------------------------------------------------------------------------------


def test_a_proxy_is_taken_from_the_machines_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    url = httpx.URL("http://krixik.test/x")
    assert proxy_for(url) is None
    monkeypatch.setenv("all_proxy", "http://everything:1")
    assert str(getattr(proxy_for(url), "url", None)) == "http://everything:1"
    monkeypatch.setenv("http_proxy", "plain:8080")
    assert str(getattr(proxy_for(url), "url", None)) == "http://plain:8080"
    monkeypatch.setenv("no_proxy", "krixik.test")
    assert proxy_for(url) is None


async def test_a_call_goes_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[str] = []

    async def proxy(peer: Peer) -> None:
        heads.append((await peer.request()).head)
        await peer.answer(200, b"by the proxy")

    async with raw_server(proxy) as server:
        monkeypatch.setenv("http_proxy", server.url.replace("//", "//me:p%40ss@"))
        monkeypatch.setenv("no_proxy", "")
        async with transport_to("http://krixik.test") as world:
            assert await world.transport.call(STATUS, read_text) == "by the proxy"
    assert heads[0].startswith("POST http://krixik.test/krixik-core-process-status HTTP/1.1")
    assert "proxy-authorization: basic bwu6cebzcw==" in heads[0].lower()


@pytest.mark.parametrize("user", ["", "me:p%40ss@"])
async def test_a_proxy_that_refuses_means_nothing_was_sent(
    user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def proxy(peer: Peer) -> None:
        got = await peer.head()
        assert bool(user) == ("authorization: basic bwu6cebzcw==" in got.head.lower())
        assert got.head.startswith("CONNECT krixik.test:443")
        assert KEY not in got.head
        await peer.answer(407, b"")

    async with raw_server(proxy) as server:
        monkeypatch.setenv("https_proxy", server.url.replace("//", f"//{user}"))
        monkeypatch.setenv("no_proxy", "")
        async with transport_to("https://krixik.test") as world:
            refused = r"krixik.test:443 \(the proxy answered 407\). Nothing was sent"
            with pytest.raises(ConnectFailed, match=refused):
                await world.transport.call(SUBMIT, read_text)


@pytest.mark.parametrize(
    ("address", "wrong"),
    [
        ("socks5://me:SECRET@krixik.test:1080", "is of the kind 'socks5', and must be http or"),
        ("ftp://krixik.test", "is of the kind 'ftp', and must be http or"),
        ("http://me:SECRET@krixik.test:port", "is no URL"),
    ],
)
async def test_a_proxy_that_cannot_be_used_is_named_by_its_variable(
    address: str, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not by its address, which may hold a password."""
    monkeypatch.setenv("https_proxy", address)
    monkeypatch.setenv("no_proxy", "")
    async with transport_to("https://krixik.test") as world:
        with pytest.raises(InvalidArgument) as info:
            await world.transport.call(SUBMIT, read_text)
    assert f"names for https (https_proxy, all_proxy) {wrong}" in str(info.value)
    assert "SECRET" not in str(info.value)


async def test_certificates_that_cannot_be_read_are_named_by_their_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("SSL_CERT_DIR", "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "gone.pem"))
    async with transport_to("https://krixik.test") as world:
        with pytest.raises(InvalidArgument) as info:
            await world.transport.call(SUBMIT, read_text)
    assert str(info.value) == (
        f"what secure connections need cannot be read (SSL_CERT_FILE={tmp_path}/gone.pem): "
        "FileNotFoundError: No such file or directory. Nothing was sent"
    )


async def test_a_server_that_speaks_no_tls_was_sent_nothing() -> None:
    async def no_tls(peer: Peer) -> None:
        await peer.take(10)
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with (
        raw_server(no_tls) as server,
        transport_to(server.url.replace("http:", "https:")) as world,
    ):
        with pytest.raises(ConnectFailed, match="Nothing was sent"):
            await world.transport.call(SUBMIT, read_text)
