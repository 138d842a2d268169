"""Everything that workers should be doing, as the tables have it: the one source of what a worker watches."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, text

from mesh.database import Tx
from mesh.ids import CameraId, LeaseEpoch, WorkerId
from svc_registry.directory.cameras.domain import CameraRole, CameraSettings, Mask, OutagePolicy
from svc_registry.leases.domain import LeaseState

MOST_CAMERAS: Final = 256  # of one worker, as the contract has it


@dataclass(frozen=True, slots=True)
class DesiredLease:
    """One camera as its worker shall watch it. Two that are equal tell a worker the same.

    Attributes:
        epoch: 0 while PENDING.
        credentials: sealed; opened for the holder alone, on the way out.
        privacy_mode: of the site: FULL, NO_SNAPSHOTS, SAME_DAY or ANONYMOUS.
        embedding_space: the worker's best; "" where no embedding may be made.
        paused: held open, not analysed.
    """

    camera_id: CameraId
    state: LeaseState
    epoch: LeaseEpoch
    policy: OutagePolicy
    source_uri: str = field(repr=False)
    credentials: bytes | None = field(repr=False)
    recording_start_time: datetime | None
    settings: CameraSettings
    role: CameraRole
    masks: tuple[Mask, ...]
    privacy_mode: str
    embedding_space: str
    paused: bool
    release_deadline_time: datetime | None = None


_DESIRED: Final = text("""
SELECT w.id AS worker, l.camera_id, l.worker_id = w.id AND l.state IN ('ACTIVE', 'RELEASING') AS holds, l.state,
  l.epoch, l.outage_policy, l.release_deadline_time, c.source_uri, c.credentials, c.recording_start_time,
  c.settings, c.role, c.masks, c.processing, s.privacy_mode, w.embedding_spaces
FROM workers w
JOIN leases l ON l.tenant_id = w.tenant_id
  AND ((l.worker_id = w.id AND l.state IN ('ACTIVE', 'RELEASING') AND l.generation = w.generation)
    OR (l.successor_worker_id = w.id AND l.successor_generation = w.generation))
JOIN cameras c ON c.tenant_id = l.tenant_id AND c.id = l.camera_id
JOIN sites s ON s.tenant_id = c.tenant_id AND s.id = c.site_id
WHERE w.id = ANY (CAST(:workers AS uuid[])) AND c.enabled AND c.delete_time IS NULL
ORDER BY w.id, l.camera_id
""")


async def desired(tx: Tx, workers: Collection[WorkerId]) -> Mapping[WorkerId, tuple[DesiredLease, ...]]:
    """What each of these workers shall watch, by camera; none is left out."""
    found: dict[WorkerId, list[DesiredLease]] = {worker: [] for worker in workers}
    for row in await tx.execute(_DESIRED, {"workers": list(workers)}):
        found[WorkerId(row.worker)].append(_lease(row))
    return {worker: tuple(leases[:MOST_CAMERAS]) for worker, leases in found.items()}


async def next_revision(tx: Tx, worker_id: WorkerId, generation: int) -> int | None:
    """The number of the next Desired of a worker; None: it has begun another session."""
    revision = await tx.scalar(
        text(
            "UPDATE workers SET desired_revision = desired_revision + 1"
            " WHERE id = :worker AND generation = :generation RETURNING desired_revision"
        ),
        {"worker": worker_id, "generation": generation},
    )
    return None if revision is None else int(revision)


def _lease(row: Row[Any]) -> DesiredLease:
    anonymous = row.privacy_mode == "ANONYMOUS"
    return DesiredLease(
        camera_id=CameraId(row.camera_id),
        state=LeaseState(row.state) if row.holds else LeaseState.PENDING,
        epoch=LeaseEpoch(row.epoch if row.holds else 0),
        policy=OutagePolicy(row.outage_policy),
        source_uri=row.source_uri,
        credentials=row.credentials,
        recording_start_time=row.recording_start_time,
        settings=CameraSettings(**row.settings),
        role=CameraRole(row.role),
        masks=tuple(tuple((x, y) for x, y in mask) for mask in row.masks),
        privacy_mode=row.privacy_mode,
        embedding_space="" if anonymous else row.embedding_spaces[0],
        paused=not row.processing,
        release_deadline_time=row.release_deadline_time if row.holds else None,
    )
