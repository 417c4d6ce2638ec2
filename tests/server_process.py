"""The server as its users run it: a process of its own, started, killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

READY = "krixik-async server ready on "


class ServerProcess:
    """Run `krixik-async serve` on a loopback port; with `port=0` the first start picks one."""

    def __init__(self, data_dir: Path, *options: str, key: str, port: int = 0) -> None:
        self.data_dir = data_dir
        self.key = key
        self.port = port
        self.options = options
        self.process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Start it and wait for its ready line."""
        command = [sys.executable, "-m", "krixik_async", "serve", "--port", str(self.port)]
        command += ["--data-dir", str(self.data_dir), "--api-key", self.key, *self.options]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith(READY), line
        self.port = int(line.rstrip().rpartition(":")[2])
        return self

    def kill(self) -> None:
        """Kill it and its workers with SIGKILL, as a power cut would."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self._reap()

    def stop(self) -> int:
        """End it in order; give its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self._reap()

    def _reap(self) -> int:
        assert self.process is not None
        code = self.process.wait(timeout=20)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None
        return code

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process is not None:
            self.kill()
