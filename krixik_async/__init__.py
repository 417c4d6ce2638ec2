"""Krixik for asyncio and trio: send files, know when they are done, lose nothing.

The house, from the ground up; a room uses only the rooms before it in this list, but for what only
annotations name, and for the server that `Krixik.local` starts:

    _version _reply _errors _closing            the ground: values, ends,
    _tasks _clock _offload                      ... tasks, time, threads
    _models _tree _catalogue _wire              the protocol, without I/O
    _validation _selectors _config _description the rules for what callers pass
    _contents _arguments _paging                ... and for how they pass and read it
    _sources _conversion                        what a file is read from
    _law _timing _sketch _durations             how long jobs take, and when to look
    _numbers _explaining _poll_policy
    _submit _evidence _strategies _polling      exchanges and schedules, without I/O
    _results _waiting _streaming _watching      what a wait is and gives back
    _progress                                   ... and how it is drawn
    _transport                                  the only room that talks HTTP
    _asking _session _sending _fetching         short flows over it
    _journal _bulk                              many files, each step written down
    _job _files _searching _pipeline _resetting what callers hold
    _account _client
    typing                                      what signatures call by a short name
    server testing                              the embedded server, tools for users' own tests
    _commands _cli                              the command line

A name is loaded when it is asked for; `import krixik_async` by itself takes a few milliseconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from krixik_async._version import __version__

if TYPE_CHECKING:
    from krixik_async._bulk import BulkOutcome, BulkStream, FileInput
    from krixik_async._client import Krixik
    from krixik_async._durations import Durations
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
        JournalDamaged,
        JournalError,
        JournalMismatch,
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
    from krixik_async._explaining import Explanation
    from krixik_async._job import Job
    from krixik_async._models import (
        CapResult,
        DeleteResult,
        FailureStatus,
        FileRecord,
        GlobalHit,
        GlobalSearchResult,
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
        SemanticHit,
        SemanticItem,
        SemanticSearchResult,
        UpdateResult,
        WaitStatistics,
    )
    from krixik_async._paging import Pager
    from krixik_async._pipeline import Pipeline
    from krixik_async._poll_policy import JobView, PollGuards, PollPolicy, PollState
    from krixik_async._polling import PaceChanged
    from krixik_async._progress import ProgressDisplay
    from krixik_async._reply import Reply
    from krixik_async._results import WaitResult
    from krixik_async._strategies import wait_sqrt
    from krixik_async._streaming import AsCompleted
    from krixik_async._tree import Tree
    from krixik_async._watching import (
        JobEnded,
        LookFailed,
        ModuleDone,
        Watch,
        WatchTimedOut,
    )

__all__ = [
    "AnswerLost",
    "AsCompleted",
    "AuthenticationError",
    "BulkOutcome",
    "BulkStream",
    "CapResult",
    "ClientClosed",
    "ConnectFailed",
    "DeleteResult",
    "DownloadInterrupted",
    "DownloadRejected",
    "Durations",
    "Explanation",
    "FailureStatus",
    "FileChanged",
    "FileInput",
    "FileRecord",
    "FileRecordNotFound",
    "GlobalHit",
    "GlobalSearchResult",
    "InvalidArgument",
    "InvalidArgumentType",
    "Job",
    "JobEnded",
    "JobError",
    "JobOutcome",
    "JobRef",
    "JobView",
    "JobsFailed",
    "JournalDamaged",
    "JournalError",
    "JournalMismatch",
    "KeywordHit",
    "KeywordItem",
    "KeywordSearchResult",
    "Krixik",
    "KrixikError",
    "ListResult",
    "LookFailed",
    "MissingExtra",
    "ModuleDone",
    "NotFinished",
    "Output",
    "PaceChanged",
    "Pager",
    "Pipeline",
    "PollGuards",
    "PollPolicy",
    "PollState",
    "ProcessFailed",
    "ProcessStatus",
    "ProgressDisplay",
    "RateLimited",
    "Reply",
    "RequestNotFound",
    "RequestRejected",
    "RequestVanished",
    "ResetResult",
    "SaveFailed",
    "SearchedFile",
    "SemanticHit",
    "SemanticItem",
    "SemanticSearchResult",
    "ServerError",
    "ServiceError",
    "SubmitUncertain",
    "TransportError",
    "Tree",
    "UnexpectedReply",
    "UpdateResult",
    "UploadInterrupted",
    "UploadRejected",
    "WaitResult",
    "WaitStatistics",
    "WaitTimeout",
    "Watch",
    "WatchTimedOut",
    "__version__",
    "wait_sqrt",
]

# Or a type checker would believe any name to be here.
if not TYPE_CHECKING:  # pragma: no branch - it is never true where code runs
    # From the ground up: what is loaded on the way to a name is what its room needs anyway.
    _HOMES = (
        "_errors",
        "_reply",
        "_models",
        "_tree",
        "_durations",
        "_explaining",
        "_poll_policy",
        "_strategies",
        "_results",
        "_progress",
        "_streaming",
        "_watching",
        "_paging",
        "_job",
        "_pipeline",
        "_client",
        "_bulk",  # brings a database, which no other room needs
    )

    def __getattr__(name: str) -> object:
        """Load a public name at its first use (PEP 562)."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        homes = (vars(import_module(f"{__name__}.{home}")) for home in _HOMES)
        found = globals()[name] = next(home[name] for home in homes if name in home)
        return found

    def __dir__() -> list[str]:
        """Name what is here and what would be loaded."""
        return sorted({*globals(), *__all__})
