"""The table of tenants, and the bare list of their ids."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, insert, or_, select, text, update

from mesh.database import Tx
from mesh.ids import SYSTEM_TENANT_ID, TenantId
from schema.registry import tenant_ids, tenants
from svc_registry.directory.store import by_display_name
from svc_registry.directory.tenants.domain import MatchPolicy, Tenant, TenantSettings

_ENTER = text("SELECT set_config('app.tenant_id', :tenant, true)")


@asynccontextmanager
async def within(tx: Tx, tenant_id: TenantId) -> AsyncIterator[None]:
    """The same transaction in another tenant: a system_admin acts on a tenant while the answer is kept in its own.

    An error leaves it there: the transaction is lost anyway.
    """
    before = await tx.scalar(text("SELECT current_setting('app.tenant_id', true)"))
    await tx.execute(_ENTER, {"tenant": str(tenant_id)})
    yield
    await tx.execute(_ENTER, {"tenant": before or ""})


async def list_tenants(tx: Tx, now: datetime, after: str | None, limit: int, *, show_deleted: bool) -> list[Tenant]:
    """Tenants by display name. In the system tenant: all of them; in another: that one.

    Args:
        show_deleted: also those that can be brought back.
        after: id of the last tenant of the last page.
    """
    chosen = select(tenants).where(tenants.c.id != SYSTEM_TENANT_ID).limit(limit)
    if show_deleted:
        chosen = chosen.where(or_(tenants.c.purge_time.is_(None), tenants.c.purge_time > now))
    else:
        chosen = chosen.where(tenants.c.delete_time.is_(None))
    return [_tenant(row) for row in await tx.execute(await by_display_name(tx, chosen, tenants, after))]


async def list_tenant_ids(tx: Tx) -> list[TenantId]:
    """Every tenant, deleted ones too, for work that is done tenant by tenant. Asks no tenant's row."""
    return [TenantId(tenant_id) for tenant_id in await tx.scalars(select(tenant_ids.c.id).order_by(tenant_ids.c.id))]


async def get_tenant(tx: Tx, tenant_id: TenantId, *, lock: bool = False) -> Tenant | None:
    """One tenant; `lock` keeps others from changing it until the transaction ends."""
    chosen = select(tenants).where(tenants.c.id == tenant_id, tenants.c.id != SYSTEM_TENANT_ID)
    row = (await tx.execute(chosen.with_for_update() if lock else chosen)).first()
    return _tenant(row) if row else None


async def insert_tenant(tx: Tx, tenant_id: TenantId, display_name: str, settings: TenantSettings) -> None:
    """Adds a tenant; `tx` is within it."""
    await tx.execute(insert(tenants).values(id=tenant_id, display_name=display_name, **_columns(settings)))
    await tx.execute(insert(tenant_ids).values(id=tenant_id))


async def update_tenant(tx: Tx, tenant_id: TenantId, display_name: str, settings: TenantSettings) -> None:
    """Writes a tenant's new values; `tx` is within it."""
    await tx.execute(
        update(tenants)
        .where(tenants.c.id == tenant_id)
        .values(display_name=display_name, update_time=func.now(), **_columns(settings))
    )


async def set_deleted(tx: Tx, tenant_id: TenantId, delete_time: datetime | None, purge_time: datetime | None) -> None:
    """Marks a tenant as deleted, or takes that back with None; `tx` is within it."""
    await tx.execute(
        update(tenants)
        .where(tenants.c.id == tenant_id)
        .values(delete_time=delete_time, purge_time=purge_time, update_time=func.now())
    )
    await tx.execute(update(tenant_ids).where(tenant_ids.c.id == tenant_id).values(delete_time=delete_time))


def _columns(settings: TenantSettings) -> dict[str, object]:
    return {
        "week_start_day": settings.first_day_of_week,
        "image_retention_days": settings.image_retention_days,
        "embedding_retention_days": settings.embedding_retention_days,
        "global_search": settings.allow_global_search,
        "settings": {
            "embedding_spaces": list(settings.embedding_spaces),
            "match_policies": [
                {
                    "embedding_space": policy.embedding_space,
                    "threshold": policy.threshold,
                    "founding_quality": policy.founding_quality,
                }
                for policy in settings.match_policies
            ],
        },
    }


def _tenant(row: Row[*tuple[Any, ...]]) -> Tenant:
    document = row.settings
    return Tenant(
        id=TenantId(row.id),
        display_name=row.display_name,
        settings=TenantSettings(
            first_day_of_week=row.week_start_day,
            image_retention_days=row.image_retention_days,
            embedding_retention_days=row.embedding_retention_days,
            allow_global_search=row.global_search,
            embedding_spaces=tuple(document.get("embedding_spaces", ())),
            match_policies=tuple(MatchPolicy(**policy) for policy in document.get("match_policies", ())),
        ),
        create_time=row.create_time,
        update_time=row.update_time,
        delete_time=row.delete_time,
        purge_time=row.purge_time,
    )
