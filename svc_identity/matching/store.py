"""What matching reads and writes in PostgreSQL: who owns an embedding, which are fresh, what was decided."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import distinct_on

from mesh.database import Tx
from mesh.ids import CustomerId, EmbeddingId, EventId, SiteId, TenantId
from schema.identity import customers, embeddings, match_decisions, tenant_thresholds
from schema.ingest import face_events
from schema.registry import tenants
from svc_identity.matching.domain import Candidate, Decision, Owner, Person, PersonKind, Reason, Verdict

# Today's owner of each embedding: merged customers lead to whom they became, converted ones to the staff member.
# Forgotten, suspended and deleted people own nothing that may be matched.
_OWNERS = """
WITH RECURSIVE owned AS (
  SELECT e.id AS embedding_id, e.staff_id, c.id AS customer_id, c.state, c.merged_into, c.staff_id AS became
    FROM embeddings e LEFT JOIN customers c ON c.tenant_id = e.tenant_id AND c.id = e.customer_id
   WHERE {condition}
  UNION ALL
  SELECT o.embedding_id, o.staff_id, c.id, c.state, c.merged_into, c.staff_id
    FROM owned o JOIN customers c ON c.id = o.merged_into
)
SELECT o.embedding_id,
       CASE WHEN s.id IS NULL THEN 'CUSTOMER' ELSE 'STAFF' END AS kind,
       coalesce(s.id, o.customer_id) AS person_id,
       coalesce(s.site_ids, '{{}}') AS site_ids
  FROM owned o LEFT JOIN staff s ON s.id = coalesce(o.staff_id, o.became)
 WHERE o.merged_into IS NULL
   AND CASE WHEN coalesce(o.staff_id, o.became) IS NULL THEN o.state IN ('PROVISIONAL', 'ACTIVE')
            ELSE s.delete_time IS NULL AND NOT s.suspended END
"""
_OWNERS_BY_ID = text(_OWNERS.format(condition="e.id = ANY (:ids)"))
_OWNERS_OF_FRESH = text(
    _OWNERS.format(
        condition="e.space = :space AND (e.index_time IS NULL OR e.index_time > now() - CAST(:staleness AS interval))"
    )
)
_OWNERS_BY_STAFF = text(_OWNERS.format(condition="e.space = :space AND e.staff_id = ANY (:ids)"))

_TODAYS_CUSTOMERS = text(
    """
    WITH RECURSIVE chain AS (
      SELECT c.id AS asked, c.id, c.merged_into FROM customers c WHERE c.id = ANY (:ids)
      UNION ALL
      SELECT chain.asked, c.id, c.merged_into FROM chain JOIN customers c ON c.id = chain.merged_into
    )
    SELECT asked, id FROM chain WHERE merged_into IS NULL
    """
)


@dataclass(frozen=True)
class Enrolment:
    """An embedding that joins the gallery, sealed."""

    id: EmbeddingId
    customer_id: CustomerId
    event_id: EventId
    space: str
    #: Encrypted under the embedding's id.
    sealed_vector: bytes
    quality: float


@dataclass(frozen=True)
class Recorded:
    """A decision with what is kept beside it."""

    decision: Decision
    site_id: SiteId
    capture_time: datetime
    space: str
    quality: float


async def owners(tx: Tx, ids: Iterable[EmbeddingId]) -> dict[EmbeddingId, Owner]:
    """Today's person behind each embedding; an id without a living person, or of another tenant, is left out."""
    return _people(await tx.execute(_OWNERS_BY_ID, {"ids": list(ids)}))


async def owners_of_fresh(tx: Tx, space: str, staleness: timedelta) -> dict[EmbeddingId, Owner]:
    """As :func:`owners`, of every embedding that the index may not show yet: not indexed, or not ``staleness`` ago."""
    return _people(await tx.execute(_OWNERS_OF_FRESH, {"space": space, "staleness": staleness}))


async def owners_of_staff(tx: Tx, space: str, staff_ids: Iterable[UUID]) -> dict[EmbeddingId, Owner]:
    """As :func:`owners`, of every embedding of these staff members."""
    return _people(await tx.execute(_OWNERS_BY_STAFF, {"space": space, "ids": list(staff_ids)}))


