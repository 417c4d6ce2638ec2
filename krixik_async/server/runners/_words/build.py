"""Make `nouns.txt.gz` from the dictionary files of WordNet 3.0.

Usage: `python -m krixik_async.server.runners._words.build DICT_DIR [OUTPUT]`

DICT_DIR is the folder with WordNet's `index.noun` and `noun.exc`: `dict/` of Princeton's archive,
or `/usr/share/wordnet/` of Debian's package wordnet-base (its 1:3.0-37 made the file here). OUTPUT
is the file beside this script if not given. Deterministic: the same dictionary gives the same
content, and with the same zlib the same bytes.

A keyword never holds a blank or a hyphen, so nouns with either ("ice_cream", WordNet writes the
blank as an underscore) are left out. The lemma of an irregular form is settled here, by NLTK's
rule, against all nouns, so the table says one word where WordNet's list may say several.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterable
from pathlib import Path

__all__ = ["main", "pack", "table"]

OUTPUT = Path(__file__).with_name("nouns.txt.gz")


def table(index_noun: Iterable[str], noun_exc: Iterable[str]) -> str:
    """Return the table as text from the lines of `index.noun` and `noun.exc`."""
    # index.noun opens with the licence, its lines indented; then one lemma a line, first field.
    nouns = {line.split(" ", 1)[0] for line in index_noun if not line.startswith(" ")}
    # Of a form that is listed twice NLTK keeps the last line; so does this.
    listed = {form: lemmas for form, *lemmas in (line.split() for line in noun_exc)}
    irregular = {
        form: min((word for word in (form, *lemmas) if word in nouns), key=len, default=form)
        for form, lemmas in listed.items()
    }
    return "".join(
        (
            *(f"{noun}\n" for noun in sorted(nouns) if _is_one_word(noun)),
            "\n",
            *(f"{form} {irregular[form]}\n" for form in sorted(irregular) if _is_one_word(form)),
        )
    )


def _is_one_word(word: str) -> bool:
    return "_" not in word and "-" not in word


def pack(text: str, output: Path) -> None:
    """Write the table, compressed; neither a time nor a file name goes into the file."""
    with (
        output.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=raw, mtime=0) as packed,
    ):
        packed.write(text.encode("ascii"))


def main(arguments: list[str]) -> int:
    """Build the table; return the exit code, 2 for a wrong call."""
    if len(arguments) not in (1, 2):
        sys.stderr.write(f"{__doc__}\n")
        return 2
    dictionary = Path(arguments[0])
    output = Path(arguments[1]) if len(arguments) > 1 else OUTPUT
    with (
        (dictionary / "index.noun").open(encoding="ascii") as index_noun,
        (dictionary / "noun.exc").open(encoding="ascii") as noun_exc,
    ):
        pack(table(index_noun, noun_exc), output)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
