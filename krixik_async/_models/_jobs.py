"""What is known of jobs: the reference to one, one look at it, its outcome, the cost of a wait."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Literal, TypeAlias

import attrs

from krixik_async._errors import KrixikError
from krixik_async._models._value import Value
from krixik_async._reply import JSON, Reply

JobState: TypeAlias = Literal[
    "pending", "complete", "failed", "expired", "deleted", "not_found", "error"
]
OverallStatus: TypeAlias = Literal["ongoing", "complete", "failed"]

VANISHED: frozenset[JobState] = frozenset({"expired", "deleted", "not_found"})


# Without weak references: a hundred thousand of them are held at once.
@attrs.frozen(kw_only=True, weakref_slot=False)
class JobRef:
    """Hold what is needed to find a job again, in this process or another; can be stored.

    Times are epoch seconds; `expires_at` is None where only the request_id is known.
    `module_count` is the length of the chain and `size_bytes` that of the file, where known.
    `account` stands for the api key and url that the job was sent with, without revealing either:
    clients of another account refuse it. If only the key has changed, set it to None.
    """

    request_id: str
    pipeline: str
    file_id: str | None = None
    submitted_at: float | None = None
    expires_at: float | None = None
    module_count: int | None = None
    size_bytes: int | None = None
    account: str | None = None


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
    raised, if it failed or found no record. `file_id` is empty only if a bare request_id was waited
    for and no answer has told it.
    """

    request_id: str
    state: JobState
    job: JobRef = attrs.field(repr=False)
    file_id: str = ""
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
    def ok(self) -> bool:
        """Tell whether it is complete: its output can be fetched."""
        return self.state == "complete"

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
