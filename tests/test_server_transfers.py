"""The upload and download host: what it takes, what it refuses, and how."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from krixik_async._offload import InlineOffload
from tests.server_side import (
    BASE_URL,
    OTHER_KEY,
    TEXT,
    UUID,
    Api,
    HandClock,
    http_scope,
    mode,
    multipart,
    serving,
    settle,
)

pytestmark = pytest.mark.anyio

TWO_MIB = 2 * 2**20


def refused(reply: httpx.Response) -> tuple[int, str]:
    """Give status and code of a refusal in S3's form."""
    assert reply.headers["content-type"].startswith("application/xml")
    match = re.fullmatch(
        r'<\?xml version="1.0" encoding="UTF-8"\?>\n<Error><Code>(\w+)</Code>'
        rf"<Message>[^<>]+</Message><RequestId>{UUID}</RequestId></Error>",
        reply.text,
    )
    assert match is not None, reply.text
    return reply.status_code, match[1]


def stored(data_dir: Path, ticket: dict[str, Any]) -> dict[str, bytes]:
    """Give the files on disk for one record."""
    paths = (data_dir / "files").glob(f"{ticket['file_id']}/*")
    return {path.name: path.read_bytes() for path in paths}


@pytest.mark.parametrize("size", [1, 2**18, 2**18 + 1, TWO_MIB + 1])
async def test_a_file_arrives_as_it_was_sent(tmp_path: Path, size: int) -> None:
    """Also one full of line ends, in the sizes where the pieces end; nothing else stays."""
    async with serving(tmp_path, min_module_seconds=1) as api:
        content = (b"\r\n--frontie\x00" * (size // 12 + 1))[:size]
        ticket = await api.submit()
        reply = await api.upload(ticket, content)
        assert (reply.status_code, reply.content) == (204, b"")
        assert stored(tmp_path, ticket)["input"] == content


async def test_too_large_and_too_small_files_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        ticket = await api.submit()
        large = await api.upload(ticket, b"x" * (TWO_MIB + 2))
        assert refused(large) == (400, "EntityTooLarge")
        assert refused(await api.upload(ticket, b"")) == (400, "EntityTooSmall")
        assert stored(tmp_path, ticket) == {}
        assert (await api.upload(ticket)).status_code == 204


async def test_the_limit_follows_the_first_module(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        ticket = await api.submit(chain=("json-to-txt",), file_name="a.json")
        policy = json.loads(
            base64.b64decode(ticket["presigned_post_url_results"]["fields"]["policy"])
        )
        assert policy["conditions"][-1] == ["content-length-range", 1, 3 * 2**20 + 1]


async def test_the_same_file_once_more_is_fine_and_another_is_not_taken(tmp_path: Path) -> None:
    """The first upload stored wins: a repeated form is answered 204 and changes nothing."""
    async with serving(tmp_path) as api:
        ticket = await api.process()
        before = stored(tmp_path, ticket)
        for _ in range(2):
            assert (await api.upload(ticket)).status_code == 204
            assert refused(await api.upload(ticket, b"something else")) == (409, "OperationAborted")
        await settle()
        assert stored(tmp_path, ticket) == before
        assert len((await api.list(created_at_start=0))["items"]) == 1
        await api.delete(ticket["file_id"])
        assert refused(await api.upload(ticket)) == (403, "AccessDenied")


async def test_of_two_uploads_at_once_one_is_stored(tmp_path: Path) -> None:
    """With different bytes, one is told so; what is stored is what was acknowledged."""
    async with serving(tmp_path, min_module_seconds=1) as api:
        ticket = await api.submit()
        answers: dict[bytes, int] = {}

        async def upload(content: bytes) -> None:
            answers[content] = (await api.upload(ticket, content)).status_code

        async with anyio.create_task_group() as group:
            group.start_soon(upload, b"one")
            group.start_soon(upload, b"two")
        assert sorted(answers.values()) == [204, 409]
        assert answers[stored(tmp_path, ticket)["input"]] == 204


async def test_a_form_is_refused_after_its_end_also_when_it_comes_during_the_upload(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as api:
        ticket = await api.submit()
        form = ticket["presigned_post_url_results"]
        body = multipart(form["fields"], TEXT)
        pieces = [body[:-20], body[-20:]]
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            if len(pieces) == 1:
                api.clock.advance(60)
            piece = pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [
            (b"content-type", b"multipart/form-data; boundary=frontier"),
            (b"content-length", str(len(body)).encode()),
        ]
        await api.app(http_scope("POST", httpx.URL(form["url"]), headers), receive, send)
        assert sent[0]["status"] == 403
        assert stored(tmp_path, ticket) == {}
        assert refused(await api.upload(ticket)) == (403, "AccessDenied")


def changed(**changes: str | None) -> Callable[[dict[str, str]], bytes]:
    def make(fields: dict[str, str]) -> bytes:
        merged = {**fields, **changes}
        return multipart({n: v for n, v in merged.items() if v is not None}, TEXT)

    return make


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (changed(policy="e30="), (403, "SignatureDoesNotMatch")),
        (changed(policy="not base64"), (403, "SignatureDoesNotMatch")),
        (changed(**{"x-amz-signature": "0" * 64}), (403, "SignatureDoesNotMatch")),
        (changed(**{"x-amz-signature": "é"}), (403, "SignatureDoesNotMatch")),
        (changed(**{"x-amz-signature": None}), (403, "AccessDenied")),
        (changed(key="uploads/../../secret"), (403, "AccessDenied")),
        (changed(key=None), (403, "AccessDenied")),
        (changed(acl="public-read"), (403, "AccessDenied")),
        (lambda fields: multipart(fields, None), (400, "InvalidArgument")),
        (lambda fields: multipart(fields, TEXT, name="data"), (400, "MalformedPOSTRequest")),
        (
            lambda fields: multipart([*fields.items(), ("key", "k")], TEXT),
            (400, "MalformedPOSTRequest"),
        ),
        (
            lambda fields: (
                multipart(fields, TEXT)[: -len("--frontier--\r\n")] + multipart({"late": "1"}, None)
            ),
            (400, "MalformedPOSTRequest"),
        ),
        (
            lambda fields: (
                multipart(fields, TEXT)[: -len("--frontier--\r\n")] + multipart({}, TEXT)
            ),
            (400, "MalformedPOSTRequest"),
        ),
        (lambda fields: multipart(fields, TEXT)[:-30], (400, "MalformedPOSTRequest")),
        (lambda _: b"", (400, "MalformedPOSTRequest")),
    ],
)
async def test_a_form_that_is_not_as_it_was_made_is_refused_and_nothing_is_kept(
    tmp_path: Path, make: Callable[[dict[str, str]], bytes], expected: tuple[int, str]
) -> None:
    async with serving(tmp_path) as api:
        ticket = await api.submit()
        form = ticket["presigned_post_url_results"]
        assert refused(await api.post_form(form["url"], make(form["fields"]))) == expected
        assert stored(tmp_path, ticket) == {}
        assert (await api.upload(ticket)).status_code == 204


async def test_an_upload_needs_its_length_and_its_content_type(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        ticket = await api.submit()
        form = ticket["presigned_post_url_results"]
        body = multipart(form["fields"], TEXT)

        async def pieces() -> Any:
            yield body

        chunked = await api.http.post(
            form["url"],
            content=pieces(),
            headers={"Content-Type": "multipart/form-data; boundary=frontier"},
        )
        assert refused(chunked) == (411, "MissingContentLength")
        other = await api.post_form(form["url"], body, **{"Content-Type": "text/plain"})
        assert refused(other) == (400, "MalformedPOSTRequest")


async def link(api: Api, **changes: Any) -> str:
    ticket = await api.process(**changes)
    output = (await api.fetch_output(ticket["file_id"])).json()["process_output"]
    return str(output[0]["url"])


async def test_a_link_gives_the_output_with_its_length_and_no_key(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        reply = await api.http.get(await link(api, chain=("parser",)))
        assert (reply.status_code, reply.headers["content-type"]) == (200, "binary/octet-stream")
        assert reply.headers["content-length"] == str(len(reply.content))
        assert reply.json() == [
            {"snippet": line, "line_numbers": [number]}
            for number, line in enumerate(TEXT.decode().splitlines(), 1)
        ]


async def test_an_output_of_many_pieces_is_streamed_whole(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        text = b"".join(b"word%d other words here\n" % number for number in range(20_000))
        reply = await api.http.get(await link(api, file=text))
        assert reply.headers["content-length"] == str(len(reply.content))
        assert len(reply.content) > 2**20
        assert reply.content.startswith(b"SQLite format 3\x00")


async def test_a_link_is_good_for_its_time_and_for_nothing_else(tmp_path: Path) -> None:
    async with serving(tmp_path, link_seconds=10) as api:
        url = httpx.URL(await link(api))
        other = httpx.URL(await link(api, file_name="b.txt"))
        for bad in (
            url.copy_with(path=other.path),
            url.copy_with(path=url.path.replace(".db", ".txt")),
            url.copy_with(query=url.query + b"0"),
            url.copy_set_param("expires", "9999999999"),
            url.copy_with(query=None),
            httpx.URL(f"{BASE_URL}/outputs/..%2f..%2fsecret?{url.query.decode()}"),
            httpx.URL(f"{BASE_URL}/outputs/secret?{url.query.decode()}"),
        ):
            reply = await api.http.get(bad)
            assert reply.status_code == 403, bad
        assert refused(await api.http.get(url.copy_set_param("signature", "é"))) == (
            403,
            "SignatureDoesNotMatch",
        )
        for method in ("HEAD", "POST", "DELETE"):
            assert (await api.http.request(method, url)).status_code == 403
        api.clock.advance(9.9)
        assert (await api.http.get(url)).status_code == 200
        api.clock.advance(0.1)
        assert refused(await api.http.get(url)) == (403, "AccessDenied")


async def test_a_link_to_an_output_that_is_gone_is_no_such_key(tmp_path: Path) -> None:
    """Deleted with its record, or from under it."""
    async with serving(tmp_path) as api:
        ticket = await api.process()
        output = (await api.fetch_output(ticket["file_id"])).json()["process_output"]
        (tmp_path / "files" / ticket["file_id"] / "module_1").unlink()
        assert refused(await api.http.get(output[0]["url"])) == (404, "NoSuchKey")
        await api.delete(ticket["file_id"])
        assert refused(await api.http.get(output[0]["url"])) == (404, "NoSuchKey")


async def test_an_upload_that_is_cancelled_leaves_nothing_behind(tmp_path: Path) -> None:
    async with serving(tmp_path) as api:
        ticket = await api.submit()
        form = ticket["presigned_post_url_results"]
        body = multipart(form["fields"], TEXT)
        headers = [
            (b"content-type", b"multipart/form-data; boundary=frontier"),
            (b"content-length", str(len(body)).encode()),
        ]
        pieces = [body[:-20]]
        with anyio.CancelScope() as scope:

            async def receive() -> dict[str, Any]:
                if not pieces:
                    assert len(stored(tmp_path, ticket)) == 1
                    scope.cancel()
                    await anyio.sleep_forever()
                return {"type": "http.request", "body": pieces.pop(), "more_body": True}

            async def send(_: Any) -> None:
                raise AssertionError("nothing is answered")

            await api.app(http_scope("POST", httpx.URL(form["url"]), headers), receive, send)
        assert stored(tmp_path, ticket) == {}


async def test_both_accounts_upload_with_their_own_forms_and_no_key(tmp_path: Path) -> None:
    """A form is its own authority; its record is the account's that asked for it."""
    async with serving(tmp_path) as api:
        ticket = await api.as_other().submit()
        assert (await api.upload(ticket)).status_code == 204
        await settle()
        assert (await api.list(created_at_start=0))["items"] == []
        assert len((await api.as_other().list(created_at_start=0))["items"]) == 1
        assert OTHER_KEY not in json.dumps(ticket)


async def test_a_form_outlives_a_restart(tmp_path: Path) -> None:
    """The signing secret is kept, readable by the owner only."""
    clock = HandClock()
    async with serving(tmp_path, clock=clock) as api:
        ticket = await api.submit()
    assert mode(tmp_path / "secret") == 0o600
    async with serving(tmp_path, clock=clock) as api:
        assert (await api.upload(ticket)).status_code == 204


async def test_bytes_are_acknowledged_only_after_they_are_synced(tmp_path: Path) -> None:
    """No 204 before the file's own sync, its rename, the folder's sync and the commit."""

    class Watching(InlineOffload):
        def __init__(self) -> None:
            self.names: list[str] = []

        async def __call__(self, function: Any, /, *args: Any) -> Any:
            name = function.__name__ + (f":{args[0]}" if function.__name__ == "change" else "")
            result = await super().__call__(function, *args)
            self.names.append(name)
            return result

    watching = Watching()
    async with serving(tmp_path, offload=watching) as api:
        ticket = await api.submit()
        watching.names.clear()
        assert (await api.upload(ticket)).status_code == 204
        change = f"change:{ticket['file_id']}"
        steps = [name for name in watching.names if name in ("write", "finish", change)]
        assert steps[:3] == ["write", "finish", change]
