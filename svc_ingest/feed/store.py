"""Reads of the feed, of visits, and of where pictures lie."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row, text

from mesh.database import Tx
from mesh.ids import CameraId, CustomerId, ImageId, SiteId, TenantId, VisitId
from schema.visit_record import VISIT_RECORD
from svc_ingest.feed.domain import Change, ChangeKind, Position, Visit

_HORIZON: Final = text("SELECT pg_snapshot_xmin(pg_current_snapshot())")


async def horizon(tx: Tx) -> Position:
    """Before which everything is committed or never will be."""
    return Position((await tx.execute(_HORIZON)).scalar_one(), 0)


_CHANGES: Final = text(
    """
SELECT f.xid, f.seq, f.visit_id, f.kind FROM visit_feed f
WHERE f.tenant_id = :tenant AND (f.xid, f.seq) > (CAST(:xid AS xid8), :seq)
  AND f.xid < pg_snapshot_xmin(pg_current_snapshot())
  AND (CAST(:sites AS uuid[]) IS NULL OR f.site_id = ANY (CAST(:sites AS uuid[])))
ORDER BY f.xid, f.seq LIMIT :most
"""
)


async def changes(
    tx: Tx, tenant_id: TenantId, after: Position, site_ids: Iterable[SiteId] | None, most: int
) -> list[Change]:
    """The lines after a position, in order, below the horizon of this statement.

    Args:
        site_ids: only these; None: every site that the transaction sees.
        most: of them.
    """
    rows = await tx.execute(
        _CHANGES,
        {
            "tenant": tenant_id,
            "xid": after.xid,
            "seq": after.seq,
            "sites": None if site_ids is None else list(site_ids),
            "most": most,
        },
    )
    return [Change(Position(row.xid, row.seq), VisitId(row.visit_id), ChangeKind(row.kind)) for row in rows]


_VISITS: Final = text(f"{VISIT_RECORD} WHERE v.tenant_id = :tenant AND v.id = ANY (CAST(:ids AS uuid[]))")


async def visits(tx: Tx, tenant_id: TenantId, visit_ids: Iterable[VisitId]) -> dict[VisitId, Visit]:
    """Visits as they are now. The transaction sees every site: a customer may have been new somewhere else."""
    rows = await tx.execute(_VISITS, {"tenant": tenant_id, "ids": list(set(visit_ids))})
    return {VisitId(row.id): _visit(row) for row in rows}


def _visit(row: Row[Any]) -> Visit:
    return Visit(
        visit_id=VisitId(row.id),
        customer_id=CustomerId(row.customer_id),
        site_id=SiteId(row.site_id),
        start_time=row.start_time,
        end_time=row.end_time,
        local_date=row.local_date,
        sighting_count=row.sighting_count,
        dwell=None if row.dwell_seconds is None else timedelta(seconds=row.dwell_seconds),
        row_state=row.state,
        superseded_by=VisitId(row.superseded_by) if row.superseded_by else None,
        first_camera_id=CameraId(row.first_camera_id),
        last_camera_id=CameraId(row.last_camera_id),
        is_new=row.is_new,
        image_id=ImageId(row.image_id) if row.image_id else None,
        similarity=row.similarity,
        quality=row.quality or 0.0,
        gender=row.gender,
        gap=timedelta(seconds=row.gap_seconds),
        create_time=row.create_time,
        update_time=row.update_time,
    )


@dataclass(frozen=True, slots=True)
class Place:
    """Where a picture lies.

    Attributes:
        object_key: None once it was removed.
    """

    object_key: str | None
    content_type: str


# Two kinds of pictures: of sightings, and of staff. Their ids come from one space, UUIDs.
_PLACES: Final = text(
    """
SELECT id, CASE WHEN state = 'STORED' AND expire_time > :now THEN object_key END AS object_key, content_type
FROM face_images WHERE tenant_id = :tenant AND id = ANY (CAST(:ids AS uuid[]))
UNION ALL
SELECT image_id, object_key, content_type FROM staff_faces
WHERE tenant_id = :tenant AND image_id = ANY (CAST(:ids AS uuid[]))
"""
)


async def places(tx: Tx, tenant_id: TenantId, image_ids: Sequence[ImageId], now: datetime) -> dict[ImageId, Place]:
    """Where those of the images lie that there are, or were."""
    rows = await tx.execute(_PLACES, {"tenant": tenant_id, "ids": list(image_ids), "now": now})
    return {ImageId(row.id): Place(row.object_key, row.content_type) for row in rows}
