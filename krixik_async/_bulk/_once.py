"""What must not come twice in one call: a journal's key, or a path on the service."""

from __future__ import annotations

import hashlib

from krixik_async._bulk._inputs import FileInput, called, given_file, key_of
from krixik_async._errors import InvalidArgument, KrixikError
from krixik_async._validation import DEFAULT_DIRECTORY


class Once:
    """Remember what has come.

    Eight bytes of a digest each are kept: some 70 bytes a file, all told.
    """

    def __init__(self, defaults: FileInput) -> None:
        self._defaults = defaults
        self._seen: set[int] = set()

    def refusal(self, file: FileInput) -> KrixikError | None:
        """Give why this input is refused, or None; then it has come."""
        for what, text in _names_of(file, self._defaults):
            digest = hashlib.blake2b(f"{what} {text}".encode("utf-8", "surrogatepass"))
            short = int.from_bytes(digest.digest()[:8])
            if short in self._seen:
                return _twice(file, what, text)
            self._seen.add(short)
        return None


def _names_of(file: FileInput, defaults: FileInput) -> list[tuple[str, str]]:
    """Give what must not come twice: the key, and the path on the service if it was given."""
    names: list[tuple[str, str]] = []
    key = key_of(file)
    if key is not None:
        names.append(("key", str(key)))
    given = given_file(file, defaults)
    if given.symbolic_file_path is not None:
        names.append(("path", str(given.symbolic_file_path).lower()))
    elif given.file_name is not None:
        directory = given.symbolic_directory_path or DEFAULT_DIRECTORY
        names.append(("path", f"{str(directory).rstrip('/')}/{given.file_name}".lower()))
    return names


def _twice(file: FileInput, what: str, text: str) -> KrixikError:
    if what == "key":
        return InvalidArgument(
            f"{called(file)} was given twice in one call: it is sent once. To send it twice, give "
            "each a key of its own: FileInput(..., key=...)"
        )
    return InvalidArgument(
        f"{called(file)} would get the path {text!r} on the service, which another input of this "
        "call has: paths are unique in a pipeline; give it another file_name or folder"
    )
