"""The tables of workers and their sessions. All times are the database's."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text

from mesh.database import Tx
from mesh.ids import CameraId, LeaseEpoch, SiteId, TenantId, WorkerId
from svc_registry.sessions.domain import PastSession, SessionEnd, Standing, WorkerState

_GOOD_KEY: Final = """EXISTS (
  SELECT 1 FROM api_keys k
  WHERE k.tenant_id = w.tenant_id AND k.worker_id = w.id AND k.revoke_time IS NULL
    AND (k.expire_time IS NULL OR k.expire_time > now()))"""


@dataclass(frozen=True, slots=True, order=True)
class SessionKey:
    """A worker's session."""

    worker_id: WorkerId
    generation: int


# -- beginning --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker as a Hello finds it.

    Attributes:
        removed: it is deleted, or has no good key.
        stolen: it is in the wrong hands.
    """

    site_id: SiteId
    state: WorkerState
    generation: int
    removed: bool
    stolen: bool


async def lock_worker(tx: Tx, worker_id: WorkerId) -> WorkerRow | None:
    """One worker; nobody else begins, renews or judges its sessions until the transaction ends."""
    rows = await tx.execute(
        text(f"""
        SELECT site_id, state, generation, delete_time IS NOT NULL OR NOT {_GOOD_KEY} AS removed,
          stolen_time IS NOT NULL AS stolen
        FROM workers w WHERE id = :worker FOR UPDATE
        """),  # noqa: S608 (a constant)
        {"worker": worker_id},
    )
    row = rows.first()
    if row is None:
        return None
    return WorkerRow(SiteId(row.site_id), WorkerState(row.state), row.generation, row.removed, row.stolen)


async def past_sessions(tx: Tx, worker_id: WorkerId, boot_id: UUID, last: int) -> list[PastSession]:
    """A worker's last session, and those of this boot."""
    rows = await tx.execute(
        text(
            "SELECT generation, boot_id FROM worker_sessions"
            " WHERE worker_id = :worker AND (generation = :last OR boot_id = :boot)"
        ),
        {"worker": worker_id, "boot": boot_id, "last": last},
    )
    return [PastSession(row.generation, row.boot_id) for row in rows]


async def end_sessions(tx: Tx, worker_id: WorkerId, reason: SessionEnd) -> None:
    """Ends what sessions of a worker are open."""
    await tx.execute(
        text(
            "UPDATE worker_sessions SET end_time = now(), end_reason = :reason"
            " WHERE worker_id = :worker AND end_time IS NULL"
        ),
        {"worker": worker_id, "reason": reason.value},
    )


@dataclass(frozen=True, slots=True)
class Introduction:
    """What Hello says of a worker."""

    boot_id: UUID
    agent_version: str
    platform: str
    execution_providers: Sequence[str]
    embedding_spaces: Sequence[str]
    slots: int
    spare_frame_rate: float


async def open_session(
    tx: Tx, tenant_id: TenantId, key: SessionKey, said: Introduction, *, site_id: SiteId, replica: str, ttl: timedelta
) -> None:
    """Begins a session; its generation becomes the worker's."""
    values = {
        "tenant": tenant_id,
        "worker": key.worker_id,
        "generation": key.generation,
        "site": site_id,
        "boot": said.boot_id,
        "replica": replica,
        "ttl": ttl,
        "version": said.agent_version,
        "platform": said.platform,
        "providers": list(said.execution_providers),
        "spaces": list(said.embedding_spaces),
        "slots": said.slots,
        "rate": said.spare_frame_rate,
    }
    await tx.execute(
        text("""
        INSERT INTO worker_sessions (tenant_id, worker_id, generation, site_id, boot_id, replica, expire_time)
        VALUES (:tenant, :worker, :generation, :site, :boot, :replica, now() + CAST(:ttl AS interval))
        """),
        values,
    )
    await tx.execute(
        text("""
        UPDATE workers SET generation = :generation, agent_version = :version, platform = :platform,
          execution_providers = CAST(:providers AS text[]), embedding_spaces = CAST(:spaces AS text[]), slots = :slots,
          spare_frame_rate = :rate, update_time = now()
        WHERE id = :worker
        """),
        values,
    )


