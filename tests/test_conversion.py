"""The text of pdf, docx and pptx: nothing glued, nothing torn, and no file does harm."""

from __future__ import annotations

import io
import logging
import random
import struct
import sys
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pypdf
import pytest
from docx import Document
from docx.oxml.parser import parse_xml
from hypothesis import given, settings
from hypothesis import strategies as st
from pptx import Presentation
from pptx.util import Inches

from krixik_async import _conversion
from krixik_async._conversion import MAX_BYTES, _limits, _office, _pdf, converted_name, to_text
from krixik_async._errors import InvalidArgument, MissingExtra
from krixik_async._offload import InlineOffload, ProcessOffload, ThreadOffload
from krixik_async._sources import BytesSource, PathSource

T = TypeVar("T")
TEN = "one two three four five six seven eight nine ten"
W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
NAMESPACES = (
    f'xmlns:w="{W}" xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
    'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"'
)
ENDINGS = (".pdf", ".docx", ".pptx")
every_kind = pytest.mark.parametrize("extension", ENDINGS)
needs_async = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# --- files, made here ----------------------------------------------------------------------


def pdf_of(objects: Sequence[bytes]) -> bytes:
    """Put objects 1, 2, ... into a file; the first is the catalogue."""
    file, offsets = bytearray(b"%PDF-1.4\n"), []
    for number, content in enumerate(objects, 1):
        offsets.append(len(file))
        file += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(file)
    file += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    file += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    file += b"trailer\n<< /Size %d /Root 1 0 R >>\n" % (len(objects) + 1)
    return bytes(file + b"startxref\n%d\n%%%%EOF\n" % start)


def stream(content: bytes, entries: bytes = b"", *, packed: bool = False) -> bytes:
    if packed:
        content, entries = zlib.compress(content, 9), entries + b" /Filter /FlateDecode"
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(content), entries, content)


def pdf_pages(contents: Sequence[bytes], more: Sequence[bytes] = (), names: bytes = b"") -> bytes:
    """Make a page of each stream object; `more` are objects 4, 5, ... and `names` resources."""
    first = 4 + len(more)
    kids = b" ".join(b"%d 0 R" % (first + 2 * at) for at in range(len(contents)))
    pages: list[bytes] = []
    for at, content in enumerate(contents):
        pages.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> %s >> >>" % (first + 2 * at + 1, names)
        )
        pages.append(content)
    return pdf_of(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, len(contents)),
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
            *more,
            *pages,
        ]
    )


def shown(lines: Sequence[str]) -> bytes:
    texts = b" ".join(b"(%s) Tj T*" % line.encode() for line in lines)
    return b"BT /F1 11 Tf 14 TL 72 720 Td " + texts + b" ET"


def pdf(*pages: Sequence[str]) -> bytes:
    return pdf_pages([stream(shown(lines)) for lines in pages])


def encrypted(content: bytes, password: str, algorithm: str) -> bytes:
    writer, file = pypdf.PdfWriter(clone_from=io.BytesIO(content)), io.BytesIO()
    writer.encrypt(user_password=password, owner_password="the owner's", algorithm=algorithm)
    writer.write(file)
    return file.getvalue()


def docx(*paragraphs: Sequence[str], xml: str = "") -> bytes:
    """Make a document of paragraphs, each a list of runs, and of raw XML after them."""
    document, file = Document(), io.BytesIO()
    for runs in paragraphs:
        paragraph = document.add_paragraph()
        for run in runs:
            paragraph.add_run(run)
    for element in parse_xml(f"<w:body {NAMESPACES}>{xml}</w:body>"):
        document.element.body.append(element)
    document.save(file)
    return file.getvalue()


def pptx(*slides: Sequence[Sequence[str]]) -> bytes:
    """Make slides, each a list of paragraphs, each a list of runs."""
    deck, file = Presentation(), io.BytesIO()
    for paragraphs in slides:
        frame = deck.slides.add_slide(deck.slide_layouts[6]).shapes.add_textbox(0, 0, 9, 9)
        for at, runs in enumerate(paragraphs):
            text = frame.text_frame
            paragraph = text.add_paragraph() if at else text.paragraphs[0]
            for run in runs:
                paragraph.add_run().text = run
    deck.save(file)
    return file.getvalue()


