"""GetDistribution: every dimension is what a loop over the visits would find."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Hashable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
from footfall.reports.v1 import report_pb2

from mesh.access import Role
from mesh.tls import Tls
from tests.support import reports_oracle as oracle
from tests.support.database import TestDatabase
from tests.support.mesh import reason
from tests.support.reports import RunningReports, lay_world, running_reports, stamp
from tests.support.reports_oracle import Stay
from tests.support.seed import SeededTenant, seed_site, seed_tenant

START = datetime(2026, 3, 9, 12, tzinfo=UTC)  # a Monday


@pytest.fixture
async def reports(database: TestDatabase, peers: Callable[[str], Tls]) -> AsyncIterator[RunningReports]:
    async with running_reports(database, peers) as running:
        yield running


@pytest.fixture
def tenant(database: TestDatabase) -> SeededTenant:
    return seed_tenant(database)


async def spread(
    reports: RunningReports,
    tenant: SeededTenant,
    dimension: str,
    *sites: UUID,
    start: datetime = START,
    days: int = 14,
    role: Role = Role.TENANT_ADMIN,
    **claims: Any,
) -> report_pb2.GetDistributionResponse:
    async with reports.counting(tenant, role, **claims) as stub:
        answer: report_pb2.GetDistributionResponse = await stub.GetDistribution(
            report_pb2.GetDistributionRequest(
                start_time=stamp(start),
                end_time=stamp(start + timedelta(days=days)),
                dimension=report_pb2.Dimension.Value(f"DIMENSION_{dimension}"),
                site_ids=map(str, sites),
            )
        )
    return answer


def bars(answer: report_pb2.GetDistributionResponse) -> dict[str, tuple[int, int]]:
    """The bins in which somebody came: visits and people."""
    return {one.key: (one.visits, one.unique_visitors) for one in answer.bins if one.visits}


def truth(stays: list[Stay], key: Callable[[Stay], Hashable]) -> dict[Hashable, tuple[int, int]]:
    held: dict[Hashable, list[Stay]] = defaultdict(list)
    for stay in stays:
        held[key(stay)].append(stay)
    return {found: (len(theirs), len({stay.customer_id for stay in theirs})) for found, theirs in held.items()}


def from_how_many_on(edges: list[int], value: float) -> str:
    return str(max(edge for edge in edges if edge <= value))


@pytest.mark.parametrize("seed", range(2))
async def test_every_dimension_agrees_with_the_sightings(
    reports: RunningReports, database: TestDatabase, tenant: SeededTenant, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 (the same in every run)
    zones = ["Europe/Vienna", "America/New_York"]
    seeded = [tenant, seed_site(database, tenant, time_zone=zones[1])]
    shops = [reports.shop(one, zone) for one, zone in zip(seeded, zones, strict=True)]
    lay_world(chance, shops, START - timedelta(days=10), days=24, people=40)
    everything = oracle.stays(shops)
    first = {stay.customer_id: stay for stay in reversed(everything)}
    last_day = (START + timedelta(days=14)).date()
    for scope in ([], [shops[1].id]):
        inside = [
            stay
            for stay in everything
            if stay.site_id in (scope or [shop.id for shop in shops]) and START.date() <= stay.local_date <= last_day
        ]
        often = Counter(stay.customer_id for stay in inside)
        camera_of = {shop.id: str(shop.seeded.camera_id) for shop in shops}
        expected: dict[str, Callable[[Stay], Hashable]] = {
            "HOUR_OF_DAY": lambda stay: f"{stay.local_start.hour:02}",
            "WEEKDAY": lambda stay: str(stay.local_date.isoweekday()),
            "WEEKDAY_HOUR": lambda stay: f"{stay.local_date.isoweekday()}T{stay.local_start.hour:02}",
            "SITE": lambda stay: str(stay.site_id),
            "CAMERA": lambda stay, camera_of=camera_of: camera_of[stay.site_id],  # type: ignore[misc]
            "DWELL": lambda stay: (
                "unknown"
                if stay.dwell is None
                else from_how_many_on([0, 1, 5, 15, 30, 60, 120], stay.dwell.total_seconds() / 60)
            ),
            "FREQUENCY": lambda stay, often=often: from_how_many_on(  # type: ignore[misc]
                [1, 2, 3, 4, 5, 10], often[stay.customer_id]
            ),
            "NOVELTY": lambda stay: "new" if first[stay.customer_id] is stay else "returning",
        }
        for dimension, key in expected.items():
            answer = await spread(reports, tenant, dimension, *scope)
            assert bars(answer) == truth(inside, key), dimension
            assert (answer.visits, answer.unique_visitors) == (len(inside), len(often))
            shares = [one.share for one in answer.bins if one.HasField("share")]
            assert sum(shares) == pytest.approx(1)


@pytest.mark.parametrize(
    ("dimension", "keys"),
    [
        ("HOUR_OF_DAY", [f"{hour:02}" for hour in range(24)]),
        ("WEEKDAY", [str(day) for day in range(1, 8)]),
        ("WEEKDAY_HOUR", [f"{day}T{hour:02}" for day in range(1, 8) for hour in range(24)]),
        ("DWELL", ["0", "1", "5", "15", "30", "60", "120", "unknown"]),
        ("FREQUENCY", ["1", "2", "3", "4", "5", "10"]),
        ("NOVELTY", ["new", "returning"]),
        ("GENDER", ["female", "male", "other", "unknown"]),
    ],
)
async def test_every_key_is_there_in_its_order_also_the_empty_ones(
    reports: RunningReports, tenant: SeededTenant, dimension: str, keys: list[str]
) -> None:
    dark = await spread(reports, tenant, dimension)
    assert [one.key for one in dark.bins] == keys
    assert not any(one.HasField("visits") or one.HasField("share") for one in dark.bins)
    assert not dark.HasField("visits")
    nowhere = await spread(reports, tenant, dimension, role=Role.SITE_MANAGER, site_ids=[])
    assert [one.key for one in nowhere.bins] == keys


async def test_hours_that_were_never_watched_are_absent_and_watched_ones_are_zero(
    reports: RunningReports, tenant: SeededTenant
) -> None:
    shop = reports.shop(tenant)
    shop.watch("2026-03-10 09:00", "2026-03-10 11:00")
    shop.watch("2026-03-11 02:00", "2026-03-11 03:00")  # the night of Tuesday
    shop.visit(uuid4(), "2026-03-10 12:10")
    hours = await spread(reports, tenant, "HOUR_OF_DAY", start=datetime(2026, 3, 10, 12, tzinfo=UTC), days=1)
    assert {one.key: one.visits for one in hours.bins if one.HasField("visits")} == {
        "02": 0,
        "09": 0,
        "10": 0,
        "12": 1,
    }
    weekdays = await spread(reports, tenant, "WEEKDAY", days=7)
    assert {one.key: one.visits for one in weekdays.bins if one.HasField("visits")} == {"2": 1}
    both = await spread(reports, tenant, "WEEKDAY_HOUR", days=7)
    assert {one.key for one in both.bins if one.HasField("visits")} == {"2T02", "2T09", "2T10", "2T12"}


async def test_sites_and_cameras_come_by_visits_most_first(
    reports: RunningReports, database: TestDatabase, tenant: SeededTenant
) -> None:
    quiet, busy = reports.shop(tenant), reports.shop(seed_site(database, tenant))
    dark = reports.shop(seed_site(database, tenant))
    side = busy.camera()
    quiet.visit(uuid4(), START)
    for number in range(3):
        busy.visit(uuid4(), START + timedelta(hours=number), camera_id=side)
    sites = await spread(reports, tenant, "SITE")
    assert [(one.key, one.visits) for one in sites.bins] == [(str(busy.id), 3), (str(quiet.id), 1), (str(dark.id), 0)]
    assert not sites.bins[2].HasField("visits")
    cameras = await spread(reports, tenant, "CAMERA")
    assert [(one.key, one.visits) for one in cameras.bins] == [(str(side), 3), (str(quiet.seeded.camera_id), 1)]


async def test_gender_is_what_staff_entered_else_what_most_sightings_say(
    reports: RunningReports, tenant: SeededTenant
) -> None:
    shop = reports.shop(tenant)
    seen, entered, nobody = uuid4(), uuid4(), uuid4()
    for customer in (seen, entered, nobody):
        shop.visit(customer, START, minutes=5)
    reports.connection.execute(
        "UPDATE face_events SET gender = 'FEMALE' WHERE customer_id = ANY(%s)", ([seen, entered],)
    )
    reports.connection.execute(
        "INSERT INTO customers (tenant_id, id, state, gender) VALUES (%s, %s, 'ACTIVE', 'OTHER')",
        (tenant.tenant_id, entered),
    )
    answer = await spread(reports, tenant, "GENDER")
    assert bars(answer) == {"female": (1, 1), "other": (1, 1), "unknown": (1, 1)}


async def test_a_site_manager_sees_the_spread_of_his_sites_alone_and_foreign_sites_do_not_exist(
    reports: RunningReports, database: TestDatabase, tenant: SeededTenant
) -> None:
    his, other = reports.shop(tenant), reports.shop(seed_site(database, tenant))
    anna = uuid4()
    other.visit(anna, START)
    his.visit(anna, START + timedelta(hours=1))
    claims: dict[str, Any] = {"role": Role.SITE_MANAGER, "site_ids": [his.id]}
    assert bars(await spread(reports, tenant, "NOVELTY", **claims)) == {"returning": (1, 1)}
    assert bars(await spread(reports, tenant, "SITE", **claims)) == {str(his.id): (1, 1)}
    for foreign in (other.id, seed_tenant(database, name="Rival").site_id):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await spread(reports, tenant, "SITE", foreign, **claims)
        assert reason(refused.value) == "NOT_FOUND"


async def test_anonymous_sites_are_not_spread(reports: RunningReports, database: TestDatabase) -> None:
    tenant = seed_tenant(database, privacy_mode="ANONYMOUS")
    shop = reports.shop(tenant)
    shop.watch(START, START + timedelta(hours=2))
    shop.pass_by(START)
    answer = await spread(reports, tenant, "HOUR_OF_DAY")
    assert not any(one.HasField("visits") for one in answer.bins)
    assert not answer.HasField("visits")
