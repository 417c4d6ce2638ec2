"""Make calls with the official client, one after the other; print what became of each, as JSON.

usage: official_calls.py SERVER_URL < calls.json

Run in the official client's own environment: this file imports nothing of ours. `time.sleep` does
nothing here, for the client sleeps between its requests and the requests are what is compared.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

KEY = "1f0c5f2e-0001-4000-8000-000000000001"


def made(value: Any) -> Any:
    """Give an argument as it is meant: JSON has no paths and no tuples."""
    if isinstance(value, dict) and set(value) == {"$path"}:
        return Path(value["$path"])
    if isinstance(value, dict) and set(value) == {"$float"}:
        return float(value["$float"])
    return value


def run(url: str, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Make the calls; `url` is told the number of each before it begins."""
    from krixik import krixik

    krixik.init(api_key=KEY, api_url=url)
    said: list[dict[str, Any]] = []
    for number, call in enumerate(calls):
        mark = urllib.request.Request(f"{url}/mark/{number}", method="PUT")
        urllib.request.urlopen(mark).close()
        try:
            target: Any = krixik
            if call["chain"] is not None:
                target = krixik.create_pipeline(name=call["pipeline"], module_chain=call["chain"])
            arguments = {name: made(value) for name, value in call["arguments"].items()}
            getattr(target, call["method"])(**arguments)
        except Exception as error:  # noqa: BLE001 - whatever it is, it became of the call
            said.append({"raised": type(error).__name__, "words": str(error)})
        else:
            said.append({"raised": None})
    return said


if __name__ == "__main__":
    time.sleep = lambda _: None
    with contextlib.redirect_stdout(sys.stderr):
        results = run(sys.argv[1], json.load(sys.stdin))
    json.dump(results, sys.stdout)
