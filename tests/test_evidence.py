"""What one job has shown and what an answer means, without a clock."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from krixik_async._errors import (
    ConnectFailed,
    KrixikError,
    RequestNotFound,
    RequestRejected,
    UnexpectedReply,
)
from krixik_async._evidence import (
    Trouble,
    Watched,
    ends_at,
    gone,
    merged,
    next_look,
    note_error,
)
from krixik_async._evidence import note_status as note_status_of
from krixik_async._models import FailureStatus, JobRef, ProcessStatus

REF = JobRef(
    request_id="r",
    pipeline="p",
    file_id="f",
    submitted_at=1000.0,
    expires_at=2800.0,
    module_count=2,
)
BARE = JobRef(request_id="r", pipeline="p")


def status(*flags: bool, overall: str = "ongoing", file_id: str = "f") -> ProcessStatus:
    failed = (
        FailureStatus(process_id="r", failure_module="module_1") if overall == "failed" else None
    )
    return ProcessStatus(
        status_code=200,
        request_id="call",
        file_id=file_id,
        message="",
        pipeline="p",
        modules={f"module_{n}": flag for n, flag in enumerate(flags, 1)},
        overall_status=overall,  # type: ignore[arg-type]
        failure_status=failed,
    )


def watched(ref: JobRef = REF, **values: Any) -> Watched:
    return attrs.evolve(Watched(ref, started_at=100.0), **values)


def note_status(job: Watched, seen: ProcessStatus, at: float = 0.0) -> bool:
    return note_status_of(job, seen, asked_at=at, now=at)


# --- the next look and the last ------------------------------------------------------------------


def test_the_last_look_before_expiry_is_not_missed() -> None:
    """1800 s of life: the last look falls 36 s (2 %) before its end."""
    at = next_look(watched(), 1000.0, now=0.0, wall=2700.0)
    assert at == pytest.approx(2800.0 - 36.0 - 2700.0)


def test_a_look_follows_just_after_expiry() -> None:
    at = next_look(watched(), 1000.0, now=0.0, wall=2790.0)
    assert at == pytest.approx(11.0)


def test_after_expiry_the_schedule_stands_alone() -> None:
    assert next_look(watched(), 5.0, now=0.0, wall=3000.0) == 5.0


def test_an_unknown_submission_time_counts_from_now_for_the_last_look() -> None:
    ref = JobRef(request_id="r", pipeline="p", expires_at=1100.0)
    at = next_look(watched(ref), 1000.0, now=0.0, wall=1000.0)
    assert at == pytest.approx(95.0)


def test_a_not_found_is_confirmed_two_seconds_later() -> None:
    at = next_look(
        watched(BARE, trouble=Trouble(RequestNotFound("words"), 0.0, absent=1)),
        60.0,
        now=0.0,
        wall=0.0,
    )
    assert at == 2.0


def test_failing_looks_are_held_back_the_longer_they_fail() -> None:
    failing = watched(BARE, trouble=Trouble(ConnectFailed("down"), 10.0))
    early = next_look(failing, 0.1, now=10.0, wall=0.0)
    late = next_look(failing, 0.1, now=200.0, wall=0.0)
    assert (early - 10.0, late - 200.0) == (1.0, 30.0)


@pytest.mark.parametrize(("wall", "expected"), [(1000.0, 1815.0), (5000.0, 15.0)])
def test_a_wait_ends_a_little_after_the_records_own_expiry(wall: float, expected: float) -> None:
    assert ends_at(REF, now=0.0, wall=wall) == expected


def test_a_bare_request_id_is_waited_for_30_days() -> None:
    assert ends_at(BARE, now=0.0, wall=0.0) == 30 * 86400 + 15.0


# --- statuses --------------------------------------------------------------------------------


def test_flags_that_flip_are_a_change_and_the_same_flags_are_none() -> None:
    job = watched()
    assert note_status(job, status(False, False)) is True
    assert note_status(job, status(False, False)) is False
    assert note_status(job, status(True, False)) is True
    assert (job.state, job.looks) == ("pending", 3)


def test_complete_and_failed_end_the_job() -> None:
    done, failed = watched(), watched()
    note_status(done, status(True, True, overall="complete"))
    note_status(failed, status(overall="failed"))
    assert (done.outcome().state, failed.outcome().state) == ("complete", "failed")
    assert failed.outcome().failure_module == "module_1"


def test_a_failure_keeps_the_flags_last_seen() -> None:
    job = watched()
    note_status(job, status(True, False))
    note_status(job, status(overall="failed"))
    assert job.outcome().modules == {"module_1": True, "module_2": False}


def test_a_bare_request_id_learns_its_file_id() -> None:
    job = watched(BARE)
    note_status(job, status(False, file_id="from the service"))
    assert job.outcome().file_id == "from the service"


def test_a_good_look_forgets_the_errors_before_it_and_says_so() -> None:
    job = watched()
    note_status(job, status(False))
    note_error(job, ConnectFailed("down"), now=0.0, wall=1000.0)
    assert note_status(job, status(False)) is True
    assert (job.error, job.in_doubt, job.outcome().error) == (None, False, None)


# --- not found -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ref", "seen", "age", "state"),
    [
        (REF, False, 14.0, "pending"),
        (REF, False, 15.0, "deleted"),
        (REF, True, 14.0, "deleted"),
        (REF, True, 1700.0, "deleted"),
        (REF, True, 1796.0, "expired"),
        (REF, False, 9999.0, "expired"),
        (BARE, False, 14.0, "pending"),
        (BARE, False, 15.0, "not_found"),
        (BARE, True, 1.0, "deleted"),
    ],
)
def test_not_found_means_what_the_age_and_the_past_say(
    ref: JobRef, seen: bool, age: float, state: str
) -> None:
    job = watched(ref, last_status=status(False) if seen else None)
    assert gone(job, now=100.0 + age, wall=1000.0 + age) == state


def test_two_references_to_one_job_make_one_that_knows_more() -> None:
    assert merged(BARE, REF) == REF
    assert merged(REF, BARE) == REF
    assert merged(REF, attrs.evolve(REF, file_id="another")) == REF


def test_one_not_found_is_no_verdict_two_are() -> None:
    job = watched(BARE)
    assert note_error(job, RequestNotFound("words"), now=200.0, wall=0.0) is True
    assert job.state == "pending"
    assert note_error(job, RequestNotFound("words"), now=202.0, wall=2.0) is True
    assert job.state == "not_found"
    assert str(job.outcome().error) == "words"


def test_a_status_between_two_not_founds_starts_the_count_again() -> None:
    job = watched(BARE)
    note_error(job, RequestNotFound("words"), now=200.0, wall=0.0)
    note_status(job, status(False))
    note_error(job, RequestNotFound("words"), now=202.0, wall=2.0)
    assert job.state == "pending"


def test_an_error_of_the_network_between_two_not_founds_starts_the_count_again() -> None:
    job = watched(BARE)
    note_error(job, RequestNotFound("words"), now=200.0, wall=0.0)
    note_error(job, ConnectFailed("down"), now=1.0, wall=1.0)
    note_error(job, RequestNotFound("words"), now=202.0, wall=2.0)
    assert job.state == "pending"


# --- errors ----------------------------------------------------------------------------------


def test_a_refusal_ends_the_job_as_an_error_at_once() -> None:
    job = watched()
    note_error(job, RequestRejected("pipeline mismatch"), now=0.0, wall=0.0)
    assert (job.state, str(job.outcome().error)) == ("error", "pipeline mismatch")


def test_three_unreadable_replies_in_a_row_end_the_job_as_an_error() -> None:
    job = watched()
    states = []
    for at in range(3):
        note_error(job, UnexpectedReply("a proxy"), now=float(at), wall=0.0)
        states.append(job.state)
    assert states == ["pending", "pending", "error"]


@pytest.mark.parametrize("error", [ConnectFailed("down"), KrixikError("odd")])
def test_an_outage_is_ridden_out_for_ten_minutes(error: KrixikError) -> None:
    job = watched()
    assert note_error(job, error, now=0.0, wall=0.0) is True
    assert note_error(job, error, now=599.0, wall=0.0) is False
    assert job.state == "pending"
    assert note_error(job, error, now=600.0, wall=0.0) is True
    assert job.state == "error"
