"""Sending one file: what is refused before anything is sent, and what happens to a file on its way.

Everything against the real server in process, in virtual time.
"""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path
from typing import Any, BinaryIO

import docx
import httpx
import pytest

from krixik_async import (
    AnswerLost,
    AuthenticationError,
    ClientClosed,
    FileChanged,
    InvalidArgument,
    InvalidArgumentType,
    KrixikError,
    ProcessFailed,
    RequestRejected,
    ServerError,
    SubmitUncertain,
    UnexpectedReply,
    UploadInterrupted,
    UploadRejected,
)
from tests.client_side import (
    EPOCH,
    KEY,
    STATUS,
    TEXT,
    TICKET,
    UPLOAD,
    URL,
    World,
    forbidden,
    says,
    world,
)

pytestmark = pytest.mark.anyio

RESET = httpx.ReadError("connection reset")
REFUSED = httpx.ConnectError("connection refused")
JSON_INPUT = b'[{"snippet": "some text", "line_numbers": [1]}]'


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "Moby Dick.TXT"
    path.write_bytes(TEXT)
    return path


class PathLike:
    """A path of somebody else's making."""

    def __init__(self, path: Any) -> None:
        self._path = path

    def __fspath__(self) -> Any:
        return self._path


async def refused(
    w: World, said: str, kind: type[KrixikError] = InvalidArgument, **arguments: Any
) -> None:
    """Check that `process` refuses the arguments with these words, and sends nothing."""
    arguments = {"local_file_path": TEXT, "file_name": "a.txt", **arguments}
    chain = arguments.pop("chain", ("keyword-db",))
    with pytest.raises(kind) as caught:
        await w.books(*chain).process(**arguments)
    assert said in str(caught.value)
    assert isinstance(caught.value, ValueError | TypeError)
    assert w.sent == []


async def stored(w: World, *chain: str) -> bytes:
    """Give what the server has on disk of the only file, and check that it has one."""
    (folder,) = (w.folder / "server" / "files").iterdir()
    return (folder / "input").read_bytes()


# --- the ways to give a file -----------------------------------------------------------------


async def test_a_path_as_text_is_sent_under_a_generated_name(w: World, book: Path) -> None:
    """The name has the extension in lower case; of the path only the last part is told."""
    w.fail(UPLOAD, before=RESET, swallow=True)
    job = await w.books().process(local_file_path=str(book))
    assert job.file_name.startswith("krixik_generated_file_name_")
    assert (job.file_name[-4:], len(job.file_name)) == (".txt", 27 + 10 + 4)
    assert job.file_name[27:37].isalpha()
    assert job.file_name[27:37].islower()
    assert b'filename="Moby Dick.TXT"' in w.wire.forms[0]
    assert str(book.parent).encode() not in w.wire.forms[0]


async def test_generated_names_differ(w: World, book: Path) -> None:
    first = await w.books().process(local_file_path=book)
    second = await w.books().process(local_file_path=book)
    assert first.file_name != second.file_name


@pytest.mark.parametrize("kind", [str, Path, PathLike])
async def test_any_kind_of_path_is_taken(w: World, book: Path, kind: Any) -> None:
    await w.books().process(local_file_path=kind(str(book)))
    assert await stored(w) == TEXT


async def test_bytes_are_taken_with_a_name(w: World) -> None:
    job = await w.books().process(local_file_path=TEXT, file_name="Moby.txt")
    assert (job.file_name, await stored(w)) == ("moby.txt", TEXT)


async def test_a_file_object_is_read_from_where_it_stands(w: World) -> None:
    file = io.BytesIO(b"not this: " + TEXT)
    file.seek(10)
    await w.books().process(local_file_path=file, file_name="a.txt")
    assert await stored(w) == TEXT


async def test_a_file_object_starts_at_the_same_place_when_it_is_sent_again(w: World) -> None:
    file = io.BytesIO(b"not this: " + TEXT)
    file.seek(10)
    w.fail(UPLOAD, before=RESET, times=2)
    await w.books().process(local_file_path=file, file_name="a.txt")
    assert (await stored(w), w.sent.count(UPLOAD)) == (TEXT, 3)


