"""The bodies of the server's answers: pure functions from what is known to what is said.

The keys, their order and the messages are the hosted service's, from the official documentation
and the official client's tests (1.1.19, read 2026-11). Where neither says anything (refusals of
bad input) the words are ours and begin with "BAD REQUEST: ".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import attrs

from krixik_async._catalogue import MODULES, OUTPUT_EXTENSIONS, labels, output_process_keys
from krixik_async._reply import JSON
from krixik_async._wire import (
    EXTENSION_IS_FIXED,
    FILE_NOT_FOUND,
    NO_FILES,
    NO_ITEMS,
    NOT_FINISHED,
    OTHER_FILE_HAS_PATH,
    PIPELINE_MISMATCH,
    PROCESS_NOT_FOUND,
    STATUS_FOUND,
    UPDATED,
    FetchOutput,
)
from krixik_async.server._records import Record

STOP_WORDS = (
    "WARNING: the following words in the query are in the stop_words list and thus no results "
    "will be returned for them"
)
NO_RESULTS = "WARNING: the following file_ids returned no results for the given query"
_IN_UTC = "Note: all timestamps in UTC."
# A refusal may quote what was sent; nobody needs more of it than this.
_LONGEST_MESSAGE = 1000


@attrs.frozen
class Answer:
    """Hold a status code and a JSON body."""

    status_code: int
    body: Mapping[str, JSON]


def utc(seconds: float) -> str:
    """Give "YYYY-MM-DD HH:MM:SS" in UTC."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%d %H:%M:%S")


def gateway(message: str) -> Answer:
    """Answer as an API gateway does before the service is reached: no request_id."""
    return Answer(403, {"message": message})


def refused(request_id: str, reason: str, *, status_code: int = 400) -> Answer:
    """Refuse a call; `reason` says what is wrong with it."""
    message = reason if reason.startswith("BAD REQUEST") else f"BAD REQUEST: {reason}"
    return Answer(
        status_code,
        {"request_id": request_id, "message": message[:_LONGEST_MESSAGE], "warnings": []},
    )


def busy(request_id: str, waiting: int) -> Answer:
    """Take no more files for now; words and status are ours."""
    message = f"TOO MANY REQUESTS: {waiting} files wait to be processed, try again later"
    return Answer(429, {"request_id": request_id, "message": message, "warnings": []})


def broken(request_id: str) -> Answer:
    """Admit a fault of the server; its log has the rest."""
    return Answer(500, {"request_id": request_id, "message": "FAILURE: internal server error"})


def checked_in(request_id: str) -> Answer:
    """Say that the key is good."""
    return Answer(200, {"request_id": request_id, "message": "SUCCESS"})


def ticket(record: Record, url: str, fields: Mapping[str, str]) -> Answer:
    """Give the form to upload with; the call's request_id is the process's from here on."""
    return Answer(
        200,
        {
            "request_id": record.process_id,
            "file_id": record.file_id,
            "message": "SUCCESS",
            "warnings": [],
            "presigned_post_url_results": {"url": url, "fields": dict(fields)},
        },
    )


def status(request_id: str, record: Record) -> Answer:
    """Say how far a process is, or where it failed."""
    flags: JSON = None
    failure: JSON = None
    if record.state == "failed":
        failure = {
            "process_id": record.process_id,
            "failure_module": record.failure_module,
            # The service has no such key; its clients hand on what they are given.
            "message": record.failure,
        }
    else:
        flags = {record.label(i): i < record.modules_done for i in range(len(record.chain))}
    return Answer(
        200,
        {
            "request_id": request_id,
            "file_id": record.file_id,
            "message": STATUS_FOUND,
            "process_status": flags,
            "failure_status": failure,
        },
    )


def process_not_found(request_id: str, process_id: str) -> Answer:
    """Say that there is no such process."""
    return Answer(400, {"request_id": request_id, "message": PROCESS_NOT_FOUND.format(process_id)})


def other_pipeline(request_id: str) -> Answer:
    """Say that the process belongs to another pipeline than the one named."""
    return refused(request_id, PIPELINE_MISMATCH)


