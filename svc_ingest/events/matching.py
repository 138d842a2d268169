"""Who is this? The port to identity, and its fake.

Whatever stands behind `Matcher` passes tests/integration/test_ingest_matcher_conformance.py: identity over gRPC
(`identity.py`), and `FakeMatcher`, which compares exactly and forgets everything with its process.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID, uuid4

from mesh.errors import Unavailable
from mesh.ids import CustomerId, EmbeddingId, EventId, SiteId, StaffId, TenantId
from svc_ingest.events.domain import Decision, Reason, Refusal, Verdict

MOST_FACES: Final = 64  # in one call


@dataclass(frozen=True, slots=True)
class FaceQuery:
    """What matching needs to know of an event.

    Attributes:
        vector, sample_vector: 512 little-endian float32 of norm 1, in `space`.
        quality: overall, in [0, 1].
    """

    event_id: EventId
    site_id: SiteId
    capture_time: datetime
    space: str
    vector: bytes = field(repr=False)
    quality: float
    sample_vector: bytes | None = field(default=None, repr=False)
    staff_hint_id: StaffId | None = None


class Matcher(Protocol):
    """Decides who faces are. Idempotent by event id: asked again, a face gets its first decision."""

    async def match(self, tenant_id: TenantId, faces: Sequence[FaceQuery]) -> Sequence[Decision]:
        """One decision per face, in their order; durable when it arrives.

        Args:
            faces: 1 to MOST_FACES, each event id once.

        Raises:
            Unavailable: no answer was given to any of them; ask again.
        """
        ...


class FakeMatcher:
    """Identity in memory: exact cosine against everybody of the tenant, best first.

    Args:
        threshold: cosine from which two faces are one person's.
        founding_quality: a poorer face founds nobody.
    """

    def __init__(self, threshold: float = 0.5, founding_quality: float = 0.3) -> None:
        self._threshold = threshold
        self._founding_quality = founding_quality
        self._galleries: dict[TenantId, list[_Known]] = {}
        self._decisions: dict[tuple[TenantId, EventId], Decision] = {}
        self._away = 0
        self.calls = 0

    def enrol_staff(self, tenant_id: TenantId, staff_id: StaffId, vector: bytes, space: str = "test@1") -> None:
        """Adds a face of a staff member."""
        known = _Known(space, _floats(vector), EmbeddingId(uuid4()), staff_id=staff_id)
        self._galleries.setdefault(tenant_id, []).append(known)

    def forbid(self, tenant_id: TenantId, event_ids: Iterable[EventId]) -> None:
        """These events' person was erased."""
        refusal = Refusal(Reason.PERSON_ERASED, "the person was erased")
        for event_id in event_ids:
            self._decisions[tenant_id, event_id] = Decision(None, refusal=refusal)

    def go_away(self, calls: int) -> None:
        """Is unavailable for the next so many calls."""
        self._away = calls

    async def match(self, tenant_id: TenantId, faces: Sequence[FaceQuery]) -> Sequence[Decision]:
        """See Matcher."""
        self.calls += 1
        if self._away > 0:
            self._away -= 1
            raise Unavailable("identity is not available")
        return [self._decide(tenant_id, face) for face in faces]

    def _decide(self, tenant_id: TenantId, face: FaceQuery) -> Decision:
        if (tenant_id, face.event_id) not in self._decisions:
            self._decisions[tenant_id, face.event_id] = self._judge(tenant_id, face)
        return self._decisions[tenant_id, face.event_id]

    def _judge(self, tenant_id: TenantId, face: FaceQuery) -> Decision:
        gallery = self._galleries.setdefault(tenant_id, [])
        vector = _floats(face.vector)
        same_space = [known for known in gallery if known.space == face.space]
        best = max(same_space, key=lambda known: _cosine(vector, known.vector), default=None)
        similarity = None if best is None else _cosine(vector, best.vector)
        if best is not None and similarity is not None and similarity >= self._threshold:
            return Decision(
                Verdict.STAFF if best.staff_id else Verdict.MATCHED,
                customer_id=best.customer_id,
                staff_id=best.staff_id,
                embedding_id=best.embedding_id,
                similarity=similarity,
                threshold=self._threshold,
            )
        if face.quality < self._founding_quality:
            return Decision(Verdict.UNDECIDED, similarity=similarity, threshold=self._threshold)
        founder = _Known(face.space, vector, EmbeddingId(UUID(int=face.event_id.int)), customer_id=CustomerId(uuid4()))
        gallery.append(founder)
        return Decision(
            Verdict.ENROLLED,
            customer_id=founder.customer_id,
            embedding_id=founder.embedding_id,
            similarity=similarity,
            threshold=self._threshold,
        )


@dataclass(frozen=True, slots=True)
class _Known:
    space: str
    vector: tuple[float, ...]
    embedding_id: EmbeddingId
    customer_id: CustomerId | None = None
    staff_id: StaffId | None = None


def _floats(vector: bytes) -> tuple[float, ...]:
    return struct.unpack(f"<{len(vector) // 4}f", vector)


def _cosine(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    return max(-1.0, min(1.0, math.fsum(a * b for a, b in zip(one, other, strict=True))))
