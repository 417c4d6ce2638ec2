"""Sending one file: the arguments made ready, then the exchange driven over the network."""

from __future__ import annotations

import os
import random
import string
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias, TypedDict, TypeGuard

import attrs

from krixik_async import _catalogue, _conversion, _validation
from krixik_async._contents import content_check
from krixik_async._errors import InvalidArgument, InvalidArgumentType, KrixikError
from krixik_async._models import JobRef
from krixik_async._offload import Offload
from krixik_async._reply import Reply
from krixik_async._session import Session
from krixik_async._sources import BytesSource, FileSource, PathSource, UploadSource
from krixik_async._submit import (
    AskTicket,
    Exchange,
    LookUp,
    RecordedTicket,
    SendForm,
    Step,
    StepResult,
    Submitted,
    resume,
    submit,
)
from krixik_async._wire import Submit, Ticket, read_ticket


class ModuleOptions(TypedDict, total=False):
    """Hold what may be chosen of one module; what is left out is the module's default."""

    model: str
    params: Mapping[str, object]


# By module name, or by label ("module_1"). A plain dict of dicts will do as well.
Modules: TypeAlias = Mapping[str, ModuleOptions | Mapping[str, object]]
LocalFile: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO


@attrs.frozen(kw_only=True)
class GivenFile:
    """Hold what `Pipeline.process` was told of a file, as the caller gave it."""

    local_file_path: LocalFile
    file_name: str | None = None
    symbolic_directory_path: str | None = None
    symbolic_file_path: str | None = None
    file_tags: Sequence[Mapping[str, str]] | None = None
    file_description: str | None = None
    modules: Modules | None = None
    expire_time: int | None = None


@attrs.frozen(kw_only=True)
class Shipment:
    """Hold one file ready to be sent; nothing of it was sent yet."""

    request: Submit
    source: UploadSource
    upload_name: str
    what: str
    size_bytes: int
    fresh_name: Callable[[], str] | None


class Notes(Protocol):
    """Be told of each step of an exchange that may leave something behind, before it is taken.

    Raising in here keeps the step from being taken and ends the exchange.
    """

    async def asking(self, request: Submit) -> None:
        """Note that a ticket is about to be asked for."""

    async def ticketed(self, ticket: Ticket, request: Submit) -> None:
        """Note that the form is about to be sent with this ticket."""


class NoNotes:
    """Keep no notes: for what is not to be taken up by another process."""

    async def asking(self, request: Submit) -> None:
        """Do nothing."""

    async def ticketed(self, ticket: Ticket, request: Submit) -> None:
        """Do nothing."""


async def prepare(
    session: Session, pipeline: str, chain: Sequence[str], given: GivenFile
) -> Shipment:
    """Check everything that can be checked here and give the shipment.

    Raises InvalidArgument or InvalidArgumentType naming the first rule that is broken.
    """
    filled = _catalogue.fill_modules(chain, given.modules)
    directory, name = _place(given)
    tags = () if given.file_tags is None else _validation.check_tags(given.file_tags)
    description = given.file_description
    description = "" if description is None else _validation.check_description(description)
    seconds = _validation.DEFAULT_EXPIRE_TIME_S
    if given.expire_time is not None:
        seconds = _validation.check_expire_time(given.expire_time)
    source, local_name, what = _source(given.local_file_path, name)
    extension = _validation.check_extension(local_name, chain)
    if name is not None:
        name = _validation.check_file_name(name, extension=extension)
    made_up = extension
    if extension in _validation.TO_CONVERT:
        source = await _convert(source, extension, what, session)
        local_name, made_up = _conversion.converted_name(local_name), ".txt"
        what = f"the text of {what}"
    size_bytes = await _check_content(source, chain, what, session.offload)
    make = _name_maker(made_up, session.rng)
    return Shipment(
        request=Submit(
            pipeline=pipeline,
            pipeline_ordered_modules=tuple(chain),
            pipeline_output_process_keys=_catalogue.output_process_keys(chain),
            modules=filled,
            file_name=make() if name is None else name,
            symbolic_directory_path=directory,
            file_tags=tags,
            file_description=description,
            expire_time=seconds,
        ),
        source=source,
        # A name on disk may hold bytes that are no text; nobody reads it over there.
        upload_name=local_name.encode("utf-8", "replace").decode("utf-8"),
        what=what,
        size_bytes=size_bytes,
        fresh_name=make if name is None else None,
    )


def _place(given: GivenFile) -> tuple[str, str | None]:
    """Give (directory, file name or None) on the service."""
    directory, name = _validation.one_place(
        given.symbolic_directory_path, given.file_name, given.symbolic_file_path
    )
    if directory is None:
        return _validation.DEFAULT_DIRECTORY, name
    return _validation.check_directory(directory), name


def _source(local_file_path: object, name: str | None) -> tuple[UploadSource, str, str]:
    """Give (source, the name that tells its kind, how to call it in messages)."""
    if isinstance(local_file_path, str | os.PathLike):
        try:
            path = Path(local_file_path)
        except TypeError:  # an os.PathLike over bytes
            raise InvalidArgumentType(
                f"local_file_path is {_validation.kind_of(local_file_path)} whose path is not a "
                "str: pass the path as str"
            ) from None
        return PathSource(path), path.name, f"local_file_path {str(path)!r}"
    if isinstance(local_file_path, bytes):
        source: UploadSource = BytesSource(local_file_path)
        what = "local_file_path (bytes)"
    elif _is_binary_file(local_file_path):
        source, what = FileSource(local_file_path), "local_file_path (a file object)"
    else:
        raise InvalidArgumentType(
            f"local_file_path is {_validation.kind_of(local_file_path)} but must be a path (str "
            "or os.PathLike), bytes, or a binary file object that can seek"
        )
    if name is None:
        raise InvalidArgument(
            f"{what} has no name of its own: give file_name or symbolic_file_path with it, "
            "whose extension tells what it is"
        )
    return source, _validation.require_text("file_name", name), what


