"""What became of a sighting: merges, moves, and their undoing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from mesh.ids import CameraId, CustomerId, SiteId, VisitId
from svc_reports.visits.domain import CorrectionKind, Merge, Move, Visit, VisitState, history

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
ANNA, BEA, CLARA = (CustomerId(UUID(int=number)) for number in (1, 2, 3))
ADMIN = UUID(int=9)


def later(hours: float) -> datetime:
    return NOON + timedelta(hours=hours)


def merge(loser: CustomerId, winner: CustomerId, hour: float, undone: float | None = None) -> Merge:
    return Merge(later(hour), None if undone is None else later(undone), winner, loser, ADMIN)


def told(*acts: Move | Merge) -> list[tuple[CorrectionKind, CustomerId]]:
    moves = [act for act in acts if isinstance(act, Move)]
    merges = [act for act in acts if isinstance(act, Merge)]
    found = history(ANNA, NOON, moves, merges)
    assert [one.create_time for one in found] == sorted(one.create_time for one in found)
    assert [one.from_customer_id for one in found] == [ANNA, *(one.to_customer_id for one in found)][: len(found)]
    return [(one.kind, one.to_customer_id) for one in found]


def test_nothing_happened() -> None:
    assert told() == []


def test_merges_follow_one_another() -> None:
    assert told(merge(BEA, CLARA, 2), merge(ANNA, BEA, 1)) == [
        (CorrectionKind.MERGED, BEA),
        (CorrectionKind.MERGED, CLARA),
    ]


def test_undoing_a_merge_brings_the_sighting_back() -> None:
    assert told(merge(ANNA, BEA, 1, undone=2)) == [(CorrectionKind.MERGED, BEA), (CorrectionKind.UNMERGED, ANNA)]


def test_a_merge_of_others_is_none_of_its_business() -> None:
    assert told(merge(BEA, CLARA, 1)) == []


def test_a_merge_that_was_over_before_it_came_is_none_of_its_business() -> None:
    assert told(merge(ANNA, BEA, -2, undone=-1)) == []


def test_a_moved_sighting_stays_where_it_was_put_when_the_merge_is_undone() -> None:
    move = Move(later(2), BEA, CLARA, ADMIN)
    assert told(merge(ANNA, BEA, 1, undone=3), move) == [(CorrectionKind.MERGED, BEA), (CorrectionKind.MOVED, CLARA)]


@pytest.mark.parametrize(
    ("row_state", "minutes", "state"),
    [
        ("LIVE", 30, VisitState.OPEN),
        ("LIVE", 30.001, VisitState.CLOSED),
        ("SUPERSEDED", 0, VisitState.SUPERSEDED),
        ("RETRACTED", 0, VisitState.RETRACTED),
    ],
)
def test_a_visit_is_open_until_its_gap_has_passed(row_state: str, minutes: float, state: VisitState) -> None:
    camera = CameraId(UUID(int=7))
    visit = Visit(
        id=VisitId(UUID(int=5)),
        customer_id=ANNA,
        site_id=SiteId(UUID(int=6)),
        start_time=NOON,
        end_time=NOON,
        local_date=NOON.date(),
        sighting_count=1,
        dwell=None,
        row_state=row_state,
        superseded_by=None,
        first_camera_id=camera,
        last_camera_id=camera,
        is_new=True,
        image_id=None,
        similarity=None,
        quality=0.5,
        gender=None,
        gap=timedelta(minutes=30),
        create_time=NOON,
        update_time=NOON,
    )
    assert visit.state(NOON + timedelta(minutes=minutes)) == state
