"""What follows the sightings: customers become ACTIVE, their times move on, and whoever was never seen is removed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from typing import Final, TypeAlias
from uuid import UUID

import structlog
from sqlalchemy import select

from mesh import telemetry
from mesh.clock import Clock
from mesh.database import Database, Tx
from mesh.ids import CustomerId, TenantId
from schema.registry import tenant_ids
from svc_identity import outbox
from svc_identity.customers import store

#: Customers of one transaction.
BATCH: Final = 500
#: A sighting is committed so soon after its decision, or else the daily look at everybody finds it.
SECONDS_TO_COMMIT: Final = 60.0

_NOBODY: Final = CustomerId(UUID(int=0))
_PageOf: TypeAlias = Callable[[Tx, CustomerId, int], Awaitable[list[CustomerId]]]

_log = structlog.get_logger(__name__)
_removed = telemetry.counter("customers_left_over", "Customers removed because no sighting of theirs was committed", [])


class Housekeeping:
    """Safe to run in several replicas.

    Args:
        database: as svc_identity.
        clock: of how long ago somebody was matched.
        left_over_after: how long a customer may wait for its first sighting's commit.
    """

    def __init__(self, database: Database, clock: Clock, *, left_over_after: timedelta) -> None:
        self._database = database
        self._clock = clock
        self._left_over_after = left_over_after
        self._matched: dict[TenantId, dict[CustomerId, float]] = {}

    def matched(self, tenant_id: TenantId, customer_ids: Iterable[CustomerId]) -> None:
        """Note that faces were just taken for these: their sightings are about to be committed elsewhere."""
        now = self._clock.monotonic()
        self._matched.setdefault(tenant_id, {}).update(dict.fromkeys(customer_ids, now))

    async def turn(self) -> None:
        """Follows the sightings of whoever was matched lately or is still provisional; removes leftovers."""
        for tenant_id in await self._tenants():
            await self._follow_matched(tenant_id)
            await self._follow(tenant_id, store.provisional)
            await self._remove_left_over(tenant_id)

    async def everybody(self) -> None:
        """Follows the sightings of every customer: what restarts and late spools left behind."""
        for tenant_id in await self._tenants():
            await self._follow(tenant_id, store.everybody)

    async def _tenants(self) -> list[TenantId]:
        async with self._database.transaction(None, read_only=True) as tx:
            return [TenantId(id_) for id_ in await tx.scalars(select(tenant_ids.c.id))]

    async def _follow_matched(self, tenant_id: TenantId) -> None:
        noted = self._matched.pop(tenant_id, {})
        ids = sorted(noted)
        for start in range(0, len(ids), BATCH):
            async with self._database.transaction(tenant_id) as tx:
                await store.follow_sightings(tx, ids[start : start + BATCH])
        oldest = self._clock.monotonic() - SECONDS_TO_COMMIT
        young = {id_: at for id_, at in noted.items() if at > oldest}
        if young:
            self._matched[tenant_id] = young | self._matched.get(tenant_id, {})

    async def _follow(self, tenant_id: TenantId, page_of: _PageOf) -> None:
        after = _NOBODY
        while True:
            async with self._database.transaction(tenant_id) as tx:
                ids = await page_of(tx, after, BATCH)
                await store.follow_sightings(tx, ids)
            if len(ids) < BATCH:
                return
            after = ids[-1]

    async def _remove_left_over(self, tenant_id: TenantId) -> None:
        while True:
            async with self._database.transaction(tenant_id) as tx:
                count, gone = await store.remove_left_over(tx, self._left_over_after, BATCH)
                await outbox.forget_vectors(tx, tenant_id, gone)
            if count:
                _removed.inc(count)
                _log.info("left_over_removed", tenant_id=str(tenant_id), customers=count)
            if count < BATCH:
                return
