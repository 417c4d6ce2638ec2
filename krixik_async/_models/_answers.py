"""What calls about files give back, and an output on disk."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

import attrs

from krixik_async._errors import KrixikError
from krixik_async._models._value import Value
from krixik_async._reply import JSON, Reply


@attrs.frozen(kw_only=True)
class Answer(Value):
    """Hold what every JSON answer carries; `request_id` is the id of the call."""

    status_code: int
    request_id: str
    message: str
    warnings: tuple[JSON, ...] = ()
    raw: Mapping[str, JSON] = attrs.field(repr=False, eq=False, factory=dict)
    reply: Reply | None = attrs.field(repr=False, eq=False, default=None)

    def to_dict(self) -> dict[str, JSON]:
        """Give the official dict: status_code, then the service's own keys."""
        return {"status_code": self.status_code, **copy.deepcopy(dict(self.raw))}


@attrs.frozen(kw_only=True)
class FileRecord(Value):
    """Hold one file on record, as `list` gives it; times are "YYYY-MM-DD HH:MM:SS" in UTC."""

    file_id: str
    process_id: str
    pipeline: str
    file_name: str
    symbolic_directory_path: str
    file_tags: tuple[Mapping[str, str], ...] = ()
    file_description: str = ""
    created_at: str = ""
    last_updated: str = ""
    expire_time: str = ""
    file_metadata: Mapping[str, JSON] = attrs.field(factory=dict, repr=False)
    raw: Mapping[str, JSON] = attrs.field(repr=False, eq=False, factory=dict)

    @property
    def symbolic_file_path(self) -> str:
        """Give directory and name as one path."""
        return f"{self.symbolic_directory_path.rstrip('/')}/{self.file_name}"

    def to_dict(self) -> dict[str, JSON]:
        """Give the service's own item."""
        return copy.deepcopy(dict(self.raw))


@attrs.frozen(kw_only=True)
class ListResult(Answer):
    """Hold the files that a `list` found; iterate over it or read `items`."""

    items: tuple[FileRecord, ...] = ()

    def __iter__(self) -> Iterator[FileRecord]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@attrs.frozen(kw_only=True)
class UpdateResult(Answer):
    """Hold the confirmation that a file's metadata was changed."""

    pipeline: str = ""
    file_id: str = ""


@attrs.frozen(kw_only=True)
class CapResult(Answer):
    """Hold what the service says of the account's allowance: read `message` and `raw`."""


@attrs.frozen(kw_only=True)
class DeleteResult(Answer):
    """Hold the confirmation that a file and its record are gone."""

    pipeline: str = ""
    file_id: str = ""


@attrs.frozen(kw_only=True)
class ResetResult:
    """Hold what `reset_pipeline` did: the file_ids deleted, and an error for each that was not.

    `answers` are the deletions as the service confirmed them, each with its `reply`.
    """

    pipeline: str
    answers: tuple[DeleteResult, ...] = attrs.field(default=(), repr=False)
    failures: Mapping[str, KrixikError] = attrs.field(factory=dict)

    @property
    def deleted(self) -> tuple[str, ...]:
        """Give the file_ids that were deleted."""
        return tuple(answer.file_id for answer in self.answers)


@attrs.frozen(kw_only=True)
class Output(Answer):
    """Hold a pipeline's output on disk.

    `process_output_files` are the paths written. `process_output` is the parsed JSON if there is
    exactly one output, a .json smaller than 0.5 MB (the official client's rule); otherwise it is
    None, and you read the files.
    """

    pipeline: str = ""
    file_id: str = ""
    process_output: JSON = attrs.field(default=None, repr=False)
    process_output_files: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, JSON]:
        """Give the official dict, with the output and its files in their places.

        Where the service names no output there is none and no list of files either.
        """
        shape = super().to_dict()
        if shape.get("process_output") is None:
            return shape
        shape["message"] = self.message
        shape["process_output"] = copy.deepcopy(self.process_output)
        shape["process_output_files"] = list(self.process_output_files)
        return shape
