"""The faults of the official client 1.1.19, one by one: ours has none of them.

Each was reproduced against a recording server (2026-11). A test's docstring is the fault and what
is so here; the numbers are those of the list that the migration page was made from.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import docx
import httpx
import pytest

from krixik_async import (
    AnswerLost,
    AuthenticationError,
    ConnectFailed,
    DownloadInterrupted,
    DownloadRejected,
    FileRecord,
    InvalidArgument,
    InvalidArgumentType,
    KrixikError,
    ListResult,
    ProcessFailed,
    RequestRejected,
    ServerError,
    UnexpectedReply,
)
from krixik_async._files import sort_result
from tests.client_side import (
    DELETE,
    LINK,
    LIST,
    OTHER_KEY,
    OUTPUT,
    STATUS,
    TEXT,
    TICKET,
    UNKNOWN,
    UPLOAD,
    World,
    entries,
    forbidden,
    says,
    world,
)
from tests.transport_world import STATUS as ASK_STATUS
from tests.transport_world import Peer, raw_server, read_text, transport_to

pytestmark = pytest.mark.anyio

ALL: dict[str, Any] = {"symbolic_directory_paths": ["/*"]}
RESET = httpx.ReadError("connection reset")
QUANTIZE = {"text-embedder": {"params": {"quantize": 1}}}
EVERY_CALL = (
    "list",
    "update",
    "delete",
    "show_tree",
    "process_status",
    "fetch_output",
    "check_cap",
)


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


def calls(w: World) -> dict[str, Awaitable[object]]:
    """Give one call of each kind, ready to be awaited."""
    books = w.books()
    return {
        "list": books.list(**ALL),
        "keyword_search": books.keyword_search(query="clock", **ALL),
        "update": books.update(file_id=UNKNOWN, file_description="x"),
        "delete": books.delete(file_id=UNKNOWN),
        "show_tree": books.show_tree(),
        "process_status": books.process_status(request_id=UNKNOWN),
        "fetch_output": books.fetch_output(file_id=UNKNOWN),
        "check_cap": w.client.check_cap(),
        "process": books.process(local_file_path=TEXT, file_name="a.txt"),
    }


async def error_of(awaitable: Awaitable[object]) -> KrixikError:
    with pytest.raises(KrixikError) as caught:
        await awaitable
    return caught.value


def fail_all(w: World, **how: Any) -> None:
    for path in (LIST, DELETE, STATUS, OUTPUT, TICKET, "/keyword-search"):
        w.fail(path, times=999, **how)
    for path in ("/krixik-core-update", "/krixik-core-show-tree", "/krixik-core-cap-check"):
        w.fail(path, times=999, **how)


async def test_1_eight_calls_on_one_pipeline_do_not_mix(w: World, tmp_path: Path) -> None:
    """Call state on the pipeline: files went up under other records. Here each keeps its own."""
    books = w.books("parser")
    found: dict[int, tuple[str, object]] = {}

    async def send(number: int) -> None:
        output = await books.process(
            local_file_path=b"Number %d has six words here." % number,
            file_name=f"{number}.txt",
            wait_for_process=True,
            local_save_directory=tmp_path / str(number),
        )
        records = await books.list(file_ids=[output.file_id])
        found[number] = (records.items[0].file_name, output.process_output)

    async with anyio.create_task_group() as group:
        for number in range(8):
            group.start_soon(send, number)
    assert found == {
        n: (f"{n}.txt", [{"snippet": f"Number {n} has six words here.", "line_numbers": [1]}])
        for n in range(8)
    }


async def test_2_a_small_file_is_waited_for_no_longer_than_it_takes(w: World) -> None:
    """Polls every 3 s, at least twice: 6 s for 10 ms of work. Here less than one second."""
    started = w.clock.now()
    await w.books().process(
        local_file_path=TEXT, file_name="a.txt", wait_for_process=True, download_output=False
    )
    assert w.clock.now() - started < 1


@pytest.mark.parametrize("seconds", [596, 597, 700])
async def test_3_and_4_a_slow_file_is_neither_given_up_nor_deleted(
    tmp_path: Path, seconds: float
) -> None:
    """After 199 polls, even if complete at the last, the file is deleted. Here never."""
    async with world(tmp_path, min_module_seconds=seconds) as w:
        job = await w.books().process(
            local_file_path=TEXT, file_name="a.txt", wait_for_process=True, download_output=False
        )
        assert job.status_code == 200
        assert DELETE not in w.sent


@pytest.mark.parametrize(
    ("path", "answer", "kind"),
    [
        (LINK, says(403, b"<Error/>"), DownloadRejected),
        (OUTPUT, says(200, b"no JSON"), UnexpectedReply),
        (OUTPUT, says(200, {"request_id": "r", "process_output": [{}]}), UnexpectedReply),
    ],
)
async def test_5_an_output_that_cannot_be_fetched_is_an_error(
    w: World, tmp_path: Path, path: str, answer: httpx.Response, kind: type[KrixikError]
) -> None:
    """None was returned, and "SUCCESS" printed. Here it raises, also out of process()."""
    w.fail(path, answer=answer, times=99)
    error = await error_of(
        w.books().process(
            local_file_path=TEXT,
            file_name="a.txt",
            wait_for_process=True,
            local_save_directory=tmp_path / "out",
        )
    )
    assert type(error) is kind
    assert entries(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (403, AuthenticationError),
        (404, UnexpectedReply),
        (500, ServerError),
        (502, ServerError),
    ],
)
async def test_6_any_refusal_of_a_ticket_is_told_as_such(
    w: World, status: int, kind: type[KrixikError]
) -> None:
    """It said "cannot unpack non-iterable NoneType object". Here the status and the reply."""
    w.fail(TICKET, answer=says(status, {"message": "no"}), times=99)
    error = await error_of(w.books().process(local_file_path=TEXT, file_name="a.txt"))
    assert (type(error), error.status_code) == (kind, status)


@pytest.mark.parametrize(
    "trouble",
    [{"before": httpx.ConnectError("refused")}, {"answer": says(500, {"message": "Internal"})}],
    ids=["no connection", "500"],
)
async def test_7_a_wait_outlasts_an_outage_of_the_service(
    tmp_path: Path, trouble: dict[str, Any]
) -> None:
    """A 500 ended the wait at once, 511 s without answers in an unpack error. Here neither."""
    async with world(tmp_path, min_module_seconds=5) as w:
        job = await w.books().process(local_file_path=TEXT, file_name="a.txt", expire_time=3600)
        w.fail(STATUS, times=10**6, **trouble)
        started = w.clock.now()

        async def recover() -> None:
            await w.clock.sleep(560)
            w.wire.faults.clear()

        async with anyio.create_task_group() as group:
            group.start_soon(recover)
            outcome = await job
        assert outcome.state == "complete"
        assert w.clock.now() - started >= 560


@pytest.mark.parametrize("name", EVERY_CALL)
async def test_8_a_broken_connection_has_a_class_of_its_own(w: World, name: str) -> None:
    """It came as bare Exception or ValueError. Here TransportError, whichever the call."""
    fail_all(w, before=httpx.ConnectError("refused"))
    made = calls(w)
    error = await error_of(made.pop(name))
    assert type(error) is ConnectFailed
    close(made)
    w.wire.faults.clear()
    fail_all(w, before=RESET)
    made = calls(w)
    assert type(await error_of(made.pop(name))) is AnswerLost
    close(made)


def close(unused: dict[str, Any]) -> None:
    for coroutine in unused.values():
        coroutine.close()


async def test_9_a_gateways_refusal_without_ids_is_understood(w: World) -> None:
    """It said "'request_id'", or was a dict with 403. Here AuthenticationError from every call."""
    fail_all(w, answer=forbidden())
    errors = {name: await error_of(call) for name, call in calls(w).items()}
    assert {type(error) for error in errors.values()} == {AuthenticationError}
    assert all("api key" in str(error) for error in errors.values())


async def test_10_a_failure_at_the_first_look_names_its_process(w: World) -> None:
    """It said "request_id None". Here the id, and the Job."""
    texts = w.books("json-to-txt", name="texts")
    content = b'[{"snippet": "\\ud800 half a pair"}]'
    error = await error_of(
        texts.process(local_file_path=content, file_name="a.json", wait_for_process=True)
    )
    assert isinstance(error, ProcessFailed)
    assert error.request_id
    assert error.job is not None
    assert error.job.request_id == error.request_id
    assert error.request_id in str(error)


async def test_11_an_upload_is_tried_again_and_tells_no_path(w: World, tmp_path: Path) -> None:
    """One try, read into memory whole, under the user's absolute path; then a deletion."""
    path = tmp_path / "secret-folder" / "a.txt"
    path.parent.mkdir()
    path.write_bytes(TEXT)
    w.fail(UPLOAD, before=httpx.WriteError("broken pipe"), times=1)
    w.fail(UPLOAD, swallow=True, before=RESET, times=1)
    job = await w.books().process(local_file_path=path)
    assert (await job).state == "complete"
    (form,) = w.wire.forms
    assert b'filename="a.txt"' in form
    assert b"secret-folder" not in form
    assert DELETE not in w.sent
    # That it is read in pieces of 512 KiB is tested where uploads are (test_transport_uploads).


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_12_ten_calls_take_one_connection(anyio_backend: str) -> None:
    """Ten lists, ten connections. Here one."""

    async def handler(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.answer()

    async with raw_server(handler) as server, transport_to(server.url) as there:
        for _ in range(10):
            await there.transport.call(ASK_STATUS, read_text)
    assert server.connections == 1


async def test_13_a_wrong_key_raises_and_accounts_do_not_mix(w: World) -> None:
    """init() printed and returned; one account a process. Here an error; as many as you like."""
    wrong = w.another(key="wrong")
    assert type(await error_of(wrong.check_in())) is AuthenticationError
    other = w.another(key=OTHER_KEY)
    await w.done(w.books())
    assert await w.names(w.books()) == ["a.txt"]
    assert await w.names(w.books(client=other)) == []
    # A url with a port, a call before anything else: nothing special (test_client, test_config).


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"file_name": "*x.txt"}, "only letters"),
        ({"symbolic_directory_path": "/home/*"}, "must start with '/'"),
        ({"file_tags": [{"a": "*"}]}, "keys and values must be"),
        ({"file_tags": [{"a": "b\n"}]}, "keys and values must be"),
        ({"file_name": "a.$%^&.txt"}, "only letters"),
    ],
)
async def test_14_what_is_stored_is_checked_whole(
    w: World, given: dict[str, Any], said: str
) -> None:
    """Wildcards, line ends and odd names were stored. Here they are refused unsent."""
    error = await error_of(
        w.books().process(**{"local_file_path": TEXT, "file_name": "a.txt", **given})
    )
    assert isinstance(error, InvalidArgument)
    assert said in str(error)
    assert w.sent == []


