"""Which principal may have which role and which sites; users and API keys alike."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from mesh.ids import SYSTEM_TENANT_ID, TenantId
from mesh.roles import ADMINS, Role


def administrator_of(tenant_id: TenantId) -> Role:
    """Who runs a tenant; the system's own is run by system_admins."""
    return Role.SYSTEM_ADMIN if tenant_id == SYSTEM_TENANT_ID else Role.TENANT_ADMIN


def role_problem(role: Role, tenant_id: TenantId) -> str | None:
    """Why nobody there has this role: system admins stand outside of tenants, everybody else within one."""
    if tenant_id == SYSTEM_TENANT_ID and role is not Role.SYSTEM_ADMIN:
        return "outside of a tenant there are system admins alone: name one in x-tenant-id"
    if tenant_id != SYSTEM_TENANT_ID and role is Role.SYSTEM_ADMIN:
        return "a system admin belongs to no tenant"
    return None


def sites_problem(role: Role, site_ids: Collection[UUID]) -> str | None:
    """Why a role does not go with these sites: a manager is held to some, an administrator has everything."""
    if role is Role.SITE_MANAGER and not site_ids:
        return "at least one for a site manager"
    if role is Role.WORKER and len(site_ids) != 1:
        return "exactly one for a worker"
    if role in ADMINS and site_ids:
        return "an administrator sees every site"
    return None
