"""The module keyword-db: which keywords a text has and where, and how they are found again."""

from __future__ import annotations

import re
import sqlite3
import string
import tempfile
import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from krixik_async.server.runners import RunnerError, RunRequest
from krixik_async.server.runners._keyword_db import KeywordHits, parse_query, run, search
from krixik_async.server.runners._words import noun_lemma, stop_words

Row = tuple[str, str, int, int]


def build(folder: Path, content: bytes | str) -> tuple[Path, dict[str, object]]:
    source, destination = folder / "in.txt", folder / "out.db"
    source.write_bytes(content.encode() if isinstance(content, str) else content)
    metadata = run(RunRequest("keyword-db", "sqlite", {}, source, destination, None))
    return destination, metadata


def query(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(sql).fetchall()


def rows_of(content: bytes | str) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        path, _ = build(Path(folder), content)
        return [
            (str(keyword), str(lemma), int(str(line)), int(str(number)))
            for keyword, lemma, line, number in query(
                path, "SELECT * FROM keyword_search ORDER BY rowid"
            )
        ]


def keywords_of(content: bytes | str) -> list[str]:
    return [row[0] for row in rows_of(content)]


# --- the file ---


def test_the_file_has_the_services_layout(tmp_path: Path) -> None:
    path, _ = build(tmp_path, "A whale.")
    assert query(path, "PRAGMA page_size") == [(1024,)]
    assert query(path, "PRAGMA encoding") == [("UTF-8",)]
    assert query(path, "PRAGMA user_version") == [(0,)]
    assert query(path, "PRAGMA integrity_check") == [("ok",)]
    names = ("original_keyword", "stemmed_keyword", "line_number", "keyword_number")
    kinds = ("TEXT", "TEXT", "INTEGER", "INTEGER")
    columns = ",".join(
        f"\n{' ' * 16}{name} {kind}" for name, kind in zip(names, kinds, strict=True)
    )
    assert query(path, "SELECT type, name, tbl_name, sql FROM sqlite_master") == [
        (
            "table",
            "keyword_search",
            "keyword_search",
            f"CREATE TABLE keyword_search ({columns}\n            )",
        ),
        (
            "index",
            "idx_original_keyword",
            "keyword_search",
            "CREATE INDEX idx_original_keyword ON keyword_search(original_keyword)",
        ),
        (
            "index",
            "idx_stemmed_keyword",
            "keyword_search",
            "CREATE INDEX idx_stemmed_keyword ON keyword_search(stemmed_keyword)",
        ),
    ]


def test_nothing_but_the_file_is_left(tmp_path: Path) -> None:
    build(tmp_path, "A whale.")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.txt", "out.db"]


def test_a_file_left_by_a_kill_does_no_harm(tmp_path: Path) -> None:
    clean = build(tmp_path, "A whale.")[0].read_bytes()
    (tmp_path / "out.db").write_bytes(b"half a page")
    path, _ = build(tmp_path, "A whale.")
    assert path.read_bytes() == clean
    assert search(path, "whale").hits == [
        {"keyword": "whale", "line_number": 1, "keyword_number": 2}
    ]


# --- places ---


def test_rows_come_in_reading_order_with_line_and_word_counted_from_one() -> None:
    """Blank lines and stop words count, though neither has a row."""
    assert rows_of("The old whale\n\n \t\n  and a  ship\n") == [
        ("old", "old", 1, 2),
        ("whale", "whale", 1, 3),
        ("ship", "ship", 4, 3),
    ]


def test_a_lone_byte_order_mark_counts_as_a_word() -> None:
    assert rows_of("\ufeff whale") == [("whale", "whale", 1, 2)]
    assert rows_of("\ufeffwhale") == [("whale", "whale", 1, 1)]


def test_windows_newlines_end_a_line_and_form_feeds_do_not() -> None:
    assert rows_of("whale\r\nship\x0cmast\u2028sail") == [
        ("whale", "whale", 1, 1),
        ("ship", "ship", 2, 1),
        ("mast", "mast", 2, 2),
        ("sail", "sail", 2, 3),
    ]


def test_words_of_two_lines_are_not_joined() -> None:
    """The service would add "forever" at (1, 3) here; this is the one rule left out."""
    assert rows_of("gone for\never") == [("gone", "gone", 1, 1), ("ever", "ever", 2, 1)]


@pytest.mark.parametrize(
    ("text", "num_lines"),
    [("a\nb", 2), ("a\nb\n", 2), ("a\n\nb\n\n \n", 3), ("the", 1), ("", 0), ("\n\n", 0)],
)
def test_num_lines_leaves_out_blank_lines_at_the_end(
    tmp_path: Path, text: str, num_lines: int
) -> None:
    assert build(tmp_path, text)[1] == {"num_lines": num_lines}


# --- cleaning ---


def test_a_word_is_split_at_hyphens_and_its_parts_share_the_number() -> None:
    assert rows_of("by a late and poor Sub-Sub-Librarian).") == [
        ("late", "late", 1, 3),
        ("poor", "poor", 1, 5),
        ("sub", "sub", 1, 6),
        ("sub", "sub", 1, 6),
        ("librarian", "librarian", 1, 6),
    ]


@pytest.mark.parametrize(
    ("word", "keywords"),
    [
        ("Faber's", ["faber"]),  # split at the straight apostrophe; "s" is a stop word
        ("do,--teaching", ["teaching"]),  # a run of hyphens; "do" is a stop word
        ("dos--doors", ["dos", "doors"]),
        ("bird\u2019s", ["birds"]),  # outside ASCII: deleted, the rest joined
        ("sadness—Give", ["sadnessgive"]),
        ("café", ["caf"]),
        ("—", []),
        ("_libel_,", ["libel"]),  # outer punctuation and underscores
        ("(“Whale!”)", ["whale"]),
        ("and/or", ["and/or"]),  # inner punctuation stays
        ("snake_case", ["snake_case"]),
        ("***", []),
        ("17—.", ["17."]),  # a "." after a digit stays
        ("17.", ["17."]),
        ("(17.)", ["17."]),
        ("17..", ["17."]),
        ("17).", ["17"]),
        ("17,", ["17"]),
        (".17", ["17"]),
        ("17.x.", ["17.x"]),
        ("1", ["1"]),  # digits are keywords
        ("2", ["2"]),
        ("11th", ["11th"]),
        ("THE", []),  # stop words, whatever their case and punctuation
        ("_the_.", []),
        ("don't", []),  # "don" and "t" are stop words too
        ("don\u2019t", ["dont"]),
        ("O'Brien", ["brien"]),
        ("'--'", []),
    ],
)
def test_a_word_is_cleaned_by_the_rules(word: str, keywords: list[str]) -> None:
    assert keywords_of(word) == keywords


def test_the_stemmed_keyword_is_the_noun_lemma() -> None:
    assert rows_of("doors mrs dos children striking") == [
        ("doors", "door", 1, 1),
        ("mrs", "mr", 1, 2),
        ("dos", "do", 1, 3),
        ("children", "child", 1, 4),
        ("striking", "striking", 1, 5),
    ]


def test_no_stop_word_is_a_keyword() -> None:
    assert rows_of(" ".join(stop_words())) == []


def naive_rows(text: str) -> list[Row]:
    """The rules once more, word for word and character for character."""
    rows = []
    for line_number, line in enumerate(re.split("\r\n|\r|\n", text), 1):
        for keyword_number, word in enumerate(line.split(), 1):
            for part in word.lower().replace("'", "-").split("-"):
                key = "".join(character for character in part if character < "\x80")
                while key and key[0] in string.punctuation:
                    key = key[1:]
                while key and key[-1] in string.punctuation:
                    if key[-1] == "." and key[-2:-1] in set("0123456789"):
                        break
                    key = key[:-1]
                if key and key not in stop_words():
                    rows.append((key, noun_lemma(key), line_number, keyword_number))
    return rows


PIECES = st.lists(
    st.sampled_from(
        [
            "Whales",
            "the",
            "s",
            "17",
            ".",
            ",",
            "-",
            "--",
            "'",
            "\u2019",
            "—",
            "_",
            " ",
            "\n",
            "\r\n",
            "é",
        ]
    )
).map("".join)
TEXTS = PIECES | st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"))


@settings(max_examples=80, deadline=None)
@given(TEXTS)
@example("İstanbul \u212aelvin ﬀ")
def test_rows_agree_with_a_naive_reference(text: str) -> None:
    assert rows_of(text) == naive_rows(text)


@pytest.mark.parametrize("unit", ["!", "-", "!x", "1.", "-a", "\n", "a "])
def test_odd_text_takes_time_in_proportion_to_its_length(tmp_path: Path, unit: str) -> None:
    """A quadratic step would take minutes for these 256 KiB; they take a tenth of a second."""
    before = time.process_time()
    build(tmp_path, unit * (2**18 // len(unit)) + "x")
    assert time.process_time() - before < 5


@pytest.mark.parametrize("content", [b"caf\xe9", b"whale\n" * 100_000 + b"\xff"])
def test_text_that_is_not_utf8_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(RunnerError) as caught:
        build(tmp_path, content)
    assert str(caught.value) == "the input is not valid UTF-8 text"


# --- search ---


def test_a_query_is_split_at_blanks_and_hyphens_and_lower_cased() -> None:
    assert parse_query("  Bright-cold\tTHIRTEEN ") == (["bright", "cold", "thirteen"], [])


def test_a_querys_stop_words_are_listed_in_its_order() -> None:
    assert parse_query("To the Countries of a whale don't") == (
        ["country", "whale"],
        ["to", "the", "of", "a", "don't"],
    )


def test_a_query_finds_words_with_its_lemma_and_reports_them_as_written(tmp_path: Path) -> None:
    path, _ = build(tmp_path, "Two countries\nand one country.")
    countries = {"keyword": "countries", "line_number": 1, "keyword_number": 2}
    country = {"keyword": "country", "line_number": 2, "keyword_number": 3}
    for word in ("country", "Countries"):
        assert search(path, word) == KeywordHits(hits=[countries, country], stop_words=[])


def test_hits_come_by_line_then_by_word_whatever_the_querys_order(tmp_path: Path) -> None:
    path, _ = build(tmp_path, "ship whale\nwhale-ship ship")
    assert search(path, "whale the ship whale").hits == [
        {"keyword": "ship", "line_number": 1, "keyword_number": 1},
        {"keyword": "whale", "line_number": 1, "keyword_number": 2},
        {"keyword": "whale", "line_number": 2, "keyword_number": 1},
        {"keyword": "ship", "line_number": 2, "keyword_number": 1},
        {"keyword": "ship", "line_number": 2, "keyword_number": 2},
    ]


def test_whole_words_only_are_found(tmp_path: Path) -> None:
    path, _ = build(tmp_path, "malice aforethought")
    assert search(path, "forethought") == KeywordHits(hits=[], stop_words=[])


def test_a_query_of_stop_words_finds_nothing_and_lists_them(tmp_path: Path) -> None:
    path, _ = build(tmp_path, "the whale")
    assert search(path, "The of") == KeywordHits(hits=[], stop_words=["the", "of"])


@settings(max_examples=40, deadline=None)
@given(TEXTS)
def test_every_keyword_stored_is_found_where_it_stands(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, _ = build(Path(folder), text)
        for keyword, _, line, number in naive_rows(text):
            hit = {"keyword": keyword, "line_number": line, "keyword_number": number}
            assert hit in search(path, keyword).hits


def test_a_search_neither_changes_nor_needs_to_change_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "odd # name? 100%"
    folder.mkdir()
    path, _ = build(folder, "whale")
    before = path.read_bytes()
    path.chmod(0o400)
    folder.chmod(0o500)
    try:
        assert len(search(path, "whale").hits) == 1
    finally:
        folder.chmod(0o700)
    assert path.read_bytes() == before
    assert sorted(entry.name for entry in folder.iterdir()) == ["in.txt", "out.db"]


@pytest.mark.parametrize("content", [None, b"", b"not a database at all, but longer" * 50])
def test_a_file_that_is_no_keyword_database_is_refused(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "out.db"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunnerError, match=r"^not a readable keyword database: [^\n]+$"):
        search(path, "whale")
    assert path.exists() == (content is not None), "not created by looking"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files by /proc")
def test_the_database_is_closed_after_a_search_and_after_a_failed_one(tmp_path: Path) -> None:
    path, _ = build(tmp_path, "whale")
    (tmp_path / "bad.db").write_bytes(b"not a database at all, but longer" * 50)
    before = len(list(Path("/proc/self/fd").iterdir()))
    found = search(path, "whale")
    with pytest.raises(RunnerError) as caught:
        search(tmp_path / "bad.db", "whale")
    assert (len(found.hits), type(caught.value)) == (1, RunnerError)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
