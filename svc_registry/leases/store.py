"""The tables of leases: one row per camera, changed by compare-and-set on database time, and one row per epoch.

Every statement that gives or takes names what it has seen (epoch, holder, generation): zero rows mean that somebody
else was faster, and nothing has happened.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text

from mesh.database import Tx
from mesh.ids import CameraId, LeaseEpoch, SiteId, TenantId, WorkerId
from svc_registry.directory.cameras.domain import FRAME_RATE, OutagePolicy
from svc_registry.leases.domain import (
    PARKED_FOR,
    Camera,
    Candidate,
    EndReason,
    Held,
    LeaseState,
    Situation,
    ended_state,
    move,
)
from svc_registry.sessions.domain import Ref

# -- what is so -------------------------------------------------------------------------------------------------------

_GOOD_KEY: Final = """EXISTS (
  SELECT 1 FROM api_keys k
  WHERE k.tenant_id = w.tenant_id AND k.worker_id = w.id AND k.revoke_time IS NULL
    AND (k.expire_time IS NULL OR k.expire_time > now()))"""

# Everything that decides about each camera; those with nothing to decide are left out here, not in Python.
_CAMERAS: Final = text(f"""
WITH crews AS (
  SELECT site_id, count(*) AS workers FROM workers
  WHERE delete_time IS NULL AND state <> 'QUARANTINED' GROUP BY site_id
), seen AS (
  SELECT c.id, c.site_id, c.role, (c.settings ->> 'frame_rate')::float8 AS frame_rate, c.outage_policy AS chosen_policy,
    c.pinned_worker_id, coalesce(crews.workers, 0) AS crew,
    c.enabled AND c.delete_time IS NULL AND s.delete_time IS NULL AND :tenant_lives AS wanted,
    c.park_time IS NOT NULL AND c.park_time > now() - CAST(:parked_for AS interval) AS parked,
    l.lease_id, l.worker_id, l.epoch, l.generation, l.outage_policy, l.failures, l.successor_worker_id,
    coalesce(l.state IN ('ACTIVE', 'RELEASING'), false) AS held,
    coalesce(l.expire_time <= now(), false) AS expired,
    w.id IS NOT NULL AND (w.delete_time IS NOT NULL OR NOT {_GOOD_KEY}) AS worker_gone,
    coalesce(w.state IN ('MAINTENANCE', 'QUARANTINED'), false) AS worker_out,
    coalesce(w.state IN ('DRAINING', 'DRAINED'), false) AS draining,
    coalesce(w.generation > l.generation, false) AS newer_session,
    coalesce(n.end_time IS NULL AND n.expire_time > now(), false) AS session_lives
  FROM cameras c
  JOIN sites s ON s.tenant_id = c.tenant_id AND s.id = c.site_id
  LEFT JOIN crews ON crews.site_id = c.site_id
  LEFT JOIN leases l ON l.tenant_id = c.tenant_id AND l.camera_id = c.id
  LEFT JOIN workers w ON w.tenant_id = l.tenant_id AND w.id = l.worker_id
  LEFT JOIN worker_sessions n
    ON n.tenant_id = l.tenant_id AND n.worker_id = l.worker_id AND n.generation = l.generation
)
SELECT * FROM seen
WHERE CASE WHEN held
  THEN NOT wanted OR expired OR worker_gone OR worker_out OR newer_session OR draining
    OR successor_worker_id IS NOT NULL
    OR outage_policy <> coalesce(chosen_policy, CASE WHEN crew <= 1 THEN 'PINNED' ELSE 'FAILOVER' END)
  ELSE wanted AND NOT parked END
ORDER BY role <> 'ENTRANCE', id
""")  # noqa: S608 (constants)

# What a worker was given since its last heartbeat weighs on it before it can say so itself.
_CANDIDATES: Final = text(f"""
SELECT w.id, w.site_id, w.any_site, w.slots, w.generation,
  w.spare_frame_rate - coalesce(sum(coalesce((c.settings ->> 'frame_rate')::float8, :frame_rate))
    FILTER (WHERE l.grant_time > w.heartbeat_time), 0) AS spare_frame_rate,
  count(l.camera_id) AS held
FROM workers w
JOIN worker_sessions n ON n.tenant_id = w.tenant_id AND n.worker_id = w.id AND n.generation = w.generation
LEFT JOIN leases l ON l.tenant_id = w.tenant_id
  AND ((l.worker_id = w.id AND l.state IN ('ACTIVE', 'RELEASING')) OR l.successor_worker_id = w.id)
