"""The text of a pdf, page by page.

pypdf bounds what it unpacks from one stream and parses from one page. What that adds up to over
a file is bounded here: pypdf keeps what it has unpacked.
"""

from __future__ import annotations

import logging
import pkgutil
from contextvars import ContextVar
from io import BytesIO

import pypdf
from pypdf import Configuration, PasswordType, PdfReader, apply_configuration
from pypdf.errors import DependencyError, LimitReachedError
from pypdf.generic import EncodedStreamObject, IndirectObject, PdfObject

from krixik_async._conversion._limits import Unconvertible, check_text

# Page contents and font tables; images are not unpacked. A page that places each word by itself
# takes seven bytes a character: 14 MiB for the 2 MiB of text that a pipeline takes.
MAX_UNPACKED = 256 * 2**20

# While a file is read for us: where pypdf said that it could not unpack a part. Otherwise None.
_faults: ContextVar[list[str] | None] = ContextVar("krixik_async_pdf_faults", default=None)


def _is_not_ours(record: logging.LogRecord) -> bool:
    faults = _faults.get()
    if faults is None:
        return True
    # zlib's own words for a stream of which pypdf then gives what it can: text would be missing.
    if (message := record.getMessage()).startswith("Error -"):
        faults.append(message)
    return False


# pypdf logs each fault it reads past as a warning; a file that can be read needs none. Only what
# it logs while it reads for us is held back: the same loggers may serve the user's own reading.
# They are found by name, for some of its modules are imported only when they are needed.
for _module in pkgutil.walk_packages(pypdf.__path__, "pypdf."):
    logging.getLogger(_module.name).addFilter(_is_not_ours)


def blocks(content: bytes) -> list[str]:
    """Give the text of each page that has any; it ends with a line feed."""
    faults: list[str] = []
    token = _faults.set(faults)
    try:
        # The defaults, whatever the user chose for reading of their own; and no other program
        # is started to unpack an image.
        with apply_configuration(Configuration(jbig2dec_binary=None)):
            found = _read(content)
    finally:
        _faults.reset(token)
    if faults:
        raise Unconvertible(
            "is damaged: a part of it cannot be unpacked; open it in a program that reads it and "
            "save it again as .pdf or as .txt"
        )
    return found


def _read(content: bytes) -> list[str]:
    try:
        return _pages(_BoundedReader(BytesIO(content)))
    except LimitReachedError as error:
        raise Unconvertible(
            "unpacks to more than is read of one page: split it into parts, or save it as .txt"
        ) from error
    except DependencyError as error:
        if b"/Encrypt" not in content:
            raise
        # What AES needs, and the extra brings.
        raise ModuleNotFoundError(str(error), name="cryptography") from error


def _pages(reader: _BoundedReader) -> list[str]:
    # pypdf goes in with the empty password by itself; this tells whether it got in.
    if reader.is_encrypted and reader.decrypt("") == PasswordType.NOT_DECRYPTED:
        raise Unconvertible("is encrypted with a password: save a copy without one and send that")
    found = []
    for page in reader.pages:
        text = page.extract_text(visitor_text=reader.count_text)
        reader.check()
        if text.strip():
            found.append(text if text.endswith("\n") else f"{text}\n")
    return found


class _BoundedReader(PdfReader):
    """Stop where a file unpacks to more, or gives more text, than is followed.

    Over errors inside a page's forms pypdf goes on, so a limit once reached is said again at
    every further step, and at the end of the page.
    """

    def __init__(self, stream: BytesIO) -> None:
        self._text = 0
        self._unpacked = 0
        self._packed: dict[int, EncodedStreamObject] = {}
        self._seen: set[int] = set()  # ids of objects that the reader keeps as long as it lives
        super().__init__(stream)

    def get_object(self, indirect_reference: int | IndirectObject) -> PdfObject | None:
        """Give an object, after a look at what those given before were unpacked to."""
        found = super().get_object(indirect_reference)
        if isinstance(found, EncodedStreamObject) and id(found) not in self._seen:
            self.check()
            self._seen.add(id(found))
            self._packed[id(found)] = found
        return found

    def count_text(self, text: str, *_: object) -> None:
        """Take note of a piece of text."""
        self._text += len(text)
        check_text(self._text)

    def check(self) -> None:
        """Raise Unconvertible over a limit."""
        check_text(self._text)
        for key, stream in list(self._packed.items()):
            if stream.decoded_self is not None:
                self._unpacked += len(stream.decoded_self.get_data())
                del self._packed[key]
        if self._unpacked > MAX_UNPACKED:
            raise Unconvertible(
                f"unpacks to more than {MAX_UNPACKED} bytes, and no more are read: "
                "split it into parts, or save it as .txt"
            )
