"""Many waiting jobs: what 1,000, 10,000 and 100,000 of them cost in memory and CPU time.

Each size has a process of its own, in virtual time. None of its jobs ends; two minutes into the
wait for them the memory is measured, and what of it was there before the wait is left out (as are
the jobs' own references or request_ids, which are the caller's). The aim: growth in proportion to
the jobs or slower, and at most 0.5 kB a job from 10,000 to 100,000, however they are
given: of a bare request_id the client has to find out and keep the file_id, a hundred bytes more.
"""

from __future__ import annotations

from benchmarks.processes import Numbers
from benchmarks.waiting import Wait, waited

NAME = "many"
SIZES, QUICK_SIZES = (1_000, 10_000, 100_000), (100, 1_000)


def run(*, quick: bool) -> list[Numbers]:
    """Give one row a number of jobs."""
    waits = (Wait("references", "default"), Wait("request_ids", "default", ("--bare",)))
    sizes = QUICK_SIZES if quick else SIZES
    return [waited(wait, jobs, ("--hold",)) for wait in waits for jobs in sizes]
