r"""json-to-txt: the values of a JSON list's process key, joined by "\n", no newline at the end."""

from __future__ import annotations

import json
from pathlib import Path

from krixik_async.server.runners._reading import read_text
from krixik_async.server.runners._request import RunnerError, RunRequest

__all__ = ["run"]


def run(request: RunRequest) -> dict[str, object]:
    """Write the values of `input_key`, which is "snippet" where none is given, as UTF-8 text.

    A value is written as it is, its own newlines included; other keys are ignored. There is no
    metadata: what the hosted service says of this module is not known, and its official client
    takes a missing num_lines for 0.

    Raises:
        RunnerError: not UTF-8, not JSON, not a list of objects, or an entry without a text under
            the key.
    """
    # "snippet" is the key of JSON that a user uploads; in a chain the module before says its own.
    text = "\n".join(_values(request.source, request.input_key or "snippet"))
    try:
        encoded = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RunnerError("the JSON input has half of a surrogate pair in a text") from error
    request.destination.write_bytes(encoded)
    return {}


def _values(source: Path, key: str) -> list[str]:
    try:
        entries = json.loads(read_text(source))
    except json.JSONDecodeError as error:
        raise RunnerError(f"the input is not valid JSON: {error}") from error
    except (RecursionError, ValueError) as error:
        # Nested deeper, or a number longer, than the interpreter is willing to read.
        raise RunnerError("the input is not JSON of a size that can be read") from error
    if not isinstance(entries, list):
        raise RunnerError("the JSON input must be a list of objects")
    values = []
    for index, entry in enumerate(entries):
        value = entry.get(key) if isinstance(entry, dict) else None
        if not isinstance(value, str):
            raise RunnerError(f"entry {index} of the JSON input has no text under the key {key!r}")
        values.append(value)
    return values
