"""Keyword arguments by their right names: what is misspelt, missing or not taken is said so.

Python's own TypeError for a wrong call names the argument and no way out, and it is no error of
ours to catch. `names_checked` wraps the public methods of a class once; a call that is right then
costs two comparisons of small sets.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, KeysView, Mapping
from functools import wraps
from typing import TypeVar

import attrs

from krixik_async._catalogue import nearest
from krixik_async._errors import InvalidArgumentType

C = TypeVar("C", bound=type)

_PUBLIC_DUNDERS = ("__init__",)
# Spelt as `Unpack[Selectors]`: the names are those of the TypedDict.
_UNPACKED = re.compile(r"Unpack\[(\w+)\]")

# (method, argument) -> what to do; "" is any method. The official client's (1.1.19, read 2026-11)
# documentation or signature has them, or people look for them here.
_INSTEAD: Mapping[tuple[str, str], str] = {
    ("process", "og_local_file_path"): "leave it out: local_file_path is what the file keeps",
    ("process", "file_id"): "leave it out: the service makes the id and the Job carries it",
    ("process", "clean_options"): "clean the text yourself and send it as bytes with a file_name",
    ("process", "use_default_clean_options"): (
        "clean the text yourself and send it as bytes with a file_name"
    ),
    ("process", "timeout"): (
        "without wait_for_process there is nothing to wait for; `await job.wait(timeout=...)` waits"
    ),
    ("process", "stop"): (
        "without wait_for_process there is nothing to wait for; `await job.wait(stop=...)` waits"
    ),
    ("process", "k"): "k belongs to semantic_search",
    ("keyword_search", "k"): "k belongs to semantic_search",
    ("iter_files", "max_files"): "all files come; page_size says how many with one call",
    ("iter_keyword_search", "max_files"): "all files come; page_size says how many with one call",
    ("iter_semantic_search", "max_files"): "all files come; page_size says how many with one call",
    ("iter_files", "sort_order"): "the newest file comes first; sort what you keep",
    ("iter_keyword_search", "sort_order"): "the newest file comes first; sort what you keep",
    ("iter_semantic_search", "sort_order"): (
        'the newest file comes first; semantic_search(sort_order="global") puts all in one row'
    ),
    ("local", "api_key"): "leave it out: the embedded server needs none",
    ("local", "api_url"): "leave it out: the embedded server is in this process",
    ("process_status", "process_id"): "pass it as request_id",
    ("fetch_output", "request_id"): "pass file_id, which the Job of that request_id carries",
    ("delete", "request_id"): "pass file_id, which the Job of that request_id carries",
    ("", "timeout"): "with_options(attempt_timeout_s=...) bounds each try of a call",
    ("", "api_key"): "the client was made with it: make another client for another account",
    ("", "api_url"): "the client was made with it: make another client for another service",
}


@attrs.frozen
class _Names:
    """Hold what a method takes: all names, those without a default, those that may go unnamed.

    The first two are views of dicts: sets that keep their order.
    """

    method: str
    allowed: KeysView[str]
    required: KeysView[str]
    positional: tuple[str, ...]

    def check(self, unnamed: int, named: Mapping[str, object]) -> None:
        """Raise InvalidArgumentType for a call that Python would refuse, saying what to do."""
        if not unnamed and self.required <= named.keys() <= self.allowed:
            return
        for name in named:
            if name not in self.allowed:
                raise InvalidArgumentType(self._refusal(name))
        given = (*self.positional[:unnamed], *named)
        missing = " and ".join(f"{name}=..." for name in self.required if name not in given)
        if unnamed > len(self.positional):
            told = missing or f"one of {', '.join(self.allowed) or 'none'}"
            raise InvalidArgumentType(f"{self.method}() takes its arguments by name: write {told}")
        if missing:
            raise InvalidArgumentType(f"{self.method}() needs {missing}")

    def _refusal(self, name: str) -> str:
        refusal = f"{self.method}() takes no argument {name!r}."
        instead = _INSTEAD.get((self.method, name))
        guess = nearest(name, self.allowed)
        if instead is None and not guess:
            instead = _INSTEAD.get(("", name))
        if instead is not None:
            return f"{refusal} Instead: {instead}"
        return f"{refusal}{guess} It takes: {', '.join(self.allowed) or 'none'}"


def names_checked(cls: C) -> C:
    """Let the public methods that a class defines check the names of their arguments.

    What they return, raise and look like (signature, docstring, being a coroutine function) stays.
    """
    for name, member in list(vars(cls).items()):
        if name.startswith("_") and name not in _PUBLIC_DUNDERS:
            continue
        called = cls.__name__ if name == "__init__" else name
        if isinstance(member, staticmethod | classmethod):
            bound = isinstance(member, classmethod)
            wrapped = _checked(member.__func__, called, bound=int(bound))
            setattr(cls, name, type(member)(wrapped))
        elif inspect.isfunction(member):
            setattr(cls, name, _checked(member, called, bound=1))
    return cls


def _checked(function: Callable[..., object], called: str, *, bound: int) -> Callable[..., object]:
    names = _names_of(function, called, bound=bound)
    if inspect.iscoroutinefunction(function):
        coroutine_function: Callable[..., Awaitable[object]] = function

        @wraps(function)
        async def asynchronous(*args: object, **kwargs: object) -> object:
            names.check(len(args) - bound, kwargs)
            return await coroutine_function(*args, **kwargs)

        return asynchronous

    @wraps(function)
    def synchronous(*args: object, **kwargs: object) -> object:
        names.check(len(args) - bound, kwargs)
        return function(*args, **kwargs)

    return synchronous


def _names_of(function: Callable[..., object], called: str, *, bound: int) -> _Names:
    parameters = list(inspect.signature(function).parameters.values())[bound:]
    allowed: list[str] = []
    for parameter in parameters:
        if parameter.kind is not parameter.VAR_KEYWORD:
            allowed.append(parameter.name)
            continue
        unpacked = _UNPACKED.fullmatch(str(parameter.annotation))
        assert unpacked is not None, f"{called}: {parameter} says nothing of its names"
        allowed += function.__globals__[unpacked[1]].__annotations__
    required = (
        parameter.name
        for parameter in parameters
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    )
    return _Names(
        method=called,
        allowed=dict.fromkeys(allowed).keys(),
        required=dict.fromkeys(required).keys(),
        positional=tuple(
            parameter.name
            for parameter in parameters
            if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        ),
    )
