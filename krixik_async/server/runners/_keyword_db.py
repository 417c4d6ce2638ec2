"""keyword-db: a text into an SQLite file of its keywords, and the search in such a file.

The rules are those of the hosted service, as its published outputs show them; its table and
column names, page size and index names are kept, so its users can open our files as they open its.

A keyword's place is (line, number): lines count from 1, blank ones too; the number counts the
words of the line from 1, stop words too. A word is split at hyphens and straight apostrophes and
its parts share its number. One thing is left out: where the last word of a line and the first of
the next form a longer word of a certain list, the service adds a row for it (two in all its
published outputs); the list and the exceptions to the rule are not known well enough.

Each step is linear in the text, whatever it is made of: 2 MiB of prose in 0.8 s of one CPU.
"""

from __future__ import annotations

import re
import sqlite3
import string
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from attrs import frozen

from krixik_async.server.runners._reading import read_lines
from krixik_async.server.runners._request import RunnerError, RunRequest
from krixik_async.server.runners._words import noun_lemma, stop_words

__all__ = ["CountedLines", "KeywordHits", "parse_query", "run", "search", "write_rows"]

# 1024-byte pages, names and the 16-blank indents: as in the hosted service's files, 2026-11.
_CREATE_TABLE = """\
CREATE TABLE keyword_search (
                original_keyword TEXT,
                stemmed_keyword TEXT,
                line_number INTEGER,
                keyword_number INTEGER
            )"""
# Journal and syncing off: the file is new and worthless until it is whole, whoever asked for it
# syncs and renames it then, and a journal left by a kill would spoil the next try.
_PRAGMAS = ("PRAGMA page_size = 1024", "PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF")
_INDEXES = (
    "CREATE INDEX idx_original_keyword ON keyword_search(original_keyword)",
    "CREATE INDEX idx_stemmed_keyword ON keyword_search(stemmed_keyword)",
)
_INSERT = "INSERT INTO keyword_search VALUES (?, ?, ?, ?)"
_SELECT = """\
SELECT original_keyword, line_number, keyword_number FROM keyword_search
WHERE stemmed_keyword IN ({}) ORDER BY line_number, keyword_number, rowid"""

_SPLIT = re.compile("[-']+")


@frozen
class KeywordHits:
    """What one query finds in one file."""

    hits: list[dict[str, object]]
    """`{"keyword", "line_number", "keyword_number"}` each, by line, then by word."""

    stop_words: list[str]
    """The query's words that are not looked for, in its order."""


def run(request: RunRequest) -> dict[str, object]:
    """Write the database; `num_lines` is the number of lines without the blank ones at the end.

    Raises:
        RunnerError: the text is not UTF-8.
    """
    lines = CountedLines(request.source)
    write_rows(request.destination, _rows(lines))
    return {"num_lines": lines.last_number}


def write_rows(destination: Path, rows: Iterable[tuple[str, str, int, int]]) -> None:
    """Write a database of (keyword, its lemma, line, place in the line), in reading order."""
    destination.unlink(missing_ok=True)
    with closing(sqlite3.connect(destination, isolation_level=None)) as database:
        for pragma in _PRAGMAS:
            database.execute(pragma)
        database.execute("BEGIN")
        database.execute(_CREATE_TABLE)
        database.executemany(_INSERT, rows)
        for index in _INDEXES:
            database.execute(index)
        database.execute("COMMIT")


class CountedLines:
    """The words of each line that has any, with its number; remembers the last number."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self.last_number = 0

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        for number, line in enumerate(read_lines(self._source), start=1):
            words = line.split()
            if words:
                self.last_number = number
                yield number, words


def _rows(lines: CountedLines) -> Iterator[tuple[str, str, int, int]]:
    # Cleaned once for each different word: a text repeats its words, and the rest is cheap.
    seen: dict[str, list[tuple[str, str]]] = {}
    for line_number, words in lines:
        for keyword_number, word in enumerate(words, start=1):
            parts = seen.get(word)
            if parts is None:
                parts = seen[word] = [(key, noun_lemma(key)) for key in _keywords(word)]
            for keyword, lemma in parts:
                yield keyword, lemma, line_number, keyword_number


def _keywords(word: str) -> list[str]:
    """Return the keywords in one blank-delimited word: "Sub-Sub-Librarian)." has three."""
    parts = (_cleaned(part) for part in _SPLIT.split(word.lower()))
    return [part for part in parts if part and part not in stop_words()]


def _cleaned(part: str) -> str:
    """Delete what is not ASCII, then the punctuation at both ends, but a "." after a digit stays.

    Stripped, not matched with a pattern: that would take quadratic time for a long run of
    punctuation before a letter.
    """
    ascii_part = part.encode("ascii", "ignore").decode("ascii").lstrip(string.punctuation)
    core = ascii_part.rstrip(string.punctuation)
    if core[-1:].isdigit() and ascii_part.startswith(".", len(core)):
        return core + "."
    return core


def parse_query(query: str) -> tuple[list[str], list[str]]:
    """Split a query into (the lemmas to look for, its stop words), both in its order.

    Words end at blanks and hyphens; they are lower-cased and otherwise taken as they are.
    """
    words = query.lower().replace("-", " ").split()
    lemmas = [noun_lemma(word) for word in words if word not in stop_words()]
    return lemmas, [word for word in words if word in stop_words()]


def search(path: Path, query: str) -> KeywordHits:
    """Find the query's words in a database that `run` wrote, opened read-only, always closed.

    A word is found where its noun lemma is the keyword's: "country" finds "countries", and no
    part of a word finds the whole. A query of stop words only finds nothing.

    Raises:
        RunnerError: there is no readable keyword database at `path`.
    """
    lemmas, stopped = parse_query(query)
    select = _SELECT.format(", ".join("?" * len(lemmas)))
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            rows = database.execute(select, lemmas).fetchall()
    except sqlite3.Error as error:
        raise RunnerError(f"not a readable keyword database: {error}") from error
    hits: list[dict[str, object]] = [
        {"keyword": keyword, "line_number": line, "keyword_number": number}
        for keyword, line, number in rows
    ]
    return KeywordHits(hits=hits, stop_words=stopped)
