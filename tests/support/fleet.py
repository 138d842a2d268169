"""A registry whose leases live for less than a second, and a shop in it with a worker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from footfall.registry.v1 import camera_pb2, site_pb2

from mesh.tls import Tls
from tests.support.database import TestDatabase
from tests.support.registry import Registry, Shop, running_registry

BRISK: Final = {
    "heartbeat_seconds": 0.1,
    "lease_stop_seconds": 0.6,
    "lease_ttl_seconds": 0.8,
    "renewal_batch_seconds": 0.05,
}


# For what has nothing to do with expiry: a late heartbeat on a busy machine costs no lease.
PATIENT: Final = {"heartbeat_seconds": 0.5, "lease_stop_seconds": 20, "lease_ttl_seconds": 30}


@asynccontextmanager
async def brisk_registry(
    database: TestDatabase, peers: Callable[[str], Tls], **changed: Any
) -> AsyncIterator[Registry]:
    """A registry whose leases live for 0.8 s."""
    async with running_registry(database, peers, settings={**BRISK, **changed}) as registry:
        yield registry


@dataclass
class Fleet:
    """A shop with one site.

    Attributes:
        token: of the first worker.
    """

    registry: Registry
    shop: Shop
    site: site_pb2.Site
    worker_id: str
    key_id: str
    token: str

    async def camera(self, name: str = "Door", **fields: Any) -> camera_pb2.Camera:
        """A new camera at the site."""
        return await self.shop.camera(self.site.id, name, **fields)

    async def another_worker(self, name: str = "Second") -> tuple[str, str]:
        """Id and token of one more worker of the site."""
        made = await self.shop.worker_key(self.site.id, name)
        return made.api_key.worker_id, (await self.registry.by_api_key(made.secret)).access_token


async def fleet(registry: Registry) -> Fleet:
    """A new tenant with a site and a worker."""
    shop = await registry.tenant()
    site = await shop.site()
    made = await shop.worker_key(site.id)
    token = (await registry.by_api_key(made.secret)).access_token
    return Fleet(registry, shop, site, made.api_key.worker_id, made.api_key.id, token)


def epochs(database: TestDatabase, camera_id: str) -> list[tuple[int, str, bool, str | None]]:
    """Every epoch of a camera: number, worker, whether it has ended, and why."""
    with database.superuser() as connection:
        rows = connection.execute(
            "SELECT epoch, worker_id::text, end_time IS NOT NULL, end_reason FROM lease_epochs"
            " WHERE camera_id = %s ORDER BY epoch",
            (camera_id,),
        )
        return [tuple(row) for row in rows]


def worker_state(database: TestDatabase, worker_id: str) -> str:
    """A worker's state as stored."""
    with database.superuser() as connection:
        row = connection.execute("SELECT state FROM workers WHERE id = %s", (worker_id,)).fetchone()
        return str(row[0]) if row else ""
