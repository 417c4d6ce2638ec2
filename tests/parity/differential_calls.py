"""The calls that both clients are given: written by hand at the limits, and generated.

A call is `{"method", "pipeline", "chain", "arguments"}`, plain JSON but for `{"$path": ...}` and
`{"$float": ...}`. `chain` is None for calls on the client itself. Generated calls take each
argument from a pool of good and of bad values, mostly good, so that about half of them are sent.
"""

from __future__ import annotations

import json
import random
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ID = "83f7bc97-bf47-4b3d-8268-b1a147be8950"
OTHER_ID = "11111111-1111-4111-8111-111111111111"
WORDS = "It was a bright cold day in April and the clocks were striking thirteen\n"
Call = dict[str, Any]


def write_files(folder: Path) -> dict[str, str]:
    """Make the input files; give name -> path."""
    snippets = [{"snippet": "a few words", "line_numbers": [1]}]
    long = " ".join(["word"] * 255)
    contents: dict[str, bytes] = {
        "short.txt": WORDS.encode(),
        "six_words.txt": b"one two three four five six",
        "five_words.txt": b"one two three four five",
        "empty.txt": b"",
        "latin1.txt": "caf\xe9 one two three four five six".encode("latin-1"),
        "bom.txt": b"\xef\xbb\xbf" + WORDS.encode(),
        "two_mib.txt": (WORDS * 40000).encode()[: 2 * 2**20],
        "over_two_mib.txt": (WORDS * 40000).encode()[: 2 * 2**20 + 4096],
        "many_lines.txt": b"a b\n" * 100_001,
        "summary_limit.txt": (WORDS * 5000).encode()[: 2**18],
        "summary_over.txt": (WORDS * 5000).encode()[: 2**18 + 1024],
        "SHOUTED.TXT": WORDS.encode(),
        "no_extension": WORDS.encode(),
        "with.dots.txt": WORDS.encode(),
        "sheet.xlsx": b"PK",
        "clip.mp4": b"\0" * 200,
        "sound.mp3": b"ID3" + b"\0" * 500,
        "tiny.mp3": b"1",
        "bad.docx": b"not a zip",
        "snippets.json": json.dumps(snippets).encode(),
        "words_255.json": json.dumps([{"snippet": long}]).encode(),
        "words_256_last.json": json.dumps([{"snippet": "a"}, {"snippet": long + " word"}]).encode(),
        "words_256_first.json": json.dumps(
            [{"snippet": long + " word"}, {"snippet": "a"}]
        ).encode(),
        "second_without.json": json.dumps([*snippets, {"other": "a"}]).encode(),
        "first_without.json": json.dumps([{"other": "a"}, *snippets]).encode(),
        "empty_list.json": b"[]",
        "object.json": b'{"snippet": "a"}',
        "broken.json": b'[{"snippet": "a"',
        "picture.png": png(60, 40),
        "flat.png": png(2000, 10),
        "small.png": png(2, 2),
        "bare.jpg": BARE_JPEG,
        "text.png": b"no picture at all, just some words",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: str(folder / name) for name in contents}


# Start of image, a frame header of 300 by 200, comments to come to more than a kilobyte, the end:
# a JPEG that says neither JFIF nor Exif.
BARE_JPEG = b"".join(
    [
        b"\xff\xd8",
        b"\xff\xc0\x00\x0b\x08\x00\xc8\x01\x2c\x01\x01\x11\x00",
        b"\xff\xfe\x06\x02" + b"x" * 1536,
        b"\xff\xd9",
    ]
)


