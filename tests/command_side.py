"""Commands against an embedded server in this process whose folder lasts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from click.testing import CliRunner, Result

from krixik_async import Krixik
from krixik_async._cli import cli

PIPELINE = "books=keyword-db"
UNKNOWN = "11111111-1111-4111-8111-111111111111"
TEXT = "The moon was full over the old harbour and the harbour was quiet.\n"


@attrs.frozen
class Shelf:
    """Hold a folder with a finished file in it, and the ids of that file."""

    data_dir: Path
    file_id: str
    request_id: str

    def run(self, command: str, *arguments: str, stdin: str | None = None) -> Result:
        """Run a command on it."""
        return CliRunner().invoke(
            cli, [command, "--local", str(self.data_dir), *arguments], input=stdin
        )

    def json(self, command: str, *arguments: str) -> list[Any]:
        """Run a command with --json; give its lines."""
        done = self.run(command, "--json", *arguments)
        assert done.exit_code == 0, done.output
        return [json.loads(line) for line in done.stdout.splitlines()]


def filled_shelf(folder: Path, texts: Mapping[str, str]) -> Shelf:
    """Make a folder with finished files of these symbolic paths; the ids are the first one's."""

    async def fill() -> Shelf:
        async with Krixik.local(folder / "data") as krixik:
            pipeline = krixik.create_pipeline(name="books", module_chain=["keyword-db"])
            source, jobs = folder / "text.txt", []
            for path, text in texts.items():
                source.write_text(text, encoding="utf-8")
                jobs.append(
                    await pipeline.process(
                        local_file_path=source,
                        symbolic_file_path=path,
                        file_tags=[{"kind": "prose"}],
                    )
                )
            result = await krixik.wait_until_complete(jobs)
            result.raise_for_failures()
            return Shelf(folder / "data", jobs[0].file_id, jobs[0].request_id)

    return asyncio.run(fill())
