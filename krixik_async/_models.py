"""The values that callers get: frozen, typed, with the official client's shape on demand.

Invariants: nothing the service sent is dropped (`raw` and `reply` keep it); `to_dict()` gives a
fresh dict, key for key as the official client 1.1.19 returns it; values are never subscripted, so
that a migrated `result["file_id"]` fails with a sentence that says what to write instead.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Literal, NoReturn, TypeAlias

import attrs

from krixik_async._errors import KrixikError
from krixik_async._reply import JSON, Reply

JobState: TypeAlias = Literal[
    "pending", "complete", "failed", "expired", "deleted", "not_found", "error"
]
OverallStatus: TypeAlias = Literal["ongoing", "complete", "failed"]

VANISHED: frozenset[JobState] = frozenset({"expired", "deleted", "not_found"})


class Value:
    """Be the base of results: refuse subscripts with a sentence that teaches."""

    __slots__ = ()

    def __getitem__(self, key: object) -> NoReturn:
        has_it = isinstance(key, str) and hasattr(self, key)
        attribute = f".{key}, or " if has_it else ""
        raise TypeError(
            f"{type(self).__name__} is a typed value and takes no subscript: "
            f"write {attribute}.to_dict()[{key!r}]"
        )


@attrs.frozen(kw_only=True)
class JobRef:
    """Hold what is needed to find a job again, in this process or another; can be stored.

    Times are epoch seconds; `expires_at` is None where only the request_id is known.
    `module_count` is the length of the chain and `size_bytes` that of the file, where known.
    """

    request_id: str
    pipeline: str
    file_id: str | None = None
    submitted_at: float | None = None
    expires_at: float | None = None
    module_count: int | None = None
    size_bytes: int | None = None


@attrs.frozen(kw_only=True)
class FailureStatus:
    """Hold what the service says of a failure; `failure_module` ("module_1.parser") may be None.

    `message` is the reason, if the server gives one: the embedded one does, the hosted one doesn't.
    """

    process_id: str | None
    failure_module: str | None
    message: str | None = None
    raw: Mapping[str, JSON] = attrs.field(repr=False, eq=False, factory=dict)


@attrs.frozen(kw_only=True)
class ProcessStatus(Value):
    """Hold one answer to `process_status`; `request_id` is the id of that call, not of the job.

    `modules` maps "module_1", "module_2", ... to whether the module is done. It is empty after a
    failure, because the service then sends none.
    """

    status_code: int
    request_id: str
    file_id: str
    message: str
    pipeline: str
    modules: Mapping[str, bool]
    overall_status: OverallStatus
    failure_status: FailureStatus | None = None
    raw: Mapping[str, JSON] = attrs.field(repr=False, eq=False, factory=dict)
    reply: Reply | None = attrs.field(repr=False, eq=False, default=None)

    def to_dict(self) -> dict[str, JSON]:
        """Give the official dict: flags and overall_status, or failure_status and "failed"."""
        shape: dict[str, JSON] = {
            "status_code": self.status_code,
            "request_id": self.request_id,
            "file_id": self.file_id,
            "message": self.message,
            "pipeline": self.pipeline,
        }
        if self.failure_status is None:
            shape["process_status"] = dict(self.modules)
        else:
            shape["failure_status"] = copy.deepcopy(dict(self.failure_status.raw))
        shape["overall_status"] = self.overall_status
        return shape


@attrs.frozen(kw_only=True)
class JobOutcome:
    """Hold what is known of one job: its state, and the evidence for it.

    `state` is complete, failed, expired, deleted, not_found, pending or error. `modules` are the
    flags last seen, `last_status` is the last readable status, and `error` is what the last look
    raised, if it failed or found no record.
    """

    request_id: str
    state: JobState
    job: JobRef = attrs.field(repr=False)
    file_id: str | None = None
    modules: Mapping[str, bool] = attrs.field(factory=dict)
    failure_module: str | None = None
    last_status: ProcessStatus | None = attrs.field(default=None, repr=False)
    error: KrixikError | None = None

    @property
    def reply(self) -> Reply | None:
        """Give the raw answer that the state is based on; None if none came, or while pending."""
        if self.error is not None:
            return self.error.reply
        return None if self.last_status is None else self.last_status.reply

    @property
    def vanished(self) -> bool:
        """Tell whether the record is gone: expired, deleted or not_found."""
        return self.state in VANISHED

    @property
    def ended(self) -> bool:
        """Tell whether nothing more will be learned: every state but pending."""
        return self.state != "pending"


@attrs.frozen(kw_only=True)
class WaitStatistics:
    """Tell what a wait has cost, and how late it noticed the jobs' ends at most.

    A look that several waits share counts for each of them; retries of a request do not count. A
    job's delay bound is the seconds from the last look that found it unfinished to the answer that
    showed its end. `throttles` are the "too many requests" that the client got meanwhile.
    """

    jobs: int = 0
    status_requests: int = 0
    list_requests: int = 0
    throttles: int = 0
    delay_bound_mean_s: float = 0.0
    delay_bound_max_s: float = 0.0

    @property
    def requests(self) -> int:
        """Give the status and list requests together."""
        return self.status_requests + self.list_requests

    @property
    def requests_per_job(self) -> float:
        """Give the number of requests per job; 0.0 without jobs."""
        return self.requests / self.jobs if self.jobs else 0.0


@attrs.frozen(kw_only=True)
class Answer(Value):
    """Hold what every JSON answer carries; `request_id` is the id of the call."""

    status_code: int
    request_id: str
    message: str
    warnings: tuple[JSON, ...] = ()
    raw: Mapping[str, JSON] = attrs.field(repr=False, eq=False, factory=dict)
    reply: Reply | None = attrs.field(repr=False, eq=False, default=None)

    def to_dict(self) -> dict[str, JSON]:
        """Give the official dict: status_code, then the service's own keys."""
        return {"status_code": self.status_code, **copy.deepcopy(dict(self.raw))}