LEFT JOIN cameras c ON c.tenant_id = l.tenant_id AND c.id = l.camera_id
WHERE w.state = 'READY' AND w.delete_time IS NULL AND w.drain_time IS NULL AND cardinality(w.embedding_spaces) > 0
  AND n.end_time IS NULL AND n.expire_time > now() AND {_GOOD_KEY}
GROUP BY w.tenant_id, w.id
ORDER BY w.id
""")  # noqa: S608 (constants)


@dataclass(frozen=True, slots=True)
class CandidateRow:
    """A worker that takes cameras, and the session under which."""

    candidate: Candidate
    generation: int


async def undecided(tx: Tx, *, tenant_lives: bool) -> list[Situation]:
    """The cameras whose lease may have to change: entrances first.

    Args:
        tenant_lives: False: none of its cameras is wanted.
    """
    rows = await tx.execute(_CAMERAS, {"tenant_lives": tenant_lives, "parked_for": PARKED_FOR})
    return [_situation(row) for row in rows]


async def candidates(tx: Tx) -> list[CandidateRow]:
    """The workers that take cameras, by id."""
    rows = await tx.execute(_CANDIDATES, {"frame_rate": FRAME_RATE})
    return [
        CandidateRow(
            Candidate(
                id=WorkerId(row.id),
                site_id=SiteId(row.site_id),
                slots=row.slots,
                held=row.held,
                spare_frame_rate=row.spare_frame_rate,
                any_site=row.any_site,
            ),
            row.generation,
        )
        for row in rows
    ]


async def lock_workers(tx: Tx) -> None:
    """Keeps sessions of the tenant's workers from changing until the transaction ends."""
    await tx.execute(text("SELECT id FROM workers ORDER BY id FOR SHARE"))


def _situation(row: Row[Any]) -> Situation:
    failures = {WorkerId(UUID(worker)): int(count) for worker, count in (row.failures or {}).items()}
    wanted_policy = row.chosen_policy or ("PINNED" if row.crew <= 1 else "FAILOVER")
    held = None
    if row.held:
        held = Held(
            camera_id=CameraId(row.id),
            epoch=LeaseEpoch(row.epoch),
            worker_id=WorkerId(row.worker_id),
            policy=OutagePolicy(row.outage_policy),
            wanted_policy=OutagePolicy(wanted_policy),
            expired=row.expired,
            wanted=row.wanted,
            worker_gone=row.worker_gone,
            worker_out=row.worker_out,
            newer_session=row.newer_session,
            session_lives=row.session_lives,
            generation=row.generation,
            draining=row.draining,
        )
    return Situation(
        camera=Camera(
            id=CameraId(row.id),
            site_id=SiteId(row.site_id),
            frame_rate=row.frame_rate or FRAME_RATE,
            pinned_worker_id=WorkerId(row.pinned_worker_id) if row.pinned_worker_id else None,
            failures=failures,
        ),
        wanted_policy=OutagePolicy(wanted_policy),
        epoch=LeaseEpoch(row.epoch or 0),
        held=held,
        successor_worker_id=WorkerId(row.successor_worker_id) if row.successor_worker_id else None,
    )


# -- giving -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Grant:
    """A lease to give to a worker.

    Attributes:
        seen: the camera's epoch when this was decided; the lease gets the next one.
        generation: of the worker's session.
    """

    lease_id: UUID
    camera_id: CameraId
    site_id: SiteId
    worker_id: WorkerId
    generation: int
    policy: OutagePolicy
    seen: LeaseEpoch


# Epoch and lease in one statement: neither is ever without the other. A row is inserted only where there was none.
_GRANT: Final = text("""
WITH granted AS (
  INSERT INTO leases AS l (tenant_id, camera_id, site_id, lease_id, state, epoch, worker_id, generation, outage_policy,
    grant_time, expire_time)
  VALUES (:tenant, :camera, :site, :lease, 'ACTIVE', 1, :worker, :generation, :policy, now(),
    CASE WHEN :policy = 'PINNED' THEN NULL ELSE now() + CAST(:ttl AS interval) END)
  ON CONFLICT (tenant_id, camera_id) DO UPDATE SET site_id = excluded.site_id, lease_id = excluded.lease_id,
    state = 'ACTIVE', epoch = l.epoch + 1, worker_id = excluded.worker_id, generation = excluded.generation,
    outage_policy = excluded.outage_policy, grant_time = now(), expire_time = excluded.expire_time,
    release_deadline_time = NULL, successor_lease_id = NULL, successor_worker_id = NULL, successor_generation = NULL,
    successor_time = NULL, update_time = now()
  WHERE l.epoch = :seen AND l.state NOT IN ('ACTIVE', 'RELEASING')
  RETURNING tenant_id, camera_id, site_id, lease_id, epoch, worker_id, generation, grant_time, expire_time
)
INSERT INTO lease_epochs
  (tenant_id, camera_id, site_id, lease_id, epoch, worker_id, generation, grant_time, expire_time)
SELECT tenant_id, camera_id, site_id, lease_id, epoch, worker_id, generation, grant_time, expire_time FROM granted
RETURNING epoch
""")


