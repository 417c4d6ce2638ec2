"""What each path of the API does: a request decoded, an answer given; HTTP is elsewhere."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs

from krixik_async._catalogue import (
    check_chain,
    check_pipeline_name,
    fill_modules,
    input_format,
    output_process_keys,
)
from krixik_async._clock import Clock
from krixik_async._errors import InvalidArgument, InvalidArgumentType
from krixik_async._selectors import MAX_FILES, check_max_files, query_directory
from krixik_async._validation import (
    SIZE_BYTES,
    SUMMARIZE_BYTES,
    check_description,
    check_directory,
    check_expire_time,
    check_extension,
    check_file_name,
    check_tags,
    extension_of,
)
from krixik_async._wire import (
    PATH_TAKEN,
    SAME_NAME_OTHER_CHAIN,
    CheckCap,
    CheckIn,
    Delete,
    FetchOutput,
    GetStatus,
    KeywordSearch,
    ListFiles,
    MalformedBody,
    Request,
    SemanticSearch,
    ShowTree,
    Submit,
    Update,
    decode,
)
from krixik_async.server import _answers as answers
from krixik_async.server._answers import Answer
from krixik_async.server._bucket import UPLOAD_PATH, Bucket, upload_key
from krixik_async.server._changes import check_changes
from krixik_async.server._records import Record, new_id
from krixik_async.server._searching import Searching
from krixik_async.server._selection import only_ids
from krixik_async.server._settings import ServerSettings
from krixik_async.server._store import Store
from krixik_async.server._uploads import Signer


@attrs.frozen
class Call:
    """Hold one call's own id, its account, the address it came to, and what it asks."""

    request_id: str
    account: str
    base_url: str
    asked: Any


class Service:
    """Answer the API's calls."""

    def __init__(
        self,
        settings: ServerSettings,
        store: Store,
        signer: Signer,
        bucket: Bucket,
        clock: Clock,
        searching: Searching,
    ) -> None:
        self._settings = settings
        self._store = store
        self._signer = signer
        self._bucket = bucket
        self._clock = clock
        self._searching = searching
        calls: Mapping[type[Request], Callable[[Call], Awaitable[Answer]]] = {
            CheckIn: self._check_in,
            Submit: self._submit,
            GetStatus: self._status,
            FetchOutput: self._fetch_output,
            Delete: self._delete,
            ListFiles: self._list,
            KeywordSearch: self._keyword_search,
            SemanticSearch: self._semantic_search,
            Update: self._update,
            ShowTree: self._show_tree,
            CheckCap: self._check_cap,
        }
        self._calls = {kind.endpoint.path: (kind, call) for kind, call in calls.items()}
        self.paths = frozenset(self._calls)

    async def answer(self, path: str, account: str, base_url: str, body: bytes) -> Answer:
        """Answer one call of an account to one of `paths`."""
        request_id = new_id()
        kind, call = self._calls[path]
        try:
            asked = decode(kind, body)
            if kind is not CheckIn:  # whose body may be anything
                _check_text(body)
            return await call(Call(request_id, account, base_url, asked))
        except (MalformedBody, InvalidArgument, InvalidArgumentType) as error:
            return answers.refused(request_id, str(error))

    async def _check_in(self, call: Call) -> Answer:
        return answers.checked_in(call.request_id)

    async def _submit(self, call: Call) -> Answer:
        now = self._clock.wall()
        most = self._settings.max_waiting
        if await self._store.waiting(most) == most:
            return answers.busy(call.request_id, most)
        record = _new_record(call, ends_at=now + self._settings.ticket_seconds)
        refusal = await self._store.add(record, now)
        if refusal == "other_chain":
            return answers.refused(
                call.request_id,
                f"{SAME_NAME_OTHER_CHAIN} and another chain of modules: "
                "choose another pipeline name, or delete those files first",
            )
        if refusal == "path_taken":
            return answers.refused(call.request_id, PATH_TAKEN.format(record.symbolic_file_path))
        fields = self._signer.form(
            upload_key(record.file_id),
            now=now,
            expires_at=record.ends_at,
            sizes=(1, _most_bytes(record.chain)),
        )
        return answers.ticket(record, call.base_url + UPLOAD_PATH, fields)

    async def _status(self, call: Call) -> Answer:
        asked: GetStatus = call.asked
        record = await self._store.by_process(call.account, asked.process_id, self._clock.wall())
        if record is None:
            return answers.process_not_found(call.request_id, asked.process_id)
        if record.pipeline != asked.pipeline:
            return answers.other_pipeline(call.request_id)
        return answers.status(call.request_id, record)

    async def _file(self, call: Call) -> Record | None:
        asked: FetchOutput | Delete | Update = call.asked
        record = await self._store.by_file(call.account, asked.file_id, self._clock.wall())
        return record if record is not None and record.pipeline == asked.pipeline else None

    async def _fetch_output(self, call: Call) -> Answer:
        asked: FetchOutput = call.asked
        record = await self._file(call)
        if record is None or record.state == "failed":
            return answers.no_output_ever(call.request_id, asked, record)
        if not record.finished:
            return answers.no_output_yet(call.request_id, asked)
        url = self._bucket.output_url(
            call.base_url, record, link_seconds=self._settings.link_seconds
        )
        return answers.output(call.request_id, asked, record, url)

    async def _delete(self, call: Call) -> Answer:
        record = await self._file(call)
        if record is None:
            return answers.file_not_found(call.request_id, call.asked.pipeline, call.asked.file_id)
        if not record.finished:
            return answers.not_finished(call.request_id, record)
        await self._store.delete(record.file_id)
        return answers.deleted(call.request_id, record)

    async def _update(self, call: Call) -> Answer:
        asked: Update = call.asked
        changes = check_changes(asked, self._clock.wall())
        record = await self._file(call)
        if record is None:
            return answers.file_not_found(call.request_id, asked.pipeline, asked.file_id)
        if not record.finished:
            return answers.not_finished(call.request_id, record)
        if extension_of(changes.get("file_name", record.file_name)) != record.extension:
            return answers.extension_is_fixed(call.request_id, record)
        done = await self._store.update(record.file_id, self._clock.wall(), changes)
        if done == "path_taken":
            moved = attrs.evolve(record, **changes)
            return answers.other_file_has_path(call.request_id, record, moved.symbolic_file_path)
        if done is None:
            return answers.file_not_found(call.request_id, asked.pipeline, asked.file_id)
        return answers.updated(call.request_id, done)

    async def _show_tree(self, call: Call) -> Answer:
        asked: ShowTree = call.asked
        folder = query_directory(asked.symbolic_directory_path, name="symbolic_directory_path")
        most = MAX_FILES[1] if asked.max_files is None else check_max_files(asked.max_files)
        query = ListFiles(
            pipeline=asked.pipeline, symbolic_directory_paths=(folder,), max_files=most
        )
        selection = await self._searching.select(call.account, query)
        paths = [record.symbolic_file_path for record in selection.records[:most]]
        return answers.tree(call.request_id, paths, selection.warnings)

    async def _check_cap(self, call: Call) -> Answer:
        return answers.cap(call.request_id)

    async def _list(self, call: Call) -> Answer:
        selection = await self._searching.select(call.account, call.asked)
        return answers.files(
            call.request_id,
            selection.records[: call.asked.max_files],
            selection.warnings,
            by_ids=only_ids(call.asked) is not None,
        )

    async def _keyword_search(self, call: Call) -> Answer:
        return await self._searching.by_keyword(call.account, call.request_id, call.asked)

    async def _semantic_search(self, call: Call) -> Answer:
        return await self._searching.by_meaning(call.account, call.request_id, call.asked)


