"""Settings and credentials: their order of precedence, their ranges, and that keys stay secret."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from krixik_async._config import Config, Options, Settings, masked, read_credentials
from krixik_async._errors import InvalidArgument, InvalidArgumentType

KEY = "canary-0d9f1c3e"
URL = "https://api.example"


def test_the_defaults_of_the_client() -> None:
    assert attrs.asdict(Config(api_key=KEY, api_url=URL)) == {
        "api_key": KEY,
        "api_url": URL,
        "max_in_flight": 64,
        "rate_limit": None,
        "connect_timeout_s": 10.0,
        "attempt_timeout_s": None,
        "attempts": 4,
        "backoff_s": 0.5,
        "backoff_cap_s": 30.0,
        "headers": {},
        "bulk_look": True,
    }


def test_every_setting_can_be_given_and_there_is_no_other() -> None:
    fields = {field.name for field in attrs.fields(Config)} - {"api_key", "api_url", "headers"}
    assert set(Settings.__annotations__) == fields
    # Those of the whole client are not for some calls only.
    assert set(Options.__annotations__) == {*fields, "headers"} - {
        "max_in_flight",
        "rate_limit",
        "bulk_look",
    }
    given_settings: dict[str, Any] = {
        "max_in_flight": 1,
        "rate_limit": 0.5,
        "connect_timeout_s": 1,
        "attempt_timeout_s": 2.5,
        "attempts": 1,
        "backoff_s": 0.1,
        "backoff_cap_s": 10**400,
        "bulk_look": False,
    }
    config = Config(api_key=KEY, api_url=URL, **given_settings)
    assert attrs.asdict(config) == {"api_key": KEY, "api_url": URL, **given_settings, "headers": {}}


WHOLE = ("max_in_flight", "attempts")
POSITIVE = ("rate_limit", "connect_timeout_s", "attempt_timeout_s", "backoff_s", "backoff_cap_s")


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (0, InvalidArgument),
        (-1, InvalidArgument),
        (True, InvalidArgumentType),
        (1.0, InvalidArgumentType),
        ("1", InvalidArgumentType),
        (None, InvalidArgumentType),
    ],
)
def test_counts_are_whole_numbers_of_one_or_more(
    name: str, value: Any, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match=f"{name} is .* but must be"):
        Config(api_key=KEY, api_url=URL, **{name: value})


@pytest.mark.parametrize("name", POSITIVE)
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (0, InvalidArgument),
        (-0.5, InvalidArgument),
        (math.inf, InvalidArgument),
        (math.nan, InvalidArgument),
        (True, InvalidArgumentType),
        ("1", InvalidArgumentType),
    ],
)
def test_times_and_rates_are_finite_numbers_above_zero(
    name: str, value: Any, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match=f"{name} is .* but must be"):
        Config(api_key=KEY, api_url=URL, **{name: value})


@pytest.mark.parametrize("name", ["connect_timeout_s", "backoff_s", "backoff_cap_s"])
def test_none_is_no_time(name: str) -> None:
    with pytest.raises(InvalidArgumentType, match=f"{name} is NoneType"):
        Config(api_key=KEY, api_url=URL, **{name: None})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example",
        "http://127.0.0.1:8642",
        "HTTPS://api.example/v1",
        "http://[::1]:80/x",
        "https://bücher.example",
    ],
)
def test_a_url_is_kept_as_it_was_given(url: str) -> None:
    assert Config(api_key=KEY, api_url=url).api_url == url


def test_slashes_at_the_end_of_a_url_are_dropped_for_paths_begin_with_one() -> None:
    assert Config(api_key=KEY, api_url="https://api.example/v1//").api_url == (
        "https://api.example/v1"
    )


@pytest.mark.parametrize(
    "url",
    [
        "",
        "not a url",
        "api.example",
        "ftp://api.example",
        "https://",
        "https:///path",
        "https://:80",
        "http://host:0",
        "http://host:65536",
        "http://host:port",
        "http://[::1",
        "http://user:canary@host",
        "http://user@host",
        "http://:canary@host",
        "http://@host",
        "http://host/?a=canary",
        "http://host/?",
        "http://host/#canary",
        "http://host/#",
        "http://host /",
        " http://host",
        "http://host\n",
        "http://ho\tst",
    ],
)
def test_what_is_no_url_to_post_to_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Config(api_key=KEY, api_url=url)
    assert str(caught.value) == (
        "api_url must look like https://host or http://host:port/path, without a query, "
        "a fragment or credentials in it"
    )


@pytest.mark.parametrize("key", ["", " ", "canary ", "can ary", "canary\n", "canäry", "canary\x00"])
def test_a_key_that_could_break_a_header_is_refused_without_repeating_it(key: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Config(api_key=key, api_url=URL)
    assert "can" not in str(caught.value)


@pytest.mark.parametrize("value", [None, 5, b"canary"])
def test_credentials_are_text(value: Any) -> None:
    with pytest.raises(InvalidArgumentType, match=f"api_key is {type(value).__name__} but"):
        Config(api_key=value, api_url=URL)
    with pytest.raises(InvalidArgumentType, match=f"api_url is {type(value).__name__} but"):
        Config(api_key=KEY, api_url=value)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1))
def test_no_key_shows_in_a_repr(key: str) -> None:
    config = Config(api_key=f"canary{key}", api_url=URL)
    assert "canary" not in f"{config!r}{config}"
    assert masked(config.api_key) in repr(config)


def test_an_account_is_known_by_eight_digits_of_key_and_url() -> None:
    """The same in every release, for tokens outlast them; nothing but the credentials counts."""
    mine = Config(api_key="key", api_url="https://api.example")
    assert mine.account == "efdb36d1"
    assert attrs.evolve(mine, api_url="https://api.example/", attempts=1).account == mine.account
    others = [attrs.evolve(mine, api_key="yek"), attrs.evolve(mine, api_url="http://api.example")]
    assert len({mine.account, *(other.account for other in others)}) == 3


def test_a_config_is_frozen() -> None:
    config = Config(api_key=KEY, api_url=URL)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        config.api_key = "x"  # type: ignore[misc]
    assert attrs.evolve(config, attempts=2).attempts == 2


# --- credentials ---------------------------------------------------------------------------

SOURCES = [
    ("KRIXIK_API_KEY", "environment"),
    ("MY_API_KEY", "environment"),
    ("KRIXIK_API_KEY", ".env"),
    ("MY_API_KEY", ".env"),
]


@pytest.mark.parametrize("first", range(len(SOURCES) + 1))
@pytest.mark.parametrize("empty", [False, True], ids=["missing", "empty"])
def test_the_first_source_that_has_a_value_wins(first: int, empty: bool, tmp_path: Path) -> None:
    """Argument, KRIXIK_*, MY_*, then both names in .env; empty counts as missing."""
    environ, lines = {}, []
    for index, (name, place) in enumerate(SOURCES):
        value = f"key-{index}" if index >= first else ""
        if not value and not empty:
            continue
        for variable in (name, name.replace("KEY", "URL")):
            if place == "environment":
                environ[variable] = value
            else:
                lines.append(f"{variable}={value}")
    (tmp_path / "dotenv").write_text("\n".join(lines))
    blank = "" if empty else None

    def read(argument: str | None) -> tuple[str, str]:
        return read_credentials(
            argument, argument, environ=environ, dotenv_path=tmp_path / "dotenv"
        )

    assert read("given") == ("given", "given")
    if first < len(SOURCES):
        assert read(blank) == (f"key-{first}", f"key-{first}")
    else:
        with pytest.raises(InvalidArgument, match="api_key was not given"):
            read(blank)


def test_key_and_url_are_looked_up_each_by_itself(tmp_path: Path) -> None:
    (tmp_path / "dotenv").write_text("MY_API_URL=https://filed\n")
    assert read_credentials(
        None, None, environ={"MY_API_KEY": "k"}, dotenv_path=str(tmp_path / "dotenv")
    ) == ("k", "https://filed")


@pytest.mark.parametrize(
    ("key", "url", "missing", "other"),
    [(None, "u", "api_key", "KRIXIK_API_KEY"), ("k", None, "api_url", "KRIXIK_API_URL")],
)
def test_what_is_found_nowhere_is_named_with_its_variables(
    key: str | None, url: str | None, missing: str, other: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        read_credentials(key, url, environ={}, dotenv_path=tmp_path / "none")
    assert str(caught.value) == (
        f"{missing} was not given and none of {other}, {other.replace('KRIXIK', 'MY')} is set in "
        f"the environment or in .env: pass {missing}=..., set {other}, or try Krixik.local() "
        "(on the command line --local DIR), which needs none"
    )


def test_by_default_the_processs_environment_and_the_working_folders_dotenv_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KRIXIK_API_KEY", "MY_API_KEY", "KRIXIK_API_URL", "MY_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MY_API_KEY", "from the environment")
    (tmp_path / ".env").write_text('export KRIXIK_API_URL="https://filed" # a comment\n')
    assert read_credentials(None, None) == ("from the environment", "https://filed")


def test_a_name_without_a_value_in_the_file_counts_as_missing(tmp_path: Path) -> None:
    (tmp_path / "dotenv").write_text("KRIXIK_API_KEY\nMY_API_KEY=k\n")
    assert read_credentials(None, "u", environ={}, dotenv_path=tmp_path / "dotenv") == ("k", "u")


def test_a_dotenv_that_is_no_text_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "dotenv").write_bytes(b"KRIXIK_API_KEY=canary\xff\n")
    with pytest.raises(InvalidArgument) as caught:
        read_credentials(None, None, environ={}, dotenv_path=tmp_path / "dotenv")
    assert str(caught.value) == (
        f"{str(tmp_path / 'dotenv')!r} cannot be read: make it a text file in UTF-8 that this "
        "user may read, or move it away"
    )


def test_a_folder_named_like_the_file_is_no_file(tmp_path: Path) -> None:
    assert read_credentials("k", "u", environ={}, dotenv_path=tmp_path) == ("k", "u")


@pytest.mark.parametrize("value", [1, "yes", None])
def test_bulk_look_is_true_or_false(value: Any) -> None:
    with pytest.raises(InvalidArgumentType, match=r"bulk_look is .* but must be True or False"):
        Config(api_key=KEY, api_url=URL, bulk_look=value)
