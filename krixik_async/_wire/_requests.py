"""The calls of the protocol as values, with the one codec that client and server share.

A request class lists its body's keys in wire order; `encode` is the client's side, `decode` the
server's, and both read the same fields, so neither can drift from the other. The facts (paths,
keys, their order, time-outs) are the official client's (1.1.19, read 2026-11).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

import attrs

from krixik_async._reply import JSON

PROTOCOL_VERSION = "1.1.19"
CONTENT_TYPE = "text/plain"
KEY_HEADER = "krixikApiKey"

R = TypeVar("R", bound="Request")


class MalformedBody(ValueError):
    """Say what is wrong with a request's body; the server answers 400 with it."""


@attrs.frozen
class Endpoint:
    """Name one API path.

    `attempt_timeout_s` bounds one try; `repeatable` tells whether asking again after a lost
    answer can do no harm (every call but the request for an upload ticket).
    """

    name: str
    path: str
    attempt_timeout_s: float
    repeatable: bool = True


# --- field kinds ---------------------------------------------------------------------------


@attrs.frozen
class Kind:
    """Say how a field is read from JSON (MalformedBody if it cannot be), and its JSON schema."""

    read: Callable[[JSON], Any]
    schema: Mapping[str, JSON]


def _read_text(value: JSON) -> str:
    if not isinstance(value, str):
        raise MalformedBody("must be a string")
    return value


def _read_integer(value: JSON) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise MalformedBody("must be a whole number")
    return value


def _read_pairs(value: JSON) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise MalformedBody("must hold objects of strings")
    return {key: str(text) for key, text in value.items()}


def _read_object(value: JSON) -> dict[str, JSON]:
    if not isinstance(value, dict):
        raise MalformedBody("must be an object")
    return value


_text = Kind(_read_text, {"type": "string"})
_integer = Kind(_read_integer, {"type": "integer"})
_pairs = Kind(_read_pairs, {"type": "object", "additionalProperties": {"type": "string"}})
_object = Kind(_read_object, {"type": "object"})


def _list_of(kind: Kind) -> Kind:
    def read(value: JSON) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise MalformedBody("must be a list")
        return tuple(kind.read(item) for item in value)

    return Kind(read, {"type": "array", "items": dict(kind.schema)})


def _or_null(kind: Kind) -> Kind:
    return Kind(
        lambda value: None if value is None else kind.read(value),
        {"anyOf": [dict(kind.schema), {"type": "null"}]},
    )


# Typed as attrs.field itself is: what is assigned in the class body is not what an instance holds.
def _field(kind: Kind) -> Any:  # noqa: ANN401 - see above
    return attrs.field(metadata={"kind": kind})


def _optional(kind: Kind) -> Any:  # noqa: ANN401 - see above
    return attrs.field(default=None, metadata={"kind": _or_null(kind), "nullable": True})


def _version() -> Any:  # noqa: ANN401 - see above
    return attrs.field(default=PROTOCOL_VERSION, metadata={"kind": _text}, repr=False)


# --- requests ------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Request:
    """Be the base of request bodies; `endpoint` is where it is posted."""

    endpoint: ClassVar[Endpoint]


@attrs.frozen(kw_only=True)
class CheckIn(Request):
    """Ask whether the api key is good; the body is the JSON string "{}", encoded twice."""

    endpoint = Endpoint("check_in", "/cli-checkin", 15.0)


@attrs.frozen(kw_only=True)
class Submit(Request):
    """Ask for an upload ticket for one file."""

    endpoint = Endpoint("process", "/krixik-core-process", 15.0, repeatable=False)

    pipeline: str = _field(_text)
    pipeline_ordered_modules: tuple[str, ...] = _field(_list_of(_text))
    pipeline_output_process_keys: tuple[str | None, ...] = _field(_list_of(_or_null(_text)))
    modules: Mapping[str, JSON] = _field(_object)
    version: str = _version()
    file_name: str = _field(_text)
    symbolic_directory_path: str = _field(_text)
    file_tags: tuple[Mapping[str, str], ...] = _field(_list_of(_pairs))
    file_description: str = _field(_text)
    expire_time: int = _field(_integer)


@attrs.frozen(kw_only=True)
class GetStatus(Request):
    """Ask how far a process is."""

    endpoint = Endpoint("process_status", "/krixik-core-process-status", 30.0)

    pipeline: str = _field(_text)
    version: str = _version()
    process_id: str = _field(_text)


@attrs.frozen(kw_only=True)
class FetchOutput(Request):
    """Ask for download links of a finished file's outputs."""

    endpoint = Endpoint("fetch_output", "/krixik-core-fetch-output", 60.0)

    pipeline: str = _field(_text)
    version: str = _version()
    file_id: str = _field(_text)


@attrs.frozen(kw_only=True)
class Delete(Request):
    """Ask to delete a finished file and its record."""

    endpoint = Endpoint("delete", "/krixik-core-delete", 60.0)

    pipeline: str = _field(_text)
    version: str = _version()
    file_id: str = _field(_text)


@attrs.frozen(kw_only=True)
class ListFiles(Request):
    """Ask for the records of finished files; selectors are OR-ed, timestamps AND-ed on top."""

    endpoint = Endpoint("list", "/krixik-core-list", 60.0)

    pipeline: str = _field(_text)
    version: str = _version()
    file_ids: tuple[str, ...] | None = _optional(_list_of(_text))
    file_names: tuple[str, ...] | None = _optional(_list_of(_text))
    symbolic_directory_paths: tuple[str, ...] | None = _optional(_list_of(_text))
    symbolic_file_paths: tuple[str, ...] | None = _optional(_list_of(_text))
    file_tags: tuple[Mapping[str, str], ...] | None = _optional(_list_of(_pairs))
    max_files: int = _field(_integer)
    created_at_start: int | None = _optional(_integer)
    created_at_end: int | None = _optional(_integer)
    last_updated_start: int | None = _optional(_integer)
    last_updated_end: int | None = _optional(_integer)


