"""Canaries: the api key and the presigned fields, looked for in everything that is said.

Every operation runs under every kind of fault, over a socket, with all loggers at DEBUG (those of
httpx, httpcore and aiohttp among them). What is looked through: every log record with all it
holds, the repr and the text of every result, error and object on the way, tracebacks with their
chains, and the resume tokens.
"""

from __future__ import annotations

import logging
import pickle
import random
import re
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio
import httpx

from krixik_async import Krixik, KrixikError, WaitResult
from krixik_async.testing import Fault, FaultPlan, ServerProcess
from tests.soak.operations import FOREVER_S, OPERATIONS, Desk, desk, one_of_each
from tests.soak.running import Run, begin, counted

CANARY = "canary-5f0c9a7e-never-to-be-seen"
# What the server gives out in confidence: policies (base64 of {"exp...), and HMACs in hex.
_PRESIGNED = re.compile(r"eyJleH|[0-9a-f]{64}")
# A journal has digests of its own, in hex as HMACs are: the words around them tell.
_IN_JOURNALS = re.compile(f"{CANARY}|eyJleH|signature|x-amz")
# Enough for a few looks: what waits longer is cancelled, and that must be silent, too.
_EACH_S = 1.5
SECRET = re.compile(f"{CANARY}|{_PRESIGNED.pattern}")


class Listener(logging.Handler):
    """Look through every record, as it is and as it is shown."""

    def __init__(self, run: Run) -> None:
        super().__init__(logging.DEBUG)
        self.run = run
        self.heard: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        self.heard[record.name.partition(".")[0]] += 1
        text = f"{record.getMessage()} {record.__dict__!r}"
        if record.exc_info:
            text += "".join(traceback.format_exception(*record.exc_info))
        check(self.run, f"log of {record.name}", text)


def check(run: Run, where: str, text: str) -> None:
    """Note a secret in a text."""
    found = SECRET.search(text)
    if found is not None:
        at = max(0, found.start() - 60)
        run.finding(f"{where}: ...{text[at : found.end()]!r}")


@contextmanager
def listening(run: Run) -> Iterator[Listener]:
    """Hear all loggers."""
    root, listener = logging.getLogger(), Listener(run)
    level = root.level
    root.setLevel(logging.DEBUG)
    root.addHandler(listener)
    try:
        yield listener
    finally:
        root.removeHandler(listener)
        root.setLevel(level)


def said_by(error: BaseException | None) -> str:
    """Give all that an error and those behind it say."""
    said = []
    while error is not None:
        said += [str(error), repr(error), repr(error.args), repr(getattr(error, "__notes__", ""))]
        said.append("".join(traceback.format_exception(error)))
        if not isinstance(error, KrixikError):
            said.append(repr(vars(error)))
        error = error.__cause__ or error.__context__
    return "\n".join(said)


def look_through(run: Run, name: str, value: object) -> None:
    """Look through the result of an operation."""
    check(run, f"repr of {name}", f"{value!r} {value}")
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, WaitResult):
            check(run, f"token of {name}", one.resume_token)
        if isinstance(one, Mapping):
            check(run, f"outcomes of {name}", repr(dict(one)))
        for part in ("ref", "reply", "last_status", "error"):
            check(run, f"{part} of {name}", repr(getattr(one, part, "")))


async def _ask(run: Run, here: Desk, name: str, outcomes: Counter[str]) -> None:
    with anyio.move_on_after(_EACH_S):
        try:
            look_through(run, name, await OPERATIONS[name](here))
            outcomes["result"] += 1
        except KrixikError as error:
            outcomes[type(error).__name__] += 1
            check(run, f"error of {name}", said_by(error))
            check(run, f"pickle of {name}", str(pickle.dumps(error.args)))


async def under_every_fault(
    run: Run, server: ServerProcess, sender: str, names: list[str], faults: list[Fault]
) -> Counter[str]:
    """Run the operations under each fault in turn."""
    outcomes: Counter[str] = Counter()
    client = httpx.AsyncClient() if "http_client" in sender else None
    rng = random.Random(f"{sender} {run.seed}")
    with tempfile.TemporaryDirectory() as folder:
        async with Krixik(
            api_key=CANARY, api_url=server.url, http_client=client, attempts=2, backoff_s=0.01,
            backoff_cap_s=0.02, attempt_timeout_s=0.5,
        ) as krixik:  # fmt: skip
            server.set_faults(FaultPlan())
            here = await desk(krixik, Path(folder), rng, name=f"s{rng.getrandbits(60):x}")
            for thing in (krixik, here.pipeline, here.job, vars(krixik), krixik._session):
                check(run, "repr", f"{thing!r}")
            for fault in faults:
                server.set_faults(FaultPlan(fault, seed=run.seed))
                async with anyio.create_task_group() as group:
                    for name in names:
                        group.start_soon(_ask, run, here, name, outcomes)
            await _look_into_journals(run, Path(folder))
        if client is not None:
            await client.aclose()
    return outcomes


async def _look_into_journals(run: Run, folder: Path) -> None:
    """Look for secrets in the bytes of what `process_many` wrote down."""
    journals = [path async for path in anyio.Path(folder).glob("run.db*")]
    if not journals:
        run.finding("there is no journal to look into")
    for path in journals:
        text = ""
        with suppress(FileNotFoundError):  # SQLite's own, gone with the last connection
            text = (await path.read_bytes()).decode("latin-1")
        found = _IN_JOURNALS.search(text)
        if found is not None:
            run.finding(f"journal {path.name}: {found[0]!r}")


SENDERS = (("asyncio", "default"), ("trio", "default"), ("asyncio", "http_client"))


def main() -> None:
    """Run until the end; --runs is rounds."""
    run = begin("secrets", runs=2, seconds=900)
    outcomes: Counter[str] = Counter()
    names = [name for name in OPERATIONS if name not in ("delete", "reset_pipeline")]
    faults = one_of_each(probability=0.7)
    faults = [one for one in faults if getattr(one, "seconds", 0) != FOREVER_S]
    with (
        tempfile.TemporaryDirectory() as folder,
        listening(run) as listener,
        ServerProcess(folder, api_key=CANARY) as server,
    ):
        for number in run.numbers():
            for backend, sender in SENDERS:
                outcomes += anyio.run(
                    under_every_fault,
                    run,
                    server,
                    f"{backend} {sender} {number}",
                    names,
                    faults,
                    backend=backend,
                )
    run.end(operations=counted(outcomes), log_records=counted(listener.heard))


if __name__ == "__main__":
    main()
