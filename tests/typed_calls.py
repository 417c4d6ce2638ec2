"""What users write, type-checked and never run: mypy and pyright, strict, must find nothing.

The `type: ignore` comments mark calls that must not pass: an ignore that is not needed is an error.
"""

from __future__ import annotations

import io
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO, Unpack, assert_type

import httpx
import tenacity

from krixik_async import (
    AsCompleted,
    BulkOutcome,
    BulkStream,
    CapResult,
    DeleteResult,
    FileInput,
    FileRecord,
    GlobalSearchResult,
    Job,
    JobOutcome,
    JobRef,
    KeywordItem,
    KeywordSearchResult,
    Krixik,
    ListResult,
    Output,
    Pager,
    Pipeline,
    ProcessStatus,
    Reply,
    ResetResult,
    SemanticItem,
    SemanticSearchResult,
    Tree,
    UpdateResult,
    WaitResult,
    wait_sqrt,
)
from krixik_async.typing import (
    JSON,
    AnyJob,
    BulkState,
    FileOptions,
    Files,
    JobState,
    LocalFile,
    Modules,
    OnError,
    OnUpdate,
    Options,
    Poll,
    ReturnWhen,
    SaveTo,
    Settings,
    StopWaiting,
    Tags,
    WatchEvent,
)


async def clients() -> None:
    async with Krixik(api_key="k", api_url="https://api.example") as krixik:
        assert_type(krixik, Krixik)
        assert_type(await krixik.check_in(), None)
    assert_type(Krixik.from_env(), Krixik)
    assert_type(Krixik.from_env(dotenv_path=Path(".env"), max_in_flight=8), Krixik)
    assert_type(Krixik.local(), Krixik)
    assert_type(Krixik.local(Path("data"), min_module_seconds=1, attempts=2), Krixik)
    Krixik(api_key="k", api_url="u", http_client=httpx.AsyncClient(), rate_limit=5.0)
    Krixik(api_key="k", api_url="u", max_in_fligth=8)  # type: ignore[call-arg]
    Krixik(api_key="k", api_url="u", http_client=httpx.Client())  # type: ignore[arg-type]
    Krixik("k", "u")  # type: ignore[call-arg]
    assert_type(
        Krixik.from_env(http_client=httpx.AsyncClient(), clock=None, rng=random.Random(1)), Krixik
    )
    Krixik.from_env(http_clinet=httpx.AsyncClient())  # type: ignore[call-arg]


async def options(krixik: Krixik, pipeline: Pipeline) -> None:
    assert_type(krixik.with_options(attempts=1, attempt_timeout_s=None), Krixik)
    assert_type(pipeline.with_options(headers={"X-Trace": "1"}, backoff_s=0.1), Pipeline)
    krixik.with_options(max_in_flight=3)  # type: ignore[call-arg]
    pipeline.with_options(attempts="1")  # type: ignore[arg-type]


async def paging(pipeline: Pipeline) -> None:
    files = pipeline.iter_files(page_size=100, symbolic_directory_paths=["/*"])
    assert_type(files, Pager[FileRecord])
    async with files:
        async for record in files:
            assert_type(record, FileRecord)
    assert_type(files.reply, Reply | None)
    async for item in pipeline.iter_keyword_search(query="whale", file_ids={"id"}):
        assert_type(item, KeywordItem)
    async for near in pipeline.iter_semantic_search(query="whale", k=2, file_ids=["id"]):
        assert_type(near, SemanticItem)
    pipeline.iter_files(max_files=5)  # type: ignore[call-arg]


async def many(pipeline: Pipeline, inputs: AsyncIterator[FileInput]) -> None:
    assert_type(pipeline.process_many("folder", journal=Path("run.db")), BulkStream)
    pipeline.process_many(inputs, max_in_flight=4, on_error="raise", download_output=True)
    files: list[FileInput | Path | dict[str, str]] = [
        FileInput("a.txt", key="a"),
        Path("b.txt"),
        {"local_file_path": "c.txt"},
    ]
    async with pipeline.process_many(files, local_save_directory="out") as stream:
        async for outcome in stream:
            assert_type(outcome, BulkOutcome)
            assert_type(outcome.job, JobRef | None)
            assert_type(outcome.saved, tuple[Path, ...])
    pipeline.process_many(5)  # type: ignore[arg-type]
    pipeline.process_many("folder", on_error="ignore")  # type: ignore[arg-type]
    FileInput("a.txt", "b.txt")  # type: ignore[call-arg]


