"""HTTP: the only package that knows a library for it.

From the ground up: `_permits` and `_pace` say how many and how fast, `_turns` who is next; `_seam`
is what a sender is, `_failures` says what its errors mean, `_machine` what the machine's settings
say of connections, `_bodies` reads and writes bodies, `_posting` is a call over httpx; `_aiohttp`
(with `_limits`), `_sharded`, `_given` and `_asgi` are the senders; `_upload` is an upload's body,
`_exchange` makes one attempt on the loop that is its `_home`, `_retry` repeats it, `_download`
saves what comes into a `_part`; and `_calls` is what the rest of the house uses. Importing it
brings httpx in (0.07 s), so that is left for the making of a client.
"""

from krixik_async._transport._asgi import InProcessTransport
from krixik_async._transport._calls import Transport
from krixik_async._transport._exchange import TransportStatistics
from krixik_async._transport._turns import Turn

__all__ = [
    "InProcessTransport",
    "Transport",
    "TransportStatistics",
    "Turn",
]
