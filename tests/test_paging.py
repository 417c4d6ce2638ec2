"""All files, however many: each once, newest first, and never one lost without a word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
import attrs
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from krixik_async import (
    AnswerLost,
    FileRecord,
    InvalidArgument,
    InvalidArgumentType,
    ListResult,
    Pager,
    UnexpectedReply,
    _paging,
)
from krixik_async._paging import FilePages, Page, SearchPages
from krixik_async._reply import Reply
from tests.client_side import LIST, World, says

ALL = ["/*"]
SEARCH = "/keyword-search"


def record(number: int, second: int) -> FileRecord:
    return FileRecord(
        file_id=f"f{number}",
        process_id="p",
        pipeline="books",
        file_name="a.txt",
        symbolic_directory_path="/etc",
        created_at=f"2026-01-01 00:00:{second:02}",
    )


def found(records: Sequence[FileRecord]) -> ListResult:
    return ListResult(
        status_code=200,
        request_id="r",
        message="",
        warnings=(len(records),),
        items=tuple(records),
        reply=Reply(200),
    )


class Shelf:
    """List files as the service does: newest first, up to a second, at most so many."""

    START = 1767225600  # 2026-01-01 00:00:00 UTC

    def __init__(self, seconds: Sequence[int]) -> None:
        self.records = [record(number, second) for number, second in enumerate(seconds)]
        self.calls: list[tuple[int, int | None]] = []
        self.failures = 0

    async def list(self, max_files: int, until: int | None) -> ListResult:
        self.calls.append((max_files, None if until is None else until - self.START))
        if self.failures:
            self.failures -= 1
            raise AnswerLost("lost")
        chosen = [r for r in self.records if until is None or self._second(r) <= until]
        chosen.sort(key=lambda r: r.created_at, reverse=True)
        return found(chosen[:max_files])

    def _second(self, one: FileRecord) -> int:
        return self.START + int(one.created_at[-2:])


async def drain(pages: Any) -> list[Any]:
    return [item async for item in Pager[Any](pages)]


def run(pages: Any) -> list[Any]:
    return anyio.run(drain, pages)


# --- files -----------------------------------------------------------------------------------


def test_the_next_page_goes_up_to_the_oldest_second_seen() -> None:
    shelf = Shelf([5, 4, 4, 3, 2])
    ids = [r.file_id for r in run(FilePages(shelf.list, page_size=2))]
    assert ids == ["f0", "f1", "f2", "f3", "f4"]
    assert shelf.calls == [(2, None), (2, 4), (10_000, 4)]


def test_a_page_that_is_not_full_is_the_last() -> None:
    shelf = Shelf([1])
    assert len(run(FilePages(shelf.list, page_size=2))) == 1
    assert shelf.calls == [(2, None)]


def test_no_files_are_no_error() -> None:
    assert run(FilePages(Shelf([]).list, page_size=2)) == []


def test_more_files_of_one_second_than_a_page_holds_take_a_larger_page() -> None:
    shelf = Shelf([3, 2, 2, 2, 2, 1])
    ids = [r.file_id for r in run(FilePages(shelf.list, page_size=2))]
    assert ids == ["f0", "f1", "f2", "f3", "f4", "f5"]
    assert shelf.calls == [(2, None), (2, 2), (10_000, 2)]


def test_more_files_of_one_second_than_can_be_listed_are_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_paging, "MAX_FILES", (1, 3))
    with pytest.raises(UnexpectedReply, match="list gave 3 files of one second") as caught:
        run(FilePages(Shelf([2, 2, 2, 1]).list, page_size=3))
    assert "2026-01-01 00:00:02 UTC" in str(caught.value)
    assert (caught.value.endpoint, caught.value.status_code) == ("list", 200)


@given(
    seconds=st.lists(st.integers(0, 6), max_size=25),
    page_size=st.integers(1, 5),
)
def test_every_file_comes_once_newest_first_or_an_error_comes(
    seconds: list[int], page_size: int
) -> None:
    """Whatever was finished when: no file is lost in silence, none comes twice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_paging, "MAX_FILES", (1, 5))
        shelf = Shelf(seconds)
        crowded = max((seconds.count(s) for s in seconds), default=0) >= 5
        try:
            records = run(FilePages(shelf.list, page_size=page_size))
        except UnexpectedReply:
            assert crowded
            return
    assert sorted(r.file_id for r in records) == sorted(r.file_id for r in shelf.records)
    times = [r.created_at for r in records]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (["2026-01-01 00:00:01", "2026-01-01 00:00:02"], "2 files that are not newest first"),
        (["2026-01-01 00:00:01", ""], "gave file f1 with '' as its created_at"),
    ],
)
def test_a_full_page_that_cannot_be_paged_is_an_error(times: list[str], said: str) -> None:
    records = [attrs.evolve(record(n, 0), created_at=time) for n, time in enumerate(times)]

    async def list_page(max_files: int, until: int | None) -> ListResult:
        return found(records)

    with pytest.raises(UnexpectedReply, match=said):
        run(FilePages(list_page, page_size=2))
    # Where nothing comes after it, the order is nobody's business.
    assert run(FilePages(list_page, page_size=3)) == records


