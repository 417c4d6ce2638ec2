"""Readers of what concerns one job: check-in, ticket, upload, status."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import attrs

from krixik_async._errors import RequestNotFound, RequestRejected, UploadRejected
from krixik_async._models import FailureStatus, OverallStatus, ProcessStatus
from krixik_async._reply import JSON, Reply
from krixik_async._wire._answers import (
    UPLOADED,
    json_object,
    narrow,
    refusal,
    says_not_found,
    text,
    text_or_none,
    unexpected,
)
from krixik_async._wire._requests import Endpoint

_FORM = "presigned_post_url_results"


@attrs.frozen(kw_only=True)
class Ticket:
    """Hold the right to upload one file: ids, and the form to post (its fields are secret).

    `reply` is the answer without the form: it lives on with the job, at the user's.
    """

    request_id: str
    file_id: str
    url: str = attrs.field(repr=False)
    fields: tuple[tuple[str, str], ...] = attrs.field(repr=False)
    reply: Reply = attrs.field(repr=False, eq=False)


def read_check_in(endpoint: Endpoint, reply: Reply) -> None:
    """Accept any 200; raise what anything else means."""
    error = refusal(endpoint, reply)
    if error is not None:
        raise error


def read_ticket(endpoint: Endpoint, reply: Reply) -> Ticket:
    """Give the ticket. Raises the refusal, or UnexpectedReply if the form is not there."""
    body = json_object(endpoint, reply)
    form = body.get(_FORM)
    request_id, file_id = body.get("request_id"), body.get("file_id")
    if not (isinstance(form, dict) and isinstance(request_id, str) and isinstance(file_id, str)):
        raise unexpected(endpoint, reply, "it holds no upload ticket")
    url, fields = form.get("url"), form.get("fields")
    if not (isinstance(url, str) and isinstance(fields, dict)):
        raise unexpected(endpoint, reply, "it holds no upload form")
    pairs = tuple((name, str(value)) for name, value in fields.items())
    kept = attrs.evolve(reply, body=json.dumps({**body, _FORM: None}).encode())
    return Ticket(request_id=request_id, file_id=file_id, url=url, fields=pairs, reply=kept)


def read_upload(reply: Reply) -> None:
    """Accept 204, the only success; raise UploadRejected for anything else."""
    if reply.status_code != UPLOADED:
        raise UploadRejected(
            f"the upload was answered with {reply.status_code} instead of {UPLOADED}",
            endpoint="upload",
            reply=reply,
        )


def read_flags(
    process_status: JSON, expected: Sequence[str] | None
) -> tuple[dict[str, bool], bool] | None:
    """Give (flags by label, all done), or None if this is no flags object.

    "module_1.parser" counts for "module_1"; several keys of one label are AND-ed; only the JSON
    literal true is done; where the chain is known, done means exactly its labels.
    """
    if not isinstance(process_status, dict) or not process_status:
        return None
    flags: dict[str, bool] = {}
    for key, value in process_status.items():
        label = key.partition(".")[0]
        flags[label] = flags.get(label, True) and value is True
    whole = expected is None or set(flags) == set(expected)
    return flags, whole and all(flags.values())


def read_status(
    endpoint: Endpoint,
    reply: Reply,
    *,
    pipeline: str,
    process_id: str,
    expected: Sequence[str] | None = None,
) -> ProcessStatus:
    """Give the status. Raises RequestNotFound for an id that is not on record."""
    try:
        body = json_object(endpoint, reply)
    except RequestRejected as error:
        if says_not_found(error):
            raise narrow(
                error,
                RequestNotFound,
                f"no process {process_id} is on record: the id is wrong, of another account, "
                "or its file was deleted or has expired",
            ) from None
        raise
    request_id, file_id = body.get("request_id"), body.get("file_id")
    if not (isinstance(request_id, str) and isinstance(file_id, str)):
        raise unexpected(endpoint, reply, "it names no request_id and file_id")
    modules, overall, failure = _read_progress(endpoint, reply, body, expected)
    return ProcessStatus(
        status_code=reply.status_code,
        request_id=request_id,
        file_id=file_id,
        message=text(body.get("message")),
        pipeline=pipeline,
        modules=modules,
        overall_status=overall,
        failure_status=failure,
        raw=body,
        reply=reply,
    )


def _read_progress(
    endpoint: Endpoint, reply: Reply, body: Mapping[str, JSON], expected: Sequence[str] | None
) -> tuple[dict[str, bool], OverallStatus, FailureStatus | None]:
    read = read_flags(body.get("process_status"), expected)
    failed = body.get("failure_status")
    if failed is not None:
        # A failure wins over whatever the flags say.
        raw = failed if isinstance(failed, dict) else {"failure": failed}
        failure = FailureStatus(
            process_id=text_or_none(raw.get("process_id")),
            failure_module=text_or_none(raw.get("failure_module")),
            message=text_or_none(raw.get("message")),
            raw=raw,
        )
        return (read[0] if read else {}), "failed", failure
    if read is None:
        raise unexpected(endpoint, reply, "it holds neither flags nor a failure")
    flags, done = read
    return flags, ("complete" if done else "ongoing"), None
