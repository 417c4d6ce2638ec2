"""Telling whether another process of this machine still lives.

A lease tells it after a minute. Where the system can tell it at once, a run that is started again
right after a kill need not wait for its own dead predecessor. What cannot be told is left to the
lease: on other systems than Linux, for other machines, for other containers.
"""

from __future__ import annotations

import os
from pathlib import Path

PROC = Path("/proc")


def name_of(process_id: int, *, proc: Path = PROC) -> str:
    """Give a name that no other process has, on any machine, ever; "" where that is unknown.

    Of: this boot of this machine, the space its process ids are counted in, the process id, and
    the tick in which the process started.
    """
    try:
        boot = (proc / "sys/kernel/random/boot_id").read_text("ascii").strip()
        space = str((proc / "self/ns/pid").readlink())
        started = _started(proc / str(process_id) / "stat")
    except (OSError, ValueError, IndexError):
        return ""
    return f"{boot} {space} {process_id} {started}"


def is_dead(name: str, *, proc: Path = PROC) -> bool:
    """Tell whether the process of this name is surely no more; False where it cannot be told."""
    mine = name_of(os.getpid(), proc=proc).split()
    parts = name.split()
    if not mine or len(parts) != len(mine) or parts[:2] != mine[:2]:
        return False
    return name_of(int(parts[2]), proc=proc) != name


def _started(stat: Path) -> int:
    # The name in parentheses may hold blanks and parentheses itself; field 3 follows the last.
    fields = stat.read_bytes().rpartition(b")")[2].split()
    # A process that was killed and not yet waited for by its parent is dead for our purposes.
    if fields[0] in (b"Z", b"X"):
        raise ValueError("it is no more")
    return int(fields[19])
