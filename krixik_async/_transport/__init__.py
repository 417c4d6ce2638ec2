"""HTTP: the only package that knows a library for it.

From the ground up: `_permits` and `_pace` say how many and how fast, `_seam` is what a sender is,
`_aiohttp`, `_sharded` and `_asgi` are three, `_failures` says what their errors mean, `_exchange`
makes one attempt, `_retry` repeats it, `_upload`, `_download` and `_answers` are about bodies, and
`_calls` is what the rest of the house uses.
"""

from krixik_async._transport._asgi import InProcessTransport
from krixik_async._transport._calls import Transport, TransportSettings
from krixik_async._transport._pace import TransportStatistics
from krixik_async._transport._permits import Turn
from krixik_async._transport._upload import BytesSource, FileSource, PathSource, UploadSource

__all__ = [
    "BytesSource",
    "FileSource",
    "InProcessTransport",
    "PathSource",
    "Transport",
    "TransportSettings",
    "TransportStatistics",
    "Turn",
    "UploadSource",
]
