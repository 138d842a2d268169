"""TenantService, between protobuf and the domain."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from footfall.registry.v1 import tenant_pb2

from mesh.access import Role
from mesh.auth import Caller, current_caller
from mesh.clock import Clock
from mesh.database import Tx
from mesh.errors import InvalidField
from mesh.ids import SYSTEM_TENANT_ID, TenantId
from mesh.interceptors.base import Context
from mesh.paging import PageTokens, page_size
from mesh.wire import timestamp
from svc_registry.directory.tenants import store
from svc_registry.directory.tenants.domain import MONDAY, MatchPolicy, Tenant, TenantSettings
from svc_registry.directory.tenants.service import Tenants
from svc_registry.transactions import Transactions
from svc_registry.wire import merged


class TenantServicer:
    """The RPCs of TenantService."""

    def __init__(self, tenants: Tenants, transactions: Transactions, pages: PageTokens, clock: Clock) -> None:
        self._tenants = tenants
        self._transactions = transactions
        self._pages = pages
        self._clock = clock

    async def ListTenants(
        self, request: tenant_pb2.ListTenantsRequest, _context: Context
    ) -> tenant_pb2.ListTenantsResponse:
        size = page_size(request.page_size)
        position = self._pages.decode(request, None)

        async def work(tx: Tx, _caller: Caller) -> list[Tenant]:
            after = position[0] if position else None
            return await store.list_tenants(tx, self._clock.now(), after, size + 1, show_deleted=request.show_deleted)

        found = await self._transactions.read(work, SYSTEM_TENANT_ID)
        response = tenant_pb2.ListTenantsResponse(tenants=[to_proto(tenant) for tenant in found[:size]])
        if len(found) > size:
            response.next_page_token = self._pages.encode(request, None, [found[size - 1].id])
        return response

    async def GetTenant(self, request: tenant_pb2.GetTenantRequest, _context: Context) -> tenant_pb2.GetTenantResponse:
        tenant_id = TenantId(UUID(request.id))
        # A tenant's people look from within it, where every other tenant is absent.
        scope = SYSTEM_TENANT_ID if current_caller().role is Role.SYSTEM_ADMIN else None
        tenant = await self._transactions.read(lambda tx, _caller: self._tenants.get(tx, tenant_id), scope)
        return tenant_pb2.GetTenantResponse(tenant=to_proto(tenant))

    async def CreateTenant(
        self, request: tenant_pb2.CreateTenantRequest, _context: Context
    ) -> tenant_pb2.CreateTenantResponse:
        display_name, settings = request.tenant.display_name, settings_of(request.tenant.settings)

        async def work(tx: Tx, caller: Caller) -> tenant_pb2.CreateTenantResponse:
            tenant = await self._tenants.create(tx, caller, display_name, settings)
            return tenant_pb2.CreateTenantResponse(tenant=to_proto(tenant))

        return await self._transactions.write(request, tenant_pb2.CreateTenantResponse, work)

    async def UpdateTenant(
        self, request: tenant_pb2.UpdateTenantRequest, _context: Context
    ) -> tenant_pb2.UpdateTenantResponse:
        def change(before: Tenant) -> Tenant:
            wanted = merged("tenant", to_proto(before), request.tenant, request.update_mask)
            if not wanted.display_name:
                raise InvalidField("tenant.display_name", "must not be empty")
            return replace(before, display_name=wanted.display_name, settings=settings_of(wanted.settings))

        async def work(tx: Tx, caller: Caller) -> tenant_pb2.UpdateTenantResponse:
            tenant = await self._tenants.update(tx, caller, TenantId(UUID(request.tenant.id)), change)
            return tenant_pb2.UpdateTenantResponse(tenant=to_proto(tenant))

        return await self._transactions.write(request, tenant_pb2.UpdateTenantResponse, work)

    async def DeleteTenant(
        self, request: tenant_pb2.DeleteTenantRequest, _context: Context
    ) -> tenant_pb2.DeleteTenantResponse:
        async def work(tx: Tx, caller: Caller) -> tenant_pb2.DeleteTenantResponse:
            tenant = await self._tenants.delete(tx, caller, TenantId(UUID(request.id)))
            return tenant_pb2.DeleteTenantResponse(tenant=to_proto(tenant))

        return await self._transactions.write(request, tenant_pb2.DeleteTenantResponse, work)

    async def UndeleteTenant(
        self, request: tenant_pb2.UndeleteTenantRequest, _context: Context
    ) -> tenant_pb2.UndeleteTenantResponse:
        async def work(tx: Tx, caller: Caller) -> tenant_pb2.UndeleteTenantResponse:
            tenant = await self._tenants.undelete(tx, caller, TenantId(UUID(request.id)))
            return tenant_pb2.UndeleteTenantResponse(tenant=to_proto(tenant))

        return await self._transactions.write(request, tenant_pb2.UndeleteTenantResponse, work)


def settings_of(wanted: tenant_pb2.TenantSettings) -> TenantSettings:
    """The settings of a request, defaults filled in."""
    defaults = TenantSettings()
    return TenantSettings(
        first_day_of_week=wanted.first_day_of_week or MONDAY,
        image_retention_days=(
            wanted.image_retention_days if wanted.HasField("image_retention_days") else defaults.image_retention_days
        ),
        embedding_retention_days=(
            wanted.embedding_retention_days
            if wanted.HasField("embedding_retention_days")
            else defaults.embedding_retention_days
        ),
        allow_global_search=wanted.allow_global_search,
        embedding_spaces=tuple(wanted.embedding_spaces),
        match_policies=tuple(
            MatchPolicy(
                policy.embedding_space,
                policy.threshold if policy.HasField("threshold") else None,
                policy.founding_quality if policy.HasField("founding_quality") else None,
            )
            for policy in wanted.match_policies
        ),
    )


def to_proto(tenant: Tenant) -> tenant_pb2.Tenant:
    """The tenant as the contract has it."""
    settings, deleted = tenant.settings, tenant.delete_time is not None
    return tenant_pb2.Tenant(
        id=str(tenant.id),
        display_name=tenant.display_name,
        settings=tenant_pb2.TenantSettings(
            first_day_of_week=settings.first_day_of_week,  # type: ignore[arg-type]  # ISO 8601 numbers, as the enum's
            image_retention_days=settings.image_retention_days,
            embedding_retention_days=settings.embedding_retention_days,
            allow_global_search=settings.allow_global_search,
            embedding_spaces=settings.embedding_spaces,
            match_policies=[
                tenant_pb2.MatchPolicy(
                    embedding_space=policy.embedding_space,
                    threshold=policy.threshold,
                    founding_quality=policy.founding_quality,
                )
                for policy in settings.match_policies
            ],
        ),
        state=tenant_pb2.TENANT_STATE_DELETED if deleted else tenant_pb2.TENANT_STATE_ACTIVE,
        create_time=timestamp(tenant.create_time),
        update_time=timestamp(tenant.update_time),
        delete_time=timestamp(tenant.delete_time),
        purge_time=timestamp(tenant.purge_time),
    )
