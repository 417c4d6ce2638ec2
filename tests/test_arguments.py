"""Wrong names of arguments: each public method says what it takes, and what to write instead."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, TypedDict, Unpack

import pytest

from krixik_async import InvalidArgumentType, Job, Krixik, Pipeline
from krixik_async._arguments import _INSTEAD, names_checked

KRIXIK = Krixik(api_key="k", api_url="http://krixik.test")
PIPELINE = KRIXIK.create_pipeline(name="books", module_chain=["parser"])


BY_NAME = "Krixik() takes its arguments by name: write api_key=... and api_url=..."


def public_methods() -> Iterator[Any]:
    for owner in (KRIXIK, PIPELINE):
        for name in dir(type(owner)):
            member = inspect.getattr_static(type(owner), name)
            if name.startswith("_") or isinstance(member, property):
                continue
            yield pytest.param(getattr(owner, name), id=f"{type(owner).__name__}.{name}")


async def outcome_of(method: Any, *args: Any, **kwargs: Any) -> str:
    async def call() -> None:
        result = method(*args, **kwargs)
        if inspect.isawaitable(result):
            await result

    with pytest.raises(InvalidArgumentType) as caught:
        await call()
    assert isinstance(caught.value, TypeError)
    return str(caught.value)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("method", list(public_methods()))
async def test_every_public_method_names_what_it_does_not_take(method: Any) -> None:
    said = await outcome_of(method, no_such_thing=1)
    assert said.startswith(f"{method.__name__}() takes no argument 'no_such_thing'.")


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    ("method", "args", "kwargs", "said"),
    [
        (
            PIPELINE.list,
            (),
            {"file_id": ["x"]},
            ("list() takes no argument 'file_id'. Did you mean 'file_ids'? It takes: sort_order, "
            "verbose, file_ids, file_names, symbolic_directory_paths, symbolic_file_paths, "
            "file_tags, created_at_start, created_at_end, last_updated_start, last_updated_end, "
            "max_files"),
        ),
        (
            PIPELINE.delete,
            (),
            {"files_id": "x"},
            "delete() takes no argument 'files_id'. Did you mean 'file_id'? It takes: file_id",
        ),
        (
            KRIXIK.check_cap,
            (),
            {"qqq": 1},
            "check_cap() takes no argument 'qqq'. It takes: none",
        ),
        (
            PIPELINE.process,
            (),
            {"local_file_path": "a.txt", "og_local_file_path": "b.txt"},
            ("process() takes no argument 'og_local_file_path'. Instead: leave it out: "
            "local_file_path is what the file keeps"),
        ),
        (
            PIPELINE.delete,
            (),
            {"file_id": "x", "timeout": 3},
            ("delete() takes no argument 'timeout'. Instead: with_options(attempt_timeout_s=...) "
            "bounds each try of a call"),
        ),
        (PIPELINE.process, (), {}, "process() needs local_file_path=..."),
        (
            PIPELINE.process_status,
            ("x",),
            {},
            "process_status() takes its arguments by name: write request_id=...",
        ),
        (
            KRIXIK.create_pipeline,
            ("x", ["parser"]),
            {},
            "create_pipeline() takes its arguments by name: write name=... and module_chain=...",
        ),
        (
            KRIXIK.check_cap,
            (1,),
            {},
            "check_cap() takes its arguments by name: write one of none",
        ),
        (
            Krixik,
            (),
            {"api_key": "k", "api_url": "u", "max_in_fligth": 8},
            ("Krixik() takes no argument 'max_in_fligth'. Did you mean 'max_in_flight'? It takes: "
            "api_key, api_url, http_client, http_transport, clock, offload, rng, durations, "
            "max_in_flight, rate_limit, connect_timeout_s, attempt_timeout_s, attempts, backoff_s, "
            "backoff_cap_s, bulk_look"),
        ),
        (Krixik, ("k", "u"), {}, BY_NAME),
        (KRIXIK.resume, (), {}, "resume() needs token=..."),
        (
            Krixik.view_module_config,
            (),
            {"name": "parser"},
            "view_module_config() takes no argument 'name'. It takes: module_name",
        ),
    ],
)  # fmt: skip
async def test_what_is_said(method: Any, args: Any, kwargs: Any, said: str) -> None:
    assert await outcome_of(method, *args, **kwargs) == said


def test_instead_is_said_of_arguments_that_are_really_not_taken() -> None:
    """A row of the table for an argument that a method does take could never be shown."""
    owners = (Krixik, Pipeline)
    for (method, argument), words in _INSTEAD.items():
        found = [inspect.signature(getattr(o, method)) for o in owners if hasattr(o, method)]
        assert found or not method, (method, argument)
        assert all(argument not in signature.parameters for signature in found)
        assert words


class Unpacked(TypedDict, total=False):
    """Name two more."""

    c: int
    d: int


@names_checked
class Sample:
    """Have a method of every kind."""

    def plain(self, a: int, *, b: int = 2, **more: Unpack[Unpacked]) -> tuple[int, int, Any]:
        """Give what came."""
        return a, b, more

    async def asynchronous(self, *, a: int) -> int:
        return a

    @classmethod
    def of_class(cls, *, a: int) -> tuple[type, int]:
        return cls, a

    @staticmethod
    def static(a: int = 1) -> int:
        return a

    def _private(self, **anything: int) -> Any:
        return anything


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_right_calls_go_through_as_they_are() -> None:
    sample = Sample()
    assert sample.plain(1, b=3, c=4) == (1, 3, {"c": 4})
    assert sample.plain(a=1) == (1, 2, {})
    assert await sample.asynchronous(a=5) == 5
    assert Sample.of_class(a=6) == (Sample, 6)
    assert (Sample.static(7), sample.static()) == (7, 1)
    assert sample._private(z=1) == {"z": 1}
    anything: Any = sample
    with pytest.raises(InvalidArgumentType, match=r"static\(\) takes its .* one of a$"):
        anything.static(1, 2)


def test_a_checked_method_looks_as_it_was() -> None:
    assert (Sample.plain.__name__, Sample.plain.__doc__) == ("plain", "Give what came.")
    assert list(inspect.signature(Sample.plain).parameters) == ["self", "a", "b", "more"]
    assert inspect.iscoroutinefunction(Sample.asynchronous)
    assert inspect.iscoroutinefunction(Pipeline.process)
    assert not inspect.iscoroutinefunction(Pipeline.as_completed)


def test_names_must_be_known() -> None:
    """A method that takes anything by name could check nothing: that is found at import."""
    with pytest.raises(AssertionError, match="says nothing of its names"):

        @names_checked
        class Loose:
            def method(self, **anything: int) -> None: ...


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_job_checks_names_too() -> None:
    job: Any = Job.__new__(Job)
    assert await outcome_of(job.wait, timeout_s=1) == (
        "wait() takes no argument 'timeout_s'. Did you mean 'timeout'? It takes: timeout, stop"
    )
