"""The calendar of reports: business days, buckets, hours of a wall that jumps, opening times."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.ids import SiteId
from svc_reports.reports.domain import (
    MOST_BUCKETS,
    Bucket,
    Grain,
    MixedTimeZonesError,
    OpeningSpan,
    Place,
    RangeTooLargeError,
    Rules,
    Span,
    bucket_start,
    buckets,
    business_day,
    business_day_start,
    hour_start,
    next_bucket,
    next_hour,
    on_the_wall,
    open_in_buckets,
    open_spans,
    seconds_of,
    tells_people_apart,
)
from tests.support import fold_oracle

ZONES = ("Europe/Vienna", "Asia/Kathmandu", "Australia/Lord_Howe", "America/New_York", "Africa/Casablanca")
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
INSTANTS = st.timedeltas(timedelta(), timedelta(days=4 * 365)).map(
    lambda since: datetime(2024, 1, 1, tzinfo=UTC) + since
)
MONDAY = date(2026, 3, 9)


def place(zone: str = "Europe/Vienna", *rules: Rules, number: int = 1, privacy_mode: str = "FULL") -> Place:
    return Place(SiteId(UUID(int=number)), zone, rules or (Rules(LONG_AGO),), privacy_mode)


def at(clock: str, zone: str = "Europe/Vienna", fold: int = 0) -> datetime:
    return datetime.fromisoformat(clock).replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)


def keys(found: list[Bucket]) -> list[str]:
    return [bucket.key for bucket in found]


def hours(span: Span) -> float:
    return (span.end - span.start) / timedelta(hours=1)


# -- business days ------------------------------------------------------------------------------------------------


def test_a_business_day_begins_at_four_and_ends_before_the_next_four() -> None:
    assert business_day(place(), at("2026-03-10 03:59:59.999999")) == date(2026, 3, 9)
    assert business_day(place(), at("2026-03-10 04:00")) == date(2026, 3, 10)


@pytest.mark.parametrize(
    ("zone", "day", "length"),
    [
        ("Europe/Vienna", date(2026, 3, 28), 23),
        ("Europe/Vienna", date(2026, 10, 24), 25),
        ("America/New_York", date(2026, 3, 7), 23),
        ("America/New_York", date(2026, 10, 31), 25),
        ("Australia/Lord_Howe", date(2026, 4, 4), 24.5),
        ("Australia/Lord_Howe", date(2026, 10, 3), 23.5),
        ("Asia/Kathmandu", date(2026, 3, 28), 24),
    ],
)
def test_the_day_of_a_change_of_clocks_is_shorter_or_longer(zone: str, day: date, length: float) -> None:
    here = place(zone)
    assert hours(Span(business_day_start(here, day), business_day_start(here, day + timedelta(days=1)))) == length


def test_a_boundary_that_the_clock_skips_moves_forward_and_one_that_comes_twice_is_the_later() -> None:
    here = place("Europe/Vienna", Rules(LONG_AGO, day_boundary_minutes=150))
    assert business_day_start(here, date(2026, 3, 29)) == at("2026-03-29 03:30")
    assert business_day_start(here, date(2026, 10, 25)) == at("2026-10-25 02:30", fold=1)


def test_a_changed_boundary_holds_from_the_first_midnight_after_the_change() -> None:
    here = place("Europe/Vienna", Rules(LONG_AGO, 240), Rules(at("2026-03-10 12:00"), 360))
    assert business_day_start(here, date(2026, 3, 10)) == at("2026-03-10 04:00")
    assert business_day_start(here, date(2026, 3, 11)) == at("2026-03-11 06:00")


def test_the_earliest_rule_also_holds_before_it() -> None:
    here = place("Europe/Vienna", Rules(at("2026-03-10 12:00"), 360))
    assert business_day_start(here, date(2020, 1, 1)) == at("2020-01-01 06:00")


def test_a_site_without_rules_counts_by_the_default() -> None:
    assert business_day_start(Place(SiteId(UUID(int=1)), "Europe/Vienna"), MONDAY) == at("2026-03-09 04:00")


@settings(deadline=None)  # no test judges by the clock
@given(instant=INSTANTS, zone=st.sampled_from(ZONES), minutes=st.integers(0, 720))
def test_every_instant_has_one_business_day_the_one_that_the_fold_cuts_by(
    instant: datetime, zone: str, minutes: int
) -> None:
    here = place(zone, Rules(LONG_AGO, minutes))
    day = business_day(here, instant)
    assert business_day_start(here, day) <= instant < business_day_start(here, day + timedelta(days=1))
    rules = [fold_oracle.Rule(LONG_AGO, boundary=timedelta(minutes=minutes))]
    assert day == fold_oracle.business_day(instant, ZoneInfo(zone), rules)


# -- buckets ------------------------------------------------------------------------------------------------------


@settings(deadline=None)  # no test judges by the clock
@given(
    grain=st.sampled_from(list(Grain)),
    start=INSTANTS,
    length=st.timedeltas(timedelta(microseconds=1), timedelta(days=120)),
    zone=st.sampled_from(ZONES),
    week_start=st.integers(1, 7),
)
def test_buckets_cover_the_range_without_gap_or_overlap(
    grain: Grain, start: datetime, length: timedelta, zone: str, week_start: int
) -> None:
    here = place(zone)
    found = buckets(grain, start, start + length, [here], week_start)
    assert found[0].span.start <= start < found[0].span.end
    assert found[-1].span.start < start + length <= found[-1].span.end
    assert all(one.span.end == following.span.start for one, following in pairwise(found))
    assert all(one.span == one.local[here.id] for one in found)
    assert len(set(keys(found))) == len(found)
    assert keys(found) == sorted(keys(found), key=lambda key: datetime.fromisoformat(key).timestamp())


def test_weeks_begin_on_the_tenants_first_day() -> None:
    for first in range(1, 8):
        starts = [bucket_start(Grain.WEEK, MONDAY + timedelta(days=number), first) for number in range(7)]
        assert {start.isoweekday() for start in starts} == {first}
        assert all(0 <= (MONDAY + timedelta(days=n) - start).days < 7 for n, start in enumerate(starts))


def test_months_are_made_of_business_days() -> None:
    found = buckets(Grain.MONTH, at("2026-02-01 03:59"), at("2026-03-01 04:01"), [place()])
    assert keys(found) == ["2026-01-01", "2026-02-01", "2026-03-01"]
    assert found[1].span == Span(at("2026-02-01 04:00"), at("2026-03-01 04:00"))
    assert next_bucket(Grain.MONTH, date(2026, 12, 1)) == date(2027, 1, 1)


def test_an_end_on_the_boundary_begins_no_further_bucket() -> None:
    assert keys(buckets(Grain.DAY, at("2026-03-10 04:00"), at("2026-03-11 04:00"), [place()])) == ["2026-03-10"]
    assert keys(buckets(Grain.HOUR, at("2026-03-10 04:00"), at("2026-03-10 05:00"), [place()])) == [
        "2026-03-10T04:00:00+01:00"
    ]


def test_days_over_several_zones_are_each_sites_own() -> None:
    vienna, kathmandu = place(number=1), place("Asia/Kathmandu", number=2)
    (day,) = buckets(Grain.DAY, at("2026-03-10 10:00"), at("2026-03-10 11:00"), [vienna, kathmandu])
    assert day.local[vienna.id].start == at("2026-03-10 04:00")
    assert day.local[kathmandu.id].start == at("2026-03-10 04:00", "Asia/Kathmandu")
    assert day.span == Span(day.local[kathmandu.id].start, day.local[vienna.id].end)


def test_an_instant_on_two_dates_asks_for_both() -> None:
    places = [place("Pacific/Auckland", number=1), place("America/New_York", number=2)]
    found = buckets(Grain.DAY, at("2026-03-10 20:00"), at("2026-03-10 20:01"), places)
    assert keys(found) == ["2026-03-10", "2026-03-11"]


@pytest.mark.parametrize(
    ("zone", "clock", "expected"),
    [
        (
            "Europe/Vienna",
            "2026-10-25 01:00",
            ["01:00:00+02:00", "02:00:00+02:00", "02:00:00+01:00", "03:00:00+01:00"],
        ),
        ("Europe/Vienna", "2026-03-29 01:00", ["01:00:00+01:00", "03:00:00+02:00", "04:00:00+02:00", "05:00:00+02:00"]),
        # Half an hour back: 01:30 comes again, and is half an hour by itself.
        (
            "Australia/Lord_Howe",
            "2026-04-05 00:00",
            ["00:00:00+11:00", "01:00:00+11:00", "01:30:00+10:30", "02:00:00+10:30"],
        ),
        # Half an hour forward: 02:00 is skipped, 02:30 begins what is left of the hour.
        (
            "Australia/Lord_Howe",
            "2026-10-04 00:00",
            ["00:00:00+10:30", "01:00:00+10:30", "02:30:00+11:00", "03:00:00+11:00"],
        ),
        (
            "Asia/Kathmandu",
            "2026-03-29 00:00",
            ["00:00:00+05:45", "01:00:00+05:45", "02:00:00+05:45", "03:00:00+05:45"],
        ),
    ],
)
def test_hours_are_those_of_the_wall(zone: str, clock: str, expected: list[str]) -> None:
    start = at(clock, zone)
    found = buckets(Grain.HOUR, start, start + timedelta(hours=8), [place(zone)])
    assert [key.split("T")[1] for key in keys(found)][:4] == expected


@settings(deadline=None)  # no test judges by the clock
@given(instant=INSTANTS, zone=st.sampled_from(ZONES))
def test_within_an_hour_the_wall_shows_one_hour_and_one_offset(instant: datetime, zone: str) -> None:
    here = ZoneInfo(zone)
    first, after = hour_start(here, instant), next_hour(here, instant)
    assert first <= instant < after <= first + timedelta(hours=1)
    shown = [moment.astimezone(here) for moment in (first, instant, after - timedelta.resolution)]
    assert len({(moment.date(), moment.hour, moment.utcoffset()) for moment in shown}) == 1
    assert hour_start(here, after) == after


def test_hours_over_several_zones_are_refused() -> None:
    places = [place(number=1), place("Asia/Kathmandu", number=2)]
    with pytest.raises(MixedTimeZonesError):
        buckets(Grain.HOUR, at("2026-03-10 10:00"), at("2026-03-10 11:00"), places)


def test_hours_over_sites_of_one_zone_are_the_same_hours() -> None:
    places = [place(number=1), place(number=2)]
    (hour,) = buckets(Grain.HOUR, at("2026-03-10 10:20"), at("2026-03-10 10:40"), places)
    assert set(hour.local.values()) == {Span(at("2026-03-10 10:00"), at("2026-03-10 11:00"))}


def test_there_are_at_most_five_thousand_buckets() -> None:
    start = at("2026-03-10 04:00")
    most = buckets(Grain.HOUR, start, start + timedelta(hours=MOST_BUCKETS), [place("Asia/Kathmandu")])
    assert len(most) - MOST_BUCKETS in {0, 1}  # widened at both ends
    for grain, length in ((Grain.HOUR, timedelta(hours=MOST_BUCKETS + 1)), (Grain.DAY, timedelta(days=MOST_BUCKETS))):
        with pytest.raises(RangeTooLargeError):
            buckets(grain, start, start + length + timedelta(seconds=1), [place()])


def test_without_a_site_there_is_nothing_to_count() -> None:
    assert buckets(Grain.DAY, at("2026-03-10 10:00"), at("2026-03-10 11:00"), []) == []


# -- opening times ------------------------------------------------------------------------------------------------

NINE_TO_SIX = tuple(OpeningSpan(day, 9 * 60, 18 * 60) for day in range(1, 7))


def opened(rules: Rules, start: str, end: str) -> list[Span]:
    return open_spans(place("Europe/Vienna", rules), Span(at(start), at(end)))


def test_a_shop_without_hours_is_always_open() -> None:
    whole = Span(at("2026-03-09 04:00"), at("2026-03-11 04:00"))
    assert open_spans(place(), whole) == [whole]


def test_opening_hours_are_clipped_to_what_is_asked() -> None:
    assert opened(Rules(LONG_AGO, spans=NINE_TO_SIX), "2026-03-09 12:00", "2026-03-10 10:00") == [
        Span(at("2026-03-09 12:00"), at("2026-03-09 18:00")),
        Span(at("2026-03-10 09:00"), at("2026-03-10 10:00")),
    ]


def test_sunday_is_closed_and_so_is_a_closed_date() -> None:
    rules = Rules(LONG_AGO, spans=NINE_TO_SIX, closed_dates=frozenset({MONDAY}))
    assert opened(rules, "2026-03-08 04:00", "2026-03-10 04:00") == []


def test_a_night_past_midnight_belongs_to_the_weekday_on_which_it_began() -> None:
    friday = Rules(LONG_AGO, spans=(OpeningSpan(5, 20 * 60, 26 * 60),))
    night = [Span(at("2026-03-13 20:00"), at("2026-03-14 02:00"))]
    assert opened(friday, "2026-03-13 04:00", "2026-03-14 04:00") == night
    assert opened(friday, "2026-03-14 01:00", "2026-03-15 04:00") == [Span(at("2026-03-14 01:00"), night[0].end)]
    closed = Rules(LONG_AGO, spans=friday.spans, closed_dates=frozenset({date(2026, 3, 14)}))
    assert opened(closed, "2026-03-13 04:00", "2026-03-14 04:00") == night


def test_a_closed_date_closes_a_shop_that_is_always_open() -> None:
    rules = Rules(LONG_AGO, closed_dates=frozenset({date(2026, 3, 10)}))
    assert opened(rules, "2026-03-09 04:00", "2026-03-12 04:00") == [
        Span(at("2026-03-09 04:00"), at("2026-03-10 00:00")),
        Span(at("2026-03-11 00:00"), at("2026-03-12 04:00")),
    ]


def test_spans_that_touch_or_overlap_are_one() -> None:
    spans = (OpeningSpan(1, 540, 720), OpeningSpan(1, 720, 800), OpeningSpan(1, 700, 750), OpeningSpan(1, 900, 960))
    found = opened(Rules(LONG_AGO, spans=spans), "2026-03-09 04:00", "2026-03-10 04:00")
    assert [hours(span) * 60 for span in found] == [260, 60]


def test_a_change_of_hours_holds_from_its_date_on() -> None:
    shorter = Rules(at("2026-03-10 00:00"), spans=(OpeningSpan(1, 600, 660), OpeningSpan(2, 600, 660)))
    here = place("Europe/Vienna", Rules(LONG_AGO, spans=NINE_TO_SIX), shorter)
    found = open_spans(here, Span(at("2026-03-09 04:00"), at("2026-03-11 04:00")))
    assert [hours(span) for span in found] == [9, 1]


def test_the_night_of_a_change_of_clocks_is_an_hour_longer_or_shorter() -> None:
    nights = Rules(LONG_AGO, spans=(OpeningSpan(6, 22 * 60, 28 * 60),))
    (autumn,) = opened(nights, "2026-10-24 04:00", "2026-10-25 12:00")
    (spring,) = opened(nights, "2026-03-28 04:00", "2026-03-29 12:00")
    assert (hours(autumn), hours(spring)) == (7, 5)


@settings(deadline=None)  # no test judges by the clock
@given(start=INSTANTS, length=st.timedeltas(timedelta(hours=1), timedelta(days=20)), zone=st.sampled_from(ZONES))
def test_open_spans_lie_within_what_is_asked_in_order_and_apart(start: datetime, length: timedelta, zone: str) -> None:
    here = place(zone, Rules(LONG_AGO, spans=(*NINE_TO_SIX, OpeningSpan(6, 17 * 60, 27 * 60))))
    within = Span(start, start + length)
    found = open_spans(here, within)
    assert all(within.start <= span.start < span.end <= within.end for span in found)
    assert all(one.end < following.start for one, following in pairwise(found))


@settings(deadline=None)  # no test judges by the clock
@given(start=INSTANTS, grain=st.sampled_from([Grain.HOUR, Grain.DAY]), zone=st.sampled_from(ZONES))
def test_opening_times_cut_at_buckets_are_those_of_each_bucket(start: datetime, grain: Grain, zone: str) -> None:
    here = place(zone, Rules(LONG_AGO, spans=(*NINE_TO_SIX, OpeningSpan(6, 20 * 60, 27 * 60))))
    found = buckets(grain, start, start + timedelta(days=3), [here])
    expected = [(n, span) for n, bucket in enumerate(found) for span in open_spans(here, bucket.local[here.id])]
    assert list(open_in_buckets(here, found)) == expected


def test_time_to_come_does_not_count_as_open() -> None:
    spans = [Span(at("2026-03-10 09:00"), at("2026-03-10 12:00")), Span(at("2026-03-10 13:00"), at("2026-03-10 18:00"))]
    assert seconds_of(spans, at("2026-03-10 14:00")) == 4 * 3600
    assert seconds_of(spans, at("2026-03-10 08:00")) == 0


def test_minutes_after_midnight_are_those_of_the_wall() -> None:
    assert on_the_wall(place(), date(2026, 3, 29), 24 * 60 + 30) == at("2026-03-30 00:30")


# -- who can be told apart ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "one_day", "two_days"),
    [("FULL", True, True), ("NO_SNAPSHOTS", True, True), ("SAME_DAY", True, False), ("ANONYMOUS", False, False)],
)
def test_who_forgets_at_night_tells_people_apart_for_a_day(mode: str, one_day: bool, two_days: bool) -> None:
    here = place(privacy_mode=mode)
    day = buckets(Grain.HOUR, at("2026-03-10 04:00"), at("2026-03-11 04:00"), [here])
    days = buckets(Grain.DAY, at("2026-03-10 04:00"), at("2026-03-11 05:00"), [here])
    assert tells_people_apart(here, day) == one_day
    assert tells_people_apart(here, days) == two_days
