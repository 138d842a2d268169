"""Rows of pictures, and of the events that are stored already and get theirs late. One statement each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sqlalchemy import text

from mesh.database import Tx
from mesh.ids import CameraId, EventId, SiteId, TenantId
from svc_ingest.events.domain import Camera, Earlier
from svc_ingest.events.store import BY_CAMERA, BY_EVENT, FACTS, read_camera, read_earlier


@dataclass(frozen=True, slots=True)
class ImageRow:
    """A picture that lies in the image store, ready to be written."""

    event_id: EventId
    site_id: SiteId
    camera_id: CameraId
    object_key: str
    sha256: bytes = field(repr=False)
    size: int
    width: int
    height: int
    content_type: str
    capture_time: datetime
    expire_time: datetime


_INSERT_IMAGES: Final = text(
    """
INSERT INTO face_images (tenant_id, id, event_id, site_id, camera_id, object_key, sha256, bytes, width, height,
  content_type, capture_time, expire_time)
SELECT :tenant, given.event_id, given.*
FROM unnest(CAST(:ids AS uuid[]), CAST(:sites AS uuid[]), CAST(:cameras AS uuid[]), CAST(:keys AS text[]),
  CAST(:hashes AS bytea[]), CAST(:sizes AS integer[]), CAST(:widths AS integer[]), CAST(:heights AS integer[]),
  CAST(:kinds AS text[]), CAST(:times AS timestamptz[]), CAST(:expiries AS timestamptz[])) AS given(event_id)
ON CONFLICT DO NOTHING
"""
)


async def insert_images(tx: Tx, tenant_id: TenantId, rows: Sequence[ImageRow]) -> None:
    """Writes where pictures lie. An image's id is its event's: a picture sent twice is one picture."""
    parameters = {
        "tenant": tenant_id,
        "ids": [row.event_id for row in rows],
        "sites": [row.site_id for row in rows],
        "cameras": [row.camera_id for row in rows],
        "keys": [row.object_key for row in rows],
        "hashes": [row.sha256 for row in rows],
        "sizes": [row.size for row in rows],
        "widths": [row.width for row in rows],
        "heights": [row.height for row in rows],
        "kinds": [row.content_type for row in rows],
        "times": [row.capture_time for row in rows],
        "expiries": [row.expire_time for row in rows],
    }
    await tx.execute(_INSERT_IMAGES, parameters)


_PICTURE_OF_VISITS: Final = text(
    """
INSERT INTO visit_feed (tenant_id, visit_id, site_id, kind)
SELECT tenant_id, id, site_id, 'UPDATED' FROM visits
WHERE tenant_id = :tenant AND state = 'LIVE' AND best_event_id = ANY (CAST(:ids AS uuid[]))
  AND id IN (SELECT visit_id FROM face_events WHERE tenant_id = :tenant AND id = ANY (CAST(:ids AS uuid[])))
"""
)


async def announce_images(tx: Tx, tenant_id: TenantId, event_ids: Iterable[EventId]) -> None:
    """Tells the feed of visits that got their picture after their sighting."""
    await tx.execute(_PICTURE_OF_VISITS, {"tenant": tenant_id, "ids": list(event_ids)})


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event that is stored, as far as its picture is concerned."""

    event_id: EventId
    camera: Camera
    earlier: Earlier


_STORED: Final = text(
    f"""
SELECT asked.id, {FACTS}
FROM (SELECT given.id, e.camera_id FROM unnest(CAST(:ids AS uuid[])) AS given(id), LATERAL (
  SELECT camera_id FROM face_events WHERE tenant_id = :tenant AND id = given.id
  UNION ALL
  SELECT camera_id FROM quarantined_events WHERE tenant_id = :tenant AND id = given.id LIMIT 1
) AS e) AS asked
{BY_EVENT}
{BY_CAMERA}
"""  # noqa: S608 (constants)
)


async def stored_events(tx: Tx, tenant_id: TenantId, event_ids: Sequence[EventId]) -> Mapping[EventId, StoredEvent]:
    """Those of the events that are stored."""
    rows = await tx.execute(_STORED, {"tenant": tenant_id, "ids": list(event_ids)})
    return {EventId(row.id): StoredEvent(EventId(row.id), read_camera(row), read_earlier(row)) for row in rows}
