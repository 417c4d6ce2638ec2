r"""json-to-txt: the values of a JSON list's process key, joined by "\n", no newline at the end."""

from __future__ import annotations

from krixik_async.server.runners._entries import read_entries
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
    text = "\n".join(entry.text for entry in read_entries(request))
    try:
        encoded = text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RunnerError("the JSON input has half of a surrogate pair in a text") from error
    request.destination.write_bytes(encoded)
    return {}
