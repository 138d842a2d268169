"""The calendar in Python and the one in the database are one calendar: this one asks, that one cuts."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import psycopg
import pytest

from mesh.ids import SiteId
from svc_reports.reports.domain import Place, Rules, business_day, business_day_start
from tests.support.database import TestDatabase
from tests.support.seed import seed_tenant

ZONES = ("Europe/Vienna", "Asia/Kathmandu", "Australia/Lord_Howe", "America/New_York", "America/St_Johns")
NEW_YEAR = datetime(2025, 1, 1, tzinfo=UTC)


def lay_rules(connection: psycopg.Connection, tenant_id: UUID, site_id: UUID, rules: list[Rules]) -> None:
    connection.execute("DELETE FROM site_rules WHERE site_id = %s", (site_id,))
    for rule in rules:
        connection.execute(
            "INSERT INTO site_rules (tenant_id, site_id, effective_time, day_boundary_minutes) VALUES (%s, %s, %s, %s)",
            (tenant_id, site_id, rule.effective_time, rule.day_boundary_minutes),
        )


def random_rules(chance: random.Random) -> list[Rules]:
    times = sorted(NEW_YEAR + timedelta(minutes=chance.randrange(3 * 525_600)) for _ in range(chance.randint(1, 3)))
    return [Rules(time, chance.choice([0, 30, 60, 119, 120, 150, 180, 240, 300, 719, 720])) for time in times]


@pytest.mark.parametrize("zone", ZONES)
def test_business_days_are_the_same_on_both_sides(database: TestDatabase, zone: str) -> None:
    chance = random.Random(zone)  # noqa: S311 (the same in every run)
    tenant = seed_tenant(database, time_zone=zone)
    changes = [
        datetime(year, month, day, tzinfo=UTC) for year in (2025, 2026) for month in (3, 4, 10, 11) for day in (1, 5)
    ]
    with database.superuser() as connection:
        for _ in range(10):
            rules = random_rules(chance)
            lay_rules(connection, tenant.tenant_id, tenant.site_id, rules)
            place = Place(SiteId(tenant.site_id), zone, tuple(rules))
            instants = [
                *(NEW_YEAR + timedelta(seconds=chance.randrange(3 * 31_536_000)) for _ in range(100)),
                *(one + timedelta(minutes=chance.randrange(30 * 1440)) for one in changes),
                *(business_day_start(place, rule.effective_time.date()) for rule in rules),
            ]
            days = [NEW_YEAR.date() + timedelta(days=chance.randrange(3 * 365)) for _ in range(100)]
            starts = connection.execute(
                "SELECT business_day_start(%s, %s, day) FROM unnest(%s::date[]) AS day",
                (tenant.tenant_id, tenant.site_id, days),
            ).fetchall()
            assert [row[0] for row in starts] == [business_day_start(place, day) for day in days]
            found = connection.execute(
                "SELECT business_day(%s, %s, at) FROM unnest(%s::timestamptz[]) AS at",
                (tenant.tenant_id, tenant.site_id, instants),
            ).fetchall()
            assert [row[0] for row in found] == [business_day(place, instant) for instant in instants]


def test_they_agree_at_every_start_around_a_change_of_clocks(database: TestDatabase) -> None:
    tenant = seed_tenant(database, time_zone="Australia/Lord_Howe")
    with database.superuser() as connection:
        for minutes in (0, 90, 105, 120, 135, 150, 240):
            rules = [Rules(NEW_YEAR, minutes)]
            lay_rules(connection, tenant.tenant_id, tenant.site_id, rules)
            place = Place(SiteId(tenant.site_id), "Australia/Lord_Howe", tuple(rules))
            for day in (date(2026, 4, 4), date(2026, 4, 5), date(2026, 10, 3), date(2026, 10, 4)):
                start = business_day_start(place, day)
                for instant in (start - timedelta.resolution, start):
                    row = connection.execute(
                        "SELECT business_day(%s, %s, %s), business_day_start(%s, %s, %s)",
                        (tenant.tenant_id, tenant.site_id, instant, tenant.tenant_id, tenant.site_id, day),
                    ).fetchone()
                    assert row == (business_day(place, instant), start)