async def test_14_arguments_by_position_and_params_of_ocr_are_checked_too(w: World) -> None:
    """process_status("x") and any params of ocr were let through."""
    books: Any = w.books()
    with pytest.raises(InvalidArgumentType, match=r"write request_id=\.\.\."):
        await books.process_status("x")
    with pytest.raises((InvalidArgument, InvalidArgumentType), match="ocr"):
        await w.books("ocr").process(
            local_file_path=b"\xff\xd8\xff",
            file_name="a.jpg",
            modules={"ocr": {"params": {"chunk_size": 5}}},
        )
    assert w.sent == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'[{"snippet": "%s"}, {"snippet": "x"}]' % (b"w " * 256), "entry 0 has 256 words"),
        (b'[{"snippet": "x"}, {"other": "x"}]', "entry 1 must be an object with a text under"),
    ],
)
async def test_15_every_entry_of_a_json_file_counts(w: World, content: bytes, said: str) -> None:
    """Only the last entry was counted and only the first looked at. Here all of them."""
    sentiment = w.books("sentiment")
    error = await error_of(sentiment.test_input(local_file_path=content, file_name="a.json"))
    assert said in str(error)


@pytest.mark.parametrize(
    ("chain", "call", "given", "said"),
    [
        ("parser", "process", {}, "process() needs local_file_path=..."),
        ("sentiment", "test_input", {"local_file_path": "no.json"}, "cannot be read: No such file"),
        ("sentiment", "test_input", {"local_file_path": "no.txt"}, "takes .json"),
        (
            "text-embedder",
            "process",
            {"local_file_path": "a.json", "modules": QUANTIZE},
            "quantize",
        ),
        (
            "parser",
            "test_input",
            {"local_file_path": b"x " * 2**20 + b"xx", "file_name": "a.txt"},
            "has 2097154 bytes but 'parser' takes at most 2097153",
        ),
        ("keyword-db", "keyword_search", {"query": "x", **ALL}, "has 1 characters but must have 2"),
        ("vector-db", "semantic_search", {"query": "xx", **ALL}, "end in 'text-embedder', 'vec"),
        (
            "parser",
            "process",
            {
                "local_file_path": TEXT,
                "file_name": "a.txt",
                "symbolic_directory_path": "/home/etc",
            },
            "no folder below or beside '/etc' may be made",
        ),
    ],
)  # fmt: skip
async def test_16_messages_say_what_is_wrong(
    w: World, chain: str, call: str, given: dict[str, Any], said: str
) -> None:
    """It said "'bool' object has no attribute 'split'", "name 'quantize' is not defined" ..."""
    error = await error_of(getattr(w.books(chain), call)(**given))
    assert isinstance(error, InvalidArgument | InvalidArgumentType)
    assert said in str(error)


