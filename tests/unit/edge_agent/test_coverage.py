"""Coverage: what was watched, by quarters of an hour."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from edge_agent.coverage import LONGEST_LOOK, CoverageBook, looks, quarter_of
from mesh.ids import CameraId, LeaseEpoch

NINE = datetime(2026, 11, 18, 9, tzinfo=UTC)


def book() -> CoverageBook:
    return CoverageBook(UUID(int=1), CameraId(UUID(int=2)), LeaseEpoch(3), frame_rate=10)


def test_a_quarter_begins_on_a_multiple_of_fifteen_minutes() -> None:
    assert quarter_of(NINE + timedelta(minutes=29, seconds=59)) == NINE + timedelta(minutes=15)
    assert quarter_of(NINE) == NINE


def test_time_is_watched_between_frames_that_follow_one_another() -> None:
    kept = book()
    for second in range(11):
        kept.frame(NINE + timedelta(seconds=second))
    (total,) = kept.take_changes()
    assert (total.watched, total.frames) == (timedelta(seconds=10), 11)


def test_a_gap_and_a_break_are_not_watched() -> None:
    kept = book()
    kept.frame(NINE)
    kept.frame(NINE + LONGEST_LOOK + timedelta(seconds=1))
    kept.interrupted()
    kept.frame(NINE + LONGEST_LOOK + timedelta(seconds=1.5))
    (total,) = kept.take_changes()
    assert (total.watched, total.frames) == (timedelta(), 3)


def test_a_look_across_the_quarter_is_split() -> None:
    change = NINE + timedelta(minutes=15)
    assert looks(change - timedelta(seconds=0.5), change + timedelta(seconds=1), 10) == [
        (NINE, timedelta(seconds=0.5)),
        (change, timedelta(seconds=1)),
    ]


def test_only_what_changed_is_told_and_always_as_a_total() -> None:
    kept = book()
    kept.passage(NINE, usable=True)
    assert [(one.faces_seen, one.faces_usable) for one in kept.take_changes()] == [(1, 1)]
    assert kept.take_changes() == []
    kept.passage(NINE, usable=False)
    assert [(one.faces_seen, one.faces_usable) for one in kept.take_changes()] == [(2, 1)]


@given(st.lists(st.floats(0.01, 3), min_size=2, max_size=200))
def test_no_more_is_watched_than_has_passed(steps: list[float]) -> None:
    kept, time = book(), NINE
    for step in steps:
        kept.frame(time)
        time += timedelta(seconds=step)
    totals = kept.take_changes()
    assert sum((one.watched for one in totals), timedelta()) <= time - NINE
    assert all(one.watched <= timedelta(minutes=15) for one in totals)
    assert sum(one.frames for one in totals) == len(steps)
