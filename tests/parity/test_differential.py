"""The official client and ours, call by call, against one recording server: the same bytes.

Every call is made with both; what each sent is compared as it is: paths, JSON text, the parts of
the upload form in order. Where they differ the difference must be a row of DIFFERENCES, and each
row stands in the table on docs/migration.md. `make parity` runs this; DIFFERENTIAL_SEED and
DIFFERENTIAL_CALLS choose other and more generated calls.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest

from krixik_async import InvalidArgument, InvalidArgumentType, Krixik
from tests.parity.differential_calls import ID, Call, by_hand, generated, write_files
from tests.parity.recording_server import RecordingServer, recording

HERE = Path(__file__).parent
MIGRATION = HERE.parent.parent / "docs" / "migration.md"
KEY = "1f0c5f2e-0001-4000-8000-000000000001"
SEED = int(os.environ.get("DIFFERENTIAL_SEED", "1"))
GENERATED = int(os.environ.get("DIFFERENTIAL_CALLS", "800"))
GENERATED_NAME = re.compile(r"krixik_generated_file_name_[a-z]{10}")
# The calls are all made before the first test: 3,000 take a minute on a busy machine.
pytestmark = pytest.mark.timeout(60 + GENERATED / 20)

Verdict = Literal["same", "we refuse", "we send", "other bytes"]


@attrs.frozen
class Pair:
    """Hold one call with what became of it in both clients."""

    call: Call
    theirs: list[dict[str, Any]]
    ours: list[dict[str, Any]]
    their_error: str | None
    our_error: Exception | None

    @property
    def verdict(self) -> Verdict:
        """Say how the two differ; a call that neither sent is the same if both refused it."""
        if bool(self.theirs) != bool(self.ours):
            return "we refuse" if self.theirs else "we send"
        if not self.theirs:
            return "same" if self.their_error and self.our_error else "other bytes"
        return "same" if plain(self.theirs) == plain(self.ours) else "other bytes"


def plain(requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Take out what two runs cannot have in common: names made at random, and D-PATH."""
    found = json.loads(GENERATED_NAME.sub("generated", json.dumps(requests)))
    for request in found:
        for part in request.get("parts", ()):
            part["filename"] = part["filename"] and Path(part["filename"]).name
    return list(found)


def texts(call: Call) -> list[str]:
    """Give every text among a call's arguments, however deep."""
    found: list[str] = []
    left: list[Any] = list(call["arguments"].values())
    while left:
        value = left.pop()
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, dict):
            left += [*value, *value.values()]
        elif isinstance(value, list):
            left += value
    return found


def argument(call: Call, name: str) -> str:
    """Give an argument that is a text, or ""."""
    value = call["arguments"].get(name)
    return value if isinstance(value, str) else ""


def stores(call: Call) -> bool:
    """Tell whether a call's names are kept, so that none of them may be a pattern."""
    return call["method"] in ("process", "update")


#: the row's first cell on the migration page -> (verdict, whether a call is of that kind)
DIFFERENCES: dict[str, tuple[Verdict, Callable[[Call], bool]]] = {
    "upper-case extensions": (
        "we send",
        lambda call: any(text.endswith(".TXT") for text in texts(call)),
    ),
    "upper-case ids": ("we send", lambda call: ID.upper() in texts(call)),
    "`pathlib` paths": ("we send", lambda call: "$path" in str(call["arguments"])),
    "`expire_time=None`": (
        "we send",
        lambda call: "'expire_time': None" in str(call["arguments"]),
    ),
    "wildcards in what is stored": (
        "we refuse",
        lambda call: stores(call) and any("*" in text for text in texts(call)),
    ),
    "odd characters after the first dot": (
        "we refuse",
        lambda call: "$" in argument(call, "file_name"),
    ),
    "line ends and tabs": (
        "we refuse",
        lambda call: any("\n" in text or "\t" in text for text in texts(call)),
    ),
    "JSON entries after the first": (
        "we refuse",
        lambda call: (
            Path(argument(call, "local_file_path")).name
            in ("words_256_first.json", "second_without.json")
        ),
    ),
    "JPEG files without a JFIF or Exif mark": (
        "we send",
        lambda call: argument(call, "local_file_path").endswith("bare.jpg"),
    ),
    "parameters of `ocr`": (
        "we refuse",
        lambda call: call["chain"] == ["ocr"] and "params" in str(call["arguments"]),
    ),
    "a wildcard in the folder of a file path": (
        "we refuse",
        lambda call: any("*/" in text for text in texts(call)),
    ),
    "`k=None`": ("we refuse", lambda call: "'k': None" in str(call["arguments"])),
}


