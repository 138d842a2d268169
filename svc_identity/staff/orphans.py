"""Pictures of staff that no row names: what a crash between the picture and its row left behind."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import select

from mesh.clock import Clock
from mesh.database import Database
from mesh.ids import TenantId, uuid7_time
from mesh.objects import ObjectStore
from schema.registry import tenant_ids
from svc_identity.staff import faces_store
from svc_identity.staff.faces import picture_prefix

#: A younger picture may be about to get its row.
GRACE: Final = timedelta(hours=1)
_BATCH: Final = 500

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Orphans:
    """
    Attributes:
        images: where pictures lie.
        clock: of their age, which their face's id tells.
    """

    database: Database
    images: ObjectStore
    clock: Clock

    async def sweep(self) -> None:
        """Removes them, tenant by tenant."""
        async with self.database.transaction(None, read_only=True) as tx:
            tenants = [TenantId(id_) for id_ in await tx.scalars(select(tenant_ids.c.id))]
        for tenant_id in tenants:
            await self._sweep(tenant_id)

    async def _sweep(self, tenant_id: TenantId) -> None:
        old = [key async for key in self.images.keys(picture_prefix(tenant_id)) if self._is_old(key)]
        for start in range(0, len(old), _BATCH):
            keys = old[start : start + _BATCH]
            async with self.database.transaction(tenant_id, read_only=True) as tx:
                known = await faces_store.known_keys(tx, keys)
            for key in keys:
                if key not in known:
                    await self.images.delete(key)
                    _log.info("orphan_removed", tenant_id=str(tenant_id))

    def _is_old(self, key: str) -> bool:
        try:
            made = uuid7_time(UUID(key.rpartition("/")[2].removesuffix(".png")))
        except ValueError:
            return False
        return self.clock.now() - made > GRACE
