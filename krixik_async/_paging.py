"""All files, however many: pages that follow one another, and an iterator over what is on them.

The protocol has no offset. What it has is a list that begins with the newest file and an inclusive
`created_at_end`, in whole seconds: so each page is asked for up to the oldest second that the page
before it reached, and what was already seen of that second is left out. Files that come meanwhile
are newer than what is asked for and move nothing; files that go leave no gap.

A page that lies within one second cannot be paged any further. It is asked for once more at the
largest size; if that is full, too, an error says so, for going on would lose files.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Generic, Protocol, Self, TypeVar

import attrs

from krixik_async._closing import Closing
from krixik_async._errors import UnexpectedReply
from krixik_async._models import Answer, FileRecord, ListResult
from krixik_async._reply import JSON, Reply
from krixik_async._selectors import MAX_FILES, MAX_SELECTED

T = TypeVar("T")

# As `list` does by default; and an answer of that size is about 1 MB.
DEFAULT_PAGE_SIZE = 1000

# Asks for at most so many files, created up to that second (epoch; None: no bound).
ListPage = Callable[[int, int | None], Awaitable[ListResult]]


@attrs.frozen
class Page(Generic[T]):
    """Hold one page: what is on it, and the answer that it came with."""

    items: Sequence[T]
    answer: Answer


class Pages(Protocol[T]):
    """Be a source of pages."""

    async def next(self) -> Page[T] | None:
        """Ask for the next page; None after the last. A call that fails may be repeated."""


class FilePages:
    """Ask for files by pages, newest first, each file once."""

    def __init__(self, list_page: ListPage, *, page_size: int) -> None:
        self._list_page = list_page
        self._page_size = page_size
        self._until: int | None = None
        # The files already seen of the second `_until`.
        self._seen: frozenset[str] = frozenset()
        # Those of the first page are of the whole selection. A later one is of the older files
        # alone, so that what it warns of, such as a name that none of them has, misleads.
        self._warnings: tuple[JSON, ...] | None = None
        self._ended = False

    async def next(self) -> Page[FileRecord] | None:
        """Ask for the next page, the first of which may be empty; None after the last."""
        while not self._ended:
            page = await self._list_page(self._page_size, self._until)
            fresh = [record for record in page.items if record.file_id not in self._seen]
            self._ended = len(page.items) < self._page_size
            if not self._ended:
                self._move(page)
            if self._warnings is None:
                self._warnings = page.warnings
                return Page(fresh, page)
            if fresh:
                return Page(fresh, attrs.evolve(page, warnings=self._warnings))
        return None

    def _move(self, page: ListResult) -> None:
        """Set out for what is older than a full page."""
        seconds = [_second(record, page) for record in page.items]
        if seconds != sorted(seconds, reverse=True):
            raise UnexpectedReply(
                f"list gave {len(seconds)} files that are not newest first, so that what comes "
                "after them cannot be told: list by created_at_start and created_at_end instead",
                endpoint="list",
                reply=page.reply,
            )
        if seconds[0] == seconds[-1] == self._until:
            if self._page_size == MAX_FILES[1]:
                raise UnexpectedReply(
                    f"list gave {len(seconds)} files of one second "
                    f"({page.items[0].created_at} UTC), as many as it gives at once, so that "
                    "there may be more of them that cannot be asked for: choose by file_names, "
                    "symbolic_directory_paths or file_tags",
                    endpoint="list",
                    reply=page.reply,
                )
            self._page_size = MAX_FILES[1]
        self._until = seconds[-1]
        self._seen = frozenset(
            record.file_id
            for record, second in zip(page.items, seconds, strict=True)
            if second == self._until
        ) | (self._seen if seconds[0] == self._until else frozenset())


def _second(record: FileRecord, page: ListResult) -> int:
    try:
        moment = datetime.strptime(record.created_at, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        raise UnexpectedReply(
            f"list gave file {record.file_id} with {record.created_at!r} as its created_at, so "
            "that what comes after it cannot be told",
            endpoint="list",
            reply=page.reply,
        ) from None
    return int(moment.timestamp())


class SearchPages(Generic[T]):
    """Search the files that `files` gives, in lots of as many as one search may name."""

    def __init__(
        self, files: FilePages, search: Callable[[Sequence[str]], Awaitable[Page[T]]]
    ) -> None:
        self._files = files
        self._search = search
        self._waiting: deque[str] = deque()
        # What `list` warned of the selection: a search is given ids and knows nothing of it.
        self._warnings: tuple[JSON, ...] = ()

    async def next(self) -> Page[T] | None:
        """Search the next lot; None after the last."""
        if not self._waiting:
            page = await self._files.next()
            if page is None:
                return None
            if not page.items:
                return Page((), page.answer)
            self._warnings = page.answer.warnings
            self._waiting.extend(record.file_id for record in page.items)
        lot = list(islice(self._waiting, MAX_SELECTED))
        found = await self._search(lot)
        for _ in lot:
            self._waiting.popleft()
        said = (*self._warnings, *found.answer.warnings)
        return Page(found.items, attrs.evolve(found.answer, warnings=said))


class Pager(Closing, AsyncIterator[T]):
    """Iterate over all items, however many, page by page.

    An async iterator and an async context manager. Holds one page. `reply` is the last page's;
    `warnings` are about the selection as a whole and, in a search, about the last page. May be left
    at any point. If a page fails, that raises, and the next step asks for the same page again. For
    one task at a time.
    """

    def __init__(self, pages: Pages[T]) -> None:
        self._pages = pages
        self._ready: deque[T] = deque()
        self._ended = False
        self.warnings: tuple[JSON, ...] = ()
        self.reply: Reply | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while not self._ready:
            page = None if self._ended else await self._pages.next()
            if page is None:
                self._ended = True
                raise StopAsyncIteration
            self.warnings, self.reply = page.answer.warnings, page.answer.reply
            self._ready.extend(page.items)
        return self._ready.popleft()

    async def aclose(self) -> None:
        """End the iteration: nothing more is asked for. Idempotent."""
        self._ended = True
        self._ready.clear()
