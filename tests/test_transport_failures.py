"""The map from a library's errors to ours: total, and never hopeful."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import aiohttp
import aiohttp.client_exceptions
import httpcore
import httpx
import pytest
from aiohttp.client_reqrep import ConnectionKey
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from krixik_async._errors import AnswerLost, ConnectFailed, KrixikError, UnexpectedReply
from krixik_async._transport._failures import describe, meaning, reported, timed_out
from krixik_async._transport._seam import Progress, host_of

HOST = "krixik.test:443"
CONNECTED = Progress()
SECRET_URL = "http://h/p?SECRET"


def family(root: type[BaseException]) -> Iterator[type[BaseException]]:
    yield root
    for child in root.__subclasses__():
        yield from family(child)


def made(kind: type[BaseException]) -> BaseException:
    """Make one without knowing what its constructor wants."""
    error = kind.__new__(kind)
    error.args = (f"said of {SECRET_URL}",)
    return error


REFUSED_BY_PROXY = aiohttp.ClientHttpProxyError(
    aiohttp.RequestInfo(URL(SECRET_URL), "CONNECT", CIMultiDictProxy(CIMultiDict())),
    (),
    status=407,
    message=f"said of {SECRET_URL}",
)
ALL = sorted(
    {
        kind
        for root in (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict, httpx.StreamError)
        for kind in family(root)
    }
    | set(family(aiohttp.ClientError)),
    key=lambda kind: (kind.__module__, kind.__name__),
)
CONNECT = {"ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError"}
BAD_URL = {"UnsupportedProtocol", "InvalidURL", "InvalidUrlClientError", "NonHttpUrlClientError"}
BAD_URL |= {"InvalidUrlRedirectClientError", "NonHttpUrlRedirectClientError"}
BAD_ANSWER = {"DecodingError", "TooManyRedirects", "HTTPStatusError", "CookieConflict"}


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_every_error_of_the_libraries_has_a_meaning_and_tells_no_secret(
    kind: type[Exception],
) -> None:
    assert issubclass(kind, reported())
    error = meaning("process", made(kind), CONNECTED, HOST)  # type: ignore[arg-type]
    ours = not kind.__module__.startswith("aiohttp")
    if kind.__name__ in BAD_URL:
        expected: type[KrixikError] = UnexpectedReply
    elif ours and kind.__name__ in CONNECT:
        expected = ConnectFailed
    elif ours and kind.__name__ in BAD_ANSWER:
        expected = UnexpectedReply
    else:
        expected = AnswerLost
    assert type(error) is expected
    assert "SECRET" not in str(error)
    assert error.__cause__ is None


def caused(outer: Exception, inner: BaseException) -> Exception:
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (aiohttp.ServerDisconnectedError(), AnswerLost),
        (aiohttp.ClientOSError(104, "Connection reset by peer"), AnswerLost),
        (aiohttp.ClientConnectionResetError("Cannot write to closing transport"), AnswerLost),
        (aiohttp.ClientConnectionError("Connector is closed"), AnswerLost),
        (aiohttp.SocketTimeoutError("x"), AnswerLost),
        (aiohttp.ServerTimeoutError("x"), AnswerLost),
        (aiohttp.ConnectionTimeoutError(f"Connection timeout to host {SECRET_URL}"), ConnectFailed),
        (made(aiohttp.ClientConnectorError), ConnectFailed),
        (made(aiohttp.ClientConnectorCertificateError), ConnectFailed),
        (made(aiohttp.ClientProxyConnectionError), ConnectFailed),
        (REFUSED_BY_PROXY, ConnectFailed),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_what_httpx_aiohttp_calls_a_connect_time_out_is_judged_by_its_cause(
    cause: BaseException, expected: type[KrixikError]
) -> None:
    error = meaning("process", caused(httpx.ConnectTimeout(""), cause), CONNECTED, HOST)
    assert type(error) is expected
    assert "SECRET" not in str(error)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (REFUSED_BY_PROXY, "the proxy answered 407"),
        (caused(httpx.ProxyError(""), REFUSED_BY_PROXY), "the proxy answered 407"),
        (httpx.ProxyError("502 Bad Gateway"), "the proxy answered 502"),
        (httpx.ProxyError("said of " + SECRET_URL), "ProxyError"),
    ],
)
def test_a_proxy_that_refuses_is_quoted_by_its_status_alone(error: Exception, words: str) -> None:
    assert str(meaning("list", error, Progress(is_connecting=True), HOST)) == (
        f"list could not connect to {HOST} ({words}). Nothing was sent"
    )


def test_without_aiohttp_httpxs_own_word_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(__import__("sys").modules, "aiohttp")
    assert aiohttp.ClientError not in reported()
    assert type(meaning("x", httpx.ConnectTimeout(""), CONNECTED, HOST)) is ConnectFailed
    assert type(meaning("x", httpx.ReadTimeout(""), CONNECTED, HOST)) is AnswerLost


def test_whatever_fails_while_connecting_was_never_sent() -> None:
    assert (
        type(meaning("x", httpx.ReadError(""), Progress(is_connecting=True), HOST)) is ConnectFailed
    )
    assert type(timed_out("x", 15.0, Progress(is_connecting=True), HOST)) is ConnectFailed
    assert str(timed_out("x", 15.0, CONNECTED, HOST)) == ("x got no answer within 15 s")


def test_a_hook_that_raises_for_statuses_is_told_so() -> None:
    error = meaning("list", made(httpx.HTTPStatusError), CONNECTED, HOST)  # type: ignore[arg-type]
    assert str(error) == (
        "list was answered, and a hook of the http_client that was passed raised HTTPStatusError: "
        "without its raise_for_status() the answer would have been read"
    )


def test_a_full_pool_is_told_with_its_cure() -> None:
    assert "limits=" in str(meaning("x", httpx.PoolTimeout(""), CONNECTED, HOST))


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://user:SECRET@krixik.test/path?key=SECRET", "krixik.test:443"),
        ("http://krixik.test", "krixik.test:80"),
        ("http://127.0.0.1:8642/x", "127.0.0.1:8642"),
        ("http://[::1]:8642/x", "[::1]:8642"),
    ],
)
def test_a_host_is_named_with_its_port_and_nothing_else(url: str, host: str) -> None:
    assert host_of(httpx.URL(url)) == host


def test_a_failed_connection_names_host_and_port_and_the_systems_reason() -> None:
    """And not the library's class, which calls a refused connection a time-out."""
    refused = caused(httpx.ConnectTimeout(""), ConnectionRefusedError(111, "x"))
    assert str(meaning("list", refused, CONNECTED, HOST)) == (
        "list could not connect to krixik.test:443 (Connection refused). Nothing was sent"
    )
    unknown = httpx.ConnectTimeout("")
    assert str(meaning("list", unknown, CONNECTED, HOST)) == (
        "list could not connect to krixik.test:443 (ConnectTimeout). Nothing was sent"
    )
    assert str(timed_out("list", 3.0, Progress(is_connecting=True), HOST)) == (
        "list could not connect to krixik.test:443 within 3 s. Nothing was sent"
    )


def test_the_systems_words_are_found_however_deep() -> None:
    refused = ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 1)")
    group = ExceptionGroup("several", [refused, refused])
    wrapped = httpcore.ConnectError(caused(OSError("All connection attempts failed"), group))
    assert describe(caused(httpx.ConnectError("x"), wrapped)) == "ConnectError: Connection refused"


def test_words_that_are_not_the_systems_are_left_out() -> None:
    """Aiohttp says the whole URL where an OSError has the system's words."""
    error = aiohttp.ClientOSError(32, f"Can not write request body for {SECRET_URL}")
    assert describe(error) == "ClientOSError"
    key = ConnectionKey("h", 443, True, True, None, None, None)
    verify = ssl.SSLCertVerificationError(1, "certificate verify failed: self-signed certificate")
    connector = aiohttp.ClientConnectorCertificateError(key, verify)
    assert describe(caused(httpx.ConnectError("x"), caused(connector, verify))) == (
        "ConnectError: certificate verify failed: self-signed certificate"
    )