def rezipped(content: bytes, changes: dict[str, bytes]) -> bytes:
    """Give a package with some of its parts replaced, packed."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, changes.get(name, old.read(name)))
    return file.getvalue()


def good(extension: str) -> bytes:
    match extension:
        case ".pdf":
            return pdf([TEN, TEN], [TEN])
        case ".docx":
            return docx([TEN], [TEN])
        case _:
            return pptx([[TEN], [TEN]])


def text_of(content: bytes, extension: str) -> str:
    return _conversion.convert([content], extension, "the file").decode("utf-8")


def refusal(content: bytes, extension: str) -> str:
    with pytest.raises(InvalidArgument) as caught:
        text_of(content, extension)
    return str(caught.value)


# --- borders -------------------------------------------------------------------------------

letters = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="￾￿")
runs = st.lists(st.text(letters, max_size=12), max_size=4)
few = settings(max_examples=15, deadline=None)  # the libraries take 50 ms for a file


@few
@given(st.lists(runs, max_size=5))
def test_paragraphs_of_a_docx_come_out_line_by_line(paragraphs: list[list[str]]) -> None:
    """Runs are joined as they are, each paragraph is a line, empty ones too."""
    written = [*paragraphs, [TEN]]
    assert text_of(docx(*written), ".docx") == "".join(f"{''.join(runs)}\n" for runs in written)


@few
@given(st.lists(st.lists(runs, min_size=1, max_size=4), max_size=3))
def test_paragraphs_of_a_pptx_come_out_line_by_line(slides: list[list[list[str]]]) -> None:
    """As in a docx; slides are separated by a blank line, and those without text left out."""
    written = [*slides, [[TEN]]]
    blocks = ["".join(f"{''.join(runs)}\n" for runs in slide) for slide in written]
    expected = "\n".join(block for block in blocks if block.strip())
    assert text_of(pptx(*written), ".pptx") == expected


words = st.text("abcdefgh.,", min_size=1, max_size=9)
lines = st.lists(words, min_size=1, max_size=6).map(" ".join)


@few
@given(st.lists(st.lists(lines, max_size=5), max_size=4))
def test_lines_of_a_pdf_come_out_line_by_line(pages: list[list[str]]) -> None:
    """Lines stay lines, a blank line stands between pages, and empty pages are left out."""
    written = [*pages, [TEN]]
    expected = "\n".join("".join(f"{line}\n" for line in page) for page in written if page)
    assert text_of(pdf(*written), ".pdf") == expected


def test_no_words_are_glued_at_borders() -> None:
    """The official client makes "ends hereSecond" of these."""
    assert text_of(docx(["It ends ", "here"], ["Second"], [TEN]), ".docx") == (
        f"It ends here\nSecond\n{TEN}\n"
    )
    assert text_of(pdf(["It ends here"], ["Second", TEN]), ".pdf") == (
        f"It ends here\n\nSecond\n{TEN}\n"
    )
    unended = [stream(shown([line]).replace(b" T*", b"")) for line in ("It ends here", TEN)]
    assert text_of(pdf_pages(unended), ".pdf") == f"It ends here\n\n{TEN}\n"
    assert text_of(pptx([["It ends ", "here"], ["Second"]], [[TEN]]), ".pptx") == (
        f"It ends here\nSecond\n\n{TEN}\n"
    )


def test_blanks_and_line_breaks_inside_a_paragraph_stay() -> None:
    """A run of one blank is no layout; breaks are line feeds, tabs tabs."""
    written = docx(["a", " ", "b\tc\nd"], [TEN])
    assert text_of(written, ".docx") == f"a b\tc\nd\n{TEN}\n"
    deck, file = Presentation(), io.BytesIO()
    slide = deck.slides.add_slide(deck.slide_layouts[6])
    frame = slide.shapes.add_textbox(0, 0, 9, 9).text_frame
    frame.text = f"a\vb\t c \n{TEN}"
    deck.save(file)
    assert text_of(file.getvalue(), ".pptx") == f"a\nb\t c \n{TEN}\n"


def run(text: str) -> str:
    return f'<w:r><w:t xml:space="preserve">{text}</w:t></w:r>'


def box(text: str) -> str:
    return f"<w:pict><w:txbxContent><w:p>{run(text)}</w:p></w:txbxContent></w:pict>"


def test_all_the_text_of_a_docx_is_found_once_and_in_order() -> None:
    """Fields, links, insertions, content controls, text boxes, formulas: what a reader sees."""
    alternative = f"<mc:Choice>{box('in the box')}</mc:Choice>"
    fallback = f"<mc:Fallback>{box('in the box')}</mc:Fallback>"
    xml = f"""
    <w:sdt><w:sdtContent><w:p>{run("control")}</w:p></w:sdtContent></w:sdt>
    <w:p><w:pPr><w:tabs><w:tab w:val="left" w:pos="9"/></w:tabs></w:pPr>
      {run("a ")}<w:ins>{run("put in ")}</w:ins><w:del><w:r><w:tab/><w:delText>x</w:delText></w:r>
      </w:del><w:moveFrom>{run("gone ")}</w:moveFrom><w:hyperlink>{run("link")}</w:hyperlink>
      <w:fldSimple>{run(" 7")}</w:fldSimple><!-- no text --></w:p>
    <w:p>{run("before ")}<w:r><mc:AlternateContent>{alternative}{fallback}</mc:AlternateContent>
      </w:r>{run("after")}</w:p>
    <w:p><m:oMath><m:r><m:t>x=1</m:t></m:r></m:oMath><w:r><w:cr/><w:ptab/><w:t>non</w:t>
      <w:noBreakHyphen/><w:t>stop</w:t><w:t/></w:r></w:p>
    <w:p><w:r><w:ruby><w:rt>{run("kan")}</w:rt><w:rubyBase>{run("漢")}</w:rubyBase></w:ruby></w:r>
      </w:p>{run("in no paragraph")}
    """
    expected = "control\na put in link 7\nbefore after\nin the box\nx=1\n\tnon-stop\n漢\n"
    assert text_of(docx([TEN], xml=xml), ".docx") == f"{TEN}\n{expected}"


def test_table_cells_stand_where_the_table_stands() -> None:
    """Each cell's paragraphs are lines, merged cells once, nested tables inside their cell."""
    document, file = Document(), io.BytesIO()
    document.sections[0].header.paragraphs[0].text = "a header is left out"
    document.add_paragraph("above")
    table = document.add_table(2, 2)
    table.cell(0, 0).text, table.cell(0, 1).text = "a1\nfirst", "b1"
    table.cell(1, 0).merge(table.cell(1, 1)).text = "wide"
    table.cell(1, 0).add_table(1, 1).cell(0, 0).text = "inner"
    document.add_paragraph(TEN)
    document.save(file)
    # Word wants a paragraph after a table in a cell: the empty line.
    assert text_of(file.getvalue(), ".docx") == f"above\na1\nfirst\nb1\nwide\ninner\n\n{TEN}\n"


