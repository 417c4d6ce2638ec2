"""What the caller of `process_many` holds: an async iterator over outcomes, to be left at will."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Self, TypeAlias

from krixik_async import _fetching
from krixik_async._bulk._apart import check_apart
from krixik_async._bulk._flow import Work
from krixik_async._bulk._inputs import FileInput, Files, check_files
from krixik_async._bulk._outcomes import BulkOutcome
from krixik_async._bulk._run import Plan, Run
from krixik_async._closing import Closing
from krixik_async._errors import InvalidArgument, InvalidArgumentType
from krixik_async._models import JobRef
from krixik_async._session import Session
from krixik_async._validation import check_bool, kind_of
from krixik_async._waiting import check_poll

OnError: TypeAlias = Literal["collect", "raise"]
ON_ERROR: tuple[OnError, ...] = ("collect", "raise")


class BulkStream(Closing):
    """Yield a `BulkOutcome` for each file of `process_many`, as they end.

    An async iterator and an async context manager. Nothing is done before the first outcome is
    asked for. Leaving it early, by break, error, cancellation or garbage collection, stops the
    work at this end; jobs on the service go on, and with a journal the same call goes on where
    this one stopped.
    """

    def __init__(self, plan: Plan, on_error: OnError) -> None:
        self._plan = plan
        self._on_error = on_error
        self._run: Run | None = None
        self._came = 0
        self._ended = False
        self._closed = False

    def __repr__(self) -> str:
        """Tell of which pipeline and journal, how many outcomes came, and whether more may."""
        state = "closed" if self._closed else "ended" if self._ended else "under way"
        if self._run is None and not self._closed:
            state = "not begun"
        journal = "" if self._plan.journal is None else f", journal {str(self._plan.journal)!r}"
        pipeline = self._plan.work.pipeline
        return f"<BulkStream of {pipeline!r}{journal}: {state}, outcomes: {self._came}>"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> BulkOutcome:
        if self._closed:
            raise StopAsyncIteration
        if self._run is None:
            self._run = Run(self._plan)
        outcome = await self._run.next()
        if outcome is None:
            self._ended = True
            raise StopAsyncIteration
        self._came += 1
        if self._on_error == "raise" and not outcome.ok:
            await self.aclose()
            outcome.raise_for_failure()
        return outcome

    @property
    def outstanding(self) -> tuple[JobRef, ...]:
        """Give the jobs that were sent and whose outcomes were not yielded; for any wait.

        There are at most `max_in_flight`, and they are still here after leaving. If leaving cut an
        upload off, a wait for that job gives "not_found".
        """
        return () if self._run is None else self._run.outstanding

    async def aclose(self) -> None:
        """Stop, and wait until the work begun here has ended and the journal is closed.

        Idempotent. Jobs on the service go on. If it is cancelled, the rest ends by itself.
        """
        self._closed = True
        if self._run is not None:
            self._run.stop()
            await self._run.wait()

    def __del__(self) -> None:
        if self._run is not None:
            self._run.stop()


def process_many(
    session: Session,
    pipeline: str,
    chain: Sequence[str],
    files: Files,
    *,
    defaults: FileInput,
    max_in_flight: object,
    journal: object,
    on_error: object,
    save_to: object,
    download: object,
    poll: object,
) -> BulkStream:
    """Check the arguments and make the stream; nothing is read or sent yet."""
    check_files(files)
    if download is not None:
        check_bool("download_output", download)
    fetching = download is True or (download is None and save_to is not None)
    directory = _fetching.check_directory(save_to) if fetching else None
    if directory is not None and isinstance(files, str | os.PathLike):
        check_apart(os.fspath(files), directory)
    work = Work(
        session=session,
        pipeline=pipeline,
        chain=tuple(chain),
        defaults=defaults,
        save_to=directory,
        schedule=check_poll(poll),
    )
    plan = Plan(
        work=work,
        files=files,
        max_in_flight=check_max_in_flight(max_in_flight),
        journal=check_journal(journal),
    )
    return BulkStream(plan, check_on_error(on_error))


def check_on_error(on_error: object) -> OnError:
    """Give it back, or raise InvalidArgument naming the two that are allowed."""
    for allowed in ON_ERROR:
        if on_error == allowed:
            return allowed
    raise InvalidArgument(f"on_error is {on_error!r} but must be one of {ON_ERROR}")


def check_max_in_flight(max_in_flight: object) -> int:
    """Give it back, or raise InvalidArgument: a whole number of 1 or more."""
    if isinstance(max_in_flight, bool) or not isinstance(max_in_flight, int):
        raise InvalidArgumentType(f"max_in_flight is {kind_of(max_in_flight)} but must be an int")
    if max_in_flight < 1:
        raise InvalidArgument(f"max_in_flight is {max_in_flight} but must be 1 or more")
    return max_in_flight


def check_journal(journal: object) -> Path | None:
    """Give the path of the journal, or None. Raises InvalidArgument or InvalidArgumentType."""
    if journal is None:
        return None
    if not isinstance(journal, str | os.PathLike):
        raise InvalidArgumentType(f"journal is {kind_of(journal)} but must be a path or None")
    path = os.fspath(journal)
    if not isinstance(path, str):
        raise InvalidArgumentType(f"journal is {kind_of(journal)} whose path is not a str")
    if not path or "\0" in path:
        raise InvalidArgument(f"journal is {path!r}, which cannot be the name of a file")
    return Path(path)
