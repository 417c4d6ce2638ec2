"""English word data: noun lemmas from WordNet 3.0, and stop words.

The lemma of a word is what NLTK's `WordNetLemmatizer().lemmatize(word)` returns: of the nouns
that morphy, WordNet's own procedure, makes of it, the shortest (the first of equals); the word
itself if there is none. Morphy's candidates are the word, then what the list of irregular forms
gives or, for a word not in the list, what the nine endings below give; those that WordNet has as
a noun are kept.

`nouns.txt.gz` holds WordNet's nouns without a blank or a hyphen in them, an empty line, and the
irregular forms with their lemma. `build.py` made it from the dictionary files; WordNet's licence
is in LICENSE-WORDNET. `stop_words.txt` is NLTK's English list in its long-lived form of 179 words,
the one that the hosted service drops. Both are read once a process and never change.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

__all__ = ["noun_lemma", "stop_words"]

# WordNet 3.0, morphy(7WN), the rules of detachment for nouns, in NLTK's order.
_ENDINGS = (
    ("s", ""),
    ("ses", "s"),
    ("ves", "f"),
    ("xes", "x"),
    ("zes", "z"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("men", "man"),
    ("ies", "y"),
)


def noun_lemma(word: str) -> str:
    """Return the noun lemma of a lower-case word: "children" -> "child", "striking" stays.

    Equal to NLTK's for every word without an underscore and a hyphen; compounds that have one
    are not in the table and stay as they are.
    """
    nouns, irregular = _table()
    if word in irregular:
        return irregular[word]
    forms = [word] + [
        word.removesuffix(ending) + instead for ending, instead in _ENDINGS if word.endswith(ending)
    ]
    return min((form for form in forms if form in nouns), key=len, default=word)


@cache
def stop_words() -> frozenset[str]:
    """Return the words that are no keywords, lower-case, apostrophes included ("don't")."""
    return frozenset((files(__name__) / "stop_words.txt").read_text(encoding="ascii").split())


@cache
def _table() -> tuple[frozenset[str], Mapping[str, str]]:
    packed = (files(__name__) / "nouns.txt.gz").read_bytes()
    nouns, irregular = gzip.decompress(packed).decode("ascii").split("\n\n")
    pairs = (line.split(" ", 1) for line in irregular.splitlines())
    return frozenset(nouns.split("\n")), MappingProxyType(dict(pairs))
