"""Bringing outputs to disk: where to, under what name, and what of a broken fetch is left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from krixik_async import (
    AnswerLost,
    DownloadInterrupted,
    DownloadRejected,
    FileRecordNotFound,
    InvalidArgument,
    InvalidArgumentType,
    Job,
    KrixikError,
    NotFinished,
    RequestRejected,
    SaveFailed,
    UnexpectedReply,
)
from tests.client_side import LINK, OUTPUT, TEXT, UNKNOWN, World, entries, says, world

pytestmark = pytest.mark.anyio

RESET = httpx.ReadError("connection reset")
SNIPPETS = [{"snippet": TEXT.decode().strip(), "line_numbers": [1]}]


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


@pytest.fixture
async def job(w: World) -> Job:
    return await w.done(w.books("parser"))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


async def fetch(w: World, job: Job, folder: Any) -> Any:
    return await job.pipeline.fetch_output(file_id=job.file_id, local_save_directory=folder)


def read(path: str | Path) -> bytes:
    return Path(path).read_bytes()


def links(*extensions: str | None) -> Any:
    """Answer a fetch with the server's link under each of these extensions."""

    def answer(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        body = response.json()
        (link,) = body["process_output"]
        body["process_output"] = [{**link, "extension": extension} for extension in extensions]
        return says(200, body)

    return answer


# --- what comes of it ------------------------------------------------------------------------


async def test_a_small_json_output_is_parsed_and_on_disk(w: World, job: Job, out: Path) -> None:
    output = await fetch(w, job, out)
    path = str(out / f"{job.file_id}.json")
    assert output.to_dict() == {
        "status_code": 200,
        "pipeline": "books",
        "request_id": output.request_id,
        "file_id": job.file_id,
        "message": f"SUCCESS - output fetched for file_id {job.file_id}."
        "Output saved to location(s) listed in process_output_files.",
        "warnings": [],
        "process_output": SNIPPETS,
        "process_output_files": [path],
    }
    assert list(output.to_dict()) == [
        *("status_code", "pipeline", "request_id", "file_id", "message", "warnings"),
        *("process_output", "process_output_files"),
    ]
    assert (output.process_output, output.process_output_files) == (SNIPPETS, (path,))
    assert (output.pipeline, output.file_id, output.warnings) == ("books", job.file_id, ())
    assert json.loads(read(path)) == SNIPPETS
    assert output.request_id not in (job.request_id, "")


async def test_an_output_that_is_no_json_is_on_disk_only(w: World, out: Path) -> None:
    job = await w.done(w.books("parser", "json-to-txt", name="texts"))
    output = await fetch(w, job, out)
    assert (output.process_output, output.to_dict()["process_output"]) == (None, None)
    assert read(out / f"{job.file_id}.txt") == TEXT.strip()


@pytest.mark.parametrize(("size", "parsed"), [(2**19 - 1, True), (2**19, False)])
async def test_json_is_parsed_below_half_a_megabyte(
    w: World, job: Job, out: Path, size: int, parsed: bool
) -> None:
    content = b'["' + b"x" * (size - 4) + b'"]'
    w.fail(LINK, answer=says(200, content))
    output = await fetch(w, job, out)
    assert (output.process_output is not None) == parsed
    assert len(read(out / f"{job.file_id}.json")) == size


@pytest.mark.parametrize("content", [b"{", b"[" * 100_000, b"\xff"])
async def test_json_that_is_none_is_left_on_disk(
    w: World, job: Job, out: Path, content: bytes
) -> None:
    w.fail(LINK, answer=says(200, content))
    output = await fetch(w, job, out)
    assert output.process_output is None
    assert read(output.process_output_files[0]) == content


async def test_two_outputs_are_named_apart_and_not_parsed(w: World, job: Job, out: Path) -> None:
    w.fail(OUTPUT, answer=links(".json", ".json", "txt"))
    output = await fetch(w, job, out)
    file_id = job.file_id
    expected = [f"{file_id}.json", f"{file_id}_2.json", f"{file_id}.txt"]
    assert [Path(path).name for path in output.process_output_files] == expected
    assert (entries(out), output.process_output) == (sorted(expected), None)


async def test_where_the_service_names_no_output_nothing_is_saved(
    w: World, job: Job, out: Path
) -> None:
    body = {"request_id": "r", "message": "Nothing.", "pipeline": "books", "process_output": None}
    w.fail(OUTPUT, answer=says(200, body))
    output = await fetch(w, job, out)
    assert output.to_dict() == {"status_code": 200, **body}
    assert (output.message, output.process_output_files) == ("Nothing.", ())
    assert entries(out) == []


async def test_warnings_of_the_service_are_passed_on(w: World, job: Job, out: Path) -> None:
    body = {"request_id": "r", "message": "", "warnings": ["careful"], "process_output": None}
    w.fail(OUTPUT, answer=says(200, body))
    assert (await fetch(w, job, out)).warnings == ("careful",)


async def test_an_output_that_is_taken_away_at_once_is_not_an_error(
    w: World, job: Job, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Saved it was; that it could not be parsed any more is told by None."""
    replace = Path.replace

    def grab(self: Path, target: Path) -> None:
        replace(self, target)
        target.unlink()

    monkeypatch.setattr(Path, "replace", grab)
    output = await fetch(w, job, out)
    assert (output.process_output, len(output.process_output_files)) == (None, 1)


# --- where to --------------------------------------------------------------------------------


async def test_the_folder_is_made_with_those_above_it(w: World, job: Job, out: Path) -> None:
    output = await fetch(w, job, str(out / "a" / "b"))
    assert output.process_output_files == (str(out / "a" / "b" / f"{job.file_id}.json"),)


async def test_without_a_folder_it_is_the_working_folder_of_the_moment(
    w: World, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    output = await fetch(w, job, None)
    assert output.process_output_files == (f"{job.file_id}.json",)
    assert f"{job.file_id}.json" in entries(tmp_path)


async def test_an_earlier_output_is_overwritten(w: World, job: Job, out: Path) -> None:
    w.fail(LINK, answer=says(200, b"[]"))
    assert (await fetch(w, job, out)).process_output == []
    await fetch(w, job, out)
    assert json.loads(read(out / f"{job.file_id}.json")) == SNIPPETS


class BytesPath:
    def __fspath__(self) -> bytes:
        return b"out"


@pytest.mark.parametrize(
    ("folder", "said", "kind"),
    [
        (7, "local_save_directory is int but must be a path", InvalidArgumentType),
        (b"out", "local_save_directory is bytes but must be a path", InvalidArgumentType),
        (BytesPath(), "is BytesPath whose path is not a str", InvalidArgumentType),
        ("a\0b", "embedded null", InvalidArgument),
        (__file__, "is a file: name a folder", InvalidArgument),
        (f"{__file__}/below", "cannot be a folder: Not a directory", InvalidArgument),
        ("x" * 300, "cannot be a folder: File name too long", InvalidArgument),
    ],
    ids=["a number", "bytes", "a path of bytes", "zero", "a file", "in a file", "too long"],
)
async def test_a_folder_that_cannot_be_one(
    w: World, folder: Any, said: str, kind: type[KrixikError]
) -> None:
    with pytest.raises(kind) as caught:
        await w.books().fetch_output(file_id=UNKNOWN, local_save_directory=folder)
    with pytest.raises(kind):
        await w.books().process(
            local_file_path=TEXT, file_name="a.txt", local_save_directory=folder
        )
    assert said in str(caught.value)
    assert w.sent == []


async def test_a_folder_that_cannot_be_made(w: World, job: Job, out: Path) -> None:
    """Somebody put a file in its place while the links were asked for."""

    def in_the_way(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        out.write_text("in the way")
        return response

    w.fail(OUTPUT, answer=in_the_way)
    with pytest.raises(SaveFailed, match=r"cannot be written to .*: File exists") as caught:
        await fetch(w, job, out)
    assert (caught.value.file_id, caught.value.pipeline) == (job.file_id, "books")
    assert isinstance(caught.value.__cause__, OSError)


async def test_an_output_that_cannot_take_its_place(w: World, job: Job, out: Path) -> None:
    """The disk was in the way, not the service: that is said, and nothing is left half-written."""
    (out / f"{job.file_id}.json").mkdir(parents=True)
    with pytest.raises(SaveFailed, match=r"cannot be written to .*: Is a directory") as caught:
        await fetch(w, job, out)
    assert (caught.value.file_id, caught.value.pipeline) == (job.file_id, "books")
    assert isinstance(caught.value.__cause__, OSError)
    assert (entries(out), w.sent.count(OUTPUT)) == ([f"{job.file_id}.json"], 1)


# --- what can go wrong -----------------------------------------------------------------------


async def test_an_expired_link_is_fetched_again(w: World, job: Job, out: Path) -> None:
    """The server refuses links after ten minutes; the second answer's are fresh."""

    def late(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        w.clock._epoch += 700  # ten minutes pass between the link and its use
        return response

    w.fail(OUTPUT, answer=late)
    output = await fetch(w, job, out)
    assert output.process_output == SNIPPETS
    assert (w.sent.count(OUTPUT), sum(p.startswith(LINK) for p in w.sent)) == (2, 2)
    assert entries(out) == [f"{job.file_id}.json"]


async def test_a_fresh_link_goes_on_where_the_expired_one_stopped(
    w: World, job: Job, out: Path
) -> None:
    """The link breaks off, then expires: what came of it is not fetched again."""
    asked: list[str | None] = []

    def broken(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        asked.append(request.headers.get("range"))
        tag, whole = response.headers["etag"], response.content
        return says(200, whole[:9], **{"ETag": tag, "Content-Length": str(len(whole))})

    def noted(request: httpx.Request, response: httpx.Response) -> httpx.Response:
        asked.append(request.headers.get("range"))
        return httpx.Response(
            response.status_code, headers=response.headers, content=response.content
        )

    w.fail(LINK, answer=broken)
    w.fail(LINK, answer=says(403, b"<Error/>"))
    w.fail(LINK, answer=noted)
    output = await fetch(w, job, out)
    assert output.process_output == SNIPPETS
    assert asked == [None, "bytes=9-"]
    assert (w.sent.count(OUTPUT), entries(out)) == (2, [f"{job.file_id}.json"])


async def test_of_two_outputs_the_one_that_came_is_not_fetched_again(
    w: World, job: Job, out: Path
) -> None:
    """A link that has expired costs its own output one more try, and no other."""
    w.fail(OUTPUT, answer=links(".json", ".txt"), times=2)
    w.fail(LINK, answer=says(403, b"<Error/>"), skip=1)
    output = await fetch(w, job, out)
    assert len(output.process_output_files) == 2
    assert (w.sent.count(OUTPUT), sum(p.startswith(LINK) for p in w.sent)) == (2, 3)


async def test_links_that_are_always_refused_are_an_error(w: World, job: Job, out: Path) -> None:
    w.fail(LINK, answer=says(403, b"<Error/>"), times=99)
    with pytest.raises(DownloadRejected) as caught:
        await fetch(w, job, out)
    error = caught.value
    assert (error.file_id, error.pipeline, error.status_code) == (job.file_id, "books", 403)
    assert "signature" not in str(error)
    assert (w.sent.count(OUTPUT), entries(out)) == (2, [])


async def test_a_file_deleted_between_link_and_download_is_not_found(
    w: World, job: Job, out: Path
) -> None:
    w.fail(LINK, answer=says(404, b"<Error/>"))
    w.fail(
        OUTPUT,
        answer=says(400, {"request_id": "r", "message": "FAILURE: file_id not found"}),
        skip=1,
    )
    with pytest.raises(FileRecordNotFound):
        await fetch(w, job, out)


async def test_a_download_that_stops_short_is_repeated(w: World, job: Job, out: Path) -> None:
    w.fail(LINK, answer=says(200, b"[1]", **{"Content-Length": "10"}), times=2)
    w.fail(LINK, before=RESET)
    output = await fetch(w, job, out)
    assert (output.process_output, entries(out)) == (SNIPPETS, [f"{job.file_id}.json"])


async def test_a_download_that_always_stops_short_leaves_nothing(
    w: World, job: Job, out: Path
) -> None:
    w.fail(LINK, answer=says(200, b"[1]", **{"Content-Length": "10"}), times=99)
    with pytest.raises(DownloadInterrupted) as caught:
        await fetch(w, job, out)
    assert (caught.value.file_id, caught.value.attempts) == (job.file_id, 4)
    assert entries(out) == []


async def test_a_lost_answer_is_asked_for_again(w: World, job: Job, out: Path) -> None:
    w.fail(OUTPUT, after=RESET, times=3)
    assert (await fetch(w, job, out)).process_output == SNIPPETS


async def test_an_answer_that_stays_lost(w: World, job: Job, out: Path) -> None:
    w.fail(OUTPUT, after=RESET, times=99)
    with pytest.raises(AnswerLost) as caught:
        await fetch(w, job, out)
    assert (caught.value.file_id, caught.value.pipeline) == (job.file_id, "books")


async def test_an_unfinished_file(tmp_path: Path, out: Path) -> None:
    async with world(tmp_path, min_module_seconds=60) as w:
        job = await w.books().process(local_file_path=TEXT, file_name="a.txt")
        with pytest.raises(NotFinished, match="is still being processed: wait for it") as caught:
            await fetch(w, job, out)
        assert caught.value.file_id == job.file_id
        assert entries(out) == []


async def test_a_failed_file_has_no_output(w: World, out: Path) -> None:
    pipeline = w.books("json-to-txt", name="texts")
    content = b'[{"snippet": "\\ud800 half a pair"}]'
    job = await pipeline.process(local_file_path=content, file_name="a.json")
    assert (await pipeline.wait_until_complete(job)).failed
    with pytest.raises(RequestRejected, match=r"has no output: .* half of a surrogate"):
        await fetch(w, job, out)


async def test_an_unknown_file(w: World, out: Path) -> None:
    with pytest.raises(FileRecordNotFound, match=UNKNOWN) as caught:
        await w.books().fetch_output(file_id=UNKNOWN, local_save_directory=out)
    assert (caught.value.file_id, caught.value.pipeline) == (UNKNOWN, "books")


@pytest.mark.parametrize("extension", ["/../../x", None, "", ".a/b", "x" * 17])
async def test_an_extension_that_is_none_is_never_part_of_a_path(
    w: World, job: Job, out: Path, extension: str | None
) -> None:
    w.fail(OUTPUT, answer=links(extension))
    with pytest.raises(UnexpectedReply):
        await fetch(w, job, out)
    assert entries(out) == []
