"""The text of a pptx: slides in order, on each what its shapes, groups and tables say; no notes."""

from __future__ import annotations

from pptx import Presentation

from krixik_async._conversion._limits import check_text
from krixik_async._conversion._office import Vocabulary, paragraphs, repack

_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"

WORDS = Vocabulary(
    paragraph=f"{_A}p",
    text=frozenset({f"{_A}t", f"{_M}t"}),
    characters={f"{_A}br": "\n"},
    passed_over=frozenset(),
)


def blocks(content: bytes) -> list[str]:
    """Give the text of each slide that has any; it ends with a line feed."""
    # By part, for a list of slides may name one as often as it likes.
    slides = {slide.part.partname: slide for slide in Presentation(repack(content)).slides}
    found = []
    for slide in slides.values():
        text = "".join(paragraphs(slide.element, WORDS))
        if text.strip():
            found.append(text)
    check_text(sum(map(len, found)))
    return found
