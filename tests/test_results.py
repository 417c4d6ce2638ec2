"""What a wait gives back: a mapping, its groups, the token, and errors on request."""

from __future__ import annotations

import errno
import json
import math
import os
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from krixik_async._errors import (
    InvalidArgument,
    InvalidArgumentType,
    JobsFailed,
    KrixikError,
    ProcessFailed,
    RequestNotFound,
    RequestRejected,
    RequestVanished,
    WaitTimeout,
)
from krixik_async._models import JobOutcome, JobRef, JobState
from krixik_async._results import WaitResult, fate, read_token

STATES: tuple[JobState, ...] = (
    "pending",
    "complete",
    "failed",
    "expired",
    "deleted",
    "not_found",
    "error",
)


def uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def job(number: int = 1) -> JobRef:
    return JobRef(
        request_id=uuid(number),
        pipeline="books",
        file_id=uuid(900 + number),
        submitted_at=1000.5,
        expires_at=2800.5,
        module_count=2,
        account="0123abcd",
    )


def outcome(
    state: JobState, number: int = 1, *, error: KrixikError | None = None, module: str | None = None
) -> JobOutcome:
    ref = job(number)
    return JobOutcome(
        request_id=ref.request_id,
        state=state,
        job=ref,
        file_id=ref.file_id or "",
        error=error,
        failure_module=module,
    )


def test_a_result_is_a_mapping_in_input_order_with_duplicates_collapsed() -> None:
    result = WaitResult([outcome("complete", 2), outcome("failed", 1), outcome("pending", 2)])
    assert list(result) == [uuid(2), uuid(1)]
    assert len(result) == 2
    assert result[uuid(2)].state == "pending"


def test_each_state_is_in_exactly_one_group() -> None:
    result = WaitResult([outcome(state, n) for n, state in enumerate(STATES)])
    groups = (result.complete, result.failed, result.vanished, result.pending, result.errors)
    assert [[o.state for o in group] for group in groups] == [
        ["complete"],
        ["failed"],
        ["expired", "deleted", "not_found"],
        ["pending"],
        ["error"],
    ]


def test_the_repr_counts() -> None:
    result = WaitResult([outcome("complete", 1), outcome("complete", 2), outcome("deleted", 3)])
    assert repr(result) == "<WaitResult of 3: complete=2, vanished=1>"
    assert repr(WaitResult([])) == "<WaitResult of 0: empty>"


def test_pending_and_complete_jobs_are_no_failures() -> None:
    WaitResult([outcome("complete", 1), outcome("pending", 2)]).raise_for_failures()


def test_failures_are_raised_with_every_outcome_and_the_first_as_the_cause() -> None:
    bad = [
        outcome("failed", 1, module="module_2"),
        *[outcome("deleted", n) for n in range(2, 7)],
        outcome("error", 9, error=RequestRejected("no")),
    ]
    result = WaitResult([*bad, outcome("complete", 20)])
    named = r"7 of 8 jobs.*\(failed\).*\(deleted\) and 2 more"
    with pytest.raises(JobsFailed, match=named) as info:
        result.raise_for_failures()
    assert list(info.value.outcomes) == bad
    assert isinstance(info.value.__cause__, ProcessFailed)


def test_a_failed_job_is_a_process_failed_with_its_module() -> None:
    error = fate(outcome("failed", module="module_2"))
    assert isinstance(error, ProcessFailed)
    assert (error.failure_module, error.job, error.request_id) == ("module_2", job(), uuid(1))
    assert (error.file_id, error.pipeline) == (uuid(901), "books")
    assert "module_2" in str(error)


def test_a_failure_without_a_module_says_so() -> None:
    assert "a module the service does not name" in str(fate(outcome("failed")))


def test_a_vanished_job_keeps_the_services_words() -> None:
    error = fate(outcome("expired", error=RequestNotFound("process_id was not found")))
    assert isinstance(error, RequestVanished)
    assert "gone: expired (process_id was not found)" in str(error)
    assert str(fate(outcome("deleted"))).endswith("gone: deleted")


def test_a_pending_job_is_a_wait_timeout_that_says_how_to_go_on() -> None:
    error = fate(outcome("pending"))
    assert isinstance(error, WaitTimeout)
    assert (error.job, "wait again" in str(error)) == (job(), True)


def test_a_job_that_could_not_be_read_is_its_own_error() -> None:
    cause = RequestRejected("pipeline mismatch")
    assert fate(outcome("error", error=cause)) is cause


