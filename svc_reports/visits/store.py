"""Visits, their sightings, and how these were decided."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text

from mesh.database import Tx
from mesh.ids import CameraId, CustomerId, ImageId, SiteId, TenantId, VisitId
from schema.visit_record import VISIT_RECORD
from svc_reports.visits.domain import COUNTING, Correction, Merge, Move, Visit, VisitState, history


@dataclass(frozen=True)
class Filter:
    """Which visits; None and empty: any. Newest first unless ``ascending``."""

    site_ids: Sequence[SiteId]
    start_time: datetime | None = None
    end_time: datetime | None = None
    camera_ids: Sequence[CameraId] = ()
    customer_id: CustomerId | None = None
    states: frozenset[VisitState] = COUNTING
    is_new: bool | None = None
    ascending: bool = False


_CONDITIONS: Final = (
    "v.tenant_id = :tenant",
    "v.site_id = ANY (CAST(:sites AS uuid[]))",
    "(CAST(:start AS timestamptz) IS NULL OR v.start_time >= :start)",
    "(CAST(:end AS timestamptz) IS NULL OR v.start_time < :end)",
    "(cardinality(CAST(:cameras AS uuid[])) = 0 OR v.first_camera_id = ANY (:cameras)"
    " OR v.last_camera_id = ANY (:cameras))",
)
# Those merged into the customer are the customer's too; their visits name today's customer already.
_OF_CUSTOMER: Final = "v.customer_id = :customer"
_OPEN: Final = "now() <= v.end_time + make_interval(secs => coalesce(rule.visit_gap_seconds, 1800))"
_STATES: Final = {
    VisitState.OPEN: f"(v.state = 'LIVE' AND {_OPEN})",
    VisitState.CLOSED: f"(v.state = 'LIVE' AND NOT {_OPEN})",
    VisitState.SUPERSEDED: "v.state = 'SUPERSEDED'",
    VisitState.RETRACTED: "v.state = 'RETRACTED'",
}


# What staff entered of a customer counts more than what cameras saw.
_KNOWN: Final = """
SELECT v.*, coalesce(c.gender, v.gender) AS known_gender
  FROM ({}) AS v LEFT JOIN customers c ON c.tenant_id = v.tenant_id AND c.id = v.customer_id
"""


async def list_visits(
    tx: Tx, tenant_id: TenantId, wanted: Filter, after: tuple[datetime, VisitId] | None, limit: int
) -> list[Visit]:
    """A page of visits by start time, ties by id, after a position."""
    conditions = list(_CONDITIONS)
    parameters: dict[str, Any] = {
        "tenant": tenant_id,
        "sites": list(wanted.site_ids),
        "start": wanted.start_time,
        "end": wanted.end_time,
        "cameras": list(wanted.camera_ids),
        "limit": limit,
    }
    if wanted.customer_id is not None:
        conditions.append(_OF_CUSTOMER)
        parameters["customer"] = wanted.customer_id
    if wanted.states == COUNTING:
        conditions.append("v.state = 'LIVE'")  # as the index has it
    else:
        conditions.append("(" + " OR ".join(_STATES[state] for state in sorted(wanted.states)) + ")")
    if wanted.is_new is not None:
        earlier = (
            "EXISTS (SELECT FROM visits o WHERE o.tenant_id = v.tenant_id AND o.customer_id = v.customer_id"
            " AND o.state = 'LIVE' AND (o.start_time, o.id) < (v.start_time, v.id))"
        )
        conditions.append(f"NOT {earlier}" if wanted.is_new else earlier)
    direction, beyond = ("ASC", ">") if wanted.ascending else ("DESC", "<")
    if after is not None:
        conditions.append(f"(v.start_time, v.id) {beyond} (:after_time, :after_id)")
        parameters |= {"after_time": after[0], "after_id": after[1]}
    order = f"ORDER BY v.start_time {direction}, v.id {direction}"
    statement = f"{VISIT_RECORD} WHERE {' AND '.join(conditions)} {order} LIMIT :limit"
    return [_visit(row) for row in await tx.execute(text(f"{_KNOWN.format(statement)} {order}"), parameters)]


async def visit(tx: Tx, tenant_id: TenantId, visit_id: VisitId) -> Visit | None:
    """One visit."""
    statement = _KNOWN.format(f"{VISIT_RECORD} WHERE v.tenant_id = :tenant AND v.id = :id")
    rows = await tx.execute(text(statement), {"tenant": tenant_id, "id": visit_id})
    row = rows.one_or_none()
    return None if row is None else _visit(row)


async def sees(tx: Tx, tenant_id: TenantId, visit_id: VisitId) -> bool:
    """Whether the transaction sees the visit: asked before the policy of sites is lifted."""
    found = await tx.scalar(
        text("SELECT EXISTS (SELECT FROM visits WHERE tenant_id = :tenant AND id = :id)"),
        {"tenant": tenant_id, "id": visit_id},
    )
    return bool(found)


def _visit(row: Any) -> Visit:
    return Visit(
        id=VisitId(row.id),
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
        gender=row.known_gender,
        gap=timedelta(seconds=row.gap_seconds),
        create_time=row.create_time,
        update_time=row.update_time,
    )


@dataclass(frozen=True, slots=True)
class Sighting:
    """One track of a visit, and how it was decided."""

    id: UUID
    camera_id: CameraId
    capture_time: datetime
    track_start_time: datetime
    track_end_time: datetime
    quality: float
    image_id: ImageId | None
    verdict: str
    reason: str | None
    customer_id: UUID | None
    embedding_id: UUID | None
    space: str
    similarity: float | None
    threshold: float
    candidates: Sequence[dict[str, Any]]
    clock_uncertainty_ms: int
    receive_time: datetime


_SIGHTINGS: Final = text(
    """
    SELECT e.id, e.camera_id, e.capture_time, e.track_start_time, e.track_end_time, e.quality, i.id AS image_id,
           e.verdict, d.reason, e.matched_customer_id, e.embedding_id, e.space, e.similarity, e.threshold,
           coalesce(d.candidates, '[]') AS candidates, e.clock_uncertainty_ms, e.receive_time
      FROM face_events e
      LEFT JOIN match_decisions d ON d.tenant_id = e.tenant_id AND d.event_id = e.id
      LEFT JOIN face_images i ON i.tenant_id = e.tenant_id AND i.event_id = e.id AND i.state = 'STORED'
     WHERE e.tenant_id = :tenant AND e.visit_id = :visit
       AND (CAST(:after_time AS timestamptz) IS NULL OR (e.capture_time, e.id) > (:after_time, :after_id))
     ORDER BY e.capture_time, e.id LIMIT :limit
    """
)


async def sightings(
    tx: Tx, tenant_id: TenantId, visit_id: VisitId, after: tuple[datetime, UUID] | None, limit: int
) -> list[Sighting]:
    """A page of a visit's sightings by capture time, ties by id."""
    rows = await tx.execute(
        _SIGHTINGS,
        {
            "tenant": tenant_id,
            "visit": visit_id,
            "after_time": after[0] if after else None,
            "after_id": after[1] if after else None,
            "limit": limit,
        },
    )
    return [
        Sighting(
            id=row.id,
            camera_id=CameraId(row.camera_id),
            capture_time=row.capture_time,
            track_start_time=row.track_start_time,
            track_end_time=row.track_end_time,
            quality=row.quality,
            image_id=ImageId(row.image_id) if row.image_id else None,
            verdict=row.verdict,
            reason=row.reason,
            customer_id=row.matched_customer_id,
            embedding_id=row.embedding_id,
            space=row.space or "",
            similarity=row.similarity,
            threshold=row.threshold or 0.0,
            candidates=row.candidates,
            clock_uncertainty_ms=row.clock_uncertainty_ms,
            receive_time=row.receive_time,
        )
        for row in rows
    ]


