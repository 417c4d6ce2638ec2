"""Readers of what concerns no file in particular: the tree, the account's cap."""

from __future__ import annotations

import json
from typing import Any

import pytest

from krixik_async._errors import AuthenticationError, RequestRejected, ServerError, UnexpectedReply
from krixik_async._models import CapResult
from krixik_async._reply import Reply
from krixik_async._tree import Tree
from krixik_async._wire import CheckCap, ShowTree, read_cap, read_tree


def reply(body: Any, status: int = 200) -> Reply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, {}, raw)


def tree(body: Any, status: int = 200) -> Tree:
    return read_tree(ShowTree.endpoint, reply(body, status))


def cap(body: Any, status: int = 200) -> CapResult:
    return read_cap(CheckCap.endpoint, reply(body, status))


@pytest.mark.parametrize("read", [tree, cap])
@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"message": "Forbidden"}, 403, AuthenticationError),
        ({"request_id": "r", "message": "m"}, 400, RequestRejected),
        ({"request_id": "r", "message": "m"}, 500, ServerError),
        (b"<html>bad gateway</html>", 502, ServerError),
        (b"<html>a proxy's</html>", 404, UnexpectedReply),
        ([], 200, UnexpectedReply),
    ],
)
def test_every_reader_goes_through_the_common_door(
    read: Any, body: Any, status: int, kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        read(body, status)


def test_a_tree_is_read_whole() -> None:
    body = {
        "request_id": "r",
        "message": "Successfully returned 2 items.",
        "warnings": [],
        "items": ["/novels/n0/book 0.txt", "/a.txt"],
        "new": 1,
    }
    found = tree(body)
    assert found == Tree(
        status_code=200,
        request_id="r",
        message="Successfully returned 2 items.",
        items=("/novels/n0/book 0.txt", "/a.txt"),
    )
    assert list(found.to_dict().items()) == [
        ("status_code", 200),
        ("items", ["/novels/n0/book 0.txt", "/a.txt"]),
        ("request_id", "r"),
        ("message", "Successfully returned 2 items."),
        ("warnings", []),
        ("new", 1),
    ]


@pytest.mark.parametrize("body", [{"items": None}, {"items": []}, {}])
def test_nothing_found_is_an_empty_tree(body: dict[str, Any]) -> None:
    """Null is the service's word for it, and its 200 may lack items altogether."""
    found = tree({"request_id": "r", "message": "m", "warnings": ["w"], **body})
    assert found == Tree(status_code=200, request_id="r", message="m", warnings=("w",))
    assert found.to_dict().get("items") == body.get("items")


@pytest.mark.parametrize("items", ["/a.txt", {"a": 1}, [None], ["/a.txt", 5]])
def test_items_that_are_no_paths_are_unexpected(items: Any) -> None:
    with pytest.raises(UnexpectedReply, match="its items are no paths"):
        tree({"request_id": "r", "items": items})


def test_the_cap_is_kept_as_it_comes() -> None:
    body = {"request_id": "r", "message": "m", "warnings": [], "left": {"files": 5}}
    said = cap(body)
    assert said == CapResult(status_code=200, request_id="r", message="m")
    assert said.to_dict() == {"status_code": 200, **body}
    assert cap({}) == CapResult(status_code=200, request_id="", message="")
