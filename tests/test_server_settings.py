"""What a server may be told."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from krixik_async._catalogue import MODULES
from krixik_async._errors import MissingExtra
from krixik_async.server import ServerSettings, create_app


def test_defaults_are_the_documented_ones_and_the_keys_stay_out_of_the_repr() -> None:
    settings = ServerSettings(data_dir="x", api_keys=("secret-key",), workers=2)
    assert repr(settings) == (
        "ServerSettings(data_dir=PosixPath('x'), min_module_seconds=0.0, ticket_seconds=60.0, "
        "workers=2, max_waiting=10000, link_seconds=3600.0, model_dir=None, simulate=())"
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"api_keys": ()}, "api_keys is empty"),
        ({"api_keys": ("",)}, "api_keys holds a key"),
        ({"api_keys": ("a b",)}, "api_keys holds a key"),
        ({"api_keys": ("ä",)}, "api_keys holds a key"),
        ({"api_keys": ("a\n",)}, "api_keys holds a key"),
        ({"min_module_seconds": -1}, "min_module_seconds is -1"),
        ({"min_module_seconds": float("nan")}, "min_module_seconds is nan"),
        ({"ticket_seconds": 0}, "ticket_seconds is 0"),
        ({"ticket_seconds": float("inf")}, "ticket_seconds is inf"),
        ({"link_seconds": -1.0}, "link_seconds is -1.0"),
        ({"workers": 0}, "workers is 0"),
        ({"workers": True}, "workers is True"),
        ({"workers": "2"}, "workers is '2'"),
        ({"max_waiting": 0}, "max_waiting is 0"),
        ({"simulate": ["captoin"]}, "no module. Did you mean 'caption'.* and all for all of them"),
        ({"simulate": ["ocr", ""]}, "simulate names '', which is no module"),
    ],
)
def test_a_value_that_cannot_work_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ServerSettings(**{"data_dir": Path("x"), "api_keys": ("k",), **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"api_keys": (1,)},
        {"ticket_seconds": "60"},
        {"min_module_seconds": True},
        {"simulate": "ocr"},
        {"simulate": 1},
    ],
)
def test_a_value_of_a_wrong_type_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        ServerSettings(**{"data_dir": Path("x"), "api_keys": ("k",), **changes})


def test_modules_to_simulate_are_named_in_any_order_or_all_at_once() -> None:
    settings = ServerSettings(api_keys=("k",), simulate=["ocr", "caption", "ocr"])
    assert settings.simulate == ("caption", "ocr")
    every = ServerSettings(api_keys=("k",), simulate=iter(["ocr", "all"]))
    assert every.simulate == tuple(MODULES)


def test_there_is_a_worker_for_each_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """For those that this process may use, where the system tells; else for all."""
    affinity = set(range(3))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: affinity, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert ServerSettings(api_keys=("k",)).workers == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    assert ServerSettings(api_keys=("k",)).workers == 5
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert ServerSettings(api_keys=("k",)).workers == 1


def test_without_starlette_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing extra is one line with the command that installs it."""
    for name in [name for name in sys.modules if name.startswith("starlette")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "krixik_async.server._app", raising=False)
    monkeypatch.setitem(sys.modules, "starlette", None)
    with pytest.raises(MissingExtra) as missing:
        create_app(ServerSettings(data_dir="x", api_keys=("k",)))
    assert str(missing.value) == (
        'the embedded server needs starlette: pip install "krixik-async[server]"'
    )
