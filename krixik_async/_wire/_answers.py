"""The common door: what any raw answer means, before its body is read for what it says.

What counts as "not found" is kept narrow: a proxy's 404 page or a wrong api_url must be an error,
never a verdict about a job.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypedDict, TypeVar

from krixik_async._errors import (
    AuthenticationError,
    KrixikError,
    RateLimited,
    RequestRejected,
    ServerError,
    ServiceError,
    UnexpectedReply,
)
from krixik_async._reply import JSON, Reply
from krixik_async._wire._requests import Endpoint

STATUS_FOUND = "SUCCESS: process_status found"
PROCESS_NOT_FOUND = "process_id was not found - {}"
FILE_NOT_FOUND = "FAILURE: file_id not found - {}"
NOT_FINISHED = "The output for associated with your input file_id has not finished processing"
PIPELINE_MISMATCH = "pipeline of process_id does not match associated file pipeline"
NO_ITEMS = "No items found for input query arguments"
NO_FILES = "No files were found for the given query arguments"
SAME_NAME_OTHER_CHAIN = (
    "BAD REQUEST: you have at least one file on record with the same pipeline name"
)
PATH_TAKEN = (
    "BAD REQUEST: a file with this symbolic_directory_path and file_name already exists - {}"
)
UPDATED = "Successfully updated file metadata"
OTHER_FILE_HAS_PATH = "FAILURE: another file already has this symbolic_file_path - {}"
EXTENSION_IS_FIXED = "FAILURE: file extension cannot be updated"
FORBIDDEN = "Forbidden"

_NOT_FOUND_WORDS = re.compile(r"not found|does not exist|no record", re.IGNORECASE)
_REFUSALS = frozenset({400, 404, 409, 410, 422})
UPLOADED = 204
# Where a download link or an answer ends up in a message, this much of it is quoted.
_QUOTE = 120

E = TypeVar("E", bound=KrixikError)


def refusal(endpoint: Endpoint, reply: Reply) -> ServiceError | None:
    """Give the error that this reply means, or None for a 200 that has to be read on."""
    if reply.status_code == 200:
        return None
    body = reply.json_object() or {}
    request_id, words = body.get("request_id"), body.get("message")
    said = f": {words}" if isinstance(words, str) else ""
    kind, message = _judge(reply, isinstance(request_id, str), said, endpoint)
    return kind(
        message,
        request_id=request_id if isinstance(request_id, str) else None,
        endpoint=endpoint.name,
        reply=reply,
    )


def _judge(
    reply: Reply, speaks_protocol: bool, said: str, endpoint: Endpoint
) -> tuple[type[ServiceError], str]:
    status = reply.status_code
    where = f"{endpoint.name} was answered with {status}{said}"
    if status in (401, 403):
        return AuthenticationError, (
            f"{where}. The api key was rejected: check api_key and api_url "
            "(KRIXIK_API_KEY, KRIXIK_API_URL)"
        )
    if status == 429 or (status == 503 and "retry-after" in reply.headers):
        return RateLimited, f"{where}. The service asks for fewer requests"
    # 501: there is no such thing as this call where it was sent; that will not pass.
    if status >= 500 and status != 501:
        doubt = "" if speaks_protocol else " (or a proxy on the way; or api_url is of another)"
        return ServerError, f"{where}. The service failed{doubt}"
    if status in _REFUSALS and speaks_protocol:
        return RequestRejected, where
    hint = "a redirect" if 300 <= status < 400 else "not an answer of the Krixik protocol"
    return UnexpectedReply, f"{where}, {hint}: check api_url, or a proxy on the way"


def json_object(endpoint: Endpoint, reply: Reply) -> dict[str, JSON]:
    error = refusal(endpoint, reply)
    if error is not None:
        raise error
    body = reply.json_object()
    if body is None:
        raise unexpected(endpoint, reply, "the body is not a JSON object")
    return body


def unexpected(endpoint: Endpoint, reply: Reply, why: str) -> UnexpectedReply:
    quoted = reply.body[:_QUOTE].decode("utf-8", "replace")
    # The ticket and the output links hold secrets: quote nothing of those.
    secret = endpoint.name in ("process", "fetch_output")
    shown = "" if secret else f" (it begins: {quoted!r})"
    return UnexpectedReply(
        f"{endpoint.name} was answered with {reply.status_code}, but {why}{shown}",
        endpoint=endpoint.name,
        reply=reply,
    )


def narrow(error: RequestRejected, kind: type[E], explain: str) -> E:
    words = (error.reply.json_object() or {}).get("message") if error.reply else None
    return kind(
        f"{explain}. The service says: {words}",
        request_id=error.request_id,
        endpoint=error.endpoint,
        reply=error.reply,
    )


def says_not_found(error: RequestRejected) -> bool:
    """Tell whether a refusal means that the record is gone, and nothing else."""
    body = error.reply.json_object() if error.reply else None
    words = (body or {}).get("message")
    return (
        error.status_code in (400, 404, 410)
        and isinstance(words, str)
        and bool(_NOT_FOUND_WORDS.search(words))
        and PIPELINE_MISMATCH not in words
    )


def text_or_none(value: JSON) -> str | None:
    return value if isinstance(value, str) else None


def text(value: JSON) -> str:
    return value if isinstance(value, str) else ""


def tags(value: JSON) -> tuple[Mapping[str, str], ...]:
    if not isinstance(value, list):
        return ()
    return tuple(
        {key: str(text) for key, text in tag.items()} for tag in value if isinstance(tag, dict)
    )


class Answered(TypedDict):
    """Hold what every JSON answer has in common: the fields of `Answer`."""

    status_code: int
    request_id: str
    message: str
    warnings: tuple[JSON, ...]
    raw: Mapping[str, JSON]
    reply: Reply


def answered(reply: Reply, body: Mapping[str, JSON]) -> Answered:
    """Read what every JSON answer has in common."""
    warnings = body.get("warnings")
    return Answered(
        status_code=reply.status_code,
        request_id=text(body.get("request_id")),
        message=text(body.get("message")),
        warnings=tuple(warnings) if isinstance(warnings, list) else (),
        raw=body,
        reply=reply,
    )
