"""Krixik for asyncio and trio: send files, know when they are done, lose nothing.

The house, from the ground up; a room uses only the rooms above it in this list:

    _errors _reply _clock _offload _tasks       the ground: values, time, threads, tasks
    _models _catalogue _wire                    the protocol, without I/O
    _validation _selectors _config              the rules for what callers pass
    _submit _policy _polling                    exchanges and schedules, without I/O
    _results _waiting                           what a wait is and gives back
    _transport                                  the only room that talks HTTP
    _session _sending _fetching                 short flows over it
    _job _files _pipeline _client               what callers hold
    server _cli                                 the embedded server, the command line
"""

from krixik_async._client import Krixik
from krixik_async._errors import (
    AnswerLost,
    AuthenticationError,
    ClientClosed,
    ConnectFailed,
    DownloadInterrupted,
    DownloadRejected,
    FileChanged,
    FileRecordNotFound,
    InvalidArgument,
    InvalidArgumentType,
    JobError,
    JobsFailed,
    KrixikError,
    MissingExtra,
    NotFinished,
    ProcessFailed,
    RateLimited,
    RequestNotFound,
    RequestRejected,
    RequestVanished,
    SaveFailed,
    ServerError,
    ServiceError,
    SubmitUncertain,
    TransportError,
    UnexpectedReply,
    UploadInterrupted,
    UploadRejected,
    WaitTimeout,
)
from krixik_async._job import Job
from krixik_async._models import (
    DeleteResult,
    FailureStatus,
    FileRecord,
    JobOutcome,
    JobRef,
    KeywordHit,
    KeywordItem,
    KeywordSearchResult,
    ListResult,
    Output,
    ProcessStatus,
    ResetResult,
    SearchedFile,
)
from krixik_async._pipeline import Pipeline
from krixik_async._policy import wait_sqrt
from krixik_async._reply import Reply
from krixik_async._results import WaitResult
from krixik_async._version import __version__
from krixik_async._waiting import AsCompleted

__all__ = [
    "AnswerLost",
    "AsCompleted",
    "AuthenticationError",
    "ClientClosed",
    "ConnectFailed",
    "DeleteResult",
    "DownloadInterrupted",
    "DownloadRejected",
    "FailureStatus",
    "FileChanged",
    "FileRecord",
    "FileRecordNotFound",
    "InvalidArgument",
    "InvalidArgumentType",
    "Job",
    "JobError",
    "JobOutcome",
    "JobRef",
    "JobsFailed",
    "KeywordHit",
    "KeywordItem",
    "KeywordSearchResult",
    "Krixik",
    "KrixikError",
    "ListResult",
    "MissingExtra",
    "NotFinished",
    "Output",
    "Pipeline",
    "ProcessFailed",
    "ProcessStatus",
    "RateLimited",
    "Reply",
    "RequestNotFound",
    "RequestRejected",
    "RequestVanished",
    "ResetResult",
    "SaveFailed",
    "SearchedFile",
    "ServerError",
    "ServiceError",
    "SubmitUncertain",
    "TransportError",
    "UnexpectedReply",
    "UploadInterrupted",
    "UploadRejected",
    "WaitResult",
    "WaitTimeout",
    "__version__",
    "wait_sqrt",
]
