"""Rules that are in force from their time on, opening hours that make sense, and privacy that only grows."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_registry.directory.sites.domain import (
    OpeningHours,
    OpeningSpan,
    PrivacyMode,
    SiteRules,
    first_version,
    in_force,
    keeps_less,
    opening_document,
    opening_hours_of,
    opening_problem,
    upcoming,
)

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
FIRST = SiteRules()
SPRING = SiteRules(effective_time=NOW, visit_gap=timedelta(minutes=20))
SUMMER = SiteRules(effective_time=NOW + HOUR, visit_gap=timedelta(minutes=10))


@pytest.mark.parametrize(
    ("at", "rules"),
    [
        (NOW - timedelta(days=9999), FIRST),
        (NOW - timedelta(microseconds=1), FIRST),
        (NOW, SPRING),
        (NOW + HOUR - timedelta(microseconds=1), SPRING),
        (NOW + HOUR, SUMMER),
    ],
)
def test_a_version_holds_from_its_time_to_the_next_ones(at: datetime, rules: SiteRules) -> None:
    assert in_force([FIRST, SPRING, SUMMER], at) == rules


def test_what_holds_later_is_to_come_the_next_first() -> None:
    assert upcoming([FIRST, SPRING, SUMMER], NOW - HOUR) == (SPRING, SUMMER)
    assert upcoming([FIRST, SPRING, SUMMER], NOW) == (SUMMER,)


def test_the_first_version_holds_from_the_beginning_of_time_whatever_it_says() -> None:
    assert first_version(SPRING).effective_time is None


@pytest.mark.parametrize(("before", "after"), list(product(PrivacyMode, PrivacyMode)))
def test_privacy_changes_towards_less_data_only(before: PrivacyMode, after: PrivacyMode) -> None:
    assert keeps_less(before, after) == (after.value >= before.value)


# -- opening hours ----------------------------------------------------------------------------------------------------


def hours(*spans: tuple[int, int, int]) -> OpeningHours:
    return OpeningHours(tuple(OpeningSpan(*span) for span in spans))


@pytest.mark.parametrize(
    "good",
    [
        hours(),
        hours((1, 540, 1080)),
        hours((1, 540, 720), (1, 780, 1080), (1, 1140, 1200)),
        hours((1, 540, 720), (1, 720, 1080)),  # one ends as the next begins
        hours((7, 1200, 1440 + 120), (1, 120, 600)),  # Sunday night runs to where Monday begins
        hours((3, 0, 1440)),
    ],
)
def test_opening_hours_that_make_sense(good: OpeningHours) -> None:
    assert opening_problem(good) is None


@pytest.mark.parametrize(
    "bad",
    [
        hours((1, 540, 720), (1, 719, 1080)),
        hours((1, 1200, 1440 + 120), (2, 60, 600)),
        hours((7, 1200, 1440 + 120), (1, 119, 600)),
        hours((1, 0, 10), (1, 20, 30), (1, 40, 50), (1, 60, 70)),
        hours((1, 540, 720), (1, 540, 720)),
    ],
)
def test_opening_hours_that_overlap_or_are_too_many(bad: OpeningHours) -> None:
    assert opening_problem(bad) is not None


SPANS = st.builds(
    lambda day, start, length: OpeningSpan(day, start, start + length),
    st.integers(1, 7),
    st.integers(0, 1439),
    st.integers(1, 1440),
)


@given(st.lists(SPANS, max_size=4))
def test_spans_overlap_exactly_when_they_share_a_minute_of_the_week(spans: list[OpeningSpan]) -> None:
    minutes = [
        ((span.weekday - 1) * 1440 + minute) % (7 * 1440)
        for span in spans
        for minute in range(span.open_minute, span.close_minute)
    ]
    shared = len(set(minutes)) != len(minutes)
    crowded = any([span.weekday for span in spans].count(day) > 3 for day in range(1, 8))
    assert (opening_problem(OpeningHours(tuple(spans))) is not None) == (shared or crowded)


@given(st.lists(SPANS, max_size=5), st.lists(st.dates(date(2020, 1, 1)), max_size=3))
def test_opening_hours_come_back_as_they_were_stored(spans: list[OpeningSpan], closed: list[date]) -> None:
    kept = OpeningHours(tuple(spans), tuple(closed))
    assert opening_hours_of(opening_document(kept)) == kept  # type: ignore[arg-type]  # as jsonb gives it back
