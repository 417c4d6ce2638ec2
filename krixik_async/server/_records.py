"""One file on record, as a value, and the few things that follow from it alone.

A record lives through

    ticketed ──(upload stored)──> processing ──(last module)──> complete
        │                             └───(a module failed)───> failed
        └ gone at `ends_at`, as all others are: a ticket's deadline first, then the file's expiry

and no other way. It is gone for every reader at `ends_at`, to the moment.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import attrs

from krixik_async._catalogue import MODULES, OUTPUT_EXTENSIONS
from krixik_async._reply import JSON
from krixik_async._validation import extension_of

State: TypeAlias = Literal["ticketed", "processing", "complete", "failed"]


def new_id() -> str:
    """Give a fresh random uuid; the only place of the server that makes one."""
    return str(uuid.uuid4())


def account_of(api_key: str) -> str:
    """Give the account's name: a digest, so that no key is ever stored."""
    return hashlib.sha256(api_key.encode("utf-8")).hexdigest()


@attrs.frozen(kw_only=True)
class Record:
    """Hold one file's record; times are epoch seconds, `modules` is filled in by label.

    `created_at` is when processing ended; `input_sha256` is the digest of what was uploaded;
    `failure` is the reason, for the log of whoever runs the server.
    """

    file_id: str
    process_id: str
    account: str
    pipeline: str
    chain: tuple[str, ...]
    modules: Mapping[str, Any]
    file_name: str
    symbolic_directory_path: str
    file_tags: tuple[Mapping[str, str], ...]
    file_description: str
    expire_time: int
    ends_at: float
    state: State = "ticketed"
    modules_done: int = 0
    modules_data: Mapping[str, JSON] = attrs.field(factory=dict)
    failure_module: str | None = None
    failure: str | None = None
    input_sha256: str | None = None
    uploaded_at: float | None = None
    created_at: float = 0.0
    last_updated: float = 0.0

    @property
    def symbolic_file_path(self) -> str:
        """Give directory and name as one path."""
        return f"{self.symbolic_directory_path.rstrip('/')}/{self.file_name}"

    @property
    def extension(self) -> str:
        """Give the extension of the file that was sent, with the dot."""
        return extension_of(self.file_name)

    @property
    def finished(self) -> bool:
        """Tell whether processing is over, well or not."""
        return self.state in ("complete", "failed")

    @property
    def output_extension(self) -> str:
        """Give the extension of the chain's output, with the dot."""
        return OUTPUT_EXTENSIONS[MODULES[self.chain[-1]].gives]

    def label(self, position: int) -> str:
        """Give the wire's name of the module at a position from 0: "module_1.parser"."""
        return f"module_{position + 1}.{self.chain[position]}"

    def about(self, position: int) -> Mapping[str, JSON]:
        """Give what the module at a position from 0 said of its output, once it is done."""
        said = self.modules_data.get(f"module_{position + 1}")
        about = said.get(self.chain[position]) if isinstance(said, dict) else None
        return about if isinstance(about, dict) else {}

    def simulated(self, position: int) -> bool:
        """Tell whether the module at a position from 0 put out a placeholder."""
        return self.about(position).get("simulated") is True
