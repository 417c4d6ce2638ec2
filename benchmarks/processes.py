"""Servers and client programs as processes of their own, each on its core."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

Numbers: TypeAlias = dict[str, Any]

ROOT = Path(__file__).parent.parent
# A run that takes longer than this hangs.
LONGEST_S = 600.0
_WRK_SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "text/plain"
wrk.body = '{"pipeline": "bench", "version": "1.1.19", "process_id": "00000000"}'
"""


def cores() -> tuple[int | None, int | None]:
    """Give the client's core and the server's; None where there is but one for both."""
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[1]) if len(usable) > 1 else (None, None)


def pinned(cpu: int | None) -> list[str]:
    """Give the option that pins a program of ours."""
    return [] if cpu is None else ["--cpu", str(cpu)]


def official_python() -> str | None:
    """Give the Python that has the official client, if `make bench` or the user named one."""
    return os.environ.get("PARITY_PYTHON")


class Server:
    """Be a running server that can be asked for the CPU seconds it has used."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self._process = process
        self.url = url

    def cpu_s(self) -> float:
        """Ask it."""
        assert self._process.stdin is not None
        self._process.stdin.write("cpu?\n")
        self._process.stdin.flush()
        return float(line(self._process, "cpu "))


def line(process: subprocess.Popen[str], start: str) -> str:
    """Give the next line of a process that begins with `start`, without it."""
    assert process.stdout is not None
    for said in process.stdout:
        if said.startswith(start):
            return said.removeprefix(start).strip()
    raise RuntimeError(f"a process ended before it said {start!r}")


@contextmanager
def canned(latency_s: float = 0.0, certificate: Path | None = None) -> Iterator[Server]:
    """Run the server that is not the bottleneck, and end it."""
    command = [sys.executable, "-m", "benchmarks.canned", "--latency", str(latency_s)]
    command += pinned(cores()[1])
    if certificate is not None:
        command += ["--cert", str(certificate)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield Server(process, line(process, "ready on "))
        finally:
            process.terminate()


@contextmanager
def certificate() -> Iterator[Path | None]:
    """Make a certificate for the loopback, key and all in one file; None without openssl."""
    if shutil.which("openssl") is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        path, key = Path(folder) / "both.pem", Path(folder) / "key.pem"
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
        command += ["-keyout", str(key), "-out", str(path)]
        subprocess.run(command, check=True, capture_output=True)
        path.write_bytes(path.read_bytes() + key.read_bytes())
        yield path


def run_client(
    name: str, url: str, *options: str, python: str = sys.executable, trust: Path | None = None
) -> Numbers:
    """Run one client program to its end and give what it reports."""
    command = [python, "-m", f"benchmarks.clients.{name}", url, *options, *pinned(cores()[0])]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    if trust is not None:
        # What httpx and what requests look at for further authorities.
        environment |= {"SSL_CERT_FILE": str(trust), "REQUESTS_CA_BUNDLE": str(trust)}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LONGEST_S
    )
    if done.returncode:
        raise RuntimeError(f"{name} failed: {done.stderr[-2000:]}")
    numbers: Numbers = json.loads(done.stdout.splitlines()[-1])
    return numbers


def run_wrk(url: str, *, connections: int, seconds: float) -> Numbers | None:
    """Let wrk, a load generator in C, ask as fast as one thread of it can; None without it."""
    if shutil.which("wrk") is None:
        return None
    cpu = cores()[0]
    command = [] if cpu is None else ["taskset", "-c", str(cpu)]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_WRK_SCRIPT)
        script.flush()
        command += ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s"]
        command += ["-s", script.name, f"{url}/krixik-core-process-status"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = re.search(r"(\d+) requests in ([\d.]+)s", done.stdout)
    assert found is not None, done.stdout
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"answers": int(found[1]), "seconds": float(found[2]), "cpu_s": cpu_s}
