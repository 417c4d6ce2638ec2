"""Runs the chains: so many files at a time, module after module, everyone in turn.

A module's output is on the disk under its own name before its flag is set, so a run that is cut
off (a kill, a stop) goes on from the last module that was done. There is no queue in memory: what
waits is on record, and the next one is looked up when a worker is free, so a thousand waiting files
cost the server no more than one, and a stop forgets none of them.

A file that is deleted by its expiry while a module works on it takes its worker's process with it.
"""

from __future__ import annotations

import logging

import anyio

from krixik_async._catalogue import MODULES
from krixik_async._clock import Clock
from krixik_async._offload import Offload
from krixik_async._tasks import TaskSet
from krixik_async.server._answers import module_data
from krixik_async.server._database import Turns
from krixik_async.server._records import Record
from krixik_async.server._settings import ServerSettings
from krixik_async.server._store import Store
from krixik_async.server.runners import RunnerError, RunRequest, run

logger = logging.getLogger("krixik_async.server")

# The hosted service's limit on an output, from its documentation. It cannot hold for databases
# and indexes: those of texts well within the limit on inputs are larger.
MAX_OUTPUT_BYTES = 5 * 2**20
_LIMITED = ("json", "text")
# A worker process that dies (out of memory, killed by hand) takes down one try, not the job.
# The pause is for the case that all processes of a group are being stopped, this one included.
_TRIES = 3
_RETRY_SECONDS = 1.0
# How long a file may outlive its record.
_SWEEP_SECONDS = 5.0


class Engine:
    """Process uploaded files in tasks of its own, from `start()` to `aclose()`."""

    def __init__(
        self, store: Store, settings: ServerSettings, clock: Clock, compute: Offload
    ) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._compute = compute
        self._tasks = TaskSet()
        self._turns = Turns()
        self._running: dict[str, anyio.CancelScope] = {}
        self._left: set[str] = set()
        self._picking = anyio.Lock()
        self._uploaded = anyio.Event()

    def start(self) -> None:
        """Begin, with what was left unfinished."""
        for number in range(self._settings.workers):
            self._tasks.spawn(self._work, name=f"krixik-async worker {number}")
        self._tasks.spawn(self._sweep, name="krixik-async sweeper")

    def wake(self) -> None:
        """Say that a file has been uploaded."""
        uploaded, self._uploaded = self._uploaded, anyio.Event()
        uploaded.set()

    async def aclose(self) -> None:
        """Stop; what is unfinished stays so and is taken up at the next start."""
        await self._tasks.aclose()

    async def _sweep(self) -> None:
        while True:
            await self._clock.sleep(_SWEEP_SECONDS)
            try:
                await self._expire()
            except Exception:
                logger.exception("what has expired could not be removed; trying again")

    async def _expire(self) -> None:
        ended = await self._store.expire(self._clock.wall())
        self._left.difference_update(ended)
        running = [file_id for file_id in ended if file_id in self._running]
        for file_id in running:
            self._running[file_id].cancel()
        await self._store.remove_files([file_id for file_id in ended if file_id not in running])

    async def _work(self) -> None:
        while True:
            try:
                record = await self._next_file()
            except Exception:
                logger.exception("what waits could not be read; trying again")
                await self._clock.sleep(_SWEEP_SECONDS)
                continue
            with self._running[record.file_id] as scope:
                try:
                    await self._process(record)
                except Exception:
                    # Of the store, not of a module: a full disk, say. The record is as it was.
                    logger.exception(
                        "file %s was left unfinished until the next start", record.file_id
                    )
                    self._left.add(record.file_id)
            del self._running[record.file_id]
            if scope.cancel_called:
                # Not before its worker is gone, which might write there again.
                await self._store.remove_files([record.file_id])

    async def _next_file(self) -> Record:
        """Wait for a file that waits, and take it."""
        while True:
            uploaded = self._uploaded
            async with self._picking:
                skipped = self._left.union(self._running)
                now = self._clock.wall()
                record = await self._store.next_waiting(self._turns, skipped, now)
                if record is not None:
                    self._turns.served(record)
                    self._running[record.file_id] = anyio.CancelScope()
                    return record
            await uploaded.wait()

    async def _process(self, record: Record) -> None:
        current: Record | None = record
        while current is not None and current.state == "processing":
            current = await self._next_module(current)

    async def _next_module(self, record: Record) -> Record | None:
        """Run one module; give the record as it is then, None if it has ended meanwhile."""
        started = self._clock.now()
        position = record.modules_done
        temporary = self._store.temporary_path(record)
        request = self._store.module_request(
            record,
            position,
            temporary,
            model_dir=self._settings.model_dir,
            simulated=record.chain[position] in self._settings.simulate,
        )
        outcome = await self._run(record, request)
        rest = started + self._settings.min_module_seconds - self._clock.now()
        if rest > 0:
            await self._clock.sleep(rest)
        if isinstance(outcome, str):
            return await self._store.fail(record, outcome, self._clock.wall())
        said = module_data(record, position, outcome)
        return await self._store.advance(record, temporary, said, self._clock.wall())

    async def _run(self, record: Record, request: RunRequest) -> dict[str, object] | str:
        """Give what the runner says of its output, or in words why there is none."""
        label = record.label(record.modules_done)
        try:
            said = await self._run_in_worker(request)
            size = await self._store.seal(request.destination)
        except RunnerError as error:
            logger.warning("process %s failed at %s: %s", record.process_id, label, error)
            return str(error)
        except Exception as error:
            if await self._store.any_file(record.file_id, self._clock.wall()) is not None:
                logger.exception("process %s failed at %s", record.process_id, label)
            return f"unexpected {type(error).__name__}"
        last = record.modules_done + 1 == len(record.chain)
        limited = last and MODULES[request.module].gives in _LIMITED
        if limited and size > MAX_OUTPUT_BYTES:
            reason = f"the output has {size} bytes, the limit is {MAX_OUTPUT_BYTES}"
            logger.warning("process %s failed at %s: %s", record.process_id, label, reason)
            return reason
        return said

    async def _run_in_worker(self, request: RunRequest) -> dict[str, object]:
        for _ in range(_TRIES - 1):
            try:
                return await self._compute(run, request)
            except anyio.BrokenWorkerProcess:
                await self._clock.sleep(_RETRY_SECONDS)
                logger.warning("a worker process died while running %s", request.module)
        return await self._compute(run, request)
