"""One durable batch of renewals a second: every heartbeat that waits, one transaction per tenant, answered afterwards.

The first heartbeat after a quiet second is committed at once. What this loop has done without a break is what lets
silence mean anything: see `store.silence_tells`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from mesh.clock import Clock
from mesh.database import Database, Tx, notify
from mesh.errors import MeshError
from mesh.ids import TenantId, WorkerId
from svc_registry.hints import DESIRED
from svc_registry.leases import store as leases
from svc_registry.sessions import store
from svc_registry.sessions.domain import Ref, Timing, WorkerState, state_when_heard
from svc_registry.sessions.roster import Acknowledged, Beat, LiveSession, Roster
from svc_registry.sessions.store import Heard

GAP_BATCHES: Final = 5  # so many batches late, a replica has paused

_MILLISECOND: Final = timedelta(milliseconds=1)
_MOST_OFFSET_MS: Final = 2**31 - 1

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewing:
    """
    Attributes:
        database, clock: given.
        roster: holds the heartbeats that wait.
        timing: of sessions and leases.
        replica_id: of this process.
        replica: its host:port.
        batch_seconds: between two batches.
    """

    database: Database
    clock: Clock
    roster: Roster
    timing: Timing
    replica_id: UUID
    replica: str
    batch_seconds: float = 1.0

    @property
    def most_gap(self) -> timedelta:
        """A replica that has not renewed for longer has paused."""
        return timedelta(seconds=self.batch_seconds * GAP_BATCHES)

    async def run(self) -> None:
        """For ever. A database that is away is waited for: the heartbeats wait, too."""
        while True:
            await self.roster.beaten(self.batch_seconds)
            try:
                busy = await self.flush()
            except MeshError as error:
                _log.warning("renewals_wait", reason=error.reason_name)
                busy = True
            if busy:
                await self.clock.sleep(self.batch_seconds)

    async def flush(self) -> bool:
        """Commits what waits, answers it, and notes that this replica renews. Whether anything waited.

        Raises:
            MeshError: some of it could not be committed, and waits again.
        """
        batches = self.roster.take_beats()
        busy = bool(batches)
        while batches:
            tenant_id, beats = batches.popitem()
            try:
                await self._commit(tenant_id, beats)
            except MeshError:
                for waiting in (beats, *batches.values()):
                    self.roster.give_back(waiting)
                raise
        async with self.database.transaction(None) as tx:
            await store.renewed(tx, self.replica_id, self.replica, self.most_gap)
        return busy

    async def leave(self) -> None:
        """This replica renews no more."""
        async with self.database.transaction(None) as tx:
            await store.forget_replicas(tx, self.replica_id)

    async def _commit(self, tenant_id: TenantId, beats: list[tuple[LiveSession, Beat]]) -> None:
        renewed = await self.database.run(tenant_id, lambda tx: self._write(tx, tenant_id, beats))
        for session, beat in beats:
            refs = renewed.get(session.key.worker_id)
            if refs is not None:  # else the session is over, and hears why
                named = [one.ref for one in beat.renewals if one.ref in refs]
                session.acknowledge(Acknowledged(beat.seq, named))

    async def _write(
        self, tx: Tx, tenant_id: TenantId, beats: list[tuple[LiveSession, Beat]]
    ) -> dict[WorkerId, set[Ref]]:
        """The leases renewed, by worker; a worker that is missing has another session now, or none."""
        standings = await store.lock_standings(tx, [session.key.worker_id for session, _ in beats])
        alive = await store.renew_sessions(tx, [session.key for session, _ in beats], self.timing.ttl)
        living = [(session, beat) for session, beat in beats if session.key in alive]
        said = [one for _, beat in living for one in beat.renewals]
        renewed = await leases.renew(tx, said, self.timing.ttl)
        await leases.report(tx, tenant_id, [one for one in said if one.ref in renewed.get(one.worker_id, ())])
        await store.write_coverage(tx, tenant_id, [one for _, beat in living for one in beat.slices])

        heard = []
        for session, beat in living:
            worker_id = session.key.worker_id
            standing = replace(standings[worker_id], unhealthy_reason=beat.unhealthy_reason, slots=beat.slots)
            state = state_when_heard(standing)
            if state is not standing.state:
                await notify(tx, DESIRED)
            heard.append(_heard(worker_id, beat, state_reason=beat.unhealthy_reason, state=state))
        if heard:
            await store.write_heard(tx, heard)
        return {session.key.worker_id: renewed.get(session.key.worker_id, set()) for session, _ in living}


def _heard(worker_id: WorkerId, beat: Beat, *, state: WorkerState, state_reason: str) -> Heard:
    offset = round((beat.receive_time - beat.worker_time) / _MILLISECOND)
    return Heard(
        worker_id=worker_id,
        state=state,
        state_reason=state_reason,
        slots=beat.slots,
        spare_frame_rate=beat.spare_frame_rate,
        spool_events=beat.spool_events,
        spool_bytes=beat.spool_bytes,
        spool_age=beat.spool_age,
        clock_offset_ms=max(-_MOST_OFFSET_MS, min(_MOST_OFFSET_MS, offset)),
    )
