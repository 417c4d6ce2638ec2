"""semantic search: the snippets of some files that are nearest to a query, picklable in and out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from krixik_async.server.runners import _vector_files
from krixik_async.server.runners._entries import read_entries
from krixik_async.server.runners._placeholder import vector_of
from krixik_async.server.runners._request import RunnerError, RunRequest
from krixik_async.server.runners._text_embedder import embed_query
from krixik_async.server.runners._vector_db import nearest

__all__ = ["Indexed", "search"]


@frozen
class Indexed:
    """Say how one file came to its index."""

    embedded: RunRequest
    """What text-embedder was asked: its snippets, their key, its model."""

    index: Path
    """What vector-db wrote; its rows are the snippets."""

    simulated: bool = False
    """Whether that was a placeholder: it is then read without FAISS, which need not be there."""


def search(query: str, files: Sequence[Indexed], k: int) -> list[list[dict[str, object]] | None]:
    """Give at most `k` `{"snippet", "line_numbers", "distance"}` a file, the nearest first.

    None stands for a file that is no longer there. `line_numbers` is empty where the snippets have
    none. Blocking; the model and a file's snippets are read whole.

    Raises:
        RunnerError: an embedder's weights are not on this machine.
    """
    vectors: dict[tuple[str, bool], Any] = {}
    for file in files:
        asked = file.embedded
        kind = (asked.model, asked.simulated)
        if kind not in vectors:
            simulated = asked.simulated
            vectors[kind] = (
                vector_of(query, asked.model) if simulated else embed_query(query, asked)
            )
    return [
        _search_one(file, vectors[file.embedded.model, file.embedded.simulated], k)
        for file in files
    ]


def _search_one(
    file: Indexed,
    vector: Any,  # noqa: ANN401 - an array, or a list where nothing but placeholders is there
    k: int,
) -> list[dict[str, object]] | None:
    look: Callable[..., list[tuple[int, float]]]
    look = _vector_files.nearest if file.simulated else nearest
    try:
        found = look(file.index, vector, k)
        entries = read_entries(file.embedded)
    except (RunnerError, OSError):
        # Deleted since it was chosen: as if it had been a moment earlier.
        return None
    return [
        {
            "snippet": entries[row].text,
            "line_numbers": entries[row].line_numbers or [],
            "distance": distance,
        }
        for row, distance in found
    ]
