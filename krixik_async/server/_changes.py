"""What an update asks to change: its rules, without I/O.

A new `expire_time` counts from the update, not from the upload: so 1800 always means another half
hour, and no update can make a file vanish that has been there for longer than that.
"""

from __future__ import annotations

from typing import Any

from krixik_async._errors import InvalidArgument
from krixik_async._validation import (
    check_description,
    check_directory,
    check_expire_time,
    check_file_name,
    check_tags,
    extension_of,
)
from krixik_async._wire import Update


def check_changes(asked: Update, now: float) -> dict[str, Any]:
    """Give the record's fields that change, or raise InvalidArgument for the first broken rule."""
    changes: dict[str, Any] = {}
    if asked.file_name is not None:
        extension = extension_of(asked.file_name)
        changes["file_name"] = check_file_name(asked.file_name, extension=extension)
    if asked.symbolic_directory_path is not None:
        changes["symbolic_directory_path"] = check_directory(asked.symbolic_directory_path)
    if asked.file_tags is not None:
        changes["file_tags"] = check_tags(asked.file_tags)
    if asked.file_description is not None:
        changes["file_description"] = check_description(asked.file_description)
    if asked.expire_time is not None:
        changes["expire_time"] = check_expire_time(asked.expire_time)
        changes["ends_at"] = now + changes["expire_time"]
    if not changes:
        raise InvalidArgument(
            "nothing to change was given: at least one of file_name, symbolic_directory_path, "
            "file_tags, file_description and expire_time is needed"
        )
    return changes
