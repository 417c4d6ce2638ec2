"""The command line: thin commands over the public API; heavy imports only in the command in need.

The exit status tells the kind of failure, and one line on stderr says more (`_failing`).
"""

from __future__ import annotations

import uuid
from pathlib import Path

import click

from krixik_async._commands import COMMANDS, Commands, Printer, failing, modules_or_all
from krixik_async._version import __version__


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="krixik-async")
def cli() -> None:
    """Work with Krixik pipelines, and run a server to try them on."""


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8642,
    show_default=True,
    help="Port to listen on; 0 picks a free one.",
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    default=Path("krixik-data"),
    show_default=True,
    help="Folder for records and files, made if missing. One server at a time may use it.",
)
@click.option(
    "--api-key",
    "api_keys",
    multiple=True,
    metavar="KEY",
    help="Key of an account; repeat it for more. Without one, a key is made up and shown.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    help="How many files are processed at a time.  [default: one for each processor]",
)
@click.option(
    "--model-dir",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of model weights: DIR/<model>/, or a Hugging Face cache.",
)
@click.option(
    "--simulate",
    default="",
    metavar="MODULE[,MODULE...]",
    shell_complete=modules_or_all,
    help="For tests and demos: let these modules (or: all) put out a placeholder, computing "
    "nothing.",
)
@click.option(
    "--min-module-seconds",
    type=float,
    default=0.0,
    metavar="S",
    help="For tests and demos: let each module take at least this long.",
)
@click.option(
    "--ticket-seconds",
    type=float,
    default=60.0,
    show_default=True,
    metavar="S",
    help="For tests and demos: life of a record whose file is not uploaded.",
)
@click.option(
    "--faults",
    "faults_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="PLAN.JSON",
    help="For tests: let calls go wrong as this fault plan says.",
)
def serve(
    host: str,
    port: int,
    data_dir: Path,
    api_keys: tuple[str, ...],
    workers: int | None,
    model_dir: Path | None,
    simulate: str,
    min_module_seconds: float,
    ticket_seconds: float,
    faults_file: Path | None,
) -> None:
    """Run the embedded Krixik-compatible server until Ctrl-C.

    When it accepts connections it prints one line on stdout, "krixik-async server ready on URL".
    Records and files survive a restart with the same --data-dir.
    """
    from krixik_async.server import ServerSettings
    from krixik_async.server._plan import FaultPlan
    from krixik_async.server._serving import serve as serve_until_stopped

    made_up = None if api_keys else str(uuid.uuid4())
    try:
        settings = ServerSettings(
            data_dir=data_dir,
            api_keys=api_keys if made_up is None else (made_up,),
            **({} if workers is None else {"workers": workers}),
            model_dir=model_dir,
            simulate=[name.strip() for name in simulate.split(",") if name.strip()],
            min_module_seconds=min_module_seconds,
            ticket_seconds=ticket_seconds,
        )
        faults = None if faults_file is None else FaultPlan.from_json(faults_file.read_bytes())
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    with failing(Printer(as_json=False), "The server was not up yet."):
        serve_until_stopped(
            settings,
            host=host,
            port=port,
            ready=lambda url: _announce(url, made_up),
            faults=faults,
        )


def _announce(url: str, made_up_key: str | None) -> None:
    printer = Printer(as_json=False)
    if made_up_key is not None:
        said = (
            f"No --api-key was given. For this run the key is {made_up_key}; "
            "give it with --api-key next time to see the same files."
        )
        printer.note(None, [said])
    printer.result(None, [f"krixik-async server ready on {url}"])


for command in COMMANDS:
    cli.add_command(command)
