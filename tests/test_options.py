"""`with_options`: other limits for some calls, over the same connections."""

from __future__ import annotations

import gc
import warnings
import weakref
from pathlib import Path
from typing import Any

import httpx
import pytest

from krixik_async import (
    AnswerLost,
    ClientClosed,
    InvalidArgument,
    InvalidArgumentType,
    Krixik,
)
from krixik_async._config import OWN_HEADERS, Config
from krixik_async._transport import Transport, _retry
from tests.client_side import (
    DELETE,
    KEY,
    LINK,
    LIST,
    OUTPUT,
    STATUS,
    TEXT,
    UPLOAD,
    URL,
    World,
    world,
)

pytestmark = pytest.mark.anyio
RESET = httpx.ReadError("connection reset")
ALL = ["/*"]


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


async def attempts_of(pipeline: Any) -> int:
    with pytest.raises(AnswerLost) as caught:
        await pipeline.list(symbolic_directory_paths=ALL)
    assert caught.value.attempts is not None
    return caught.value.attempts


@pytest.mark.parametrize("of", ["client", "pipeline"])
async def test_a_copy_has_its_own_limits_and_the_original_keeps_its(w: World, of: str) -> None:
    w.fail(LIST, after=RESET, times=99)
    books = w.books()
    if of == "client":
        copy = w.books(client=w.client.with_options(attempts=2))
    else:
        copy = books.with_options(attempts=2)
    assert await attempts_of(copy) == 2
    assert await attempts_of(books) == 4
    # A copy of a copy keeps what is not given anew.
    assert await attempts_of(copy.with_options(backoff_s=0.1)) == 2
    assert await attempts_of(copy.with_options(attempts=1)) == 1


async def test_a_try_ends_by_the_copys_limit(tmp_path: Path) -> None:
    """In virtual time: one try of 5 s, against the 60 s that a list has by itself."""
    async with world(tmp_path) as w:
        started = w.clock.now()

        class Mute(httpx.AsyncBaseTransport):
            async def handle_async_request(self, _: httpx.Request) -> httpx.Response:
                await w.clock.sleep(1000)
                raise AssertionError

        mute = Krixik(api_key=KEY, api_url=URL, http_transport=Mute(), clock=w.clock)
        books = mute.create_pipeline(name="books", module_chain=["parser"])
        with pytest.raises(AnswerLost, match="within 5 s"):
            await books.with_options(attempts=1, attempt_timeout_s=5).list(
                symbolic_directory_paths=ALL
            )
        assert w.clock.now() - started == pytest.approx(5)
        await mute.aclose()


async def test_the_pause_between_tries_is_the_copys(w: World) -> None:
    w.fail(LIST, after=RESET, times=3)
    started = w.clock.now()
    await w.books().with_options(backoff_s=1e-9).list(symbolic_directory_paths=ALL)
    assert w.clock.now() - started < 1e-6


async def test_headers_go_with_each_call_and_to_no_other_host(w: World) -> None:
    seen: dict[str, httpx.Headers] = {}
    carry = w.wire.handle_async_request

    async def watched(request: httpx.Request) -> httpx.Response:
        seen[request.url.path] = request.headers
        return await carry(request)

    w.wire.handle_async_request = watched  # type: ignore[method-assign]
    client = w.client.with_options(headers={"X-Trace": "t1", "User-Agent": "mine/1"})
    books = client.create_pipeline(name="books", module_chain=["parser"])
    await books.process(
        local_file_path=TEXT,
        file_name="a.txt",
        wait_for_process=True,
        local_save_directory=w.folder,
    )
    (link,) = (path for path in seen if path.startswith(LINK))
    for path, headers in seen.items():
        if path in (STATUS, LIST):
            continue  # a wait's looks are shared by all and go by the client's own options
        own = path not in (UPLOAD, link)
        if path == STATUS:  # one look may serve several waits: it goes as the client's own
            assert headers.get("x-trace") is None
            continue
        assert headers.get("x-trace") == ("t1" if own else None)
        assert headers["user-agent"].startswith("mine/1" if own else "krixik-async/")
        assert (headers.get("krixikapikey") == KEY) == own
    await w.books().list(symbolic_directory_paths=ALL)
    assert "x-trace" not in seen[LIST]
    assert OUTPUT in seen


