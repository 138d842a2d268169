"""The sessions whose stream ends in this replica, in memory: what each has to say, and what is to be said to it.

Only the newest word of each kind waits: an older answer or an older Desired is worth nothing once there is a newer one,
so that a worker that reads slowly costs no memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from footfall.registry.v1 import worker_session_pb2

from mesh import telemetry
from mesh.ids import TenantId, WorkerId
from svc_registry.leases.desired import DesiredLease
from svc_registry.leases.store import Renewal
from svc_registry.sessions.domain import Ref
from svc_registry.sessions.store import SessionKey, Slice

_open = telemetry.gauge("worker_sessions_open", "Sessions of workers whose stream ends in this replica")


@dataclass(frozen=True, slots=True)
class Beat:
    """One heartbeat.

    Attributes:
        receive_time, worker_time: the server's and the worker's wall clock.
        renewals: the leases that it names, each camera once.
    """

    seq: int
    receive_time: datetime
    worker_time: datetime
    slots: int
    spare_frame_rate: float
    unhealthy_reason: str
    spool_events: int
    spool_bytes: int
    spool_age: timedelta | None
    renewals: Sequence[Renewal]
    slices: Sequence[Slice]


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A heartbeat that is committed, and the leases that it renewed."""

    seq: int
    renewed: Sequence[Ref]


@dataclass(frozen=True, slots=True)
class Told:
    """Everything that a worker should be doing."""

    revision: int
    leases: Sequence[DesiredLease]


@dataclass(frozen=True, slots=True)
class Farewell:
    """Why a session ends; no reason: it ends without a word, to a stream that nobody reads any more."""

    reason: worker_session_pb2.GoAway.Reason.ValueType | None
    message: str = ""
    retry_after: timedelta = timedelta()


@dataclass(eq=False, slots=True)
class LiveSession:
    """One open session.

    Attributes:
        token_expire_time: of the token that it stands on; Reauth prolongs it.
        beat: the newest heartbeat that is not committed yet.
        told: what the worker was told last.
    """

    tenant_id: TenantId
    key: SessionKey
    boot_id: UUID
    token_expire_time: datetime | None
    beat: Beat | None = None
    told: Sequence[DesiredLease] | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    _acknowledged: Acknowledged | None = None
    _desired: Told | None = None
    _farewell: Farewell | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def acknowledge(self, word: Acknowledged) -> None:
        """Says that a heartbeat is committed."""
        self._acknowledged = word
        self._changed.set()

    def tell(self, word: Told) -> None:
        """Says what to do."""
        self.told, self._desired = word.leases, word
        self._changed.set()

    def dismiss(self, word: Farewell) -> None:
        """Says why the session ends; the first reason counts."""
        self._farewell = self._farewell or word
        self._changed.set()

    async def next_word(self) -> Acknowledged | Told | Farewell:
        """What is to be said next; a farewell stands above all else."""
        while True:
            self._changed.clear()
            if self._farewell is not None:
                return self._farewell
            if (desired := self._desired) is not None:
                self._desired = None
                return desired
            if (acknowledged := self._acknowledged) is not None:
                self._acknowledged = None
                return acknowledged
            await self._changed.wait()


class Roster:
    """The open sessions of this replica."""

    def __init__(self) -> None:
        self._sessions: dict[tuple[TenantId, WorkerId], LiveSession] = {}
        self._beaten = asyncio.Event()

    def __len__(self) -> int:
        return len(self._sessions)

    def add(self, session: LiveSession) -> None:
        """A session begins; an older one of the worker gives way to it."""
        place = (session.tenant_id, session.key.worker_id)
        older = self._sessions.get(place)
        self._sessions[place] = session
        if older is not None and older.boot_id == session.boot_id:
            older.dismiss(Farewell(None))
        elif older is not None:
            older.dismiss(superseded())
        _open.set(len(self._sessions))

    def remove(self, session: LiveSession) -> None:
        """A session's stream has ended."""
        session.ended.set()
        place = (session.tenant_id, session.key.worker_id)
        if self._sessions.get(place) is session:
            del self._sessions[place]
        _open.set(len(self._sessions))

    def by_tenant(self) -> dict[TenantId, list[LiveSession]]:
        """All of them."""
        found: dict[TenantId, list[LiveSession]] = {}
        for session in self._sessions.values():
            found.setdefault(session.tenant_id, []).append(session)
        return found

    def beat(self, session: LiveSession, beat: Beat) -> None:
        """A heartbeat came. One that still waits is worth nothing any more: what it said comes again."""
        session.beat = beat
        self._beaten.set()

    def take_beats(self) -> dict[TenantId, list[tuple[LiveSession, Beat]]]:
        """The heartbeats that wait, each once."""
        self._beaten.clear()
        taken: dict[TenantId, list[tuple[LiveSession, Beat]]] = {}
        for session in self._sessions.values():
            if session.beat is not None:
                taken.setdefault(session.tenant_id, []).append((session, session.beat))
                session.beat = None
        return taken

    def give_back(self, beats: Sequence[tuple[LiveSession, Beat]]) -> None:
        """Heartbeats that could not be committed wait again, unless newer ones do."""
        for session, beat in beats:
            session.beat = session.beat or beat

    async def beaten(self, seconds: float) -> None:
        """Returns when a heartbeat waits, or after so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._beaten.wait()
        except TimeoutError:
            return

    async def dismiss_all(self, word: Farewell) -> None:
        """Ends every session, and waits until each has heard why."""
        sessions = list(self._sessions.values())
        for session in sessions:
            session.dismiss(word)
        await asyncio.gather(*(session.ended.wait() for session in sessions))


def superseded() -> Farewell:
    """What a session hears whose worker has started anew."""
    return Farewell(worker_session_pb2.GoAway.REASON_SUPERSEDED, "a newer start of this worker has connected")