def _check_text(body: bytes) -> None:
    """Raise MalformedBody for what JSON can say but no text can hold.

    That is half of a surrogate pair. Bodies in UTF-16 or UTF-32, where such an escape would go
    unseen, are refused with all others that hold a zero byte.
    """
    if b"\0" in body:
        raise MalformedBody("the body is not JSON in UTF-8")
    if rb"\ud" not in body.lower():
        return
    try:
        json.dumps(json.loads(body), ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise MalformedBody("a string holds half of a surrogate pair") from None


def _most_bytes(chain: tuple[str, ...]) -> int:
    return SUMMARIZE_BYTES if chain[0] == "summarize" else SIZE_BYTES[input_format(chain)][1]


def _new_record(call: Call, *, ends_at: float) -> Record:
    """Give the record that a submission asks for, or raise for the first rule it breaks."""
    asked: Submit = call.asked
    chain = check_chain(asked.pipeline_ordered_modules)
    if tuple(asked.pipeline_output_process_keys) != output_process_keys(chain):
        raise InvalidArgument(
            "pipeline_output_process_keys are not those of the chain: "
            f"{json.dumps(output_process_keys(chain))}"
        )
    return Record(
        file_id=new_id(),
        process_id=call.request_id,
        account=call.account,
        pipeline=check_pipeline_name(asked.pipeline),
        chain=chain,
        modules=fill_modules(chain, asked.modules),
        file_name=check_file_name(
            asked.file_name, extension=check_extension(asked.file_name, chain)
        ),
        symbolic_directory_path=check_directory(asked.symbolic_directory_path),
        file_tags=check_tags(asked.file_tags),
        file_description=check_description(asked.file_description),
        expire_time=check_expire_time(asked.expire_time),
        ends_at=ends_at,
    )
