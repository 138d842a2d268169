"""An index in memory that compares with everything: the tests' fake, and exact by construction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mesh.ids import EmbeddingId, TenantId
from svc_identity.vectors.port import Hit, IndexRow, Vectors, checked


class ExactIndex:
    """Implements :class:`~svc_identity.vectors.port.VectorIndex`; passes the suite that the Milvus adapter passes."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, TenantId], dict[EmbeddingId, IndexRow]] = {}

    async def upsert(self, space: str, rows: Sequence[IndexRow]) -> None:
        if rows:
            checked(np.stack([row.vector for row in rows]))
        for row in rows:
            self._rows.setdefault((space, row.tenant_id), {})[row.id] = row

    async def search(self, space: str, tenant_id: TenantId, vectors: Vectors, limit: int) -> list[list[Hit]]:
        queries = checked(vectors)
        rows = list(self._rows.get((space, tenant_id), {}).values())
        if not rows:
            return [[] for _ in queries]
        similarities = np.clip(queries @ np.stack([row.vector for row in rows]).T, -1.0, 1.0)
        best = np.argsort(-similarities, axis=1, kind="stable")[:, :limit]
        return [[Hit(rows[j].id, float(similarities[i, j])) for j in order] for i, order in enumerate(best)]

    async def delete(self, space: str, tenant_id: TenantId, ids: Sequence[EmbeddingId]) -> None:
        held = self._rows.get((space, tenant_id), {})
        for id_ in ids:
            held.pop(id_, None)

    async def count(self, space: str, tenant_id: TenantId) -> int:
        return len(self._rows.get((space, tenant_id), {}))

    async def ready(self) -> bool:
        return True

    async def close(self) -> None:
        self._rows.clear()
