"""The embedded server in a process of its own: started, stopped, killed, started again."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from krixik_async.server._plan import FAULTS_PATH, FaultPlan

_READY = "krixik-async server ready on "
# The server's own grace is 3 s; then its workers end.
_STOP_WITHIN_S = 20.0
_HOST = "127.0.0.1"


class ServerProcess:
    """Run `krixik-async serve` on a loopback port. Blocking.

    A context manager. `data_dir` outlives it: started again, it goes on where it was. The first
    start picks a free port, which is kept. `faults` lets calls go wrong from the start.
    """

    # The module that is run: our own soak runs put one around it that can be looked into.
    _program = "krixik_async"

    def __init__(
        self,
        data_dir: str | os.PathLike[str],
        *,
        api_key: str | None = None,
        faults: FaultPlan | None = None,
        min_module_seconds: float = 0.0,
        ticket_seconds: float = 60.0,
    ) -> None:
        self.api_key = str(uuid.uuid4()) if api_key is None else api_key
        self._data_dir = Path(data_dir)
        self._faults = FaultPlan() if faults is None else faults
        self._options = {
            "--min-module-seconds": min_module_seconds,
            "--ticket-seconds": ticket_seconds,
        }
        self._port = 0
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """Give the address: `api_url` of a client."""
        return f"http://{_HOST}:{self._port}"

    @property
    def pid(self) -> int | None:
        """Give the number of the process, None if it does not run."""
        return None if self._process is None else self._process.pid

    def start(self) -> Self:
        """Start it and return when it accepts connections. Raises RuntimeError if it ends first."""
        if self._process is not None:
            raise RuntimeError(f"the server runs already, on {self.url}")
        self._data_dir.mkdir(parents=True, exist_ok=True)
        plan = self._data_dir / "faults.json"
        plan.write_text(self._faults.to_json(), encoding="utf-8")
        command = [sys.executable, "-m", self._program, "serve", "--host", _HOST]
        command += ["--port", str(self._port), "--data-dir", str(self._data_dir)]
        command += ["--api-key", self.api_key, "--faults", str(plan)]
        command += [str(part) for option in self._options.items() for part in option]
        process = subprocess.Popen(  # noqa: S603 - our own command
            command, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self._process = process
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith(_READY):
            raise RuntimeError(f"krixik-async serve ended with status {self._reap()}: see stderr")
        self._port = int(line.rstrip().rpartition(":")[2])
        return self

    def stop(self) -> int:
        """End it in order and give its exit status."""
        self._running.terminate()
        return self._reap()

    def kill(self) -> None:
        """Kill it and its workers with SIGKILL: connections break, no more are accepted."""
        os.killpg(self._running.pid, signal.SIGKILL)
        self._reap()

    @property
    def fault_counts(self) -> tuple[Mapping[str, int], ...]:
        """Give for each fault of the plan {"matched": n, "fired": n}, asked of the server."""
        return tuple(self._ask("GET")["counts"])

    def set_faults(self, plan: FaultPlan) -> None:
        """Let other faults take the place of those there are, now and after a restart."""
        self._ask("PUT", plan.to_json())
        self._faults = plan

    @property
    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise RuntimeError("the server does not run: call start()")
        return self._process

    def _ask(self, method: str, body: str | None = None) -> dict[str, Any]:
        self._running.poll()  # a server that does not run is said to, plainly
        connection = http.client.HTTPConnection(_HOST, self._port, timeout=_STOP_WITHIN_S)
        try:
            connection.request(method, FAULTS_PATH, body, {"krixikApiKey": self.api_key})
            answer = connection.getresponse()
            said: dict[str, Any] = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise RuntimeError(f"the server did not take the faults: {said['message']}")
        return said

    def _reap(self) -> int:
        process, self._process = self._running, None
        status = process.wait(timeout=_STOP_WITHIN_S)
        assert process.stdout is not None
        process.stdout.close()
        return status

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self.kill()
