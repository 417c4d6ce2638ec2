"""How the runners read and write JSON of snippets: a list of objects with a text under one key."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from attrs import frozen

from krixik_async.server.runners._reading import read_text
from krixik_async.server.runners._request import RunnerError, RunRequest

__all__ = ["Entry", "read_entries", "write_entries"]


@frozen
class Entry:
    """One entry: its text, and the lines it stands on where the module before said so."""

    text: str
    line_numbers: object = None


def read_entries(request: RunRequest) -> list[Entry]:
    """Return the entries of the request's input, in order.

    The key is `input_key`, or "snippet", that of JSON which a user uploads; other keys but
    line_numbers are ignored.

    Raises:
        RunnerError: not UTF-8, not JSON, not a list of objects, or an entry without a text under
            the key.
    """
    key = request.input_key or "snippet"
    try:
        found = json.loads(read_text(request.source))
    except json.JSONDecodeError as error:
        raise RunnerError(f"the input is not valid JSON: {error}") from error
    except (RecursionError, ValueError) as error:
        # Nested deeper, or a number longer, than the interpreter is willing to read.
        raise RunnerError("the input is not JSON of a size that can be read") from error
    if not isinstance(found, list):
        raise RunnerError("the JSON input must be a list of objects")
    entries = []
    for index, entry in enumerate(found):
        text = entry.get(key) if isinstance(entry, dict) else None
        if not isinstance(text, str):
            raise RunnerError(f"entry {index} of the JSON input has no text under the key {key!r}")
        entries.append(Entry(text, entry.get("line_numbers")))
    return entries


def write_entries(entries: Iterable[Mapping[str, object]], destination: Path) -> int:
    """Write what `json.dumps` makes of the list, one entry at a time, and return its length.

    Windows with a large overlap make 55 MB of a 2 MiB text.
    """
    count = 0
    with destination.open("w", encoding="ascii", newline="") as output:
        output.write("[")
        for entry in entries:
            output.write(", " if count else "")
            output.write(json.dumps(entry))
            count += 1
        output.write("]")
    return count
