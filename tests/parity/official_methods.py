"""Ask the official client for all there is, right and wrong; print what each call returned.

usage: official_methods.py API_URL API_KEY FOLDER

Run in the official client's own environment: this file imports nothing of ours. FOLDER holds the
files to send; outputs are saved there, too. Every value in the JSON is what a call returned, or
{"raised": [class, message]}.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

NOWHERE = "1f0c5f2e-0009-4000-8000-000000000009"


def of(call: Callable[..., Any], **arguments: Any) -> Any:
    """Give what a call returns, or what it raises as a value."""
    try:
        return call(**arguments)
    except Exception as error:  # noqa: BLE001 - it raises all kinds, and they are what is asked for
        return {"raised": [type(error).__name__, str(error)]}


def finish(pipeline: Any, *jobs: Any) -> None:
    """Wait until the jobs are done."""
    for job in jobs:
        while pipeline.process_status(request_id=job["request_id"])["overall_status"] == "ongoing":
            time.sleep(0.3)


def send(pipeline: Any, file: Path, name: str, **more: Any) -> Any:
    return of(
        pipeline.process,
        local_file_path=str(file),
        file_name=name,
        wait_for_process=False,
        verbose=False,
        **more,
    )


def refusals(krixik: Any, words: Any, files: Path, said: dict[str, Any]) -> dict[str, Any]:
    """Ask while a file is unfinished, and for what cannot be."""
    first = said["first"] = send(
        words, files / "text.txt", "First.txt", symbolic_directory_path="/Home/Books"
    )
    file_id, request_id = first["file_id"], first["request_id"]
    ids = {"file_id": file_id}
    said["status of unfinished"] = words.process_status(request_id=request_id)
    said["list of unfinished"] = of(words.list, file_ids=[file_id])
    said["search of unfinished"] = of(words.keyword_search, query="lamp", file_ids=[file_id])
    said["fetch of unfinished"] = of(words.fetch_output, local_save_directory=str(files), **ids)
    said["update of unfinished"] = of(words.update, file_name="new.txt", verbose=False, **ids)
    said["delete of unfinished"] = of(words.delete, **ids)
    said["same path"] = send(
        words, files / "text.txt", "first.txt", symbolic_directory_path="/home/books"
    )
    other = krixik.create_pipeline(name="words", module_chain=["parser"])
    said["other chain"] = send(other, files / "text.txt", "second.txt")
    elsewhere = krixik.create_pipeline(name="elsewhere", module_chain=["parser"])
    said["mismatch"] = of(elsewhere.process_status, request_id=request_id)
    said["unknown process"] = of(words.process_status, request_id=NOWHERE)
    said["unknown delete"] = of(words.delete, file_id=NOWHERE)
    said["unknown update"] = of(words.update, file_id=NOWHERE, file_name="x.txt", verbose=False)
    said["unknown fetch"] = of(words.fetch_output, file_id=NOWHERE, local_save_directory=str(files))
    finish(words, first)
    said["first finished"] = of(words.list, file_ids=[file_id])
    return said


def selections(words: Any, files: Path, said: dict[str, Any]) -> None:
    """Select by everything a selection can be made of."""
    jobs = [
        send(
            words,
            files / "text.txt",
            f"{name}.txt",
            symbolic_directory_path=folder,
            file_tags=[{"Kind": name}, {"all": "yes"}],
            file_description=f"Number {name}.",
        )
        for name, folder in (("a one", "/home"), ("b two", "/home/books"), ("c three", "/etc"))
    ]
    finish(words, *jobs)
    said["jobs"] = jobs
    everything = {"symbolic_directory_paths": ["/*"]}
    asked: dict[str, dict[str, Any]] = {
        "by names": {"file_names": ["A one.txt", "*three.txt", "b*"]},
        "by folder": {"symbolic_directory_paths": ["/home"]},
        "by stump": {"symbolic_directory_paths": ["/home*"]},
        "by paths": {"symbolic_file_paths": ["/Home/Books/B two.txt"]},
        "by tag": {"file_tags": [{"kind": "A one"}]},
        "by any tag": {"file_tags": [{"kind": "*"}]},
        "by ids": {"file_ids": [jobs[0]["file_id"], NOWHERE]},
        "by or": {"file_names": ["a one.txt"], "file_tags": [{"kind": "c three"}]},
        "by time": {"created_at_start": "2023-01-01", "created_at_end": "2100-01-01"},
        "by no time": {**everything, "last_updated_end": "2023-01-02"},
        "by nothing there": {
            "file_names": ["none.txt"],
            "symbolic_directory_paths": ["/none"],
            "symbolic_file_paths": ["/none/none.txt"],
            "file_tags": [{"none": "none"}],
        },
        "first two": {**everything, "max_files": 2},
        "ascending": {**everything, "sort_order": "ascending"},
        "by no selector": {},
    }
    for name, arguments in asked.items():
        said[f"list {name}"] = of(words.list, **arguments)
    said["search"] = of(words.keyword_search, query="The lamp of Moon-honey", **everything)
    said["search first two"] = of(words.keyword_search, query="lamp", max_files=2, **everything)
    said["search in vain"] = of(words.keyword_search, query="zebra crossing", **everything)
    said["search for stop words"] = of(words.keyword_search, query="the and", **everything)
    said["search nothing there"] = of(words.keyword_search, query="lamp", file_names=["none.txt"])
    said["tree"] = of(words.show_tree, verbose=False)
    said["tree of a folder"] = of(words.show_tree, symbolic_directory_path="/home*")
    said["tree of nothing"] = of(words.show_tree, symbolic_directory_path="/none/*")


def changes(words: Any, said: dict[str, Any]) -> None:
    """Change files, right and wrong, and delete them."""
    one, two, _ = (job["file_id"] for job in said["jobs"])
    asked: dict[str, dict[str, Any]] = {
        "to a path that is taken": {"symbolic_file_path": "/home/books/b two.txt"},
        "to another extension": {"file_name": "a one.pdf"},
        "all": {
            "symbolic_file_path": "/Moved/Here.txt",
            "file_tags": [{"New": "Tag"}],
            "file_description": "Moved!",
            "expire_time": 7200,
        },
        "to no tags": {"file_tags": []},
        "nothing": {},
    }
    for name, arguments in asked.items():
        said[f"update {name}"] = of(words.update, file_id=one, verbose=False, **arguments)
    said["list updated"] = of(words.list, file_ids=[one])
    said["delete"] = of(words.delete, file_id=two)
    said["status of deleted"] = of(words.process_status, request_id=said["jobs"][1]["request_id"])
    said["list of deleted"] = of(words.list, file_ids=[two])


def meaning(krixik: Any, files: Path, said: dict[str, Any]) -> None:
    """Search by meaning: unfinished files, every order, every k."""
    vectors = krixik.create_pipeline(
        name="vectors", module_chain=["parser", "text-embedder", "vector-db"]
    )
    jobs = [send(vectors, files / "text.txt", f"{name}.txt") for name in ("one", "two")]
    ids = {"file_ids": [job["file_id"] for job in jobs]}
    query = "Nobody spoke of it again for seven years."
    said["meaning of unfinished"] = of(vectors.semantic_search, query=query, **ids)
    finish(vectors, *jobs)
    for order in ("ascending", "descending", "global"):
        said[f"meaning {order}"] = of(
            vectors.semantic_search, query=query, k=3, sort_order=order, **ids
        )
    said["meaning of all"] = of(vectors.semantic_search, query=query, k=10, **ids)
    said["meaning elsewhere"] = of(
        vectors.semantic_search, query=query, file_ids=[*ids["file_ids"], NOWHERE]
    )
    said["reset"] = of(krixik.reset_pipeline, pipeline=vectors)
    said["meaning after reset"] = of(vectors.list, **ids)


def files_of_all_kinds(krixik: Any, files: Path, said: dict[str, Any]) -> None:
    """Send what the client converts, and what has an output of a size that matters."""
    parsed = krixik.create_pipeline(name="parsed", module_chain=["parser"])
    names = ("text.docx", "text.pptx", "half a megabyte.txt", "six megabytes.txt")
    jobs = [send(parsed, files / name, name) for name in names]
    finish(parsed, *jobs)
    for name, job in zip(names, jobs, strict=True):
        said[name] = {
            "status": parsed.process_status(request_id=job["request_id"]),
            "fetch": of(
                parsed.fetch_output, file_id=job["file_id"], local_save_directory=str(files)
            ),
            "list": of(parsed.list, file_ids=[job["file_id"]]),
        }


def main(url: str, key: str, folder: str) -> None:
    """Ask for everything."""
    from krixik import krixik

    krixik.init(api_key=key, api_url=url)
    files = Path(folder)
    said: dict[str, Any] = {"cap": of(krixik.check_cap)}
    words = krixik.create_pipeline(name="words", module_chain=["keyword-db"])
    refusals(krixik, words, files, said)
    selections(words, files, said)
    changes(words, said)
    meaning(krixik, files, said)
    files_of_all_kinds(krixik, files, said)
    json.dump(said, sys.__stdout__)


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        main(*sys.argv[1:])
