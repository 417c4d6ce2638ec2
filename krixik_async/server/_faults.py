"""What can be made to go wrong, as values: a `Fault` says which calls it strikes, and how."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Literal, TypeAlias

import attrs

from krixik_async._errors import InvalidArgument
from krixik_async._numbers import shown
from krixik_async._reply import JSON
from krixik_async._wire import Request

UPLOAD, DOWNLOAD, ANY = "upload", "download", "*"
#: path -> the name under which a fault knows it
CALLS = {kind.endpoint.path: kind.endpoint.name for kind in Request.__subclasses__()}
ENDPOINTS = (*CALLS.values(), UPLOAD, DOWNLOAD)
_TICKET = "process"

RetryAfter: TypeAlias = Literal["seconds", "float", "date"]


def _names(at: str | Iterable[str]) -> tuple[str, ...]:
    return _several(at)


def _numbers(on: int | Iterable[int]) -> tuple[int, ...]:
    return _several(on)


def _several(given: object) -> tuple[Any, ...]:
    if isinstance(given, Iterable) and not isinstance(given, str):
        return tuple(given)
    # Also of what is wrong altogether: the validators say so in words.
    return (given,)


def _known(_: object, __: object, at: tuple[str, ...]) -> None:
    for name in at:
        if name != ANY and name not in ENDPOINTS:
            raise InvalidArgument(
                f"at names {shown(name)}, but a fault strikes at {', '.join(ENDPOINTS)} or {ANY!r}"
            )


def _counted(_: object, __: object, on: tuple[object, ...]) -> None:
    if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in on):
        raise InvalidArgument(f"on is {shown(on)} but counts matching calls: 1 is the first")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _chance(_: object, __: object, chance: float | None) -> None:
    if chance is not None and not (_is_number(chance) and 0 <= chance <= 1):
        raise InvalidArgument(f"probability is {shown(chance)} but must be 0 to 1, or None")


def _bound(_: object, field: attrs.Attribute[Any], bound: object) -> None:
    if bound is not None and (not isinstance(bound, int) or isinstance(bound, bool) or bound < 0):
        raise InvalidArgument(f"{field.name} is {shown(bound)} but must be a whole number, or None")


def _seconds(_: object, field: attrs.Attribute[Any], seconds: float) -> None:
    if not _is_number(seconds) or not 0 <= seconds <= sys.float_info.max:
        raise InvalidArgument(f"{field.name} is {shown(seconds)} but must be seconds, 0 or more")


def _pause(_: object, field: attrs.Attribute[Any], seconds: float | None) -> None:
    if seconds is not None:
        _seconds(_, field, seconds)


def _one_of(*allowed: str) -> Callable[[object, attrs.Attribute[Any], object], None]:
    def check(_: object, field: attrs.Attribute[Any], value: object) -> None:
        if value not in allowed:
            raise InvalidArgument(
                f"{field.name} is {shown(value)} but must be one of {', '.join(map(repr, allowed))}"
            )

    return check


def _true_or_false(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, bool):
        raise InvalidArgument(f"{field.name} is {shown(value)} but must be True or False")


def _json(_: object, field: attrs.Attribute[Any], value: object) -> None:
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgument(
            f"{field.name} is {type(value).__name__} but must be what JSON can hold: {error}"
        ) from error


def _status(_: object, __: object, status: object) -> None:
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise InvalidArgument(f"status is {shown(status)} but must be 200 to 599")


def _headers(_: object, __: object, headers: object) -> None:
    if not isinstance(headers, Mapping):
        raise InvalidArgument(f"headers is {shown(headers)} but must map names to values")
    for name, value in headers.items():
        text = f"{name}{value}"
        if not name or not text.isascii() or not text.isprintable():
            raise InvalidArgument(f"header {name!r} has characters that a header cannot hold")


@attrs.frozen
class Fault:
    """Say which calls a fault strikes: the base of all faults.

    `at` names the calls: one or several of "process" (the ticket), "upload", "process_status",
    "fetch_output", "download", "list", "update", "delete", "show_tree", "keyword_search",
    "semantic_search", "check_in", "check_cap", or "*" (all). Of these, `on` picks the n-th calls,
    from 1, and `probability` a random share; with neither, all are struck. `times` is how many are
    struck at most. Raises InvalidArgument for values that cannot be.
    """

    kind: ClassVar[str] = ""
    #: whether it goes together with others on one call; of the other kind the first one strikes
    adds: ClassVar[bool] = False

    at: tuple[str, ...] = attrs.field(default=(ANY,), converter=_names, validator=_known)
    on: tuple[int, ...] = attrs.field(
        default=(), converter=_numbers, validator=_counted, kw_only=True
    )
    probability: float | None = attrs.field(default=None, validator=_chance, kw_only=True)
    times: int | None = attrs.field(default=None, validator=_bound, kw_only=True)


@attrs.frozen
class Refuse(Fault):
    """Close the connection at once: the request is not read and not carried out."""

    kind = "refuse"


@attrs.frozen
class Delay(Fault):
    """Wait `seconds` before the call is carried out; adds to other faults."""

    kind, adds = "delay", True

    seconds: float = attrs.field(default=1.0, validator=_seconds, kw_only=True)


@attrs.frozen
class DropBefore(Fault):
    """Read the whole request, then close the connection: nothing is carried out."""

    kind = "drop_before"


@attrs.frozen
class DropAfter(Fault):
    """Carry the call out, then close the connection instead of answering."""

    kind = "drop_after"


@attrs.frozen
class Truncate(Fault):
    """Carry the call out and break off in the answer's body, by default in its middle.

    `after_bytes` of the body still go out. An answer that has no body is dropped whole.
    """

    kind = "truncate"

    after_bytes: int | None = attrs.field(default=None, validator=_bound, kw_only=True)


@attrs.frozen
class Corrupt(Fault):
    """Carry the call out and spoil the answer's body, its length kept.

    `how` is "not_json" (the first byte becomes "<") or "flip" (one byte in 64 is changed, at
    least one). An answer that has no body passes.
    """

    kind = "corrupt"

    how: Literal["not_json", "flip"] = attrs.field(
        default="not_json", validator=_one_of("not_json", "flip"), kw_only=True
    )


@attrs.frozen
class Throttle(Fault):
    """Answer "too many requests" without carrying the call out.

    `retry_after` seconds go out as whole seconds, as a decimal fraction or as an HTTP date (`form`
    "seconds", "float" or "date"); None leaves the header out. `status` is 429, or 503.
    """

    kind = "throttle"

    retry_after: float | None = attrs.field(default=1.0, validator=_pause, kw_only=True)
    form: RetryAfter = attrs.field(
        default="seconds",
        validator=_one_of("seconds", "float", "date"),
        kw_only=True,
    )
    status: int = attrs.field(default=429, validator=_status, kw_only=True)


@attrs.frozen
class Answer(Fault):
    """Answer with `status` instead of the server's own answer.

    `body` goes out as JSON, a str as it is; by default it is what an API gateway says: a message
    and no request_id. With `carry_out` the call is carried out first.
    """

    kind = "answer"

    status: int = attrs.field(default=500, validator=_status, kw_only=True)
    body: JSON = attrs.field(default=None, validator=_json, kw_only=True)
    headers: Mapping[str, str] = attrs.field(factory=dict, validator=_headers, kw_only=True)
    carry_out: bool = attrs.field(default=False, validator=_true_or_false, kw_only=True)


def _is_ticket(_: object, field: attrs.Attribute[Any], at: tuple[str, ...]) -> None:
    if at != (_TICKET,):
        raise InvalidArgument(
            f"{field.name} is {shown(at)}, but this fault is of tickets: {_TICKET!r}"
        )


@attrs.frozen
class _OfTicket(Fault):
    """Be the base of faults that a record has from its ticket on."""

    adds = True

    at: tuple[str, ...] = attrs.field(default=(_TICKET,), converter=_names, validator=_is_ticket)
    seconds: float = attrs.field(default=5.0, validator=_seconds, kw_only=True)


@attrs.frozen
class Lag(_OfTicket):
    """Let reads lag behind writes, for records whose tickets it strikes.

    For `seconds` after the ticket `process_status` does not find the record, and for `seconds`
    after it is complete `list` does not show it.
    """

    kind = "lag"


@attrs.frozen
class ExpireEarly(_OfTicket):
    """Let records whose tickets it strikes expire `seconds` after the ticket."""

    kind = "expire_early"


def _is_upload(_: object, field: attrs.Attribute[Any], at: tuple[str, ...]) -> None:
    if at != (UPLOAD,):
        raise InvalidArgument(
            f"{field.name} is {shown(at)}, but this fault is of uploads: {UPLOAD!r}"
        )


@attrs.frozen
class SpoilSecondUpload(Fault):
    """Let a second upload to one ticket ruin the record: the worst that it could do.

    What the hosted service does with one is not public. The upload is confirmed with 204, and the
    process fails, even if it was complete. `on` counts second uploads.
    """

    kind, adds = "spoil_second_upload", True

    at: tuple[str, ...] = attrs.field(default=(UPLOAD,), converter=_names, validator=_is_upload)


KINDS: Mapping[str, type[Fault]] = {
    kind.kind: kind
    for kind in (
        Refuse,
        Delay,
        DropBefore,
        DropAfter,
        Truncate,
        Corrupt,
        Throttle,
        Answer,
        Lag,
        ExpireEarly,
        SpoilSecondUpload,
    )
}