def png(width: int, height: int) -> bytes:
    """Give a grey picture of noise, which does not compress."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    rng = random.Random(1)
    rows = b"".join(b"\0" + rng.randbytes(width) for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def call(method: str, chain: list[str] | None = None, **arguments: Any) -> Call:
    """Give a call, on a pipeline of that chain if there is one."""
    return {"method": method, "pipeline": "vec", "chain": chain, "arguments": arguments}


def by_hand(files: dict[str, str], out: str) -> list[Call]:
    """Give the calls at the limits; `out` is a folder for outputs."""
    return [*_sends(files), *_selections(), *_changes(), *_about_one_file(out), *_others()]


def _sends(files: dict[str, str]) -> Iterator[Call]:
    def send(path: str, chain: list[str], **arguments: Any) -> Call:
        return call("process", chain, local_file_path=path, **SEND, **arguments)

    for name in files:
        for module in ("parser", "sentiment", "caption", "transcribe", "summarize"):
            yield send(files[name], [module])
    for field, values in PROCESS_POOL.items():
        for value in values:
            yield send(files["short.txt"], ["parser"], **{field: value})
    for chain, modules in MODULE_CHOICES:
        name = "picture.png" if chain == ["ocr"] else "short.txt"
        yield send(files[name], chain, modules=modules)
    yield send("nowhere.txt", ["parser"])
    yield call("process", ["parser"], **SEND)
    yield call("process", ["parser"], local_file_path={"$path": files["short.txt"]}, **SEND)


def _selections() -> Iterator[Call]:
    for field, values in SELECTOR_POOL.items():
        for value in values:
            yield call("list", ["parser"], **{field: value})
            yield call("keyword_search", ["keyword-db"], query="dust", **{field: value})
            yield call("semantic_search", VECTORS, query="dust", **{field: value})
    for query in QUERIES:
        yield call("keyword_search", ["keyword-db"], query=query, file_ids=[ID])
    for k in (1, 5, 10, 0, 11, {"$float": 2.0}, "5", True, None):
        chain = ["text-embedder", "vector-db"]
        yield call("semantic_search", chain, query="dust", file_ids=[ID], k=k)
    yield call("semantic_search", ["keyword-db"], query="dust", file_ids=[ID])
    yield call("keyword_search", ["parser"], query="dust", file_ids=[ID])


def _changes() -> Iterator[Call]:
    for field, values in PROCESS_POOL.items():
        for value in values:
            yield call("update", ["parser"], file_id=ID, **{field: value})
    yield call("update", ["parser"], file_id=ID)


def _about_one_file(out: str) -> Iterator[Call]:
    for file_id in (ID, OTHER_ID, ID.upper(), "x", "", None, 5, ID + "\n"):
        yield call("delete", ["parser"], file_id=file_id)
        yield call("update", ["parser"], file_id=file_id, file_name="b.txt")
        yield call("fetch_output", ["parser"], file_id=file_id, local_save_directory=out)
        yield call("process_status", ["parser"], request_id=file_id)


def _others() -> Iterator[Call]:
    for value in ("/*", "/", "/novels*", "/a/b", "/none/*", "x", "*", "", None, "/a/", "/É", 5):
        yield call("show_tree", ["parser"], symbolic_directory_path=value)
    for most in (1, 10000, 0, 10001, None, {"$float": 2.0}, True, "5"):
        yield call("show_tree", ["parser"], max_files=most)
    for name in ("n" * 64, "n" * 65, "", " ", "é", 5):
        yield {**call("show_tree", ["parser"]), "pipeline": name}
    for chain in CHAINS:
        yield call("show_tree", chain)
    yield call("check_cap")


VECTORS = ["parser", "text-embedder", "vector-db"]
SEND: dict[str, Any] = {"wait_for_process": False, "verbose": False}
TAGS: list[Any] = [
    [], [{"Author": "Orwell"}], [{"a": "1"}, {"a": "2"}], [{"a": "1"}, {"A": "1"}], [{"a": "*"}],
    [{"*": "a"}], [{"a": "1", "b": "2"}], [{"k" * 32: "v" * 32}], [{"k" * 33: "v"}], [{"a": ""}],
    [{"a": 1}], [{"a": "é"}], [{"a": "b\n"}], {"a": "b"}, "a", [["a", "b"]],
    [{f"k{number}": "v"} for number in range(20)], [{f"k{number}": "v"} for number in range(21)],
]  # fmt: skip
DIRECTORIES: list[Any] = [
    "/", "/My/Custom Path", "/a_b-c/9", "/etc", "/etcetera", "/etc/a", "/home/etchings", "a", "/a/",
    "/a//b", "/é", "/a*/b", "/a*", "/*", "", "/" + "a" * 127, "/" + "a" * 128, 5, "/a\n", "/a.b",
]  # fmt: skip
NAMES: list[Any] = [
    "File_One, v1.2.txt", "a.txt", "A.TXT", "n" * 60 + ".txt", "n" * 61 + ".txt", "", "a", "a.pdf",
    "a*b.txt", "*a.txt", "a.$%^&.txt", "é.txt", 7, ".txt", "a b-c_d.txt", "a.txt\n", "a/b.txt",
]  # fmt: skip
DESCRIPTIONS: list[Any] = [
    "", "A short text.", "d" * 256, "d" * 257, "café", "a, b; c: d", 'so "it" is - or is it?!', 5,
    "two\nlines", "tab\there",
]  # fmt: skip
FILE_PATHS: list[Any] = [
    "/a/b.txt",
    "/b.txt",
    "/A/B.txt",
    "b.txt",
    "/a/",
    "/a/b.pdf",
    "",
    5,
    "/é/b.txt",
]
EXPIRY: list[Any] = [1800, 2592000, 1799, 2592001, 0, -1, {"$float": 1800.0}, True, "1800", None]
PROCESS_POOL: dict[str, list[Any]] = {
    "file_name": NAMES,
    "symbolic_directory_path": DIRECTORIES,
    "symbolic_file_path": FILE_PATHS,
    "file_tags": TAGS,
    "file_description": DESCRIPTIONS,
    "expire_time": EXPIRY,
    "nonsense": [1],
}
TIMES: list[Any] = [
    "2024-01-01", "2024-06-05 15:28:06", "2023-01-01", "2022-12-31", "9999-12-31", "2024-13-01",
    "2024-1-1", "2024-1-1  1:2:3", "24-01-01", "yesterday",
    "", 5, "2024-06-05T15:28:06", "2024-02-30",
]  # fmt: skip
SELECTOR_POOL: dict[str, list[Any]] = {
    "file_ids": [[ID], [ID, ID], [ID, OTHER_ID], [], ["x"], ID, [5], [ID.upper()], [OTHER_ID] * 500,
                 [OTHER_ID] * 501],
    "file_names": [["Book 0.txt"], ["book*"], ["*book.txt"], ["*book*"], ["*"], ["**a.txt"],
                   ["a$.txt"], [], "a.txt", ["a"], ["a.pdf"], ["a.txt"] * 501, ["é*"], ["a\n.txt"]],
    "symbolic_directory_paths": [["/*"], ["/Novels/N0", "/x"], ["/novels*"], ["*"], ["x"], [], "/a",
                                 ["/a/"], ["/a*b"], ["/etc/*"], ["/etc/a"], ["/é"]],
    "symbolic_file_paths": [["/Novels/Book 0.txt"], ["/a/b*"], ["/a/*b.txt"], ["/a/*"], ["/a/**"],
                            [], "/a.txt", ["a.txt"], ["/a*/b.txt"], ["/*/b.txt"], ["/*b*"]],
    "file_tags": TAGS,
    "created_at_start": TIMES,
    "created_at_end": TIMES,
    "last_updated_start": TIMES,
    "last_updated_end": TIMES,
}  # fmt: skip
SHAPE_POOL: dict[str, list[Any]] = {
    "max_files": [1, 2, 1000, 10000, 0, 10001, {"$float": 2.0}, "5", True],
    "sort_order": ["ascending", "descending", "up", "", 5],
    "verbose": [True, False],
}
QUERIES: list[Any] = [
    "dust", "  dust  ", "bright-cold thirteen", "a", "ab", "", "   ", "q" * 256, "q" * 257, "é ü",
    5, None, "two\nlines",
]  # fmt: skip
MODULE_CHOICES: list[tuple[list[str], Any]] = [
    (["parser"], {}),
    (["parser"], {"parser": {"model": "sentence"}}),
    (["parser"],
     {"module_1": {"model": "fixed", "params": {"overlap_size": 19, "chunk_size": 20}}}),
    (["parser"], {"parser": {"model": "fixed", "params": {"chunk_size": 4, "overlap_size": 1}}}),
    (["parser"], {"parser": {"model": "fixed", "params": {"chunk_size": 3, "overlap_size": 1}}}),
    (["parser"], {"parser": {"model": "fixed", "params": {"chunk_size": 4, "overlap_size": 4}}}),
    (["parser"], {"parser": {"model": "fixed"}}),
    (["parser"], {"parser": {"model": "nope"}}),
    (["parser"], {"parsr": {"model": "sentence"}}),
    (["parser"], {"module_2": {"model": "sentence"}}),
    (["parser"], {"parser": {"model": "sentence"}, "module_1": {"model": "sentence"}}),
    (["parser"], {"parser": "sentence"}),
    (["parser"], []),
    (["ocr"], {"ocr": {"model": "tesseract-es"}}),
    (["ocr"], {"ocr": {"params": {"any": 1}}}),
    (["parser", "text-embedder", "vector-db"],
     {"text-embedder": {"model": "all-mpnet-base-v2", "params": {"quantize": False}}}),
    (["parser", "text-embedder", "vector-db"], {"text-embedder": {"params": {"quantize": "no"}}}),
    (["summarize", "summarize", "keyword-db"], {"module_2": {"model": "text-summarization"}}),
    (["summarize", "summarize", "keyword-db"], {"summarize": {"model": "text-summarization"}}),
    (["parser", "sentiment"],
     {"sentiment": {"model": "bert-base-multilingual-uncased-sentiment"}}),
]  # fmt: skip
CHAINS: list[Any] = [
    ["parser"], [], ["Parser"], ["nope"], ["summarize"] * 10, ["summarize"] * 11,
    ["ocr", "sentiment"], ["transcribe", "parser"], ["text-embedder", "vector-db", "keyword-db"],
    ["transcribe", "translate", "json-to-txt", "parser", "text-embedder", "vector-db"],
    ["keyword-db"], ["vector-db"], ["json-to-txt", "keyword-db"], ["parser", "json-to-txt"],
]  # fmt: skip


def generated(files: dict[str, str], *, seed: int, count: int) -> Iterator[Call]:
    """Give `count` calls with several arguments each."""
    rng = random.Random(seed)
    makers = (_some_process, _some_list, _some_keyword_search, _some_semantic_search, _some_update)
    for _ in range(count):
        yield rng.choice(makers)(rng, files)


def _take(rng: random.Random, pool: dict[str, list[Any]], most: int) -> dict[str, Any]:
    """Take some arguments; the first values of each pool are good ones and come more often."""
    names = rng.sample(sorted(set(pool) - {"nonsense"}), rng.randint(1, min(most, len(pool) - 1)))
    return {
        name: rng.choice(pool[name][:3] if rng.random() < 0.8 else pool[name]) for name in names
    }


def _some_process(rng: random.Random, files: dict[str, str]) -> Call:
    chain, modules = rng.choice([choice for choice in MODULE_CHOICES if choice[0] != ["ocr"]])
    arguments = {"local_file_path": files["short.txt"], **SEND, **_take(rng, PROCESS_POOL, 4)}
    if rng.random() < 0.4:
        arguments["modules"] = modules
    return call("process", chain, **arguments)


def _some_list(rng: random.Random, files: dict[str, str]) -> Call:
    shape = _take(rng, SHAPE_POOL, 2)
    return call("list", ["parser"], **_take(rng, SELECTOR_POOL, 4), **shape)


def _some_keyword_search(rng: random.Random, files: dict[str, str]) -> Call:
    found = _some_list(rng, files)["arguments"]
    return call("keyword_search", ["keyword-db"], query=rng.choice(QUERIES[:3]), **found)


def _some_semantic_search(rng: random.Random, files: dict[str, str]) -> Call:
    found = _some_list(rng, files)["arguments"]
    if rng.random() < 0.3:
        found["sort_order"] = "global"
    if rng.random() < 0.5:
        found["k"] = rng.choice([1, 3, 10, 11])
    return call("semantic_search", VECTORS, query=rng.choice(QUERIES[:3]), **found)


def _some_update(rng: random.Random, files: dict[str, str]) -> Call:
    return call("update", ["parser"], file_id=ID, **_take(rng, PROCESS_POOL, 4))
