"""Numbers that a caller gives: what is none, or out of range, is refused in words.

An int may be beyond what a float can be, and beyond what can be printed.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable

from krixik_async._errors import InvalidArgument, InvalidArgumentType

# A longer repr says no more.
_SHOWN = 80


def shown(value: object) -> str:
    """Give a value for a message, cut short."""
    try:
        text = repr(value)
    except ValueError:
        return f"{type(value).__name__} that is too long"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def number(name: str, value: object, allowed: str, *, most: float = sys.float_info.max) -> float:
    """Give it as a float of 0 to `most`; `allowed` says in words what the argument must be.

    Raises InvalidArgumentType for what is no number, InvalidArgument for one out of range, or nan.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidArgumentType(f"{name} is {shown(value)} but must be {allowed}")
    if not 0 <= value <= most or (isinstance(value, int) and value > sys.float_info.max):
        raise InvalidArgument(f"{name} is {shown(value)} but must be {allowed}")
    return float(value)


def positive(name: str, value: object) -> float:
    """Give seconds, more than 0 and finite, or raise as `number` does."""
    allowed = "seconds, more than 0, and finite"
    seconds = number(name, value, allowed)
    if seconds == 0:
        raise InvalidArgument(f"{name} is {shown(value)} but must be {allowed}")
    return seconds


def positives(name: str, values: Iterable[object]) -> tuple[float, ...]:
    """Give seconds, each more than 0 and finite, or raise as `number` does."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise InvalidArgumentType(
            f"{name} is {shown(values)} but must be an iterable of seconds, such as [1, 5, 20]"
        )
    return tuple(positive(name, value) for value in values)


def whole(name: str, value: object, *, least: int) -> int:
    """Give an int of `least` or more, or raise as `number` does."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidArgumentType(f"{name} is {shown(value)} but must be an int, {least} or more")
    if value < least:
        raise InvalidArgument(f"{name} is {shown(value)} but must be {least} or more")
    return value


def pause(policy: object, given: object) -> float:
    """Give the seconds that a policy, of whomever, gave until the next look, or raise.

    Nothing is made of what is wrong: nan or a negative pause would ask without a rest, inf never.
    """
    try:
        # By what it can become: numpy's and decimal's numbers will do.
        seconds = math.nan if isinstance(given, str) else float(given)  # type: ignore[arg-type]
    except OverflowError:
        seconds = math.inf
    except (TypeError, ValueError) as error:
        raise InvalidArgumentType(_no_pause(policy, given)) from error
    if not 0 <= seconds < math.inf:
        raise InvalidArgument(_no_pause(policy, given))
    return seconds


def _no_pause(policy: object, given: object) -> str:
    return (
        f"{shown(policy)} gave {shown(given)} but must give 0 or more seconds, finite; to end a "
        "wait there are stop= and timeout="
    )
