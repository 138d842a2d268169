"""The loop that makes leases what they should be, level-triggered: it looks at what is so, not at what has happened.

Every second, and whenever a camera, a site, a worker or a key changes, each tenant is looked at in a transaction of its
own. Where something has to change, the tenant is locked and looked at again; several replicas may do this at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy import select

from mesh import telemetry
from mesh.clock import Clock
from mesh.database import Database, Tx, lock, notify
from mesh.errors import MeshError
from mesh.hints import Listener
from mesh.ids import CameraId, Ids, TenantId, WorkerId
from schema.registry import tenant_ids
from svc_registry.hints import DESIRED
from svc_registry.leases import store
from svc_registry.leases.domain import EndReason, Held, Plan, Situation, decide
from svc_registry.leases.store import CandidateRow, Grant
from svc_registry.sessions import store as sessions
from svc_registry.sessions.domain import Ref, SessionEnd, Timing, WorkerState, state_when_silent

BREATH_SECONDS: Final = 0.1  # between two rounds, however many hints come

_log = structlog.get_logger(__name__)
_granted = telemetry.counter("leases_granted", "Leases granted", [])
_ended = telemetry.counter("leases_ended", "Leases ended, by reason", ["reason"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconcile:
    """
    Attributes:
        database, clock, ids: given.
        listener: hears of changes.
        timing: of sessions and leases.
        most_gap: a replica that has not renewed for longer has paused.
    """

    database: Database
    clock: Clock
    ids: Ids
    listener: Listener
    timing: Timing
    most_gap: timedelta

    async def run(self) -> None:
        """For ever, at each hint and every second. A database that is away is waited for."""
        while True:
            seen = self.listener.seen(DESIRED)
            try:
                await self.look()
            except MeshError as error:
                _log.warning("reconcile_waits", reason=error.reason_name)
            await self.clock.sleep(BREATH_SECONDS)
            await self.listener.wait(DESIRED, seen)

    async def look(self) -> None:
        """One round over all tenants."""
        async with self.database.transaction(None, read_only=True) as tx:
            rows = list(await tx.execute(select(tenant_ids.c.id, tenant_ids.c.delete_time).order_by(tenant_ids.c.id)))
            may_expire = await sessions.silence_tells(tx, self.timing.ttl, self.most_gap)
        for row in rows:
            lives = row.delete_time is None
            await self.tenant(TenantId(row.id), lives=lives, may_expire=may_expire)

    async def tenant(self, tenant_id: TenantId, *, lives: bool, may_expire: bool) -> None:
        """One tenant: workers that fell silent, then leases.

        Args:
            lives: False: it is deleted, and nothing of it is watched.
            may_expire: some replica has renewed for one unbroken ttl.
        """

        async def glance(tx: Tx) -> Plan:
            await self._judge_silence(tx, may_expire=may_expire)
            return (await self._plan(tx, lives=lives, may_expire=may_expire))[0]

        async def act(tx: Tx) -> None:
            await lock(tx, ("reconcile", tenant_id))
            await store.lock_workers(tx)
            plan, situations, workers = await self._plan(tx, lives=lives, may_expire=may_expire)
            await self._carry_out(tx, tenant_id, plan, situations, workers)

        if await self.database.run(tenant_id, glance):
            await self.database.run(tenant_id, act)

    async def _judge_silence(self, tx: Tx, *, may_expire: bool) -> None:
        for row in await sessions.silent_workers(tx, self.timing.suspect_after):
            before = WorkerState(row.state)
            silence = row.silence if may_expire else min(row.silence, self.timing.suspect_after)
            after = state_when_silent(before, silence, self.timing)
            if after is before:
                continue
            await sessions.set_state(tx, row.id, after, f"no heartbeat since {row.renew_time:%H:%M:%S} UTC")
            if after is WorkerState.LOST:
                await sessions.end_sessions(tx, row.id, SessionEnd.EXPIRED)
            await notify(tx, DESIRED)

    async def _plan(
        self, tx: Tx, *, lives: bool, may_expire: bool
    ) -> tuple[Plan, dict[CameraId, Situation], dict[WorkerId, CandidateRow]]:
        situations = await store.undecided(tx, tenant_lives=lives)
        if not situations:
            return Plan(), {}, {}
        if any(situation.successor_worker_id for situation in situations):
            await store.withdraw_stale(tx)
        rows = await store.candidates(tx)
        plan = decide(situations, [row.candidate for row in rows], may_expire=may_expire)
        by_camera: dict[CameraId, Situation] = {situation.camera.id: situation for situation in situations}
        by_worker: dict[WorkerId, CandidateRow] = {row.candidate.id: row for row in rows}
        return plan, by_camera, by_worker

    async def _carry_out(
        self,
        tx: Tx,
        tenant_id: TenantId,
        plan: Plan,
        situations: dict[CameraId, Situation],
        workers: dict[WorkerId, CandidateRow],
    ) -> None:
        for held, reason in plan.ends:
            await self._end(tx, held, reason)
        for held in plan.regrants:
            if await self._end(tx, held, EndReason.REGRANTED):
                situation = situations[held.camera_id]
                await self._grant(tx, tenant_id, self._grant_of(situation, held.worker_id, held.generation))
        for camera_id, worker_id in plan.grants.items():
            wanted = self._grant_of(situations[camera_id], worker_id, workers[worker_id].generation)
            await self._grant(tx, tenant_id, wanted)
        for camera_id, worker_id in plan.moves.items():
            wanted = self._grant_of(situations[camera_id], worker_id, workers[worker_id].generation)
            if await store.propose(tx, wanted):
                _log.info("lease_proposed", camera_id=str(camera_id), worker_id=str(worker_id))
        if plan:
            await notify(tx, DESIRED)

    def _grant_of(self, situation: Situation, worker_id: WorkerId, generation: int) -> Grant:
        return Grant(
            lease_id=self.ids.uuid7(self.clock.now()),
            camera_id=situation.camera.id,
            site_id=situation.camera.site_id,
            worker_id=worker_id,
            generation=generation,
            policy=situation.wanted_policy,
            seen=situation.epoch,
        )

    async def _grant(self, tx: Tx, tenant_id: TenantId, wanted: Grant) -> None:
        epoch = await store.grant(tx, tenant_id, wanted, self.timing.ttl)
        if epoch is not None:
            _granted.inc()
            _log.info(
                "lease_granted", camera_id=str(wanted.camera_id), worker_id=str(wanted.worker_id), epoch=int(epoch)
            )

    async def _end(self, tx: Tx, held: Held, reason: EndReason) -> bool:
        done = await store.end(tx, Ref(held.camera_id, held.epoch), held.worker_id, reason)
        if done:
            _ended.labels(reason.value).inc()
            _log.info("lease_ended", camera_id=str(held.camera_id), epoch=int(held.epoch), reason=reason.value)
        return done
