"""Snapshots into the image store: judged by their header, stored under their event's id, never decoded."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeAlias

import structlog
from footfall.type.v1 import problem_pb2

from mesh import images
from mesh.errors import MeshError, Unavailable, reason_name
from mesh.ids import CameraId, EventId, SiteId, TenantId
from mesh.objects import ObjectStore
from svc_ingest.events.domain import Reason, Refusal, Violation
from svc_ingest.events.picture_store import ImageRow

CONTENT_TYPE: Final = "image/jpeg"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A picture that is wanted.

    Attributes:
        expire_time: when it must be gone.
    """

    event_id: EventId
    site_id: SiteId
    camera_id: CameraId
    capture_time: datetime
    expire_time: datetime
    jpeg: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pending:
    """The image store is away: the picture is to be sent again."""


# What became of a snapshot: its row to be written, why it is none, or not yet.
PictureResult: TypeAlias = ImageRow | Refusal | Pending


class PictureKeeper:
    """Judges and stores snapshots.

    Args:
        store: where they lie.
        max_bytes, max_pixels: of one of them.
    """

    def __init__(self, store: ObjectStore, *, max_bytes: int, max_pixels: int) -> None:
        self._store = store
        self._max_bytes = max_bytes
        self._max_pixels = max_pixels

    async def keep(self, tenant_id: TenantId, snapshots: Sequence[Snapshot]) -> Mapping[EventId, PictureResult]:
        """Stores what is a picture. The object is durable when this returns; its row is the caller's to write."""
        if not snapshots:
            return {}
        judged = await asyncio.to_thread(self._judge_all, tenant_id, snapshots)
        stored = await asyncio.gather(
            *(self._put(snapshot, result) for snapshot, result in zip(snapshots, judged, strict=True))
        )
        return {snapshot.event_id: result for snapshot, result in zip(snapshots, stored, strict=True)}

    async def drop(self, rows: Iterable[ImageRow]) -> None:
        """Removes pictures whose events were not taken after all. What stays behind now, expires."""
        for row in rows:
            try:
                await self._store.delete(row.object_key)
            except Unavailable:
                _log.warning("picture_left_behind", event_id=str(row.event_id))

    async def _put(self, snapshot: Snapshot, result: ImageRow | Refusal) -> PictureResult:
        if isinstance(result, Refusal):
            return result
        try:
            await self._store.put(result.object_key, snapshot.jpeg, result.content_type, snapshot.expire_time)
        except Unavailable:
            return Pending()
        return result

    def _judge_all(self, tenant_id: TenantId, snapshots: Sequence[Snapshot]) -> list[ImageRow | Refusal]:
        return [self._judge(tenant_id, snapshot) for snapshot in snapshots]

    def _judge(self, tenant_id: TenantId, snapshot: Snapshot) -> ImageRow | Refusal:
        try:
            info = images.inspect(
                snapshot.jpeg,
                field="snapshot",
                max_bytes=self._max_bytes,
                max_pixels=self._max_pixels,
                formats=("JPEG",),
                invalid=problem_pb2.ERROR_REASON_SNAPSHOT_INVALID,
                too_large=problem_pb2.ERROR_REASON_SNAPSHOT_INVALID,
            )
        except MeshError as error:
            violations = tuple(Violation(found.field, found.description) for found in error.violations)
            return Refusal(Reason(reason_name(error.reason)), error.message, violations)
        return ImageRow(
            event_id=snapshot.event_id,
            site_id=snapshot.site_id,
            camera_id=snapshot.camera_id,
            object_key=object_key(tenant_id, snapshot.event_id, snapshot.capture_time),
            sha256=hashlib.sha256(snapshot.jpeg).digest(),
            size=len(snapshot.jpeg),
            width=info.width,
            height=info.height,
            content_type=CONTENT_TYPE,
            capture_time=snapshot.capture_time,
            expire_time=snapshot.expire_time,
        )


def object_key(tenant_id: TenantId, event_id: EventId, capture_time: datetime) -> str:
    """Where an event's picture lies. A folder per day: none of them grows without end."""
    return f"t/{tenant_id}/faces/{capture_time:%Y-%m-%d}/{event_id}.jpg"