async def set_state(tx: Tx, worker_id: WorkerId, state: WorkerState, reason: str = "") -> None:
    """Writes a worker's state; its time changes with it."""
    await tx.execute(
        text("""
        UPDATE workers SET state_time = CASE WHEN state = :state THEN state_time ELSE now() END, state = :state,
          state_reason = :reason, update_time = now()
        WHERE id = :worker
        """),
        {"worker": worker_id, "state": state.value, "reason": reason},
    )


# -- renewing ---------------------------------------------------------------------------------------------------------


async def lock_standings(tx: Tx, worker_ids: Collection[WorkerId]) -> dict[WorkerId, Standing]:
    """What decides about these workers' states, but for what they say themselves. Locks them, always in one order."""
    rows = await tx.execute(
        text("""
        SELECT id, state, drain_time IS NOT NULL AS drain, slots,
          (SELECT count(*) FROM leases l WHERE l.tenant_id = w.tenant_id AND l.worker_id = w.id
             AND l.state IN ('ACTIVE', 'RELEASING')) AS held
        FROM workers w WHERE id = ANY (CAST(:workers AS uuid[])) ORDER BY id FOR UPDATE OF w
        """),
        {"workers": list(worker_ids)},
    )
    return {
        WorkerId(row.id): Standing(WorkerState(row.state), drain=row.drain, slots=row.slots, held=row.held)
        for row in rows
    }


async def renew_sessions(tx: Tx, keys: Collection[SessionKey], ttl: timedelta) -> set[SessionKey]:
    """Prolongs sessions by the ttl, from now on: those that are their worker's last, have not ended and not expired."""
    rows = await tx.execute(
        text("""
        UPDATE worker_sessions n SET renew_time = now(), expire_time = now() + CAST(:ttl AS interval)
        FROM unnest(CAST(:workers AS uuid[]), CAST(:generations AS bigint[])) AS said(worker_id, generation), workers w
        WHERE n.worker_id = said.worker_id AND n.generation = said.generation
          AND w.tenant_id = n.tenant_id AND w.id = n.worker_id AND w.generation = n.generation
          AND n.end_time IS NULL AND n.expire_time > now()
        RETURNING n.worker_id, n.generation
        """),
        {"workers": [key.worker_id for key in keys], "generations": [key.generation for key in keys], "ttl": ttl},
    )
    return {SessionKey(WorkerId(row.worker_id), row.generation) for row in rows}


@dataclass(frozen=True, slots=True)
class Heard:
    """What a renewed heartbeat says of its worker.

    Attributes:
        spool_age: of the oldest event; None: the spool is empty.
        clock_offset_ms: server time minus its wall clock.
    """

    worker_id: WorkerId
    state: WorkerState
    state_reason: str
    slots: int
    spare_frame_rate: float
    spool_events: int
    spool_bytes: int
    spool_age: timedelta | None
    clock_offset_ms: int


_HEARD: Final = text("""
UPDATE workers SET heartbeat_time = now(), state = said.state, state_reason = said.reason,
  state_time = CASE WHEN workers.state = said.state THEN workers.state_time ELSE now() END,
  slots = said.slots, spare_frame_rate = said.rate, spool_events = said.events, spool_bytes = said.bytes,
  spool_oldest_time = now() - said.age, clock_offset_ms = said.offset_ms, update_time = now()
FROM unnest(CAST(:workers AS uuid[]), CAST(:states AS text[]), CAST(:reasons AS text[]), CAST(:slots AS integer[]),
  CAST(:rates AS float8[]), CAST(:events AS integer[]), CAST(:bytes AS bigint[]), CAST(:ages AS interval[]),
  CAST(:offsets AS integer[])) AS said(worker_id, state, reason, slots, rate, events, bytes, age, offset_ms)
WHERE workers.id = said.worker_id
""")


