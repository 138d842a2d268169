"""Exports: the same numbers as the RPCs, as CSV, written down in the audit."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
from footfall.reports.v1 import report_pb2, visit_pb2

from mesh.access import Role
from mesh.tls import Tls
from svc_reports.reports import servicer
from tests.support.database import TestDatabase
from tests.support.mesh import fields, reason
from tests.support.reports import RunningReports, Shop, running_reports, stamp
from tests.support.seed import SeededTenant, seed_site, seed_tenant

START = datetime(2026, 3, 10, 9, tzinfo=UTC)
DAYS = timedelta(days=4)


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


async def rows_of(call: Any) -> list[dict[str, str]]:
    """The lines of a streamed file, by its header."""
    data = b""
    async for body in call:
        assert body.content_type == "text/csv; charset=utf-8"
        data += body.data
    assert data.endswith(b"\r\n")
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def series_request(*sites: UUID) -> report_pb2.ExportVisitorSeriesRequest:
    return report_pb2.ExportVisitorSeriesRequest(
        start_time=stamp(START), end_time=stamp(START + DAYS), grain=report_pb2.GRAIN_DAY, site_ids=map(str, sites)
    )


def visits_request(*sites: UUID, **filters: Any) -> report_pb2.ExportVisitsRequest:
    return report_pb2.ExportVisitsRequest(
        **{"start_time": stamp(START), "end_time": stamp(START + DAYS), "site_ids": map(str, sites), **filters}
    )


async def test_the_exported_series_is_the_series(reports: RunningReports, tenant: SeededTenant, shop: Shop) -> None:
    anna = uuid4()
    shop.opens(dict.fromkeys(range(1, 6), (9 * 60, 18 * 60)))  # the 14th is a Saturday
    shop.watch("2026-03-10 09:00", "2026-03-11 18:00", seen=2, usable=1)
    for day in (10, 12):
        shop.visit(anna, f"2026-03-{day} 11:00", minutes=5)
    shop.visit(uuid4(), "2026-03-10 11:00")
    series = await reports.series(tenant, "DAY", START, START + DAYS)
    async with reports.counting(tenant) as stub:
        rows = await rows_of(stub.ExportVisitorSeries(series_request()))
    assert [row["local_start"] for row in rows] == [f"2026-03-{day}" for day in (10, 11, 12, 13, 14)]
    assert [row["visits"] for row in rows] == ["2", "0", "1", "", ""]  # counted, watched, counted, dark, closed
    assert [row["closed"] for row in rows] == ["false"] * 4 + ["true"]
    for row, bucket in zip(rows, series.buckets, strict=True):
        for name in ("visits", "unique_visitors", "new_visitors", "returning_visitors", "passages"):
            assert row[name] == (str(getattr(bucket, name)) if bucket.HasField(name) else "")
        assert datetime.fromisoformat(row["start_time"]) == bucket.start_time.ToDatetime(UTC)
        assert datetime.fromisoformat(row["end_time"]) == bucket.end_time.ToDatetime(UTC)
        assert datetime.fromisoformat(row["as_of_time"]) >= bucket.as_of_time.ToDatetime(UTC)
        assert (row["coverage_ratio"] == "") == (not bucket.coverage.HasField("ratio"))
        assert row["coverage_ratio"] == "" or float(row["coverage_ratio"]) == bucket.coverage.ratio
        assert row["complete_to_time"] == ""
    assert (rows[0]["median_dwell_seconds"], rows[0]["dwell_known_ratio"], rows[0]["yield"]) == ("300.0", "0.5", "0.5")


async def test_exported_visits_are_the_visits_by_start_time(
    reports: RunningReports, tenant: SeededTenant, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servicer, "EXPORT_PAGE", 3)  # several pages, and one that is just full
    for number in range(9):
        shop.visit(uuid4(), START + timedelta(hours=number // 2), minutes=number % 2)
    shop.visit(uuid4(), START - timedelta(seconds=1))
    shop.visit(uuid4(), START + DAYS)
    async with reports.visits(tenant) as stub:
        request = visit_pb2.ListVisitsRequest(
            order_by="start_time", start_time=stamp(START), end_time=stamp(START + DAYS)
        )
        listed = (await stub.ListVisits(request)).visits
    async with reports.counting(tenant) as stub:
        rows = await rows_of(stub.ExportVisits(visits_request()))
    assert [row["id"] for row in rows] == [visit.id for visit in listed]
    assert len(rows) == 9
    for row, visit in zip(rows, listed, strict=True):
        assert (row["customer_id"], row["site_id"]) == (visit.customer_id, visit.site_id)
        assert datetime.fromisoformat(row["start_time"]) == visit.start_time.ToDatetime(UTC)
        assert datetime.fromisoformat(row["end_time"]) == visit.end_time.ToDatetime(UTC)
        assert row["local_date"] == visit.local_date
        assert row["sighting_count"] == str(visit.sighting_count)
        assert row["dwell_seconds"] == (str(visit.dwell.seconds) if visit.HasField("dwell") else "")
        assert row["is_new"] == "true"
        assert row["first_camera_id"] == row["last_camera_id"] == str(tenant.camera_id)
        assert "image" not in " ".join(row)


async def test_first_visits_alone_can_be_exported(reports: RunningReports, tenant: SeededTenant, shop: Shop) -> None:
    anna = uuid4()
    for hours in (0, 2, 4):
        shop.visit(anna, START + timedelta(hours=hours))
    async with reports.counting(tenant) as stub:
        new = await rows_of(stub.ExportVisits(visits_request(is_new=True)))
        later = await rows_of(stub.ExportVisits(visits_request(is_new=False)))
    assert ([row["is_new"] for row in new], len(later)) == (["true"], 2)


async def test_every_export_is_audited_with_ids_and_nothing_else(
    reports: RunningReports, tenant: SeededTenant, shop: Shop
) -> None:
    user = uuid4()
    async with reports.counting(tenant, Role.VIEWER, subject_id=user) as stub:
        await rows_of(stub.ExportVisitorSeries(series_request(shop.id)))
        await rows_of(stub.ExportVisits(visits_request()))
    entries = reports.connection.execute(
        "SELECT tenant_id, service, actor_id, actor_role, action, details FROM audit_entries ORDER BY id"
    ).fetchall()
    assert entries == [
        (tenant.tenant_id, "svc_reports", user, "VIEWER", "report.export_series", {"site_ids": [str(shop.id)]}),
        (tenant.tenant_id, "svc_reports", user, "VIEWER", "report.export_visits", {"site_ids": []}),
    ]


async def test_what_is_refused_is_neither_sent_nor_audited(
    reports: RunningReports, database: TestDatabase, tenant: SeededTenant, shop: Shop
) -> None:
    hidden, foreign = seed_site(database, tenant), seed_tenant(database, name="Rival")
    async with reports.counting(tenant, Role.SITE_MANAGER, site_ids=[shop.id]) as stub:
        for site in (hidden.site_id, foreign.site_id, uuid4()):
            for call in (stub.ExportVisits(visits_request(site)), stub.ExportVisitorSeries(series_request(site))):
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await rows_of(call)
                assert reason(refused.value) == "NOT_FOUND"
    assert reports.connection.execute("SELECT count(*) FROM audit_entries").fetchone() == (0,)


async def test_exports_hold_only_what_the_caller_may_see(
    reports: RunningReports, database: TestDatabase, tenant: SeededTenant, shop: Shop
) -> None:
    hidden = reports.shop(seed_site(database, tenant))
    anna = uuid4()
    hidden.visit(anna, START)
    shop.visit(anna, START + timedelta(hours=1))
    async with reports.counting(tenant, Role.SITE_MANAGER, site_ids=[shop.id]) as stub:
        (visit,) = await rows_of(stub.ExportVisits(visits_request()))
        (day, *_) = await rows_of(stub.ExportVisitorSeries(series_request()))
    assert (visit["site_id"], visit["is_new"], day["visits"]) == (str(shop.id), "false", "1")
    async with reports.counting(seed_tenant(database, name="Rival")) as stub:
        assert await rows_of(stub.ExportVisits(visits_request())) == []


@pytest.mark.parametrize(
    ("length", "expected"),
    [(timedelta(days=366, seconds=1), "RANGE_TOO_LARGE"), (timedelta(), "INVALID_FIELD")],
)
async def test_a_range_beyond_a_year_or_backwards_is_refused(
    reports: RunningReports, tenant: SeededTenant, length: timedelta, expected: str
) -> None:
    async with reports.counting(tenant) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await rows_of(stub.ExportVisits(visits_request(end_time=stamp(START + length))))
        assert reason(refused.value) == expected
        leap_year = visits_request(end_time=stamp(START + timedelta(days=366)))
        assert await rows_of(stub.ExportVisits(leap_year)) == []


async def test_a_series_without_end_is_refused_in_an_export_too(
    reports: RunningReports, tenant: SeededTenant, shop: Shop
) -> None:
    request = series_request()
    request.grain = report_pb2.GRAIN_HOUR
    request.end_time.FromDatetime(START + timedelta(days=300))
    async with reports.counting(tenant) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await rows_of(stub.ExportVisitorSeries(request))
    assert (reason(refused.value), fields(refused.value)) == ("RANGE_TOO_LARGE", ["end_time"])
