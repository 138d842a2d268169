"""svc_reports in this process, everything real, and rows for it to count.

async with running_reports(database, peers) as reports:
    shop = reports.shop(tenant)
    shop.visit(customer, "2026-03-10 10:00", minutes=20)
    async with reports.counting(tenant) as stub:
        series = await stub.GetVisitorSeries(...)
"""

from __future__ import annotations

import base64
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import psycopg
from footfall.reports.v1 import report_pb2, report_pb2_grpc, visit_pb2_grpc
from google.protobuf.timestamp_pb2 import Timestamp
from psycopg.types.json import Jsonb

from mesh.access import Role
from mesh.clock import Clock, SystemClock
from mesh.ids import SystemIds
from mesh.server import Server, running
from mesh.tls import Tls
from svc_reports.settings import ReportsSettings
from svc_reports.wiring import NAME, assemble
from tests.support.database import TestDatabase
from tests.support.fold_oracle import Sighting
from tests.support.folding import Place, write
from tests.support.mesh import TokenIssuer, connect
from tests.support.seed import SeededTenant

MASTER_KEYS = "test:" + base64.b64encode(bytes(range(32))).decode()
QUARTER = timedelta(minutes=15)
IDS = SystemIds()


def stamp(at: datetime) -> Timestamp:
    """An aware time as protobuf has it."""
    message = Timestamp()
    message.FromDatetime(at)
    return message


@dataclass
class Shop:
    """A site of a test, where people come and cameras watch. Its clock is the wall's: "2026-03-10 10:00"."""

    connection: psycopg.Connection
    seeded: SeededTenant
    time_zone: str
    sightings: list[tuple[UUID, Sighting]] = field(default_factory=list)

    @property
    def id(self) -> UUID:
        return self.seeded.site_id

    def instant(self, clock: str | datetime) -> datetime:
        """When the wall's clock shows this; aware times as they are."""
        if isinstance(clock, datetime):
            return clock
        return datetime.fromisoformat(clock).replace(tzinfo=ZoneInfo(self.time_zone)).astimezone(UTC)

    def visit(
        self, customer_id: UUID, start: str | datetime, *, minutes: float = 0, camera_id: UUID | None = None
    ) -> None:
        """One sighting, or two when the customer stays for some minutes, and the fold of them."""
        at = self.instant(start)
        looks = [Sighting(IDS.uuid7(at), at, at)]
        if minutes:
            end = at + timedelta(minutes=minutes)
            looks.append(Sighting(IDS.uuid7(end), end, end))
        self.see(customer_id, *looks, camera_id=camera_id)

    def see(self, customer_id: UUID, *looks: Sighting, camera_id: UUID | None = None) -> None:
        """Sightings of one customer, folded."""
        place = Place(self.seeded.tenant_id, self.id, camera_id or self.seeded.camera_id)
        write(self.connection, place, customer_id, looks)
        self.sightings += ((customer_id, look) for look in looks)

    def watch(
        self,
        start: str | datetime,
        end: str | datetime,
        *,
        camera_id: UUID | None = None,
        share: float = 1.0,
        seen: int = 0,
        usable: int = 0,
    ) -> None:
        """A camera watches this share of every quarter of an hour of [start, end)."""
        at, until = self.instant(start), self.instant(end)
        rows = []
        while at < until:
            rows.append(
                (
                    *(self.seeded.tenant_id, camera_id or self.seeded.camera_id, at, uuid4(), self.id),
                    *(int(share * 900_000), seen, usable),
                )
            )
            at += QUARTER
        self.connection.cursor().executemany(
            "INSERT INTO coverage_slices (tenant_id, camera_id, start_time, epoch, boot_id, site_id, watched_ms,"
            " faces_seen, faces_usable) VALUES (%s, %s, %s, 1, %s, %s, %s, %s, %s)",
            rows,
        )

    def pass_by(self, at: str | datetime) -> None:
        """A passage at an anonymous site."""
        start = self.instant(at)
        self.connection.execute(
            "INSERT INTO face_events (tenant_id, id, site_id, camera_id, lease_epoch, capture_time, track_start_time,"
            " track_end_time, quality, verdict) VALUES (%s, %s, %s, %s, 1, %s, %s, %s, 0.5, 'ANONYMOUS')",
            (self.seeded.tenant_id, IDS.uuid7(start), self.id, self.seeded.camera_id, start, start, start),
        )

    def opens(
        self,
        hours: Mapping[int, tuple[int, int]],
        *,
        closed: tuple[date, ...] = (),
        effective: datetime = datetime(2020, 1, 1, tzinfo=UTC),
    ) -> None:
        """Opening hours by ISO weekday, in minutes after midnight, from a time on."""
        names = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
        spans = [
            {"weekday": f"WEEKDAY_{names[day - 1]}", "openMinute": opens, "closeMinute": closes}
            for day, (opens, closes) in hours.items()
        ]
        document = {"spans": spans, "closedDates": [day.isoformat() for day in closed]}
        self.connection.execute(
            "INSERT INTO site_rules (tenant_id, site_id, effective_time, opening_hours) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (tenant_id, site_id, effective_time) DO UPDATE SET opening_hours = excluded.opening_hours",
            (self.seeded.tenant_id, self.id, effective, Jsonb(document)),
        )

    def camera(self, role: str = "ENTRANCE", *, created: str | datetime = "2020-01-01 00:00") -> UUID:
        """Another camera of the site."""
        camera_id = uuid4()
        self.connection.execute(
            "INSERT INTO cameras (tenant_id, id, site_id, display_name, source_uri, role, create_time)"
            " VALUES (%s, %s, %s, 'Another', 'rtsp://camera.invalid/2', %s, %s)",
            (self.seeded.tenant_id, camera_id, self.id, role, self.instant(created)),
        )
        return camera_id


