"""Leases without I/O: who is given up, by heartbeats and by no clock."""

from __future__ import annotations

import pytest

from krixik_async._journal._leases import Beat, Leases


def listened(*beats: int) -> Leases:
    """Give the leases of one who has heard so often of worker 1, at each heartbeat of his own."""
    leases = Leases()
    for one in beats:
        leases.listen([Beat(1, one, heard_at=0.0)])
    return leases


def test_one_that_was_never_looked_at_is_not_given_up() -> None:
    assert not Leases().has_ended(1, 5)


@pytest.mark.parametrize("looks", [1, 2, 3, 4])
def test_one_that_has_missed_fewer_than_four_is_not_given_up(looks: int) -> None:
    assert not listened(*[5] * looks).has_ended(1, 5)


def test_one_that_has_missed_four_is_given_up() -> None:
    """Whatever the first look found: it may have been long ago."""
    assert listened(*[5] * 5).has_ended(1, 5)


def test_one_that_is_heard_of_again_is_not_given_up_any_more() -> None:
    """At once, before the next heartbeat of one's own; and it takes four more to give it up."""
    leases = listened(*[5] * 5)
    assert not leases.has_ended(1, 6)
    assert not listened(*[5] * 5, *[6] * 4).has_ended(1, 6)
    assert listened(*[5] * 5, *[6] * 5).has_ended(1, 6)


def test_one_that_has_left_is_forgotten() -> None:
    leases = listened(*[5] * 5)
    leases.listen([])
    leases.listen([Beat(1, 5, heard_at=0.0)])
    assert not leases.has_ended(1, 5)


def test_by_a_single_look_the_clock_decides() -> None:
    leases = Leases()
    leases.judge([Beat(1, 5, heard_at=1000.0), Beat(2, 5, heard_at=1001.0)], 1060.0)
    assert [leases.has_ended(worker, 5) for worker in (1, 2, 3)] == [True, False, False]
