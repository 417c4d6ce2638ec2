"""The values that callers get: frozen, typed, with the official client's shape on demand.

Invariants: nothing the service sent is dropped (`raw` and `reply` keep it); `to_dict()` gives a
fresh dict, key for key as the official client 1.1.19 returns it; values are never subscripted, so
that a migrated `result["file_id"]` fails with a sentence that says what to write instead.
"""

from __future__ import annotations

from krixik_async._models._answers import (
    Answer,
    CapResult,
    DeleteResult,
    FileRecord,
    ListResult,
    Output,
    ResetResult,
    UpdateResult,
)
from krixik_async._models._found import (
    GlobalHit,
    GlobalSearchResult,
    KeywordHit,
    KeywordItem,
    KeywordSearchResult,
    SearchedFile,
    SemanticHit,
    SemanticItem,
    SemanticSearchResult,
)
from krixik_async._models._jobs import (
    VANISHED,
    FailureStatus,
    JobOutcome,
    JobRef,
    JobState,
    OverallStatus,
    ProcessStatus,
    WaitStatistics,
)
from krixik_async._models._value import (
    Value,
)

__all__ = [
    "VANISHED",
    "Answer",
    "CapResult",
    "DeleteResult",
    "FailureStatus",
    "FileRecord",
    "GlobalHit",
    "GlobalSearchResult",
    "JobOutcome",
    "JobRef",
    "JobState",
    "KeywordHit",
    "KeywordItem",
    "KeywordSearchResult",
    "ListResult",
    "Output",
    "OverallStatus",
    "ProcessStatus",
    "ResetResult",
    "SearchedFile",
    "SemanticHit",
    "SemanticItem",
    "SemanticSearchResult",
    "UpdateResult",
    "Value",
    "WaitStatistics",
]
