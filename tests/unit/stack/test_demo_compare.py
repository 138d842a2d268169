"""The demo's table tells right from wrong."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from stack.demo.compare import Line, Seen, compare, wrong
from stack.demo.scenario import scenario
from stack.demo.truth import Counts, Truth

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def truth() -> Truth:
    return scenario(NOON).truth


@pytest.fixture
def seen(truth: Truth) -> Seen:
    """What a mesh without fault would say."""
    return Seen(
        total=truth.total,
        sites=dict(truth.sites),
        days={(day.date, day.site): day.counts for day in truth.days},
        listed_visits=len(truth.visits),
        listed_sightings=truth.sightings,
        by_site={site: counts.visits for site, counts in truth.sites.items()},
        events=truth.sightings + truth.staff_sightings,
    )


def differing(truth: Truth, seen: Seen) -> list[str]:
    return [line.what for line in wrong(compare(truth, seen))]


def test_a_mesh_without_fault_has_no_wrong_line(truth: Truth, seen: Seen) -> None:
    assert differing(truth, seen) == []


def test_the_table_has_every_day_of_every_shop(truth: Truth, seen: Seen) -> None:
    dated = [line.what for line in compare(truth, seen) if line.what.startswith("2026-11-")]
    assert len(dated) == 9
    assert "2026-11-20, both shops" in dated


def test_one_visitor_taken_for_two_is_found(truth: Truth, seen: Seen) -> None:
    total = Counts(truth.total.visits, truth.total.unique + 1, truth.total.new + 1, truth.total.returning)
    assert differing(truth, replace(seen, total=total)) == ["all films, both shops"]


def test_staff_among_the_visits_are_found(truth: Truth, seen: Seen) -> None:
    with_staff = replace(seen, listed_sightings=seen.listed_sightings + 1, listed_visits=seen.listed_visits + 1)
    assert differing(truth, with_staff) == [
        "list of visits",
        "sightings in those visits",
        "passages of staff, not counted",
    ]


def test_a_bucket_that_is_withheld_is_no_zero(truth: Truth, seen: Seen) -> None:
    days = dict(seen.days)
    days["2026-11-19", "station-square"] = None
    (line,) = wrong(compare(truth, replace(seen, days=days)))
    assert line.what == "2026-11-19, station-square"
    assert line.seen == "not measured"


def test_events_that_nobody_counted_are_left_out(truth: Truth, seen: Seen) -> None:
    lines = compare(truth, replace(seen, events=None))
    assert not wrong(lines)
    assert not any("staff" in line.what for line in lines)


def test_a_line_is_right_when_both_say_the_same() -> None:
    assert Line("x", "1", "1").right
    assert not Line("x", "1", "2").right
