"""Readers of what concerns finished files: records, hits, links, changes, deletions."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import attrs

from krixik_async._errors import FileRecordNotFound, NotFinished, RequestRejected
from krixik_async._models import (
    DeleteResult,
    FileRecord,
    KeywordHit,
    KeywordItem,
    KeywordSearchResult,
    ListResult,
    Output,
    SearchedFile,
    SemanticHit,
    SemanticItem,
    SemanticSearchResult,
    UpdateResult,
)
from krixik_async._reply import JSON, Reply
from krixik_async._wire._answers import (
    NOT_FINISHED,
    answered,
    json_object,
    narrow,
    says_not_found,
    tags,
    text,
    text_or_none,
    unexpected,
)
from krixik_async._wire._requests import Endpoint


@attrs.frozen(kw_only=True)
class DownloadLink:
    """Hold one output's signed link and its extension, with the dot."""

    url: str = attrs.field(repr=False)
    extension: str


@attrs.frozen(kw_only=True)
class OutputLinks:
    """Hold the answer to fetch-output; `links` is None where the service names no output.

    `output` is what was answered, with nothing fetched yet.
    """

    output: Output
    links: tuple[DownloadLink, ...] | None


def _items(endpoint: Endpoint, reply: Reply, body: Mapping[str, JSON]) -> list[dict[str, JSON]]:
    items = body.get("items")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise unexpected(endpoint, reply, "it holds no items")
    return [item for item in items if isinstance(item, dict)]


def read_list(endpoint: Endpoint, reply: Reply) -> ListResult:
    """Give the records found; none is an empty result, not an error."""
    body = json_object(endpoint, reply)
    return ListResult(
        **answered(reply, body),
        items=tuple(_read_record(item) for item in _items(endpoint, reply, body)),
    )


def _read_record(item: dict[str, JSON]) -> FileRecord:
    metadata = item.get("file_metadata")
    return FileRecord(
        file_id=text(item.get("file_id")),
        process_id=text(item.get("process_id")),
        pipeline=text(item.get("pipeline")),
        file_name=text(item.get("file_name")),
        symbolic_directory_path=text(item.get("symbolic_directory_path")),
        file_tags=tags(item.get("file_tags")),
        file_description=text(item.get("file_description")),
        created_at=text(item.get("created_at")),
        last_updated=text(item.get("last_updated")),
        expire_time=text(item.get("expire_time")),
        file_metadata=metadata if isinstance(metadata, dict) else {},
        raw=item,
    )


def read_keyword_search(endpoint: Endpoint, reply: Reply) -> KeywordSearchResult:
    """Give the hits by file; none is an empty result, not an error."""
    body = json_object(endpoint, reply)
    return KeywordSearchResult(
        **answered(reply, body),
        items=tuple(_read_keyword_item(item) for item in _items(endpoint, reply, body)),
    )


def _read_keyword_item(item: dict[str, JSON]) -> KeywordItem:
    return KeywordItem(
        file_id=text(item.get("file_id")),
        file_metadata=_read_searched(item),
        search_results=tuple(
            KeywordHit(
                keyword=text(hit.get("keyword")),
                line_number=_whole(hit.get("line_number")),
                keyword_number=_whole(hit.get("keyword_number")),
                raw=hit,
            )
            for hit in _hits(item)
        ),
        raw=item,
    )


def _read_searched(item: dict[str, JSON]) -> SearchedFile:
    metadata = item.get("file_metadata")
    about = metadata if isinstance(metadata, dict) else {}
    return SearchedFile(
        file_name=text(about.get("file_name")),
        symbolic_directory_path=text(about.get("symbolic_directory_path")),
        file_tags=tags(about.get("file_tags")),
        num_lines=_whole(about.get("num_lines")),
        num_vectors=_whole(about.get("num_vectors")),
        created_at=text(about.get("created_at")),
        last_updated=text(about.get("last_updated")),
        raw=about,
    )


def _hits(item: dict[str, JSON]) -> list[dict[str, JSON]]:
    hits = item.get("search_results")
    return [hit for hit in hits if isinstance(hit, dict)] if isinstance(hits, list) else []


