"""Rows that most tests start from: a tenant with a site, a camera, a worker and a lease epoch."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

import psycopg

from mesh.ids import TenantId
from tests.support.database import TestDatabase

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class SeededTenant:
    """What was laid out; every id is fresh."""

    tenant_id: TenantId
    site_id: UUID
    camera_id: UUID
    worker_id: UUID


def seed_tenant(
    database: TestDatabase, *, name: str = "Acme", time_zone: str = "Europe/Vienna", privacy_mode: str = "FULL"
) -> SeededTenant:
    """A tenant with one site, one entrance camera and one worker, who has held its epoch 1 since 2020."""
    seeded = SeededTenant(TenantId(uuid4()), uuid4(), uuid4(), uuid4())
    with database.superuser() as connection:
        connection.execute("INSERT INTO tenants (id, display_name) VALUES (%s, %s)", (seeded.tenant_id, name))
        connection.execute("INSERT INTO tenant_ids (id) VALUES (%s)", (seeded.tenant_id,))
        _seed_site(connection, seeded, time_zone, privacy_mode)
        _seed_camera(connection, seeded)
    return seeded


def seed_site(database: TestDatabase, tenant: SeededTenant, *, time_zone: str = "Europe/Vienna") -> SeededTenant:
    """Another site of the same tenant, with a camera and a worker of its own."""
    seeded = SeededTenant(tenant.tenant_id, uuid4(), uuid4(), uuid4())
    with database.superuser() as connection:
        _seed_site(connection, seeded, time_zone, "FULL")
        _seed_camera(connection, seeded)
    return seeded


def _seed_site(connection: psycopg.Connection, seeded: SeededTenant, time_zone: str, privacy_mode: str) -> None:
    connection.execute(
        "INSERT INTO sites (tenant_id, id, display_name, time_zone, privacy_mode) VALUES (%s, %s, 'Shop', %s, %s)",
        (seeded.tenant_id, seeded.site_id, time_zone, privacy_mode),
    )
    connection.execute(
        "INSERT INTO site_rules (tenant_id, site_id, effective_time) VALUES (%s, %s, %s)",
        (seeded.tenant_id, seeded.site_id, LONG_AGO),
    )


def _seed_camera(connection: psycopg.Connection, seeded: SeededTenant) -> None:
    connection.execute(
        "INSERT INTO workers (tenant_id, id, site_id, display_name) VALUES (%s, %s, %s, 'Mac mini')",
        (seeded.tenant_id, seeded.worker_id, seeded.site_id),
    )
    connection.execute(
        "INSERT INTO cameras (tenant_id, id, site_id, display_name, source_uri)"
        " VALUES (%s, %s, %s, 'Door', 'rtsp://camera.invalid/1')",
        (seeded.tenant_id, seeded.camera_id, seeded.site_id),
    )
    connection.execute(
        "INSERT INTO leases"
        " (tenant_id, camera_id, site_id, state, epoch, worker_id, generation, outage_policy, grant_time)"
        " VALUES (%s, %s, %s, 'ACTIVE', 1, %s, 1, 'PINNED', %s)",
        (seeded.tenant_id, seeded.camera_id, seeded.site_id, seeded.worker_id, LONG_AGO),
    )
    connection.execute(
        "INSERT INTO lease_epochs (tenant_id, camera_id, epoch, site_id, worker_id, generation, grant_time)"
        " VALUES (%s, %s, 1, %s, %s, 1, %s)",
        (seeded.tenant_id, seeded.camera_id, seeded.site_id, seeded.worker_id, LONG_AGO),
    )
