"""Leases and coverage as people read them, a page at a time."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text

from mesh.database import Tx
from mesh.ids import CameraId, LeaseEpoch, SiteId, WorkerId
from svc_registry.directory.cameras.domain import OutagePolicy
from svc_registry.leases.domain import EndReason, LeaseState, ended_state


@dataclass(frozen=True, slots=True)
class Lease:
    """One worker's right to one camera, for a time.

    Attributes:
        epoch: 0 while PENDING.
        active_time: when the epoch began; None while PENDING.
        expire_time: None for PINNED, and once it has ended.
        problem: why its holder gave it up, a footfall.type.v1.Problem as JSON.
    """

    id: UUID
    camera_id: CameraId
    site_id: SiteId
    worker_id: WorkerId
    epoch: LeaseEpoch
    state: LeaseState
    policy: OutagePolicy
    grant_time: datetime
    active_time: datetime | None
    expire_time: datetime | None
    end_time: datetime | None = None
    problem: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """Which leases; an empty collection means any."""

    site_ids: Collection[UUID] = field(default=())
    camera_ids: Collection[UUID] = field(default=())
    worker_ids: Collection[UUID] = field(default=())

    def values(self) -> dict[str, object]:
        """As the statements take them."""
        return {"sites": list(self.site_ids), "cameras": list(self.camera_ids), "workers": list(self.worker_ids)}


_FILTER: Final = """
  (cardinality(CAST(:sites AS uuid[])) = 0 OR site_id = ANY (CAST(:sites AS uuid[])))
  AND (cardinality(CAST(:cameras AS uuid[])) = 0 OR camera_id = ANY (CAST(:cameras AS uuid[])))
  AND (cardinality(CAST(:workers AS uuid[])) = 0 OR worker_id = ANY (CAST(:workers AS uuid[])))
  AND (CAST(:after_time AS timestamptz) IS NULL OR (grant_time, id) < (CAST(:after_time AS timestamptz), :after_id))
