"""The demo's story is worth counting, and lies in the past whatever the hour."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from stack.demo.cast import CAST, STAFF
from stack.demo.scenario import BAKERY, BOOKSHOP, scenario
from vision.demo import PEOPLE

AFTERNOON = datetime(2026, 11, 20, 16, 0, tzinfo=UTC)


def test_the_story_has_every_kind_of_visitor() -> None:
    counted = scenario(AFTERNOON).truth
    visits_of: dict[str, list[str]] = {}
    for visit in counted.visits:
        visits_of.setdefault(visit.person, []).append(visit.site)
    assert any(len(sites) == 1 for sites in visits_of.values()), "somebody comes once"
    assert any(len(sites) >= 3 for sites in visits_of.values()), "somebody comes often"
    assert any(len(set(sites)) == 2 for sites in visits_of.values()), "somebody comes to both sites"
    assert any(visit.sightings >= 2 for visit in counted.visits), "some visit has several sightings"
    assert any(day.counts.new and day.counts.returning for day in counted.days), "some day has new and returning"
    assert counted.total.unique == len(CAST) - len(STAFF) == 12
    assert counted.staff_sightings > 0
    assert counted.total.visits > counted.total.unique


def test_the_second_tenant_has_nothing_to_see() -> None:
    assert BAKERY.sites == ()
    assert [len(site.cameras) for site in BOOKSHOP.sites] == [2, 1]


@pytest.mark.parametrize("hour", range(24))
def test_at_any_hour_all_of_it_is_past_and_nothing_overlaps(hour: int) -> None:
    now = datetime(2026, 11, 20, hour, 20, tzinfo=UTC)
    story = scenario(now)
    for recording in story.recordings:
        film = recording.film
        assert film.start_time + timedelta(seconds=film.seconds) < now
        assert now - film.start_time < timedelta(days=4)
    for camera in {recording.camera.key for recording in story.recordings}:
        spans = sorted(
            (r.film.start_time, r.film.start_time + timedelta(seconds=r.film.seconds))
            for r in story.recordings
            if r.camera.key == camera
        )
        assert all(end < start for (_, end), (start, _) in pairwise(spans))


@pytest.mark.parametrize("hour", range(24))
def test_the_totals_do_not_depend_on_the_hour(hour: int) -> None:
    total = scenario(datetime(2026, 11, 20, hour, 20, tzinfo=UTC)).truth.total
    assert total == scenario(AFTERNOON).truth.total


def test_files_are_named_by_their_start_as_a_recorder_names_them() -> None:
    names = [r.file_name for r in scenario(AFTERNOON).recordings if r.camera.key == "harbour-entrance"]
    assert names[0] == "2026-11-18T08-00-00Z.mp4"
    assert names[-1] == "2026-11-20T12-30-00Z.mp4"


def test_nobody_is_before_two_cameras_at_once() -> None:
    seen = sorted(
        (r.film.start_time + timedelta(seconds=p.start), r.film.start_time + timedelta(seconds=p.end), p.person)
        for r in scenario(AFTERNOON).recordings
        for p in r.film.passages
    )
    for person in CAST:
        spans = [(start, end) for start, end, who in seen if who == person]
        assert all(end < start for (_, end), (start, _) in pairwise(spans))


def test_every_member_of_the_cast_has_a_badge_of_their_own() -> None:
    codes = [member.code for member in CAST.values()]
    assert len(set(codes)) == len(codes)
    assert all(0 <= code < PEOPLE for code in codes)


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        scenario(datetime(2026, 11, 20, 12, 0))  # noqa: DTZ001  the point of the test
