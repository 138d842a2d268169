"""Staff in PostgreSQL: the people. Their faces are in `faces_store`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Select, Uuid, and_, cast, func, insert, or_, select, tuple_, update

from mesh.database import Tx
from mesh.ids import CustomerId, EmbeddingId, ImageId, SiteId, StaffId, TenantId
from schema.identity import staff, staff_faces
from schema.registry import sites
from svc_identity.staff.domain import Draft, Reach, StaffMember

_EACH: Final = staff_faces.alias()
_COUNT: Final = (
    select(func.count(_EACH.c.id))
    .where(_EACH.c.tenant_id == staff.c.tenant_id, _EACH.c.staff_id == staff.c.id)
    .correlate(staff)
    .scalar_subquery()
)
_PEOPLE: Final = (
    select(staff, _COUNT.label("face_count"), staff_faces.c.id.label("primary_face_id"), staff_faces.c.image_id)
    .select_from(
        staff.outerjoin(
            staff_faces,
            and_(
                staff_faces.c.tenant_id == staff.c.tenant_id,
                staff_faces.c.staff_id == staff.c.id,
                staff_faces.c.is_primary,
            ),
        )
    )
    .where(staff.c.delete_time.is_(None))
)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which staff are listed."""

    #: Who asks is held to these sites.
    reach: Reach
    #: Only staff of these sites, and of all sites; empty: no filter.
    site_ids: frozenset[SiteId] = frozenset()
    external_id: str = ""
    suspended: bool | None = None
    without_face: bool | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """By "display_name" or "create_time"; ties by id."""

    column: str = "display_name"
    descending: bool = False


async def list_staff(
    tx: Tx, wanted: Filter, order: Order, after: tuple[str | datetime, UUID] | None, limit: int
) -> list[StaffMember]:
    """Staff in the order asked, after the position (the column's value and the id) of the last one told."""
    key = (staff.c[order.column], staff.c.id)
    query = _filtered(wanted)
    if after is not None:
        query = query.where(tuple_(*key) < after if order.descending else tuple_(*key) > after)
    query = query.order_by(*(column.desc() if order.descending else column.asc() for column in key)).limit(limit)
    return [_member(row) for row in await tx.execute(query)]


def _filtered(wanted: Filter) -> Select[Any]:
    query = _PEOPLE
    if wanted.reach is not None:
        query = query.where(_works_at(wanted.reach))
    if wanted.site_ids:
        query = query.where(_works_at(wanted.site_ids))
    if wanted.external_id:
        query = query.where(staff.c.external_id == wanted.external_id)
    if wanted.suspended is not None:
        query = query.where(staff.c.suspended.is_(wanted.suspended))
    if wanted.without_face is not None:
        # Whoever has a face has a primary one.
        query = query.where(staff_faces.c.id.is_(None) if wanted.without_face else staff_faces.c.id.is_not(None))
    return query


def _works_at(site_ids: Iterable[SiteId]) -> ColumnElement[bool]:
    shared = staff.c.site_ids.op("&&", is_comparison=True)(cast(list(site_ids), ARRAY(Uuid)))
    return or_(func.cardinality(staff.c.site_ids) == 0, shared)


async def get_staff(tx: Tx, staff_id: StaffId, *, lock: bool = False) -> StaffMember | None:
    """One staff member; with `lock` nobody else changes them or their faces until the transaction ends."""
    query = _PEOPLE.where(staff.c.id == staff_id)
    row = (await tx.execute(query.with_for_update(of=staff) if lock else query)).one_or_none()
    return None if row is None else _member(row)


async def external_id_taken(tx: Tx, external_id: str, but: StaffId | None = None) -> bool:
    """Whether another one has this external id. Ask under its lock."""
    found = await tx.scalar(select(staff.c.id).where(staff.c.external_id == external_id))
    return found is not None and found != but


async def open_sites(tx: Tx, site_ids: Iterable[SiteId]) -> set[SiteId]:
    """Those of the sites that the tenant has, and that are not closed."""
    rows = await tx.scalars(select(sites.c.id).where(sites.c.id.in_(list(site_ids)), sites.c.delete_time.is_(None)))
    return {SiteId(id_) for id_ in rows}


async def insert_staff(tx: Tx, tenant_id: TenantId, staff_id: StaffId, entered: Draft, now: datetime) -> None:
    """Makes a staff member, in effect from `now`."""
    times = {"effective_time": now, "create_time": now, "update_time": now}
    await tx.execute(insert(staff).values(tenant_id=tenant_id, id=staff_id, **_values(entered), **times))


async def update_staff(tx: Tx, staff_id: StaffId, entered: Draft, now: datetime) -> None:
    """Writes what people entered."""
    await tx.execute(update(staff).where(staff.c.id == staff_id).values(**_values(entered), update_time=now))


async def touch_staff(tx: Tx, staff_id: StaffId, now: datetime) -> None:
    """Their faces have changed."""
    await tx.execute(update(staff).where(staff.c.id == staff_id).values(update_time=now))


async def blank_staff(tx: Tx, staff_id: StaffId, now: datetime) -> None:
    """Leaves the id alone of a staff member: decisions of the past name it."""
    entered: dict[str, object] = {"display_name": "", "external_id": None, "note": "", "site_ids": []}
    gone = update(staff).where(staff.c.id == staff_id).values(**entered, delete_time=now, update_time=now)
    await tx.execute(gone)


def _values(entered: Draft) -> dict[str, object]:
    return {
        "display_name": entered.display_name,
        "external_id": entered.external_id or None,
        "site_ids": sorted(entered.site_ids),
        "suspended": entered.suspended,
    }


def _member(row: Any) -> StaffMember:
    return StaffMember(
        id=StaffId(row.id),
        entered=Draft(row.display_name, row.external_id or "", _sites(row.site_ids), row.suspended),
        face_count=row.face_count,
        primary_face_id=EmbeddingId(row.primary_face_id) if row.primary_face_id else None,
        image_id=ImageId(row.image_id) if row.image_id else None,
        converted_from=CustomerId(row.converted_from) if row.converted_from else None,
        effective_time=row.effective_time,
        create_time=row.create_time,
        update_time=row.update_time,
    )


def _sites(values: Sequence[UUID]) -> frozenset[SiteId]:
    return frozenset(SiteId(value) for value in values)
