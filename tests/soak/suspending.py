"""Suspend processes at random moments with SIGSTOP, and let them go on; see what others took over.

A process that sleeps while another does its work, and then wakes up in the midst of it, is what
leases are for, and what killing does not try.
"""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import attrs

# Between the looks for one that is at work: a file is sent within some tenths of a second.
LOOK_EVERY_S = 0.1
# From its beginning until it is suspended, at most: what it has begun with takes about as long.
LATER_S = 2.0


@attrs.define(eq=False)
class Suspender:
    """Suspend one after the other of the processes that are at work, for at most so long.

    `stops` counts; `overtaken` counts, by the step that they had stopped at, the inputs that
    another process has taken over meanwhile.
    """

    journal: Path
    rng: random.Random
    longest_s: float
    stops: int = 0
    overtaken: Counter[str] = attrs.field(factory=Counter)
    _living: list[subprocess.Popen[str]] = attrs.field(factory=list)
    _over: threading.Event = attrs.field(factory=threading.Event)

    def watch(self, process: subprocess.Popen[str]) -> None:
        """Have this one suspended, too."""
        self._living.append(process)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Suspend processes until the block ends; then none is left suspended."""
        thread = threading.Thread(target=self._work)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _work(self) -> None:
        while self.longest_s and not self._over.wait(LOOK_EVERY_S):
            at_work = [one for one in tuple(self._living) if self._share(one.pid)]
            if at_work:
                # Once: else what is asked for 15 s would go back and forth without an end.
                one = self.rng.choice(at_work)
                self._living.remove(one)
                self._over.wait(self.rng.random() * LATER_S)
                self._suspend(one)

    def _suspend(self, process: subprocess.Popen[str]) -> None:
        process.send_signal(signal.SIGSTOP)
        before = self._share(process.pid)
        self._over.wait(self.rng.random() * self.longest_s)
        after = self._share(process.pid)
        process.send_signal(signal.SIGCONT)
        self.stops += 1
        self.overtaken.update(step for key, step in before.items() if key not in after)

    def _share(self, process_id: int) -> dict[str, str]:
        """Give the steps of what a process has claimed and not ended, looking without a trace."""
        if not self.journal.exists():
            return {}
        try:
            with closing(sqlite3.connect(f"file:{self.journal}?mode=ro", uri=True)) as connection:
                return dict(
                    connection.execute(
                        "SELECT key, step FROM files JOIN workers ON workers.id = files.owner "
                        "WHERE workers.process LIKE ? "
                        "AND step IN ('planned', 'ticketed', 'uploaded', 'running')",
                        (f"% {process_id} %",),
                    )
                )
        except sqlite3.OperationalError:
            return {}  # while the tables are made