async def test_open_and_temporary_files_are_taken(w: World, book: Path) -> None:
    with book.open("rb") as file:
        await w.books().process(local_file_path=file, file_name="a.txt")
    with tempfile.NamedTemporaryFile() as temporary:
        temporary.write(TEXT)
        temporary.seek(0)
        await w.books().process(local_file_path=temporary, file_name="b.txt")
    with tempfile.SpooledTemporaryFile() as spooled:
        spooled.write(TEXT)
        spooled.seek(0)
        await w.books().process(local_file_path=spooled, file_name="c.txt")
    assert w.sent.count(UPLOAD) == 3


@pytest.fixture
def odd(book: Path) -> Path:
    return book.rename(book.with_name(os.fsdecode(b"caf\xe9.txt")))


async def test_a_name_on_disk_that_is_no_text_is_sent_as_far_as_it_is(w: World, odd: Path) -> None:
    w.fail(UPLOAD, before=RESET, swallow=True)
    await w.books().process(local_file_path=odd)
    assert b'filename="caf?.txt"' in w.wire.forms[0]


async def test_a_json_input_is_taken(w: World) -> None:
    job = await w.books("json-to-txt").process(local_file_path=JSON_INPUT, file_name="a.json")
    assert (await job).state == "complete"
    assert await stored(w) == JSON_INPUT


@pytest.fixture
def letter() -> bytes:
    document, file = docx.Document(), io.BytesIO()
    document.add_paragraph("The first paragraph ends here.")
    document.add_paragraph("Second paragraphs begin on a line of their own.")
    document.save(file)
    return file.getvalue()


async def test_of_a_document_the_text_is_sent(w: World, letter: bytes) -> None:
    """A name that was given keeps its extension."""
    w.fail(UPLOAD, before=RESET, swallow=True)
    job = await w.books().process(local_file_path=letter, file_name="Letter.docx")
    assert b'filename="krixik_converted_version_Letter.txt"' in w.wire.forms[0]
    assert (job.file_name, (await stored(w)).splitlines()) == (
        "letter.docx",
        [b"The first paragraph ends here.", b"Second paragraphs begin on a line of their own."],
    )


async def test_what_is_sent_is_the_protocols(w: World) -> None:
    job = await w.books("parser", "json-to-txt").process(
        local_file_path=TEXT,
        symbolic_file_path="/Novels/Long/Moby.txt",
        file_tags=[{"Author": "Melville"}],
        file_description="A whale!",
        modules={"parser": {"model": "fixed", "params": {"chunk_size": 10, "overlap_size": 4}}},
        expire_time=3600,
    )
    assert w.wire.bodies == [
        {
            "pipeline": "books",
            "pipeline_ordered_modules": ["parser", "json-to-txt"],
            "pipeline_output_process_keys": ["snippet", None],
            "modules": {
                "module_1": {"model": "fixed", "params": {"chunk_size": 10, "overlap_size": 4}},
                "module_2": {"model": "base", "params": {}},
            },
            "version": "1.1.19",
            "file_name": "moby.txt",
            "symbolic_directory_path": "/novels/long",
            "file_tags": [{"author": "melville"}],
            "file_description": "A whale!",
            "expire_time": 3600,
        }
    ]
    assert (job.ref.submitted_at, job.ref.expires_at) == (EPOCH, EPOCH + 3600)
    assert (job.ref.pipeline, job.ref.module_count) == ("books", 2)


async def test_modules_may_be_keyed_by_label(w: World) -> None:
    sizes = {"chunk_size": 10, "overlap_size": 4}
    await w.books("parser").process(
        local_file_path=TEXT,
        file_name="a.txt",
        modules={"module_1": {"model": "fixed", "params": sizes}},
    )
    assert w.wire.bodies[0]["modules"] == {"module_1": {"model": "fixed", "params": sizes}}


