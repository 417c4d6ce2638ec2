"""How long jobs take: learned from looks, per pipeline, stage and size, in bounded memory.

A look tells only that a job ended between two looks, so what is learned from are intervals. Each
(pipeline, stage, power of two of the size, completed or failed) has a sketch; a law is made of the
nearest sizes that have seen enough jobs between them.

Pure: no clock, no randomness.
"""

from __future__ import annotations

import json
import math
from typing import TypeAlias

import attrs

from krixik_async._errors import InvalidArgument
from krixik_async._law import Law
from krixik_async._sketch import Sketch

# (pipeline, stage, size class, failed)
Key: TypeAlias = tuple[str, int, int, bool]
# At half a kilobyte each, a quarter of a megabyte; the one not added to for longest goes first.
MOST_SKETCHES = 512
# A law rests on this many jobs, if there are so many; before, its schedule is a plainer one.
ENOUGH_JOBS = 5
# A law is made anew when what it rests on has grown by this share, or when so much of what a sketch
# keeps in mind, which is about 200 jobs, is new.
STALE, MEMORY_JOBS = 0.1, 200
UNKNOWN_SIZE = -1
# So many pipelines are named in a repr.
TOLD = 5
VERSION = 1


@attrs.frozen
class _Made:
    """Hold a law that was made, of how many jobs, and at how many it is stale."""

    law: Law | None
    seen: int
    stale_at: float


