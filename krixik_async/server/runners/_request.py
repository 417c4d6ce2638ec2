"""What every runner is given, and the one error it raises for input it cannot process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attrs import field, frozen

__all__ = ["RunRequest", "RunnerError"]


class RunnerError(Exception):
    """The input or the parameters of a run cannot be processed; trying again will not help.

    The message is one line and quotes nothing of the file's content.
    """


def _copied(params: Mapping[str, object]) -> Mapping[str, object]:
    # A plain dict of our own: a read-only proxy, which a caller may well hold, does not pickle.
    return dict(params)


@frozen
class RunRequest:
    """One module's work on one file, picklable."""

    module: str
    """Name in the module catalogue, as "parser"."""

    model: str
    """Name of one of the module's models, as "sentence"."""

    params: Mapping[str, object] = field(converter=_copied)
    """The model's parameters; empty for most."""

    source: Path
    """The input file, read whole."""

    destination: Path
    """Where the output goes, written whole."""

    input_key: str | None
    """The process key of JSON that comes in ("snippet", "text", "caption", ...), else None."""

    model_dir: Path | None = None
    """Where the server's owner keeps model weights, if that was said."""

    simulated: bool = False
    """Whether a placeholder was asked for instead of the module's real output."""
