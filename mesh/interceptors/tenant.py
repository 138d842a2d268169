"""Fourth: in which tenant? The token's; or the one in x-tenant-id, from whom that is believed. Never a message's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final, TypeAlias
from uuid import UUID

import structlog

from mesh.access import FRONT, Policy, Role, Rule, TenantFrom
from mesh.auth import Caller, current_cell
from mesh.errors import InvalidField, PermissionDenied
from mesh.ids import TenantId
from mesh.interceptors.auth import rule_of
from mesh.interceptors.base import Interceptor, Rpc, refuse
from mesh.interceptors.errors import understood

HEADER: Final = "x-tenant-id"
_log = structlog.get_logger(__name__)

# Told of each call in which a system_admin looks into a tenant: the caller (with that tenant) and the full method.
CrossTenant: TypeAlias = Callable[[Caller, str], Awaitable[None]]


class Tenant(Interceptor):
    """Settles the caller's tenant by the RPC's rule.

    - TOKEN: the token's; a system_admin names it in x-tenant-id;
    - METADATA: a service of the mesh names it (its token, when it carries one, must agree);
    - NONE: not needed.
    """

    name = "tenant"

    def __init__(self, policy: Policy, on_cross_tenant: CrossTenant | None) -> None:
        super().__init__()
        self._policy = policy
        self._on_cross_tenant = on_cross_tenant

    @asynccontextmanager
    async def around(self, rpc: Rpc) -> AsyncIterator[None]:
        try:
            await self._settle(rpc)
        except Exception as error:  # noqa: BLE001 (understood() tells ours from bugs, and logs those)
            await refuse(rpc.context, understood(error))
        yield

    async def _settle(self, rpc: Rpc) -> None:
        rule = rule_of(self._policy, rpc.method)
        cell = current_cell()
        caller = cell.caller
        named = _named(rpc)
        if named is not None and named != caller.tenant_id:
            _check_may_name(rule, caller)
            cell.caller = caller = replace(caller, tenant_id=named)
            if caller.role is Role.SYSTEM_ADMIN and caller.peer in FRONT:
                _log.info("cross_tenant", method=rpc.method, tenant_id=str(named), subject_id=str(caller.subject_id))
                if self._on_cross_tenant is not None:
                    await self._on_cross_tenant(caller, rpc.method)
        if rule.tenant is not TenantFrom.NONE:
            _ = caller.tenant  # raises TENANT_REQUIRED


def _named(rpc: Rpc) -> TenantId | None:
    value = rpc.header(HEADER)
    if not value:
        return None
    try:
        return TenantId(UUID(value))
    except ValueError:
        raise InvalidField(HEADER, "must be a UUID") from None


def _check_may_name(rule: Rule, caller: Caller) -> None:
    if caller.role is Role.SYSTEM_ADMIN:
        return
    if caller.role is None and caller.peer not in FRONT and rule.tenant is not TenantFrom.TOKEN:
        return
    raise PermissionDenied("only a system_admin may name another tenant")