@given(
    submitted=st.none() | st.floats(0, 1e10),
    expires=st.none() | st.floats(0, 1e10),
    count=st.none() | st.integers(1, 10),
    file_id=st.none() | st.just(uuid(7)),
    account=st.none() | st.just("89abcdef"),
)
def test_a_token_gives_back_the_pending_jobs(
    submitted: float | None,
    expires: float | None,
    count: int | None,
    file_id: str | None,
    account: str | None,
) -> None:
    ref = JobRef(
        request_id=uuid(1),
        pipeline="books",
        file_id=file_id,
        submitted_at=submitted,
        expires_at=expires,
        module_count=count,
        account=account,
    )
    waiting = JobOutcome(request_id=ref.request_id, state="pending", job=ref)
    token = WaitResult([waiting, outcome("complete", 2)]).resume_token
    assert read_token(token) == (ref,)


def test_a_token_is_short_json() -> None:
    token = WaitResult([outcome("pending")]).resume_token
    assert json.loads(token) == {
        "krixik_async": 1,
        "jobs": [[uuid(1), "books", uuid(901), 1000.5, 2800.5, 2, None, "0123abcd"]],
    }


def test_a_token_of_before_sizes_and_accounts_were_kept_is_read() -> None:
    known = [uuid(1), "books", None, 1000.5, 2800.5, 2]
    token = json.dumps({"krixik_async": 1, "jobs": [known, [*known, 40]]})
    old = attrs.evolve(job(), file_id=None, account=None)
    assert read_token(token) == (old, attrs.evolve(old, size_bytes=40))


def test_the_token_of_a_wait_that_has_ended_holds_no_job() -> None:
    assert read_token(WaitResult([outcome("complete")]).resume_token) == ()


def test_more_than_a_thousand_pending_jobs_go_to_a_file(tmp_path: Path) -> None:
    result = WaitResult([outcome("pending", n) for n in range(1001)])
    with pytest.raises(InvalidArgument, match=r"1001 jobs are pending.*save_token"):
        _ = result.resume_token
    result.save_token(tmp_path / "token.json")
    assert len(read_token((tmp_path / "token.json").read_text())) == 1001


@pytest.mark.parametrize(
    "token",
    [
        "",
        "nonsense",
        "[]",
        "{}",
        "[" * 100_000,
        '{"krixik_async":1,"jobs":3}',
        '{"krixik_async":1,"jobs":[1]}',
        '{"krixik_async":1,"jobs":[["too","short"]]}',
        json.dumps({"krixik_async": 1, "jobs": [["no uuid", "books", None, None, None, None]]}),
        json.dumps({"krixik_async": 1, "jobs": [[uuid(1), "", None, None, None, None]]}),
        json.dumps({"krixik_async": 1, "jobs": [[uuid(1), "books", None, "soon", None, None]]}),
        json.dumps({"krixik_async": 1, "jobs": [[uuid(1), "books", None, None, None]]}),
        *(
            json.dumps({"krixik_async": 1, "jobs": [[uuid(1), "books", *[None] * 5, *more]]})
            for more in (["\x1b[2J"], ["0123abc"], [5], [None, None])
        ),
        json.dumps({"krixik_async": True, "jobs": []}),
        json.dumps({"krixik_async": 1, "jobs": {}}),
        json.dumps({"krixik_async": 1, "jobs": [[uuid(1), "books", 3, None, None, None, None]]}),
        *(
            json.dumps({"krixik_async": 1, "jobs": [[uuid(1), "books", None, *numbers]]})
            for numbers in (
                (-1, None, None, None),
                (math.nan, None, None, None),
                (10**400, None, None, None),
                (None, math.inf, None, None),
                (None, True, None, None),
                (None, None, 0, None),
                (None, None, 10**400, None),
                (None, None, 1.0, None),
                (None, None, None, -1),
            )
        ),
    ],
)
def test_anything_else_is_no_token(token: str) -> None:
    with pytest.raises(InvalidArgument, match="no resume token"):
        read_token(token)


def test_a_token_that_cannot_be_written_leaves_the_one_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk: the file may hold the only copy of the ids."""
    path, result = tmp_path / "token.json", WaitResult([outcome("pending")])
    result.save_token(path)
    before = path.read_text()

    def full(self: Path, _: str, **__: str) -> None:
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        WaitResult([outcome("pending", 2)]).save_token(path)
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("token.json", before)]


def test_a_token_goes_into_a_pipe_or_a_device_too() -> None:
    WaitResult([outcome("pending")]).save_token(os.devnull)
    assert not Path(os.devnull).is_file()


def test_a_token_that_is_no_text_is_a_type_error() -> None:
    with pytest.raises(InvalidArgumentType, match="token is int"):
        read_token(5)


def test_a_token_of_another_version_says_which() -> None:
    with pytest.raises(InvalidArgument, match=r"version 2.*reads 1"):
        read_token('{"krixik_async":2,"jobs":[]}')
