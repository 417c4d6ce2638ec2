"""An update as the server takes it: its rules, its answers, what it leaves alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from krixik_async._errors import InvalidArgument, KrixikError
from krixik_async._offload import InlineOffload
from krixik_async._wire import Update
from krixik_async.server._changes import check_changes
from krixik_async.server._records import Record
from krixik_async.server._store import Store, open_store
from tests.server_side import EPOCH, Api, serving

PATH = "/krixik-core-update"
ID = "0d9f1c3e-5b7a-4c2d-8e6f-1a2b3c4d5e6f"


def asked(**changes: Any) -> Update:
    return Update(pipeline="books", file_id=ID, **changes)


async def update(api: Api, file_id: str, **changes: Any) -> tuple[int, dict[str, Any]]:
    body = {"pipeline": "books", "version": "1.1.19", "file_id": file_id, **changes}
    reply = await api.post(PATH, body)
    said = dict(reply.json())
    del said["request_id"]
    return reply.status_code, said


def saying(message: str, pipeline: str = "books") -> dict[str, Any]:
    return {"pipeline": pipeline, "message": message, "warnings": []}


def test_what_is_given_is_what_changes_in_lower_case() -> None:
    assert check_changes(asked(file_name="B.TXT"), 5.0) == {"file_name": "b.txt"}
    changes = asked(
        symbolic_directory_path="/Novels",
        file_tags=({"A": "B"},),
        file_description="",
        expire_time=1800,
    )
    assert check_changes(changes, 5.0) == {
        "symbolic_directory_path": "/novels",
        "file_tags": ({"a": "b"},),
        "file_description": "",
        "expire_time": 1800,
        "ends_at": 1805.0,
    }


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "nothing to change was given"),
        ({"file_name": "*.txt"}, "file_name is '*.txt'"),
        ({"symbolic_directory_path": "a"}, "symbolic_directory_path is 'a'"),
        ({"file_tags": ({"a": "*"},)}, "file_tags holds '*'"),
        ({"file_description": "ü"}, "file_description holds 'ü'"),
        ({"expire_time": 1}, "expire_time is 1 s"),
    ],
)
def test_a_change_that_breaks_a_rule_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(KrixikError) as caught:
        check_changes(asked(**changes), 5.0)
    assert (type(caught.value), said in str(caught.value)) == (InvalidArgument, True)


@pytest.mark.anyio
class TestAnswers:
    async def test_a_change_is_confirmed_and_shows(self, tmp_path: Path) -> None:
        async with serving(tmp_path) as api:
            file_id = (await api.process())["file_id"]
            api.clock.advance(60)
            said = await update(api, file_id, symbolic_directory_path="/Novels")
            assert said == (200, saying("Successfully updated file metadata"))
            (item,) = (await api.list(file_ids=[file_id]))["items"]
            assert item["symbolic_directory_path"] == "/novels"
            assert item["created_at"] < item["last_updated"]

    async def test_who_has_no_such_file_is_told_so(self, tmp_path: Path) -> None:
        async with serving(tmp_path) as api:
            file_id = (await api.process())["file_id"]
            for who, wanted in ((api, ID), (api.as_other(), file_id)):
                said = await update(who, wanted, file_name="b.txt")
                assert said == (400, saying(f"FAILURE: file_id not found - {wanted}"))
            said = await update(api, file_id, pipeline="other", file_name="b.txt")
            assert said == (400, saying(f"FAILURE: file_id not found - {file_id}", "other"))

    async def test_a_file_in_work_is_left_alone_with_a_200(self, tmp_path: Path) -> None:
        async with serving(tmp_path, min_module_seconds=2) as api:
            file_id = (await api.process())["file_id"]
            words = "The output for associated with your input file_id has not finished processing"
            assert await update(api, file_id, file_name="b.txt") == (200, saying(words))

    async def test_a_taken_path_and_another_extension_change_nothing(self, tmp_path: Path) -> None:
        async with serving(tmp_path) as api:
            file_id = (await api.process())["file_id"]
            await api.process(file_name="b.txt")
            await api.process(file_name="a.txt", symbolic_directory_path="/")
            words = "FAILURE: another file already has this symbolic_file_path - "
            for changes, path in (
                ({"file_name": "B.txt"}, "/etc/b.txt"),
                ({"symbolic_directory_path": "/"}, "/a.txt"),
            ):
                assert await update(api, file_id, **changes) == (400, saying(words + path))
            said = await update(api, file_id, file_name="a.pdf", file_description="new")
            assert said == (400, saying("FAILURE: file extension cannot be updated"))
            (item,) = (await api.list(file_ids=[file_id]))["items"]
            assert (item["file_name"], item["file_description"]) == ("a.txt", "")

    async def test_a_path_is_free_once_its_file_is_gone_or_moved(self, tmp_path: Path) -> None:
        async with serving(tmp_path) as api:
            first = (await api.process())["file_id"]
            second = (await api.process(file_name="b.txt"))["file_id"]
            for file_id, name in ((first, "c.txt"), (second, "a.txt"), (second, "a.txt")):
                assert (await update(api, file_id, file_name=name))[0] == 200
            assert (await api.delete(first)).status_code == 200
            assert (await update(api, second, file_name="c.txt"))[0] == 200
            assert (await api.post("/krixik-core-process", {})).status_code == 400

    async def test_a_file_deleted_on_the_way_is_not_found(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with serving(tmp_path) as api:
            file_id = (await api.process())["file_id"]
            real = Store.by_file

            async def deleted_after(self: Store, *given: Any) -> Record | None:
                record = await real(self, *given)
                await self.delete(file_id)
                return record

            monkeypatch.setattr(Store, "by_file", deleted_after)
            said = await update(api, file_id, file_name="b.txt")
            assert said == (400, saying(f"FAILURE: file_id not found - {file_id}"))

    async def test_a_change_lasts_over_a_restart(self, tmp_path: Path) -> None:
        async with serving(tmp_path) as api:
            file_id = (await api.process())["file_id"]
            await update(api, file_id, file_tags=[{"a": "b"}], expire_time=7200)
        store = await open_store(tmp_path, InlineOffload(), EPOCH)
        try:
            record = await store.any_file(file_id, EPOCH + 7199)
            assert record is not None
            assert (record.file_tags, record.expire_time) == (({"a": "b"},), 7200)
            assert await store.any_file(file_id, EPOCH + 7200) is None
        finally:
            await store.aclose()
