"""Reads of the feed, of visits, and of where pictures lie."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Row, text

from mesh.database import Tx
from mesh.ids import CameraId, CustomerId, ImageId, SiteId, TenantId, VisitId
from svc_ingest.feed.domain import Change, ChangeKind, Position, Visit

_HORIZON: Final = text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text")


async def horizon(tx: Tx) -> Position:
    """Before which everything is committed or never will be."""
    return Position(int((await tx.execute(_HORIZON)).scalar_one()), 0)


_CHANGES: Final = text(
    """
SELECT f.xid::text AS xid, f.seq, f.visit_id, f.kind FROM visit_feed f
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
            "xid": str(after.xid),
            "seq": after.seq,
            "sites": None if site_ids is None else list(site_ids),
            "most": most,
        },
    )
    return [Change(Position(int(row.xid), row.seq), VisitId(row.visit_id), ChangeKind(row.kind)) for row in rows]


_VISITS: Final = text(
    """
SELECT v.*, best.quality,
  CASE WHEN v.sighting_count > 1 OR best.verdict <> 'ENROLLED' THEN best.similarity END AS similarity,
  i.id AS image_id, looks.gender, coalesce(rule.visit_gap_seconds, 1800) AS gap_seconds,
  NOT EXISTS (
    SELECT FROM visits o
    WHERE o.tenant_id = v.tenant_id AND o.customer_id = v.customer_id AND o.state = 'LIVE'
      AND (o.start_time, o.id) < (v.start_time, v.id)
  ) AS is_new
FROM visits v
LEFT JOIN face_events best ON best.tenant_id = v.tenant_id AND best.id = v.best_event_id
LEFT JOIN face_images i ON i.tenant_id = v.tenant_id AND i.event_id = v.best_event_id AND i.state = 'STORED'
LEFT JOIN LATERAL (
  SELECT mode() WITHIN GROUP (ORDER BY e.gender) AS gender FROM face_events e
  WHERE e.tenant_id = v.tenant_id AND e.visit_id = v.id AND e.gender IS NOT NULL
) AS looks ON true
LEFT JOIN LATERAL (
  -- In force at its end: the latest rule by then, or the earliest of all.
  SELECT r.visit_gap_seconds FROM site_rules r WHERE r.tenant_id = v.tenant_id AND r.site_id = v.site_id
  ORDER BY r.effective_time > v.end_time, abs(extract(epoch FROM r.effective_time - v.end_time)) LIMIT 1
) AS rule ON true
WHERE v.tenant_id = :tenant AND v.id = ANY (CAST(:ids AS uuid[]))
"""
)


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
