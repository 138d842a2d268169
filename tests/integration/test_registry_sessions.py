"""A worker's session, over real gRPC and mTLS with a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from mesh.tls import Tls
from tests.support.database import TestDatabase
from tests.support.registry import Registry, Shop, running_registry
from tests.support.waiting import until
from tests.support.worker import worker

BRISK = {
    "heartbeat_seconds": 0.1,
    "lease_stop_seconds": 0.5,
    "lease_ttl_seconds": 0.7,
    "renewal_batch_seconds": 0.05,
}


@asynccontextmanager
async def brisk_registry(
    database: TestDatabase, peers: Callable[[str], Tls], **changed: Any
) -> AsyncIterator[Registry]:
    """A registry whose leases live for 0.7 s."""
    async with running_registry(database, peers, settings={**BRISK, **changed}) as registry:
        yield registry


async def test_a_worker_that_says_hello_is_welcomed_and_gets_its_sites_camera(database, peers) -> None:
    async with brisk_registry(database, peers) as registry:
        shop = await registry.tenant()
        site = await shop.site()
        camera = await shop.camera(site.id)
        key = await shop.worker_key(site.id)
        token = (await registry.by_api_key(key.secret)).access_token
        async with worker(registry, token) as mac:
            assert mac.welcome.generation == 1
            await until(lambda: mac.watches(camera.id))
            assert mac.leases[camera.id].epoch == 1
