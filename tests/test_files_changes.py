"""Files put in order: their metadata changed, their folders shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from krixik_async import (
    AuthenticationError,
    FileRecordNotFound,
    InvalidArgument,
    InvalidArgumentType,
    KrixikError,
    NotFinished,
    RequestRejected,
    ServerError,
    UpdateResult,
)
from tests.client_side import TEXT, UNKNOWN, World, forbidden, says, world

pytestmark = pytest.mark.anyio

UPDATE = "/krixik-core-update"
TREE = "/krixik-core-show-tree"


@pytest.fixture
def anyio_backend(virtual_backend: Any) -> Any:
    return virtual_backend


# --- update ----------------------------------------------------------------------------------


async def test_an_update_changes_what_is_given_and_nothing_else(w: World) -> None:
    pipeline = w.books()
    job = await pipeline.process(
        local_file_path=TEXT,
        symbolic_file_path="/novels/a.txt",
        file_tags=[{"author": "orwell"}],
        file_description="A novel.",
    )
    await job
    (before,) = await pipeline.list(file_ids=[job.file_id])
    await w.clock.sleep(60)
    done = await pipeline.update(file_id=job.file_id.upper(), file_name="New Name.TXT")
    assert done == UpdateResult(
        status_code=200,
        request_id=done.request_id,
        message="Successfully updated file metadata",
        pipeline="books",
        file_id=job.file_id,
    )
    assert done.to_dict() == {
        "status_code": 200,
        "pipeline": "books",
        "request_id": done.request_id,
        "message": "Successfully updated file metadata",
        "warnings": [],
    }
    (after,) = await pipeline.list(file_ids=[job.file_id])
    assert after.to_dict() == before.to_dict() | {
        "file_name": "new name.txt",
        "last_updated": "2026-05-28 20:27:40",
    }


@pytest.mark.parametrize(
    ("given", "sent", "changed"),
    [
        (
            {"symbolic_directory_path": "/"},
            {"symbolic_directory_path": "/"},
            {"symbolic_directory_path": "/"},
        ),
        (
            {"symbolic_file_path": "/Poems/Long/B.txt"},
            {"symbolic_directory_path": "/poems/long", "file_name": "b.txt"},
            {"symbolic_directory_path": "/poems/long", "file_name": "b.txt"},
        ),
        (
            {"file_tags": [{"Country": "UK"}], "verbose": False},
            {"file_tags": [{"country": "uk"}]},
            {"file_tags": [{"country": "uk"}]},
        ),
        ({"file_tags": []}, {"file_tags": []}, {"file_tags": []}),
        ({"file_description": ""}, {"file_description": ""}, {"file_description": ""}),
        ({"expire_time": 3600}, {"expire_time": 3600}, {"expire_time": "2026-05-28 21:27:40"}),
    ],
    ids=lambda value: next(iter(value)),
)
async def test_each_kind_of_change(
    w: World, given: dict[str, Any], sent: dict[str, Any], changed: dict[str, Any]
) -> None:
    """As it is sent, and as it is listed; an expiry is counted from the update."""
    pipeline = w.books()
    job = await pipeline.process(
        local_file_path=TEXT,
        file_name="a.txt",
        file_tags=[{"a": "b"}],
        file_description="A novel.",
    )
    await job
    (before,) = await pipeline.list(file_ids=[job.file_id])
    await w.clock.sleep(60)
    await pipeline.update(file_id=job.file_id, **given)
    nothing = dict.fromkeys(
        ("file_name", "symbolic_directory_path", "file_tags", "file_description", "expire_time")
    )
    about = {"pipeline": "books", "version": "1.1.19", "file_id": job.file_id}
    assert w.wire.bodies[-1] == about | nothing | sent
    (after,) = await pipeline.list(file_ids=[job.file_id])
    updated = {"last_updated": "2026-05-28 20:27:40"}
    assert after.to_dict() == before.to_dict() | changed | updated


async def test_a_file_lives_as_long_as_it_was_told_last(w: World) -> None:
    pipeline = w.books()
    job = await w.done(pipeline)
    await w.clock.sleep(1790)
    await pipeline.update(file_id=job.file_id, expire_time=1800)
    await w.clock.sleep(1790)
    assert await w.names(pipeline) == ["a.txt"]
    await w.clock.sleep(20)
    assert await w.names(pipeline) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"file_name": "b.txt"},
            "FAILURE: another file already has this symbolic_file_path - /etc/b.txt",
        ),
        ({"file_name": "a.pdf"}, "FAILURE: file extension cannot be updated"),
    ],
)
async def test_what_the_service_refuses_changes_nothing(
    w: World, given: dict[str, str], said: str
) -> None:
    pipeline = w.books()
    job = await w.done(pipeline, "a.txt")
    await w.done(pipeline, "b.txt")
    with pytest.raises(RequestRejected, match=said) as caught:
        await pipeline.update(file_id=job.file_id, file_description="new", **given)
    assert (caught.value.file_id, caught.value.pipeline) == (job.file_id, "books")
    assert [r.file_description for r in await pipeline.list(file_names=["*" + ".txt"])] == ["", ""]
    assert await w.names(pipeline) == ["a.txt", "b.txt"]


async def test_an_unknown_file_cannot_be_updated(w: World) -> None:
    with pytest.raises(FileRecordNotFound, match=f"no file {UNKNOWN} is on record") as caught:
        await w.books().update(file_id=UNKNOWN, file_name="a.txt")
    assert (caught.value.file_id, caught.value.pipeline) == (UNKNOWN, "books")


async def test_a_file_in_work_is_not_updated(tmp_path: Path) -> None:
    async with world(tmp_path, min_module_seconds=60) as w:
        job = await w.books().process(local_file_path=TEXT, file_name="a.txt")
        with pytest.raises(NotFinished, match="Nothing was changed") as caught:
            await w.books().update(file_id=job.file_id, file_name="b.txt")
        assert (caught.value.file_id, caught.value.pipeline) == (job.file_id, "books")
        await job
        assert await w.names(w.books()) == ["a.txt"]


async def test_an_update_whose_answer_was_lost_is_repeated(w: World) -> None:
    """The repeat finds the path taken by the file itself, which stands in nobody's way."""
    job = await w.done(w.books())
    w.fail(UPDATE, after=httpx.ReadError("connection reset"))
    await w.books().update(file_id=job.file_id, file_name="b.txt")
    assert w.sent.count(UPDATE) == 2
    assert await w.names(w.books()) == ["b.txt"]


