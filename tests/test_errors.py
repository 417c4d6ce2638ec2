"""The tree of errors: as drawn, whole, picklable, and never without its ids."""

from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest

from krixik_async import _errors
from krixik_async._errors import (
    AuthenticationError,
    JobError,
    JobsFailed,
    KrixikError,
    MissingExtra,
    ProcessFailed,
    WaitTimeout,
)
from krixik_async._models import JobOutcome, JobRef
from krixik_async._reply import Reply

REF = JobRef(request_id="r", pipeline="books", file_id="f", expires_at=1800.0)
IDS = {
    "request_id": "r",
    "file_id": "f",
    "pipeline": "books",
    "endpoint": "process",
    "attempts": 3,
    "elapsed_s": 1.5,
}
CLASSES = sorted(
    (kind for _, kind in inspect.getmembers(_errors, inspect.isclass) if kind is not type),
    key=lambda kind: kind.__name__,
)
every_class = pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)


def drawn() -> dict[str, tuple[str, str | None]]:
    """Read the drawing: class -> (its parent, the builtin it also is)."""
    tree: dict[str, tuple[str, str | None]] = {}
    above: list[str] = []
    for line in (_errors.__doc__ or "").splitlines():
        found = re.match(r"^    ([│├└─ ]*)([A-Z]\w+)(?: \((\w+)\))?", line)
        if found and (found[1] or found[2] == "KrixikError"):
            depth = len(found[1]) // 4
            parent = above[depth - 1] if depth else "Exception"
            tree[found[2]] = (parent, found[3])
            above[depth:] = [found[2]]
    return tree


def test_the_drawing_shows_exactly_the_classes_and_their_parents() -> None:
    coded = {
        kind.__name__: (
            kind.__bases__[0].__name__,
            kind.__bases__[1].__name__ if len(kind.__bases__) > 1 else None,
        )
        for kind in CLASSES
    }
    assert drawn() == coded


@every_class
def test_every_class_has_the_one_root_and_says_what_it_reports(kind: type[KrixikError]) -> None:
    assert issubclass(kind, KrixikError)
    assert inspect.getdoc(kind) != inspect.getdoc(kind.__bases__[0])


@every_class
def test_every_error_travels_through_pickle_and_copy_with_all_it_holds(
    kind: type[KrixikError],
) -> None:
    error = kind("what happened", **IDS, reply=Reply(400, {"a": "b"}, b"{}"))
    error.add_note("seen at night")
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(other) is kind
        assert (str(other), vars(other)) == ("what happened", vars(error))
        assert {name: getattr(other, name) for name in IDS} == IDS
        assert other.status_code == 400


def test_what_a_class_holds_besides_travels_too() -> None:
    outcome = JobOutcome(request_id="r", state="failed", job=REF, failure_module="module_2")
    failed, several = ProcessFailed("no"), JobsFailed("two")
    rejected, late = AuthenticationError("no"), WaitTimeout("late")
    failed.job, failed.outcome, failed.failure_module = REF, outcome, "module_2"
    several.outcomes = (outcome, outcome)
    rejected.partial = {"r": outcome}
    late.job = REF
    for error in (failed, several, rejected, late):
        assert vars(pickle.loads(pickle.dumps(error))) == vars(error)


@every_class
def test_what_is_not_known_is_none(kind: type[KrixikError]) -> None:
    error = kind("m")
    assert {name: getattr(error, name) for name in IDS} == dict.fromkeys(IDS)
    assert (error.message, error.args, error.reply, error.status_code) == ("m", ("m",), None, None)


def test_a_job_error_has_no_job_until_it_is_given_one() -> None:
    assert (JobError("m").job, JobError("m").outcome) == (None, None)
    assert (ProcessFailed("m").failure_module, JobsFailed("m").outcomes) == (None, ())
    assert AuthenticationError("m").partial is None


def test_filling_adds_what_is_missing() -> None:
    error = KrixikError("m")
    error.fill(**IDS)
    assert {name: getattr(error, name) for name in IDS} == IDS


def test_filling_leaves_what_is_there_even_where_it_is_falsy() -> None:
    known = {**dict.fromkeys(("request_id", "file_id", "pipeline", "endpoint"), ""), "attempts": 0}
    error = KrixikError("m", **known, elapsed_s=0.0)
    error.fill(**IDS)
    assert {name: getattr(error, name) for name in IDS} == {**known, "elapsed_s": 0.0}
    error.fill()
    assert error.attempts == 0


def test_the_raw_answer_does_not_show_in_what_is_printed() -> None:
    error = KrixikError("m", reply=Reply(200, {"x-secret": "canary"}, b"canary"))
    assert "canary" not in f"{error!r} {error} {error.args} {error.reply!r}"


def test_a_missing_extra_is_an_import_error_without_a_module_name() -> None:
    error = MissingExtra("pip install 'krixik-async[server]'")
    assert (error.msg, error.name, error.path) == (str(error), None, None)
