"""What is done with the answer to a download once its head is there: save it, or go on."""

from __future__ import annotations

import httpx

from krixik_async._errors import (
    DownloadRejected,
    RateLimited,
    ServerError,
    ServiceError,
    UnexpectedReply,
)
from krixik_async._reply import Reply
from krixik_async._transport._download import Saving
from krixik_async._transport._exchange import Consume, Streamed
from krixik_async._transport._posting import read_whole
from krixik_async._transport._seam import PresignedURL, hidden

_FOLLOWED = frozenset({301, 302, 303, 307, 308})


def save_or_follow(saving: Saving) -> Consume[int | PresignedURL | None]:
    """Give what saves a file, gives the place a redirect names, and refuses anything else."""

    async def consume(
        response: httpx.Response, attempt: Streamed[int | PresignedURL | None]
    ) -> int | PresignedURL | None:
        url = attempt.request.url
        if saving.takes(response.status_code):
            return await saving.save(
                response, on_bytes=attempt.restart_limit, is_wanted=lambda: attempt.is_wanted
            )
        target = response.headers.get("location")
        if response.status_code in _FOLLOWED and target is not None:
            return signed_url(target, "download", base=url)
        raise _refused(url, await read_whole(response, attempt.name))

    return consume


def signed_url(url: str, name: str, *, base: httpx.URL | None = None) -> PresignedURL:
    """Give a link of the service as a URL. Raises UnexpectedReply if it is no http(s) URL."""
    try:
        parsed = PresignedURL(url if base is None else base.join(url))
    except (httpx.InvalidURL, ValueError):  # of half a surrogate pair, for one
        parsed = None
    if parsed is None or parsed.scheme not in ("http", "https") or not parsed.host:
        raise UnexpectedReply(f"{name}: the service gave a link that is no http(s) URL")
    return parsed


def _refused(url: httpx.URL, reply: Reply) -> ServiceError:
    kinds: dict[int, type[ServiceError]] = {429: RateLimited}
    kind = kinds.get(reply.status_code, ServerError)
    if reply.status_code < 500 and kind is ServerError:
        kind = DownloadRejected
    return kind(
        f"the download of {hidden(url)} was answered with {reply.status_code}"
        + (": the link may have expired" if kind is DownloadRejected else ""),
        reply=reply,
    )
