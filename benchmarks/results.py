"""The raw numbers on disk: one JSON file a question, with what they were measured on."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.processes import Numbers

FOLDER = Path(__file__).parent / "results"
_PACKAGES = ("krixik-async", "aiohttp", "anyio", "attrs", "httpx", "httpx-aiohttp", "tenacity")


def save(folder: Path, question: str, rows: list[Numbers]) -> None:
    """Write the rows of one question."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {"question": question, "measured_on": machine(), "rows": rows}
    text = json.dumps(found, indent=1)
    (folder / f"{question}.json").write_text(text + "\n", encoding="utf-8")


def load(folder: Path, question: str) -> dict[str, Any] | None:
    """Read them; None where the question was not asked yet."""
    path = folder / f"{question}.json"
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def machine() -> dict[str, Any]:
    """Say what was measured, on what."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "from a checkout"
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load_average": round(os.getloadavg()[0], 1),
        "versions": versions,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def median(rows: Iterable[Numbers], value: Callable[[Numbers], float]) -> float | None:
    """Give the median of a value over rows; None where there are none."""
    values = [value(row) for row in rows]
    return statistics.median(values) if values else None
