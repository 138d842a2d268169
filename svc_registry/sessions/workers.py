"""Workers as people see them, and what people may do with them. Each use case runs in the transaction it is given."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text

from mesh.audit import Audit
from mesh.auth import Caller
from mesh.database import Tx, notify
from mesh.errors import FailedPrecondition, NotFound
from mesh.ids import SiteId, WorkerId
from svc_registry.hints import DESIRED
from svc_registry.sessions import store
from svc_registry.sessions.domain import SessionEnd, WorkerState, move

_KIND: Final = "worker"


@dataclass(frozen=True, slots=True)
class Worker:
    """A machine that watches cameras.

    Attributes:
        slots, spare_frame_rate, agent_version, platform, execution_providers, embedding_spaces: as it last said; of a
            worker that has never said Hello they mean nothing, and agent_version is "".
        camera_count: cameras whose lease it holds.
        api_key_id: the key that it signs in with; None: revoked.
        clock_offset_ms: server time minus its clock.
    """

    id: WorkerId
    site_id: SiteId
    display_name: str
    state: WorkerState
    state_reason: str
    state_time: datetime
    agent_version: str
    platform: str
    execution_providers: Sequence[str]
    embedding_spaces: Sequence[str]
    slots: int
    spare_frame_rate: float
    camera_count: int
    heartbeat_time: datetime | None
    create_time: datetime
    api_key_id: UUID | None
    spool_events: int
    clock_offset_ms: int
    stolen_time: datetime | None
    drain_time: datetime | None


_WORKERS: Final = """
SELECT w.*, (SELECT count(*) FROM leases l WHERE l.tenant_id = w.tenant_id AND l.worker_id = w.id
    AND l.state IN ('ACTIVE', 'RELEASING')) AS camera_count,
  (SELECT k.id FROM api_keys k WHERE k.tenant_id = w.tenant_id AND k.worker_id = w.id AND k.revoke_time IS NULL)
    AS api_key_id