async def sending(pipeline: Pipeline, wait: bool, file: BinaryIO) -> None:
    assert_type(await pipeline.process(local_file_path="a.txt"), Job)
    assert_type(await pipeline.process(local_file_path="a.txt", wait_for_process=False), Job)
    assert_type(await pipeline.process(local_file_path="a.txt", wait_for_process=True), Output)
    assert_type(
        await pipeline.process(
            local_file_path="a.txt", wait_for_process=True, download_output=False
        ),
        Job,
    )
    assert_type(
        await pipeline.process(
            local_file_path="a.txt", wait_for_process=True, download_output=wait
        ),
        Job | Output,
    )
    assert_type(
        await pipeline.process(local_file_path="a.txt", wait_for_process=wait), Job | Output
    )
    await pipeline.process(
        local_file_path=Path("a.txt"),
        symbolic_file_path="/novels/a.txt",
        file_tags=[{"author": "orwell"}],
        file_description="A novel.",
        modules={"parser": {"model": "fixed", "params": {"chunk_size": 10, "overlap_size": 4}}},
        expire_time=60 * 30,
        verbose=False,
        local_save_directory=Path("out"),
    )
    chosen = {"module_1": {"model": "sentence"}}
    await pipeline.process(local_file_path="a.txt", modules=chosen)
    await pipeline.process(local_file_path="a.txt", modules={"parser": "fixed"})  # type: ignore[dict-item]
    await pipeline.process(local_file_path=b"text", file_name="a.txt")
    await pipeline.process(local_file_path=io.BytesIO(b"text"), file_name="a.txt")
    await pipeline.process(local_file_path=file, file_name="a.txt")
    await pipeline.process(local_file_path=io.StringIO("text"))  # type: ignore[call-overload]
    await pipeline.process("a.txt")  # type: ignore[call-overload]


async def jobs(job: Job) -> None:
    assert_type(await job, JobOutcome)
    assert_type(await job.wait(timeout=5), JobOutcome)
    assert_type(job.ref, JobRef)
    assert_type(job.request_id, str)
    assert_type(job.file_id, str)
    assert_type(job.expires_at, float)
    assert_type(job.pipeline, Pipeline)
    assert_type(job.reply, Reply | None)


async def outputs(pipeline: Pipeline, job: Job) -> None:
    """From an outcome to its output, however it is come by: no assertion in between."""
    done = await job
    assert_type(done.ok, bool)
    await pipeline.fetch_output(file_id=done.file_id)
    for outcome in (await pipeline.wait_until_complete([job])).complete:
        await pipeline.fetch_output(file_id=outcome.file_id)
    async for outcome in pipeline.as_completed([job]):
        if outcome.ok:
            await pipeline.fetch_output(file_id=outcome.file_id)
    async for sent in pipeline.process_many("folder"):
        if sent.ok:
            await pipeline.fetch_output(file_id=sent.file_id)
            await pipeline.process_status(request_id=sent.request_id)


async def waiting(krixik: Krixik, pipeline: Pipeline, job: Job) -> None:
    result = await pipeline.wait_until_complete(
        [job, job.ref, "id"], timeout=5, return_when="first", poll=tenacity.wait_fixed(3)
    )
    assert_type(result, WaitResult)
    assert_type(result["id"], JobOutcome)
    assert_type(result.complete, tuple[JobOutcome, ...])
    await pipeline.wait_until_complete(job.request_id, poll=wait_sqrt(0.1, jitter=0))
    stop = tenacity.stop_after_attempt(10) | tenacity.stop_after_delay(60)
    await pipeline.wait_until_complete(job, stop=stop)
    await krixik.wait_until_complete(job, stop=3)  # type: ignore[arg-type]
    assert_type(pipeline.as_completed([job], stop=stop), AsCompleted)
    await job.wait(stop=tenacity.stop_never)
    await pipeline.wait_until_complete(result, on_update=print)
    await krixik.wait_until_complete([job, job.ref], raise_on_failure=True)
    await krixik.wait_until_complete(job)
    await krixik.wait_until_complete([job.request_id])  # type: ignore[list-item]
    await pipeline.wait_until_complete(job, return_when="any")  # type: ignore[arg-type]
    assert_type(await krixik.resume(result.resume_token), WaitResult)
    assert_type(pipeline.as_completed([job]), AsCompleted)
    async for outcome in krixik.as_completed([job, job.ref], timeout=5):
        assert_type(outcome, JobOutcome)
    assert_type(await pipeline.process_status(request_id="id"), ProcessStatus)