BOTH = "symbolic_file_path was given together with file_name or symbolic_directory_path"


@pytest.mark.parametrize(
    ("given", "said", "kind"),
    [
        ({}, "nothing to change was given: pass one of file_name, symbolic_", InvalidArgument),
        ({"file_id": "abc", "file_name": "a.txt"}, "file_id is 'abc'", InvalidArgument),
        ({"file_id": None, "file_name": "a.txt"}, "file_id is NoneType", InvalidArgumentType),
        ({"file_name": 5}, "file_name is int", InvalidArgumentType),
        ({"file_name": "a.mp3"}, "'keyword-db') takes .txt", InvalidArgument),
        ({"file_name": "*.txt"}, "file_name is '*.txt'", InvalidArgument),
        ({"symbolic_directory_path": "/a/"}, "must not end with one", InvalidArgument),
        ({"symbolic_directory_path": "/a/*"}, "symbolic_directory_path is '/a/*'", InvalidArgument),
        ({"symbolic_file_path": "a.txt"}, "must be a folder and a name", InvalidArgument),
        ({"symbolic_file_path": "/a/b.txt", "file_name": "b.txt"}, BOTH, InvalidArgument),
        (
            {"symbolic_file_path": "/a/b.txt", "symbolic_directory_path": "/a"},
            BOTH,
            InvalidArgument,
        ),
        ({"file_tags": [{"a": "*"}]}, "file_tags holds '*'", InvalidArgument),
        ({"file_tags": {"a": "b"}}, "file_tags is dict", InvalidArgumentType),
        ({"file_description": "x" * 257}, "has 257 characters", InvalidArgument),
        ({"expire_time": 5}, "expire_time is 5 s", InvalidArgument),
        ({"expire_time": "1800"}, "expire_time is str", InvalidArgumentType),
        ({"file_name": "a.txt", "verbose": 1}, "verbose is int", InvalidArgumentType),
    ],
)
async def test_an_update_that_breaks_a_rule_is_not_sent(
    w: World, given: dict[str, Any], said: str, kind: type[KrixikError]
) -> None:
    with pytest.raises(kind) as caught:
        await w.books().update(**{"file_id": UNKNOWN, **given})
    assert said in str(caught.value)
    assert w.sent == []


# --- show_tree -------------------------------------------------------------------------------


