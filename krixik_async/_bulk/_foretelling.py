"""What `process_many` would do with an input, by what its journal says: for a dry run."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

import attrs

from krixik_async._bulk._flow import Work, all_there, change_in
from krixik_async._bulk._inputs import FileInput, key_of
from krixik_async._journal import ENDS, OPEN_ENDS, SENT, Entry, JournalLook

# "leave": to another worker of the same journal, which is at it now.
Would: TypeAlias = Literal["send", "wait", "fetch", "skip", "leave"]


@attrs.frozen
class Foretold:
    """Say what would be done, and what the journal knows; None of an input that is new."""

    would: Would
    entry: Entry | None = None


class Foreteller:
    """Look into a journal without a trace; one that is not there knows nothing. To be closed."""

    def __init__(self, work: Work, journal: Path | None) -> None:
        self._work = work
        self._journal = journal
        self._look: JournalLook | None = None

    async def open(self) -> None:
        """Read it. Raises JournalError as a run does."""
        offload = self._work.session.offload
        if self._journal is not None and await offload(_is_there, self._journal):
            self._look = await offload(JournalLook, self._journal, self._work.owner)

    async def foretell(self, file: FileInput) -> Foretold:
        """Say it of one input. Raises what the run would say of one that has changed."""
        session, key = self._work.session, key_of(file)
        if self._look is None or key is None:
            return Foretold("send")
        found = await session.offload(self._look.find, key, session.clock.wall())
        if found is None:
            return Foretold("send")
        entry, is_others = found
        if is_others and entry.step not in ENDS | OPEN_ENDS:
            return Foretold("leave", entry)
        if entry.reached in SENT:
            change = await change_in(self._work, entry, file)
            if change is not None:
                raise change
        return Foretold(await self._would(entry), entry)

    async def _would(self, entry: Entry) -> Would:
        if entry.reached not in SENT:
            return "send"
        if entry.reached in ("uploaded", "running"):
            return "wait"
        if self._work.save_to is None or entry.reached in ("failed", "vanished"):
            return "skip"
        there = entry.step == "fetched" and await self._work.session.offload(all_there, entry.saved)
        return "skip" if there else "fetch"

    async def aclose(self) -> None:
        """Throw the copy away."""
        if self._look is not None:
            await self._work.session.offload(self._look.close)


def _is_there(path: Path) -> bool:
    """Tell whether there is a file, a broken link among them."""
    return path.exists() or path.is_symlink()
