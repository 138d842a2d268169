"""What svc_identity asks of a vector index, whatever is behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from mesh.ids import EmbeddingId, TenantId

DIMENSION = 512
#: A vector's length may differ from 1 by this much (float32 of 512 terms).
NORM_TOLERANCE = 1e-3

Vector = NDArray[np.float32]  # (512,), L2 norm 1
Vectors = NDArray[np.float32]  # (n, 512), L2 norm 1 each
PersonKind = Literal["CUSTOMER", "STAFF"]


class BadVectorError(ValueError):
    """A vector of the wrong shape, not finite or not of length 1. Never indexed, never searched."""


@dataclass(frozen=True)
class IndexRow:
    """One embedding as the index holds it. ``kind``, ``person_id`` and ``time`` are for people who look into it."""

    id: EmbeddingId
    tenant_id: TenantId
    kind: PersonKind
    person_id: str
    #: Unix seconds, UTC.
    time: int
    vector: Vector


@dataclass(frozen=True)
class Hit:
    """An embedding that looks like the one asked about."""

    id: EmbeddingId
    #: Cosine, clamped to [-1, 1].
    similarity: float


class VectorIndex(Protocol):
    """Embeddings by tenant and embedding space.

    Spaces never mix and tenants never see one another, whatever the caller passes. All calls may be repeated. Reads are
    not promised to see the newest writes. Raises ``mesh.errors.Unavailable`` when the index cannot be reached in time
    and :class:`BadVectorError` for vectors that no index should see.
    """

    async def upsert(self, space: str, rows: Sequence[IndexRow]) -> None:
        """Write ``rows``; a row with an id that is there already replaces it."""

    async def search(self, space: str, tenant_id: TenantId, vectors: Vectors, limit: int) -> list[list[Hit]]:
        """For each of ``vectors`` (n, 512) the ``limit`` most similar embeddings of the tenant, best first."""

    async def delete(self, space: str, tenant_id: TenantId, ids: Sequence[EmbeddingId]) -> None:
        """Forget embeddings; ids that are not the tenant's are left alone."""

    async def count(self, space: str, tenant_id: TenantId) -> int:
        """How many embeddings of the tenant the index holds; for doctors and rebuilds."""

    async def ready(self) -> bool:
        """Whether the index answers now."""

    async def close(self) -> None:
        """Let go of files and connections."""


def checked(vectors: Vectors) -> Vectors:
    """``vectors`` as (n, 512) float32, or :class:`BadVectorError`. Milvus Lite takes NaN without a word."""
    array = np.ascontiguousarray(vectors, dtype=np.float32)
    if array.ndim != 2 or array.shape[1] != DIMENSION:
        raise BadVectorError(f"shape {array.shape}, not (n, {DIMENSION})")
    if not np.isfinite(array).all():
        raise BadVectorError("a value is not finite")
    norms = np.linalg.norm(array, axis=1)
    if array.shape[0] and float(np.abs(norms - 1).max()) > NORM_TOLERANCE:
        raise BadVectorError("a vector's length is not 1")
    return array
