"""ocr with the Tesseract of this machine, on images drawn here."""

from __future__ import annotations

import io
import json
import struct
import unicodedata
import zlib
from pathlib import Path
from typing import Any

import pytesseract
import pytest
from PIL import Image, ImageDraw, ImageFont

from krixik_async.server.runners import RunnerError, RunRequest, run

LINES = {
    "tesseract-en": ["It was a bright cold day,", "and the clocks were striking."],
    "tesseract-es": ["El niño come pan mañana,", "y sueña con la montaña."],
}
TILDE = "\u0303"
LANGUAGES = {"tesseract-en": "eng", "tesseract-es": "spa"}


def drawn(lines: list[str], kind: str = "PNG", mode: str = "RGB") -> bytes:
    image = Image.new(mode, (900, 200), "white")
    font = ImageFont.load_default(48)
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(lines):
        x, y = 20.0, 20 + 80 * number
        for character in line:
            # Pillow's own font has no accents: the tilde is put on top.
            base, *accents = unicodedata.normalize("NFD", character)
            draw.text((x, y), base, fill="black", font=font)
            if accents == [TILDE]:
                draw.text((x, y - 16), "~", fill="black", font=font)
            x += font.getlength(base)
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def request(folder: Path, content: bytes, model: str = "tesseract-en") -> RunRequest:
    source = folder / "in"
    source.write_bytes(content)
    return RunRequest("ocr", model, {}, source, folder / "out", None)


def output(asked: RunRequest) -> Any:
    assert run(asked) == {}
    return json.loads(asked.destination.read_bytes())


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("model", LINES)
def test_the_text_and_the_words_are_tesseracts(tmp_path: Path, model: str, kind: str) -> None:
    """As two calls of pytesseract give them, one for the text and one for the table."""
    asked = request(tmp_path, drawn(LINES[model], kind), model)
    (page,) = output(asked)
    with Image.open(asked.source) as image:
        text = pytesseract.image_to_string(image, lang=LANGUAGES[model])
        table = pytesseract.image_to_data(image, lang=LANGUAGES[model])
    assert page["text"] == text.replace("\f", "")
    assert [line for line in page["text"].split("\n") if line.strip()] == LINES[model]
    head, *rows = (line.split("\t") for line in table.splitlines())
    expected = []
    for row in rows:
        cell = dict(zip(head, row, strict=True))
        if cell["level"] == "5" and cell["text"].strip():
            place = {name: int(cell[name]) for name in ("left", "top", "width", "height")}
            conf = round(float(cell["conf"]), 2)
            expected.append({**place, "text": cell["text"], "conf": conf})
    assert page["detections"] == expected
    assert [word["text"] for word in expected] == " ".join(LINES[model]).split()
    assert list(expected[0]) == ["left", "top", "width", "height", "text", "conf"]


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_other_kinds_of_pixels_are_read(tmp_path: Path, mode: str) -> None:
    (page,) = output(request(tmp_path, drawn(LINES["tesseract-en"], mode=mode)))
    assert page["text"].split("\n")[:2] == LINES["tesseract-en"]


def test_an_image_without_words_has_no_detections(tmp_path: Path) -> None:
    (page,) = output(request(tmp_path, drawn([])))
    assert (page["text"].strip(), page["detections"]) == ("", [])


def bomb() -> bytes:
    """Give a PNG of a kilobyte that says it has ten thousand million pixels."""
    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    )


@pytest.mark.parametrize(
    "content", [b"", b"no image", drawn([])[:300], bomb()], ids=["empty", "text", "cut", "bomb"]
)
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(RunnerError) as caught:
        run(request(tmp_path, content))
    assert str(caught.value) == "the input is no image that can be read"


def test_without_the_program_the_line_that_installs_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RunnerError) as caught:
        run(request(tmp_path, drawn([]), "tesseract-es"))
    assert str(caught.value) == (
        "the module 'ocr' needs the program tesseract: apt-get install tesseract-ocr "
        "tesseract-ocr-spa, or brew install tesseract-lang"
    )


def test_without_the_language_the_line_that_installs_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TESSDATA_PREFIX", str(tmp_path))
    with pytest.raises(RunnerError) as caught:
        run(request(tmp_path, drawn([]), "tesseract-es"))
    assert str(caught.value) == (
        "tesseract has no data for the language 'spa': apt-get install tesseract-ocr-spa, "
        "or brew install tesseract-lang"
    )


def test_any_other_failure_of_the_program_is_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program of that name that lists the languages and cannot read: status 7."""
    fake = tmp_path / "tesseract"
    fake.write_text(
        '#!/bin/sh\nif [ "$1" = --list-langs ]; then echo "List (1):"; echo eng; exit 0; fi\n'
        'if [ "$1" = --version ]; then echo "tesseract 5.3.0"; exit 0; fi\nexit 7\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(RunnerError) as caught:
        run(request(tmp_path, drawn([])))
    assert str(caught.value) == "tesseract ended with status 7"
