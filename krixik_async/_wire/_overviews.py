"""Readers of what concerns no file in particular: the tree of a pipeline, the account's cap."""

from __future__ import annotations

from krixik_async._models import CapResult
from krixik_async._reply import Reply
from krixik_async._tree import Tree
from krixik_async._wire._answers import answered, json_object, text, unexpected
from krixik_async._wire._requests import Endpoint


def read_tree(endpoint: Endpoint, reply: Reply) -> Tree:
    """Give the paths found; null, the service's word for none, is an empty tree."""
    body = json_object(endpoint, reply)
    items = body.get("items")
    if items is None:
        items = []
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise unexpected(endpoint, reply, "its items are no paths")
    return Tree(**answered(reply, body), items=tuple(text(item) for item in items))


def read_cap(endpoint: Endpoint, reply: Reply) -> CapResult:
    """Give what the service says of the account's allowance; its keys are not public."""
    return CapResult(**answered(reply, json_object(endpoint, reply)))
