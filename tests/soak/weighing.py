"""What a process has at rest: live objects, resident memory, and the bytes that are in use.

Resident memory holds what the allocator keeps for later, too; bytes in use do not. malloc's hold
what takes more than 512 bytes, and what is not Python's; the interpreter's blocks are the rest.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Mapping

import attrs

from tests.soak.living import living
from tests.soak.running import own_kib


@attrs.frozen
class Weight:
    """Hold what one process had at one rest; `malloc_kib` is None where there is no glibc."""

    counts: Mapping[str, int]
    resident_kib: float
    malloc_kib: float | None
    blocks: float


class _Mallinfo2(ctypes.Structure):
    # mallinfo(3), glibc 2.33 or later.
    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd",
            "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    )  # fmt: skip


def weigh() -> Weight:
    """Weigh this process, after a collection of garbage."""
    counts = dict(living())
    return Weight(counts, own_kib(), _malloc_kib(), sys.getallocatedblocks())


def _malloc_kib() -> float | None:
    try:
        ask = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return None
    ask.restype = _Mallinfo2
    said = ask()
    in_use: int = said.uordblks + said.hblkhd
    return in_use / 1024
