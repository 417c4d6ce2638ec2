"""The demo's scenario with the official client; prints what each call returned, as JSON.

usage: official_scenario.py API_URL API_KEY QUERY SAVE_TO FILE...

Run in the official client's own environment: this file imports nothing of ours. What the client
prints by itself goes to stderr.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

MODULES = (
    "caption", "json-to-txt", "keyword-db", "ocr", "parser", "sentiment", "summarize",
    "text-embedder", "transcribe", "translate", "vector-db",
)  # fmt: skip


def run(url: str, key: str, query: str, save_to: str, files: list[str]) -> dict[str, Any]:
    """Do what `our_scenario` does, in the same order."""
    from krixik import krixik

    krixik.init(api_key=key, api_url=url)
    pipeline = krixik.create_pipeline(name="parity", module_chain=["keyword-db"])
    jobs = [
        pipeline.process(
            local_file_path=file,
            file_name=Path(file).name,
            symbolic_directory_path="/Parity",
            file_tags=[{"Kind": "Prose"}],
            file_description="A short text",
            expire_time=1800,
            wait_for_process=False,
            verbose=False,
        )
        for file in files
    ]
    said: dict[str, Any] = {"process": jobs}
    said["ongoing"] = pipeline.process_status(request_id=jobs[-1]["request_id"])
    for job in jobs:
        while pipeline.process_status(request_id=job["request_id"])["overall_status"] == "ongoing":
            time.sleep(0.2)
    said["complete"] = [pipeline.process_status(request_id=job["request_id"]) for job in jobs]
    said["fetch_output"] = [
        pipeline.fetch_output(file_id=job["file_id"], local_save_directory=save_to) for job in jobs
    ]
    said["process_and_wait"] = pipeline.process(
        local_file_path=files[0],
        file_name="waited.txt",
        wait_for_process=True,
        local_save_directory=save_to,
        verbose=False,
    )
    said["keyword_search"] = pipeline.keyword_search(query=query, symbolic_directory_paths=["/*"])
    ids = [job["file_id"] for job in jobs]
    said["list"] = pipeline.list(file_ids=ids, sort_order="ascending")
    said["list_by_tag"] = pipeline.list(file_tags=[{"kind": "prose"}], file_names=["none*"])
    said["update"] = pipeline.update(
        file_id=ids[1],
        symbolic_file_path="/Parity/Moved/One.txt",
        file_tags=[{"Kind": "Moved"}],
        file_description="",
        expire_time=3600,
        verbose=False,
    )
    said["update_refused"] = pipeline.update(file_id=ids[1], file_name="one.pdf", verbose=False)
    said["list_updated"] = pipeline.list(file_ids=[ids[1]])
    said["show_tree"] = pipeline.show_tree(verbose=False)
    said["show_tree_of_nothing"] = pipeline.show_tree(symbolic_directory_path="/None/*")
    said["check_cap"] = krixik.check_cap()
    said["view_module_click_data"] = [
        krixik.view_module_click_data(module_name=name) for name in MODULES
    ]
    said["view_module_config"] = [
        krixik.view_module_config(module_name=name)["module_config"] for name in MODULES
    ]
    pipeline.save_pipeline(config_path=f"{save_to}/theirs.yml")
    said["config"] = pipeline.config
    said["delete"] = pipeline.delete(file_id=ids[0])
    said["list_after"] = pipeline.list(file_ids=ids, sort_order="ascending")
    try:
        said["gone"] = pipeline.process_status(request_id=jobs[0]["request_id"])
    except ValueError as error:
        said["gone"] = str(error)
    return said


if __name__ == "__main__":
    api_url, api_key, words, folder, *paths = sys.argv[1:]
    with contextlib.redirect_stdout(sys.stderr):
        result = run(api_url, api_key, words, folder, paths)
    json.dump(result, sys.stdout)
