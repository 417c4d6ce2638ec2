"""Records and files together: the only room of the server that touches the disk.

    <data_dir>/krixik.sqlite3     the records
    <data_dir>/secret             32 random bytes that sign forms and links; mode 0600
    <data_dir>/files/<file_id>/   input, module_1, module_2, ...; *.part while being written

Order is what makes it hold: a file is written under a temporary name and synced, then renamed,
the folder synced, and only then does a row say that it is there. So a row never speaks of a file
that a crash could take back; a file without a row is swept at the next start.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias, TypeVar

import anyio
import attrs

from krixik_async._catalogue import MODULES
from krixik_async._errors import InvalidArgument
from krixik_async._offload import Offload
from krixik_async._reply import JSON
from krixik_async.server._database import Database, Refusal, Turns, open_database
from krixik_async.server._records import Record, new_id
from krixik_async.server.runners import RunRequest

T = TypeVar("T")
Accepted: TypeAlias = Literal["stored", "repeated", "other", "gone"]

SECRET_BYTES = 32
# Seconds; epoch seconds as a float have a step of a quarter of this.
_MOMENT = 1e-6


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder last."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read_secret(folder: Path) -> bytes:
    path = folder / "secret"
    if not path.exists():
        temporary = folder / "secret.part"
        temporary.unlink(missing_ok=True)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as secret:
            secret.write(secrets.token_bytes(SECRET_BYTES))
            secret.flush()
            os.fsync(secret.fileno())
        temporary.replace(path)
        _sync_folder(folder)
    return path.read_bytes()


class Writing:
    """Write one uploaded file under a temporary name. Blocking."""

    def __init__(self, folder: Path) -> None:
        if not folder.exists():
            folder.mkdir(mode=0o700)
            _sync_folder(folder.parent)
        self.path = folder / f"input.{new_id()}.part"
        self._file = self.path.open("xb")
        self._digest = hashlib.sha256()

    def write(self, data: bytes) -> None:
        """Add the next bytes."""
        self._digest.update(data)
        self._file.write(data)

    def finish(self) -> str:
        """Put everything on the disk and give the digest."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return self._digest.hexdigest()

    def discard(self) -> None:
        """Leave nothing behind, unless it has been renamed by now."""
        self._file.close()
        self.path.unlink(missing_ok=True)


def _seal(path: Path) -> int:
    """Put a written file on the disk and give its size."""
    with path.open("rb") as written:
        os.fsync(written.fileno())
        return os.fstat(written.fileno()).st_size


def _open_sized(path: Path) -> tuple[BinaryIO, int]:
    file = path.open("rb")
    return file, os.fstat(file.fileno()).st_size


def _place(temporary: Path, final: Path) -> None:
    temporary.replace(final)
    _sync_folder(final.parent)


