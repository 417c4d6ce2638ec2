"""The form that carries a file to the upload host, around the file itself: pure bytes.

The host checks a signed policy while it reads: the fields come first, in the order of the ticket,
the file comes last and without a Content-Type of its own, and the length is known before the
first byte (RFC 7578; the order and the missing part type are the official client's, 1.1.19).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import attrs

# The three characters that would end a quoted name, as browsers write them (WHATWG HTML,
# "multipart/form-data encoding algorithm", 2026-11).
_ESCAPES = {ord("\r"): "%0D", ord("\n"): "%0A", ord('"'): "%22"}


@attrs.frozen(kw_only=True)
class Form:
    """Hold what goes before and after the file's bytes; `head` contains the secret fields."""

    head: bytes = attrs.field(repr=False)
    tail: bytes = attrs.field(repr=False)
    content_type: str

    def content_length(self, file_bytes: int) -> int:
        """Give the length of the whole body around a file of that many bytes."""
        return len(self.head) + file_bytes + len(self.tail)


def encode_form(fields: Iterable[tuple[str, str]], *, file_name: str, boundary: str) -> Form:
    """Give the form. Of `file_name` only the last component is sent: paths are nobody's business.

    `boundary` must be ASCII and must not occur in the file: make it random, 16 bytes or more.
    """
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"\r\n\r\n{value}\r\n'
        for name, value in fields
    ]
    base_name = re.split(r"[/\\]", file_name)[-1]
    parts.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; '
        f'filename="{_quoted(base_name)}"\r\n\r\n'
    )
    return Form(
        head="".join(parts).encode("utf-8"),
        tail=f"\r\n--{boundary}--\r\n".encode("ascii"),
        content_type=f"multipart/form-data; boundary={boundary}",
    )


def _quoted(name: str) -> str:
    return name.translate(_ESCAPES)
