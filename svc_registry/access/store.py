"""What is checked of every principal, user or key: that its role fits, and that what it names is there."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import select

from mesh.database import Tx
from mesh.errors import InvalidField, NotFound
from mesh.ids import TenantId
from mesh.roles import Role
from schema.registry import cameras, sites
from svc_registry.access.domain import role_problem, sites_problem


def check_principal(root: str, role: Role, tenant_id: TenantId, site_ids: Collection[UUID]) -> None:
    """
    Args:
        root: path of the thing that has the role, for the violation.

    Raises:
        InvalidField: the role does not belong there, or does not go with these sites.
    """
    if problem := role_problem(role, tenant_id):
        raise InvalidField(f"{root}.role", problem)
    if problem := sites_problem(role, site_ids):
        raise InvalidField(f"{root}.site_ids", problem)


async def check_sites_exist(tx: Tx, site_ids: Collection[UUID]) -> None:
    """
    Raises:
        NotFound: the first of the sites that is absent, closed, or another tenant's.
    """
    if site_ids:
        chosen = select(sites.c.id).where(sites.c.id.in_(site_ids), sites.c.delete_time.is_(None))
        missing = set(site_ids) - set(await tx.scalars(chosen.with_for_update(read=True)))
        if missing:
            raise NotFound("site", min(missing))


async def check_cameras_exist(tx: Tx, camera_ids: Collection[UUID], site_ids: Collection[UUID]) -> None:
    """
    Raises:
        NotFound: the first of the cameras that is absent, taken away, another tenant's, or of none of the sites.
    """
    if camera_ids:
        chosen = select(cameras.c.id).where(
            cameras.c.id.in_(camera_ids), cameras.c.site_id.in_(site_ids), cameras.c.delete_time.is_(None)
        )
        missing = set(camera_ids) - set(await tx.scalars(chosen))
        if missing:
            raise NotFound("camera", min(missing))
