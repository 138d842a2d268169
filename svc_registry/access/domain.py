"""Which principal may have which role and which sites; users and API keys alike."""

from __future__ import annotations

from uuid import UUID

from mesh.errors import InvalidField
from mesh.ids import SYSTEM_TENANT_ID, TenantId
from mesh.roles import ADMINS, Role


def administrator_of(tenant_id: TenantId) -> Role:
    """Who runs a tenant; the system's own is run by system_admins."""
    return Role.SYSTEM_ADMIN if tenant_id == SYSTEM_TENANT_ID else Role.TENANT_ADMIN


def check_role(root: str, role: Role, tenant_id: TenantId) -> None:
    """System admins stand outside of tenants, everybody else within one.

    Args:
        root: path of the thing that has the role, for the violation.

    Raises:
        InvalidField: the role does not belong there.
    """
    if tenant_id == SYSTEM_TENANT_ID and role is not Role.SYSTEM_ADMIN:
        raise InvalidField(f"{root}.role", "outside of a tenant there are system admins alone: name one in x-tenant-id")
    if tenant_id != SYSTEM_TENANT_ID and role is Role.SYSTEM_ADMIN:
        raise InvalidField(f"{root}.role", "a system admin belongs to no tenant")


def check_sites(root: str, role: Role, site_ids: frozenset[UUID]) -> None:
    """A site_manager is held to sites; an administrator has everything within the tenant, so never is.

    Raises:
        InvalidField: too many or too few sites.
    """
    if role is Role.SITE_MANAGER and not site_ids:
        raise InvalidField(f"{root}.site_ids", "at least one for a site manager")
    if role in ADMINS and site_ids:
        raise InvalidField(f"{root}.site_ids", "an administrator sees every site")
