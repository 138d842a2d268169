"""Tells the workers of this replica what to do whenever that has changed, and ends the sessions that are over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Final

import structlog
from footfall.registry.v1.worker_session_pb2 import GoAway

from mesh.clock import Clock
from mesh.database import Database, Tx
from mesh.errors import MeshError
from mesh.hints import Listener
from mesh.ids import TenantId
from svc_registry.hints import DESIRED
from svc_registry.leases.desired import desired, next_revision
from svc_registry.sessions import store
from svc_registry.sessions.domain import SessionEnd
from svc_registry.sessions.roster import Farewell, LiveSession, Roster, Told, superseded

BREATH_SECONDS: Final = 0.05  # between two rounds, however many hints come
TOKEN_MARGIN: Final = timedelta(seconds=2)  # before a token expires, and the server cuts the stream without a word

FAREWELLS: Final[Mapping[SessionEnd, Farewell]] = MappingProxyType(
    {
        SessionEnd.RESUMED: Farewell(None),
        SessionEnd.SUPERSEDED: superseded(),
        SessionEnd.EXPIRED: Farewell(GoAway.REASON_SHUTDOWN, "the session has expired: say Hello again"),
        SessionEnd.QUARANTINED: Farewell(GoAway.REASON_QUARANTINED, "this worker is quarantined"),
        SessionEnd.REMOVED: Farewell(GoAway.REASON_REMOVED, "this worker was removed, or its key revoked"),
    }
)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """
    Attributes:
        database, clock: given.
        listener: hears of changes.
        roster: the sessions to tell.
    """

    database: Database
    clock: Clock
    listener: Listener
    roster: Roster

    async def run(self) -> None:
        """For ever, at each hint and every second."""
        while True:
            seen = self.listener.seen(DESIRED)
            try:
                await self.tell()
            except MeshError as error:
                _log.warning("telling_waits", reason=error.reason_name)
            await self.clock.sleep(BREATH_SECONDS)
            await self.listener.wait(DESIRED, seen)

    async def tell(self) -> None:
        """One round over this replica's sessions."""
        soon = self.clock.now() + TOKEN_MARGIN
        for tenant_id, sessions in self.roster.by_tenant().items():
            for session in sessions:
                if session.token_expire_time is not None and session.token_expire_time <= soon:
                    session.dismiss(Farewell(GoAway.REASON_UNAUTHENTICATED, "the token has expired"))
            await self._tenant(tenant_id, sessions)

    async def _tenant(self, tenant_id: TenantId, sessions: Sequence[LiveSession]) -> None:
        async def work(tx: Tx) -> list[tuple[LiveSession, Farewell | Told]]:
            words: list[tuple[LiveSession, Farewell | Told]] = []
            over = await store.ended(tx, [session.key for session in sessions])
            wanted = await desired(tx, [session.key.worker_id for session in sessions])
            for session in sessions:
                if (end := over.get(session.key)) is not None:
                    words.append((session, FAREWELLS[end]))
                    continue
                leases = wanted[session.key.worker_id]
                if leases == session.told:
                    continue
                revision = await next_revision(tx, session.key.worker_id, session.key.generation)
                if revision is not None:  # else a newer session is told
                    words.append((session, Told(revision, leases)))
            return words

        for session, word in await self.database.run(tenant_id, work):
            if isinstance(word, Told):
                session.tell(word)
            else:
                session.dismiss(word)
