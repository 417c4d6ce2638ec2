"""How a command comes by its client and its pipeline: the options that all commands share."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import attrs
import click

from krixik_async._commands import _completing
from krixik_async._commands._failing import failing
from krixik_async._commands._printing import Printer

if TYPE_CHECKING:
    from krixik_async._client import Krixik
    from krixik_async._pipeline import Pipeline

P = ParamSpec("P")
GO_ON = "Jobs that were sent go on."
AGAIN = "Jobs that were sent go on, and so does the same command with the same journal."


@attrs.frozen
class Chosen:
    """Hold what `--pipeline` names: a file, or a name and its chain."""

    given: str
    path: Path | None
    name: str = ""
    chain: tuple[str, ...] = ()

    async def open(self, krixik: Krixik) -> Pipeline:
        """Give the pipeline. Raises InvalidArgument for what cannot be one."""
        if self.path is not None:
            return await krixik.load_pipeline(config_path=self.path)
        return krixik.create_pipeline(name=self.name, module_chain=self.chain)


class _ChosenType(click.ParamType):  # type: ignore[type-arg]  # generic in newer clicks only
    name = "pipeline"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Chosen:
        text = str(value)
        name, sign, chain = text.rpartition("=")
        if not sign and not text.lower().endswith((".yml", ".yaml")):
            self.fail(
                f"{text!r} is neither a .yml file nor NAME=module,module such as books=keyword-db",
                param,
                ctx,
            )
        if not sign:
            return Chosen(text, Path(text))
        return Chosen(text, None, name, tuple(module.strip() for module in chain.split(",")))


@attrs.frozen
class Connection:
    """Hold what a command needs to open a client, and how it prints."""

    url: str | None
    data_dir: Path | None
    printer: Printer

    def options(self) -> list[str]:
        """Give the options that lead another command to the same place."""
        url = [] if self.url is None else ["--api-url", self.url]
        return url if self.data_dir is None else [*url, "--local", str(self.data_dir)]

    def open(self) -> Krixik:
        """Make the client: the embedded server's in this process, or the account's."""
        from krixik_async._client import Krixik

        if self.data_dir is not None:
            return Krixik.local(self.data_dir)
        return Krixik.from_env(api_url=self.url)


def connected(
    command: Callable[P, Awaitable[None]],
) -> Callable[..., None]:
    """Give a click command's function of a coroutine function that takes a `Connection` first."""

    @click.option("--api-url", "url", metavar="URL", help="Address; else KRIXIK_API_URL.")
    @click.option(
        "--local",
        "data_dir",
        type=click.Path(path_type=Path, file_okay=False),
        help="Work on an embedded server in this process, whose files are in this folder.",
    )
    @click.option("--json", "as_json", is_flag=True, help="Print JSON: results and failures.")
    @functools.wraps(command)
    def run(url: str | None, data_dir: Path | None, as_json: bool, **arguments: Any) -> None:
        connection = Connection(url, data_dir, Printer(as_json))
        with failing(connection.printer, AGAIN if arguments.get("journal") else GO_ON):
            import anyio

            anyio.run(functools.partial(command, connection, **arguments))  # type: ignore[arg-type]  # P is not known here

    return run


pipeline_option = click.option(
    "-p",
    "--pipeline",
    "chosen",
    type=_ChosenType(),
    shell_complete=_completing.pipeline,
    required=True,
    envvar="KRIXIK_PIPELINE",
    show_envvar=True,
    metavar="FILE.yml|NAME=MODULES",
    help="Its file, or its name and modules: books=parser,sentiment.",
)
