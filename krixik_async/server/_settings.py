"""What a server is told at its start, checked once."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import attrs

from krixik_async._catalogue import MODULES, nearest
from krixik_async._errors import InvalidArgument, InvalidArgumentType

# The life of a record without an upload; as the hosted service's, seen 2026-11.
TICKET_SECONDS = 60.0
EVERY_MODULE = "all"


def _positive(_: object, field: attrs.Attribute[float], value: object) -> None:
    _number(field.name, value)
    if not 0 < float(str(value)) < float("inf"):
        raise InvalidArgument(f"{field.name} is {value} but must be above 0 and finite")


def _not_negative(_: object, field: attrs.Attribute[float], value: object) -> None:
    _number(field.name, value)
    if not 0 <= float(str(value)) < float("inf"):
        raise InvalidArgument(f"{field.name} is {value} but must be 0 or more and finite")


def _number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidArgumentType(f"{name} is {type(value).__name__} but must be a number")


def _keys(_: object, __: object, keys: tuple[str, ...]) -> None:
    if not keys:
        raise InvalidArgument("api_keys is empty: name at least one key, or nobody can call")
    for key in keys:
        if not isinstance(key, str):
            raise InvalidArgumentType(f"api_keys holds {type(key).__name__}: each must be a str")
        # A key travels as a header: nothing that could end or split one.
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise InvalidArgument(
                "api_keys holds a key that is empty or has blanks, line ends or characters "
                "outside ASCII: a uuid4 is a good key"
            )


def _whole(_: object, field: attrs.Attribute[int], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidArgument(f"{field.name} is {value!r} but must be a whole number of 1 or more")


def _processors() -> int:
    """Give how many processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _modules(names: Iterable[str]) -> tuple[str, ...]:
    """Give the modules that are named, in the catalogue's order."""
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise InvalidArgumentType(
            f"simulate is {names!r} but must be a list of module names, such as ['caption']"
        )
    asked = list(names)
    if EVERY_MODULE in asked:
        return tuple(MODULES)
    for name in asked:
        if name not in MODULES:
            raise InvalidArgument(
                f"simulate names {name!r}, which is no module.{nearest(str(name), MODULES)} "
                f"There are: {', '.join(MODULES)}, and {EVERY_MODULE} for all of them"
            )
    return tuple(name for name in MODULES if name in asked)


@attrs.frozen(kw_only=True)
class ServerSettings:
    """Hold a server's settings.

    `data_dir` is made if it is missing; one server at a time may use it; None means a temporary
    folder that goes with the server. Each of `api_keys` is an account of its own. `workers` is
    how many files are processed at a time, by default one for each processor. While `max_waiting`
    files are unfinished no more are taken (429). `link_seconds` is the life of a download link.
    `model_dir` is a folder of model weights, `<model_dir>/<model>/`, or a Hugging Face cache.

    For tests and demos, `simulate` names modules that put out a well-formed placeholder instead of
    computing anything ("all" names every one; a file's metadata says "simulated": true of them),
    `min_module_seconds` makes each module take at least that long and `ticket_seconds` sets the
    life of a record without an upload.

    Raises InvalidArgument or InvalidArgumentType for values that cannot work.
    """

    data_dir: Path | None = attrs.field(default=None, converter=attrs.converters.optional(Path))
    api_keys: tuple[str, ...] = attrs.field(repr=False, validator=_keys)
    min_module_seconds: float = attrs.field(default=0.0, validator=_not_negative)
    ticket_seconds: float = attrs.field(default=TICKET_SECONDS, validator=_positive)
    workers: int = attrs.field(factory=_processors, validator=_whole)
    max_waiting: int = attrs.field(default=10_000, validator=_whole)
    link_seconds: float = attrs.field(default=3600.0, validator=_positive)
    model_dir: Path | None = attrs.field(default=None, converter=attrs.converters.optional(Path))
    simulate: tuple[str, ...] = attrs.field(default=(), converter=_modules)
