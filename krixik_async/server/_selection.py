"""Which files a query means: pure matching over records, with the warnings that go with it.

Ids, names, directories, file paths and tags are OR-ed, timestamps AND-ed on top, both ends
included. A name may have a "*" at either end, also the one in a file path, a directory one at its
end ("/home/*" is /home and what is below it), a tag's value may be "*". Empty lists choose nothing.
Ids count as not found if no finished file of the pipeline has them; other selectors returned zero
results if nothing they match is within the timestamps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import attrs

from krixik_async._errors import InvalidArgument
from krixik_async._reply import JSON
from krixik_async._selectors import MAX_SELECTED, check_max_files
from krixik_async._validation import check_tags
from krixik_async._wire import KeywordSearch, ListFiles, SemanticSearch
from krixik_async.server._records import Record

Query: TypeAlias = ListFiles | KeywordSearch | SemanticSearch

IDS_NOT_FOUND = "WARNING: the following file_ids were not found"
ZERO_RESULTS = "WARNING: the following arguments returned zero results"

_LISTS = ("file_ids", "file_names", "symbolic_directory_paths", "symbolic_file_paths")
_TIMES = ("created_at", "last_updated")


@attrs.frozen(kw_only=True)
class Selection:
    """Hold the files a query means, in the order they were given, and its warnings."""

    records: tuple[Record, ...]
    warnings: tuple[JSON, ...]


class _Texts:
    """Match texts against exact values and values with a "*" at an end."""

    def __init__(self, values: Iterable[str]) -> None:
        self._values = tuple(dict.fromkeys(values))
        self._exact = {value.lower() for value in self._values}
        self._wild = [value for value in self._values if value[:1] == "*" or value[-1:] == "*"]
        self._hit: set[str] = set()

    def matches(self, text: str, *, counts: bool) -> bool:
        hits = {value for value in self._wild if self._fits(value.lower(), text)}
        if text in self._exact:
            hits.add(text)
        if counts:
            self._hit |= hits
        return bool(hits)

    def _fits(self, pattern: str, text: str) -> bool:
        return _fits(pattern, text)

    def without_hits(self) -> list[JSON]:
        return [v for v in self._values if v not in self._hit and v.lower() not in self._hit]


class _Directories(_Texts):
    """Match directories; "/home/*" is /home, too.

    The official client 1.1.19 lets "/etc/*" pass, and nothing else below /etc: were it not /etc
    itself, where files are by default, it would mean nothing.
    """

    def _fits(self, pattern: str, text: str) -> bool:
        return _fits(pattern, f"{text}/")


class _Paths(_Texts):
    """Match symbolic file paths; the "*" is of the name, the folder is as it stands."""

    def __init__(self, values: Iterable[str]) -> None:
        super().__init__(values)
        names = ((value, value.rpartition("/")[2]) for value in self._values)
        self._wild = [value for value, name in names if name[:1] == "*" or name[-1:] == "*"]

    def _fits(self, pattern: str, text: str) -> bool:
        folder, _, name = pattern.rpartition("/")
        own_folder, _, own_name = text.rpartition("/")
        return folder == own_folder and _fits(name, own_name)


class _Tags:
    """Match a file's tags against pairs; a value of "*" is any."""

    def __init__(self, tags: Iterable[tuple[str, str]]) -> None:
        self._values = tuple(dict.fromkeys(tags))
        self._hit: set[tuple[str, str]] = set()

    def matches(self, record: Record, *, counts: bool) -> bool:
        own = {pair for tag in record.file_tags for pair in tag.items()}
        own |= {(key, "*") for key, _ in own}
        hits = own.intersection(self._values)
        if counts:
            self._hit |= hits
        return bool(hits)

    def without_hits(self) -> list[JSON]:
        return [{key: value} for key, value in self._values if (key, value) not in self._hit]


_BY_TEXT: dict[str, type[_Texts]] = {
    "file_names": _Texts,
    "symbolic_directory_paths": _Directories,
    "symbolic_file_paths": _Paths,
}


def _fits(pattern: str, text: str) -> bool:
    core = pattern.strip("*")
    if pattern.startswith("*") and pattern.endswith("*"):
        return core in text
    return text.endswith(core) if pattern.startswith("*") else text.startswith(core)


def check_query(query: Query) -> None:
    """Raise InvalidArgument for a query that breaks a limit or selects by nothing."""
    for name in _LISTS:
        values = getattr(query, name)
        if values is not None and len(values) > MAX_SELECTED:
            raise InvalidArgument(
                f"{name} holds {len(values)} entries but at most {MAX_SELECTED} are allowed"
            )
    if query.file_tags is not None:
        check_tags(query.file_tags, wildcard=True)
    check_max_files(query.max_files)
    selectors = [getattr(query, name) for name in (*_LISTS, "file_tags")]
    if all(value is None for value in (*selectors, *_bounds(query))):
        raise InvalidArgument(
            f"no selector was given: at least one of {', '.join(_LISTS)}, file_tags "
            "and the timestamps is needed"
        )


def only_ids(query: Query) -> tuple[str, ...] | None:
    """Give the file_ids if nothing else can bring in a file, else None."""
    others = (getattr(query, name) for name in (*_BY_TEXT, "file_tags"))
    return query.file_ids if query.file_ids and not any(others) else None


def select(records: Sequence[Record], query: Query) -> Selection:
    """Give the files among `records` (one pipeline's complete ones) that a checked query means."""
    tags = [pair for tag in query.file_tags or () for pair in tag.items()]
    matchers: dict[str, Any] = {
        name: kind(getattr(query, name)) for name, kind in _BY_TEXT.items() if getattr(query, name)
    }
    chosen_tags = _Tags((key.lower(), value.lower()) for key, value in tags)
    ids = frozenset(query.file_ids or ())
    by_time_alone = not (ids or matchers or tags) and any(v is not None for v in _bounds(query))
    chosen: list[Record] = []
    seen_ids: set[str] = set()
    for record in records:
        in_time = all(_within(record, query))
        seen_ids.add(record.file_id)
        hits = [
            by_time_alone,
            record.file_id in ids,
            chosen_tags.matches(record, counts=in_time),
            *(m.matches(_text(record, name), counts=in_time) for name, m in matchers.items()),
        ]
        if in_time and any(hits):
            chosen.append(record)
    missing: list[JSON] = [i for i in dict.fromkeys(query.file_ids or ()) if i not in seen_ids]
    if tags:
        matchers["file_tags"] = chosen_tags
    zero: list[JSON] = [
        {name: without} for name, m in matchers.items() if (without := m.without_hits())
    ]
    warnings: list[JSON] = [{IDS_NOT_FOUND: missing}] if missing else []
    if zero:
        warnings.append({ZERO_RESULTS: zero})
    return Selection(records=tuple(chosen), warnings=tuple(warnings))


def _text(record: Record, selector: str) -> str:
    if selector == "file_names":
        return record.file_name
    if selector == "symbolic_directory_paths":
        return record.symbolic_directory_path
    return record.symbolic_file_path


def _bounds(query: Query) -> Iterator[int | None]:
    for name in _TIMES:
        yield getattr(query, f"{name}_start")
        yield getattr(query, f"{name}_end")


def _within(record: Record, query: Query) -> Iterator[bool]:
    for name in _TIMES:
        # Whole seconds, as they are shown.
        seconds = int(getattr(record, name))
        start, end = getattr(query, f"{name}_start"), getattr(query, f"{name}_end")
        yield (start is None or start <= seconds) and (end is None or seconds <= end)
