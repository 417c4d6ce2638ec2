"""What all results have in common: a migrated `result["file_id"]` is told what to write instead."""

from __future__ import annotations

from typing import NoReturn


class Value:
    """Be the base of results: refuse subscripts with a sentence that teaches."""

    __slots__ = ()

    def __getitem__(self, key: object) -> NoReturn:
        has_it = isinstance(key, str) and hasattr(self, key)
        attribute = f".{key}, or " if has_it else ""
        raise TypeError(
            f"{type(self).__name__} is a typed value and takes no subscript: "
            f"write {attribute}.to_dict()[{key!r}]"
        )
