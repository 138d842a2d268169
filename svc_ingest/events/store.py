"""Rows of events and their pictures. Every function is one statement, however many events it is about."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, TextClause, text

from mesh.database import Tx
from mesh.ids import CameraId, CustomerId, EventId, LeaseEpoch, SiteId, StaffId, TenantId, VisitId, WorkerId
from svc_ingest.events.domain import (
    Camera,
    Decision,
    Earlier,
    Epoch,
    Grounds,
    PrivacyMode,
    Reason,
    Sender,
    Sighting,
    Verdict,
)

# -- what an event is judged by ----------------------------------------------------------------------------------------

FACTS: Final = """
  c.site_id, c.enabled, c.delete_time, c.source_uri ~ '^(file|folder):' AS recorded, s.privacy_mode,
  t.image_retention_days, t.embedding_retention_days,
  coalesce(q.camera_id, e.camera_id) AS seen_camera_id, coalesce(q.worker_id, e.worker_id) AS seen_worker_id,
  coalesce(q.lease_epoch, e.lease_epoch) AS seen_epoch, coalesce(q.capture_time, e.capture_time) AS seen_capture_time,
  CASE WHEN q.id IS NULL THEN e.body_hash END AS body_hash, q.id IS NOT NULL AS seen_quarantined,
  q.state AS quarantine_state, e.verdict, e.customer_id, e.staff_id, e.similarity,
  e.visit_id, e.counts, i.id IS NOT NULL AS has_image
"""

# Each row is looked up by its key, whatever the planner believes about tables that were empty yesterday: LIMIT keeps it
# from joining sets. Of face_events that opens one partition, the id's month.
BY_EVENT: Final = """
LEFT JOIN LATERAL (SELECT * FROM face_events WHERE tenant_id = :tenant AND id = asked.id LIMIT 1) AS e ON true
LEFT JOIN LATERAL (SELECT * FROM quarantined_events WHERE tenant_id = :tenant AND id = asked.id LIMIT 1) AS q ON true
LEFT JOIN LATERAL (SELECT id FROM face_images WHERE tenant_id = :tenant AND event_id = asked.id LIMIT 1) AS i ON true
"""
BY_CAMERA: Final = """
LEFT JOIN LATERAL (
  SELECT site_id, enabled, delete_time, source_uri FROM cameras
  WHERE tenant_id = :tenant AND id = asked.camera_id LIMIT 1
) AS c ON true
LEFT JOIN LATERAL (SELECT privacy_mode FROM sites WHERE tenant_id = :tenant AND id = c.site_id LIMIT 1) AS s ON true
LEFT JOIN LATERAL (
  SELECT image_retention_days, embedding_retention_days FROM tenants WHERE id = :tenant LIMIT 1
) AS t ON true
"""

_GROUNDS: Final = text(
    f"""