def test_shapes_groups_and_tables_of_a_slide_are_read() -> None:
    """In the order of the slide; speaker's notes are left out; a slide is read once."""
    deck, file = Presentation(), io.BytesIO()
    slide = deck.slides.add_slide(deck.slide_layouts[5])
    slide.shapes.title.text = "title"
    group = slide.shapes.add_group_shape()
    group.shapes.add_textbox(0, 0, 9, 9).text_frame.text = "in a group"
    table = slide.shapes.add_table(1, 2, 0, 0, Inches(2), Inches(1)).table
    table.cell(0, 0).text, table.cell(0, 1).text = "left", "right"
    slide.shapes.add_textbox(0, 0, 9, 9).text_frame.text = TEN
    slide.notes_slide.notes_text_frame.text = "a note"
    names = deck.slides._sldIdLst
    names.append(parse_xml(pptx_xml(names[0])))
    deck.save(file)
    assert text_of(file.getvalue(), ".pptx") == f"title\nin a group\nleft\nright\n{TEN}\n"


def pptx_xml(element: Any) -> bytes:
    from lxml import etree

    return bytes(etree.tostring(element))


def test_halves_of_characters_in_a_pdf_become_question_marks() -> None:
    """What no encoding can hold does not stop the rest."""
    table = b"1 beginbfchar <41> <D83D> endbfchar"
    font = b"<< /Type /Font /Subtype /Type1 /BaseFont /X /ToUnicode 4 0 R >>"
    whole = pdf_pages(
        [stream(shown(["A"]).replace(b"F1", b"F2") + shown([TEN]))],
        [stream(table), font],
    ).replace(b"/F1 3 0 R", b"/F1 3 0 R /F2 5 0 R")
    assert text_of(whole, ".pdf").split()[-11:] == ["?", *TEN.split()]


