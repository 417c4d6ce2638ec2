"""The journal of bulk work: each file's step is written down before it is taken.

`_steps` is the law, without I/O; `_schema` the tables and whose they are; `_file` owns the SQLite
file; `_rows` reads and writes it; `_leases` tells which workers are at work; `_writer` is what a
run uses, `_look` what a dry run does.
"""

from krixik_async._journal._look import JournalLook
from krixik_async._journal._rows import ClaimLost, Verdict
from krixik_async._journal._schema import Owner, account_digest
from krixik_async._journal._steps import ENDS, OPEN_ENDS, SENT, Entry, Step
from krixik_async._journal._writer import Journal, open_journal

__all__ = [
    "ENDS",
    "OPEN_ENDS",
    "SENT",
    "ClaimLost",
    "Entry",
    "Journal",
    "JournalLook",
    "Owner",
    "Step",
    "Verdict",
    "account_digest",
    "open_journal",
]
