"""Rows whose time is over. Each function works on at most `most` of them and tells how many there were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import text

from mesh.database import Tx
from mesh.ids import ImageId, TenantId


async def make_partitions(tx: Tx, months: int) -> None:
    """Makes the partitions of face_events for this month and so many after it."""
    await tx.execute(text("SELECT ensure_face_event_partitions(:months)"), {"months": months})


async def tenant_ids(tx: Tx) -> list[TenantId]:
    """Every tenant there is."""
    return [TenantId(row.id) for row in await tx.execute(text("SELECT id FROM tenant_ids ORDER BY id"))]


_DUE: Final = text(
    """
SELECT id, object_key FROM face_images
WHERE state = 'STORED' AND expire_time <= :now ORDER BY expire_time LIMIT :most
"""
)


async def due_pictures(tx: Tx, now: datetime, most: int) -> Mapping[ImageId, str]:
    """Pictures to be removed, and where they lie."""
    rows = await tx.execute(_DUE, {"now": now, "most": most})
    return {ImageId(row.id): row.object_key for row in rows}


_MARK: Final = text(
    """
UPDATE face_images SET state = 'DELETED', object_key = NULL, delete_time = :now
WHERE state = 'STORED' AND id = ANY (CAST(:ids AS uuid[]))
"""
)


async def mark_removed(tx: Tx, image_ids: Sequence[ImageId], now: datetime) -> None:
    """Nulls the pointers to pictures that are gone."""
    await tx.execute(_MARK, {"ids": list(image_ids), "now": now})


_FORGET: Final = text(
    """
UPDATE face_events SET embedding = NULL, second_embedding = NULL
WHERE id IN (
  SELECT e.id FROM face_events e JOIN tenants t ON t.id = e.tenant_id
  WHERE e.embedding IS NOT NULL
    AND e.capture_time <= CAST(:now AS timestamptz) - make_interval(days => t.image_retention_days)
  ORDER BY e.capture_time LIMIT :most)
"""
)


async def forget_embeddings(tx: Tx, now: datetime, most: int) -> int:
    """Embeddings of sightings live as long as the raw image does."""
    return (await tx.execute(_FORGET, {"now": now, "most": most})).rowcount


_DISCARD: Final = text(
    """
UPDATE quarantined_events SET state = 'DISCARDED', payload = NULL, end_time = :now
WHERE id IN (SELECT id FROM quarantined_events WHERE state = 'WAITING' AND expire_time <= :now LIMIT :most)
"""
)


async def discard_quarantined(tx: Tx, now: datetime, most: int) -> int:
    """Nobody decided about them; their ids are remembered, so that a replay stays a duplicate."""
    return (await tx.execute(_DISCARD, {"now": now, "most": most})).rowcount


_TOMBSTONES: Final = text(
    """
DELETE FROM event_tombstones
WHERE event_id IN (SELECT event_id FROM event_tombstones WHERE expire_time <= :now LIMIT :most)
"""
)


async def remove_tombstones(tx: Tx, now: datetime, most: int) -> int:
    """No spool is older than they are."""
    return (await tx.execute(_TOMBSTONES, {"now": now, "most": most})).rowcount


_REQUESTS: Final = text(
    """
DELETE FROM ingest_requests WHERE (subject_id, rpc, request_id) IN (
  SELECT subject_id, rpc, request_id FROM ingest_requests WHERE expire_time <= :now LIMIT :most)
"""
)


async def remove_requests(tx: Tx, now: datetime, most: int) -> int:
    """Answers that no repeat will ask for."""
    return (await tx.execute(_REQUESTS, {"now": now, "most": most})).rowcount


# The oldest rows by the primary key, and of those the ones old enough: there is no index on create_time, nor need be.
_FEED: Final = text(
    """
DELETE FROM visit_feed f USING (SELECT xid, seq FROM visit_feed ORDER BY xid, seq LIMIT :most) AS oldest
WHERE f.xid = oldest.xid AND f.seq = oldest.seq AND f.create_time < :before
"""
)


async def remove_feed(tx: Tx, before: datetime, most: int) -> int:
    """Lines of the feed that no cursor reaches back to."""
    return (await tx.execute(_FEED, {"before": before, "most": most})).rowcount
