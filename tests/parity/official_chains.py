"""Run many chains at once with the official client; print what each of its calls returned, as JSON.

usage: official_chains.py API_URL API_KEY SAVE_TO < jobs.json

Run in the official client's own environment: this file imports nothing of ours. Its pipeline
objects keep the state of a call on themselves, so every thread has one of its own.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

# No module is done in less than 1.2 s, so that every state is seen.
BETWEEN_LOOKS_S = 1.0
MOST_S = 200
# So many jobs are under way: more than the server works on at a time, and few enough for one
# interpreter to look after each within a second.
AT_A_TIME = 12


def look(pipeline: Any, request_id: str) -> list[dict[str, Any]]:
    """Give all statuses of a process, the last one final, each state once."""
    seen = [pipeline.process_status(request_id=request_id)]
    end = time.monotonic() + MOST_S
    while seen[-1]["overall_status"] == "ongoing" and time.monotonic() < end:
        time.sleep(BETWEEN_LOOKS_S)
        status = pipeline.process_status(request_id=request_id)
        if status.get("process_status") != seen[-1].get("process_status"):
            seen.append(status)
    return seen


def run(job: dict[str, Any], save_to: str) -> dict[str, Any]:
    """Send one file through one chain and ask for all there is of it."""
    from krixik import krixik

    pipeline = krixik.create_pipeline(name=job["name"], module_chain=job["chain"])
    said: dict[str, Any] = {"sent_at": time.time()}
    said["process"] = pipeline.process(
        local_file_path=job["file"],
        modules=job.get("modules", {}),
        wait_for_process=False,
        verbose=False,
    )
    file_id = said["process"]["file_id"]
    said["list_unfinished"] = pipeline.list(file_ids=[file_id])
    said["statuses"] = look(pipeline, said["process"]["request_id"])
    said["done_at"] = time.time()
    said["fetch_output"] = pipeline.fetch_output(file_id=file_id, local_save_directory=save_to)
    said["list"] = pipeline.list(file_ids=[file_id])
    said["show_tree"] = pipeline.show_tree(verbose=False)
    if job["chain"][-1] == "keyword-db":
        said["search"] = pipeline.keyword_search(query=job["query"], file_ids=[file_id])
    if job["chain"][-2:] == ["text-embedder", "vector-db"]:
        said["search"] = pipeline.semantic_search(query=job["query"], file_ids=[file_id], k=2)
    if job.get("then") == "wait":
        for download in (True, False):
            said[f"waited_download_{download}"] = pipeline.process(
                local_file_path=job["file"],
                local_save_directory=save_to,
                download_output=download,
                verbose=False,
            )
    if job.get("then") == "failing":
        try:
            pipeline.process(
                local_file_path=job["file"], modules=job.get("modules", {}), verbose=False
            )
        except ValueError as error:
            said["raised"] = str(error)
        return said
    said["delete"] = pipeline.delete(file_id=file_id)
    said["list_deleted"] = pipeline.list(file_ids=[file_id])
    krixik.reset_pipeline(pipeline)
    said["after_reset"] = pipeline.list(symbolic_directory_paths=["/*"])
    return said


def main(url: str, key: str, save_to: str) -> None:
    """Run all jobs, many at once."""
    from krixik import krixik

    krixik.init(api_key=key, api_url=url)
    jobs = json.load(sys.stdin)
    with ThreadPoolExecutor(AT_A_TIME) as threads:
        results = list(threads.map(lambda job: run(job, save_to), jobs))
    json.dump(results, sys.__stdout__)


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        main(*sys.argv[1:])
