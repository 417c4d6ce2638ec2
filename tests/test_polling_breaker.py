"""One look at a time while nobody answers."""

from __future__ import annotations

import pytest

from krixik_async._errors import (
    AnswerLost,
    ConnectFailed,
    KrixikError,
    RateLimited,
    RequestNotFound,
    RequestRejected,
    ServerError,
    UnexpectedReply,
)
from krixik_async._polling._breaker import OPENS_AFTER, Breaker, is_outage


@pytest.mark.parametrize("kind", [ConnectFailed, AnswerLost, ServerError, RateLimited])
def test_that_nobody_answers_or_copes_is_an_outage(kind: type[KrixikError]) -> None:
    assert is_outage(kind("x"))


@pytest.mark.parametrize("kind", [RequestNotFound, RequestRejected, UnexpectedReply])
def test_an_answer_that_is_a_no_is_none(kind: type[KrixikError]) -> None:
    assert not is_outage(kind("x"))


def failing(times: int, at: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(times):
        breaker.failed(at)
    return breaker


def test_it_opens_after_five_failures_in_a_row() -> None:
    assert [Breaker().failed(0.0), OPENS_AFTER] == [False, 5]
    breaker = failing(4)
    assert (breaker.is_open, breaker.admits(0.0)) == (False, True)
    assert breaker.failed(0.0) is True
    assert (breaker.is_open, breaker.admits(0.9), breaker.admits(1.0)) == (True, False, True)


def test_an_answer_between_starts_the_count_again() -> None:
    breaker = failing(4)
    assert breaker.answered() is False
    assert breaker.failed(1.0) is False
    assert (breaker.is_open, breaker.since) == (False, 1.0)


def test_only_one_probe_is_on_its_way() -> None:
    breaker = failing(5)
    breaker.sent()
    assert breaker.admits(100.0) is False
    breaker.failed(100.0)
    assert (breaker.admits(100.0), breaker.next_probe) == (False, 130.0)
    assert breaker.admits(130.0) is True


def test_an_answer_closes_it() -> None:
    breaker = failing(5)
    breaker.sent()
    assert breaker.answered() is True
    assert (breaker.is_open, breaker.admits(0.0)) == (False, True)


def test_looks_before_it_opens_are_no_probes() -> None:
    breaker = failing(2)
    breaker.sent()
    assert breaker.admits(0.0) is True