SELECT asked.id, {FACTS}, l.worker_id AS epoch_worker_id, l.grant_time, l.end_time, d.event_id IS NOT NULL AS erased
FROM unnest(CAST(:ids AS uuid[]), CAST(:cameras AS uuid[]), CAST(:epochs AS bigint[])) AS asked(id, camera_id, epoch)
{BY_EVENT}
{BY_CAMERA}
LEFT JOIN LATERAL (
  SELECT worker_id, grant_time, end_time FROM lease_epochs
  WHERE tenant_id = :tenant AND camera_id = asked.camera_id AND epoch = asked.epoch LIMIT 1
) AS l ON true
LEFT JOIN LATERAL (
  SELECT event_id FROM event_tombstones WHERE tenant_id = :tenant AND event_id = asked.id LIMIT 1
) AS d ON true
"""  # noqa: S608 (constants)
)


async def grounds(tx: Tx, tenant_id: TenantId, sightings: Sequence[Sighting]) -> dict[EventId, Grounds]:
    """What each event is to be judged by, at this instant."""
    rows = await tx.execute(
        _GROUNDS,
        {
            "tenant": tenant_id,
            "ids": [sighting.event_id for sighting in sightings],
            "cameras": [sighting.camera_id for sighting in sightings],
            "epochs": [sighting.lease_epoch for sighting in sightings],
        },
    )
    return {EventId(row.id): _grounds(row) for row in rows}


def _grounds(row: Row[Any]) -> Grounds:
    epoch = None
    if row.epoch_worker_id is not None:
        epoch = Epoch(WorkerId(row.epoch_worker_id), row.grant_time, row.end_time)
    return Grounds(
        camera=read_camera(row) if row.site_id is not None else None,
        epoch=epoch,
        earlier=read_earlier(row) if row.seen_camera_id is not None else None,
        erased=row.erased,
    )


def read_camera(row: Row[Any]) -> Camera:
    return Camera(
        site_id=SiteId(row.site_id),
        privacy_mode=PrivacyMode(row.privacy_mode),
        recorded=row.recorded,
        enabled=row.enabled,
        delete_time=row.delete_time,
        image_retention=timedelta(days=row.image_retention_days),
        embedding_retention=timedelta(days=row.embedding_retention_days),
    )


def read_earlier(row: Row[Any]) -> Earlier:
    return Earlier(
        camera_id=CameraId(row.seen_camera_id),
        worker_id=WorkerId(row.seen_worker_id) if row.seen_worker_id else None,
        lease_epoch=LeaseEpoch(row.seen_epoch),
        capture_time=row.seen_capture_time,
        body_hash=row.body_hash,
        quarantined=row.seen_quarantined,
        discarded=row.quarantine_state == "DISCARDED",
        verdict=Verdict(row.verdict) if row.verdict else None,
        customer_id=CustomerId(row.customer_id) if row.customer_id else None,
        staff_id=StaffId(row.staff_id) if row.staff_id else None,
        similarity=row.similarity,
        visit_id=VisitId(row.visit_id) if row.visit_id else None,
        counts=row.counts is not False,
        has_image=row.has_image,
    )


# -- writing events ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EventRow:
    """An accepted event, ready to be written.

    Attributes:
        embedding, sample_embedding: encrypted; None where none is kept.
    """

    sighting: Sighting
    camera: Camera
    decision: Decision
    embedding: bytes | None = field(default=None, repr=False)
    sample_embedding: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class QuarantineRow:
    """A quarantined event, ready to be written.

    Attributes:
        payload: the event without its snapshot, encrypted.
        expire_time: when it is discarded by itself.
    """

    sighting: Sighting
    camera: Camera
    reason: Reason
    payload: bytes = field(repr=False)
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    kind: str
    value: Callable[[EventRow], object]


# One place for name, type and value of each column: the statement and its arrays are made from it.
_EVENT_COLUMNS: Final = (
    _Column("id", "uuid", lambda row: row.sighting.event_id),
    _Column("site_id", "uuid", lambda row: row.camera.site_id),
    _Column("camera_id", "uuid", lambda row: row.sighting.camera_id),
    _Column("lease_epoch", "bigint", lambda row: row.sighting.lease_epoch),
    _Column("capture_time", "timestamptz", lambda row: row.sighting.capture_time),
    _Column("track_start_time", "timestamptz", lambda row: row.sighting.track_start_time),
    _Column("track_end_time", "timestamptz", lambda row: row.sighting.track_end_time),
    _Column("clock_offset_ms", "integer", lambda row: row.sighting.clock_offset_ms),
    _Column("clock_uncertainty_ms", "integer", lambda row: row.sighting.clock_uncertainty_ms),
    _Column("quality", "real", lambda row: row.sighting.face.quality),
    _Column("detection_score", "real", lambda row: row.sighting.face.detection_score),
    _Column("face_pixels", "integer", lambda row: row.sighting.face.face_pixels),
    _Column("yaw_degrees", "real", lambda row: row.sighting.face.yaw_degrees),
    _Column("gender", "text", lambda row: row.sighting.face.gender),
    _Column("space", "text", lambda row: row.sighting.face.space),
    _Column("embedding", "bytea", lambda row: row.embedding),
    _Column("second_embedding", "bytea", lambda row: row.sample_embedding),
    _Column("staff_hint_id", "uuid", lambda row: row.sighting.face.staff_hint_id),
    _Column("verdict", "text", lambda row: row.decision.verdict),
    _Column("matched_customer_id", "uuid", lambda row: row.decision.customer_id),
    _Column("customer_id", "uuid", lambda row: row.decision.customer_id),
    _Column("staff_id", "uuid", lambda row: row.decision.staff_id),
    _Column("embedding_id", "uuid", lambda row: row.decision.embedding_id),
    _Column("similarity", "real", lambda row: row.decision.similarity),
    _Column("threshold", "real", lambda row: row.decision.threshold),
    _Column("body_hash", "bytea", lambda row: row.sighting.body_hash),
)


def _insert_events() -> TextClause:
    names = ", ".join(column.name for column in _EVENT_COLUMNS)
    arrays = ", ".join(f"CAST(:{column.name} AS {column.kind}[])" for column in _EVENT_COLUMNS)
    box = ", ".join(f"CAST(:box_{side} AS real[])" for side in range(4))
    return text(
        f"""
INSERT INTO face_events (tenant_id, worker_id, box, {names})
SELECT :tenant, CAST(:worker AS uuid), ARRAY[box_0, box_1, box_2, box_3], {names}
FROM unnest({arrays}, {box}) AS given({names}, box_0, box_1, box_2, box_3)
ON CONFLICT DO NOTHING RETURNING id
"""  # noqa: S608 (constants)
    )


_INSERT_EVENTS: Final = _insert_events()


async def insert_events(tx: Tx, sender: Sender, rows: Sequence[EventRow]) -> set[EventId]:
    """Writes accepted events; returns those that were not there yet."""
    arrays: dict[str, object] = {column.name: [column.value(row) for row in rows] for column in _EVENT_COLUMNS}
    for side in range(4):
        arrays[f"box_{side}"] = [row.sighting.face.box[side] for row in rows]
    written = await tx.execute(_INSERT_EVENTS, {"tenant": sender.tenant_id, "worker": sender.worker_id, **arrays})
    return {EventId(row.id) for row in written}


_INSERT_QUARANTINED: Final = text(
    """
