"""The rules for choosing files on record: what `list` and the searches take.

At least one selector is needed. Ids, names, directories, file paths and tags are OR-ed by the
service, timestamps AND-ed on top. Names may have a "*" at either end, directories one at the end
("/*" is everything), a tag's value may be "*". Facts: the official client, 1.1.19.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias, TypedDict

from krixik_async._catalogue import EXTENSIONS, input_format
from krixik_async._errors import InvalidArgument, InvalidArgumentType
from krixik_async._validation import (
    MAX_DIRECTORY_PATH,
    MAX_FILE_NAME,
    check_directory,
    check_id,
    check_tags,
    kind_of,
    refuse_etc,
    require_text,
    split_symbolic_path,
)

MAX_SELECTED = 500
MAX_FILES = (1, 10_000)
DEFAULT_MAX_FILES = 1000
QUERY_CHARACTERS = (2, 256)
SORT_ORDERS = ("descending", "ascending")
# One row over all files, by distance: of semantic_search only.
GLOBAL_ORDER = "global"
NEAREST = (1, 10)
DEFAULT_NEAREST = 5

Tags: TypeAlias = Sequence[Mapping[str, str]]


class FileSelectors(TypedDict, total=False):
    """Hold what chooses files on record; see `Pipeline.list`."""

    file_ids: Iterable[str] | None
    file_names: Iterable[str] | None
    symbolic_directory_paths: Iterable[str] | None
    symbolic_file_paths: Iterable[str] | None
    file_tags: Tags | None
    created_at_start: str | None
    created_at_end: str | None
    last_updated_start: str | None
    last_updated_end: str | None


class Selectors(FileSelectors, total=False):
    """Hold what chooses files on record, and how many at most."""

    max_files: int


_QUERY_NAME = re.compile(r"\*?[a-zA-Z0-9 _,.\-]+\*?")
_STUMP = re.compile(r"/|(/[a-zA-Z0-9 _\-]+)+/?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}")
_MOMENT = re.compile(_DATE.pattern + r" +[0-9]{1,2}(:[0-9]{1,2}){2}")
# Of the official client 1.1.19; the last day is one that it refuses.
FIRST_MOMENT = datetime(2023, 1, 1, tzinfo=UTC)
END_OF_TIME = datetime(9999, 12, 31, tzinfo=UTC)


def check_selection(chain: Sequence[str], selectors: FileSelectors) -> dict[str, Any]:
    """Give the selectors as the wire wants them, or raise for the first that breaks a rule.

    None, and what is left out, means not given.
    """
    given: Mapping[str, object] = {**selectors}
    tags = given.get("file_tags")
    selection: dict[str, Any] = {
        "file_ids": _each("file_ids", given, lambda i: check_id("file_ids", i)),
        "file_names": _each("file_names", given, lambda n: query_name(n, chain)),
        "symbolic_directory_paths": _each("symbolic_directory_paths", given, query_directory),
        "symbolic_file_paths": _each(
            "symbolic_file_paths", given, lambda p: query_file_path(p, chain)
        ),
        "file_tags": None if tags is None else check_tags(tags, wildcard=True),
        "max_files": check_max_files(given.get("max_files", DEFAULT_MAX_FILES)),
        **_period("created_at", given),
        **_period("last_updated", given),
    }
    if all(value is None for name, value in selection.items() if name != "max_files"):
        raise InvalidArgument(
            "no selector was given: pass file_ids, file_names, symbolic_directory_paths, "
            "symbolic_file_paths, file_tags or a timestamp; "
            'symbolic_directory_paths=["/*"] selects everything'
        )
    return selection


def _each(
    name: str, given: Mapping[str, object], check: Callable[[object], str]
) -> tuple[str, ...] | None:
    values = given.get(name)
    if values is None:
        return None
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise InvalidArgumentType(f"{name} is {kind_of(values)} but must be a list of str")
    checked = tuple(check(value) for value in values)
    if not 1 <= len(checked) <= MAX_SELECTED:
        raise InvalidArgument(
            f"{name} holds {len(checked)} entries but must hold 1 to {MAX_SELECTED}: "
            "leave it out, or ask in parts"
        )
    return checked


def query_name(value: object, chain: Sequence[str]) -> str:
    """Give a file name for a query in lower case; "*" may stand at either end, not alone."""
    name = require_text("file_names", value)
    if len(name) > MAX_FILE_NAME or not _QUERY_NAME.fullmatch(name):
        raise InvalidArgument(
            f"file_names holds {name[:80]!r}: a name has 1 to {MAX_FILE_NAME} letters a-z, digits, "
            "blanks and _ , . - with at most one '*' at each end"
        )
    allowed = EXTENSIONS[input_format(chain)]
    if not name.endswith("*") and not name.lower().endswith(allowed):
        raise InvalidArgument(
            f"file_names holds {name!r}: it must end in one of {', '.join(allowed)}, or in '*'"
        )
    return name.lower()


def query_directory(value: object, *, name: str = "symbolic_directory_paths") -> str:
    """Give a directory for a query in lower case; a "*" may stand at the end."""
    path = require_text(name, value)
    if not path.endswith("*"):
        return check_directory(path, name=name)
    if len(path) > MAX_DIRECTORY_PATH or not _STUMP.fullmatch(path[:-1]):
        raise InvalidArgument(
            f"{name} holds {path[:150]!r}: a folder must start with '/', have at most "
            f"{MAX_DIRECTORY_PATH} letters a-z, digits, blanks, _ and - between single slashes, "
            "and at most one '*', at its end"
        )
    if path.lower() != "/etc/*":
        refuse_etc(path, name=name)
    return path.lower()


def query_file_path(value: object, chain: Sequence[str]) -> str:
    """Give a symbolic file path for a query in lower case; "*" at either end of the name alone."""
    directory, name = split_symbolic_path(require_text("symbolic_file_paths", value))
    if name == "*":
        raise InvalidArgument(
            f"symbolic_file_paths holds {value!r}: '*' alone is no name; use "
            "symbolic_directory_paths for all files of a folder"
        )
    folder = check_directory(directory, name="symbolic_file_paths")
    return f"{folder.rstrip('/')}/{query_name(name, chain)}"


def check_max_files(value: object, *, name: str = "max_files") -> int:
    """Give max_files back, or raise: a whole number of 1 to 10000."""
    return _check_whole(name, value, MAX_FILES)


def check_nearest(value: object) -> int:
    """Give k back, or raise: a whole number of 1 to 10."""
    return _check_whole("k", value, NEAREST)


def _check_whole(name: str, value: object, limits: tuple[int, int]) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidArgumentType(f"{name} is {kind_of(value)} but must be a whole number")
    low, high = limits
    if not low <= value <= high:
        raise InvalidArgument(f"{name} is {value} but must be {low} to {high}")
    return value


def check_sort_order(value: object, *, allowed: Sequence[str] = SORT_ORDERS) -> str:
    """Give "descending" or "ascending"; None counts as the default, "descending"."""
    if value is None:
        return SORT_ORDERS[0]
    if value not in allowed:
        raise InvalidArgument(f"sort_order is {value!r} but must be one of {tuple(allowed)}")
    return str(value)


def check_query(value: object) -> str:
    """Give the query back as it is: 2 to 256 characters, the blanks around it not counted."""
    query = require_text("query", value)
    low, high = QUERY_CHARACTERS
    if not low <= len(query.strip()) <= high:
        raise InvalidArgument(
            f"query has {len(query.strip())} characters but must have {low} to {high}"
        )
    return query


def _period(name: str, given: Mapping[str, object]) -> dict[str, int | None]:
    start, end = given.get(f"{name}_start"), given.get(f"{name}_end")
    first = None if start is None else _seconds(f"{name}_start", start, "00:00:00")
    last = None if end is None else _seconds(f"{name}_end", end, "23:59:59")
    if first is not None and last is not None and first > last:
        raise InvalidArgument(
            f"{name}_start ({start}) is after {name}_end ({end}): exchange the two"
        )
    return {f"{name}_start": first, f"{name}_end": last}


def _seconds(name: str, value: object, time_of_day: str) -> int:
    text = require_text(name, value)
    try:
        if _DATE.fullmatch(text):
            text = f"{text} {time_of_day}"
        if not _MOMENT.fullmatch(text):
            raise ValueError
        moment = datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        raise InvalidArgument(
            f"{name} is {value!r} but must be 'YYYY-MM-DD' or 'YYYY-MM-DD HH:MM:SS', in UTC"
        ) from None
    if not FIRST_MOMENT <= moment < END_OF_TIME:
        raise InvalidArgument(f"{name} is {value!r} but must be from 2023-01-01 to 9999-12-30")
    return int(moment.timestamp())
