"""A pdf, docx or pptx goes in, and its text comes out of the pipeline: unglued, as .txt."""

from __future__ import annotations

from pathlib import Path

import docx
import pytest

from krixik_async import InvalidArgument, Krixik

pytestmark = pytest.mark.anyio


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    document = docx.Document()
    document.add_paragraph("The first paragraph ends here.")
    document.add_paragraph("Second paragraphs begin on a line of their own.")
    document.save(str(tmp_path / "Letter.DOCX"))
    return tmp_path / "Letter.DOCX"


async def test_a_docx_is_sent_as_text_and_its_borders_are_kept(
    letter: Path, tmp_path: Path
) -> None:
    async with Krixik.local() as krixik:
        pipeline = krixik.create_pipeline(name="letters", module_chain=["parser"])
        output = await pipeline.process(
            local_file_path=letter,
            file_name="Letter.docx",
            wait_for_process=True,
            local_save_directory=tmp_path,
        )
        listed = await pipeline.list(file_names=["letter.docx"])
    assert output.process_output == [
        {"snippet": "The first paragraph ends here.", "line_numbers": [1]},
        {"snippet": "Second paragraphs begin on a line of their own.", "line_numbers": [2]},
    ]
    assert [record.file_name for record in listed] == ["letter.docx"]


async def test_a_generated_name_ends_in_txt_as_what_is_sent(letter: Path) -> None:
    async with Krixik.local() as krixik:
        pipeline = krixik.create_pipeline(name="letters", module_chain=["keyword-db"])
        with letter.open("rb") as file:
            job = await pipeline.process(local_file_path=file, file_name="a.docx")
        generated = await pipeline.process(local_file_path=letter)
    assert job.file_name == "a.docx"
    assert generated.file_name.endswith(".txt")


async def test_a_name_must_end_as_the_file_itself_does(letter: Path) -> None:
    async with Krixik.local() as krixik:
        pipeline = krixik.create_pipeline(name="letters", module_chain=["parser"])
        with pytest.raises(InvalidArgument, match=r"must end in '\.docx'"):
            await pipeline.process(local_file_path=letter, file_name="letter.txt")


async def test_a_damaged_file_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.docx"
    damaged.write_bytes(b"PK\x03\x04 but no more")
    async with Krixik.local() as krixik:
        pipeline = krixik.create_pipeline(name="letters", module_chain=["parser"])
        with pytest.raises(InvalidArgument, match="cannot be read as docx"):
            await pipeline.process(local_file_path=damaged)
        with pytest.raises(InvalidArgument, match="No such file"):
            await pipeline.process(local_file_path=tmp_path / "missing.pdf")
