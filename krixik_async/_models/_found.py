"""What searches find: by keyword, by meaning, and by meaning in one row over all files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from krixik_async._models._answers import Answer
from krixik_async._reply import JSON


@attrs.frozen(kw_only=True)
class KeywordHit:
    """Hold one keyword found: line and position in the line, both counted from 1."""

    keyword: str
    line_number: int
    keyword_number: int
    raw: Mapping[str, JSON] = attrs.field(repr=False, eq=False, factory=dict)


@attrs.frozen(kw_only=True)
class SearchedFile:
    """Hold the metadata that a search gives of a file.

    A keyword search tells `num_lines`, a semantic search `num_vectors`; the other one is 0.
    """

    file_name: str
    symbolic_directory_path: str
    file_tags: tuple[Mapping[str, str], ...] = ()
    num_lines: int = 0
    num_vectors: int = 0
    created_at: str = ""
    last_updated: str = ""
    raw: Mapping[str, JSON] = attrs.field(repr=False, eq=False, factory=dict)


@attrs.frozen(kw_only=True)
class KeywordItem:
    """Hold one file's hits, ordered by line, then position."""

    file_id: str
    file_metadata: SearchedFile
    search_results: tuple[KeywordHit, ...]
    raw: Mapping[str, JSON] = attrs.field(repr=False, eq=False, factory=dict)


@attrs.frozen(kw_only=True)
class KeywordSearchResult(Answer):
    """Hold the files with hits; iterate over it or read `items`."""

    items: tuple[KeywordItem, ...] = ()

    def __iter__(self) -> Iterator[KeywordItem]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@attrs.frozen(kw_only=True)
class SemanticHit:
    """Hold one snippet near in meaning; `distance` is 0 (same direction) to 1 (opposite).

    `line_numbers`, counted from 1, are empty where the chain does not keep them.
    """

    snippet: str
    line_numbers: tuple[int, ...]
    distance: float
    raw: Mapping[str, JSON] = attrs.field(repr=False, eq=False, factory=dict)


@attrs.frozen(kw_only=True)
class SemanticItem:
    """Hold one file's nearest snippets, nearest first, at most k."""

    file_id: str
    file_metadata: SearchedFile
    search_results: tuple[SemanticHit, ...]
    raw: Mapping[str, JSON] = attrs.field(repr=False, eq=False, factory=dict)


@attrs.frozen(kw_only=True)
class SemanticSearchResult(Answer):
    """Hold the nearest snippets by file; iterate over it or read `items`."""

    items: tuple[SemanticItem, ...] = ()

    def __iter__(self) -> Iterator[SemanticItem]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@attrs.frozen(kw_only=True)
class GlobalHit:
    """Hold one snippet of a search sorted over all files, with the file that it is from."""

    snippet: str
    line_numbers: tuple[int, ...]
    distance: float
    file_id: str
    file_metadata: SearchedFile
    raw: Mapping[str, JSON] = attrs.field(repr=False, eq=False, factory=dict)


@attrs.frozen(kw_only=True)
class GlobalSearchResult(Answer):
    """Hold the nearest snippets of all files in one row, nearest first; not cut to k."""

    items: tuple[GlobalHit, ...] = ()

    def __iter__(self) -> Iterator[GlobalHit]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)