async def filled(w: World) -> Any:
    pipeline = w.books()
    for path in ("/novels/n1/book 1.txt", "/novels/n0/book 0.txt", "/poems/p.txt", "/top.txt"):
        await pipeline.process(local_file_path=TEXT, symbolic_file_path=path)
        await w.clock.sleep(1)
    return pipeline


async def test_a_tree_shows_every_finished_file(w: World, capsys: Any) -> None:
    found = await (await filled(w)).show_tree()
    paths = ["/novels/n0/book 0.txt", "/novels/n1/book 1.txt", "/poems/p.txt", "/top.txt"]
    assert list(found) == paths
    assert found.render() == (
        "/\n"
        "├── /novels\n"
        "│   ├── /n0\n"
        "│   │   └── book 0.txt\n"
        "│   └── /n1\n"
        "│       └── book 1.txt\n"
        "├── /poems\n"
        "│   └── p.txt\n"
        "└── top.txt"
    )
    assert found.to_dict() == {
        "status_code": 200,
        "request_id": found.request_id,
        "message": "Successfully returned 4 items.",
        "warnings": [],
        "items": paths,
    }
    assert w.wire.bodies[-1] == {
        "pipeline": "books",
        "symbolic_directory_path": "/*",
        "max_files": 1000,
        "version": "1.1.19",
    }
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"symbolic_directory_path": "/Novels*"}, ["book 0.txt", "book 1.txt"]),
        ({"symbolic_directory_path": "/novels/n0"}, ["book 0.txt"]),
        ({"symbolic_directory_path": "/"}, ["top.txt"]),
        ({"max_files": 2, "verbose": False}, ["p.txt", "top.txt"]),
        ({"max_files": None}, ["book 0.txt", "book 1.txt", "p.txt", "top.txt"]),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
async def test_a_tree_shows_what_was_asked_for(
    w: World, given: dict[str, Any], names: list[str]
) -> None:
    """Up to max_files, the newest."""
    found = await (await filled(w)).show_tree(**given)
    assert [path.rpartition("/")[2] for path in found] == names


async def test_a_tree_of_nothing_says_what_returned_nothing(w: World) -> None:
    found = await w.books().show_tree(symbolic_directory_path="/none/*")
    zero = "WARNING: the following arguments returned zero results"
    assert found.to_dict() == {
        "status_code": 200,
        "request_id": found.request_id,
        "message": "Successfully returned 0 items.",
        "warnings": [{zero: [{"symbolic_directory_paths": ["/none/*"]}]}],
        "items": None,
    }
    assert (found.items, found.render()) == ((), "/")


@pytest.mark.parametrize(
    ("given", "said", "kind"),
    [
        ({"symbolic_directory_path": None}, "symbolic_directory_path is No", InvalidArgumentType),
        ({"symbolic_directory_path": "novels"}, "symbolic_directory_path is 'n", InvalidArgument),
        ({"symbolic_directory_path": "/*/a"}, "symbolic_directory_path is '/*/a'", InvalidArgument),
        ({"symbolic_directory_path": "//*"}, "symbolic_directory_path holds", InvalidArgument),
        ({"max_files": 0}, "max_files is 0", InvalidArgument),
        ({"max_files": True}, "max_files is bool", InvalidArgumentType),
        ({"verbose": None}, "verbose is NoneType", InvalidArgumentType),
    ],
)
async def test_a_tree_that_breaks_a_rule_is_not_asked_for(
    w: World, given: dict[str, Any], said: str, kind: type[KrixikError]
) -> None:
    with pytest.raises(kind) as caught:
        await w.books().show_tree(**given)
    assert said in str(caught.value)
    assert w.sent == []


@pytest.mark.parametrize(
    ("path", "method", "given"),
    [(UPDATE, "update", {"file_id": UNKNOWN, "file_name": "a.txt"}), (TREE, "show_tree", {})],
)
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (forbidden(), AuthenticationError),
        (says(500, {"request_id": "r", "message": "m"}), ServerError),
        (says(400, {"request_id": "r", "message": "m"}), RequestRejected),
    ],
)
async def test_refusals_are_errors_that_name_the_pipeline(
    w: World,
    path: str,
    method: str,
    given: dict[str, Any],
    answer: httpx.Response,
    kind: type[KrixikError],
) -> None:
    """Not dicts with another status, and never a KeyError for what the answer lacks."""
    w.fail(path, answer=answer, times=99)
    with pytest.raises(kind) as caught:
        await getattr(w.books(), method)(**given)
    assert caught.value.pipeline == "books"
