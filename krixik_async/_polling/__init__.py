"""One scheduler for all jobs a client waits for: one agenda, few tasks, many waiters.

Invariants:
- a job waited for by several callers has one entry, and is asked for once;
- at most `max_looks` looks are in flight, and each is chosen only when it can really go: a place
  among the client's requests is taken first, and then the job that is worth it most;
- at most `SEEKERS` looks stand in line for such a place, so that submits are not starved;
- a waiter that goes away (done, cancelled, dropped) only detaches; the entry goes with its last
  waiter and the look in flight, the job itself is never touched;
- nothing is held open between waits: the tasks are free-standing ones of the client, alive only
  while there are entries;
- nothing is done that takes more than the time of a waiter's own jobs, whoever else waits;
- nothing is concluded from a job's absence in a list;
- rejected credentials end every wait, for they end every look.

From the ground up: `_seam` is what it asks, `_agenda` says what is due, `_sweep` when many jobs are
looked at with one request, `_entries` what is known, `_tally` what it has cost, `_subscription` who
waits, `_laws` how long such jobs take, `_ready` whom to ask first, `_rounds` which jobs go into
which list, `_breaker` what to do in an outage; `_planner` decides with these what is asked next,
`_register` knows who waits for what, `_answers` takes the answers in, `_scheduler` drives. It knows
no HTTP.
"""

from krixik_async._polling._breaker import OPENS_AFTER, Breaker
from krixik_async._polling._entries import Key, key_of
from krixik_async._polling._scheduler import Scheduler
from krixik_async._polling._seam import Asker, Opening
from krixik_async._polling._subscription import PaceChanged, Subscription, surfaced

__all__ = [
    "OPENS_AFTER",
    "Asker",
    "Breaker",
    "Key",
    "Opening",
    "PaceChanged",
    "Scheduler",
    "Subscription",
    "key_of",
    "surfaced",
]
