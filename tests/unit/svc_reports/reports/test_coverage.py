"""How far to trust a count: the worst entrance, and dark is not empty."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.ids import CameraId, SiteId
from svc_reports.reports.domain import Bucket, Camera, Coverage, Span, Watched, complete_to, coverage, is_lit

SHOP, BRANCH = SiteId(UUID(int=1)), SiteId(UUID(int=2))
START = datetime(2026, 3, 10, 3, tzinfo=UTC)
DAY = Span(START, START + timedelta(days=1))
BUCKET = Bucket("2026-03-10", DAY, {SHOP: DAY, BRANCH: DAY}, None)


def camera(
    number: int,
    site: SiteId = SHOP,
    *,
    entrance: bool = True,
    enabled: bool = True,
    created: datetime = datetime(2020, 1, 1, tzinfo=UTC),
    deleted: datetime | None = None,
    complete: datetime | None = None,
) -> Camera:
    return Camera(CameraId(UUID(int=number)), site, entrance, enabled, created, deleted, complete)


def watched(number: int, seconds: float, site: SiteId = SHOP, seen: int = 0, usable: int = 0) -> Watched:
    return Watched(CameraId(UUID(int=number)), site, seconds, seen, usable)


def test_the_worst_entrance_decides_and_sites_add_up() -> None:
    cameras = [camera(1), camera(2), camera(3, BRANCH)]
    found = coverage(
        BUCKET, {SHOP: 100, BRANCH: 50}, cameras, [watched(1, 100), watched(2, 40), watched(3, 50, BRANCH)]
    )
    assert (found.expected, found.watched, found.ratio) == (150, 90, 0.6)


def test_an_entrance_that_reported_nothing_watched_nothing() -> None:
    found = coverage(BUCKET, {SHOP: 100}, [camera(1), camera(2)], [watched(1, 100)])
    assert (found.watched, found.ratio) == (0, 0)


def test_cameras_inside_do_not_count_for_coverage_and_do_for_tracks() -> None:
    cameras = [camera(1), camera(2, entrance=False)]
    found = coverage(BUCKET, {SHOP: 100}, cameras, [watched(1, 80, seen=4, usable=1), watched(2, 10, seen=4, usable=3)])
    assert (found.ratio, found.yielded) == (0.8, 0.5)


def test_a_site_without_an_entrance_camera_expects_nothing() -> None:
    found = coverage(BUCKET, {SHOP: 100}, [camera(1, entrance=False)], [watched(1, 50)])
    assert (found.expected, found.ratio) == (0, None)


def test_more_than_was_open_cannot_be_watched() -> None:
    assert coverage(BUCKET, {SHOP: 100}, [camera(1)], [watched(1, 130)]).ratio == 1


def test_nothing_seen_has_no_yield_and_nothing_expected_no_ratio() -> None:
    found = coverage(BUCKET, {SHOP: 0}, [camera(1)], [])
    assert (found.ratio, found.yielded) == (None, None)


@pytest.mark.parametrize(
    "other",
    [
        camera(2, created=DAY.end),
        camera(2, deleted=DAY.start),
        camera(2, enabled=False),
    ],
)
def test_a_camera_that_does_not_hang_there_is_not_missed(other: Camera) -> None:
    assert coverage(BUCKET, {SHOP: 100}, [camera(1), other], [watched(1, 100)]).ratio == 1
    # … but if it reported, it did hang there.
    assert coverage(BUCKET, {SHOP: 100}, [camera(1), other], [watched(1, 100), watched(2, 30)]).ratio == 0.3


def test_dark_is_when_no_camera_of_the_measured_sites_watched() -> None:
    assert is_lit([watched(1, 1)], {SHOP})
    assert not is_lit([watched(1, 0)], {SHOP})
    assert not is_lit([watched(1, 60, BRANCH)], {SHOP})
    assert not is_lit([], {SHOP})


def test_complete_to_is_the_oldest_watermark_that_is_known() -> None:
    marks = [DAY.end, DAY.start, None]
    assert complete_to(camera(number, complete=mark) for number, mark in enumerate(marks)) == DAY.start
    assert complete_to([camera(1)]) is None


@settings(deadline=None)  # no test judges by the clock
@given(
    st.lists(
        st.tuples(st.floats(0, 1e6), st.floats(0, 1e6), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=9
    )
)
def test_the_ratio_of_buckets_together_lies_between_theirs(parts: list[tuple[float, float, int, int]]) -> None:
    covers = [Coverage(expected, min(expected, seconds), seen, usable) for expected, seconds, seen, usable in parts]
    together = sum(covers[1:], start=covers[0])
    ratios = [one.ratio for one in covers if one.ratio is not None]
    if together.ratio is None:
        assert not ratios
    else:
        assert min(ratios) - 1e-9 <= together.ratio <= max(ratios) + 1e-9
    assert together.yielded is None or 0 <= together.yielded <= 1
