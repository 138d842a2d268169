"""What must not stay: pictures, embeddings and quarantined faces past their time, and lines that nobody can ask for.

Pictures are removed by their rows, each verified before its pointer goes; the store's own sweep is the net below, for
objects whose row was never written. Several replicas may sweep at once: every step is idempotent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog

from mesh import telemetry
from mesh.clock import Clock
from mesh.database import Database, Tx
from mesh.errors import Unavailable
from mesh.ids import TenantId
from mesh.objects import ObjectStore
from svc_ingest.events import sweep_store as store

MONTHS_AHEAD: Final = 3
PAGE: Final = 500  # rows at a time, so that no transaction is long
FEED_SLACK: Final = timedelta(days=1)  # a cursor that was good when it was read stays good while its reader catches up

_log = structlog.get_logger(__name__)
_removed = telemetry.counter("swept", "What was removed because its time was over", ["what"])


class Sweep:
    """Removes what has expired, tenant by tenant.

    Args:
        database: as svc_ingest.
        images: where pictures lie.
        clock: time is over by it.
        feed_life: how far back a cursor of the feed may lie.
    """

    def __init__(self, database: Database, images: ObjectStore, clock: Clock, *, feed_life: timedelta) -> None:
        self._database = database
        self._images = images
        self._clock = clock
        self._feed_life = feed_life

    async def make_partitions(self) -> None:
        """Makes sure that the next months' events have a partition to go to."""
        await self._database.run(None, lambda tx: store.make_partitions(tx, MONTHS_AHEAD))

    async def run(self) -> None:
        """One round over all tenants."""
        now = self._clock.now()
        before = now - self._feed_life - FEED_SLACK
        for tenant_id in await self._database.run(None, store.tenant_ids, read_only=True):
            await self._remove_pictures(tenant_id, now)
            await self._repeat(tenant_id, "embedding", lambda tx: store.forget_embeddings(tx, now, PAGE))
            await self._repeat(tenant_id, "quarantined", lambda tx: store.discard_quarantined(tx, now, PAGE))
            await self._repeat(tenant_id, "tombstone", lambda tx: store.remove_tombstones(tx, now, PAGE))
            await self._repeat(tenant_id, "request", lambda tx: store.remove_requests(tx, now, PAGE))
            await self._repeat(tenant_id, "feed", lambda tx: store.remove_feed(tx, before, PAGE))

    async def remove_orphans(self) -> None:
        """Removes objects past their time whatever the rows say."""
        _removed.labels("orphan").inc(await self._images.sweep(self._clock.now()))

    async def _remove_pictures(self, tenant_id: TenantId, now: datetime) -> None:
        while True:
            due = await self._database.run(tenant_id, lambda tx: store.due_pictures(tx, now, PAGE), read_only=True)
            gone = [image_id for image_id, key in due.items() if await self._is_removed(key)]
            if gone:
                await self._database.run(tenant_id, partial(store.mark_removed, image_ids=gone, now=now))
                _removed.labels("picture").inc(len(gone))
            if len(gone) < PAGE:
                return

    async def _is_removed(self, key: str) -> bool:
        """Removes an object and asks the store again; the pointer is nulled only for what is really gone."""
        try:
            await self._images.delete(key)
            return await self._images.stat(key) is None
        except Unavailable:
            _log.warning("picture_not_removed", reason="the image store is away")
            return False

    async def _repeat(self, tenant_id: TenantId, what: str, remove: Callable[[Tx], Awaitable[int]]) -> None:
        while True:
            count = await self._database.run(tenant_id, remove)
            _removed.labels(what).inc(count)
            if count < PAGE:
                return
