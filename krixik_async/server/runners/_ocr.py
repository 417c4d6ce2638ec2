"""ocr: the text of an image and where each word of it stands, by the system's Tesseract.

One run of the program gives both. The output is the hosted service's: Tesseract's text without the
form feed at a page's end, and a detection for each word that is not blank.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from krixik_async.server.runners._request import RunnerError, RunRequest

__all__ = ["run"]

#: Model of the catalogue -> Tesseract's language, and Debian's package of it.
_LANGUAGES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"tesseract-en": ("eng", "tesseract-ocr-eng"), "tesseract-es": ("spa", "tesseract-ocr-spa")}
)
_PLACE = ("left", "top", "width", "height")
# In Tesseract's table: a page, block, paragraph, line is 1 to 4.
_WORD = "5"


def run(request: RunRequest) -> dict[str, object]:
    """Write `[{"text", "detections"}]`; a detection is left, top, width, height, text and conf.

    Places are in pixels from the top left, `conf` is 0 to 100 with two decimals.

    Raises:
        RunnerError: no image that can be read, or Tesseract or its data for the language is not
            installed; the message then says how to install it.
    """
    language, package = _LANGUAGES[request.model]
    text, table = _recognise(request.source, language, package)
    page = {"text": text.replace("\f", ""), "detections": list(_detections(table))}
    request.destination.write_text(json.dumps([page]), encoding="ascii")
    return {}


def _recognise(source: Path, language: str, package: str) -> tuple[str, str]:
    """Give Tesseract's text and table of an image."""
    import pytesseract
    from PIL import Image

    try:
        with Image.open(source) as image:
            image.load()
            text, table = pytesseract.run_and_get_multiple_output(
                image, extensions=["txt", "tsv"], lang=language
            )
    except pytesseract.TesseractNotFoundError as error:
        raise RunnerError(
            "the module 'ocr' needs the program tesseract: "
            f"apt-get install tesseract-ocr {package}, or brew install tesseract-lang"
        ) from error
    except pytesseract.TesseractError as error:
        if language not in _installed():
            raise RunnerError(
                f"tesseract has no data for the language {language!r}: "
                f"apt-get install {package}, or brew install tesseract-lang"
            ) from error
        raise RunnerError(f"tesseract ended with status {error.status}") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        # Pillow's errors for files that are no image, are cut off, or are made to fill the memory.
        raise RunnerError("the input is no image that can be read") from error
    return str(text), str(table)


def _installed() -> list[str]:
    import pytesseract

    return list(pytesseract.get_languages(config=""))


def _detections(table: str) -> Iterator[dict[str, object]]:
    for row in csv.DictReader(table.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE):
        if row["level"] == _WORD and row["text"].strip():
            place: dict[str, object] = {name: int(row[name]) for name in _PLACE}
            yield {**place, "text": row["text"], "conf": round(float(row["conf"]), 2)}
