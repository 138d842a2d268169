"""After a new master key: encrypts the cameras' passwords with it, so that the old key may go."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.database import Database, Tx
from mesh.ids import TenantId
from mesh.keyring import KeyRing
from svc_registry.directory.cameras import store
from svc_registry.directory.cameras.credentials import seal, unseal
from svc_registry.directory.tenants.store import list_tenant_ids


@dataclass(frozen=True, slots=True)
class Resealing:
    """Background work, tenant by tenant; several replicas do no harm.

    Attributes:
        database: as svc_registry.
        ring: its first key seals.
    """

    database: Database
    ring: KeyRing

    async def run(self) -> None:
        """Looks at every camera once."""
        for tenant_id in await self.database.run(None, list_tenant_ids, read_only=True):
            await self._tenant(tenant_id)

    async def _tenant(self, tenant_id: TenantId) -> None:
        async def work(tx: Tx) -> None:
            for camera_id, sealed in await store.list_credentials(tx):
                if not self.ring.is_current(sealed):
                    fresh = seal(self.ring, camera_id, unseal(self.ring, camera_id, sealed))
                    await store.replace_credentials(tx, camera_id, sealed, fresh)

        await self.database.run(tenant_id, work)
