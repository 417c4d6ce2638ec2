"""What the machine's settings say of connections: the proxy to take, the certificates to trust.

Of an `http_client` or transport that was passed its maker has settled both: then this is not asked.
"""

from __future__ import annotations

import os
import ssl
from urllib.request import getproxies, proxy_bypass

import httpx

from krixik_async._errors import InvalidArgument
from krixik_async._transport._failures import describe

# What aiohttp can do, too. httpx with its extra `socks` could do more, on trio alone.
_PROXY_KINDS = ("http", "https")
# What `ssl` and `httpx.create_ssl_context` look at (httpx 0.28.1).
_TLS_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")


def proxy_for(url: httpx.URL) -> httpx.Proxy | None:
    """Give the proxy that the machine's settings name for this host, if any.

    Asked of the standard library rather than left to the HTTP libraries: httpx's bare transports
    know no such settings, and aiohttp's `trust_env` also reads ~/.netrc, in a thread, for each
    request, and would add credentials from it that a presigned form must not carry.

    Raises InvalidArgument for a proxy that cannot be used, without its address, which may hold a
    password.
    """
    if proxy_bypass(url.host):
        return None
    proxies = getproxies()
    address = proxies.get(url.scheme) or proxies.get("all")
    if not address:
        return None
    if "://" not in address:
        address = f"http://{address}"
    kind = address.partition("://")[0]
    if kind.lower() in _PROXY_KINDS:
        try:
            return httpx.Proxy(address)
        except httpx.InvalidURL:
            wrong = "is no URL"
    else:
        wrong = f"is of the kind {kind!r}, and must be http or https"
    raise InvalidArgument(
        f"the proxy that the environment names for {url.scheme} ({url.scheme}_proxy, all_proxy) "
        f"{wrong}: set that right, or no_proxy, or pass an http_client with a proxy of its own. "
        "Nothing was sent"
    )


def tls_context() -> ssl.SSLContext:
    """Make what a secure connection is judged by, as httpx would: by certifi or the settings.

    Raises InvalidArgument where the settings name what cannot be read.
    """
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        named = [f"{name}={os.environ[name]}" for name in _TLS_VARIABLES if os.environ.get(name)]
        raise InvalidArgument(
            "what secure connections need cannot be read "
            f"({', '.join(named) or 'no variable names it'}): {describe(error)}. Nothing was sent"
        ) from None