def _is_binary_file(value: object) -> TypeGuard[BinaryIO]:
    if not hasattr(value, "read") or not hasattr(value, "seekable") or hasattr(value, "encoding"):
        return False
    try:
        return bool(value.seekable())
    except ValueError:
        raise InvalidArgument("local_file_path is a file object that is closed") from None


async def _convert(
    source: UploadSource, extension: str, what: str, session: Session
) -> UploadSource:
    try:
        text = await _conversion.to_text(source, extension, what=what, offload=session.offload)
    except InvalidArgument:
        raise
    except (OSError, ValueError) as error:
        raise _unreadable(what, error) from error
    return BytesSource(text)


async def _check_content(
    source: UploadSource, chain: Sequence[str], what: str, offload: Offload
) -> int:
    """Give the size in bytes of what can be sent."""
    try:
        size = await source.size(offload)
        _validation.check_size(size, chain, what=what)
        check = content_check(chain, what)
        # Read even where nothing is checked: that it can be read is found out before it is sent.
        async with aclosing(source.chunks(offload)) as pieces:
            async for piece in pieces:
                if check is not None:
                    check.feed(piece)
                # A thousand files at once would be held here while each waits for a thread.
                del piece
        if check is not None:
            check.finish()
    except InvalidArgument:
        raise
    except (OSError, ValueError) as error:
        raise _unreadable(what, error) from error
    return size


def _unreadable(what: str, error: OSError | ValueError) -> InvalidArgument:
    # ValueError: a path with a zero character in it.
    reason = getattr(error, "strerror", None) or str(error)
    return InvalidArgument(f"{what} cannot be read: {reason}")


def _name_maker(extension: str, rng: random.Random) -> Callable[[], str]:
    def make() -> str:
        letters = "".join(rng.choices(string.ascii_lowercase, k=10))
        return f"{_validation.GENERATED_NAME}{letters}{extension}"

    return make


async def send(
    session: Session,
    shipment: Shipment,
    *,
    notes: Notes | None = None,
    recorded: RecordedTicket | None = None,
    perhaps_asked: bool = False,
) -> tuple[JobRef, Submit, Reply | None]:
    """Send it; give the job, the request as it was stored, and what the service said to it.

    See `_submit` for what can happen. `notes` is told of each step beforehand; `recorded` and
    `perhaps_asked` take up an exchange that another process did not live to end; of the former
    there is no raw answer any more.
    """
    now, wall = session.clock.now, session.clock.wall
    what, fresh_name = shipment.what, shipment.fresh_name
    if recorded is None:
        exchange = submit(
            shipment.request,
            now=now,
            wall=wall,
            what=what,
            fresh_name=fresh_name,
            perhaps_asked=perhaps_asked,
        )
    else:
        exchange = resume(
            shipment.request, recorded, now=now, wall=wall, what=what, fresh_name=fresh_name
        )
    done = await _Driver(session, shipment, notes or NoNotes(), shipment.request).drive(exchange)
    asked = session.clock.wall() - (session.clock.now() - done.asked_at)
    ref = JobRef(
        request_id=done.ticket.request_id,
        pipeline=done.request.pipeline,
        file_id=done.ticket.file_id,
        submitted_at=asked,
        expires_at=asked + done.request.expire_time,
        module_count=len(done.request.pipeline_ordered_modules),
        size_bytes=shipment.size_bytes,
        account=session.account,
    )
    return ref, done.request, done.ticket.reply if isinstance(done.ticket, Ticket) else None


@attrs.define(eq=False)
class _Driver:
    """Carry out an exchange's steps; `asked` is the last request for a ticket."""

    session: Session
    shipment: Shipment
    notes: Notes
    asked: Submit

    async def drive(self, exchange: Exchange) -> Submitted:
        result: StepResult = None
        error: KrixikError | None = None
        try:
            while True:
                try:
                    step = exchange.send(result) if error is None else exchange.throw(error)
                except StopIteration as end:
                    done: Submitted = end.value
                    return done
                result, error = None, None
                await self._note(step)
                try:
                    result = await self._act(step)
                except KrixikError as raised:
                    error = raised
        finally:
            exchange.close()

    async def _note(self, step: Step) -> None:
        if isinstance(step, AskTicket):
            self.asked = step.request
            await self.notes.asking(step.request)
        elif isinstance(step, SendForm):
            await self.notes.ticketed(step.ticket, self.asked)

    async def _act(self, step: Step) -> StepResult:
        match step:
            case AskTicket(request):
                return await self.session.transport.call(request, read_ticket)
            case SendForm(ticket):
                await self.session.transport.upload(
                    ticket, self.shipment.source, file_name=self.shipment.upload_name
                )
            case LookUp(request):
                return await self.session.status(
                    JobRef(
                        request_id=request.process_id,
                        pipeline=request.pipeline,
                        module_count=len(self.shipment.request.pipeline_ordered_modules),
                    )
                )
            case _:
                await self.session.clock.sleep(step.seconds)
        return None
