"""process --dry-run: everything is checked and looked up, nothing is sent or written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from krixik_async._commands._failing import JOBS_FAILED, exit_status, failure
from krixik_async._errors import KrixikError

if TYPE_CHECKING:
    from krixik_async._bulk import FileInput
    from krixik_async._bulk._flow import Work
    from krixik_async._bulk._foretelling import Foretold
    from krixik_async._commands._printing import Printer
    from krixik_async._commands._process import Wanted
    from krixik_async._pipeline import Pipeline
    from krixik_async._reply import JSON

_WORDS = {
    "wait": "sent already, would be waited for",
    "fetch": "sent already, its output would be fetched",
    "skip": "sent already, nothing to do",
    "leave": "another process is at it",
}
_PERHAPS_SENT = "  (it may have been sent: that would be asked first)"


async def rehearse(printer: Printer, pipeline: Pipeline, wanted: Wanted) -> set[int]:
    """Check every file as it would be sent, but for what a journal knows to be sent.

    Prints what would be done with each; gives the exit statuses of refusals, and of what the
    journal knows to have failed: a run would leave with the same.
    """
    from krixik_async._bulk._flow import Work
    from krixik_async._bulk._foretelling import Foreteller
    from krixik_async._bulk._inputs import FileInput
    from krixik_async._bulk._once import Once
    from krixik_async._waiting import check_poll

    failed: set[int] = set()
    work = Work(
        session=pipeline._session,
        pipeline=pipeline.name,
        chain=tuple(pipeline.module_chain),
        defaults=FileInput("", **wanted.arguments()),
        save_to=wanted.out,
        schedule=check_poll(None),
    )
    seen, foreteller = Once(work.defaults), Foreteller(work, wanted.journal)
    await foreteller.open()
    try:
        for file in wanted.inputs(printer):
            try:
                refusal = seen.refusal(file)
                if refusal is not None:
                    raise refusal
                foretold = await foreteller.foretell(file)
                said, line = await _said(work, file, foretold)
            except KrixikError as error:
                said, line = _refused(file, error)
                failed.add(exit_status(error))
            else:
                if _has_failed(foretold):
                    failed.add(JOBS_FAILED)
            printer.result(said, [line])
    finally:
        await foreteller.aclose()
    return failed


def _has_failed(foretold: Foretold) -> bool:
    entry = foretold.entry
    return entry is not None and entry.reached in ("failed", "vanished")


async def _said(work: Work, file: FileInput, foretold: Foretold) -> tuple[JSON, str]:
    """Give what would be done with one file, as a value and as a line."""
    from krixik_async import _sending
    from krixik_async._bulk._inputs import given_file
    from krixik_async._wire import encode

    path, entry = str(file.local_file_path), foretold.entry
    step = None if entry is None else entry.step
    said = _value(
        file,
        foretold.would,
        step=step,
        request_id=None if entry is None else entry.request_id,
        file_id=None if entry is None else entry.file_id,
    )
    if foretold.would != "send":
        return said, f"{path}  {step}: {_WORDS[foretold.would]}"
    given = given_file(file, work.defaults)
    shipment = await _sending.prepare(work.session, work.pipeline, work.chain, given)
    size = said["bytes"] = await shipment.source.size(work.session.offload)
    said["request"] = json.loads(encode(shipment.request))
    place = shipment.request.symbolic_directory_path.rstrip("/")
    name = "(a generated name)" if shipment.fresh_name else shipment.request.file_name
    asked = _PERHAPS_SENT if entry is not None and entry.reached == "ticketed" else ""
    return said, f"{path}  {size} bytes -> {place}/{name}{asked}"


def _refused(file: FileInput, error: KrixikError) -> tuple[JSON, str]:
    """Say of one file why it would not be sent."""
    said = _value(file, "refuse", **failure(error))
    return said, f"{said['input']}  error  {error}"


def _value(file: FileInput, would: str, **known: JSON) -> dict[str, JSON]:
    return {
        "input": str(file.local_file_path),
        "would": would,
        "step": None,
        "request_id": None,
        "file_id": None,
        "bytes": None,
        "request": None,
        **failure(None),
        **known,
    }