def test_headers_are_checked_and_not_shown() -> None:
    krixik = Krixik(api_key="k", api_url=URL)
    for headers, said, kind in [
        (["x"], "headers is list but must be a mapping", InvalidArgumentType),
        ({"x": 1}, "headers holds 'x': names and values", InvalidArgumentType),
        ({1: "x"}, "headers holds 1: names and values", InvalidArgumentType),
        ({"a b": "x"}, "headers holds 'a b', whose name or value", InvalidArgument),
        ({"": "x"}, "headers holds '', whose name or value", InvalidArgument),
        ({"x": "a\r\nb: c"}, "headers holds 'x', whose name or value", InvalidArgument),
        ({"x": "é"}, "headers holds 'x', whose name or value", InvalidArgument),
    ]:
        given: Any = headers
        with pytest.raises(kind, match=said):
            krixik.with_options(headers=given)
    for name in OWN_HEADERS:
        with pytest.raises(InvalidArgument, match="which the protocol needs for itself"):
            krixik.with_options(headers={name.title(): "x"})
    shown = repr(Config(api_key="k", api_url=URL, headers={"X-Secret": "hush"}))
    assert ("hush" in shown, "X-Secret" in shown) == (False, True)


@pytest.mark.parametrize(
    ("options", "said", "kind"),
    [
        ({"attempts": 0}, "attempts is 0 but must be 1 or more", InvalidArgument),
        ({"attempt_timeout_s": "5"}, "attempt_timeout_s is str", InvalidArgumentType),
        ({"max_in_flight": 3}, "takes no argument 'max_in_flight'", InvalidArgumentType),
        ({"timeout": 3}, r"Instead: with_options\(attempt_timeout_s", InvalidArgumentType),
        ({"atempts": 3}, "Did you mean 'attempts'", InvalidArgumentType),
    ],
)
def test_an_option_that_is_none(options: Any, said: str, kind: type[Exception]) -> None:
    krixik = Krixik(api_key="k", api_url=URL)
    pipeline = krixik.create_pipeline(name="books", module_chain=["parser"])
    for owner in (krixik, pipeline):
        with pytest.raises(kind, match=said):
            owner.with_options(**options)


# --- what is shared --------------------------------------------------------------------------


async def test_jobs_and_pipelines_of_a_copy_are_of_the_same_client(w: World) -> None:
    copy = w.client.with_options(attempts=1)
    books = w.books(client=copy)
    job = await books.process(local_file_path=TEXT, file_name="a.txt")
    assert (await w.client.wait_until_complete(job)).complete
    assert (await w.books().wait_until_complete([job])).complete
    assert (await w.client.reset_pipeline(books)).deleted == (job.file_id,)
    assert w.sent.count(DELETE) == 1
    with pytest.raises(InvalidArgument, match="made by another client"):
        await w.another().reset_pipeline(books)


async def test_retries_of_a_copy_are_paid_from_the_same_budget(
    w: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_retry.RetryBudget, "spend", lambda _: False)
    w.fail(LIST, after=RESET, times=99)
    assert await attempts_of(w.books().with_options(attempts=9)) == 1
    transport: Transport = w.client._opened.transport
    copied = w.client.with_options(attempts=9)._opened.transport
    assert copied._retries._budget is transport._retries._budget


@pytest.mark.parametrize("closed_by", ["the copy", "the original"])
async def test_closing_either_closes_both(w: World, closed_by: str) -> None:
    copy = w.client.with_options(attempts=1)
    await (copy if closed_by == "the copy" else w.client).aclose()
    for client in (copy, w.client):
        assert repr(client) == f"<Krixik {URL} (closed)>"
        with pytest.raises(ClientClosed):
            await w.books(client=client).list(symbolic_directory_paths=ALL)


async def test_a_copy_may_be_all_that_is_kept(w: World) -> None:
    """The original is neither collected nor missed; dropped open, it is told of once."""
    copy = w.another().with_options(attempts=1)
    w.clients.clear()
    gc.collect()
    await w.books(client=copy).list(symbolic_directory_paths=ALL)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del copy
        gc.collect()
    assert [str(one.message)[:20] for one in caught] == ["<Krixik http://krixi"]


async def test_of_copies_of_copies_those_between_are_not_kept(w: World) -> None:
    """Options set again and again, each on the copy before, cost no more than once."""
    client, copies = w.client, list[weakref.ref[Krixik]]()
    for n in range(20):
        client = client.with_options(headers={"X-Trace": str(n)})
        copies.append(weakref.ref(client))
    gc.collect()
    assert [copy() for copy in copies] == [None] * 19 + [client]
