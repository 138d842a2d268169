"""GetVisitorSeries: the counts are those of the sightings, and unknown is never zero."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime, timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo

import grpc
import pytest
from footfall.reports.v1 import report_pb2

from mesh.access import Role
from mesh.ids import TenantId
from mesh.tls import Tls
from tests.support import reports_oracle as oracle
from tests.support.database import TestDatabase
from tests.support.mesh import fields, reason
from tests.support.reports import RunningReports, Shop, lay_world, running_reports
from tests.support.reports_oracle import Counted
from tests.support.seed import SeededTenant, seed_site, seed_tenant

VIENNA = ZoneInfo("Europe/Vienna")


def vienna(clock: str) -> datetime:
    return datetime.fromisoformat(clock).replace(tzinfo=VIENNA).astimezone(UTC)


@pytest.fixture
async def reports(database: TestDatabase, peers: Callable[[str], Tls]) -> AsyncIterator[RunningReports]:
    async with running_reports(database, peers) as running:
        yield running


@pytest.fixture
def tenant(database: TestDatabase) -> SeededTenant:
    return seed_tenant(database)


@pytest.fixture
def shop(reports: RunningReports, tenant: SeededTenant) -> Shop:
    return reports.shop(tenant)


def counted(bucket: report_pb2.VisitorBucket) -> Counted | None:
    """A bucket as the oracle has it; None when its counts are absent."""
    present = {
        bucket.HasField("visits"),
        bucket.HasField("unique_visitors"),
        bucket.HasField("new_visitors"),
        bucket.HasField("returning_visitors"),
    }
    assert len(present) == 1, "counts are all there, or all absent"
    if present == {False}:
        return None
    return Counted(
        visits=bucket.visits,
        unique=bucket.unique_visitors,
        new=bucket.new_visitors,
        returning=bucket.returning_visitors,
        median_dwell=bucket.median_dwell.ToTimedelta().total_seconds() if bucket.HasField("median_dwell") else None,
    )


def by_key(series: report_pb2.GetVisitorSeriesResponse) -> dict[str, Counted]:
    """The buckets in which somebody came."""
    found = {bucket.local_start: counted(bucket) for bucket in series.buckets}
    assert len(found) == len(series.buckets)
    return {key: count for key, count in found.items() if count is not None and count.visits}


# -- against the oracle -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
async def test_days_weeks_and_months_over_sites_on_three_continents_agree_with_the_sightings(
    reports: RunningReports, database: TestDatabase, tenant: SeededTenant, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 (the same in every run)
    zones = ["Europe/Vienna", "Asia/Kathmandu", "America/New_York"]
    seeded = [tenant, *(seed_site(database, tenant, time_zone=zone) for zone in zones[1:])]
    shops = [reports.shop(one, zone) for one, zone in zip(seeded, zones, strict=True)]
    first_week_day = chance.randint(1, 7)
    reports.connection.execute("UPDATE tenants SET week_start_day = %s", (first_week_day,))
    start = vienna("2026-03-20 00:00")  # the clocks change in New York before, in Vienna within
    lay_world(chance, shops, start, days=24, people=25)
    everything = oracle.stays(shops)
    for scope in ([], [shops[0].id], [shops[1].id, shops[2].id]):
        sites = scope or [shop.id for shop in shops]
        for grain, bucket in (("DAY", oracle.day), ("WEEK", oracle.week(first_week_day)), ("MONTH", oracle.month)):
            series = await reports.series(tenant, grain, start - timedelta(days=40), start + timedelta(days=40), *scope)
            truth = oracle.count(everything, sites, bucket)
            assert by_key(series) == {str(key): count for key, count in truth.items()}
            assert counted(series.total) == oracle.total(everything, sites, date.min, date.max)
        first, last = vienna("2026-03-27 12:00"), vienna("2026-04-02 12:00")
        days = (await reports.series(tenant, "DAY", first, last, *scope)).total
        begin, end = days.start_time.ToDatetime(UTC), days.end_time.ToDatetime(UTC)
        assert (begin, end) == (
            min(shop.instant("2026-03-27 04:00") for shop in shops if shop.id in sites),
            max(shop.instant("2026-04-03 04:00") for shop in shops if shop.id in sites),
        )
        assert counted(days) == oracle.total(everything, sites, date(2026, 3, 27), date(2026, 4, 3))


@pytest.mark.parametrize("zone", ["Europe/Vienna", "Australia/Lord_Howe", "Asia/Kathmandu"])
async def test_hours_agree_with_the_sightings_also_when_clocks_go_back(
    reports: RunningReports, database: TestDatabase, zone: str
) -> None:
    tenant = seed_tenant(database, time_zone=zone)
    shop = reports.shop(tenant, zone)
    start = datetime(2026, 10, 24, 18, tzinfo=UTC) if zone.startswith("Europe") else datetime(2026, 4, 4, tzinfo=UTC)
    chance = random.Random(zone)  # noqa: S311 (the same in every run)
    lay_world(chance, [shop], start, days=2, people=60)
    series = await reports.series(tenant, "HOUR", start - timedelta(hours=5), start + timedelta(hours=60))
    everything = oracle.stays([shop])
    inside = [bucket for bucket in series.buckets if counted(bucket) is not None]
    found = {
        bucket.local_start: {
            stay.customer_id
            for stay in everything
            if bucket.start_time.ToDatetime(UTC) <= stay.start < bucket.end_time.ToDatetime(UTC)
        }
        for bucket in inside
    }
    assert {bucket.local_start: bucket.unique_visitors for bucket in inside} == {
        key: len(people) for key, people in found.items()
    }
    assert sum(bucket.visits for bucket in inside) == len(everything) == series.total.visits
    if not zone.endswith("Lord_Howe"):  # there, an hour begins with the change of clocks
        assert by_key(series) == oracle.count(everything, [shop.id], oracle.hour)


async def test_the_two_hours_of_an_autumn_change_stay_apart(
    reports: RunningReports, tenant: SeededTenant, shop: Shop
) -> None:
    shop.visit(uuid4(), datetime(2026, 10, 25, 0, 30, tzinfo=UTC))
    shop.visit(uuid4(), datetime(2026, 10, 25, 1, 30, tzinfo=UTC))
    series = await reports.series(
        tenant, "HOUR", datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 25, 4, tzinfo=UTC)
    )
    assert set(by_key(series)) == {"2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00"}


async def test_the_total_is_not_the_sum_because_people_come_back(
    reports: RunningReports, tenant: SeededTenant, shop: Shop
) -> None:
    anna = uuid4()
    for day in ("09", "10", "11"):
        shop.visit(anna, f"2026-03-{day} 10:00", minutes=10)
    series = await reports.series(tenant, "DAY", vienna("2026-03-09 12:00"), vienna("2026-03-11 12:00"))
    assert [counted(bucket) for bucket in series.buckets] == [
        Counted(1, 1, 1, 0, 600),
        Counted(1, 1, 0, 1, 600),
        Counted(1, 1, 0, 1, 600),
    ]
    assert counted(series.total) == Counted(3, 1, 1, 0, 600)


async def test_a_night_at_the_bar_belongs_to_the_day_on_which_it_began(
    reports: RunningReports, tenant: SeededTenant, shop: Shop
) -> None:
    shop.visit(uuid4(), "2026-03-10 03:59")
    shop.visit(uuid4(), "2026-03-10 04:00")
    series = await reports.series(tenant, "DAY", vienna("2026-03-09 12:00"), vienna("2026-03-10 12:00"))
    assert [bucket.visits for bucket in series.buckets] == [1, 1]
    assert series.buckets[0].start_time.ToDatetime(UTC) == vienna("2026-03-09 04:00")
    assert series.buckets[0].end_time.ToDatetime(UTC) == vienna("2026-03-10 04:00")


async def test_a_range_is_widened_to_whole_buckets(reports: RunningReports, tenant: SeededTenant, shop: Shop) -> None:
    shop.visit(uuid4(), "2026-03-01 04:00")
    shop.visit(uuid4(), "2026-04-01 03:59")
    shop.visit(uuid4(), "2026-04-01 04:00")
    series = await reports.series(tenant, "MONTH", vienna("2026-03-14 15:00"), vienna("2026-03-14 15:01"))
    assert [(bucket.local_start, bucket.visits) for bucket in series.buckets] == [("2026-03-01", 2)]


async def test_how_much_dwell_is_known_is_told(reports: RunningReports, tenant: SeededTenant, shop: Shop) -> None:
    shop.visit(uuid4(), "2026-03-10 10:00")
    for minutes in (10, 20, 60):
        shop.visit(uuid4(), "2026-03-10 10:00", minutes=minutes / 2)
    (bucket,) = (await reports.series(tenant, "DAY", vienna("2026-03-10 10:00"), vienna("2026-03-10 11:00"))).buckets
    assert bucket.dwell_known_ratio == 0.75
    assert bucket.median_dwell.ToTimedelta() == timedelta(minutes=10)


# -- who sees what ------------------------------------------------------------------------------------------------


async def test_a_site_manager_counts_only_his_sites_and_new_is_decided_by_all(
    reports: RunningReports, database: TestDatabase, tenant: SeededTenant, shop: Shop
) -> None:
    hidden = reports.shop(seed_site(database, tenant))
    known, stranger = uuid4(), uuid4()
    hidden.visit(known, "2026-03-01 10:00")
    shop.visit(known, "2026-03-10 10:00")
    shop.visit(stranger, "2026-03-10 10:00")
    span = vienna("2026-03-10 10:00"), vienna("2026-03-10 11:00")
    his = await reports.series(tenant, "DAY", *span, role=Role.SITE_MANAGER, site_ids=[tenant.site_id])
    assert counted(his.total) == Counted(2, 2, 1, 1, None)
    before = await reports.series(
        tenant, "DAY", vienna("2026-03-01 10:00"), span[1], role=Role.SITE_MANAGER, site_ids=[tenant.site_id]
    )
    assert before.total.visits == 2
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await reports.series(tenant, "DAY", *span, hidden.id, role=Role.SITE_MANAGER, site_ids=[tenant.site_id])
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND
    nobody = await reports.series(tenant, "DAY", *span, role=Role.SITE_MANAGER, site_ids=[])
    assert not nobody.buckets
    assert not nobody.HasField("total")


async def test_another_tenant_counts_nothing_of_ours_and_its_sites_do_not_exist(
    reports: RunningReports, database: TestDatabase, tenant: SeededTenant, shop: Shop
) -> None:
    other = seed_tenant(database, name="Rival")
    anna = uuid4()
    shop.visit(anna, "2026-03-09 10:00")
    reports.shop(other).visit(anna, "2026-03-10 10:00")  # the same id, another person
    span = vienna("2026-03-08 10:00"), vienna("2026-03-11 10:00")
    theirs = await reports.series(other, "DAY", *span)
    assert counted(theirs.total) == Counted(1, 1, 1, 0, None)
    for foreign in (tenant.site_id, uuid4()):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await reports.series(other, "DAY", *span, foreign)
        assert (refused.value.code(), reason(refused.value)) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


@pytest.mark.parametrize("role", [Role.WORKER, Role.PRIVACY_OFFICER])
async def test_neither_workers_nor_privacy_officers_count(
    reports: RunningReports, tenant: SeededTenant, role: Role
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await reports.series(
            tenant, "DAY", vienna("2026-03-10 10:00"), vienna("2026-03-10 11:00"), role=role, worker_id=tenant.worker_id
        )
    assert reason(refused.value) == "ROLE_NOT_ALLOWED"


# -- unknown is not zero ------------------------------------------------------------------------------------------


async def test_a_dark_day_is_absent_and_a_watched_day_without_visitors_is_zero(
    reports: RunningReports, tenant: SeededTenant, shop: Shop
) -> None:
    shop.watch("2026-03-10 10:00", "2026-03-10 12:00")
    series = await reports.series(tenant, "DAY", vienna("2026-03-09 10:00"), vienna("2026-03-10 12:00"))
    dark, watched = series.buckets
    assert counted(dark) is None
    assert not dark.closed
    assert (dark.coverage.expected.seconds, dark.coverage.ratio) == (86_400, 0)
    assert counted(watched) == Counted(0, 0, 0, 0, None)
    assert watched.coverage.ratio == pytest.approx(2 / 24)
    assert counted(series.total) == Counted(0, 0, 0, 0, None)


async def test_a_closed_day_has_no_counts_and_expects_no_watching(
    reports: RunningReports, tenant: SeededTenant, shop: Shop
) -> None:
    shop.opens(dict.fromkeys(range(1, 7), (9 * 60, 18 * 60)), closed=(date(2026, 3, 9),))
    shop.watch("2026-03-08 00:00", "2026-03-11 00:00")
    shop.visit(uuid4(), "2026-03-10 09:30")
    series = await reports.series(tenant, "DAY", vienna("2026-03-08 10:00"), vienna("2026-03-10 12:00"))
    sunday, holiday, tuesday = series.buckets
    for closed in (sunday, holiday):
        assert closed.closed
        assert counted(closed) is None
        assert not closed.coverage.HasField("ratio")
    assert (tuesday.closed, tuesday.visits) == (False, 1)
    assert tuesday.coverage.expected.seconds == 9 * 3600
    assert tuesday.coverage.watched.seconds == 9 * 3600
    assert tuesday.coverage.ratio == 1
    assert not series.total.closed


async def test_coverage_is_that_of_the_worst_entrance_and_tracks_are_of_all_cameras(
    reports: RunningReports, tenant: SeededTenant, shop: Shop
) -> None:
    shop.opens({2: (10 * 60, 14 * 60)})
    second, inside = shop.camera(), shop.camera("INTERIOR")
    shop.watch("2026-03-10 08:00", "2026-03-10 14:00", seen=10, usable=5)
    shop.watch("2026-03-10 10:00", "2026-03-10 12:00", camera_id=second, share=0.5, seen=2, usable=2)
    shop.watch("2026-03-10 10:00", "2026-03-10 10:15", camera_id=inside, seen=8, usable=1)
    (bucket,) = (await reports.series(tenant, "DAY", vienna("2026-03-10 10:00"), vienna("2026-03-10 12:00"))).buckets
    assert bucket.coverage.expected.seconds == 4 * 3600
    assert bucket.coverage.watched.seconds == 3600
    assert bucket.coverage.ratio == 0.25
    # 16 quarters of the first, 8 of the second, one of the third, all within opening hours.
    assert (bucket.coverage.seen_track_count, bucket.coverage.usable_track_count) == (160 + 16 + 8, 80 + 16 + 1)
    assert getattr(bucket.coverage, "yield") == pytest.approx(97 / 184)


async def test_a_quarter_that_is_open_twice_is_watched_and_counted_once(
    reports: RunningReports, tenant: SeededTenant, shop: Shop
) -> None:
    shop.opens({2: (10 * 60, 10 * 60 + 5)})
    reports.connection.execute(
        "UPDATE site_rules SET opening_hours = jsonb_set(opening_hours, '{spans}', opening_hours -> 'spans' ||"
        """ '[{"weekday": "WEEKDAY_TUESDAY", "openMinute": 610, "closeMinute": 615}]')"""
    )
    shop.watch("2026-03-10 10:00", "2026-03-10 10:15", share=0.4, seen=3, usable=1)  # six minutes
    (bucket,) = (await reports.series(tenant, "DAY", vienna("2026-03-10 10:00"), vienna("2026-03-10 12:00"))).buckets
    assert bucket.coverage.expected.seconds == 600
    assert bucket.coverage.watched.seconds == 360
    assert bucket.coverage.seen_track_count == 3


async def test_a_camera_is_expected_only_while_it_hangs_there(
    reports: RunningReports, tenant: SeededTenant, shop: Shop
) -> None:
    shop.watch("2026-03-10 04:00", "2026-03-12 04:00")
    second = shop.camera(created="2026-03-11 12:00")
    series = await reports.series(tenant, "DAY", vienna("2026-03-10 10:00"), vienna("2026-03-11 12:00"))
    assert [bucket.coverage.ratio for bucket in series.buckets] == [1, 0]
    assert series.total.coverage.ratio == 0.5
    shop.watch("2026-03-10 04:00", "2026-03-11 16:00", camera_id=second, share=0.25)  # a recording, entered later
    series = await reports.series(tenant, "DAY", vienna("2026-03-10 10:00"), vienna("2026-03-11 12:00"))
    assert [bucket.coverage.ratio for bucket in series.buckets] == [0.25, pytest.approx(0.125)]
    reports.connection.execute("UPDATE cameras SET enabled = false WHERE id = %s", (second,))
    series = await reports.series(tenant, "DAY", vienna("2026-03-12 10:00"), vienna("2026-03-12 12:00"))
    assert series.total.coverage.ratio == 0


async def test_time_to_come_is_not_expected(reports: RunningReports, tenant: SeededTenant, shop: Shop) -> None:
    now = datetime.now(UTC)
    series = await reports.series(tenant, "DAY", now + timedelta(days=2), now + timedelta(days=3))
    assert all(not bucket.coverage.HasField("ratio") for bucket in series.buckets)
    assert all(counted(bucket) is None for bucket in series.buckets)


async def test_complete_to_is_the_oldest_watermark(reports: RunningReports, tenant: SeededTenant, shop: Shop) -> None:
    inside = shop.camera("INTERIOR")
    shop.camera("OUTSIDE")  # has not reported
    for camera, at in ((tenant.camera_id, "2026-03-10 12:00"), (inside, "2026-03-10 11:00")):
        reports.connection.execute(
            "INSERT INTO camera_reports (tenant_id, camera_id, site_id, report_time, complete_to_time)"
            " VALUES (%s, %s, %s, now(), %s)",
            (tenant.tenant_id, camera, tenant.site_id, vienna(at)),
        )
    series = await reports.series(tenant, "DAY", vienna("2026-03-10 10:00"), vienna("2026-03-10 12:00"))
    for bucket in (*series.buckets, series.total):
        assert bucket.coverage.complete_to_time.ToDatetime(UTC) == vienna("2026-03-10 11:00")


async def test_as_of_lies_between_question_and_answer(
    reports: RunningReports, tenant: SeededTenant, shop: Shop
) -> None:
    before = reports.connection.execute("SELECT clock_timestamp()").fetchone()
    series = await reports.series(tenant, "DAY", vienna("2026-03-10 10:00"), vienna("2026-03-10 12:00"))
    after = reports.connection.execute("SELECT clock_timestamp()").fetchone()
    assert before is not None
    assert after is not None
    assert before[0] <= series.total.as_of_time.ToDatetime(UTC) <= after[0]
    assert {bucket.as_of_time.ToNanoseconds() for bucket in series.buckets} == {series.total.as_of_time.ToNanoseconds()}


# -- privacy modes ------------------------------------------------------------------------------------------------


async def test_an_anonymous_site_counts_passages_and_names_no_visitors(
    reports: RunningReports, database: TestDatabase
) -> None:
    tenant = seed_tenant(database, privacy_mode="ANONYMOUS")
    shop = reports.shop(tenant)
    shop.watch("2026-03-10 04:00", "2026-03-12 04:00")
    for clock in ("2026-03-10 10:00", "2026-03-10 23:00", "2026-03-11 03:59", "2026-03-11 05:00"):
        shop.pass_by(clock)
    series = await reports.series(tenant, "DAY", vienna("2026-03-09 10:00"), vienna("2026-03-11 12:00"))
    dark, first, second = series.buckets
    assert not dark.HasField("passages")
    assert (first.passages, second.passages, series.total.passages) == (3, 1, 4)
    assert all(counted(bucket) is None for bucket in (*series.buckets, series.total))
    assert list(series.unmeasured_site_ids) == [str(tenant.site_id)]
    hours = await reports.series(tenant, "HOUR", vienna("2026-03-10 09:00"), vienna("2026-03-10 11:00"))
    assert [bucket.passages for bucket in hours.buckets] == [0, 1]


async def test_passages_are_absent_where_every_site_tells_people_apart(
    reports: RunningReports, tenant: SeededTenant, shop: Shop
) -> None:
    shop.watch("2026-03-10 04:00", "2026-03-12 04:00")
    series = await reports.series(tenant, "DAY", vienna("2026-03-10 10:00"), vienna("2026-03-10 12:00"))
    assert not series.total.HasField("passages")


async def test_a_site_that_forgets_at_night_is_measured_for_a_day_and_not_for_two(
    reports: RunningReports, database: TestDatabase
) -> None:
    tenant = seed_tenant(database, privacy_mode="SAME_DAY")
    shop = reports.shop(tenant)
    shop.visit(uuid4(), "2026-03-10 10:00")
    day = await reports.series(tenant, "DAY", vienna("2026-03-10 10:00"), vienna("2026-03-10 12:00"))
    assert counted(day.total) == Counted(1, 1, 1, 0, None)
    two = await reports.series(tenant, "DAY", vienna("2026-03-10 10:00"), vienna("2026-03-11 12:00"))
    assert counted(two.total) is None
    assert list(two.unmeasured_site_ids) == [str(tenant.site_id)]


# -- refusals -----------------------------------------------------------------------------------------------------


async def test_hours_over_several_time_zones_are_refused(
    reports: RunningReports, database: TestDatabase, tenant: SeededTenant
) -> None:
    seed_site(database, tenant, time_zone="America/New_York")
    span = vienna("2026-03-10 10:00"), vienna("2026-03-10 12:00")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await reports.series(tenant, "HOUR", *span)
    assert (reason(refused.value), fields(refused.value)) == ("MIXED_TIME_ZONES", ["site_ids"])
    assert len((await reports.series(tenant, "HOUR", *span, tenant.site_id)).buckets) == 2


@pytest.mark.parametrize("grain", ["HOUR", "DAY"])
async def test_more_than_five_thousand_buckets_are_refused(
    reports: RunningReports, tenant: SeededTenant, grain: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await reports.series(tenant, grain, vienna("2000-01-01 00:00"), vienna("2026-03-10 12:00"))
    assert (reason(refused.value), fields(refused.value)) == ("RANGE_TOO_LARGE", ["end_time"])


async def test_a_range_that_ends_before_it_begins_is_refused(reports: RunningReports, tenant: SeededTenant) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await reports.series(tenant, "DAY", vienna("2026-03-10 12:00"), vienna("2026-03-10 10:00"))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("year", [1, 1969, 9999])
async def test_years_that_no_calendar_can_widen_are_refused(
    reports: RunningReports, tenant: SeededTenant, year: int
) -> None:
    at = datetime(year, 6, 1, tzinfo=UTC)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await reports.series(tenant, "DAY", at, at + timedelta(days=1))
    assert fields(refused.value) == ["start_time"]


async def test_a_tenant_without_sites_has_no_buckets(reports: RunningReports) -> None:
    nobody = SeededTenant(TenantId(uuid4()), uuid4(), uuid4(), uuid4())
    reports.connection.execute("INSERT INTO tenants (id, display_name) VALUES (%s, 'New')", (nobody.tenant_id,))
    series = await reports.series(nobody, "DAY", vienna("2026-03-10 10:00"), vienna("2026-03-10 12:00"))
    assert not series.buckets
