"""The table of cameras, read together with what is known about who watches them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, Select, and_, func, insert, select, update

from mesh.database import Tx
from mesh.ids import CameraId, SiteId, TenantId, WorkerId
from schema.registry import camera_reports, cameras, lease_epochs, leases, sites, workers
from svc_registry.directory.cameras.domain import (
    Camera,
    CameraRole,
    CameraSettings,
    CameraState,
    OutagePolicy,
    Watch,
    camera_state,
)
from svc_registry.directory.store import by_display_name
from svc_registry.leases.domain import EndReason, LeaseState

_CAMERA: Final = (
    select(
        cameras,
        leases.c.state.label("lease_state"),
        leases.c.epoch,
        workers.c.state.label("worker_state"),
        camera_reports.c.activity,
        camera_reports.c.epoch.label("report_epoch"),
        camera_reports.c.problem,
    )
    .outerjoin(leases, and_(leases.c.tenant_id == cameras.c.tenant_id, leases.c.camera_id == cameras.c.id))
    .outerjoin(workers, and_(workers.c.tenant_id == leases.c.tenant_id, workers.c.id == leases.c.worker_id))
    .outerjoin(
        camera_reports,
        and_(camera_reports.c.tenant_id == cameras.c.tenant_id, camera_reports.c.camera_id == cameras.c.id),
    )
)


async def list_cameras(
    tx: Tx,
    *,
    site_ids: Collection[UUID],
    roles: Collection[CameraRole],
    show_deleted: bool,
    after: str | None,
    limit: int,
) -> list[Camera]:
    """Cameras by display name.

    Args:
        site_ids, roles: only these; empty: any.
        show_deleted: also those that were taken away.
        after: id of the last camera of the last page.
    """
    chosen: Select[Any] = _CAMERA.limit(limit)
    if site_ids:
        chosen = chosen.where(cameras.c.site_id.in_(site_ids))
    if roles:
        chosen = chosen.where(cameras.c.role.in_([role.value for role in roles]))
    if not show_deleted:
        chosen = chosen.where(cameras.c.delete_time.is_(None))
    return [_camera(row) for row in await tx.execute(await by_display_name(tx, chosen, cameras, after))]


async def get_camera(tx: Tx, camera_id: CameraId, *, lock: bool = False) -> Camera | None:
    """One camera, taken away or not; `lock` keeps others from changing it until the transaction ends."""
    chosen = _CAMERA.where(cameras.c.id == camera_id)
    row = (await tx.execute(chosen.with_for_update(of=cameras) if lock else chosen)).first()
    return _camera(row) if row else None


async def site_is_open(tx: Tx, site_id: SiteId) -> bool:
    """Whether there is such a site; it stays open until the transaction ends."""
    chosen = select(sites.c.id).where(sites.c.id == site_id, sites.c.delete_time.is_(None))
    return (await tx.scalar(chosen.with_for_update(read=True))) is not None


async def insert_camera(tx: Tx, tenant_id: TenantId, camera: Camera) -> None:
    """Adds a camera."""
    await tx.execute(
        insert(cameras).values(tenant_id=tenant_id, id=camera.id, site_id=camera.site_id, **_columns(camera))
    )


async def update_camera(tx: Tx, camera: Camera, *, unpark: bool) -> None:
    """Writes a camera's new values.

    Args:
        unpark: try it again at once, should it be parked.
    """
    values = _columns(camera)
    if unpark:
        values |= {"park_time": None, "park_reason": None}
    await tx.execute(update(cameras).where(cameras.c.id == camera.id).values(update_time=func.now(), **values))


async def take_away(tx: Tx, camera_id: CameraId) -> None:
    """Marks a camera as deleted, erases its credentials, and ends its lease and its epoch now."""
    await tx.execute(
        update(cameras)
        .where(cameras.c.id == camera_id)
        .values(delete_time=func.now(), update_time=func.now(), credentials=None)
    )
    await tx.execute(
        update(lease_epochs)
        .where(
            lease_epochs.c.camera_id == camera_id,
            lease_epochs.c.end_time.is_(None),
            leases.c.tenant_id == lease_epochs.c.tenant_id,
            leases.c.camera_id == lease_epochs.c.camera_id,
        )
        .values(
            # Never past its last renewed expiry: there it ended already, and nobody had noted it.
            end_time=func.greatest(lease_epochs.c.grant_time, func.least(func.now(), leases.c.expire_time)),
            end_reason=EndReason.CAMERA_DISABLED.value,
        )
    )
    await tx.execute(
        update(leases)
        .where(leases.c.camera_id == camera_id)
        .values(
            state=LeaseState.RELEASED.value,
            worker_id=None,
            generation=None,
            expire_time=None,
            release_deadline_time=None,
            successor_lease_id=None,
            successor_worker_id=None,
            successor_generation=None,
            successor_time=None,
            update_time=func.now(),
        )
    )


async def list_credentials(tx: Tx) -> list[tuple[CameraId, bytes]]:
    """The sealed credentials of the tenant's cameras."""
    rows = await tx.execute(select(cameras.c.id, cameras.c.credentials).where(cameras.c.credentials.is_not(None)))
    return [(CameraId(row.id), row.credentials) for row in rows]


async def replace_credentials(tx: Tx, camera_id: CameraId, before: bytes, after: bytes) -> None:
    """The same credentials under another master key, unless somebody has written others meanwhile."""
    await tx.execute(
        update(cameras).where(cameras.c.id == camera_id, cameras.c.credentials == before).values(credentials=after)
    )


def _columns(camera: Camera) -> dict[str, object]:
    return {
        "display_name": camera.display_name,
        "role": camera.role.value,
        "source_uri": camera.source_uri,
        "recording_start_time": camera.recording_start_time,
        "credentials": camera.credentials,
        "masks": [[list(corner) for corner in mask] for mask in camera.masks],
        "settings": {name: value for name, value in asdict(camera.settings).items() if value is not None},
        "outage_policy": camera.outage_policy.value if camera.outage_policy else None,
        "enabled": not camera.disabled,
    }


def _camera(row: Row[*tuple[Any, ...]]) -> Camera:
    watch = Watch(
        lease_state=row.lease_state,
        epoch=row.epoch or 0,
        worker_state=row.worker_state,
        activity=row.activity,
        report_epoch=row.report_epoch or 0,
        parked=row.park_time is not None,
    )
    state = camera_state(watch, disabled=not row.enabled or row.delete_time is not None)
    problem = None
    if state is CameraState.PARKED:
        problem = {"reason": "ERROR_REASON_CAMERA_PARKED", "message": row.park_reason or ""}
    elif state is CameraState.FAILING:
        problem = row.problem
    return Camera(
        id=CameraId(row.id),
        site_id=SiteId(row.site_id),
        display_name=row.display_name,
        source_uri=row.source_uri,
        recording_start_time=row.recording_start_time,
        credentials=row.credentials,
        role=CameraRole(row.role),
        masks=tuple(tuple((x, y) for x, y in mask) for mask in row.masks),
        settings=CameraSettings(**row.settings),
        outage_policy=OutagePolicy(row.outage_policy) if row.outage_policy else None,
        disabled=not row.enabled,
        pinned_worker_id=WorkerId(row.pinned_worker_id) if row.pinned_worker_id else None,
        create_time=row.create_time,
        update_time=row.update_time,
        delete_time=row.delete_time,
        state=state,
        problem=problem,
    )