async def grant(tx: Tx, tenant_id: TenantId, wanted: Grant, ttl: timedelta) -> LeaseEpoch | None:
    """Gives a camera that nobody watches to a worker, under the next epoch. None: somebody was faster."""
    values = {
        "tenant": tenant_id,
        "camera": wanted.camera_id,
        "site": wanted.site_id,
        "lease": wanted.lease_id,
        "worker": wanted.worker_id,
        "generation": wanted.generation,
        "policy": wanted.policy.value,
        "seen": wanted.seen,
        "ttl": ttl,
    }
    epoch = await tx.scalar(_GRANT, values)
    if epoch is None:
        return None
    await tx.execute(
        text(
            "UPDATE cameras SET park_time = NULL, park_reason = NULL, update_time = now()"
            " WHERE id = :camera AND park_time IS NOT NULL"
        ),
        values,
    )
    return LeaseEpoch(epoch)


# -- taking -----------------------------------------------------------------------------------------------------------

_END: Final = text("""
WITH ended AS (
  UPDATE leases l SET state = :state, worker_id = NULL, generation = NULL, expire_time = NULL,
    release_deadline_time = NULL, update_time = now()
  FROM (SELECT tenant_id, camera_id, expire_time FROM leases
        WHERE camera_id = :camera AND epoch = :epoch AND worker_id = :worker AND state IN ('ACTIVE', 'RELEASING')
          AND (NOT :by_expiry OR expire_time <= now())
        FOR UPDATE) was
  WHERE l.tenant_id = was.tenant_id AND l.camera_id = was.camera_id
  RETURNING l.tenant_id, l.camera_id, l.epoch, was.expire_time
)
UPDATE lease_epochs e SET end_reason = :reason, problem = CAST(:problem AS jsonb), expire_time = ended.expire_time,
  end_time = greatest(e.grant_time, least(now(), ended.expire_time))
FROM ended
WHERE e.tenant_id = ended.tenant_id AND e.camera_id = ended.camera_id AND e.epoch = ended.epoch
RETURNING e.epoch
""")


async def end(
    tx: Tx,
    ref: Ref,
    worker_id: WorkerId,
    reason: EndReason,
    *,
    problem: Mapping[str, object] | None = None,
) -> bool:
    """Ends a lease and its epoch: now, or at its last renewed expiry where that has passed.

    Args:
        ref, worker_id: as seen; a lease that has moved on is left alone.
        reason: EXPIRED ends it only if it has.
        problem: why its holder gave it up, a footfall.type.v1.Problem as JSON.

    Returns:
        Whether it was this call that ended it.
    """
    ended = await tx.scalar(
        _END,
        {
            "camera": ref.camera_id,
            "epoch": ref.epoch,
            "worker": worker_id,
            "state": move(LeaseState.ACTIVE, ended_state(reason)).value,
            "by_expiry": reason is EndReason.EXPIRED,
            "reason": reason.value,
            "problem": json.dumps(problem) if problem else None,
        },
    )
    return ended is not None


async def count_failure(tx: Tx, camera_id: CameraId, worker_id: WorkerId) -> Mapping[WorkerId, int]:
    """Notes that a worker could not watch a camera; the failures so far."""
    failures = await tx.scalar(
        text("""
        UPDATE leases SET failures = jsonb_set(failures, ARRAY[CAST(:worker AS text)],
          to_jsonb(coalesce((failures ->> CAST(:worker AS text))::int, 0) + 1))
        WHERE camera_id = :camera RETURNING failures
        """),
        {"camera": camera_id, "worker": str(worker_id)},
    )
    return {WorkerId(UUID(worker)): int(count) for worker, count in (failures or {}).items()}


async def park(tx: Tx, camera_id: CameraId, reason: str) -> None:
    """Leaves a camera alone for a while, and forgets who failed on it."""
    values = {"camera": camera_id, "reason": reason}
    await tx.execute(text("UPDATE leases SET failures = '{}' WHERE camera_id = :camera"), values)
    await tx.execute(
        text("UPDATE cameras SET park_time = now(), park_reason = :reason, update_time = now() WHERE id = :camera"),
        values,
    )


# -- holding ----------------------------------------------------------------------------------------------------------