async def write_heard(tx: Tx, heard: Sequence[Heard]) -> None:
    """Notes what workers said."""
    await tx.execute(
        _HEARD,
        {
            "workers": [one.worker_id for one in heard],
            "states": [one.state.value for one in heard],
            "reasons": [one.state_reason for one in heard],
            "slots": [one.slots for one in heard],
            "rates": [one.spare_frame_rate for one in heard],
            "events": [one.spool_events for one in heard],
            "bytes": [one.spool_bytes for one in heard],
            "ages": [one.spool_age for one in heard],
            "offsets": [one.clock_offset_ms for one in heard],
        },
    )


@dataclass(frozen=True, slots=True)
class Slice:
    """What a worker watched of a camera in a quarter of an hour, under one epoch and boot: totals so far."""

    worker_id: WorkerId
    boot_id: UUID
    camera_id: CameraId
    epoch: LeaseEpoch
    start_time: datetime
    watched_ms: int
    frames: int
    faces_seen: int
    faces_usable: int
    events_evicted: int


# Only what was ever this worker's. The greatest wins: a repeat, a loss or a late slice does no harm.
_COVERAGE: Final = text("""
INSERT INTO coverage_slices AS kept (tenant_id, camera_id, start_time, epoch, boot_id, site_id, watched_ms, frames,
  faces_seen, faces_usable, events_evicted)
SELECT e.tenant_id, e.camera_id, said.start_time, e.epoch, said.boot_id, e.site_id, max(said.watched_ms),
  max(said.frames), max(said.faces_seen), max(said.faces_usable), max(said.events_evicted)
FROM unnest(CAST(:workers AS uuid[]), CAST(:boots AS uuid[]), CAST(:cameras AS uuid[]), CAST(:epochs AS bigint[]),
  CAST(:starts AS timestamptz[]), CAST(:watched AS integer[]), CAST(:frames AS integer[]), CAST(:seen AS integer[]),
  CAST(:usable AS integer[]), CAST(:evicted AS integer[]))
  AS said(worker_id, boot_id, camera_id, epoch, start_time, watched_ms, frames, faces_seen, faces_usable,
    events_evicted)
JOIN lease_epochs e ON e.tenant_id = :tenant AND e.camera_id = said.camera_id AND e.epoch = said.epoch
  AND e.worker_id = said.worker_id
GROUP BY e.tenant_id, e.camera_id, said.start_time, e.epoch, said.boot_id, e.site_id
ORDER BY e.camera_id, said.start_time, e.epoch, said.boot_id
ON CONFLICT (tenant_id, camera_id, start_time, epoch, boot_id) DO UPDATE SET
  watched_ms = greatest(kept.watched_ms, excluded.watched_ms), frames = greatest(kept.frames, excluded.frames),
  faces_seen = greatest(kept.faces_seen, excluded.faces_seen),
  faces_usable = greatest(kept.faces_usable, excluded.faces_usable),
  events_evicted = greatest(kept.events_evicted, excluded.events_evicted), update_time = now()
""")


async def write_coverage(tx: Tx, tenant_id: TenantId, slices: Iterable[Slice]) -> None:
    """Keeps the greatest of what was said and what is known, of each total."""
    said = list(slices)
    if not said:
        return
    await tx.execute(
        _COVERAGE,
        {
            "tenant": tenant_id,
            "workers": [one.worker_id for one in said],
            "boots": [one.boot_id for one in said],
            "cameras": [one.camera_id for one in said],
            "epochs": [one.epoch for one in said],
            "starts": [one.start_time for one in said],
            "watched": [one.watched_ms for one in said],
            "frames": [one.frames for one in said],
            "seen": [one.faces_seen for one in said],
            "usable": [one.faces_usable for one in said],
            "evicted": [one.events_evicted for one in said],
        },
    )