def lay_world(chance: random.Random, shops: list[Shop], first: datetime, days: int, people: int) -> None:
    """People who come once, come back, wander between the shops, and stay for a while or not."""
    for _ in range(people):
        customer = uuid4()
        for shop in chance.sample(shops, chance.randint(1, len(shops))):
            looks = []
            for _ in range(chance.choice([1, 1, 2, 3, 6])):
                start = first + timedelta(seconds=chance.randrange(days * 86_400))
                for _ in range(chance.randint(1, 3)):
                    end = start + timedelta(seconds=chance.choice([0, 5, 11, 60, 600]))
                    looks.append(Sighting(IDS.uuid7(start), start, end))
                    start = end + timedelta(minutes=chance.choice([1, 29, 30, 31, 200]))
            shop.see(customer, *looks)


@dataclass
class RunningReports:
    """svc_reports, and ways to reach it."""

    server: Server
    issuer: TokenIssuer
    peers: Callable[[str], Tls]
    database: TestDatabase
    connection: psycopg.Connection

    def shop(self, seeded: SeededTenant, time_zone: str = "Europe/Vienna") -> Shop:
        """Where rows are laid. Its entrance camera has been there for long."""
        self.connection.execute("UPDATE cameras SET create_time = '2020-01-01' WHERE id = %s", (seeded.camera_id,))
        return Shop(self.connection, seeded, time_zone)

    @asynccontextmanager
    async def counting(self, tenant: SeededTenant, role: Role = Role.TENANT_ADMIN, **claims: Any) -> AsyncIterator[Any]:
        """A stub of ReportService."""
        token = self.issuer.token(role, tenant_id=tenant.tenant_id, **claims)
        async with connect(f"127.0.0.1:{self.server.port}", NAME, self.peers("gateway"), token=token) as channel:
            yield report_pb2_grpc.ReportServiceStub(channel)

    @asynccontextmanager
    async def visits(self, tenant: SeededTenant, role: Role = Role.TENANT_ADMIN, **claims: Any) -> AsyncIterator[Any]:
        """A stub of VisitService."""
        token = self.issuer.token(role, tenant_id=tenant.tenant_id, **claims)
        async with connect(f"127.0.0.1:{self.server.port}", NAME, self.peers("gateway"), token=token) as channel:
            yield visit_pb2_grpc.VisitServiceStub(channel)

    async def series(
        self,
        tenant: SeededTenant,
        grain: str,
        start: datetime,
        end: datetime,
        *sites: UUID,
        role: Role = Role.TENANT_ADMIN,
        **claims: Any,
    ) -> report_pb2.GetVisitorSeriesResponse:
        """GetVisitorSeries, asked once."""
        async with self.counting(tenant, role, **claims) as stub:
            answer: report_pb2.GetVisitorSeriesResponse = await stub.GetVisitorSeries(
                report_pb2.GetVisitorSeriesRequest(
                    start_time=stamp(start),
                    end_time=stamp(end),
                    grain=report_pb2.Grain.Value(f"GRAIN_{grain}"),
                    site_ids=map(str, sites),
                )
            )
        return answer


@asynccontextmanager
async def running_reports(
    database: TestDatabase, peers: Callable[[str], Tls], clock: Clock | None = None, **settings: Any
) -> AsyncIterator[RunningReports]:
    """The real service on a free port of loopback: mTLS, tokens, PostgreSQL."""
    clock = clock or SystemClock()
    issuer = TokenIssuer(clock)
    tls = peers(NAME)
    given = ReportsSettings(
        **{
            "listen": "127.0.0.1:0",
            "metrics_listen": "127.0.0.1:0",
            "database_url": database.url("svc_reports"),
            "tls_ca": tls.ca,
            "tls_cert": tls.cert,
            "tls_key": tls.key,
            "master_keys": MASTER_KEYS,
            "registry_target": "127.0.0.1:1",
            **settings,
        }
    )
    with database.superuser() as connection:
        async with (
            assemble(given, clock, IDS, issuer.jwks) as service,
            running(service, tls=tls, clock=clock, grace=0.5) as server,
        ):
            yield RunningReports(server, issuer, peers, database, connection)