async def owned(tx: Tx, worker_id: WorkerId) -> dict[Ref, bool]:
    """The leases under which a worker watches → whether they live: an expired one may only end. Locks them."""
    rows = await tx.execute(
        text("""
        SELECT camera_id, epoch, coalesce(expire_time > now(), true) AS lives FROM leases
        WHERE worker_id = :worker AND state IN ('ACTIVE', 'RELEASING') ORDER BY camera_id FOR UPDATE
        """),
        {"worker": worker_id},
    )
    return {Ref(CameraId(row.camera_id), LeaseEpoch(row.epoch)): row.lives for row in rows}


async def keep(tx: Tx, worker_id: WorkerId, generation: int, refs: Collection[Ref]) -> None:
    """Leases that go on under a worker's new session. They are renewed by its heartbeats, not by this."""
    await tx.execute(
        text("""
        UPDATE leases SET generation = :generation, update_time = now()
        FROM unnest(CAST(:cameras AS uuid[]), CAST(:epochs AS bigint[])) AS kept(camera_id, epoch)
        WHERE leases.camera_id = kept.camera_id AND leases.epoch = kept.epoch AND leases.worker_id = :worker
        """),
        {
            "worker": worker_id,
            "generation": generation,
            "cameras": [ref.camera_id for ref in refs],
            "epochs": [ref.epoch for ref in refs],
        },
    )


@dataclass(frozen=True, slots=True)
class Renewal:
    """A lease that a heartbeat names, and what it says about its camera.

    Attributes:
        frame_age_ms: of the newest frame; None before the first.
        problem: a footfall.type.v1.Problem as JSON.
        complete_to_time: everything captured before has left the spool.
    """

    worker_id: WorkerId
    generation: int
    ref: Ref
    activity: str
    frame_age_ms: int | None = None
    frame_rate: float = 0.0
    problem: Mapping[str, object] | None = field(default=None, repr=False)
    spool_events: int = 0
    complete_to_time: datetime | None = None


_RENEW: Final = text("""
UPDATE leases SET update_time = now(),
  expire_time = CASE WHEN outage_policy = 'PINNED' THEN NULL ELSE now() + CAST(:ttl AS interval) END,
  failures = CASE WHEN said.activity = 'WATCHING' THEN '{}' ELSE failures END
FROM unnest(CAST(:workers AS uuid[]), CAST(:generations AS bigint[]), CAST(:cameras AS uuid[]),
  CAST(:epochs AS bigint[]), CAST(:activities AS text[])) AS said(worker_id, generation, camera_id, epoch, activity)
WHERE leases.camera_id = said.camera_id AND leases.epoch = said.epoch AND leases.worker_id = said.worker_id
  AND leases.generation = said.generation AND state IN ('ACTIVE', 'RELEASING')
  AND (expire_time IS NULL OR expire_time > now())
RETURNING leases.worker_id, leases.camera_id, leases.epoch
""")


async def renew(tx: Tx, renewals: Sequence[Renewal], ttl: timedelta) -> dict[WorkerId, set[Ref]]:
    """Prolongs leases by the ttl, from now on. Those that expired, or moved on, are not in the answer."""
    if not renewals:
        return {}
    rows = await tx.execute(
        _RENEW,
        {
            "workers": [one.worker_id for one in renewals],
            "generations": [one.generation for one in renewals],
            "cameras": [one.ref.camera_id for one in renewals],
            "epochs": [one.ref.epoch for one in renewals],
            "activities": [one.activity for one in renewals],
            "ttl": ttl,
        },
    )
    renewed: dict[WorkerId, set[Ref]] = {}
    for row in rows:
        ref = Ref(CameraId(row.camera_id), LeaseEpoch(row.epoch))
        renewed.setdefault(WorkerId(row.worker_id), set()).add(ref)
    return renewed


_REPORT: Final = text("""
INSERT INTO camera_reports (tenant_id, camera_id, site_id, worker_id, epoch, activity, frame_age_ms, frame_rate,
  problem, spool_events, complete_to_time, report_time)
SELECT :tenant, said.camera_id, l.site_id, said.worker_id, said.epoch, said.activity, said.frame_age_ms,
  said.frame_rate, CAST(said.problem AS jsonb), said.spool_events, said.complete_to_time, now()
FROM unnest(CAST(:workers AS uuid[]), CAST(:cameras AS uuid[]), CAST(:epochs AS bigint[]), CAST(:activities AS text[]),
  CAST(:ages AS integer[]), CAST(:rates AS float8[]), CAST(:problems AS text[]), CAST(:spools AS integer[]),
  CAST(:complete AS timestamptz[]))
  AS said(worker_id, camera_id, epoch, activity, frame_age_ms, frame_rate, problem, spool_events, complete_to_time)
JOIN leases l ON l.tenant_id = :tenant AND l.camera_id = said.camera_id
ORDER BY said.camera_id
ON CONFLICT (tenant_id, camera_id) DO UPDATE SET site_id = excluded.site_id, worker_id = excluded.worker_id,
  epoch = excluded.epoch, activity = excluded.activity, frame_age_ms = excluded.frame_age_ms,
  frame_rate = excluded.frame_rate, problem = excluded.problem, spool_events = excluded.spool_events,
  complete_to_time = coalesce(excluded.complete_to_time, camera_reports.complete_to_time), report_time = now()
""")


