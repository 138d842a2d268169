"""Checks that principals may name only what is there."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import select

from mesh.database import Tx
from mesh.errors import NotFound
from schema.registry import cameras, sites


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