def _about_file(status_code: int, request_id: str, pipeline: str, message: str) -> Answer:
    body: dict[str, JSON] = {
        "pipeline": pipeline,
        "request_id": request_id,
        "message": message,
        "warnings": [],
    }
    return Answer(status_code, body)


def _about_output(
    status_code: int, request_id: str, asked: FetchOutput, message: str, outputs: JSON
) -> Answer:
    body: dict[str, JSON] = {
        "pipeline": asked.pipeline,
        "request_id": request_id,
        "file_id": asked.file_id,
        "message": message,
        "warnings": [],
        # In refusals, too: without this key the official client returns None, and no message.
        "process_output": outputs,
    }
    return Answer(status_code, body)


def file_not_found(request_id: str, pipeline: str, file_id: str) -> Answer:
    """Say that the pipeline has no such file."""
    return _about_file(400, request_id, pipeline, FILE_NOT_FOUND.format(file_id))


def deleted(request_id: str, record: Record) -> Answer:
    """Say that a file is gone."""
    message = f"Successfully deleted file_id: {record.file_id}"
    return _about_file(200, request_id, record.pipeline, message)


def not_finished(request_id: str, record: Record) -> Answer:
    """Say that a file is still being processed and was left alone; a 200, as the service's."""
    return _about_file(200, request_id, record.pipeline, NOT_FINISHED)


def updated(request_id: str, record: Record) -> Answer:
    """Say that a file's metadata is changed."""
    return _about_file(200, request_id, record.pipeline, UPDATED)


def other_file_has_path(request_id: str, record: Record, path: str) -> Answer:
    """Say that a file cannot be moved to a path, for another has it."""
    return _about_file(400, request_id, record.pipeline, OTHER_FILE_HAS_PATH.format(path))


def extension_is_fixed(request_id: str, record: Record) -> Answer:
    """Say that a file's new name does not end as its old one does."""
    return _about_file(400, request_id, record.pipeline, EXTENSION_IS_FIXED)


def tree(request_id: str, paths: Sequence[str], warnings: Sequence[JSON]) -> Answer:
    """Give the paths in order; null if there is none, as the service's."""
    message = f"Successfully returned {len(paths)} {_plural('item', len(paths))}."
    items: list[JSON] = [*sorted(paths)]
    return Answer(
        200,
        {
            "request_id": request_id,
            "message": message,
            "warnings": list(warnings),
            "items": items or None,
        },
    )


def cap(request_id: str) -> Answer:
    """Say that nothing is capped here: what the service says is not public."""
    message = "SUCCESS: no cap applies to this embedded server"
    return Answer(200, {"request_id": request_id, "message": message, "warnings": []})


def output(request_id: str, asked: FetchOutput, record: Record, url: str) -> Answer:
    """Give the link to a finished file's output."""
    message = f"SUCCESS - output fetched for file_id {record.file_id}."
    link: JSON = {"url": url, "extension": record.output_extension}
    return _about_output(200, request_id, asked, message, [link])


def no_output_yet(request_id: str, asked: FetchOutput) -> Answer:
    """Say that the output is still being made; a 200, as the service's."""
    return _about_output(200, request_id, asked, NOT_FINISHED, None)


def no_output_ever(request_id: str, asked: FetchOutput, record: Record | None) -> Answer:
    """Say that there is no such file, or that processing it failed."""
    message = FILE_NOT_FOUND.format(asked.file_id)
    if record is not None:
        message = (
            f"FAILURE: file_id {record.file_id} has no output: processing it failed at "
            f"{record.failure_module}: {record.failure}"
        )
    return _about_output(400, request_id, asked, message, None)


def files(
    request_id: str, records: Sequence[Record], warnings: Sequence[JSON], *, by_ids: bool
) -> Answer:
    """List files; an unfinished file asked for by its id is told apart from an empty shelf."""
    return Answer(
        200,
        {
            "request_id": request_id,
            "message": returned(len(records), by_ids=by_ids),
            "warnings": list(warnings),
            "items": [_listed(record) for record in records],
        },
    )


