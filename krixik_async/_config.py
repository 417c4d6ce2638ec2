"""The settings of a client, and the only place that reads the environment.

Precedence, for the key and the url alike: argument, KRIXIK_API_KEY / KRIXIK_API_URL,
MY_API_KEY / MY_API_URL (the official documentation's names), the same names in a `.env` file in
the working folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypedDict
from urllib.parse import urlsplit

import attrs

from krixik_async._errors import InvalidArgument, InvalidArgumentType

Environ: TypeAlias = Mapping[str, str]

# What the protocol or the connection needs as it is.
OWN_HEADERS = frozenset(
    {"krixikapikey", "content-type", "content-length", "transfer-encoding", "host", "connection"}
    | {"accept-encoding"}
)
# RFC 9110, 5.6.2: a token.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

# How many inputs `process_many` holds at once, unless told otherwise.
BULK_IN_FLIGHT = 16

KEY_NAMES = ("KRIXIK_API_KEY", "MY_API_KEY")
URL_NAMES = ("KRIXIK_API_URL", "MY_API_URL")


# A token holds it: too little of a digest to find a key by, and enough to tell a user's own apart
# (any two of ten are alike with a chance of 1e-8; then things are as they would be without it).
_ACCOUNT_BYTES = 4


def masked(secret: str) -> str:
    """Give a stand-in for reprs: that there is a key, and nothing of it."""
    return f"<{len(secret)} characters>"


def names_only(headers: Mapping[str, str]) -> str:
    """Give a stand-in for reprs: which headers there are, and nothing of what they say."""
    return f"<{', '.join(headers) or 'none'}>"


def _without_slash(api_url: Any) -> Any:  # noqa: ANN401 - what is no text is refused later on
    """Drop slashes at the end: every path of the protocol brings its own."""
    return api_url.rstrip("/") if isinstance(api_url, str) else api_url


class Settings(TypedDict, total=False):
    """Hold the settings that `Krixik` takes besides the credentials; see there."""

    max_in_flight: int
    rate_limit: float | None
    connect_timeout_s: float
    attempt_timeout_s: float | None
    attempts: int
    backoff_s: float
    backoff_cap_s: float
    bulk_look: bool


class Options(TypedDict, total=False):
    """Hold what `with_options` may change for some calls; see `Krixik` for the first five."""

    connect_timeout_s: float
    attempt_timeout_s: float | None
    attempts: int
    backoff_s: float
    backoff_cap_s: float
    headers: Mapping[str, str]


@attrs.frozen(kw_only=True)
class Config:
    """Hold a client's settings; every default of the client stands here and nowhere else.

    `rate_limit` is requests per second over everything the client sends (None: no limit);
    `attempts` is tries a call; a retry waits a random time of at most
    min(`backoff_cap_s`, `backoff_s` * 2 ** retries); `attempt_timeout_s` overrides each call's
    own bound (15 s for a ticket, 30 s for a status, 60 s for the rest). `headers` are sent with
    each call besides the protocol's own, and never to the hosts of uploads and downloads.
    `bulk_look` allows waits to look at many jobs with one list request.
    """

    api_key: str = attrs.field(repr=masked)
    api_url: str = attrs.field(converter=_without_slash)
    max_in_flight: int = 64
    rate_limit: float | None = None
    connect_timeout_s: float = 10.0
    attempt_timeout_s: float | None = None
    attempts: int = 4
    backoff_s: float = 0.5
    backoff_cap_s: float = 30.0
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=names_only)
    bulk_look: bool = True

    def __attrs_post_init__(self) -> None:
        _check_key(self.api_key)
        _check_url(self.api_url)
        _check_whole("max_in_flight", self.max_in_flight)
        _check_whole("attempts", self.attempts)
        for name in ("rate_limit", "attempt_timeout_s"):
            if getattr(self, name) is not None:
                _check_positive(name, getattr(self, name))
        for name in ("connect_timeout_s", "backoff_s", "backoff_cap_s"):
            _check_positive(name, getattr(self, name))
        _check_headers(self.headers)
        if not isinstance(self.bulk_look, bool):
            raise InvalidArgumentType(
                f"bulk_look is {type(self.bulk_look).__name__} but must be True or False"
            )

    @property
    def account(self) -> str:
        """Give what tells this key and url from others: eight hexadecimal digits."""
        pair = json.dumps([self.api_key, self.api_url])
        return hashlib.sha256(pair.encode()).digest()[:_ACCOUNT_BYTES].hex()


def read_credentials(
    api_key: str | None,
    api_url: str | None,
    *,
    environ: Environ | None = None,
    dotenv_path: str | os.PathLike[str] | None = None,
) -> tuple[str, str]:
    """Give (api_key, api_url) by the precedence above.

    `environ` defaults to the process's own, `dotenv_path` to `.env` in the working folder.
    Raises InvalidArgument naming the variables where one is found nowhere, and for a `.env` that
    is there but cannot be read.
    """
    process = os.environ if environ is None else environ
    filed = _read_file(Path(".env") if dotenv_path is None else Path(dotenv_path))
    return (
        _first("api_key", api_key, KEY_NAMES, process, filed),
        _first("api_url", api_url, URL_NAMES, process, filed),
    )


def _read_file(path: Path) -> Mapping[str, str | None]:
    try:
        if not path.is_file():
            return {}
        # Here and not above: most clients are made without such a file.
        from dotenv import dotenv_values

        return dotenv_values(path)
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidArgument(
            f"{str(path)!r} cannot be read: make it a text file in UTF-8 that this user may read, "
            "or move it away"
        ) from error


def _first(
    argument: str,
    given: str | None,
    names: tuple[str, ...],
    environ: Environ,
    filed: Mapping[str, str | None],
) -> str:
    candidates = (given, *(environ.get(n) for n in names), *(filed.get(n) for n in names))
    for candidate in candidates:
        if candidate:
            return candidate
    raise InvalidArgument(
        f"{argument} was not given and none of {', '.join(names)} is set in the environment or "
        f"in .env: pass {argument}=..., set {names[0]}, or try Krixik.local() (on the "
        "command line --local DIR), which needs none"
    )


def _check_key(api_key: object) -> None:
    if not isinstance(api_key, str):
        raise InvalidArgumentType(f"api_key is {type(api_key).__name__} but must be a str")
    # The key travels as a header: nothing that could end or split one.
    if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
        raise InvalidArgument(
            "api_key is empty or holds blanks, line ends or characters outside ASCII: "
            "copy the key once more from your Krixik account"
        )


def _check_url(api_url: object) -> None:
    if not isinstance(api_url, str):
        raise InvalidArgumentType(f"api_url is {type(api_url).__name__} but must be a str")
    try:
        parts = urlsplit(api_url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
        good = good and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good or not api_url.isprintable() or any(sign in api_url for sign in " @?#"):
        raise InvalidArgument(
            "api_url must look like https://host or http://host:port/path, without a query, "
            "a fragment or credentials in it"
        )


def _check_whole(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidArgumentType(
            f"{name} is {type(value).__name__} but must be an int of 1 or more"
        )
    if value < 1:
        raise InvalidArgument(f"{name} is {value} but must be 1 or more")


def _check_positive(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidArgumentType(f"{name} is {type(value).__name__} but must be a number above 0")
    if not 0 < value < float("inf"):
        raise InvalidArgument(f"{name} is {value} but must be above 0 and finite")


def _check_headers(headers: object) -> None:
    if not isinstance(headers, Mapping):
        raise InvalidArgumentType(
            f"headers is {type(headers).__name__} but must be a mapping of str to str"
        )
    for name, value in headers.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise InvalidArgumentType(f"headers holds {name!r}: names and values must be str")
        if name.lower() in OWN_HEADERS:
            raise InvalidArgument(f"headers holds {name!r}, which the protocol needs for itself")
        if not _HEADER_NAME.fullmatch(name) or not value.isascii() or not value.isprintable():
            # The value may be a secret: the name is enough to find it.
            raise InvalidArgument(
                f"headers holds {name[:50]!r}, whose name or value has line ends or other "
                "characters that a header cannot have"
            )