class Store:
    """Keep records and files; opened by `open_store`, closed by `aclose`.

    One database call runs at a time; files are worked on beside it. Every method is cancel-safe
    in that a call once begun is carried through.
    """

    def __init__(self, folder: Path, database: Database, secret: bytes, offload: Offload) -> None:
        self.secret = secret
        self._files = folder / "files"
        self._database = database
        self._offload = offload
        self._lock = anyio.Lock()
        self._last_upload = 0.0

    async def _call(self, method: Callable[..., T], *args: object) -> T:
        async with self._lock:
            return await self._offload(method, *args)

    async def aclose(self) -> None:
        """Close the database and give up the folder."""
        await self._call(self._database.close)

    async def add(self, record: Record, now: float) -> Refusal | None:
        """Write a new record, or say why not."""
        return await self._call(self._database.add, record, now)

    async def by_process(self, account: str, process_id: str, now: float) -> Record | None:
        """Give the account's record of a process."""
        return await self._call(self._database.by_process, account, process_id, now)

    async def by_file(self, account: str, file_id: str, now: float) -> Record | None:
        """Give the account's record of a file."""
        record = await self.any_file(file_id, now)
        return record if record is not None and record.account == account else None

    async def any_file(self, file_id: str, now: float) -> Record | None:
        """Give the record of a file of whatever account: for those who hold a signed form."""
        return await self._call(self._database.by_file, file_id, now)

    async def complete(
        self, account: str, pipeline: str, now: float, file_ids: Sequence[str] | None
    ) -> list[Record]:
        """Give a pipeline's complete files, newest first."""
        return await self._call(self._database.complete, account, pipeline, now, file_ids)

    async def next_waiting(
        self, turns: Turns, skipped: Collection[str], now: float
    ) -> Record | None:
        """Give the file whose turn it is to be processed, None if none waits."""
        return await self._call(self._database.next_waiting, turns, skipped, now)

    async def waiting(self, most: int) -> int:
        """Count the files that wait or are being processed, up to `most`."""
        return await self._call(self._database.waiting, most)

    async def begin_upload(self, file_id: str) -> Writing:
        """Open a temporary file beside the place of the input."""
        return await self._offload(Writing, self._files / file_id)

    async def accept(self, file_id: str, writing: Writing, sha256: str, now: float) -> Accepted:
        """Put an upload in its place and its record to work.

        The first upload stored wins; the same bytes once more ("repeated") change nothing, others
        ("other") are not taken.
        """
        accepted: Accepted = "gone"

        def decide(record: Record) -> Record:
            nonlocal accepted
            if record.state != "ticketed":
                accepted = "repeated" if record.input_sha256 == sha256 else "other"
                return record
            _place(writing.path, self.input_path(record))
            accepted = "stored"
            # No two at the same moment, however coarse the clock: it is the order of processing.
            self._last_upload = max(now, self._last_upload + _MOMENT)
            return attrs.evolve(
                record,
                state="processing",
                input_sha256=sha256,
                uploaded_at=self._last_upload,
                ends_at=now + record.expire_time,
            )

        await self._call(self._database.change, file_id, now, decide)
        return accepted

    def input_path(self, record: Record, position: int = 0) -> Path:
        """Give where the input of the module at a position from 0 is."""
        return self._files / record.file_id / (f"module_{position}" if position else "input")

    def module_request(
        self,
        record: Record,
        position: int,
        destination: Path,
        *,
        model_dir: Path | None,
        simulated: bool,
    ) -> RunRequest:
        """Give what the module at a position from 0 is asked to do."""
        module = MODULES[record.chain[position]]
        before = MODULES[record.chain[position - 1]].key_out if position else module.key_in
        chosen = record.modules[record.label(position).partition(".")[0]]
        return RunRequest(
            module=module.name,
            model=chosen["model"],
            params=chosen["params"],
            source=self.input_path(record, position),
            destination=destination,
            input_key=before,
            model_dir=model_dir,
            simulated=simulated,
        )

    def output_path(self, record: Record) -> Path:
        """Give where the output of the whole chain is, once it is complete."""
        return self._files / record.file_id / f"module_{len(record.chain)}"

    async def open_output(self, record: Record) -> tuple[BinaryIO, int]:
        """Open a complete file's output and give its size; OSError if it has just been removed."""
        path = self._files / record.file_id / f"module_{len(record.chain)}"
        return await self._offload(_open_sized, path)

    def temporary_path(self, record: Record) -> Path:
        """Give a fresh name for the next module to write to."""
        name = f"module_{record.modules_done + 1}.{new_id()}.part"
        return self._files / record.file_id / name

    async def seal(self, path: Path) -> int:
        """Put a module's output on the disk and give its size."""
        return await self._offload(_seal, path)

    async def advance(
        self, record: Record, temporary: Path, modules_data: dict[str, JSON], now: float
    ) -> Record | None:
        """Put a module's sealed output in its place, then say that the module is done."""
        done = record.modules_done + 1

        def decide(current: Record) -> Record:
            if current.state != "processing":
                return current
            _place(temporary, self._files / current.file_id / f"module_{done}")
            last = done == len(current.chain)
            return attrs.evolve(
                current,
                modules_done=done,
                modules_data={**current.modules_data, **modules_data},
                state="complete" if last else "processing",
                created_at=now if last else current.created_at,
                last_updated=now if last else current.last_updated,
            )

        return await self._call(self._database.change, record.file_id, now, decide)

    async def fail(self, record: Record, reason: str, now: float) -> Record | None:
        """Say that the next module failed."""
        label = record.label(record.modules_done)

        def decide(current: Record) -> Record:
            return attrs.evolve(
                current,
                state="failed",
                failure_module=label,
                failure=reason,
                created_at=now,
                last_updated=now,
            )

        return await self._call(self._database.change, record.file_id, now, decide)

    async def spoil(self, file_id: str, reason: str, now: float) -> None:
        """Fail a process, whatever it has come to."""

        def decide(current: Record) -> Record:
            return attrs.evolve(
                current,
                state="failed",
                failure_module=current.label(0),
                failure=reason,
                created_at=now,
                last_updated=now,
            )

        await self._call(self._database.change, file_id, now, decide)

    async def update(
        self, file_id: str, now: float, changes: Mapping[str, Any]
    ) -> Record | Literal["path_taken"] | None:
        """Give the record with its metadata changed, or say why not; None if it is gone."""
        taken = False

        def decide(current: Record) -> Record:
            nonlocal taken
            changed = attrs.evolve(current, **changes, last_updated=now)
            moved = changed.symbolic_file_path != current.symbolic_file_path
            taken = moved and self._database.path_taken(changed, now)
            return current if taken else changed

        record = await self._call(self._database.change, file_id, now, decide)
        return "path_taken" if taken else record

    async def delete(self, file_id: str) -> None:
        """Remove a record, then its files."""
        await self._call(self._database.delete, file_id)
        await self.remove_files([file_id])

    async def expire(self, now: float) -> list[str]:
        """Remove the records that have ended; give their file_ids, for `remove_files`."""
        return await self._call(self._database.expire, now)

    async def file_ids(self) -> set[str]:
        """Give the file_ids of all records, of whatever account."""
        return await self._call(self._database.file_ids)

    async def sweep(self, now: float) -> None:
        """Remove what has ended and the files that no record speaks of: for the start only."""
        await self.remove_files(await self.expire(now))
        known = await self.file_ids()
        found = await self._offload(os.listdir, self._files)
        await self.remove_files([name for name in found if name not in known])

    async def remove_files(self, names: Sequence[str]) -> None:
        """Remove the files of records that are gone; what is gone already is no matter."""
        for name in names:
            await self._offload(shutil.rmtree, self._files / name, True)


def _open(folder: Path) -> tuple[Database, bytes]:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / "files").mkdir(exist_ok=True, mode=0o700)
        database = open_database(folder)
        try:
            return database, _read_secret(folder)
        except OSError:
            database.close()
            raise
    except OSError as error:
        raise InvalidArgument(
            f"data_dir {str(folder)!r} cannot be used: {error.strerror}"
        ) from error


async def open_store(folder: Path, offload: Offload, now: float) -> Store:
    """Open the data folder, making it if need be, and sweep what nothing needs any more.

    Raises InvalidArgument if it cannot be used, or is in use by another server.
    """
    database, secret = await offload(_open, folder)
    store = Store(folder, database, secret, offload)
    await store.sweep(now)
    return store