async def embeddings_of(tx: Tx, space: str, staff_id: UUID) -> list[EmbeddingId]:
    """The embeddings of one staff member, suspended or not."""
    query = select(embeddings.c.id).where(embeddings.c.space == space, embeddings.c.staff_id == staff_id)
    return [EmbeddingId(id_) for id_ in await tx.scalars(query)]


async def seen_customers(tx: Tx, customer_ids: Iterable[CustomerId]) -> set[CustomerId]:
    """Those of the customers who were seen at a site that the transaction is held to."""
    events = face_events.c
    rows = await tx.scalars(select(events.customer_id).where(events.customer_id.in_(list(customer_ids))).distinct())
    return {CustomerId(id_) for id_ in rows}


def _people(rows: Any) -> dict[EmbeddingId, Owner]:
    return {
        EmbeddingId(row.embedding_id): Owner(
            Person(PersonKind(row.kind), row.person_id),
            frozenset(SiteId(site) for site in row.site_ids) or None,
        )
        for row in rows
    }


async def sealed_vectors(tx: Tx, ids: Iterable[EmbeddingId]) -> dict[EmbeddingId, bytes]:
    """The encrypted vectors of embeddings."""
    rows = await tx.execute(select(embeddings.c.id, embeddings.c.vector).where(embeddings.c.id.in_(list(ids))))
    return {EmbeddingId(row.id): row.vector for row in rows}


async def embedding_counts(tx: Tx, people: Iterable[CustomerId]) -> dict[CustomerId, int]:
    """How many embeddings each customer has."""
    rows = await tx.execute(
        select(embeddings.c.customer_id, func.count().label("held"))
        .where(embeddings.c.customer_id.in_(list(people)))
        .group_by(embeddings.c.customer_id)
    )
    return {CustomerId(row.customer_id): int(row.held) for row in rows}


@dataclass(frozen=True)
class PolicyChange:
    """What stands above the model's own policy in one embedding space; None: the model's."""

    space: str
    threshold: float | None
    founding_quality: float | None


@dataclass(frozen=True)
class TenantChoice:
    """What a tenant decided about matching."""

    #: What it decides by instead of the models' own policies: its calibrations, then its settings.
    changes: tuple[PolicyChange, ...]
    #: The only spaces that its gallery uses; empty: all that the installation has.
    spaces: frozenset[str]


async def tenant_choice(tx: Tx, tenant_id: TenantId) -> TenantChoice:
    """What the tenant decided about matching."""
    settings = await tx.scalar(select(tenants.c.settings).where(tenants.c.id == tenant_id))
    rows = await tx.execute(
        select(tenant_thresholds)
        .ext(distinct_on(tenant_thresholds.c.space))
        .where(tenant_thresholds.c.effective_time <= func.now())
        .order_by(tenant_thresholds.c.space, tenant_thresholds.c.effective_time.desc())
    )
    calibrated = [PolicyChange(row.space, row.threshold, row.founding_quality) for row in rows]
    own = [
        PolicyChange(entry["embedding_space"], entry.get("threshold"), entry.get("founding_quality"))
        for entry in (settings or {}).get("match_policies", ())
    ]
    return TenantChoice((*calibrated, *own), frozenset((settings or {}).get("embedding_spaces", ())))


async def insert_founded(tx: Tx, tenant_id: TenantId, founded: Sequence[tuple[CustomerId, EventId, SiteId]]) -> None:
    """Customers, PROVISIONAL until a sighting of theirs commits."""
    if founded:
        rows = [
            {"tenant_id": tenant_id, "id": customer, "founding_event_id": event, "founding_site_id": site}
            for customer, event, site in founded
        ]
        await tx.execute(insert(customers), rows)


async def touch_provisional(tx: Tx, customer_ids: Iterable[CustomerId | None]) -> None:
    """Let those of the customers who have no committed sighting yet wait for it anew."""
    ids = [id_ for id_ in customer_ids if id_ is not None]
    if ids:
        waiting = customers.c.id.in_(ids) & (customers.c.state == "PROVISIONAL")
        await tx.execute(update(customers).where(waiting).values(update_time=func.now()))


async def insert_embeddings(tx: Tx, tenant_id: TenantId, enrolments: Sequence[Enrolment]) -> None:
    """Embeddings, not indexed yet."""
    if enrolments:
        rows = [
            {
                "tenant_id": tenant_id,
                "id": one.id,
                "customer_id": one.customer_id,
                "event_id": one.event_id,
                "space": one.space,
                "vector": one.sealed_vector,
                "quality": one.quality,
            }
            for one in enrolments
        ]
        await tx.execute(insert(embeddings), rows)