@attrs.frozen(kw_only=True)
class KeywordSearch(Request):
    """Ask for the places of keywords in the selected files; carries no version."""

    endpoint = Endpoint("keyword_search", "/keyword-search", 60.0)

    pipeline: str = _field(_text)
    pipeline_ordered_modules: tuple[str, ...] = _field(_list_of(_text))
    query: str = _field(_text)
    file_ids: tuple[str, ...] | None = _optional(_list_of(_text))
    file_names: tuple[str, ...] | None = _optional(_list_of(_text))
    symbolic_directory_paths: tuple[str, ...] | None = _optional(_list_of(_text))
    symbolic_file_paths: tuple[str, ...] | None = _optional(_list_of(_text))
    file_tags: tuple[Mapping[str, str], ...] | None = _optional(_list_of(_pairs))
    max_files: int = _field(_integer)
    created_at_start: int | None = _optional(_integer)
    created_at_end: int | None = _optional(_integer)
    last_updated_start: int | None = _optional(_integer)
    last_updated_end: int | None = _optional(_integer)


@attrs.frozen(kw_only=True)
class SemanticSearch(Request):
    """Ask for the snippets nearest in meaning, at most `k` a file; carries no version."""

    endpoint = Endpoint("semantic_search", "/semantic-search", 60.0)

    pipeline: str = _field(_text)
    pipeline_ordered_modules: tuple[str, ...] = _field(_list_of(_text))
    query: str = _field(_text)
    file_ids: tuple[str, ...] | None = _optional(_list_of(_text))
    file_names: tuple[str, ...] | None = _optional(_list_of(_text))
    symbolic_directory_paths: tuple[str, ...] | None = _optional(_list_of(_text))
    symbolic_file_paths: tuple[str, ...] | None = _optional(_list_of(_text))
    file_tags: tuple[Mapping[str, str], ...] | None = _optional(_list_of(_pairs))
    k: int = _field(_integer)
    max_files: int = _field(_integer)
    created_at_start: int | None = _optional(_integer)
    created_at_end: int | None = _optional(_integer)
    last_updated_start: int | None = _optional(_integer)
    last_updated_end: int | None = _optional(_integer)


@attrs.frozen(kw_only=True)
class Update(Request):
    """Ask to change a finished file's metadata; what is None stays as it is."""

    endpoint = Endpoint("update", "/krixik-core-update", 60.0)

    pipeline: str = _field(_text)
    version: str = _version()
    file_id: str = _field(_text)
    file_name: str | None = _optional(_text)
    symbolic_directory_path: str | None = _optional(_text)
    file_tags: tuple[Mapping[str, str], ...] | None = _optional(_list_of(_pairs))
    file_description: str | None = _optional(_text)
    expire_time: int | None = _optional(_integer)


@attrs.frozen(kw_only=True)
class ShowTree(Request):
    """Ask for the paths of finished files below a folder; the version comes last here."""

    endpoint = Endpoint("show_tree", "/krixik-core-show-tree", 60.0)

    pipeline: str = _field(_text)
    symbolic_directory_path: str = _field(_text)
    max_files: int | None = _optional(_integer)
    version: str = _version()


@attrs.frozen(kw_only=True)
class CheckCap(Request):
    """Ask how much of the account's allowance is left; of no pipeline in particular."""

    endpoint = Endpoint("check_cap", "/krixik-core-cap-check", 60.0)

    version: str = _version()
    pipeline: str | None = _optional(_text)
    pipeline_ordered_modules: tuple[str, ...] = attrs.field(
        default=(), metadata={"kind": _list_of(_text)}
    )


def encode(request: Request) -> bytes:
    """Give the body: JSON with ", " and ": ", ASCII escapes, keys in wire order."""
    if isinstance(request, CheckIn):
        return b'"{}"'
    # Member by member: nearly all are plain strings, for which `json` has a short way.
    members = [
        f'"{field.name}": {json.dumps(getattr(request, field.name))}'
        for field in attrs.fields(type(request))
    ]
    return f"{{{', '.join(members)}}}".encode("ascii")


def decode(kind: type[R], body: bytes) -> R:
    """Give the request in `body`; a missing nullable key counts as null, an unknown one is ignored.

    Raises MalformedBody naming the key and what it must be.
    """
    if issubclass(kind, CheckIn):
        return kind()
    try:
        parsed: JSON = json.loads(body)
    except (ValueError, RecursionError):
        raise MalformedBody("the body is not JSON") from None
    if not isinstance(parsed, dict):
        raise MalformedBody("the body is not a JSON object")
    values: dict[str, Any] = {}
    for field in attrs.fields(kind):
        if field.name not in parsed:
            if field.metadata.get("nullable"):
                continue
            raise MalformedBody(f"'{field.name}' is missing")
        try:
            values[field.name] = field.metadata["kind"].read(parsed[field.name])
        except MalformedBody as error:
            raise MalformedBody(f"'{field.name}' {error}") from None
    return kind(**values)


def body_schema(kind: type[Request]) -> dict[str, JSON]:
    """Give the JSON schema of a request's body, from the fields that `decode` reads."""
    if issubclass(kind, CheckIn):
        return {}
    fields = attrs.fields(kind)
    return {
        "type": "object",
        "properties": {field.name: dict(field.metadata["kind"].schema) for field in fields},
        "required": [field.name for field in fields if not field.metadata.get("nullable")],
    }
