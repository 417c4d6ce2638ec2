"""Many files: sent and collected at once, within a window, and with a journal so that none is lost.

`_inputs` pulls them, `_flow` takes one to its end, `_run` keeps the window, `_stream` is what the
caller holds, `_outcomes` what he gets.
"""

from krixik_async._bulk._inputs import FileInput, FileLike, Files
from krixik_async._bulk._outcomes import BulkOutcome, BulkState
from krixik_async._bulk._stream import BulkStream, OnError, process_many

__all__ = [
    "BulkOutcome",
    "BulkState",
    "BulkStream",
    "FileInput",
    "FileLike",
    "Files",
    "OnError",
    "process_many",
]
