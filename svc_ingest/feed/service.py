"""The live feed: every change of every visit, in commit order, from a cursor on, without gap or repeat."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import structlog
from footfall.type.v1 import problem_pb2

from mesh import telemetry
from mesh.auth import Caller
from mesh.clock import Clock
from mesh.database import Database
from mesh.errors import ResourceExhausted, Unavailable
from mesh.hints import Listener
from mesh.ids import SiteId, TenantId, VisitId
from svc_ingest.events.service import CHANNEL
from svc_ingest.feed import store
from svc_ingest.feed.cursor import Cursors, cursor_invalid
from svc_ingest.feed.domain import Change, Position, Visit

PAGE: Final = 200  # lines at a time
SILENCE_SECONDS: Final = 15.0  # after which a keepalive is sent
PATIENCE_SECONDS: Final = 30.0  # how long a feed outlives the database's absence

_log = structlog.get_logger(__name__)
_open = telemetry.gauge("feed_streams", "Open feeds")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the feed.

    Attributes:
        cursor: of everything up to it.
        change: None for a keepalive.
        visit: as it is now; set with `change`.
    """

    cursor: str
    change: Change | None = None
    visit: Visit | None = None


class VisitFeed:
    """Reads the feed for whoever watches.

    Args:
        database: as svc_ingest.
        listener: hints that there is something new.
        cursors: what clients come back with.
        clock: of silence.
        watchers: open feeds of one tenant at most.
    """

    def __init__(
        self, database: Database, listener: Listener, cursors: Cursors, clock: Clock, *, watchers: int
    ) -> None:
        self._database = database
        self._listener = listener
        self._cursors = cursors
        self._clock = clock
        self._watchers = watchers
        self._watching: Counter[TenantId] = Counter()

    async def watch(self, caller: Caller, site_ids: Sequence[SiteId], cursor: str) -> AsyncIterator[Line]:
        """Lines for ever; the first one is a keepalive.

        Args:
            caller: who may see what.
            site_ids: only visits of these; empty: of every site that the caller may see.
            cursor: of the last line that was dealt with; "": from now on.

        Raises:
            MeshError: CURSOR_INVALID, SITE_NOT_ALLOWED, STREAM_LIMIT; later Unavailable when the database stays away.
        """
        for site_id in site_ids:
            caller.check_site(site_id)
        with self._counted(caller.tenant):
            position = await self._start(caller, cursor)
            yield Line(self._cursors.encode(caller.tenant, position))
            spoken = heard = self._clock.monotonic()
            while True:
                seen = self._listener.seen(CHANNEL)
                try:
                    changes, horizon, visits = await self._read(caller, site_ids, position)
                except Unavailable:
                    if self._clock.monotonic() - heard > PATIENCE_SECONDS:
                        raise
                    await self._listener.wait(CHANNEL, seen)
                    continue
                heard = self._clock.monotonic()
                for change in changes:
                    position = change.position
                    if (visit := visits.get(change.visit_id)) is not None:
                        yield Line(self._cursors.encode(caller.tenant, position), change, visit)
                        spoken = self._clock.monotonic()
                if len(changes) == PAGE:
                    continue
                position = max(position, horizon)
                if self._clock.monotonic() - spoken >= SILENCE_SECONDS:
                    yield Line(self._cursors.encode(caller.tenant, position))
                    spoken = self._clock.monotonic()
                await self._listener.wait(CHANNEL, seen)

    @contextmanager
    def _counted(self, tenant_id: TenantId) -> Iterator[None]:
        if self._watching[tenant_id] >= self._watchers:
            raise ResourceExhausted(
                f"the tenant has {self._watchers} feeds open", reason=problem_pb2.ERROR_REASON_STREAM_LIMIT
            )
        self._watching[tenant_id] += 1
        _open.inc()
        try:
            yield
        finally:
            self._watching[tenant_id] -= 1
            _open.dec()

    async def _start(self, caller: Caller, cursor: str) -> Position:
        async with self._database.as_caller(caller, read_only=True) as tx:
            horizon = await store.horizon(tx)
        if not cursor:
            return horizon
        position = self._cursors.decode(caller.tenant, cursor)
        if position.xid > horizon.xid:
            raise cursor_invalid()  # of another life of the database: it was restored from a backup
        return position

    async def _read(
        self, caller: Caller, site_ids: Sequence[SiteId], after: Position
    ) -> tuple[list[Change], Position, dict[VisitId, Visit]]:
        """What comes next, the horizon below which that is everything, and the visits as they are now."""
        tenant_id = caller.tenant
        async with self._database.as_caller(caller, read_only=True) as tx:
            # Asked first: what the next statement sees reaches at least so far.
            horizon = await store.horizon(tx)
            changes = await store.changes(tx, tenant_id, after, site_ids or None, PAGE)
        if not changes:
            return [], horizon, {}
        # The rows above were the caller's to see. Whether a visit was the first one, all sites together tell.
        async with self._database.transaction(tenant_id, read_only=True) as tx:
            visits = await store.visits(tx, tenant_id, {change.visit_id for change in changes})
        return changes, horizon, visits
