"""The use cases of tenants. Each runs in the transaction that it is given, and enters the tenant in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol
from uuid import UUID

from mesh.access import Role
from mesh.audit import Audit
from mesh.auth import Caller
from mesh.clock import Clock
from mesh.database import Tx, notify
from mesh.errors import NotFound
from mesh.ids import Ids, TenantId
from svc_registry.directory.tenants import store
from svc_registry.directory.tenants.domain import UNDELETE_WITHIN, Tenant, TenantSettings, is_gone
from svc_registry.hints import DESIRED

_KIND: Final = "tenant"


class SessionsEnd(Protocol):
    """Ends sessions; AuthService's."""

    async def end(self, tx: Tx, reason: str) -> list[UUID]:
        """Ends every session of the tenant at hand."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenants:
    """
    Attributes:
        sessions: ends those of a deleted tenant.
        audit, clock, ids: given.
    """

    sessions: SessionsEnd
    audit: Audit
    clock: Clock
    ids: Ids

    async def get(self, tx: Tx, tenant_id: TenantId, *, locked: bool = False) -> Tenant:
        """One tenant.

        Raises:
            NotFound: there is none, or it is gone for ever, or the transaction may not see it.
        """
        tenant = await store.get_tenant(tx, tenant_id, lock=locked)
        if tenant is None or is_gone(tenant, self.clock.now()):
            raise NotFound(_KIND, tenant_id)
        return tenant

    async def create(self, tx: Tx, caller: Caller, display_name: str, settings: TenantSettings) -> Tenant:
        """Makes a tenant, without users."""
        tenant_id = TenantId(self.ids.uuid7())
        async with store.within(tx, tenant_id):
            await store.insert_tenant(tx, tenant_id, display_name, settings)
            await self._record(tx, caller, "tenant.create", tenant_id)
            return await self.get(tx, tenant_id)

    async def update(self, tx: Tx, caller: Caller, tenant_id: TenantId, change: Callable[[Tenant], Tenant]) -> Tenant:
        """Changes a tenant.

        Args:
            change: from what is stored to what shall be.

        Raises:
            NotFound: not the caller's tenant, or none at all.
        """
        _check_own(caller, tenant_id)
        async with store.within(tx, tenant_id):
            after = change(await self.get(tx, tenant_id, locked=True))
            await store.update_tenant(tx, tenant_id, after.display_name, after.settings)
            await self._record(tx, caller, "tenant.update", tenant_id)
            await notify(tx, DESIRED)
            return await self.get(tx, tenant_id)

    async def delete(self, tx: Tx, caller: Caller, tenant_id: TenantId) -> Tenant:
        """Locks a tenant out and ends its sessions. Once more: no change.

        Raises:
            NotFound: there is none.
        """
        async with store.within(tx, tenant_id):
            tenant = await self.get(tx, tenant_id, locked=True)
            if tenant.delete_time is None:
                now = self.clock.now()
                await store.set_deleted(tx, tenant_id, now, now + UNDELETE_WITHIN)
                ended = await self.sessions.end(tx, "tenant deleted")
                await self._record(tx, caller, "tenant.delete", tenant_id, sessions_ended=len(ended))
                await notify(tx, DESIRED)
            return await self.get(tx, tenant_id)

    async def undelete(self, tx: Tx, caller: Caller, tenant_id: TenantId) -> Tenant:
        """Takes a deletion back. What is not deleted stays as it is.

        Raises:
            NotFound: there is none, or its time is over.
        """
        async with store.within(tx, tenant_id):
            tenant = await self.get(tx, tenant_id, locked=True)
            if tenant.delete_time is not None:
                await store.set_deleted(tx, tenant_id, None, None)
                await self._record(tx, caller, "tenant.undelete", tenant_id)
                await notify(tx, DESIRED)
            return await self.get(tx, tenant_id)

    async def note_look(self, tx: Tx, caller: Caller, rpc: str) -> None:
        """A system_admin looks into the tenant that it has named: its people shall know.

        Raises:
            NotFound: there is no such tenant.
        """
        tenant = await self.get(tx, caller.tenant)
        await self._record(tx, caller, "tenant.look", tenant.id, rpc=rpc)

    async def _record(self, tx: Tx, caller: Caller, action: str, tenant_id: TenantId, **details: object) -> None:
        # In the tenant's own chain: its people shall see what was done to it.
        acting = replace(caller, tenant_id=tenant_id)
        await self.audit.record(tx, acting, action, target_kind=_KIND, target_id=tenant_id, details=details)


def _check_own(caller: Caller, tenant_id: TenantId) -> None:
    """A tenant's people have one tenant; every other is as absent."""
    if caller.role is not Role.SYSTEM_ADMIN and caller.tenant_id != tenant_id:
        raise NotFound(_KIND, tenant_id)
