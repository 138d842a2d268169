"""The use cases of a session: it begins, a lease is ready, a lease is given back. Each is one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

from mesh.audit import Audit
from mesh.auth import Caller
from mesh.clock import Clock
from mesh.database import Database, Tx, notify
from mesh.ids import CameraId, Ids, LeaseEpoch, SiteId, TenantId, WorkerId
from svc_registry.directory.cameras.domain import OutagePolicy
from svc_registry.hints import DESIRED
from svc_registry.leases import store as leases
from svc_registry.leases.domain import EndReason, LeaseState, is_to_be_parked, move
from svc_registry.leases.store import Grant
from svc_registry.sessions import store
from svc_registry.sessions.domain import (
    Greeting,
    Ref,
    SessionEnd,
    Settlement,
    Timing,
    WorkerState,
    greet,
    settle,
)
from svc_registry.sessions.domain import move as move_worker
from svc_registry.sessions.store import Introduction, SessionKey, WorkerRow

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that has begun, and what became of the leases that its worker named."""

    key: SessionKey
    settlement: Settlement


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSessions:
    """
    Attributes:
        database, audit, clock, ids: given.
        timing: of sessions and leases.
        replica: host:port of this process, for other replicas.
    """

    database: Database
    audit: Audit
    clock: Clock
    ids: Ids
    timing: Timing
    replica: str

    async def open(self, caller: Caller, said: Introduction, held: Sequence[Ref]) -> Opened | Greeting:
        """Begins a session, which ends the worker's older ones; or says why not.

        Leases that the worker still holds go on under the new session; those that it does not name are over.
        """
        tenant_id, worker_id = caller.tenant, caller.worker_id
        if worker_id is None:
            return Greeting.REMOVED

        async def work(tx: Tx) -> Opened | Greeting:
            worker = await store.lock_worker(tx, worker_id)
            if worker is None:
                return Greeting.REMOVED
            past = await store.past_sessions(tx, worker_id, said.boot_id, worker.generation)
            greeting = greet(worker.state, said.boot_id, past, removed=worker.removed, stolen=worker.stolen)
            await notify(tx, DESIRED)
            if greeting is Greeting.QUARANTINED and worker.state is not WorkerState.QUARANTINED:
                await self._quarantine(tx, caller, worker_id, worker)
            if greeting is not Greeting.WELCOME:
                return greeting
            resumed = any(one.generation == worker.generation and one.boot_id == said.boot_id for one in past)
            await store.end_sessions(tx, worker_id, SessionEnd.RESUMED if resumed else SessionEnd.SUPERSEDED)
            key = SessionKey(worker_id, worker.generation + 1)
            await store.open_session(
                tx, tenant_id, key, said, site_id=worker.site_id, replica=self.replica, ttl=self.timing.ttl
            )
            if worker.state is not WorkerState.MAINTENANCE:
                await store.set_state(tx, worker_id, move_worker(worker.state, WorkerState.CONNECTING))
            return Opened(key, await self._settle(tx, key, held))

        return await self.database.run(tenant_id, work)

    async def _settle(self, tx: Tx, key: SessionKey, held: Sequence[Ref]) -> Settlement:
        owned = await leases.owned(tx, key.worker_id)
        settlement = settle(held, [ref for ref, lives in owned.items() if lives])
        await leases.keep(tx, key.worker_id, key.generation, settlement.keep)
        for ref in owned:
            if ref not in settlement.keep:
                await leases.end(tx, ref, key.worker_id, EndReason.NOT_HELD)
        return settlement

    async def _quarantine(self, tx: Tx, caller: Caller, worker_id: WorkerId, worker: WorkerRow) -> None:
        state = move_worker(worker.state, WorkerState.QUARANTINED)
        await store.set_state(tx, worker_id, state, "two processes claim this worker")
        await store.end_sessions(tx, worker_id, SessionEnd.QUARANTINED)
        await self.audit.record(tx, caller, "worker.quarantine", target_kind="worker", target_id=worker_id)
        _log.warning("worker_quarantined", worker_id=str(worker_id))

    async def ready(self, tenant_id: TenantId, key: SessionKey, camera_id: CameraId) -> None:
        """A PENDING lease's camera delivers: its epoch begins, and the old one's ends, in one transaction."""

        async def work(tx: Tx) -> None:
            old = await leases.successor_of(tx, camera_id, key.worker_id, key.generation)
            if old is None:
                return  # said twice, or withdrawn meanwhile: Desired tells
            move(LeaseState.PENDING, LeaseState.ACTIVE)
            epoch = LeaseEpoch(old.epoch)
            await leases.end(tx, Ref(camera_id, epoch), WorkerId(old.worker_id), EndReason.FLIPPED)
            wanted = Grant(
                lease_id=UUID(str(old.lease_id)),
                camera_id=camera_id,
                site_id=SiteId(old.site_id),
                worker_id=key.worker_id,
                generation=key.generation,
                policy=OutagePolicy(old.outage_policy),
                seen=epoch,
            )
            await leases.grant(tx, tenant_id, wanted, self.timing.ttl)
            await notify(tx, DESIRED)

        await self.database.run(tenant_id, work)

    async def release(
        self,
        tenant_id: TenantId,
        key: SessionKey,
        ref: Ref,
        problem: Mapping[str, object] | None,
    ) -> None:
        """A worker no longer watches, or could not begin.

        Args:
            ref: epoch 0 for a PENDING lease.
            problem: why it gave up; None: it was asked to, or it leaves.
        """

        async def work(tx: Tx) -> None:
            if ref.epoch:
                reason = EndReason.GIVEN_UP if problem else EndReason.RELEASED
                done = await leases.end(tx, ref, key.worker_id, reason, problem=problem)
            else:
                move(LeaseState.PENDING, LeaseState.REJECTED)
                done = await leases.withdraw(tx, ref.camera_id, key.worker_id)
            if not done:
                return
            if problem:
                failures = await leases.count_failure(tx, ref.camera_id, key.worker_id)
                if is_to_be_parked(failures):
                    await leases.park(tx, ref.camera_id, str(problem.get("message", "")))
            await notify(tx, DESIRED)

        await self.database.run(tenant_id, work)