def returned(count: int, *, by_ids: bool) -> str:
    """Say how many files a list has."""
    if not count:
        return NO_ITEMS if by_ids else NO_FILES
    return f"Successfully returned {count} {_plural('item', count)}.  {_IN_UTC}"


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"


def _listed(record: Record) -> JSON:
    return {
        "last_updated": utc(record.last_updated),
        "process_id": record.process_id,
        "created_at": utc(record.created_at),
        "file_metadata": _metadata(record),
        "file_tags": [dict(tag) for tag in record.file_tags],
        "file_description": record.file_description,
        "symbolic_directory_path": record.symbolic_directory_path,
        "pipeline": record.pipeline,
        "file_id": record.file_id,
        "expire_time": utc(record.ends_at),
        "file_name": record.file_name,
    }


def _metadata(record: Record) -> JSON:
    modules: dict[str, JSON] = {}
    for label, name in zip(labels(len(record.chain)), record.chain, strict=True):
        # As the service does, empty params are left out.
        modules[label] = {name: {k: v for k, v in record.modules[label].items() if v}}
    return {
        "modules": modules,
        "modules_data": dict(record.modules_data),
        "pipeline_ordered_modules": list(record.chain),
        "pipeline_output_process_keys": list(output_process_keys(record.chain)),
    }


def module_data(record: Record, position: int, said: Mapping[str, object]) -> dict[str, JSON]:
    """Give what a file's metadata keeps of one module's run; `said` is the runner's own."""
    name = record.chain[position]
    extension = OUTPUT_EXTENSIONS[MODULES[name].gives]
    about: dict[str, JSON] = {"data_files_extensions": [extension]}
    about.update({key: value for key, value in said.items() if isinstance(value, int)})
    return {labels(position + 1)[-1]: {name: about}}


def hits(
    request_id: str,
    found: Sequence[tuple[Record, list[JSON]]],
    *,
    matched: int,
    warnings: Sequence[JSON],
    stop_words: Sequence[str],
) -> Answer:
    """Give keyword hits by file: files without hits are named in a warning, not listed.

    `matched` is the number of files the query means, before max_files.
    """
    items = [_searched(record, results, "num_lines") for record, results in found if results]
    without: list[JSON] = [record.file_id for record, results in found if not results]
    said = list(warnings)
    if without:
        said.append({NO_RESULTS: without})
    if stop_words:
        said.append({STOP_WORDS: list(stop_words)})
    return _queried(request_id, items, matched, said)


def near(
    request_id: str,
    found: Sequence[tuple[Record, list[JSON] | None]],
    *,
    matched: int,
    warnings: Sequence[JSON],
) -> Answer:
    """Give nearest snippets by file: every file has some, unless it is gone by now (None).

    `matched` is the number of files the query means, before max_files.
    """
    items = [
        _searched(record, results, "num_vectors")
        for record, results in found
        if results is not None
    ]
    return _queried(request_id, items, matched, list(warnings))


def _queried(request_id: str, items: Sequence[JSON], matched: int, warnings: list[JSON]) -> Answer:
    if not matched:
        message = NO_FILES
    elif len(items) == matched:
        message = f"Successfully queried {matched} user {_plural('file', matched)}."
    else:
        message = (
            f"Successfully queried the first {len(items)} user files out of {matched} defined by "
            "input query arguments."
        )
    return Answer(
        200,
        {"request_id": request_id, "message": message, "warnings": warnings, "items": list(items)},
    )


def _searched(record: Record, results: list[JSON], counted: str) -> JSON:
    return {
        "file_id": record.file_id,
        "file_metadata": {
            "file_name": record.file_name,
            "symbolic_directory_path": record.symbolic_directory_path,
            "file_tags": [dict(tag) for tag in record.file_tags],
            counted: record.about(len(record.chain) - 1).get(counted, 0),
            "created_at": utc(record.created_at),
            "last_updated": utc(record.last_updated),
        },
        "search_results": results,
    }