INSERT INTO quarantined_events
  (tenant_id, worker_id, id, site_id, camera_id, lease_epoch, capture_time, reason, payload, expire_time)
SELECT :tenant, CAST(:worker AS uuid), given.*
FROM unnest(CAST(:ids AS uuid[]), CAST(:sites AS uuid[]), CAST(:cameras AS uuid[]), CAST(:epochs AS bigint[]),
  CAST(:times AS timestamptz[]), CAST(:reasons AS text[]), CAST(:payloads AS bytea[]),
  CAST(:expiries AS timestamptz[])) AS given
ON CONFLICT DO NOTHING RETURNING id
"""
)


async def insert_quarantined(tx: Tx, sender: Sender, rows: Sequence[QuarantineRow]) -> set[EventId]:
    """Writes quarantined events; returns those that were not there yet."""
    written = await tx.execute(
        _INSERT_QUARANTINED,
        {
            "tenant": sender.tenant_id,
            "worker": sender.worker_id,
            "ids": [row.sighting.event_id for row in rows],
            "sites": [row.camera.site_id for row in rows],
            "cameras": [row.sighting.camera_id for row in rows],
            "epochs": [row.sighting.lease_epoch for row in rows],
            "times": [row.sighting.capture_time for row in rows],
            "reasons": [row.reason.value for row in rows],
            "payloads": [row.payload for row in rows],
            "expiries": [row.expire_time for row in rows],
        },
    )
    return {EventId(row.id) for row in written}


# -- visits ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Span:
    """Where visits must be folded anew.

    Attributes:
        from_time, to_time: first and last track_start_time among the sightings that changed.
    """

    customer_id: CustomerId
    site_id: SiteId
    from_time: datetime
    to_time: datetime


_FOLD: Final = text(
    """
SELECT count(*) FROM fold_visits_batch(CAST(:tenant AS uuid), CAST(:customers AS uuid[]), CAST(:sites AS uuid[]),
  CAST(:froms AS timestamptz[]), CAST(:tos AS timestamptz[]))
"""
)


async def fold(tx: Tx, tenant_id: TenantId, spans: Sequence[Span]) -> int:
    """Rebuilds the visits of the spans, with feed rows and dirty marks; returns how many changed.

    The transaction holds the advisory lock of each span (`visit_lock`), taken before it read anything.
    """
    count = await tx.scalar(
        _FOLD,
        {
            "tenant": tenant_id,
            "customers": [span.customer_id for span in spans],
            "sites": [span.site_id for span in spans],
            "froms": [span.from_time for span in spans],
            "tos": [span.to_time for span in spans],
        },
    )
    return int(count or 0)


_VISITS_OF: Final = text(
    "SELECT id, visit_id FROM face_events WHERE tenant_id = :tenant AND id = ANY (CAST(:ids AS uuid[]))"
)


async def visits_of(tx: Tx, tenant_id: TenantId, event_ids: Iterable[EventId]) -> dict[EventId, VisitId]:
    """The visit that each event was folded into."""
    rows = await tx.execute(_VISITS_OF, {"tenant": tenant_id, "ids": list(event_ids)})
    return {EventId(row.id): VisitId(row.visit_id) for row in rows if row.visit_id is not None}


# A passage belongs to no visit, so nothing but this tells that its day's numbers changed.
_MARK_PASSAGES: Final = text(
    """
INSERT INTO dirty_days (tenant_id, site_id, local_date)
SELECT DISTINCT CAST(:tenant AS uuid), site_id, business_day(:tenant, site_id, start_time)
FROM unnest(CAST(:sites AS uuid[]), CAST(:times AS timestamptz[])) AS passage(site_id, start_time)
"""
)


async def mark_passages(tx: Tx, tenant_id: TenantId, rows: Sequence[EventRow]) -> None:
    """Marks the days of anonymous passages."""
    parameters = {
        "tenant": tenant_id,
        "sites": [row.camera.site_id for row in rows],
        "times": [row.sighting.track_start_time for row in rows],
    }
    await tx.execute(_MARK_PASSAGES, parameters)


def visit_lock(tenant_id: TenantId, customer_id: CustomerId, site_id: SiteId) -> tuple[object, ...]:
    """The advisory lock of one customer's visits at one site, for `mesh.database.lock`."""
    return ("visits", tenant_id, customer_id, site_id)


def associated(tenant_id: TenantId, event_id: UUID, what: str) -> bytes:
    """The associated data of what is encrypted in an event's row: moved to another row it does not decrypt.

    Args:
        what: "embedding", "second_embedding" or "payload"; the column's name.
    """
    return f"face_event:{what}:".encode() + tenant_id.bytes + event_id.bytes