_PRESENT: Final = text(
    """
    SELECT c.id FROM customers c
     WHERE c.tenant_id = :tenant AND c.id = ANY (CAST(:ids AS uuid[])) AND c.state <> 'FORGOTTEN'
       AND (CAST(:sites AS uuid[]) IS NULL OR EXISTS (
         SELECT FROM visits v
          WHERE v.tenant_id = c.tenant_id AND v.customer_id = c.id AND v.site_id = ANY (CAST(:sites AS uuid[]))))
    UNION ALL
    SELECT id FROM staff WHERE tenant_id = :tenant AND id = ANY (CAST(:ids AS uuid[])) AND delete_time IS NULL
    """
)


async def present(tx: Tx, tenant_id: TenantId, people: Collection[UUID], sites: Collection[SiteId] | None) -> set[UUID]:
    """Those of the customers and staff that were not erased since, and whom somebody held to `sites` may know of."""
    parameters = {"tenant": tenant_id, "ids": list(people), "sites": None if sites is None else list(sites)}
    return set(await tx.scalars(_PRESENT, parameters))


_MOVES: Final = text(
    """
    SELECT event_id, create_time, from_customer_id, to_customer_id, subject_id FROM sighting_moves
     WHERE tenant_id = :tenant AND event_id = ANY (CAST(:events AS uuid[])) ORDER BY create_time, id
    """
)
# Merges of these customers, and of those they were merged into.
_MERGES: Final = text(
    """
    WITH RECURSIVE named (id) AS (
      SELECT * FROM unnest(CAST(:customers AS uuid[]))
      UNION SELECT m.winner_id FROM named JOIN merges m ON m.tenant_id = :tenant AND m.loser_id = named.id
    )
    SELECT m.winner_id, m.loser_id, m.create_time, m.undo_time, m.subject_id
      FROM named JOIN merges m ON m.tenant_id = :tenant AND m.loser_id = named.id
     ORDER BY m.create_time, m.id
    """
)


async def corrections(tx: Tx, tenant_id: TenantId, sightings: Sequence[Sighting]) -> dict[UUID, list[Correction]]:
    """What changed whose the sightings are, by sighting."""
    moves: dict[UUID, list[Move]] = {}
    parameters = {"tenant": tenant_id, "events": [sighting.id for sighting in sightings]}
    for row in await tx.execute(_MOVES, parameters):
        move = Move(row.create_time, CustomerId(row.from_customer_id), CustomerId(row.to_customer_id), row.subject_id)
        moves.setdefault(row.event_id, []).append(move)
    named = {sighting.customer_id for sighting in sightings if sighting.customer_id is not None}
    named |= {move.to_customer_id for of_one in moves.values() for move in of_one}
    merges = [
        Merge(row.create_time, row.undo_time, CustomerId(row.winner_id), CustomerId(row.loser_id), row.subject_id)
        for row in await tx.execute(_MERGES, {"tenant": tenant_id, "customers": list(named)})
    ]
    return {
        sighting.id: history(
            CustomerId(sighting.customer_id), sighting.receive_time, moves.get(sighting.id, ()), merges
        )
        for sighting in sightings
        if sighting.customer_id is not None
    }


async def superseded(tx: Tx, tenant_id: TenantId, visit_id: VisitId) -> list[VisitId]:
    """Visits that became part of this one."""
    rows = await tx.scalars(
        text("SELECT id FROM visits WHERE tenant_id = :tenant AND superseded_by = :id ORDER BY id LIMIT 500"),
        {"tenant": tenant_id, "id": visit_id},
    )
    return [VisitId(id_) for id_ in rows]