# -- judging ----------------------------------------------------------------------------------------------------------


async def ended(tx: Tx, keys: Collection[SessionKey]) -> dict[SessionKey, SessionEnd]:
    """Those of these sessions that are over, and why."""
    rows = await tx.execute(
        text(f"""
        SELECT n.worker_id, n.generation, CASE
          WHEN w.delete_time IS NOT NULL OR NOT {_GOOD_KEY} THEN 'REMOVED'
          WHEN w.state = 'QUARANTINED' THEN 'QUARANTINED'
          WHEN n.end_time IS NOT NULL THEN n.end_reason
          WHEN n.expire_time <= now() THEN 'EXPIRED' END AS verdict
        FROM worker_sessions n JOIN workers w ON w.tenant_id = n.tenant_id AND w.id = n.worker_id
        JOIN unnest(CAST(:workers AS uuid[]), CAST(:generations AS bigint[])) AS asked(worker_id, generation)
          ON asked.worker_id = n.worker_id AND asked.generation = n.generation
        """),  # noqa: S608 (a constant)
        {"workers": [key.worker_id for key in keys], "generations": [key.generation for key in keys]},
    )
    return {SessionKey(WorkerId(row.worker_id), row.generation): SessionEnd(row.verdict) for row in rows if row.verdict}


async def silent_workers(tx: Tx, at_least: timedelta) -> list[Row[Any]]:
    """Workers that have not renewed for so long, locked: id, state, silence, renew_time."""
    rows = await tx.execute(
        text("""
        SELECT w.id, w.state, now() - coalesce(n.renew_time, n.connect_time) AS silence,
          coalesce(n.renew_time, n.connect_time) AS renew_time
        FROM workers w
        JOIN worker_sessions n ON n.tenant_id = w.tenant_id AND n.worker_id = w.id AND n.generation = w.generation
        WHERE w.state NOT IN ('ENROLLED', 'LOST', 'MAINTENANCE', 'QUARANTINED')
          AND coalesce(n.renew_time, n.connect_time) <= now() - CAST(:silence AS interval)
        ORDER BY w.id FOR UPDATE OF w
        """),
        {"silence": at_least},
    )
    return list(rows)


# -- replicas ---------------------------------------------------------------------------------------------------------


async def renewed(tx: Tx, replica_id: UUID, address: str, most_gap: timedelta) -> None:
    """Notes that this replica has just renewed; a gap longer than `most_gap` makes it begin anew."""
    await tx.execute(
        text("""
        INSERT INTO replicas AS r (id, address, renewing_since_time, renew_time) VALUES (:id, :address, now(), now())
        ON CONFLICT (id) DO UPDATE SET renew_time = now(), address = excluded.address, renewing_since_time =
          CASE WHEN r.renew_time > now() - CAST(:gap AS interval) THEN r.renewing_since_time ELSE now() END
        """),
        {"id": replica_id, "address": address, "gap": most_gap},
    )


async def silence_tells(tx: Tx, ttl: timedelta, most_gap: timedelta) -> bool:
    """Whether some replica has renewed for one unbroken ttl, and still does: only then may anything expire."""
    answer = await tx.scalar(
        text("""
        SELECT EXISTS (SELECT 1 FROM replicas WHERE renew_time > now() - CAST(:gap AS interval)
          AND renewing_since_time <= now() - CAST(:ttl AS interval))
        """),
        {"ttl": ttl, "gap": most_gap},
    )
    return bool(answer)


async def forget_replicas(tx: Tx, replica_id: UUID | None = None) -> None:
    """Removes one replica, or those that have not renewed for an hour."""
    await tx.execute(
        text("DELETE FROM replicas WHERE id = :id OR renew_time < now() - interval '1 hour'"), {"id": replica_id}
    )
