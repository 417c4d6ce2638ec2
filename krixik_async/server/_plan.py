"""A plan of what goes wrong: composable, JSON both ways, no I/O.

A `FaultPlan` holds faults, decides call by call which strike, and counts. Draws come from
generators of the plan's own, one a fault, so that a plan and an order of calls give the same
faults in every run.
"""

from __future__ import annotations

import json
import random
from typing import Any

import attrs

from krixik_async._errors import InvalidArgument, InvalidArgumentType
from krixik_async._reply import JSON
from krixik_async.server._faults import ANY, KINDS, Fault, SpoilSecondUpload

# Where a server that was started with a plan tells it and takes another. Here and not in
# `_mischief`, for testing tools must import without the server's own packages.
FAULTS_PATH = "/-/faults"


@attrs.frozen
class FaultCount:
    """Count the calls that a fault matched, and those of them that it struck."""

    fault: Fault
    matched: int
    fired: int


@attrs.define(eq=False)
class _Entry:
    fault: Fault
    rng: random.Random
    matched: int = 0
    fired: int = 0

    def strikes(self) -> bool:
        """Count one more matching call; tell whether it would be struck."""
        self.matched += 1
        fault = self.fault
        # Drawn for every call: what other faults do must not shift the draws.
        drawn = fault.probability is None or self.rng.random() < fault.probability
        chosen = not fault.on or self.matched in fault.on
        return drawn and chosen and (fault.times is None or self.fired < fault.times)


class FaultPlan:
    """Hold the faults of one server, decide which calls they strike, and count.

    Use one plan for one server, because it holds the counts. `add` and `clear` work while the
    server runs. The same `seed` and order of calls give the same faults. Two plans are equal if
    their faults and seeds are; `a + b` gives a fresh plan of both, with the seed of `a`.
    """

    def __init__(self, *faults: Fault, seed: int = 0) -> None:
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise InvalidArgumentType(f"seed is {type(seed).__name__} but must be an int")
        self._seed = seed
        self._added = 0
        self._entries: list[_Entry] = []
        self.add(*faults)

    @property
    def seed(self) -> int:
        """Give the number that all draws begin from."""
        return self._seed

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Give the faults, in order."""
        return tuple(entry.fault for entry in self._entries)

    @property
    def counts(self) -> tuple[FaultCount, ...]:
        """Give for each fault, in order, how often it was matched and how often it fired."""
        return tuple(FaultCount(e.fault, e.matched, e.fired) for e in self._entries)

    @property
    def fired(self) -> int:
        """Give how many times faults fired, all together."""
        return sum(entry.fired for entry in self._entries)

    def add(self, *faults: Fault) -> None:
        """Add faults at the end; they count calls from now on."""
        for fault in faults:
            if type(fault) not in KINDS.values():
                raise InvalidArgumentType(
                    f"a FaultPlan holds faults such as Delay(...), not {type(fault).__name__}"
                )
            rng = random.Random(f"{self._seed}/{self._added}")
            self._added += 1
            self._entries.append(_Entry(fault, rng))

    def clear(self) -> None:
        """Remove all faults, and their counts."""
        self._entries.clear()

    def replace(self, other: FaultPlan) -> None:
        """Take over the faults and the seed of another plan; counts start again."""
        self.clear()
        self._seed, self._added = other.seed, 0
        self.add(*other.faults)

    def strike(self, endpoint: str) -> tuple[Fault, ...]:
        """Count one call and give the faults that strike it: any that add, one that does not."""
        struck: list[Fault] = []
        ended = False
        for entry in self._entries:
            fault = entry.fault
            if isinstance(fault, SpoilSecondUpload) or not {ANY, endpoint} & {*fault.at}:
                continue
            if entry.strikes() and (fault.adds or not ended):
                ended = ended or not fault.adds
                entry.fired += 1
                struck.append(fault)
        return tuple(struck)

    def spoils_second_upload(self) -> bool:
        """Count one second upload; tell whether it ruins its record."""
        entries = [e for e in self._entries if isinstance(e.fault, SpoilSecondUpload)]
        struck = [entry for entry in entries if entry.strikes()]
        for entry in struck[:1]:
            entry.fired += 1
        return bool(struck)

    def __add__(self, other: object) -> FaultPlan:
        if not isinstance(other, FaultPlan):
            return NotImplemented
        return FaultPlan(*self.faults, *other.faults, seed=self.seed)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FaultPlan):
            return NotImplemented
        return (self.faults, self.seed) == (other.faults, other.seed)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        inside = "".join(f"{fault!r}, " for fault in self.faults)
        return f"FaultPlan({inside}seed={self.seed})"

    def to_json(self) -> str:
        """Give the plan as JSON text: what `krixik-async serve --faults FILE` reads."""
        return json.dumps(self.describe(), indent=2)

    def describe(self) -> dict[str, JSON]:
        """Give the plan as JSON values; what a fault leaves at its default is left out."""
        return {"seed": self.seed, "faults": [_described(fault) for fault in self.faults]}

    @classmethod
    def from_json(cls, text: str | bytes) -> FaultPlan:
        """Give the plan that `to_json` wrote, or a person did. Raises InvalidArgument."""
        try:
            said = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidArgument(f"the fault plan is not JSON: {error}") from None
        faults = said.get("faults") if isinstance(said, dict) else None
        if not isinstance(faults, list) or set(said) - {"faults", "seed"}:
            raise InvalidArgument('a fault plan is an object {"seed": number, "faults": [...]}')
        return cls(*(_read(fault) for fault in faults), seed=said.get("seed", 0))


def _described(fault: Fault) -> JSON:
    given: dict[str, Any] = {"kind": fault.kind}
    for field in attrs.fields(type(fault)):
        value = getattr(fault, field.name)
        if field.name == "at" or value != _default(field):
            given[field.name] = list(value) if isinstance(value, tuple) else value
    return given


def _default(field: attrs.Attribute[Any]) -> object:
    default: Any = field.default
    return {} if field.name == "headers" else default


def _read(said: JSON) -> Fault:
    fields: dict[str, Any] = dict(said) if isinstance(said, dict) else {}
    kind = KINDS.get(str(fields.pop("kind", "")))
    if kind is None:
        raise InvalidArgument(f"each fault of a plan names its kind, one of {', '.join(KINDS)}")
    known = {field.name for field in attrs.fields(kind)}
    if fields.keys() - known:
        raise InvalidArgument(
            f"a fault of kind {kind.kind!r} has no {', '.join(sorted(fields.keys() - known))}: "
            f"it has {', '.join(sorted(known))}"
        )
    try:
        return kind(**fields)
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"a fault of kind {kind.kind!r}: {error}") from None