# --- refusals ------------------------------------------------------------------------------


@every_kind
def test_damage_is_refused_and_nothing_else_is_raised(extension: str) -> None:
    """A file cut off anywhere is refused; one with a wrong byte too, unless it can be read."""
    content = good(extension)
    for cut in {*range(0, len(content) - 7, len(content) // 40), len(content) - 7}:
        assert refusal(content[:cut], extension).startswith("the file ")
    rng = random.Random(f"flips in {extension}")
    for _ in range(60):
        at = rng.randrange(len(content))
        flipped = content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]
        try:
            assert text_of(flipped, extension)
        except InvalidArgument as error:
            assert str(error).startswith("the file ")  # noqa: PT017 - either way is right


def torn() -> bytes:
    """Make a pdf whose first page is packed, with a wrong byte at its start."""
    packed = bytearray(zlib.compress(shown([TEN])))
    packed[2] = 0xFF  # a block of the type that there is not
    return pdf_pages([stream(bytes(packed), b"/Filter /FlateDecode"), stream(shown([TEN]))])


def test_a_pdf_of_which_a_part_cannot_be_unpacked_is_refused() -> None:
    """What pypdf gives of it leaves out what it could not unpack, and nobody would know."""
    assert refusal(torn(), ".pdf") == (
        "the file is damaged: a part of it cannot be unpacked; open it in a program that reads it "
        "and save it again as .pdf or as .txt"
    )


@every_kind
def test_another_content_under_the_extension_is_refused(extension: str) -> None:
    """A text, a zip of something else, an empty file, a file of Office before 2007."""
    kind = extension[1:]
    hint = f": save it as {extension} or as .txt and send that"
    other = {".pdf": ".docx", ".docx": ".pptx", ".pptx": ".docx"}[extension]
    assert refusal(TEN.encode(), extension) == (
        f"the file is no {kind}, whatever its name says{hint}"
    )
    assert refusal(b"", extension) == f"the file is empty{hint}"
    assert refusal(good(other), extension).startswith("the file ")
    old = refusal(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), extension)
    assert ("old Office file" in old) == (extension != ".pdf")


@pytest.mark.parametrize("extension", [".docx", ".pptx"])
def test_a_zip_of_something_else_is_refused(extension: str) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as package:
        package.writestr("readme.txt", TEN)
    kind = extension[1:]
    assert refusal(file.getvalue(), extension) == (
        f"the file cannot be read as {kind} (KeyError): it is damaged or something else; open it "
        f"in a program that reads it and save it again as {extension} or as .txt"
    )


def test_a_pdf_with_a_password_is_refused_and_one_without_opened() -> None:
    """Many a pdf is encrypted with an empty user password, only to forbid printing."""
    for algorithm in ("RC4-128", "AES-128", "AES-256"):
        assert refusal(encrypted(good(".pdf"), "secret", algorithm), ".pdf") == (
            "the file is encrypted with a password: save a copy without one and send that"
        )
        opened = encrypted(good(".pdf"), "", algorithm)
        assert text_of(opened, ".pdf") == text_of(good(".pdf"), ".pdf")


def test_a_zip_with_a_password_is_refused() -> None:
    content = bytearray(docx([TEN]))
    at = content.index(b"PK\x01\x02")
    while at >= 0:
        content[at + 8] |= 1
        at = content.find(b"PK\x01\x02", at + 1)
    assert refusal(bytes(content), ".docx") == (
        "the file is encrypted with a password: save a copy without one and send that"
    )


@every_kind
def test_a_file_without_text_is_told_from_one_with_little(extension: str) -> None:
    """Scanned pages have none; below ten words the official client refuses too."""
    empty = {".pdf": pdf([], []), ".docx": docx(), ".pptx": pptx([])}[extension]
    assert refusal(empty, extension) == (
        "the file has no text in it, as with scanned pages: save the pages as images and read "
        "them with a pipeline that starts with the module ocr, or save the text as .txt"
    )
    nine = TEN.rpartition(" ")[0]
    little = {".pdf": pdf([nine]), ".docx": docx([nine]), ".pptx": pptx([[nine]])}[extension]
    assert refusal(little, extension) == "the file has 9 word(s) but must have at least 10"


