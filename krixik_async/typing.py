"""What signatures call by a short name, for those who annotate functions of their own.

Names of what is passed in and of what states there are; the classes that come out are in
`krixik_async` itself.
"""

from __future__ import annotations

from krixik_async._bulk._inputs import FileLike, Files
from krixik_async._bulk._outcomes import BulkState
from krixik_async._bulk._stream import OnError
from krixik_async._clock import Clock
from krixik_async._config import Options, Settings
from krixik_async._files import SaveTo
from krixik_async._job import AnyJob
from krixik_async._models._jobs import JobState, OverallStatus
from krixik_async._offload import Offload
from krixik_async._pipeline import FileOptions
from krixik_async._reply import JSON
from krixik_async._selectors import FileSelectors, Selectors, Tags
from krixik_async._sending import LocalFile, ModuleOptions, Modules
from krixik_async._waiting import OnUpdate, Poll, ReturnWhen, StopWaiting
from krixik_async._watching import WatchEvent

__all__ = [
    "JSON",
    "AnyJob",
    "BulkState",
    "Clock",
    "FileLike",
    "FileOptions",
    "FileSelectors",
    "Files",
    "JobState",
    "LocalFile",
    "ModuleOptions",
    "Modules",
    "Offload",
    "OnError",
    "OnUpdate",
    "Options",
    "OverallStatus",
    "Poll",
    "ReturnWhen",
    "SaveTo",
    "Selectors",
    "Settings",
    "StopWaiting",
    "Tags",
    "WatchEvent",
]