@attrs.frozen(kw_only=True)
class FileRecord(Value):
    """Hold one file on record, as `list` gives it; times are "YYYY-MM-DD HH:MM:SS" in UTC."""

    file_id: str
    process_id: str
    pipeline: str
    file_name: str
    symbolic_directory_path: str
    file_tags: tuple[Mapping[str, str], ...] = ()
    file_description: str = ""
    created_at: str = ""
    last_updated: str = ""
    expire_time: str = ""
    file_metadata: Mapping[str, JSON] = attrs.field(factory=dict, repr=False)
    raw: Mapping[str, JSON] = attrs.field(repr=False, eq=False, factory=dict)

    @property
    def symbolic_file_path(self) -> str:
        """Give directory and name as one path."""
        return f"{self.symbolic_directory_path.rstrip('/')}/{self.file_name}"

    def to_dict(self) -> dict[str, JSON]:
        """Give the service's own item."""
        return copy.deepcopy(dict(self.raw))


@attrs.frozen(kw_only=True)
class ListResult(Answer):
    """Hold the files that a `list` found; iterate over it or read `items`."""

    items: tuple[FileRecord, ...] = ()

    def __iter__(self) -> Iterator[FileRecord]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


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


@attrs.frozen(kw_only=True)
class UpdateResult(Answer):
    """Hold the confirmation that a file's metadata was changed."""

    pipeline: str = ""
    file_id: str = ""


@attrs.frozen(kw_only=True)
class CapResult(Answer):
    """Hold what the service says of the account's allowance: read `message` and `raw`."""


@attrs.frozen(kw_only=True)
class DeleteResult(Answer):
    """Hold the confirmation that a file and its record are gone."""

    pipeline: str = ""
    file_id: str = ""


@attrs.frozen(kw_only=True)
class ResetResult:
    """Hold what `reset_pipeline` did: the file_ids deleted, and an error for each that was not.

    `answers` are the deletions as the service confirmed them, each with its `reply`.
    """

    pipeline: str
    answers: tuple[DeleteResult, ...] = attrs.field(default=(), repr=False)
    failures: Mapping[str, KrixikError] = attrs.field(factory=dict)

    @property
    def deleted(self) -> tuple[str, ...]:
        """Give the file_ids that were deleted."""
        return tuple(answer.file_id for answer in self.answers)


@attrs.frozen(kw_only=True)
class Output(Answer):
    """Hold a pipeline's output on disk.

    `process_output_files` are the paths written. `process_output` is the parsed JSON if there is
    exactly one output, a .json smaller than 0.5 MB (the official client's rule); otherwise it is
    None, and you read the files.
    """

    pipeline: str = ""
    file_id: str = ""
    process_output: JSON = attrs.field(default=None, repr=False)
    process_output_files: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, JSON]:
        """Give the official dict, with the output and its files in their places.

        Where the service names no output there is none and no list of files either.
        """
        shape = super().to_dict()
        if shape.get("process_output") is None:
            return shape
        shape["message"] = self.message
        shape["process_output"] = copy.deepcopy(self.process_output)
        shape["process_output_files"] = list(self.process_output_files)
        return shape