@pytest.mark.parametrize(("name", "width"), [("x" * 65, 65), ("x" * 128, 128)])
def test_16_a_name_has_one_limit(name: str, width: int) -> None:
    """A pipeline name of 65 to 127 characters met two limits. Here one, of 64."""
    from krixik_async import Krixik

    krixik = Krixik(api_key="k", api_url="http://krixik.test")
    with pytest.raises(InvalidArgument, match=f"{width} characters but must have 1 to 64"):
        krixik.create_pipeline(name=name, module_chain=["parser"])


async def test_17_a_converted_file_has_one_kind_of_name_and_its_borders(
    w: World, tmp_path: Path
) -> None:
    """file_name left out and None gave different extensions; words were glued together."""
    document = docx.Document()
    document.add_paragraph("The first paragraph ends here.")
    document.add_paragraph("Second paragraphs begin on a line of their own.")
    document.save(str(tmp_path / "a.docx"))
    books = w.books("parser")
    left_out = await books.process(local_file_path=tmp_path / "a.docx")
    none = await books.process(local_file_path=tmp_path / "a.docx", file_name=None)
    assert [Path(job.file_name).suffix for job in (left_out, none)] == [".txt", ".txt"]
    await left_out
    output = await books.fetch_output(file_id=left_out.file_id, local_save_directory=tmp_path)
    assert output.process_output == [
        {"snippet": "The first paragraph ends here.", "line_numbers": [1]},
        {"snippet": "Second paragraphs begin on a line of their own.", "line_numbers": [2]},
    ]