ORDER BY grant_time DESC, id DESC LIMIT :limit
"""

_LIVING: Final = text(f"""
SELECT * FROM (
  SELECT lease_id AS id, camera_id, site_id, worker_id, epoch, state, outage_policy, grant_time,
    grant_time AS active_time, expire_time FROM leases WHERE state IN ('ACTIVE', 'RELEASING') AND lease_id IS NOT NULL
  UNION ALL
  SELECT successor_lease_id, camera_id, site_id, successor_worker_id, 0, 'PENDING', outage_policy, successor_time,
    NULL, NULL FROM leases WHERE successor_lease_id IS NOT NULL
) l WHERE {_FILTER}
""")  # noqa: S608 (constants)

# Of an epoch that runs, the living lease knows the expiry; of one that has ended, its row does.
_HISTORY: Final = text(f"""
SELECT * FROM (
  SELECT e.lease_id AS id, e.camera_id, e.site_id, e.worker_id, e.epoch, e.grant_time, e.end_time, e.end_reason,
    e.problem, coalesce(l.state, 'ACTIVE') AS state, l.expire_time AS living_expire_time,
    CASE WHEN e.end_time IS NULL THEN coalesce(l.outage_policy, 'FAILOVER')
      WHEN e.expire_time IS NULL THEN 'PINNED' ELSE 'FAILOVER' END AS outage_policy
  FROM lease_epochs e
  LEFT JOIN leases l ON l.tenant_id = e.tenant_id AND l.camera_id = e.camera_id AND l.epoch = e.epoch
  WHERE (CAST(:from_time AS timestamptz) IS NULL OR e.end_time IS NULL OR e.end_time > CAST(:from_time AS timestamptz))
    AND (CAST(:to_time AS timestamptz) IS NULL OR e.grant_time < CAST(:to_time AS timestamptz))
) l WHERE {_FILTER}
""")  # noqa: S608 (constants)


async def list_leases(tx: Tx, wanted: Filter, after: tuple[datetime, UUID] | None, limit: int) -> list[Lease]:
    """Leases that live, the latest granted first.

    Args:
        after: grant_time and id of the last lease of the last page.
    """
    rows = await tx.execute(_LIVING, {**wanted.values(), **_position(after), "limit": limit})
    return [
        Lease(
            **_common(row),
            state=LeaseState(row.state),
            active_time=row.active_time,
            expire_time=row.expire_time,
        )
        for row in rows
    ]


async def list_history(
    tx: Tx,
    wanted: Filter,
    *,
    start: datetime | None,
    end: datetime | None,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Lease]:
    """Leases that had an epoch, also those that have ended, the latest granted first.

    Args:
        start: only those that had not ended by then.
        end: only those granted before.
        after: as for `list_leases`.
    """
    values = {**wanted.values(), **_position(after), "limit": limit, "from_time": start, "to_time": end}
    return [
        Lease(
            **_common(row),
            state=LeaseState(row.state) if row.end_time is None else ended_state(EndReason(row.end_reason)),
            active_time=row.grant_time,
            expire_time=row.living_expire_time if row.end_time is None else None,
            end_time=row.end_time,
            problem=row.problem,
        )
        for row in await tx.execute(_HISTORY, values)
    ]


def _position(after: tuple[datetime, UUID] | None) -> dict[str, object]:
    return {"after_time": after[0] if after else None, "after_id": after[1] if after else UUID(int=0)}


def _common(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "camera_id": CameraId(row.camera_id),
        "site_id": SiteId(row.site_id),
        "worker_id": WorkerId(row.worker_id),
        "epoch": LeaseEpoch(row.epoch),
        "policy": OutagePolicy(row.outage_policy),
        "grant_time": row.grant_time,
    }


@dataclass(frozen=True, slots=True)
class Coverage:
    """What was watched of a camera in a quarter of an hour, over all epochs and boots."""

    camera_id: CameraId
    site_id: SiteId
    start_time: datetime
    watched_ms: int
    frames: int
    faces_seen: int
    faces_usable: int
    events_evicted: int


# Two epochs share the quarter of a hand-over, and never watch at once for longer than a clock is wrong.
_COVERAGE: Final = text("""
SELECT camera_id, site_id, start_time, least(900000, sum(watched_ms)) AS watched_ms, sum(frames) AS frames,
  sum(faces_seen) AS faces_seen, sum(faces_usable) AS faces_usable, sum(events_evicted) AS events_evicted
FROM coverage_slices
WHERE start_time >= :start AND start_time < :end
  AND (cardinality(CAST(:sites AS uuid[])) = 0 OR site_id = ANY (CAST(:sites AS uuid[])))
  AND (cardinality(CAST(:cameras AS uuid[])) = 0 OR camera_id = ANY (CAST(:cameras AS uuid[])))
  AND (CAST(:after_time AS timestamptz) IS NULL
    OR (start_time, camera_id) > (CAST(:after_time AS timestamptz), :after_id))
GROUP BY start_time, camera_id, site_id
ORDER BY start_time, camera_id LIMIT :limit
""")


async def list_coverage(
    tx: Tx, wanted: Filter, *, start: datetime, end: datetime, after: tuple[datetime, UUID] | None, limit: int
) -> list[Coverage]:
    """What was watched from `start` until before `end`, by time, then camera.

    Args:
        after: start_time and camera of the last row of the last page.
    """
    values = {**wanted.values(), **_position(after), "start": start, "end": end, "limit": limit}
    del values["workers"]
    return [
        Coverage(
            camera_id=CameraId(row.camera_id),
            site_id=SiteId(row.site_id),
            start_time=row.start_time,
            watched_ms=row.watched_ms,
            frames=row.frames,
            faces_seen=row.faces_seen,
            faces_usable=row.faces_usable,
            events_evicted=row.events_evicted,
        )
        for row in await tx.execute(_COVERAGE, values)
    ]
