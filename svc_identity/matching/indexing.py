"""From the record to the index: what PostgreSQL holds and Milvus lacks, brought over until nothing is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
import structlog
from sqlalchemy import select

from mesh import telemetry
from mesh.database import Database
from mesh.ids import TenantId
from schema.registry import tenant_ids
from svc_identity.matching import store
from svc_identity.matching.domain import PersonKind
from svc_identity.vectors.port import IndexRow, VectorIndex
from svc_identity.vectors.vault import VectorVault

#: Rows of one write to the index. Larger ones hold up the searches behind it on Lite's single thread.
BATCH: Final = 256
#: Seconds after which every tenant is looked at, woken or not: a crash between commit and index leaves no other trace.
SWEEP_SECONDS: Final = 30.0

log = structlog.get_logger(__name__)
_indexed = telemetry.counter("embeddings_indexed", "Embeddings brought to the vector index", [])


class Indexer:
    """Brings embeddings to the index; safe to run in several replicas, and to interrupt anywhere.

    The row's commit comes first, then the index, then ``index_time``. Whatever lies between is repeated: writing a row
    to the index again changes nothing.
    """

    def __init__(self, database: Database, index: VectorIndex, vault: VectorVault) -> None:
        self._database = database
        self._index = index
        self._vault = vault
        self._waiting: set[TenantId] = set()
        self._wake = asyncio.Event()

    def wake(self, tenant_id: TenantId) -> None:
        """Say that a tenant's gallery has grown."""
        self._waiting.add(tenant_id)
        self._wake.set()

    async def run(self) -> None:
        """Work for ever: at once when woken, and through all tenants every :data:`SWEEP_SECONDS`."""
        await self.sweep()
        while True:
            try:
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                await self.sweep()
            self._wake.clear()
            while self._waiting:
                await self.index_tenant(self._waiting.pop())

    async def sweep(self) -> None:
        """Bring over what any tenant's gallery has and the index lacks."""
        async with self._database.transaction(None, read_only=True) as tx:
            tenants = [TenantId(id_) for id_ in await tx.scalars(select(tenant_ids.c.id))]
        for tenant_id in tenants:
            await self.index_tenant(tenant_id)

    async def index_tenant(self, tenant_id: TenantId) -> int:
        """Bring over one tenant's; returns how many."""
        brought = 0
        while True:
            async with self._database.transaction(tenant_id, read_only=True) as tx:
                missing = await store.unindexed(tx, BATCH)
            if not missing:
                return brought
            await self._bring(tenant_id, missing)
            brought += len(missing)
            _indexed.inc(len(missing))

    async def _bring(self, tenant_id: TenantId, missing: Sequence[store.Unindexed]) -> None:
        for space in {one.space for one in missing}:
            rows = [self._row(tenant_id, one) for one in missing if one.space == space]
            await self._index.upsert(space, rows)
            async with self._database.transaction(tenant_id) as tx:
                kept = set(await store.mark_indexed(tx, tenant_id, [row.id for row in rows]))
            # Somebody deleted a person between our read and our write: the index must not keep what the record lost.
            orphans = [row.id for row in rows if row.id not in kept]
            await self._index.delete(space, tenant_id, orphans)

    def _row(self, tenant_id: TenantId, one: store.Unindexed) -> IndexRow:
        kind: Literal["CUSTOMER", "STAFF"] = "STAFF" if one.person.kind is PersonKind.STAFF else "CUSTOMER"
        vector = np.asarray(self._vault.open(one.id, one.sealed_vector), dtype=np.float32)
        return IndexRow(one.id, tenant_id, kind, str(one.person.id), int(one.create_time.timestamp()), vector)