def official(url: str, calls: list[Call]) -> list[dict[str, Any]]:
    """Make the calls with the official client; give what became of each."""
    done = subprocess.run(
        [os.environ["PARITY_PYTHON"], str(HERE / "official_calls.py"), url],
        input=json.dumps(calls),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


async def our(server: RecordingServer, calls: list[Call]) -> list[Exception | None]:
    """Make the calls with ours."""
    spec = importlib.util.spec_from_file_location("official_calls", HERE / "official_calls.py")
    assert spec is not None
    assert spec.loader is not None
    driver = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(driver)
    errors: list[Exception | None] = []
    async with Krixik(api_key=KEY, api_url=server.url, attempts=1) as krixik:
        for number, call in enumerate(calls):
            server.mark(number)
            arguments = {name: driver.made(value) for name, value in call["arguments"].items()}
            try:
                target: Any = krixik
                if call["chain"] is not None:
                    target = krixik.create_pipeline(
                        name=call["pipeline"], module_chain=call["chain"]
                    )
                await getattr(target, call["method"])(**arguments)
            except (ValueError, TypeError, AttributeError) as error:
                errors.append(error)
            else:
                errors.append(None)
    return errors


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[Pair]:
    """Make every call with both clients."""
    folder = tmp_path_factory.mktemp("differential")
    files = write_files(folder)
    calls = by_hand(files, str(folder))
    calls += generated(files, seed=SEED, count=GENERATED)
    with recording() as server:
        theirs = official(server.url, calls)
        sent_by_them, server.calls = server.calls, {}
        errors = asyncio.run(our(server, calls))
    return [
        Pair(call, sent_by_them[number], server.calls[number], said["raised"], errors[number])
        for number, (call, said) in enumerate(zip(calls, theirs, strict=True))
    ]


def test_what_both_clients_send_is_the_same_but_for_the_table(pairs: list[Pair]) -> None:
    """Same verdict and same bytes for every call, or a row of the table that says why not."""
    unexplained = [
        (pair.verdict, pair.call, pair.our_error or pair.their_error)
        for pair in pairs
        if pair.verdict != "same"
        and not any(
            pair.verdict == verdict and kind(pair.call) for verdict, kind in DIFFERENCES.values()
        )
    ]
    assert unexplained == []


@pytest.mark.parametrize("row", DIFFERENCES)
def test_each_difference_is_met_and_documented(row: str, pairs: list[Pair]) -> None:
    """No row of the table is out of use, and the migration page has it."""
    verdict, kind = DIFFERENCES[row]
    met = [pair for pair in pairs if pair.verdict == verdict and kind(pair.call)]
    assert met != []
    assert f"\n| {row} |" in MIGRATION.read_text(encoding="utf-8")


def test_what_is_refused_is_refused_as_an_argument(pairs: list[Pair]) -> None:
    """A call that is not sent ends in InvalidArgument or InvalidArgumentType, never another."""
    odd = [
        (type(pair.our_error).__name__, str(pair.our_error), pair.call)
        for pair in pairs
        if not pair.ours and not isinstance(pair.our_error, InvalidArgument | InvalidArgumentType)
    ]
    assert odd == []


def test_enough_calls_of_each_kind_were_compared(pairs: list[Pair]) -> None:
    """Every method was both sent and refused, so that the comparison is of something."""
    sent = {pair.call["method"] for pair in pairs if pair.verdict == "same" and pair.ours}
    refused = {pair.call["method"] for pair in pairs if pair.verdict == "same" and not pair.ours}
    methods = {"process", "list", "keyword_search", "semantic_search", "update", "delete"}
    methods |= {"fetch_output", "process_status", "show_tree"}
    assert (sent, refused) == (methods | {"check_cap"}, methods)


def test_the_form_names_the_base_name_alone(pairs: list[Pair]) -> None:
    """The one difference on the wire: the path on the user's machine is not sent."""
    forms = [
        (theirs["parts"][-1], ours["parts"][-1])
        for pair in pairs
        for theirs, ours in zip(pair.theirs, pair.ours, strict=False)
        if "parts" in theirs
    ]
    assert forms != []
    assert {Path(theirs["filename"]).is_absolute() for theirs, _ in forms} == {True}
    assert {"/" in ours["filename"] for _, ours in forms} == {False}
