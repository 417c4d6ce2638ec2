"""The transport as the rest of the house sees it: call, upload, download, close."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import attrs
import httpx

from krixik_async import _wire
from krixik_async._clock import Clock
from krixik_async._config import Config
from krixik_async._errors import (
    AnswerLost,
    ClientClosed,
    DownloadInterrupted,
    DownloadRejected,
    FileChanged,
    InvalidArgument,
    KrixikError,
    UploadInterrupted,
)
from krixik_async._offload import Offload
from krixik_async._reply import Reply
from krixik_async._sources import UploadSource
from krixik_async._tasks import TaskSet
from krixik_async._transport._download import Saving, save_or_follow
from krixik_async._transport._exchange import (
    Exchanges,
    Posted,
    Streamed,
    TransportStatistics,
    choose_sender,
)
from krixik_async._transport._pace import Pace
from krixik_async._transport._part import look
from krixik_async._transport._permits import Permits
from krixik_async._transport._posting import read_whole, timeouts
from krixik_async._transport._retry import MayRepeat, Retries, may_repeat_download
from krixik_async._transport._seam import Target, signed_url
from krixik_async._transport._turns import Turn
from krixik_async._transport._upload import UploadBody
from krixik_async._version import __version__

T = TypeVar("T")

# The official client gives uploads 45 s (1.1.19, 2026-11); beyond that, what a slow line needs.
UPLOAD_LIMIT_S = 45.0
SLOWEST_UPLOAD_BYTES_PER_S = 50_000.0
# The official client's limit for a download, counted from the last bytes that came in.
DOWNLOAD_STALL_S = 60.0
_REDIRECTS = 5
_NOTHING_LEFT = "Nothing was left half-written"
_KEPT = "What came is kept beside the output's place: calling again goes on from there"

_AGENT = {"User-Agent": f"krixik-async/{__version__}", "Accept": "*/*"}


class Transport:
    """Send calls, uploads and downloads. Making one does no I/O and needs no running loop."""

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock,
        offload: Offload,
        rng: random.Random,
        tasks: TaskSet,
        http_client: httpx.AsyncClient | None = None,
        http_transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._config = config
        self._offload = offload
        self._rng = rng
        self._exchanges = Exchanges(
            sender=choose_sender(http_client, http_transport),
            permits=Permits(config.max_in_flight),
            pace=Pace(config.rate_limit),
            clock=clock,
            tasks=tasks,
        )
        self._retries = Retries(
            attempts=config.attempts,
            backoff_s=config.backoff_s,
            backoff_cap_s=config.backoff_cap_s,
            clock=clock,
            pause=self._exchanges.pause,
            rng=rng,
            on_retry=self._exchanges.count_retry,
        )
        self._headers = _headers(config)
        self._targets: dict[str, Target] = {}

    def with_config(self, config: Config) -> Transport:
        """Give one that shares everything with this and sends by other settings.

        What bounds all requests together, `max_in_flight` and `rate_limit`, stays as it is here.
        """
        other = copy.copy(self)
        other._config = config
        other._headers = _headers(config)
        other._targets = {}
        other._retries = attrs.evolve(
            self._retries,
            attempts=config.attempts,
            backoff_s=config.backoff_s,
            backoff_cap_s=config.backoff_cap_s,
        )
        return other

    @property
    def closed(self) -> bool:
        """Tell whether `aclose()` was called, here or on one that shares with this."""
        return self._exchanges.closed

    @property
    def statistics(self) -> TransportStatistics:
        """Count requests, retries and "too many" answers so far."""
        return self._exchanges.statistics

    @property
    def credentials(self) -> tuple[str, str]:
        """Give (api_key, api_url), for telling accounts apart; never to be shown or kept."""
        return self._config.api_key, self._config.api_url

    @property
    def rate(self) -> float | None:
        """Tell the requests per second allowed now; None is without limit."""
        return self._exchanges.rate

    async def turn(self) -> Turn:
        """Wait until one more request may go, and hold its place.

        For who wants to choose what to send only when it can go: give the turn to `call`, or
        release it. Cancel-safe.
        """
        return await self._exchanges.turn()

    async def call(
        self,
        request: _wire.Request,
        read: Callable[[_wire.Endpoint, Reply], T],
        *,
        turn: Turn | None = None,
        on_lost: Callable[[], None] | None = None,
    ) -> T:
        """Post `request` and give what `read` makes of the answer; `turn` serves the first try.

        Repeats where that is safe (see `MayRepeat`). Raises what `read` raises, ConnectFailed,
        AnswerLost, UnexpectedReply, ClientClosed. Cancel-safe. `on_lost` is told of each
        try that was sent and not answered.
        """
        self._check_open()
        endpoint, content = request.endpoint, _wire.encode(request)
        limit = self._config.attempt_timeout_s or endpoint.attempt_timeout_s
        target = self._targets.get(endpoint.path) or self._target(endpoint)

        async def once() -> T:
            nonlocal turn
            mine, turn = turn, None
            posted = Posted(name=endpoint.name, limit_s=limit, target=target, content=content)
            try:
                reply = await self._exchanges.run(posted, mine)
            except AnswerLost:
                if on_lost is not None:
                    on_lost()
                raise
            try:
                return read(endpoint, reply)
            except KrixikError as error:
                error.reply = error.reply or reply
                raise

        return await self._retries.run(endpoint.name, once, MayRepeat(endpoint.repeatable))

    def _target(self, endpoint: _wire.Endpoint) -> Target:
        target = self._targets[endpoint.path] = Target(
            name=endpoint.name,
            url=_parse(self._config.api_url + endpoint.path),
            headers=self._headers,
            connect_timeout_s=self._config.connect_timeout_s,
        )
        return target

    async def upload(self, ticket: _wire.Ticket, source: UploadSource, *, file_name: str) -> None:
        """Post the form once. Returns when the host has confirmed it with 204.

        Raises UploadRejected, ConnectFailed and UploadInterrupted (it did not get through),
        AnswerLost (it may have), FileChanged, ClientClosed. Cancel-safe: the connection is closed
        at the next piece.
        """
        url = signed_url(ticket.url, "upload")

        async def once() -> None:
            size = await _measure(source, self._offload)
            form = _wire.encode_form(
                ticket.fields, file_name=file_name, boundary=f"{self._rng.getrandbits(128):032x}"
            )
            body = UploadBody(form, source, size, self._offload)
            await self._send_form(url, body, form.content_type)

        self._check_open()
        await self._retries.run("upload", once, may_repeat=lambda _: False)

    async def _send_form(self, url: httpx.URL, body: UploadBody, content_type: str) -> None:
        limit = UPLOAD_LIMIT_S + body.length / SLOWEST_UPLOAD_BYTES_PER_S
        headers = {
            **_AGENT,
            "Accept-Encoding": "identity",
            "Content-Type": content_type,
            "Content-Length": str(body.length),
        }
        extensions = timeouts(self._config.connect_timeout_s)
        post = httpx.Request("POST", url, headers=headers, content=body, extensions=extensions)
        # httpx copies the URL and wraps the stream: put ours back.
        post.url, post.stream = url, body
        lost: KrixikError | None = None
        try:
            reply = await self._exchanges.run(
                Streamed(
                    name="upload",
                    request=post,
                    limit_s=limit,
                    body=body,
                    consume=_read,
                    follows=True,
                )
            )
        except AnswerLost as error:
            lost = error
        if body.failure is not None:
            raise body.failure
        if lost is not None:
            if body.is_through:
                raise lost
            raise UploadInterrupted(
                f"{lost.message}, after {body.handed_over} of {body.length} bytes of it: "
                "it did not arrive"
            )
        _wire.read_upload(reply)
        if not body.is_through:
            raise AnswerLost("upload was confirmed before the whole file had been sent")

    async def download(self, url: str, destination: Path) -> int:
        """Save what the link gives as `destination` and give the number of bytes written.

        Repeats where it stops short, and goes on where it stopped if the host can do that; what a
        call that raises or is cancelled has got is kept beside `destination`, as
        `<name>.part`, for the next. What was at `destination` stays there until the whole file
        can take its place. Raises DownloadRejected, DownloadInterrupted, ConnectFailed,
        RateLimited, ServerError, ClientClosed. Cancel-safe.
        """
        first = signed_url(url, "download")
        self._check_open()
        return await self._retries.run(
            "download", lambda: self._download_once(first, destination), may_repeat_download
        )

    async def _download_once(self, url: httpx.URL, destination: Path) -> int:
        for _ in range(_REDIRECTS + 1):
            private = destination.with_name(f".{self._rng.getrandbits(64):016x}.krixik-part")
            held = await self._offload(look, destination)
            saving = Saving(destination, private, self._offload, held)
            get = httpx.Request(
                "GET",
                url,
                headers={**_AGENT, "Accept-Encoding": "identity", **saving.headers},
                extensions=timeouts(self._config.connect_timeout_s),
            )
            get.url = url
            attempt = Streamed(
                name="download",
                request=get,
                limit_s=DOWNLOAD_STALL_S,
                in_own_task=True,
                consume=save_or_follow(saving),
            )
            lost: AnswerLost | None = None
            try:
                found = await self._exchanges.run(attempt)
            except AnswerLost as error:
                lost = error
            if lost is not None:
                left = _KEPT if saving.is_kept else _NOTHING_LEFT
                raise DownloadInterrupted(f"{lost.message}. {left}")
            if isinstance(found, int):
                return found
            # None: the rest did not fit what was there, so the same place is asked for the whole.
            url = url if found is None else found
        raise DownloadRejected(f"the download was redirected more than {_REDIRECTS} times")

    async def aclose(self) -> None:
        """End what is under way (it raises ClientClosed) and close what was made here.

        The user's `http_client` stays open. Idempotent; not cut short by cancellation.
        """
        await self._exchanges.aclose()

    def _check_open(self) -> None:
        if self._exchanges.closed:
            raise ClientClosed("the client is closed: make a new one")


async def _read(response: httpx.Response, attempt: Streamed[Reply]) -> Reply:
    return await read_whole(response, attempt.name)


def _headers(config: Config) -> httpx.Headers:
    return httpx.Headers(
        {
            **_AGENT,
            **config.headers,
            "Accept-Encoding": "gzip, deflate",
            "Content-Type": _wire.CONTENT_TYPE,
            _wire.KEY_HEADER: config.api_key,
        }
    )


def _parse(url: str) -> httpx.URL:
    try:
        return httpx.URL(url)
    except httpx.InvalidURL:
        raise InvalidArgument("api_url is not a URL: it must look like https://host/path") from None


async def _measure(source: UploadSource, offload: Offload) -> int:
    try:
        return await source.size(offload)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise FileChanged(f"the file could not be read any more ({why})") from error