async def insert_decisions(tx: Tx, tenant_id: TenantId, recorded: Sequence[Recorded]) -> None:
    """Decisions, each event's first and only one."""
    if not recorded:
        return
    rows = [
        {
            "tenant_id": tenant_id,
            "event_id": one.decision.event_id,
            "site_id": one.site_id,
            "capture_time": one.capture_time,
            "space": one.space,
            "verdict": one.decision.verdict.value,
            "customer_id": one.decision.customer_id,
            "staff_id": one.decision.staff_id,
            "embedding_id": one.decision.embedding_id,
            "similarity": one.decision.similarity,
            "threshold": one.decision.threshold,
            "quality": one.quality,
            "candidates": [_candidate_document(candidate) for candidate in one.decision.candidates],
            "reason": one.decision.reason.value,
        }
        for one in recorded
    ]
    await tx.execute(insert(match_decisions), rows)


async def decisions(tx: Tx, ids: Iterable[EventId]) -> dict[EventId, Decision]:
    """The first decisions on events that were asked about before, naming today's customers."""
    rows = (await tx.execute(select(match_decisions).where(match_decisions.c.event_id.in_(list(ids))))).all()
    today = await _todays_customers(tx, {row.customer_id for row in rows if row.customer_id is not None})
    return {EventId(row.event_id): _decision(row, today) for row in rows}


async def _todays_customers(tx: Tx, ids: set[UUID]) -> dict[UUID, UUID]:
    if not ids:
        return {}
    rows = await tx.execute(_TODAYS_CUSTOMERS, {"ids": list(ids)})
    return {row.asked: row.id for row in rows}


def _decision(row: Any, today: dict[UUID, UUID]) -> Decision:
    person = None
    if row.customer_id is not None:
        person = Person(PersonKind.CUSTOMER, today.get(row.customer_id, row.customer_id))
    elif row.staff_id is not None:
        person = Person(PersonKind.STAFF, row.staff_id)
    return Decision(
        event_id=EventId(row.event_id),
        verdict=Verdict(row.verdict),
        reason=Reason(row.reason),
        person=person,
        embedding_id=EmbeddingId(row.embedding_id) if row.embedding_id else None,
        similarity=row.similarity,
        threshold=row.threshold,
        candidates=tuple(_candidate(document) for document in row.candidates),
    )


def _candidate_document(candidate: Candidate) -> dict[str, object]:
    return {
        "kind": candidate.person.kind.value,
        "person_id": str(candidate.person.id),
        "embedding_id": str(candidate.embedding_id),
        "similarity": candidate.similarity,
        "found_by": candidate.found_by.value,
    }


def _candidate(document: dict[str, Any]) -> Candidate:
    return Candidate(
        Person(PersonKind(document["kind"]), UUID(document["person_id"])),
        EmbeddingId(UUID(document["embedding_id"])),
        float(document["similarity"]),
        Reason(document["found_by"]),
    )


@dataclass(frozen=True)
class Unindexed:
    """An embedding that the index lacks."""

    id: EmbeddingId
    person: Person
    space: str
    sealed_vector: bytes
    create_time: datetime


async def unindexed(tx: Tx, limit: int) -> list[Unindexed]:
    """Embeddings that the index lacks, the oldest first."""
    rows = await tx.execute(
        select(embeddings).where(embeddings.c.index_time.is_(None)).order_by(embeddings.c.create_time).limit(limit)
    )
    return [
        Unindexed(
            EmbeddingId(row.id), Person(PersonKind(row.kind), row.person_id), row.space, row.vector, row.create_time
        )
        for row in rows
    ]


async def mark_indexed(tx: Tx, tenant_id: TenantId, ids: Sequence[EmbeddingId]) -> list[EmbeddingId]:
    """Note that the index holds these; returns those that still exist (the rest must leave the index again)."""
    rows = await tx.execute(
        update(embeddings)
        .where(tuple_(embeddings.c.tenant_id, embeddings.c.id).in_([(tenant_id, id_) for id_ in ids]))
        .values(index_time=func.clock_timestamp())
        .returning(embeddings.c.id)
    )
    return [EmbeddingId(row.id) for row in rows]
