"""The text of a docx: paragraphs and table cells as they come; no headers, footers, notes."""

from __future__ import annotations

from docx import Document

from krixik_async._conversion._limits import check_text
from krixik_async._conversion._office import Vocabulary, paragraphs, repack

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"

WORDS = Vocabulary(
    paragraph=f"{_W}p",
    text=frozenset({f"{_W}t", f"{_M}t"}),
    characters={
        f"{_W}br": "\n",
        f"{_W}cr": "\n",
        f"{_W}tab": "\t",
        f"{_W}ptab": "\t",
        f"{_W}noBreakHyphen": "-",
    },
    # Properties, where a tab is a tab stop; what was deleted or moved away; readings over a word.
    passed_over=frozenset({f"{_W}pPr", f"{_W}del", f"{_W}moveFrom", f"{_W}rt"}),
)


def blocks(content: bytes) -> list[str]:
    """Give the whole text as one block, empty if there is none."""
    body = Document(repack(content)).element
    text = "".join(paragraphs(body, WORDS))
    check_text(len(text))
    return [text]