class Durations:
    """Learn how long jobs take; one per client.

    Holds at most 512 sketches of half a kilobyte. Not for use from several threads at once.
    """

    def __init__(self) -> None:
        self._sketches: dict[Key, Sketch] = {}
        self._seen: dict[tuple[str, int], int] = {}
        self._made: dict[Key, _Made] = {}

    def __len__(self) -> int:
        return len(self._sketches)

    def __repr__(self) -> str:
        """Tell of how many jobs of which pipelines something is known."""
        jobs: dict[str, int] = {}
        for (pipeline, _), seen in self._seen.items():
            jobs[pipeline] = max(jobs.get(pipeline, 0), seen)
        told = [f"{name!r} (jobs: {seen})" for name, seen in [*jobs.items()][:TOLD]]
        more = f" and {len(jobs) - TOLD} more" if len(jobs) > TOLD else ""
        return f"<Durations of {', '.join(told) or 'no pipeline yet'}{more}>"

    def observe(
        self, pipeline: str, stage: int, size_bytes: int | None, low_s: float, high_s: float
    ) -> None:
        """Learn that a job completed between `low_s` and `high_s` seconds after entering `stage`.

        `stage` is the number of modules done; stage 0 is entered by submission.
        Raises InvalidArgument unless 0 <= low_s <= high_s < inf.
        """
        self._observe((pipeline, stage, _size_class(size_bytes), False), low_s, high_s)

    def observe_failure(
        self, pipeline: str, stage: int, size_bytes: int | None, low_s: float, high_s: float
    ) -> None:
        """Learn that a job failed between `low_s` and `high_s` seconds after entering `stage`."""
        self._observe((pipeline, stage, _size_class(size_bytes), True), low_s, high_s)

    def _observe(self, key: Key, low_s: float, high_s: float) -> None:
        if not 0 <= low_s <= high_s < math.inf:
            raise InvalidArgument(f"({low_s}, {high_s}] is no interval of durations in seconds")
        sketch = self._sketches.pop(key, None) or Sketch()
        sketch.observe(low_s, high_s)
        self._keep(key, sketch, 1)

    def _keep(self, key: Key, sketch: Sketch, jobs: int) -> None:
        """Put a sketch last, and drop the first when there are too many."""
        self._sketches[key] = sketch
        self._seen[key[:2]] = self._seen.get(key[:2], 0) + jobs
        if len(self._sketches) <= MOST_SKETCHES:
            return
        first = next(iter(self._sketches))
        del self._sketches[first]
        self._made = {k: made for k, made in self._made.items() if k[:2] != first[:2]}
        if not any(k[:2] == first[:2] for k in self._sketches):
            del self._seen[first[:2]]

    def law(
        self,
        pipeline: str,
        stage: int = 0,
        size_bytes: int | None = None,
        *,
        failures: bool = True,
        at_least: int = ENOUGH_JOBS,
    ) -> Law | None:
        """Give the distribution of the seconds from entering `stage` to the job's end.

        It is made from jobs of that size class (a power of two) if five of them are known, else
        from the nearest sizes that have five together; None while fewer than `at_least` jobs are
        known in all. With `failures`, failed jobs count as ended. The object stays the same until a
        tenth more is known.
        """
        key = (pipeline, stage, _size_class(size_bytes), failures)
        seen = self._own_jobs(key)
        if seen < ENOUGH_JOBS:
            seen = self._seen.get(key[:2], 0)
        made = self._made.get(key)
        if made is None or not made.seen <= seen < made.stale_at:
            if len(self._made) >= MOST_SKETCHES:
                self._made.clear()
            made = self._made[key] = self._make(key, seen)
        return made.law if made.law is not None and made.law.known >= at_least else None

    def _own_jobs(self, key: Key) -> int:
        own = self._sketches.get((*key[:3], False))
        failed = self._sketches.get((*key[:3], True)) if key[3] else None
        return (own.jobs if own else 0) + (failed.jobs if failed else 0)

    def _make(self, key: Key, seen: int) -> _Made:
        pipeline, stage, size, failures = key
        near: dict[int, list[Sketch]] = {}
        for (*where, other, failed), sketch in self._sketches.items():
            if where == [pipeline, stage] and failures >= failed:
                near.setdefault(_distance(size, other), []).append(sketch)
        total = Sketch()
        for distance in sorted(near):
            for sketch in near[distance]:
                total.add(sketch)
            if total.jobs >= ENOUGH_JOBS:
                break
        stale_at = seen + max(1.0, STALE * min(seen, MEMORY_JOBS))
        return _Made(total.law() if total.jobs else None, seen, stale_at)

    def merge(self, other: Durations) -> None:
        """Add what another has learned from other jobs; `other` is not changed."""
        for key, sketch in other._sketches.items():
            mine = self._sketches.pop(key, None) or Sketch()
            mine.add(sketch)
            self._keep(key, mine, sketch.jobs)

    def to_json(self) -> str:
        """Give all that was learned as JSON text, for `from_json`.

        It names pipelines, stages and sizes (as powers of two), no job, no file and no secret;
        less than half a kilobyte for each combination.
        """
        rows = [
            {
                "pipeline": pipeline,
                "stage": stage,
                "size": size,
                "failed": failed,
                **sketch.to_dict(),
            }
            for (pipeline, stage, size, failed), sketch in self._sketches.items()
        ]
        return json.dumps({"version": VERSION, "sketches": rows}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Durations:
        """Read what `to_json` wrote. Raises InvalidArgument if `text` is something else."""
        try:
            read = json.loads(text)
            if read["version"] != VERSION:
                raise ValueError(f"version {read['version']!r}")
            learned = cls()
            for row in read["sketches"][-MOST_SKETCHES:]:
                key = (
                    str(row["pipeline"]),
                    int(row["stage"]),
                    int(row["size"]),
                    row["failed"] is True,
                )
                sketch = Sketch.from_dict(row)
                learned._keep(key, sketch, sketch.jobs)
        except (ValueError, TypeError, LookupError, OverflowError) as error:
            raise InvalidArgument(f"this is not what Durations.to_json gives: {error!r}") from error
        return learned


def _size_class(size_bytes: int | None) -> int:
    return UNKNOWN_SIZE if size_bytes is None else max(0, size_bytes).bit_length()


def _distance(size: int, other: int) -> int:
    if size == other:
        return 0
    # Unknown sizes come after all known ones.
    return 1_000 if UNKNOWN_SIZE in (size, other) else abs(size - other)