# --- bounds --------------------------------------------------------------------------------


@pytest.mark.parametrize("extension", [".docx", ".pptx"])
def test_a_package_that_unpacks_to_gigabytes_is_refused(extension: str) -> None:
    """Of its XML no more than the limit is unpacked, and pictures are not unpacked at all."""
    part = {".docx": "word/document.xml", ".pptx": "ppt/presentation.xml"}[extension]
    bomb = rezipped(good(extension), {part: b" " * (_office.MAX_XML + 1)})
    assert refusal(bomb, extension) == (
        "the file unpacks to more than 67108864 bytes of XML, and no more are read: split it into "
        "parts, or save it as .txt"
    )
    many = rezipped(good(extension), {part: b"<a/>" * 4_000_000})
    assert refusal(many, extension) == (
        "the file has more than 4000000 elements and attributes, and no more are read: split it "
        "into parts, or save it as .txt"
    )


def test_a_part_that_hides_its_size_is_not_unpacked_beyond_it() -> None:
    """It claims a kilobyte and would unpack to 200 MB."""
    whole = rezipped(docx([TEN]), {"word/document.xml": b" " * 200_000_000})
    size = struct.pack("<I", 200_000_000)
    assert whole.count(size) == 2
    tracemalloc.start()
    try:
        assert "BadZipFile" in refusal(whole.replace(size, struct.pack("<I", 1000)), ".docx")
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_a_package_of_many_parts_or_odd_compression_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as package:
        package.writestr("[Content_Types].xml", "<Types/>")
    assert "BadZipFile" in refusal(file.getvalue(), ".docx")
    monkeypatch.setattr(_office, "MAX_PARTS", 3)
    assert refusal(good(".docx"), ".docx") == (
        "the file has more than 3 parts, and no more are read: split it into parts, or save it "
        "as .txt"
    )