async def test_18_what_a_caller_passes_or_gets_is_his_own(w: World) -> None:
    """The modules dict was filled in; defaults handed out could be poisoned."""
    modules: dict[str, dict[str, object]] = {"parser": {}}
    await w.books("parser").process(local_file_path=TEXT, file_name="a.txt", modules=modules)
    assert modules == {"parser": {}}
    view: Any = w.client.view_module_config(module_name="text-embedder")
    view["module_config"]["module"]["defaults"]["params"]["quantize"] = "poisoned"
    again: Any = w.client.view_module_config(module_name="text-embedder")
    assert again["module_config"]["module"]["defaults"]["params"] == {"quantize": True}


async def test_19_paths_extensions_and_defaults_are_taken_as_they_come(
    w: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No pathlib, no .TXT, a working folder frozen at import, no None for a default."""
    path = tmp_path / "Novel.TXT"
    path.write_bytes(TEXT)
    (tmp_path / "now").mkdir()
    monkeypatch.chdir(tmp_path / "now")
    output = await w.books("parser").process(
        local_file_path=path,
        wait_for_process=True,
        local_save_directory=None,
        expire_time=None,
    )
    assert output.process_output_files == (f"{output.file_id}.json",)
    assert entries(tmp_path / "now") == [f"{output.file_id}.json"]
    assert w.wire.bodies[0]["expire_time"] == 1800


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Be where the clock is set back in the night of 25 October 2026."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


async def test_20_times_are_utc(w: World, in_berlin: None) -> None:
    """Expiry printed in local time as UTC; files of one hour mixed up when clocks change."""
    times = [f"2026-10-25 0{hour}:{minute}:00" for hour in (0, 1, 2) for minute in (10, 50)]
    records = tuple(
        FileRecord(
            file_id=at,
            process_id="p",
            pipeline="books",
            file_name="a.txt",
            symbolic_directory_path="/etc",
            created_at=at,
        )
        for at in times
    )
    found = ListResult(status_code=200, request_id="r", message="", items=records)
    assert [r.created_at for r in sort_result(found, "ascending")] == times
    job = await w.done(w.books())
    (record,) = await w.books().list(file_ids=[job.file_id])
    said = datetime.strptime(record.expire_time, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    assert abs(said.timestamp() - job.expires_at) <= 1


async def test_21_a_reset_deletes_all_and_tells_what_it_could_not(
    w: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first 1000 only, failures ignored; show_tree printed and fell over a 400."""
    ids = [f"00000000-0000-4000-8000-{number:012}" for number in range(1001)]
    listed = {"request_id": "r", "message": "", "items": [{"file_id": one} for one in ids]}
    done = {"request_id": "r", "message": "Successfully deleted", "pipeline": "books"}
    w.fail(LIST, answer=says(200, listed))
    w.fail(DELETE, answer=says(400, {"request_id": "r", "message": "BAD REQUEST: stuck"}))
    w.fail(DELETE, answer=says(200, done), times=1000)
    reset = await w.client.reset_pipeline(w.books())
    assert (len(reset.deleted), len(reset.failures)) == (1000, 1)
    (failure,) = reset.failures.values()
    assert isinstance(failure, RequestRejected)

    await w.books().show_tree(verbose=True)
    w.fail(
        "/krixik-core-show-tree",
        answer=says(400, {"request_id": "r", "message": "BAD REQUEST: no", "warnings": []}),
    )
    assert "BAD REQUEST: no" in str(await error_of(w.books().show_tree()))
    assert capsys.readouterr() == ("", "")


async def test_22_a_download_is_whole_or_not_there(w: World, tmp_path: Path) -> None:
    """A truncated output stayed under its name; no resume. Here whole, or a part that goes on."""
    job = await w.done(w.books("parser"))
    out = tmp_path / "out"

    def cut(_: httpx.Request, response: httpx.Response) -> httpx.Response:
        kept = {name: response.headers[name] for name in ("etag", "content-length")}
        return says(200, response.content[:10], **kept)

    w.fail(LINK, answer=cut)
    w.fail(LINK, answer=says(503, b""), times=3)
    fetch = {"file_id": job.file_id, "local_save_directory": out}
    error = await error_of(w.books("parser").with_options(attempts=1).fetch_output(**fetch))
    assert isinstance(error, DownloadInterrupted)
    name = f"{job.file_id}.json"
    assert entries(out) == [f"{name}.part", f"{name}.part.validator"]
    w.wire.faults.clear()
    output = await w.books("parser").fetch_output(**fetch)
    assert entries(out) == [name]
    assert output.process_output


@pytest.mark.parametrize("name", ["file_id", "og_local_file_path"])
async def test_23_arguments_of_nobodys_business_are_refused_with_a_way_out(
    w: World, name: str
) -> None:
    """file_id was on the list of what process takes, then an Exception; og_... was public."""
    process: Any = w.books().process
    with pytest.raises(InvalidArgumentType, match=f"takes no argument '{name}'. Instead: "):
        await process(local_file_path=TEXT, file_name="a.txt", **{name: "x"})
    assert w.sent == []


def test_24_importing_brings_in_nothing_heavy_and_nothing_undeclared() -> None:
    """0.4 s for numpy, PIL and six more; `imghdr`, which Python 3.13 has no more."""
    heavy = {"numpy", "PIL", "pypdf", "docx", "pptx", "requests", "nltk", "imghdr", "boto3"}
    program = f"import sys, krixik_async; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        env={**os.environ, "PYTHONWARNINGS": "error::DeprecationWarning:krixik_async"},
    )
    assert done.stdout == "[]\n"
    # That all that is imported is declared: test_architecture. That it runs on 3.13: CI.
