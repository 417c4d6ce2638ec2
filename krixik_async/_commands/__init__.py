"""The commands of `krixik-async` that work with pipelines; each is a few calls of the public API.

Rules that hold for all: results go to stdout and everything else to stderr; with `--json` both hold
JSON alone, one value a line, and each job or file that was named has its line on stdout, also where
it failed; a progress bar is drawn on stderr, and only if that is a
terminal; the exit status tells the kind of failure (`_failing`). Heavy imports are made inside the
commands, so that `--help` and completion stay quick.
"""

from krixik_async._commands._completing import modules_or_all
from krixik_async._commands._failing import Commands, failing
from krixik_async._commands._files import delete, fetch, list_files, search, tree
from krixik_async._commands._jobs import resume, status, wait
from krixik_async._commands._modules import completion, modules
from krixik_async._commands._printing import Printer
from krixik_async._commands._process import process

COMMANDS = (
    completion,
    delete,
    fetch,
    list_files,
    modules,
    process,
    resume,
    search,
    status,
    tree,
    wait,
)

__all__ = ["COMMANDS", "Commands", "Printer", "failing", "modules_or_all"]