FROM workers w WHERE w.delete_time IS NULL
"""

# What workers are listed by: an expression that is never null, ties by id.
_ORDERS: Final = {
    "display_name": "lower(w.display_name)",
    "state": "w.state",
    "heartbeat_time": "coalesce(w.heartbeat_time, '-infinity')",
}


async def list_workers(
    tx: Tx,
    *,
    site_ids: Collection[UUID],
    states: Collection[WorkerState],
    order_by: str,
    after: UUID | None,
    limit: int,
) -> list[Worker]:
    """Workers of the tenant.

    Args:
        site_ids, states: only these; empty: any.
        order_by: display_name, state or heartbeat_time, and " desc" after it; "": display_name.
        after: the last worker of the last page.
    """
    name, _, direction = (order_by or "display_name").partition(" ")
    key, sign, way = _ORDERS[name], ("<" if direction else ">"), ("DESC" if direction else "ASC")
    chosen = text(f"""
        {_WORKERS}
        AND (cardinality(CAST(:sites AS uuid[])) = 0 OR w.site_id = ANY (CAST(:sites AS uuid[])))
        AND (cardinality(CAST(:states AS text[])) = 0 OR w.state = ANY (CAST(:states AS text[])))
        AND (CAST(:after AS uuid) IS NULL
          OR ({key}, w.id) {sign} (SELECT {key}, w.id FROM workers w WHERE w.id = CAST(:after AS uuid)))
        ORDER BY {key} {way}, w.id {way} LIMIT :limit
        """)  # noqa: S608 (constants)
    values = {"sites": list(site_ids), "states": [str(state) for state in states], "after": after, "limit": limit}
    return [_worker(row) for row in await tx.execute(chosen, values)]


async def get_worker(tx: Tx, worker_id: WorkerId) -> Worker:
    """One worker.

    Raises:
        NotFound: not the caller's tenant's, at none of the caller's sites, or deleted.
    """
    row = (await tx.execute(text(f"{_WORKERS} AND w.id = :worker"), {"worker": worker_id})).first()
    if row is None:
        raise NotFound(_KIND, worker_id)
    return _worker(row)


@dataclass(frozen=True, slots=True)
class Workers:
    """What people may do with workers."""

    audit: Audit

    async def drain(self, tx: Tx, caller: Caller, worker_id: WorkerId, reason: str) -> Worker:
        """Has a worker give its cameras away, and none given to it, until `undrain`. The reconcile loop does the rest.

        A camera that no other worker has room for stays: it is watched rather than dark.

        Raises:
            NotFound: as `get_worker`.
        """
        worker = await self._locked(tx, worker_id)
        if worker.drain_time is None:
            await tx.execute(
                text("UPDATE workers SET drain_time = now(), update_time = now() WHERE id = :worker"),
                {"worker": worker_id},
            )
            if worker.state in {WorkerState.READY, WorkerState.FULL, WorkerState.UNHEALTHY}:
                after = WorkerState.DRAINING if worker.camera_count else WorkerState.DRAINED
                await store.set_state(tx, worker_id, move(worker.state, after), reason)
            await self._acted(tx, caller, "worker.drain", worker_id)
        return await get_worker(tx, worker_id)

    async def undrain(self, tx: Tx, caller: Caller, worker_id: WorkerId) -> Worker:
        """Ends a drain: the next heartbeat makes the worker READY again.

        Raises:
            NotFound: as `get_worker`.
        """
        worker = await self._locked(tx, worker_id)
        if worker.drain_time is not None:
            await tx.execute(
                text("UPDATE workers SET drain_time = NULL, update_time = now() WHERE id = :worker"),
                {"worker": worker_id},
            )
            if worker.state in {WorkerState.DRAINING, WorkerState.DRAINED}:
                await store.set_state(tx, worker_id, move(worker.state, WorkerState.CONNECTING))
            await self._acted(tx, caller, "worker.undrain", worker_id)
        return await get_worker(tx, worker_id)

    async def set_maintenance(
        self, tx: Tx, caller: Caller, worker_id: WorkerId, reason: str, *, maintenance: bool
    ) -> Worker:
        """Takes a worker out of service at once (its leases end in the reconcile loop), or puts it back.

        Raises:
            NotFound: as `get_worker`.
            FailedPrecondition: STATE_NOT_ALLOWED: it was reported stolen.
        """
        worker = await self._locked(tx, worker_id)
        if worker.stolen_time is not None:
            raise FailedPrecondition("a worker that was reported stolen stays quarantined")
        in_maintenance = worker.state is WorkerState.MAINTENANCE
        if maintenance != in_maintenance:
            after = WorkerState.MAINTENANCE
            if not maintenance:
                after = WorkerState.ENROLLED if worker.heartbeat_time is None else WorkerState.LOST
                # A session that is open goes on: its next heartbeat tells the rest. All others begin with a Hello.
                if await _session_lives(tx, worker_id):
                    after = WorkerState.CONNECTING
            elif worker.state is WorkerState.QUARANTINED:
                await store.end_sessions(tx, worker_id, SessionEnd.QUARANTINED)
            await store.set_state(tx, worker_id, move(worker.state, after), reason if maintenance else "")
            action = "worker.maintenance" if maintenance else "worker.restore"
            await self._acted(tx, caller, action, worker_id)
        return await get_worker(tx, worker_id)

    async def _locked(self, tx: Tx, worker_id: WorkerId) -> Worker:
        if await store.lock_worker(tx, worker_id) is None:
            raise NotFound(_KIND, worker_id)
        return await get_worker(tx, worker_id)

    async def _acted(self, tx: Tx, caller: Caller, action: str, worker_id: WorkerId) -> None:
        await self.audit.record(tx, caller, action, target_kind=_KIND, target_id=worker_id)
        await notify(tx, DESIRED)


async def _session_lives(tx: Tx, worker_id: WorkerId) -> bool:
    answer = await tx.scalar(
        text("""
        SELECT EXISTS (SELECT 1 FROM worker_sessions n JOIN workers w ON w.tenant_id = n.tenant_id
          AND w.id = n.worker_id AND w.generation = n.generation
          WHERE w.id = :worker AND n.end_time IS NULL AND n.expire_time > now())
        """),
        {"worker": worker_id},
    )
    return bool(answer)


def _worker(row: Row[Any]) -> Worker:
    return Worker(
        id=WorkerId(row.id),
        site_id=SiteId(row.site_id),
        display_name=row.display_name,
        state=WorkerState(row.state),
        state_reason=row.state_reason,
        state_time=row.state_time,
        agent_version=row.agent_version or "",
        platform=row.platform or "",
        execution_providers=tuple(row.execution_providers),
        embedding_spaces=tuple(row.embedding_spaces),
        slots=row.slots,
        spare_frame_rate=row.spare_frame_rate,
        camera_count=row.camera_count,
        heartbeat_time=row.heartbeat_time,
        create_time=row.create_time,
        api_key_id=row.api_key_id,
        spool_events=row.spool_events,
        clock_offset_ms=row.clock_offset_ms,
        stolen_time=row.stolen_time,
        drain_time=row.drain_time,
    )