@pytest.mark.parametrize(
    ("given", "directory", "name"),
    [
        ({"file_name": "A.txt"}, "/etc", "a.txt"),
        ({"file_name": "a.txt", "symbolic_directory_path": "/N"}, "/n", "a.txt"),
        ({"file_name": "a.txt", "symbolic_directory_path": "/"}, "/", "a.txt"),
        ({"symbolic_file_path": "/n/m/A.txt"}, "/n/m", "a.txt"),
        ({"symbolic_file_path": "/a.txt"}, "/", "a.txt"),
        ({"symbolic_file_path": "/etc/a.txt"}, "/etc", "a.txt"),
    ],
)
async def test_where_a_file_goes(
    w: World, book: Path, given: dict[str, str], directory: str, name: str
) -> None:
    job = await w.books().process(local_file_path=book, **given)
    assert (job.symbolic_directory_path, job.file_name) == (directory, name)


async def test_a_directory_alone_leaves_the_name_to_us(w: World, book: Path) -> None:
    job = await w.books().process(local_file_path=book, symbolic_directory_path="/n")
    assert job.symbolic_directory_path == "/n"
    assert job.file_name.startswith("krixik_generated_file_name_")


# --- what is refused, with nothing sent ------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (None, "local_file_path is NoneType but must be a path"),
        (7, "local_file_path is int but must be a path"),
        (bytearray(TEXT), "local_file_path is bytearray but must be a path"),
        (PathLike(b"a.txt"), "local_file_path is PathLike whose path is not a str"),
        (io.StringIO("a b c d e f"), "StringIO but must be a path (str or os.PathLike), bytes"),
    ],
    ids=["nothing", "a number", "a bytearray", "a path of bytes", "text in memory"],
)
async def test_local_file_path_of_the_wrong_type(w: World, path: Any, said: str) -> None:
    await refused(w, said, InvalidArgumentType, local_file_path=path)


async def test_a_file_opened_as_text(w: World, book: Path) -> None:
    with book.open(encoding="utf-8") as file:
        await refused(w, "a binary file object", InvalidArgumentType, local_file_path=file)


async def test_a_file_object_that_cannot_seek(w: World) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as file, os.fdopen(writer, "wb"):
        await refused(w, "file object that can seek", InvalidArgumentType, local_file_path=file)


async def test_a_file_object_that_is_closed(w: World) -> None:
    file = io.BytesIO(TEXT)
    file.close()
    await refused(w, "a file object that is closed", local_file_path=file)


async def test_a_file_object_that_was_opened_for_writing(w: World, tmp_path: Path) -> None:
    with (tmp_path / "a.txt").open("ab") as file:
        file.write(TEXT)
        file.seek(0)
        await refused(w, "(a file object) cannot be read", local_file_path=file)


@pytest.mark.parametrize("content", [TEXT, io.BytesIO(TEXT)], ids=["bytes", "a file object"])
async def test_what_has_no_name_needs_one(w: World, content: bytes | BinaryIO) -> None:
    await refused(w, "has no name of its own", local_file_path=content, file_name=None)


async def test_a_missing_file(w: World, tmp_path: Path) -> None:
    path = tmp_path / "none.txt"
    await refused(w, "cannot be read: No such file", local_file_path=path, file_name=None)


async def test_a_path_with_a_zero_character(w: World) -> None:
    await refused(w, "embedded null", local_file_path="a\0.txt", file_name=None)


@pytest.mark.parametrize("chain", [("keyword-db",), ("transcribe",)], ids=["checked", "unchecked"])
async def test_a_directory(w: World, tmp_path: Path, chain: tuple[str, ...]) -> None:
    """Also where the content is not checked it is found out before anything is sent."""
    path = tmp_path / ("a.txt" if chain == ("keyword-db",) else "a.mp3")
    path.mkdir()
    said = "cannot be read: Is a directory"
    await refused(w, said, local_file_path=path, file_name=None, chain=chain)


