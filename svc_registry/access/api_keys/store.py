"""The table of API keys, and the workers that they enrol."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, insert, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import array

from mesh.access import Role
from mesh.database import Tx
from mesh.ids import ApiKeyId, CameraId, SiteId, TenantId, WorkerId
from schema.registry import api_keys, workers
from svc_registry.access.api_keys.domain import ApiKey, ApiKeyDraft
from svc_registry.access.tokens.domain import shown_prefix


async def list_api_keys(
    tx: Tx, site_ids: Collection[UUID], good_at: datetime | None, after: tuple[datetime, UUID] | None, limit: int
) -> list[ApiKey]:
    """Keys, the newest first.

    Args:
        site_ids: only keys of these; empty: any.
        good_at: only keys that are good then; None: all.
        after: create_time and id of the last key of the last page.
        limit: at most.
    """
    chosen = select(api_keys).order_by(api_keys.c.create_time.desc(), api_keys.c.id.desc()).limit(limit)
    if site_ids:
        chosen = chosen.where(api_keys.c.site_ids.op("&&")(array(site_ids, type_=api_keys.c.id.type)))
    if good_at is not None:
        unexpired = or_(api_keys.c.expire_time.is_(None), api_keys.c.expire_time > good_at)
        chosen = chosen.where(api_keys.c.revoke_time.is_(None), unexpired)
    if after is not None:
        chosen = chosen.where(tuple_(api_keys.c.create_time, api_keys.c.id) < tuple_(*after))
    return [_api_key(row) for row in await tx.execute(chosen)]


async def get_api_key(tx: Tx, key_id: ApiKeyId, *, lock: bool = False) -> ApiKey | None:
    """One key; `lock` keeps others from changing it until the transaction ends."""
    chosen = select(api_keys).where(api_keys.c.id == key_id)
    row = (await tx.execute(chosen.with_for_update() if lock else chosen)).first()
    return _api_key(row) if row else None


async def insert_api_key(
    tx: Tx, tenant_id: TenantId, key_id: ApiKeyId, draft: ApiKeyDraft, *, key_hash: bytes, worker_id: WorkerId | None
) -> None:
    """Adds a key."""
    await tx.execute(
        insert(api_keys).values(
            tenant_id=tenant_id,
            id=key_id,
            display_name=draft.display_name,
            role=draft.role.value,
            key_hash=key_hash,
            secret_prefix=shown_prefix(key_id),
            site_ids=sorted(draft.site_ids),
            camera_ids=sorted(draft.camera_ids),
            worker_id=worker_id,
            expire_time=draft.expire_time,
        )
    )


async def insert_worker(tx: Tx, tenant_id: TenantId, worker_id: WorkerId, site_id: SiteId, display_name: str) -> None:
    """Enrols a worker; the rest of its row comes with its first Hello."""
    await tx.execute(
        insert(workers).values(tenant_id=tenant_id, id=worker_id, site_id=site_id, display_name=display_name)
    )


async def revoke_api_key(tx: Tx, key_id: ApiKeyId) -> None:
    """Ends a key; one that has ended keeps the time of its end."""
    await tx.execute(
        update(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoke_time.is_(None)).values(revoke_time=func.now())
    )


def _api_key(row: Row[*tuple[Any, ...]]) -> ApiKey:
    return ApiKey(
        id=ApiKeyId(row.id),
        display_name=row.display_name,
        role=Role(row.role),
        secret_prefix=row.secret_prefix,
        site_ids=frozenset(SiteId(site_id) for site_id in row.site_ids),
        camera_ids=frozenset(CameraId(camera_id) for camera_id in row.camera_ids),
        worker_id=WorkerId(row.worker_id) if row.worker_id else None,
        expire_time=row.expire_time,
        create_time=row.create_time,
        use_time=row.use_time,
        revoke_time=row.revoke_time,
    )