def read_semantic_search(endpoint: Endpoint, reply: Reply) -> SemanticSearchResult:
    """Give the nearest snippets by file; none is an empty result, not an error."""
    body = json_object(endpoint, reply)
    return SemanticSearchResult(
        **answered(reply, body),
        items=tuple(_read_semantic_item(item) for item in _items(endpoint, reply, body)),
    )


def _read_semantic_item(item: dict[str, JSON]) -> SemanticItem:
    return SemanticItem(
        file_id=text(item.get("file_id")),
        file_metadata=_read_searched(item),
        search_results=tuple(
            SemanticHit(
                snippet=text(hit.get("snippet")),
                line_numbers=_wholes(hit.get("line_numbers")),
                distance=_real(hit.get("distance")),
                raw=hit,
            )
            for hit in _hits(item)
        ),
        raw=item,
    )


def _wholes(values: JSON) -> tuple[int, ...]:
    return tuple(_whole(value) for value in values) if isinstance(values, list) else ()


def _real(value: JSON) -> float:
    try:
        return value if isinstance(value, float) else float(_whole(value))
    except OverflowError:  # JSON knows integers that no float holds
        return math.inf


def _whole(value: JSON) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def read_delete(endpoint: Endpoint, reply: Reply, *, file_id: str) -> DeleteResult:
    """Give the confirmation. Raises FileRecordNotFound, or NotFinished (nothing was deleted)."""
    body = _file_answer(endpoint, reply, file_id)
    return DeleteResult(
        **answered(reply, body),
        pipeline=text(body.get("pipeline")),
        file_id=file_id,
    )


def read_update(endpoint: Endpoint, reply: Reply, *, file_id: str) -> UpdateResult:
    """Give the confirmation. Raises FileRecordNotFound, or NotFinished (nothing was changed)."""
    body = _file_answer(endpoint, reply, file_id)
    return UpdateResult(
        **answered(reply, body),
        pipeline=text(body.get("pipeline")),
        file_id=file_id,
    )


def read_output_links(endpoint: Endpoint, reply: Reply, *, file_id: str) -> OutputLinks:
    """Give the links. Raises FileRecordNotFound, or NotFinished."""
    body = _file_answer(endpoint, reply, file_id)
    output = Output(**answered(reply, body), pipeline=text(body.get("pipeline")), file_id=file_id)
    return OutputLinks(
        output=output, links=_read_links(endpoint, reply, body.get("process_output"))
    )


def _read_links(endpoint: Endpoint, reply: Reply, outputs: JSON) -> tuple[DownloadLink, ...] | None:
    if outputs is None:
        return None
    links: list[DownloadLink] = []
    for output in outputs if isinstance(outputs, list) else [None]:
        url = output.get("url") if isinstance(output, dict) else None
        extension = output.get("extension") if isinstance(output, dict) else None
        if not (isinstance(url, str) and isinstance(extension, str)):
            raise unexpected(endpoint, reply, "its process_output holds no links")
        if not re.fullmatch(r"\.?[A-Za-z0-9]{1,16}", extension):
            raise unexpected(endpoint, reply, "its extension is not one")
        links.append(DownloadLink(url=url, extension=f".{extension.removeprefix('.')}"))
    return tuple(links)


def _file_answer(endpoint: Endpoint, reply: Reply, file_id: str) -> dict[str, JSON]:
    try:
        body = json_object(endpoint, reply)
    except RequestRejected as error:
        if says_not_found(error):
            raise narrow(
                error,
                FileRecordNotFound,
                f"no file {file_id} is on record in this pipeline: the id is wrong, of another "
                "account or pipeline, or the file was deleted or has expired",
            ) from None
        raise
    if NOT_FINISHED in text(body.get("message")):
        raise NotFinished(
            f"file {file_id} is still being processed: wait for it first "
            "(wait_until_complete). Nothing was changed",
            request_id=text_or_none(body.get("request_id")),
            file_id=file_id,
            endpoint=endpoint.name,
            reply=reply,
        )
    return body