# --- searches --------------------------------------------------------------------------------


def test_files_are_searched_in_lots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_paging, "MAX_SELECTED", 2)
    lots: list[Sequence[str]] = []

    async def search(ids: Sequence[str]) -> Page[str]:
        lots.append(ids)
        return Page([f"hit in {i}" for i in ids if i != "f1"], found([]))

    pages = SearchPages(FilePages(Shelf([5, 4, 3, 2, 1]).list, page_size=3), search)
    assert run(pages) == ["hit in f0", "hit in f2", "hit in f3", "hit in f4"]
    assert lots == [["f0", "f1"], ["f2"], ["f3", "f4"]]


# --- the iterator ----------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_page_that_could_not_be_had_is_asked_for_again() -> None:
    """A call that raises has lost nothing: the iteration goes on where it was."""
    shelf = Shelf([3, 2, 1])
    pager = Pager(FilePages(shelf.list, page_size=1))
    first = await anext(pager)
    shelf.failures = 1
    with pytest.raises(AnswerLost):
        await anext(pager)
    rest = [one async for one in pager]
    assert [r.file_id for r in (first, *rest)] == ["f0", "f1", "f2"]


@pytest.mark.anyio
async def test_a_lot_that_could_not_be_searched_is_searched_again() -> None:
    failures = [AnswerLost("lost")]

    async def search(ids: Sequence[str]) -> Page[str]:
        if failures:
            raise failures.pop()
        return Page(ids, found([]))

    pager = Pager(SearchPages(FilePages(Shelf([1]).list, page_size=2), search))
    with pytest.raises(AnswerLost):
        await anext(pager)
    assert [one async for one in pager] == ["f0"]


@pytest.mark.anyio
async def test_what_the_service_said_with_a_page_is_there() -> None:
    pager = Pager(FilePages(Shelf([1]).list, page_size=2))
    assert (pager.warnings, pager.reply) == ((), None)
    await anext(pager)
    assert (pager.warnings, pager.reply) == ((1,), Reply(200))


@pytest.mark.anyio
async def test_what_is_warned_of_a_later_page_is_left_out() -> None:
    """It is of the older files alone: only what the first page says is of all that was chosen."""
    shelf = Shelf([5, 4, 3, 2])
    pager = Pager(FilePages(shelf.list, page_size=3))
    assert len([one async for one in pager]) == 4
    assert (len(shelf.calls), pager.warnings) == (2, (3,))


@pytest.mark.parametrize("searched", [False, True])
@pytest.mark.anyio
async def test_warnings_come_with_no_files_too(searched: bool) -> None:
    """That an id is not on record, say; and nothing is searched for then."""

    async def search(ids: Sequence[str]) -> Page[str]:
        raise AssertionError(ids)

    files = FilePages(Shelf([]).list, page_size=2)
    pager: Pager[Any] = Pager(SearchPages(files, search) if searched else files)
    assert [one async for one in pager] == []
    assert (pager.warnings, pager.reply) == ((0,), Reply(200))


@pytest.mark.anyio
async def test_a_search_warns_of_what_was_chosen_and_of_its_files() -> None:
    async def search(ids: Sequence[str]) -> Page[str]:
        return Page(ids, attrs.evolve(found([]), warnings=("of the search",)))

    pager = Pager(SearchPages(FilePages(Shelf([2, 1]).list, page_size=3), search))
    assert [one async for one in pager] == ["f0", "f1"]
    assert pager.warnings == (2, "of the search")


@pytest.mark.anyio
async def test_left_early_nothing_more_is_asked_for() -> None:
    shelf = Shelf([3, 2, 1])
    async with Pager(FilePages(shelf.list, page_size=2)) as pager:
        async for _ in pager:
            break
    assert [one async for one in pager] == []
    await pager.aclose()
    assert len(shelf.calls) == 1


@pytest.mark.anyio
async def test_the_end_stays_the_end() -> None:
    shelf = Shelf([])
    pager = Pager(FilePages(shelf.list, page_size=2))
    for _ in range(2):
        with pytest.raises(StopAsyncIteration):
            await anext(pager)
    assert len(shelf.calls) == 1


# --- over the wire ---------------------------------------------------------------------------


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