async def files(krixik: Krixik, pipeline: Pipeline) -> None:
    found = await pipeline.list(symbolic_directory_paths=["/*"], sort_order="ascending")
    assert_type(found, ListResult)
    assert_type(list(found), list[FileRecord])
    hits = await pipeline.keyword_search(query="whale", file_tags=({"author": "*"},))
    assert_type(hits, KeywordSearchResult)
    assert_type(hits.items[0].search_results[0].line_number, int)
    assert_type(await pipeline.fetch_output(file_id="id", local_save_directory="out"), Output)
    assert_type(await pipeline.delete(file_id="id"), DeleteResult)
    assert_type(await krixik.reset_pipeline(pipeline), ResetResult)
    await pipeline.delete("id")  # type: ignore[call-arg]


async def send(pipeline: Pipeline, path: LocalFile, **options: Unpack[FileOptions]) -> Job:
    """Wrap `process`, as many programs do, with all that it takes."""
    return await pipeline.process(local_file_path=path, **options)


async def wait_kindly(
    pipeline: Pipeline,
    jobs: AnyJob | list[AnyJob],
    *,
    poll: Poll | None = None,
    stop: StopWaiting | None = None,
    until: ReturnWhen = "all",
    told: OnUpdate | None = None,
) -> dict[str, JobState]:
    result = await pipeline.wait_until_complete(
        jobs, poll=poll, stop=stop, return_when=until, on_update=told
    )
    return {request_id: outcome.state for request_id, outcome in result.items()}


def connect(key: str, **settings: Unpack[Settings]) -> Krixik:
    return Krixik(api_key=key, api_url="https://api.example", **settings)


async def wrappers(krixik: Krixik, pipeline: Pipeline, job: Job, **how: Unpack[Options]) -> None:
    tags: Tags = [{"author": "orwell"}]
    chosen: Modules = {"parser": {"model": "fixed"}}
    assert_type(await send(pipeline, "a.txt", file_tags=tags, modules=chosen), Job)
    await send(pipeline, "a.txt", file_tag=tags)  # type: ignore[call-arg]
    assert_type(await wait_kindly(pipeline, [job, "id"], told=print), dict[str, JobState])
    await wait_kindly(pipeline, job, until="any")  # type: ignore[arg-type]
    connect("k", max_in_flight=3)
    assert_type(krixik.with_options(**how), Krixik)
    where: SaveTo = Path("out")
    await pipeline.fetch_output(file_id=job.file_id, local_save_directory=where)
    files: Files = ["a.txt", Path("b.txt")]
    on_error: OnError = "raise"
    async for sent in pipeline.process_many(files, on_error=on_error):
        assert_type(sent.state, BulkState)
    async for event in pipeline.watch(job):
        assert_type(event, WatchEvent)
    assert_type(job.to_dict(), dict[str, JSON])


async def the_rest(krixik: Krixik, pipeline: Pipeline, order: str | None) -> None:
    done = await pipeline.update(file_id="id", file_name="b.txt", file_tags=({"a": "b"},))
    assert_type(done, UpdateResult)
    await pipeline.update(file_id="id", expire_time="1800")  # type: ignore[arg-type]
    tree = await pipeline.show_tree(max_files=None)
    assert_type(tree, Tree)
    assert_type(tree.render(), str)
    assert_type(tree.draw(), None)
    near = await pipeline.semantic_search(query="whale", k=2, file_ids=["id"])
    assert_type(near, SemanticSearchResult)
    assert_type(near.items[0].search_results[0].line_numbers, tuple[int, ...])
    row = await pipeline.semantic_search(query="whale", sort_order="global", file_ids=["id"])
    assert_type(row, GlobalSearchResult)
    assert_type(row.items[0].distance, float)
    either = await pipeline.semantic_search(query="whale", sort_order=order, file_ids=["id"])
    assert_type(either, SemanticSearchResult | GlobalSearchResult)
    await pipeline.semantic_search(query="whale", files=["id"])  # type: ignore[call-overload]
    await pipeline.save_pipeline(config_path=Path("books.yml"))
    assert_type(await krixik.load_pipeline(config_path="books.yml"), Pipeline)
    assert_type(await krixik.check_cap(), CapResult)
    assert_type(krixik.available_modules, list[str])
    await pipeline.test_input(local_file_path=Path("a.txt"))
    await pipeline.test_input(local_file_path=b"text", file_name="a.txt")