async def test_a_file_that_may_not_be_read(
    w: World, book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operating system is asked to refuse: tests may run as a user who may read everything."""

    def denied(path: Any, *args: Any) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", denied)
    await refused(w, "cannot be read: Permission denied", local_file_path=book, file_name=None)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty: there is nothing to process"),
        (b"a", "has 1 bytes but must have at least 2"),
        (b"a b c d e", "has 5 word(s) but must have at least 6"),
        (b"a " * 2**20 + b"ab", "has 2097154 bytes but 'keyword-db' takes at most 2097153"),
        (b"a\n" * 100_001, "has 100001 lines but at most 100000 are allowed"),
        (TEXT + b"\xff", "is not UTF-8 text"),
        (b"\xff" + TEXT * 8000, "is not UTF-8 text"),
    ],
    ids=["empty", "cut off", "few words", "too large", "many lines", "odd end", "odd beginning"],
)
async def test_a_text_that_is_none(w: World, content: bytes, said: str) -> None:
    await refused(w, f"local_file_path (bytes) {said}", local_file_path=content)


async def test_a_json_input_that_is_none(w: World) -> None:
    given = {"chain": ("json-to-txt",), "file_name": "a.json", "local_file_path": b"{}"}
    await refused(w, "must be a JSON list of 1 to 1000000 objects", **given)


@pytest.mark.parametrize("extension", [".pdf", ".docx", ".pptx"])
async def test_a_document_that_is_none(w: World, tmp_path: Path, extension: str) -> None:
    name, path = f"a{extension}", tmp_path / f"a{extension}"
    await refused(w, "whatever its name says", local_file_path=TEXT, file_name=name)
    await refused(w, "cannot be read: No such file", local_file_path=path, file_name=None)


async def test_an_extension_the_first_module_does_not_take(w: World, tmp_path: Path) -> None:
    said = "but the first module ('keyword-db') takes .txt"
    await refused(w, said, local_file_path=tmp_path / "a.mp3", file_name=None)
    await refused(w, said, local_file_path=tmp_path, file_name=None)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"file_name": "a.pdf"}, "must end in '.txt', as the file itself does"),
        ({"file_name": "*x.txt"}, "only letters a-z, digits"),
        ({"file_name": "a.$%^&.txt"}, "only letters a-z, digits"),
        ({"file_name": "x" * 61 + ".txt"}, "file_name has 65 characters"),
        ({"symbolic_directory_path": "novels"}, "it must start with '/'"),
        ({"symbolic_directory_path": "/novels/"}, "must not end with one"),
        ({"symbolic_directory_path": "/home/*"}, "symbolic_directory_path is '/home/*'"),
        ({"symbolic_directory_path": "/etc/x"}, "no folder below or beside '/etc'"),
        ({"symbolic_directory_path": "/" + "x" * 128}, "at most 128 are allowed"),
        ({"symbolic_file_path": "a.txt"}, "must be a folder and a name"),
        ({"symbolic_file_path": "/a/"}, "must be a folder and a name"),
        ({"symbolic_file_path": "/a//b.txt"}, "between single slashes"),
        ({"symbolic_file_path": "/a/b.md"}, "must end in '.txt'"),
        ({"file_tags": [{"a": "*"}]}, "file_tags holds '*'"),
        ({"file_tags": [{"a": "b"}, {"A": "B"}]}, "holds {'a': 'b'} twice"),
        ({"file_tags": [{"a": str(i)} for i in range(21)]}, "more than the 20 pairs"),
        ({"file_description": "x" * 257}, "file_description has 257 characters"),
        ({"file_description": "a\nb"}, "file_description holds '\\n'"),
        ({"expire_time": 1799}, "expire_time is 1799 s but must be 1800"),
        ({"expire_time": 2_592_001}, "to 2592000 (30 days)"),
        ({"modules": {"parser": {}}}, "modules has the key 'parser'"),
        ({"modules": {"keyword-db": {"model": "x"}}}, "asks for the model 'x'"),
    ],
)
async def test_a_value_that_breaks_a_rule(
    w: World, book: Path, given: dict[str, Any], said: str
) -> None:
    given = {"local_file_path": book, "file_name": None, **given}
    await refused(w, said, **given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"file_name": 7}, "file_name is int"),
        ({"symbolic_directory_path": 7}, "symbolic_directory_path is int"),
        ({"symbolic_file_path": 7, "file_name": None}, "symbolic_file_path is int"),
        ({"file_tags": {"a": "b"}}, "file_tags is dict"),
        ({"file_tags": [{"a": "b", "c": "d"}]}, "must hold dicts of one pair"),
        ({"file_tags": [{"a": 1}]}, "keys and values must be str"),
        ({"file_description": 7}, "file_description is int"),
        ({"expire_time": "1800"}, "expire_time is str"),
        ({"expire_time": True}, "expire_time is bool"),
        ({"expire_time": 1800.0}, "expire_time is float"),
        ({"modules": ["keyword-db"]}, "modules is list"),
        ({"modules": {"keyword-db": "sqlite"}}, "must be a dict with 'model' and 'params'"),
    ],
)
async def test_a_value_of_the_wrong_type(w: World, given: dict[str, Any], said: str) -> None:
    await refused(w, said, InvalidArgumentType, **given)


@pytest.mark.parametrize(
    "other", [{"file_name": "a.txt"}, {"symbolic_directory_path": "/a"}], ids=["name", "directory"]
)
async def test_a_symbolic_file_path_goes_alone(w: World, book: Path, other: dict[str, str]) -> None:
    given = {"local_file_path": book, "file_name": None, "symbolic_file_path": "/a/b.txt", **other}
    await refused(w, "it is both of them in one, so give it alone", **given)


# --- answers that get lost -------------------------------------------------------------------


async def one_file(w: World, name: str) -> None:
    """Check that there is one file of that name in the end, and no other, finished or not."""
    await w.clock.sleep(200)
    assert await w.names(w.books()) == [name]
    assert await stored(w) == TEXT


async def test_a_lost_ticket_under_a_name_of_ours_takes_a_fresh_name(w: World, book: Path) -> None:
    w.fail(TICKET, after=RESET)
    job = await w.books().process(local_file_path=book)
    names = [body["file_name"] for body in w.wire.bodies if "file_name" in body]
    assert (len(names), len(set(names)), names[-1]) == (2, 2, job.file_name)
    assert w.clock.now() < 5
    await one_file(w, job.file_name)


async def test_a_lost_ticket_under_a_given_name_waits_until_its_record_is_gone(w: World) -> None:
    """The lost record holds the name for a minute: it is asked for again until it is free."""
    w.fail(TICKET, after=RESET)
    job = await w.books().process(local_file_path=TEXT, file_name="a.txt")
    assert 60 <= w.clock.now() <= 70
    assert job.ref.submitted_at is not None
    assert job.ref.submitted_at >= EPOCH + 60
    await one_file(w, "a.txt")


async def test_a_ticket_that_was_never_asked_for_costs_nothing(w: World) -> None:
    w.fail(TICKET, before=REFUSED, times=2)
    job = await w.books().process(local_file_path=TEXT, file_name="a.txt")
    assert w.clock.now() < 5
    await one_file(w, job.file_name)


async def test_a_name_that_stays_taken_after_a_lost_ticket_is_uncertain(w: World) -> None:
    """Somebody else's file, or ours: nobody can tell, and the error says where to look."""
    await w.done(w.books(), "a.txt")
    w.fail(TICKET, before=RESET)
    started = w.clock.now()
    with pytest.raises(SubmitUncertain, match=r"refuses '/etc/a\.txt'") as caught:
        await w.books().process(local_file_path=TEXT, file_name="a.txt")
    assert 90 <= w.clock.now() - started <= 100
    assert caught.value.pipeline == "books"


async def test_a_name_that_is_taken_is_refused_at_once(w: World) -> None:
    await w.done(w.books(), "a.txt")
    with pytest.raises(RequestRejected, match=r"already exists - /etc/a\.txt"):
        await w.books().process(local_file_path=TEXT, file_name="a.txt")
    assert w.sent.count(TICKET) == 2


async def test_another_chain_under_the_same_pipeline_name_is_refused(w: World) -> None:
    await w.done(w.books(), "a.txt")
    with pytest.raises(RequestRejected, match="at least one file on record with the same pipeline"):
        await w.books("parser").process(local_file_path=TEXT, file_name="b.txt")


async def test_a_module_the_server_cannot_run_fails_and_says_why(w: World) -> None:
    job = await w.books("summarize").process(local_file_path=TEXT, file_name="b.txt")
    with pytest.raises(ProcessFailed, match=r"failed at module_1\.summarize: \w+"):
        await job


async def test_tickets_are_not_asked_for_forever(w: World, book: Path) -> None:
    w.fail(TICKET, answer=says(500, {"request_id": "r", "message": "no"}), times=99)
    with pytest.raises(ServerError) as caught:
        await w.books().process(local_file_path=book)
    assert (w.sent, caught.value.endpoint) == ([TICKET] * 4, "process")


async def test_a_ticket_that_is_none(w: World) -> None:
    """Its body is not quoted: it could hold what opens the upload."""
    body = {"request_id": "r", "file_id": "f", "presigned_post_url_results": "s3cret"}
    w.fail(TICKET, answer=says(200, body))
    with pytest.raises(UnexpectedReply, match="it holds no upload ticket") as caught:
        await w.books().process(local_file_path=TEXT, file_name="a.txt")
    assert "s3cret" not in str(caught.value)


async def test_an_upload_that_did_not_get_through_is_sent_again_on_the_same_ticket(
    w: World,
) -> None:
    w.fail(UPLOAD, before=RESET)
    await w.books().process(local_file_path=TEXT, file_name="a.txt")
    assert w.sent == [TICKET, UPLOAD, UPLOAD]
    await one_file(w, "a.txt")


async def test_an_upload_whose_answer_was_lost_after_it_was_stored_is_found_out(w: World) -> None:
    """Sent once, and the job is the one that the lost answer was about."""
    w.fail(UPLOAD, after=RESET)
    job = await w.books().process(local_file_path=TEXT, file_name="a.txt")
    assert w.sent.count(UPLOAD) == 1
    assert (await job).state == "complete"
    await one_file(w, "a.txt")


async def test_an_upload_whose_answer_was_lost_while_its_job_fails_is_found_out(
    w: World,
) -> None:
    w.fail(UPLOAD, after=RESET)
    content = b'[{"snippet": "\\ud800 half a pair"}]'
    job = await w.books("json-to-txt").process(local_file_path=content, file_name="a.json")
    assert (w.sent.count(UPLOAD), w.sent.count(TICKET)) == (1, 1)
    assert job.file_name == "a.json"


async def test_an_unanswered_upload_of_a_job_that_takes_long_is_known_by_outliving_its_ticket(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, min_module_seconds=500) as w:
        w.fail(UPLOAD, after=RESET)
        job = await w.books().process(local_file_path=TEXT, file_name="a.txt")
        assert 75 <= w.clock.now() <= 80
        assert w.sent.count(UPLOAD) == 1
        assert job.ref.submitted_at == EPOCH


async def test_an_upload_that_was_swallowed_on_the_way_is_sent_again_with_a_new_ticket(
    w: World,
) -> None:
    """Its body was through and no answer came: sure is only what the records say."""
    w.fail(UPLOAD, before=RESET, swallow=True)
    job = await w.books().process(local_file_path=TEXT, file_name="a.txt")
    assert (w.sent.count(TICKET), w.sent.count(UPLOAD)) == (2, 2)
    assert 60 <= w.clock.now() <= 80
    assert (await job).state == "complete"
    await one_file(w, "a.txt")


async def test_a_look_that_fails_while_an_upload_is_looked_for_is_repeated(w: World) -> None:
    w.fail(UPLOAD, after=RESET)
    w.fail(STATUS, answer=says(500, {"request_id": "r", "message": "no"}), times=6)
    job = await w.books().process(local_file_path=TEXT, file_name="a.txt")
    assert w.sent.count(UPLOAD) == 1
    assert (await job).state == "complete"


async def test_an_upload_host_that_fails_may_have_stored_the_file(w: World) -> None:
    w.fail(UPLOAD, answer=lambda _, __: httpx.Response(500))
    await w.books().process(local_file_path=TEXT, file_name="a.txt")
    assert w.sent.count(UPLOAD) == 1
    await one_file(w, "a.txt")


@pytest.mark.parametrize("status", [200, 201, 303])
async def test_an_upload_host_that_confirms_in_other_words_has_stored_the_file(
    w: World, status: int
) -> None:
    """Called refused, it would be sent once more, and processed twice."""
    w.fail(UPLOAD, answer=lambda _, __: httpx.Response(status))
    await w.books().process(local_file_path=TEXT, file_name="a.txt")
    assert w.sent.count(UPLOAD) == 1
    await one_file(w, "a.txt")


async def test_an_upload_that_is_refused_takes_a_new_ticket(w: World) -> None:
    """A 403 of the upload host is about the form, not about the api key."""
    w.fail(UPLOAD, answer=says(403, b"<Error/>"))
    job = await w.books().process(local_file_path=TEXT, file_name="a.txt")
    assert w.sent.count(UPLOAD) == 2
    assert (await job).state == "complete"
    await one_file(w, "a.txt")


async def test_an_upload_that_is_always_refused_says_so_with_its_ids(w: World, book: Path) -> None:
    w.fail(UPLOAD, answer=says(403, b"<Error/>"), times=99)
    with pytest.raises(UploadRejected) as caught:
        await w.books().process(local_file_path=book)
    error = caught.value
    assert (error.status_code, error.pipeline, w.sent.count(UPLOAD)) == (403, "books", 2)
    assert error.request_id is not None
    assert error.file_id is not None


async def test_an_upload_that_never_gets_through_says_so(w: World, book: Path) -> None:
    w.fail(UPLOAD, before=RESET, times=999)
    with pytest.raises(UploadInterrupted):
        await w.books().process(local_file_path=book)
    assert w.sent.count(UPLOAD) == 16


class Shrinking(io.BytesIO):
    """A file that is emptied by somebody after it was measured for the second time."""

    measured = 0

    def seek(self, offset: int, whence: int = 0) -> int:
        self.measured += whence == os.SEEK_END
        return super().seek(offset, whence)

    def read(self, size: int | None = -1) -> bytes:
        return super().read(size) if self.measured < 2 else b""


async def test_a_file_that_shrinks_on_its_way_is_not_stored(w: World) -> None:
    with pytest.raises(FileChanged, match="ended 74 bytes short") as caught:
        await w.books().process(local_file_path=Shrinking(TEXT), file_name="a.txt")
    assert (caught.value.pipeline, caught.value.request_id is not None) == ("books", True)
    await w.clock.sleep(100)
    assert await w.names(w.books()) == []


async def test_what_is_not_looked_into_here_is_left_to_the_service(w: World) -> None:
    """An mp3, say: its size is checked, and that it can be read."""
    await w.books("transcribe").process(local_file_path=b"x" * 11, file_name="a.mp3")
    assert w.sent == [TICKET, UPLOAD]


async def test_a_rejected_key_ends_it(w: World) -> None:
    w.fail(TICKET, answer=forbidden(), times=2)
    with pytest.raises(AuthenticationError) as caught:
        await w.books().process(local_file_path=TEXT, file_name="a.txt")
    assert (w.sent, caught.value.status_code) == ([TICKET] * 2, 403)
    assert KEY not in str(caught.value)


async def test_a_single_403_may_be_the_gateways_own_trouble(w: World) -> None:
    w.fail(TICKET, answer=forbidden())
    await w.books().process(local_file_path=TEXT, file_name="a.txt")
    assert w.sent == [TICKET, TICKET, UPLOAD]


async def test_too_many_requests_are_waited_out(w: World) -> None:
    w.fail(TICKET, answer=says(429, {"message": "Too many"}, **{"Retry-After": "20"}))
    await w.books().process(local_file_path=TEXT, file_name="a.txt")
    assert w.clock.now() >= 20
    await one_file(w, "a.txt")


async def test_a_closed_client_sends_nothing(w: World) -> None:
    await w.client.aclose()
    with pytest.raises(ClientClosed):
        await w.books().process(local_file_path=TEXT, file_name="a.txt")
    assert w.sent == []


async def test_an_answer_that_stays_lost_is_an_error_with_the_url_hidden(
    w: World, book: Path
) -> None:
    w.fail(TICKET, before=RESET, times=99)
    with pytest.raises(AnswerLost) as caught:
        await w.books().process(local_file_path=book)
    assert w.sent == [TICKET] * 4
    assert URL not in str(caught.value)
