"""What of this package is alive in a process, and how much its objects hold: counts, not bytes.

Where the same state is come to again, with no call under way and no file on record, the counts must
be what they were. Unlike memory they have no noise: one object too many is one too many.
"""

from __future__ import annotations

import gc
import sys
import types
from collections import Counter
from collections.abc import Iterator, Mapping

_OURS = "krixik_async"
# What is kept on purpose, up to a bound, to be used again: where it is held, and the most of it.
BOUNDED: Mapping[str, int] = {
    "_durations.Durations._made": 512,
    "_durations.Durations._seen": 512,
    "_durations.Durations._sketches": 512,
    "_polling._answers.Answers._statuses": 1024,
    "_polling._laws.Laws._known": 512,
    "_polling._register.Register._idle": 64,
    "_polling._sweep.Sweep.canaries": 5,
    # The event loop keeps the context in which a connection was made, and what is in there.
    "_transport._seam.Progress": 64,
    "server._young.YoungRecords._lagging": 200,
    # How many connections wait for their next request is the client's doing.
    "server._connections.BoundedConnection": 2000,
}
# What those hold: their number goes with them.
_HELD_BY_BOUNDED = (
    "_durations._Made",
    "_law.",
    "_models._jobs.JobRef",
    "_models._jobs.ProcessStatus",
    "_poll_policy.Schedule",
    "_polling._entries.Crowd",
    "_polling._sweep.Sweep",
    "_sketch.",
    "_timing.",
    "server._connections.BoundedConnection.",
    "server._young._Lagging",
    # Timers that were cancelled are the event loop's to drop.
    "testing._virtual_time.VirtualTimeLoop.",
)


def living() -> Counter[str]:
    """Count own objects by type, own closures and coroutines by name, and what objects hold.

    "x.Y" is the number of objects of a type; "x.Y.z" the number of items in all their `z`, for
    lists, dicts, sets and deques. Names are without the package's.
    """
    gc.collect()
    counts: Counter[str] = Counter()
    for one in gc.get_objects():
        name = _name_of(one)
        if name is None:
            continue
        counts[name] += 1
        for field, held in _fields_of(one):
            if hasattr(held, "__len__") and hasattr(held, "__iter__") and _is_filled(held):
                counts[f"{name}.{field}"] += len(held)
    return +counts


def grown(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """Give what there is more or less of; of what is bounded on purpose only excess."""
    changed: dict[str, int] = {}
    for name in {*before, *after}:
        more = after.get(name, 0) - before.get(name, 0)
        if name in BOUNDED:
            more = max(0, after.get(name, 0) - BOUNDED[name])
        if more and not name.startswith(_HELD_BY_BOUNDED):
            changed[name] = more
    return changed


def _name_of(one: object) -> str | None:
    kind = type(one)
    # Some of the standard library's types answer with something else than a name.
    if str(kind.__module__).partition(".")[0] == _OURS and not isinstance(one, type):
        return f"{kind.__module__}.{kind.__qualname__}".removeprefix(f"{_OURS}.")
    if isinstance(one, types.FunctionType):
        inner = (one.__module__ or "").partition(".")[0] == _OURS and "<locals>" in one.__qualname__
        # Each connection has its own, as long as it lasts.
        return one.__qualname__ if inner and "BoundedConnection" not in one.__qualname__ else None
    if isinstance(one, types.CoroutineType) and f"/{_OURS}/" in one.cr_code.co_filename:
        return one.__qualname__
    return None


def _fields_of(one: object) -> Iterator[tuple[str, object]]:
    if isinstance(one, types.FunctionType | types.CoroutineType):
        return
    yield from getattr(one, "__dict__", {}).items()
    for kind in type(one).__mro__:
        for field in getattr(kind, "__slots__", ()):
            if field not in ("__weakref__", "__dict__"):
                yield field, getattr(one, field, None)


def _is_filled(held: object) -> bool:
    return type(held).__name__ in ("Counter", "defaultdict", "deque", "dict", "list", "set")


def blocks() -> int:
    """Give the number of memory blocks that the interpreter's objects take."""
    return sys.getallocatedblocks()
