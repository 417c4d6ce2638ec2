"""What came back over the wire, as a value: nothing here knows how it was sent."""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping
from typing import TypeAlias

import attrs

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"


@attrs.frozen
class Reply:
    """Hold one HTTP answer: status, headers (names in lower case) and the whole body."""

    status_code: int
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    body: bytes = attrs.field(default=b"", repr=False)

    @property
    def request_id(self) -> str | None:
        """Give the id that the service gave this call, or None if it gave none."""
        request_id = (self.json_object() or {}).get("request_id")
        return request_id if isinstance(request_id, str) else None

    def json(self) -> JSON:
        """Parse the body. Raises ValueError if it is not JSON in UTF-8.

        Nor may it hold half of a surrogate pair, which JSON can say and no text can hold: no
        form, file name or journal could be made of it.
        """
        try:
            parsed: JSON = json.loads(self.body.removeprefix(codecs.BOM_UTF8).decode())
            if rb"\ud" in self.body.lower():
                json.dumps(parsed, ensure_ascii=False).encode()
        except RecursionError as error:
            raise ValueError("JSON nested too deeply") from error
        return parsed

    def json_object(self) -> dict[str, JSON] | None:
        """Give the body as a JSON object, or None if it is anything else."""
        try:
            parsed = self.json()
        except ValueError:
            return None
        return parsed if isinstance(parsed, dict) else None
