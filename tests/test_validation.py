"""What a file may be called and carry, and its size; each rule with its limit on both sides."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krixik_async._errors import InvalidArgument, InvalidArgumentType
from krixik_async._validation import (
    check_bool,
    check_description,
    check_directory,
    check_expire_time,
    check_extension,
    check_file_name,
    check_id,
    check_size,
    check_tags,
    extension_of,
    kind_of,
    one_place,
    require_text,
    split_symbolic_path,
)

ID = "0d9f1c3e-5b7a-4c2d-8e6f-1a2b3c4d5e6f"
MIB = 2**20
WHITE_SPACE = "".join(chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace())


def error_of(function: Callable[..., object], *args: Any, **options: Any) -> Exception:
    with pytest.raises((InvalidArgument, InvalidArgumentType)) as caught:
        function(*args, **options)
    return caught.value


# --- ids, flags, texts ---------------------------------------------------------------------


@given(st.uuids())
def test_every_uuid_is_an_id_in_capitals_too(value: Any) -> None:
    assert check_id("file_id", str(value)) == str(value)
    assert check_id("file_id", str(value).upper()) == str(value)


@given(st.text(max_size=40))
def test_other_texts_are_no_id(value: str) -> None:
    assert isinstance(error_of(check_id, "file_id", value), InvalidArgument)


@pytest.mark.parametrize(
    "value",
    ["", ID[:-1], ID + "0", ID.replace("-", ""), ID.replace("0", "g"), f" {ID}", f"{ID}\n"],
)
def test_what_is_nearly_an_id_is_none(value: str) -> None:
    assert str(error_of(check_id, "request_id", value)) == (
        f"request_id is {value.lower()!r} but must be a uuid such as "
        "'0d9f1c3e-5b7a-4c2d-8e6f-1a2b3c4d5e6f': pass the id that process() gave"
    )


@pytest.mark.parametrize("value", [None, 5, ID.encode(), [ID]])
def test_an_id_is_text(value: Any) -> None:
    error = error_of(check_id, "file_id", value)
    assert (type(error), str(error)) == (
        InvalidArgumentType,
        f"file_id is {kind_of(value)} but must be a str",
    )


def test_text_is_given_back() -> None:
    assert require_text("x", "") == ""


@pytest.mark.parametrize("value", [True, False])
def test_a_flag_is_given_back(value: bool) -> None:
    assert check_bool("verbose", value) is value


@pytest.mark.parametrize("value", [0, 1, None, "yes"])
def test_a_flag_is_true_or_false_and_nothing_like_it(value: Any) -> None:
    assert str(error_of(check_bool, "verbose", value)) == (
        f"verbose is {kind_of(value)} but must be True or False"
    )


# --- names ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "extension"),
    [
        ("a.txt", ".txt"),
        ("a.b.TXT", ".txt"),
        (".txt", ".txt"),
        ("a.", "."),
        ("a", ""),
        ("", ""),
        ("a. txt", ". txt"),
    ],
)
def test_the_extension_is_what_follows_the_last_dot(name: str, extension: str) -> None:
    assert extension_of(name) == extension


@pytest.mark.parametrize(
    ("chain", "taken"),
    [
        (["parser"], ".txt .pdf .docx .pptx"),
        (["sentiment"], ".json"),
        (["ocr"], ".jpg .jpeg .png"),
        (["transcribe"], ".mp3"),
        (["vector-db"], ".npy"),
    ],
)
def test_the_first_module_decides_which_extensions_are_taken(chain: list[str], taken: str) -> None:
    every = (".txt", ".pdf", ".docx", ".pptx", ".json", ".jpg", ".jpeg", ".png", ".mp3", ".npy")
    for extension in (*every, ".mp4", ".bmp", ".faiss", ".db", "", "."):
        if extension in taken.split():
            assert check_extension(f"a{extension}", chain) == extension
            assert check_extension(f"A{extension.upper()}", chain) == extension
        else:
            assert taken.replace(" ", ", ") in str(
                error_of(check_extension, f"a{extension}", chain)
            )


def test_a_refused_extension_is_named() -> None:
    assert str(error_of(check_extension, "a.png", ["parser"])) == (
        "'a.png' has the extension '.png', but the first module ('parser') takes .txt, .pdf, "
        ".docx, .pptx"
    )
    assert "'a' has no extension" in str(error_of(check_extension, "a", ["parser"]))


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("a.txt", "a.txt"),
        ("File_One, v1.2.TXT", "file_one, v1.2.txt"),
        (".txt", ".txt"),
        (" - .txt", " - .txt"),
        ("n" * 60 + ".txt", "n" * 60 + ".txt"),
    ],
)
def test_a_file_name_is_stored_in_lower_case(name: str, stored: str) -> None:
    assert check_file_name(name, extension=".txt") == stored


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("", "has 0 characters but must have 1 to 64"),
        ("n" * 61 + ".txt", "has 65 characters"),
        ("a/b.txt", "only letters"),
        ("*", "only letters"),
        ("*a.txt", "only letters"),
        ("a*.txt", "only letters"),
        ("a*b.txt", "only letters"),
        ("a.$%^&.txt", "only letters"),
        ("é.txt", "only letters"),
        ("a\tb.txt", "only letters"),
        ("a.txt\n", "only letters"),
        ("a.pdf", "must end in '.txt', as the file itself does"),
        ("a", "must end in '.txt'"),
        ("a.txt.", "must end in '.txt'"),
    ],
)
def test_other_file_names_are_refused(name: str, words: str) -> None:
    error = error_of(check_file_name, name, extension=".txt")
    assert (type(error), words in str(error)) == (InvalidArgument, True)


def test_a_file_name_is_text() -> None:
    assert type(error_of(check_file_name, 7, extension=".txt")) is InvalidArgumentType


DIRECTORIES = [
    "/",
    "/a",
    "/My/Custom Path",
    "/novels/n-0/_",
    "/etc",
    "/etcetera",
    "/ETC",
    "/ ",
    "/" + "a" * 127,
]


@pytest.mark.parametrize("path", DIRECTORIES)
def test_a_directory_is_stored_in_lower_case(path: str) -> None:
    assert check_directory(path) == path.lower()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("", "it must start with '/'"),
        ("a", "it must start with '/'"),
        ("a/b", "it must start with '/'"),
        ("/home/", "must not end with one"),
        ("//", "between single slashes"),
        ("/a//b", "between single slashes"),
        ("/café", "letters a-z"),
        ("/a.b", "letters a-z"),
        ("/a\tb", "letters a-z"),
        ("/a\n", "letters a-z"),
        ("/*", "letters a-z"),
        ("/home/*", "letters a-z"),
        ("/a*/b", "letters a-z"),
        ("/" + "a" * 128, "has 129 characters but at most 128"),
        ("/etc/x", "no folder below or beside '/etc'"),
        ("/ETC/x", "no folder below or beside '/etc'"),
        ("/etcetera/x", "no folder below or beside '/etc'"),
        ("/a/etc", "no folder below or beside '/etc'"),
    ],
)
def test_other_directories_are_refused(path: str, words: str) -> None:
    error = error_of(check_directory, path)
    assert (type(error), words in str(error)) == (InvalidArgument, True)
    assert str(error).startswith("symbolic_directory_path ")


@given(st.lists(st.text("abcXYZ019 _-", min_size=1, max_size=8), max_size=8))
def test_any_names_joined_by_slashes_are_a_directory(names: list[str]) -> None:
    path = "/" + "/".join(names)
    assert check_directory(path) == path.lower()


def test_a_directory_is_text_and_is_called_what_the_caller_called_it() -> None:
    assert str(error_of(check_directory, None, name="folders")) == (
        "folders is NoneType but must be a str"
    )
    assert str(error_of(check_directory, "x", name="folders")).startswith("folders is 'x': ")


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/a.txt", ("/", "a.txt")),
        ("/a/b.txt", ("/a", "b.txt")),
        ("/a/b/c d.txt", ("/a/b", "c d.txt")),
        ("/a//b.txt", ("/a/", "b.txt")),
        ("a/b.txt", ("a", "b.txt")),
    ],
)
def test_a_file_path_is_split_at_its_last_slash(path: str, parts: tuple[str, str]) -> None:
    assert split_symbolic_path(path) == parts


@pytest.mark.parametrize("path", ["", "/", "/a/", "a.txt"])
def test_what_lacks_a_folder_or_a_name_is_no_file_path(path: str) -> None:
    assert str(error_of(split_symbolic_path, path)) == (
        f"symbolic_file_path is {path!r} but must be a folder and a name, such as "
        "'/novels/moby.txt'"
    )


def test_a_file_path_is_text() -> None:
    assert type(error_of(split_symbolic_path, 4)) is InvalidArgumentType


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ((None, None, None), (None, None)),
        (("/a", None, None), ("/a", None)),
        ((None, "b.txt", None), (None, "b.txt")),
        ((None, None, "/a/b.txt"), ("/a", "b.txt")),
    ],
)
def test_a_place_is_a_folder_and_a_name_or_both_in_one(given: Any, place: Any) -> None:
    assert one_place(*given) == place


@pytest.mark.parametrize("given", [("/a", None), (None, "b.txt"), ("/a", "b.txt")])
def test_a_place_is_not_given_in_both_ways(given: Any) -> None:
    assert str(error_of(one_place, *given, "/a/b.txt")) == (
        "symbolic_file_path was given together with file_name or symbolic_directory_path: it is "
        "both of them in one, so give it alone"
    )


# --- tags, description, expiry -------------------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "stored"),
    [
        ([], ()),
        ([{"Author": "Orwell"}], ({"author": "orwell"},)),
        ([{"a": "b"}, {"a": "c"}], ({"a": "b"}, {"a": "c"})),
        (({"a b-_1": "Z z"},), ({"a b-_1": "z z"},)),
        ([{"k" * 32: "v" * 32}], ({"k" * 32: "v" * 32},)),
        ([{f"k{n}": "v"} for n in range(20)], tuple({f"k{n}": "v"} for n in range(20))),
        (iter([{"a": "b"}]), ({"a": "b"},)),
    ],
)
def test_tags_are_stored_in_lower_case(tags: Any, stored: Any) -> None:
    assert check_tags(tags) == stored


@pytest.mark.parametrize(
    ("tags", "kind", "words"),
    [
        (None, InvalidArgumentType, "is NoneType but must be a list"),
        ({"a": "b"}, InvalidArgumentType, "is dict but must be a list"),
        ("a", InvalidArgumentType, "is str but must be a list"),
        (["a"], InvalidArgumentType, "holds 'a' but must hold dicts of one pair"),
        ([{}], InvalidArgumentType, "holds {} but"),
        ([{"a": "b", "c": "d"}], InvalidArgumentType, "write one dict for each pair"),
        ([{5: "b"}], InvalidArgumentType, "holds 5: keys and values must be str"),
        ([{"a": 5}], InvalidArgumentType, "holds 5:"),
        ([{"a": None}], InvalidArgumentType, "holds None:"),
        ([{"": "b"}], InvalidArgument, "holds '':"),
        ([{"a": ""}], InvalidArgument, "holds '':"),
        ([{"k" * 33: "b"}], InvalidArgument, "1 to 32 letters"),
        ([{"a": "v" * 33}], InvalidArgument, "1 to 32 letters"),
        ([{"a.b": "c"}], InvalidArgument, "holds 'a.b':"),
        ([{"a": "x@y"}], InvalidArgument, "holds 'x@y':"),
        ([{"a": "é"}], InvalidArgument, "holds 'é':"),
        ([{"a": "b\n"}], InvalidArgument, "holds 'b\\n':"),
        ([{"a": "*"}], InvalidArgument, "holds '*':"),
        ([{"A": "b"}, {"a": "B"}], InvalidArgument, "holds {'a': 'b'} twice"),
        ([{f"k{n}": "v"} for n in range(21)], InvalidArgument, "more than the 20 pairs"),
    ],
)
def test_other_tags_are_refused(tags: Any, kind: type[Exception], words: str) -> None:
    error = error_of(check_tags, tags)
    assert (type(error), words in str(error)) == (kind, True)


def test_in_a_query_a_value_may_be_a_star_but_nothing_with_one_in_it() -> None:
    assert check_tags([{"Author": "*"}], wildcard=True) == ({"author": "*"},)
    for tag in ({"*": "a"}, {"a": "**"}, {"a": "b*"}):
        assert type(error_of(check_tags, [tag], wildcard=True)) is InvalidArgument


@pytest.mark.parametrize("text", ["", "A b-_.,;'\"!?", "d" * 256])
def test_a_description_is_kept_as_it_is(text: str) -> None:
    assert check_description(text) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("d" * 257, "has 257 characters but at most 256"),
        ("café", "holds 'é'"),
        ("a@b", "holds '@'"),
        ("a\nb", "holds '\\n'"),
    ],
)
def test_other_descriptions_are_refused(text: str, words: str) -> None:
    assert words in str(error_of(check_description, text))
    assert type(error_of(check_description, None)) is InvalidArgumentType


@pytest.mark.parametrize("seconds", [1800, 1801, 2_592_000])
def test_files_are_kept_from_half_an_hour_to_thirty_days(seconds: int) -> None:
    assert check_expire_time(seconds) == seconds


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (1799, InvalidArgument),
        (2_592_001, InvalidArgument),
        (0, InvalidArgument),
        (-1800, InvalidArgument),
        (None, InvalidArgumentType),
        (True, InvalidArgumentType),
        (1800.0, InvalidArgumentType),
        ("1800", InvalidArgumentType),
    ],
)
def test_other_expire_times_are_refused(value: Any, kind: type[Exception]) -> None:
    assert type(error_of(check_expire_time, value)) is kind


# --- content -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chain", "least", "most"),
    [
        (["parser"], 2, 2 * MIB + 1),
        (["keyword-db"], 2, 2 * MIB + 1),
        (["summarize"], 2, MIB // 4),
        (["summarize", "parser"], 2, MIB // 4),
        (["sentiment"], 2, 3 * MIB + 1),
        (["ocr"], 1049, 5 * MIB + 1),
        (["transcribe"], 11, 3 * MIB + 1),
        (["vector-db"], 2, 3 * MIB + 1),
    ],
)
def test_sizes_have_a_least_and_a_most(chain: list[str], least: int, most: int) -> None:
    check_size(least, chain, what="x")
    check_size(most, chain, what="x")
    assert str(error_of(check_size, 0, chain, what="x")) == (
        "x is empty: there is nothing to process"
    )
    assert str(error_of(check_size, least - 1, chain, what="x")) == (
        f"x has {least - 1} bytes but must have at least {least}: it is empty or cut off"
    )
    assert str(error_of(check_size, most + 1, chain, what="x")) == (
        f"x has {most + 1} bytes but {chain[0]!r} takes at most {most}: split it into parts"
    )
