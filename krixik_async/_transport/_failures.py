"""What a failed exchange means, whichever library reports it.

The one question is whether anything was sent. "Never sent" is claimed only where that can be
shown; everything after the first byte could have gone out counts as an answer lost.

Causes are not chained. httpx's and aiohttp's errors hold the request, and with it the presigned
query and the key, and some say the whole URL in their text; what is safe of them (class names, the
operating system's words) goes into our message instead.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import sys
from collections.abc import Iterator

import httpx

from krixik_async._errors import AnswerLost, ConnectFailed, KrixikError, UnexpectedReply
from krixik_async._transport._seam import Progress

_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    # The proxy could not be reached or refused to connect; no request had been handed to it.
    httpx.ProxyError,
)
# Whose words are the operating system's: aiohttp puts URLs into the `strerror` of its own classes.
_SYSTEM = ("builtins", "socket", "ssl")
_UNUSABLE_URL = (httpx.UnsupportedProtocol, httpx.InvalidURL)
_BAD_ANSWER = (
    httpx.DecodingError,
    httpx.TooManyRedirects,
    httpx.CookieConflict,
)

_STATUS = re.compile(r"[1-5]\d\d\b")


def reported() -> tuple[type[Exception], ...]:
    """Give the classes a sender may raise; what is none of them is a bug and passes unchanged.

    aiohttp's are among them, for its transport lets a few through as they are (a malformed head,
    for one).
    """
    return (
        httpx.HTTPError,
        httpx.InvalidURL,
        httpx.CookieConflict,
        httpx.StreamError,
        OSError,
        *_of_aiohttp("ClientError"),
    )


def meaning(name: str, error: Exception, progress: Progress, host: str) -> KrixikError:
    """Give our error for what a sender raised on the way to `host`; total over `reported()`."""
    why = describe(error)
    if isinstance(error, (*_UNUSABLE_URL, *_of_aiohttp("InvalidURL", "NonHttpUrlClientError"))):
        return UnexpectedReply(f"{name}: the service gave a URL that cannot be used ({why})")
    if isinstance(error, httpx.PoolTimeout):
        return ConnectFailed(
            f"{name} found no free connection in the http_client that was passed ({why}): give it "
            "more connections (limits=) or lower max_in_flight. Nothing was sent"
        )
    if progress.is_connecting or _never_sent(error):
        return ConnectFailed(
            f"{name} could not connect to {host} "
            f"({_system_words(error) or _proxys_answer(error) or why}). Nothing was sent"
        )
    if isinstance(error, httpx.HTTPStatusError):
        # Nothing in httpx raises it unasked.
        return UnexpectedReply(
            f"{name} was answered, and a hook of the http_client that was passed raised {why}: "
            "without its raise_for_status() the answer would have been read"
        )
    if isinstance(error, _BAD_ANSWER):
        return UnexpectedReply(f"{name} got an answer that cannot be read ({why})")
    return AnswerLost(f"{name} got no answer ({why})")


def timed_out(name: str, limit_s: float, progress: Progress, host: str) -> KrixikError:
    """Give our error for an attempt that took too long."""
    if progress.is_connecting:
        return ConnectFailed(
            f"{name} could not connect to {host} within {limit_s:g} s. Nothing was sent"
        )
    return AnswerLost(f"{name} got no answer within {limit_s:g} s")


def describe(error: BaseException) -> str:
    """Say what happened in words that cannot hold a secret."""
    said = _system_words(error)
    return type(error).__name__ + (f": {said}" if said else "")


def _system_words(error: BaseException) -> str:
    """Give the operating system's words for it; "" if it has none.

    Of a failed connection they say all there is to say, whereas the class can mislead:
    httpx-aiohttp calls a refused connection a ConnectTimeout.
    """
    said = ""
    for cause in _causes(error):
        if isinstance(cause, OSError) and type(cause).__module__ in _SYSTEM and cause.errno:
            # asyncio puts the address there; these two modules have numbers of their own.
            own = isinstance(cause, socket.gaierror | ssl.SSLError)
            said = str(cause.strerror) if own else os.strerror(cause.errno)
    return said


def _proxys_answer(error: BaseException) -> str:
    """Say with which status a proxy refused to connect; "" if it is not that."""
    aiohttp = sys.modules.get("aiohttp")
    for cause in _causes(error):
        if aiohttp is not None and isinstance(cause, aiohttp.ClientHttpProxyError):
            return f"the proxy answered {cause.status}"
        # httpcore 1.0.9 has it in the text alone: "407 Proxy Authentication Required".
        if isinstance(cause, httpx.ProxyError) and (status := _STATUS.match(str(cause))):
            return f"the proxy answered {status[0]}"
    return ""


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        inner: tuple[object, ...] = (cause.__cause__, *cause.args)
        if isinstance(cause, BaseExceptionGroup):
            inner = cause.exceptions
        # httpcore keeps the error it was made of as its argument, chained to nothing.
        cause = next((one for one in inner if isinstance(one, BaseException)), None)


def _never_sent(error: Exception) -> bool:
    if not isinstance(error, _NEVER_SENT):
        return False
    # httpx-aiohttp calls every broken connection a ConnectTimeout; its cause knows better.
    before_sending = _of_aiohttp(
        "ClientConnectorError", "ConnectionTimeoutError", "ClientHttpProxyError"
    )
    return all(
        isinstance(cause, before_sending)
        for cause in _causes(error)
        if isinstance(cause, _of_aiohttp("ClientError"))
    )


def _of_aiohttp(*names: str) -> tuple[type[Exception], ...]:
    """Give its classes of these names; none as long as nobody has imported it."""
    aiohttp = sys.modules.get("aiohttp")
    return () if aiohttp is None else tuple(getattr(aiohttp, name) for name in names)