@pytest.mark.anyio
async def test_files_and_hits_of_a_pipeline_come_page_by_page(w: World) -> None:
    books = w.books()
    for number in range(7):
        await w.done(books, f"{number}.txt")
        w.clock._epoch += 1
    await w.done(w.books(name="others"), "other.txt")
    names = [r.file_name async for r in books.iter_files(page_size=3, symbolic_directory_paths=ALL)]
    assert names == [f"{number}.txt" for number in reversed(range(7))]
    bodies = [body for body in w.wire.bodies if "max_files" in body]
    # 7 s of the clock above: pages of 3, the last second of each asked for again.
    assert [body["max_files"] for body in bodies] == [3, 3, 3, 3]
    ends = [body["created_at_end"] for body in bodies]
    assert (ends[0], [ends[1] - end for end in ends[1:]]) == (None, [0, 2, 4])
    hits = books.iter_keyword_search(query="clock", page_size=4, file_names=iter(["*.txt"]))
    assert [item.file_metadata.file_name async for item in hits] == names
    assert (w.sent.count(SEARCH), hits.warnings) == (2, ())


@pytest.mark.anyio
async def test_a_selection_of_ones_own_stays_in_force(w: World) -> None:
    books = w.books()
    for name in ("a.txt", "b.txt", "c.txt"):
        await w.done(books, name)
        w.clock._epoch += 1
    chosen = {"file_names": ["b*", "c*"], "created_at_end": "2026-12-31"}
    names = [r.file_name async for r in books.iter_files(page_size=1, **chosen)]
    assert names == ["c.txt", "b.txt"]
    assert w.wire.bodies[-1]["file_names"] == ["b*", "c*"]


@pytest.mark.parametrize("method", ["iter_files", "iter_keyword_search"])
@pytest.mark.anyio
async def test_what_breaks_a_rule_is_refused_at_once(w: World, method: str) -> None:
    """Before the first page, and before anything is sent."""
    call: Any = getattr(w.books(), method)
    query = {} if method == "iter_files" else {"query": "clock"}
    with pytest.raises(InvalidArgument, match="page_size is 0 but must be 1 to 10000"):
        call(page_size=0, symbolic_directory_paths=ALL, **query)
    with pytest.raises(InvalidArgumentType, match="page_size is str"):
        call(page_size="1", symbolic_directory_paths=ALL, **query)
    with pytest.raises(InvalidArgument, match="no selector was given"):
        call(**query)
    assert w.sent == []


@pytest.mark.anyio
async def test_a_search_by_pages_checks_its_query_and_chain_at_once(w: World) -> None:
    with pytest.raises(InvalidArgument, match="query has 1 characters"):
        w.books().iter_keyword_search(query="x", symbolic_directory_paths=ALL)
    with pytest.raises(InvalidArgument, match="cannot keyword_search"):
        w.books("parser").iter_keyword_search(query="xx", symbolic_directory_paths=ALL)
    with pytest.raises(InvalidArgument, match="k is 11"):
        w.books("parser", "text-embedder", "vector-db").iter_semantic_search(
            query="xx", k=11, symbolic_directory_paths=ALL
        )
    with pytest.raises(InvalidArgument, match="cannot semantic_search"):
        w.books("parser").iter_semantic_search(query="xx", symbolic_directory_paths=ALL)


@pytest.mark.anyio
async def test_a_search_by_meaning_comes_page_by_page(w: World) -> None:
    """The embedded server's list, and a search played to it: k goes along with each lot."""
    chain = ("parser", "text-embedder", "vector-db")
    books = w.books(*chain)
    listed = {
        "request_id": "r",
        "message": "",
        "items": [{"file_id": "0d9f1c3e-5b7a-4c2d-8e6f-1a2b3c4d5e6f"}],
    }
    hit = {"file_id": "x", "file_metadata": {}, "search_results": [{"distance": 0.25}]}
    w.fail(LIST, answer=says(200, listed))
    w.fail("/semantic-search", answer=says(200, {**listed, "items": [hit]}))
    pager = books.iter_semantic_search(query="cold", k=2, symbolic_directory_paths=ALL)
    items = [item async for item in pager]
    assert [hit.distance for item in items for hit in item.search_results] == [0.25]
    assert {name: w.wire.bodies[-1][name] for name in ("file_ids", "k", "query")} == {
        "file_ids": ["0d9f1c3e-5b7a-4c2d-8e6f-1a2b3c4d5e6f"],
        "k": 2,
        "query": "cold",
    }


@pytest.mark.anyio
async def test_a_lost_page_is_asked_for_again_by_the_call_itself(w: World) -> None:
    await w.done(w.books())
    w.fail(LIST, after=httpx.ReadError("reset"), times=3)
    pager = w.books().iter_files(symbolic_directory_paths=ALL)
    assert [r.file_name async for r in pager] == ["a.txt"]