def test_pictures_are_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A document of photographs is as good as one without."""
    document, file = Document(), io.BytesIO()
    document.add_picture(io.BytesIO(GIF))
    document.add_paragraph(TEN)
    document.save(file)
    with zipfile.ZipFile(io.BytesIO(file.getvalue())) as package:
        xml = sum(e.file_size for e in package.infolist() if e.filename.endswith((".xml", ".rels")))
    monkeypatch.setattr(_office, "MAX_XML", xml)
    assert text_of(file.getvalue(), ".docx") == f"\n{TEN}\n"


GIF = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"  # noqa: E501


def test_deep_nesting_is_read_or_refused_and_never_followed_to_the_end_of_the_stack() -> None:
    """Tables in tables in tables; lists in lists in lists."""
    inner = f"<w:p>{run('deep')}</w:p>"
    nested = "<w:sdt><w:sdtContent>" * 100 + inner + "</w:sdtContent></w:sdt>" * 100
    assert text_of(docx([TEN], xml=nested), ".docx") == f"{TEN}\ndeep\n"
    deep = f'<w:document xmlns:w="{W}">' + "<w:p>" * 100_000
    assert "XMLSyntaxError" in refusal(
        rezipped(docx([TEN]), {"word/document.xml": deep.encode()}), ".docx"
    )
    assert refusal(pdf_pages([stream(b"[" * 100_000)]), ".pdf").startswith("the file ")


def test_a_pdf_page_that_unpacks_to_gigabytes_is_refused() -> None:
    assert refusal(pdf_pages([stream(b" " * 80_000_000, packed=True)]), ".pdf") == (
        "the file unpacks to more than is read of one page: split it into parts, or save it as .txt"
    )


def forms(count: int, content: bytes, *, times: int = 1) -> bytes:
    """Make a page that shows nothing but forms, each a packed stream of its own."""
    entries = (
        b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /Font << /F1 3 0 R >> >>"
    )
    more = [stream(content, entries, packed=True) for _ in range(count)]
    names = b" ".join(b"/X%d %d 0 R" % (at, at + 4) for at in range(count))
    page = b" ".join(b"/X%d Do" % at for at in range(count) for _ in range(times))
    return pdf_pages([stream(page)], more, b"/XObject << %s >>" % names)


@pytest.mark.parametrize(("count", "size"), [(60, 100_000), (1, 1_100_000)])
def test_a_pdf_that_unpacks_to_much_bit_by_bit_is_refused(
    count: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over errors in forms pypdf goes on: the limit holds nevertheless, and unpacking ends."""
    monkeypatch.setattr(_pdf, "MAX_UNPACKED", 1_000_000)
    within = forms(9, shown([TEN]) + b" " * 100_000)  # each counts once
    assert text_of(within, ".pdf").split() == TEN.split() * 9
    tracemalloc.start()
    try:
        assert refusal(forms(count, b" " * size), ".pdf") == (
            "the file unpacks to more than 1000000 bytes, and no more are read: split it into "
            "parts, or save it as .txt"
        )
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_pictures_and_fonts_in_a_pdf_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not unpacked for their text."""
    monkeypatch.setattr(_pdf, "MAX_UNPACKED", 1000)
    more = [
        stream(bytes(5000), b"/Subtype /Image /Width 50 /Height 100", packed=True),
        stream(bytes(5000), packed=True),
        b"<< /Type /FontDescriptor /FontName /Y /Flags 4 /FontFile2 5 0 R >>",
        b"<< /Type /Font /Subtype /TrueType /BaseFont /Y /FontDescriptor 6 0 R >>",
    ]
    page = stream(b"/X0 Do " + shown([TEN]))
    whole = pdf_pages([page], more, b"/XObject << /X0 4 0 R >>")
    whole = whole.replace(b"/F1 3 0 R", b"/F1 3 0 R /F2 7 0 R")
    assert text_of(whole, ".pdf").strip() == TEN


@every_kind
def test_more_text_than_is_followed_is_refused(
    extension: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_limits, "MAX_TEXT", 60)
    assert refusal(good(extension), extension) == (
        "the file gives more than 60 characters of text, and no more are read: split it into parts"
    )


@pytest.mark.parametrize("lines_each", [1, 100])
def test_text_that_forms_multiply_is_refused(
    lines_each: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether one form or many give it."""
    monkeypatch.setattr(_limits, "MAX_TEXT", 1000)
    content = forms(100 // lines_each, shown([TEN] * lines_each))
    assert "more than 1000 characters" in refusal(content, ".pdf")


def test_text_that_forms_multiply_is_not_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    """One form shown fifty times would give a megabyte."""
    monkeypatch.setattr(_limits, "MAX_TEXT", 1000)
    often = forms(1, shown(["x" * 20_000]), times=50)
    tracemalloc.start()
    try:
        assert "more than 1000 characters" in refusal(often, ".pdf")
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


# --- no noise ------------------------------------------------------------------------------


def test_faults_that_pypdf_reads_past_are_not_logged(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Ours are not; the user's own reading with pypdf goes on logging."""
    caplog.set_level(logging.DEBUG)
    faulty = b"x" + good(".pdf")
    assert text_of(faulty, ".pdf") == text_of(good(".pdf"), ".pdf")
    assert "damaged" in refusal(torn(), ".pdf")
    assert [record for record in caplog.records if record.name.startswith("pypdf")] == []
    assert capfd.readouterr() == ("", "")
    _ = pypdf.PdfReader(io.BytesIO(faulty))
    assert {record.levelname for record in caplog.records} == {"WARNING"}


def test_the_users_settings_of_pypdf_neither_count_nor_change() -> None:
    with pypdf.apply_configuration(page_tree_maximum_entries=1) as chosen:
        assert text_of(good(".pdf"), ".pdf").count("\n") == 4
        assert pypdf.get_configuration() is chosen


def test_no_other_program_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be jbig2dec, run by pypdf on whatever a file calls an image."""
    ran, program = tmp_path / "ran", tmp_path / "jbig2dec"
    program.write_text(f"#!/bin/sh\ntouch '{ran}'\n")
    program.chmod(0o755)
    content = pdf_pages([stream(shown([TEN]), b"/Filter /JBIG2Decode")])
    monkeypatch.setattr(
        _pdf, "Configuration", partial(pypdf.Configuration, jbig2dec_binary=str(program))
    )
    assert "(DependencyError)" in refusal(content, ".pdf")
    assert not ran.exists()


# --- extras --------------------------------------------------------------------------------


def forget(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """Let the packages be not installed, and what was imported with them not yet imported."""
    rooms = ("_pdf", "_docx", "_pptx")
    for name in list(sys.modules):
        if name.partition(".")[0] in {*packages, "pypdf", "docx", "pptx"}:
            monkeypatch.delitem(sys.modules, name)
    for room in rooms:
        monkeypatch.delitem(sys.modules, f"krixik_async._conversion.{room}", raising=False)
    for package in packages:
        monkeypatch.setitem(sys.modules, package, None)


@every_kind
def test_without_its_package_the_extra_is_named(
    extension: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = good(extension)
    package = {".pdf": "pypdf", ".docx": "docx", ".pptx": "pptx"}[extension]
    forget(monkeypatch, package)
    with pytest.raises(MissingExtra) as missing:
        text_of(content, extension)
    assert str(missing.value) == (
        f"the file: reading this {extension[1:]} needs {package}: "
        'pip install "krixik-async[convert]"'
    )


def test_without_cryptography_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pdf is readable, only not here."""
    content = encrypted(good(".pdf"), "", "AES-256")
    monkeypatch.setattr(_conversion, "_pdf", _pdf)  # to be put back afterwards
    forget(monkeypatch, "cryptography", "Crypto")
    with pytest.raises(MissingExtra) as missing:
        text_of(content, ".pdf")
    assert str(missing.value) == (
        'the file: reading this pdf needs cryptography: pip install "krixik-async[convert]"'
    )


def test_a_filter_that_needs_another_package_is_not_the_extras(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "brotli", None)
    page = stream(shown([TEN]), b"/Filter /BrotliDecode")
    assert "(DependencyError)" in refusal(pdf_pages([page]), ".pdf")


def test_running_out_of_memory_is_not_blamed_on_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(zipfile, "ZipFile", exhausted)
    with pytest.raises(MemoryError):
        text_of(b"PK", ".docx")


# --- away from the loop --------------------------------------------------------------------


class Watched(InlineOffload):
    """Note which functions are handed over."""

    def __init__(self) -> None:
        self.names: list[str] = []

    async def __call__(self, function: Callable[..., T], /, *args: object) -> T:
        self.names.append(function.__name__)
        return await super().__call__(function, *args)


@needs_async
@every_kind
@pytest.mark.parametrize("kind", [ThreadOffload, ProcessOffload])
async def test_the_text_comes_back_from_a_thread_or_a_process(
    extension: str, kind: type[Any]
) -> None:
    source = BytesSource(good(extension))
    text = await to_text(source, extension, what="the file", offload=kind())
    assert text.decode("utf-8") == text_of(good(extension), extension)


@needs_async
async def test_a_refusal_comes_back_from_a_process() -> None:
    with pytest.raises(InvalidArgument, match=r"^the file is no docx"):
        await to_text(BytesSource(b"x"), ".docx", what="the file", offload=ProcessOffload())


@needs_async
async def test_a_file_is_read_and_converted_by_the_offload_only(tmp_path: Path) -> None:
    path = tmp_path / "Novel.PDF"
    path.write_bytes(good(".pdf"))
    watched = Watched()
    text = await to_text(PathSource(path), ".pdf", what="the file", offload=watched)
    assert text.decode() == text_of(good(".pdf"), ".pdf")
    assert watched.names == ["stat", "_read", "convert"]


class Lying(BytesSource):
    """Say another size than it has."""

    async def size(self, offload: object) -> int:  # noqa: ARG002 - the protocol's
        return 100


@needs_async
@pytest.mark.parametrize("kind", [BytesSource, Lying])
async def test_a_file_too_large_is_refused_before_or_while_it_is_read(
    kind: type[BytesSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is 100 MiB and a byte, as the official client's 100.000001 MiB are."""
    assert MAX_BYTES == 104_857_601
    monkeypatch.setattr(_conversion, "MAX_BYTES", 1000)
    with pytest.raises(InvalidArgument) as caught:
        await to_text(kind(bytes(1001)), ".pdf", what="the file", offload=InlineOffload())
    assert str(caught.value) == (
        "the file has more than the 1000 bytes that are allowed: split it into parts, or save it "
        "as .txt"
    )


def test_the_text_is_uploaded_under_the_official_name() -> None:
    assert converted_name("Moby Dick.v2.PDF") == "krixik_converted_version_Moby Dick.v2.txt"
