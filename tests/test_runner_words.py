"""The word data: noun lemmas as NLTK has them, stop words, and the script that made the table."""

from __future__ import annotations

import gzip
import runpy
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krixik_async.server.runners import _words
from krixik_async.server.runners._words import build, noun_lemma, stop_words


@pytest.mark.parametrize(
    ("word", "lemma"),
    [
        ("children", "child"),  # an irregular form
        ("doors", "door"),  # s
        ("mrs", "mr"),  # s, though "mrs" is a noun: the shortest wins
        ("dos", "do"),
        ("us", "u"),
        ("glasses", "glass"),  # the shortest of glasses, glasse-, glass
        ("wolves", "wolf"),
        ("boxes", "box"),
        ("topazes", "topaz"),
        ("churches", "church"),
        ("bushes", "bush"),
        ("women", "woman"),
        ("countries", "country"),
        ("beowulves", "beowulf"),  # ves, and not listed as irregular
        ("cookies", "cooky"),  # "cookie" is a noun, and longer
        ("linemen", "linemen"),  # a noun itself, as long as "lineman": the first wins
        ("men", "men"),  # a noun itself, and as long as "man": the first wins
        ("data", "data"),
        ("phenomena", "phenomenon"),  # longer, but the only noun
        ("striking", "striking"),  # no verbs
        ("running", "running"),  # and no stemming
        ("quickly", "quickly"),
        ("zzyzxs", "zzyzxs"),  # neither it nor "zzyzx" is a noun
        ("17.", "17."),
        ("1920s", "1920s"),
        ("s", "s"),
        ("", ""),
    ],
)
def test_the_lemma_is_the_shortest_noun_morphy_finds(word: str, lemma: str) -> None:
    assert noun_lemma(word) == lemma


@given(st.text(alphabet="abcdefhilmnosuvwxyz17.", max_size=12))
def test_a_lemma_of_any_word_is_ascii_and_not_empty_for_a_word(word: str) -> None:
    assert noun_lemma(word).isascii()
    assert bool(noun_lemma(word)) == bool(word)


def test_there_are_179_stop_words_with_the_parts_that_apostrophes_leave() -> None:
    assert len(stop_words()) == 179
    assert {"i", "the", "s", "t", "ll", "ve", "don", "don't", "wouldn't"} <= stop_words()
    assert not {"would", "could", "mr", "one", ""} & stop_words()
    assert all(word == word.lower() for word in stop_words())


def test_the_table_has_the_nouns_and_irregular_forms_of_wordnet_3_0() -> None:
    packed = Path(build.__file__).with_name("nouns.txt.gz").read_bytes()
    nouns, irregular = gzip.decompress(packed).decode("ascii").split("\n\n")
    assert len(nouns.splitlines()) == 55387
    assert len(irregular.splitlines()) == 1948


def test_the_licence_travels_with_the_table() -> None:
    text = Path(_words.__file__).with_name("LICENSE-WORDNET").read_text(encoding="ascii")
    assert "WordNet 3.0 Copyright 2006 by Princeton University.  All rights reserved." in text


def test_the_table_is_read_once_and_quickly() -> None:
    """Well under a second on any machine; 12 ms of CPU where it was written."""
    _words._table.cache_clear()
    before = time.process_time()
    first = _words._table()
    assert time.process_time() - before < 0.5
    assert _words._table() is first


# --- the script ---

INDEX_NOUN = """\
  1 This software and database is being provided to you, the LICENSEE, by
  2 Princeton University under the following license.
box n 1 1 @ 1 0 00000001
ice_cream n 1 1 @ 1 0 00000002
half-wit n 1 1 @ 1 0 00000003
halfwit n 1 1 @ 1 0 00000004
ox n 1 1 @ 1 0 00000005
bus n 1 1 @ 1 0 00000006
"""
NOUN_EXC = """\
oxen ox
boxen box ox
buses bus
busses nothing
ice_creams ice_cream
half-wits half-wit
wits half-wit
twice box
twice bus
"""


@pytest.fixture
def dictionary(tmp_path: Path) -> Path:
    (tmp_path / "index.noun").write_text(INDEX_NOUN, encoding="ascii")
    (tmp_path / "noun.exc").write_text(NOUN_EXC, encoding="ascii")
    return tmp_path


def test_the_script_keeps_single_words_and_settles_irregular_forms(dictionary: Path) -> None:
    """Several lemmas: the shortest noun; none a noun: the form; listed twice: the last line."""
    output = dictionary / "nouns.txt.gz"
    assert build.main([str(dictionary), str(output)]) == 0
    assert gzip.decompress(output.read_bytes()).decode() == (
        "box\nbus\nhalfwit\nox\n"
        "\n"
        "boxen ox\nbuses bus\nbusses busses\noxen ox\ntwice bus\nwits half-wit\n"
    )


def test_the_script_writes_the_same_bytes_each_time(dictionary: Path) -> None:
    outputs = [dictionary / name for name in ("a.gz", "b.gz")]
    for output in outputs:
        build.main([str(dictionary), str(output)])
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    assert outputs[0].read_bytes()[3:8] == bytes(5), "no file name, no time"


def test_the_script_writes_beside_itself_by_default(
    dictionary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Path(build.__file__).with_name("nouns.txt.gz") == build.OUTPUT
    monkeypatch.setattr(build, "OUTPUT", dictionary / "default.gz")
    assert build.main([str(dictionary)]) == 0
    assert (dictionary / "default.gz").exists()


@pytest.mark.parametrize("arguments", [[], ["a", "b", "c"]])
def test_a_wrong_call_of_the_script_shows_its_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert build.main(arguments) == 2
    assert "Usage: `python -m krixik_async.server.runners._words.build" in capsys.readouterr().err


def test_the_script_runs_as_a_program(dictionary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = dictionary / "program.gz"
    monkeypatch.setattr(sys, "argv", ["build.py", str(dictionary), str(output)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(build.__file__, run_name="__main__")
    assert ended.value.code == 0
    assert output.exists()
