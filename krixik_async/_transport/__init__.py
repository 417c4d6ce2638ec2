"""HTTP: the only package that knows a library for it.

From the ground up: `_permits` and `_pace` say how many and how fast, `_seam` is what a sender is,
`_failures` says what its errors mean, `_machine` what the machine's settings say of connections,
`_posting` is a call over httpx, `_aiohttp`, `_sharded`, `_given` and `_asgi` are the senders,
`_exchange` makes one attempt, `_retry` repeats it, `_upload`, `_download`, `_bodies` and `_answers`
are about bodies, and `_calls` is what the rest of the house uses. Importing it brings httpx in
(0.07 s), so that is left for the making of a client.
"""

from krixik_async._transport._asgi import InProcessTransport
from krixik_async._transport._calls import Transport, TransportSettings
from krixik_async._transport._pace import TransportStatistics
from krixik_async._transport._turns import Turn

__all__ = [
    "InProcessTransport",
    "Transport",
    "TransportSettings",
    "TransportStatistics",
    "Turn",
]
