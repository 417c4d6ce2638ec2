"""The steps a file goes through, as a table; and what the journal holds of one file.

A step is written down before what it stands for is done, so that whoever reads it later knows
the most that can have happened:

    planned    it has a name; a ticket may have been asked for under it, nothing was uploaded
    ticketed   it has a ticket; its upload may have begun, and may have ended
    uploaded   the service has confirmed that it is stored
    running    its process was seen on record since
    complete   every module is done                                                    (an end)
    fetched    ... and its output is on this machine's disk                            (an end)
    failed     a module failed                                                         (an end)
    vanished   its record is gone: expired, deleted or not found                       (an end)
    error      something else went wrong; the next run goes on from the step before
    undecided  it cannot be told whether it was taken; the next run asks again

The table is the law of the file: whatever breaks it is refused by the module that owns the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias, get_args

import attrs

Step: TypeAlias = Literal[
    "planned",
    "ticketed",
    "uploaded",
    "running",
    "complete",
    "fetched",
    "failed",
    "vanished",
    "error",
    "undecided",
]
STEPS: tuple[Step, ...] = get_args(Step)

#: step -> the steps that may follow it
FOLLOWS: Mapping[Step, frozenset[Step]] = {
    # Asked again under another name; or the input is not what it should be.
    "planned": frozenset({"planned", "ticketed", "error", "undecided"}),
    # To "planned" only once its upload is known not to have arrived.
    "ticketed": frozenset({"ticketed", "planned", "uploaded", "error", "undecided"}),
    "uploaded": frozenset({"running", "complete", "failed", "vanished", "error"}),
    "running": frozenset({"complete", "failed", "vanished", "error"}),
    "complete": frozenset({"fetched", "error"}),
    # What was saved is not there any more.
    "fetched": frozenset({"fetched", "error"}),
    "failed": frozenset(),
    "vanished": frozenset(),
    # Taken up again where it was.
    "error": frozenset({"planned", "ticketed", "uploaded", "running", "complete", "fetched"}),
    "undecided": frozenset({"planned", "ticketed"}),
}
#: ends that a next run takes up again
OPEN_ENDS: frozenset[Step] = frozenset({"error", "undecided"})
#: ends for good
ENDS: frozenset[Step] = frozenset({"complete", "fetched", "failed", "vanished"})
#: steps from which on the input's content is on the service
SENT: frozenset[Step] = ENDS.union(("uploaded", "running"))
# What must not be lost in a power cut. "ticketed": with it would go the knowledge that an upload
# may have begun, and the file would be sent twice. The ends: the caller acts on them. Whatever
# else is lost is found out again from the step before it.
DURABLE: frozenset[Step] = ENDS.union(OPEN_ENDS, ("ticketed",))


@attrs.frozen(kw_only=True)
class Entry:
    """Hold what the journal knows of one input. Times are epoch seconds.

    `after` is the step before an "error" or "undecided". `fate` is the failed module, the way it
    vanished, or the error's class; `message` the error's text. `saved` are the output's paths.
    """

    key: str
    step: Step = "planned"
    after: Step | None = None
    arguments: str | None = None
    size: int | None = None
    mtime_ns: int | None = None
    sha256: str | None = None
    file_name: str | None = None
    symbolic_directory_path: str | None = None
    asked_at: float | None = None
    request_id: str | None = None
    file_id: str | None = None
    submitted_at: float | None = None
    expires_at: float | None = None
    fate: str | None = None
    message: str | None = None
    saved: tuple[str, ...] = ()

    @property
    def reached(self) -> Step:
        """Give the step to go on from: the one before an error, or its own."""
        return self.after if self.step in OPEN_ENDS and self.after is not None else self.step


def may_follow(entry: Entry, step: Step) -> bool:
    """Tell whether `step` may be written after what the entry says.

    An open end leads back to the step before it, or to what may follow that.
    """
    if entry.step in OPEN_ENDS:
        return step == entry.reached or step in FOLLOWS[entry.reached]
    return step in FOLLOWS[entry.step]