async def report(tx: Tx, tenant_id: TenantId, reports: Iterable[Renewal]) -> None:
    """Notes how cameras fare. Each camera at most once."""
    said = list(reports)
    if not said:
        return
    await tx.execute(
        _REPORT,
        {
            "tenant": tenant_id,
            "workers": [one.worker_id for one in said],
            "cameras": [one.ref.camera_id for one in said],
            "epochs": [one.ref.epoch for one in said],
            "activities": [one.activity for one in said],
            "ages": [one.frame_age_ms for one in said],
            "rates": [one.frame_rate for one in said],
            "problems": [json.dumps(one.problem) if one.problem else None for one in said],
            "spools": [one.spool_events for one in said],
            "complete": [one.complete_to_time for one in said],
        },
    )


# -- moving -----------------------------------------------------------------------------------------------------------


async def propose(tx: Tx, wanted: Grant) -> bool:
    """Gives a PENDING lease to a successor, beside the one that lives. False: somebody was faster."""
    proposed = await tx.scalar(
        text("""
        UPDATE leases SET successor_lease_id = :lease, successor_worker_id = :worker,
          successor_generation = :generation, successor_time = now(), update_time = now()
        WHERE camera_id = :camera AND epoch = :seen AND state = 'ACTIVE' AND successor_worker_id IS NULL
          AND worker_id <> :worker
        RETURNING camera_id
        """),
        {
            "lease": wanted.lease_id,
            "worker": wanted.worker_id,
            "generation": wanted.generation,
            "camera": wanted.camera_id,
            "seen": wanted.seen,
        },
    )
    return proposed is not None


async def withdraw(tx: Tx, camera_id: CameraId, worker_id: WorkerId) -> bool:
    """Ends a PENDING lease. False: there was none."""
    withdrawn = await tx.scalar(
        text("""
        UPDATE leases SET successor_lease_id = NULL, successor_worker_id = NULL, successor_generation = NULL,
          successor_time = NULL, update_time = now()
        WHERE camera_id = :camera AND successor_worker_id = :worker RETURNING camera_id
        """),
        {"camera": camera_id, "worker": worker_id},
    )
    return withdrawn is not None


async def withdraw_stale(tx: Tx) -> int:
    """Ends the PENDING leases of workers that can no longer become holders; how many."""
    result = await tx.execute(
        text("""
        UPDATE leases SET successor_lease_id = NULL, successor_worker_id = NULL, successor_generation = NULL,
          successor_time = NULL, update_time = now()
        WHERE successor_worker_id IS NOT NULL AND (state <> 'ACTIVE' OR NOT EXISTS (
          SELECT 1 FROM workers w JOIN worker_sessions n
            ON n.tenant_id = w.tenant_id AND n.worker_id = w.id AND n.generation = w.generation
          WHERE w.tenant_id = leases.tenant_id AND w.id = leases.successor_worker_id
            AND w.generation = leases.successor_generation AND n.end_time IS NULL AND n.expire_time > now()
            AND w.drain_time IS NULL AND w.delete_time IS NULL AND w.state NOT IN ('MAINTENANCE', 'QUARANTINED')))
        """)
    )
    return result.rowcount


async def successor_of(tx: Tx, camera_id: CameraId, worker_id: WorkerId, generation: int) -> Row[Any] | None:
    """The lease whose PENDING successor this session is, locked: lease_id, site_id, epoch, worker_id, policy."""
    rows = await tx.execute(
        text("""
        SELECT successor_lease_id AS lease_id, site_id, epoch, worker_id, outage_policy FROM leases
        WHERE camera_id = :camera AND successor_worker_id = :worker AND successor_generation = :generation
          AND state IN ('ACTIVE', 'RELEASING') FOR UPDATE
        """),
        {"camera": camera_id, "worker": worker_id, "generation": generation},
    )
    return rows.first()
