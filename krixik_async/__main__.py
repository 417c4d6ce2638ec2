"""The command `krixik-async`, also as `python -m krixik_async`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; without click, say in one line how to get it."""
    try:
        from krixik_async._cli import cli
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        sys.stderr.write('The command line needs click: pip install "krixik-async[cli]"\n')
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)  # as every command does; nothing has begun that would have to be told of
    cli(prog_name="krixik-async")


if __name__ == "__main__":
    main()
