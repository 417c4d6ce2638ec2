"""Tools for testing code that uses krixik_async: a product with the client's own promises.

`simulate` plays a poll policy against durations; `FaultPlan` and the faults in it let calls to the
embedded server go wrong; `VirtualTimeLoop` lets hours pass at once, and with `AnchoredClock`
and `InlineOffload` clients do so under another virtual clock, such as trio's; `ServerProcess` runs
the server in a process of its own. The pytest plugin, which is there wherever the package is
installed, has fixtures for faults, virtual time and servers.
"""

from krixik_async._clock import AnchoredClock
from krixik_async._offload import InlineOffload
from krixik_async.server._faults import (
    Answer,
    Corrupt,
    Delay,
    DropAfter,
    DropBefore,
    ExpireEarly,
    Fault,
    Lag,
    Refuse,
    SpoilSecondUpload,
    Throttle,
    Truncate,
)
from krixik_async.server._plan import FaultCount, FaultPlan
from krixik_async.testing._server_process import ServerProcess
from krixik_async.testing._simulate import Simulation, simulate
from krixik_async.testing._virtual_time import VirtualTimeLoop

__all__ = [
    "AnchoredClock",
    "Answer",
    "Corrupt",
    "Delay",
    "DropAfter",
    "DropBefore",
    "ExpireEarly",
    "Fault",
    "FaultCount",
    "FaultPlan",
    "InlineOffload",
    "Lag",
    "Refuse",
    "ServerProcess",
    "Simulation",
    "SpoilSecondUpload",
    "Throttle",
    "Truncate",
    "VirtualTimeLoop",
    "simulate",
]
