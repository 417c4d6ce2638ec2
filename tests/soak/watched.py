"""`krixik-async` as it is, but for SIGUSR1: it writes what it has at rest into a file."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import attrs

from krixik_async.__main__ import main
from tests.soak.weighing import weigh

# Where to, of the process whose number it has in it.
WHERE = "KRIXIK_ASYNC_WEIGHT"


def _tell(_: int, __: object) -> None:
    path = Path(os.environ[WHERE])
    weight = weigh()
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps(attrs.asdict(weight)), encoding="utf-8")
    draft.replace(path)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _tell)
    main()
