"""What needs no connection: modules, completion."""

from __future__ import annotations

import click

from krixik_async._commands import _completing
from krixik_async._commands._failing import failing
from krixik_async._commands._printing import Printer, columns


@click.command()
@click.argument("name", required=False, shell_complete=_completing.module)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def modules(name: str | None, as_json: bool) -> None:
    """List the modules for pipelines, or show one."""
    from krixik_async._catalogue import MODULES

    printer = Printer(as_json)
    if name is None:
        rows = [
            (module.name, f"{module.takes} -> {module.gives}", ", ".join(module.models))
            for module in MODULES.values()
        ]
        with failing(printer):
            printer.result(list(MODULES), columns(rows))
        return
    import json

    from krixik_async._account import Account

    with failing(printer):
        config = Account.view_module_config(module_name=name)
        printer.result(config, json.dumps(config, indent=2).splitlines())


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script for completion in a shell.

    For bash, in ~/.bashrc: eval "$(krixik-async completion bash)"
    """
    printer = Printer(as_json=False)
    with failing(printer):
        script = _completing.script(shell, context.find_root().command)
        printer.result(None, script.splitlines())
