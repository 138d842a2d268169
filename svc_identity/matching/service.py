"""The use case of matching: a batch of faces of one tenant in, durable decisions out.

1. The index proposes embeddings (one search per space, outside of any transaction).
2. In one transaction, under the events' locks: what was decided before is answered again; hits are looked up in
   PostgreSQL, where person, space and life are read, and whoever is recognised is.
3. The faces left over take the tenant's lock: they are compared exactly with one another and with every embedding that
   the index may not show yet, and found customers if they are good enough. So "is this person new?" is never answered
   twice with yes, whichever replica is asked.
4. The commit. Then, in its own time, the indexer brings the new rows to the index.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import numpy as np

from mesh import telemetry
from mesh.database import Database, Tx, lock
from mesh.ids import CustomerId, EmbeddingId, EventId, Ids, TenantId
from svc_identity.matching import store
from svc_identity.matching.domain import (
    Candidate,
    Decision,
    Face,
    Owner,
    Policy,
    Reason,
    Verdict,
    judge_stranger,
    recognise,
    teaches,
)
from svc_identity.vectors.port import Hit, Vector, VectorIndex
from svc_identity.vectors.vault import VectorVault

#: Embeddings that the index proposes for each face.
TOP_K: Final = 5
#: A row is trusted to show in a Bounded search this long after it was indexed.
STALENESS: Final = timedelta(seconds=10)

_decided = telemetry.counter("match_decisions", "Faces decided on", ["verdict", "reason"])
_seconds = telemetry.histogram("match_batch_seconds", "Time that a batch of faces took", ["stage"])


class UnknownSpaceError(Exception):
    """The tenant's gallery does not use this embedding space. ``position``: of the face in the batch."""

    def __init__(self, position: int, space: str) -> None:
        super().__init__(f"embedding space {space} is not used here")
        self.position = position
        self.space = space


@dataclass(frozen=True)
class Query:
    """One face that is asked about."""

    face: Face
    capture_time: datetime
    space: str
    vector: Vector
    staff_hint: UUID | None = None


class Matching:
    """Decides who faces are.

    ``defaults`` are the policies of the model manifest by embedding space; a tenant's calibration stands above them,
    its own settings above that. ``enrolled`` is told of a tenant whose gallery has grown, after the commit; ``matched``
    of the customers for whom faces were taken.
    """

    def __init__(
        self,
        *,
        database: Database,
        index: VectorIndex,
        vault: VectorVault,
        ids: Ids,
        defaults: Mapping[str, Policy],
        enrolled: Callable[[TenantId], None],
        matched: Callable[[TenantId, Iterable[CustomerId]], None] | None = None,
    ) -> None:
        self._database = database
        self._index = index
        self._vault = vault
        self._ids = ids
        self._defaults = defaults
        self._enrolled = enrolled
        self._matched = matched

    async def match(self, tenant_id: TenantId, queries: Sequence[Query]) -> list[Decision]:
        """A decision for each query, in order; durable when this returns. Idempotent by event id.

        Raises :class:`UnknownSpaceError`, and ``mesh.errors.Unavailable`` when nothing was decided.
        """
        for position, query in enumerate(queries):
            if query.space not in self._defaults:
                raise UnknownSpaceError(position, query.space)
        started = time.perf_counter()
        hits = await self._propose(tenant_id, queries)
        proposed = time.perf_counter()
        decisions, grown = await self._database.run(
            tenant_id, lambda tx: _Batch(self, tx, tenant_id).decide(queries, hits)
        )
        _seconds.labels("index").observe(proposed - started)
        _seconds.labels("record").observe(time.perf_counter() - proposed)
        for decision in decisions:
            _decided.labels(decision.verdict.value, decision.reason.value).inc()
        if grown:
            self._enrolled(tenant_id)
        if self._matched is not None:
            self._matched(tenant_id, {decision.customer_id for decision in decisions if decision.customer_id})
        return decisions

    async def _propose(self, tenant_id: TenantId, queries: Sequence[Query]) -> list[list[Hit]]:
        hits: list[list[Hit]] = [[] for _ in queries]
        for space in {query.space for query in queries}:
            places = [place for place, query in enumerate(queries) if query.space == space]
            vectors = np.stack([queries[place].vector for place in places])
            for place, found in zip(places, await self._index.search(space, tenant_id, vectors, TOP_K), strict=True):
                hits[place] = found
        return hits

    async def policies(self, tx: Tx, tenant_id: TenantId) -> dict[str, Policy]:
        """What the tenant decides by, per embedding space: its settings, else its calibration, else the manifest."""
        choice = await store.tenant_choice(tx, tenant_id)
        found = {
            space: policy for space, policy in self._defaults.items() if not choice.spaces or space in choice.spaces
        }
        for change in choice.changes:
            if change.space in found:
                found[change.space] = found[change.space].changed(change.threshold, change.founding_quality)
        return found


class _Batch:
    """One batch within its transaction."""

    def __init__(self, matching: Matching, tx: Tx, tenant_id: TenantId) -> None:
        self._matching = matching
        self._vault = matching._vault
        self._ids = matching._ids
        self._tx = tx
        self._tenant_id = tenant_id
        self._founded: list[tuple[CustomerId, Query]] = []
        self._enrolments: list[store.Enrolment] = []

    async def decide(self, queries: Sequence[Query], hits: Sequence[list[Hit]]) -> tuple[list[Decision], bool]:
        """The decisions in order, and whether the gallery has grown."""
        await lock(self._tx, *(("event", query.face.event_id) for query in queries))
        known = await self._decided_before([query.face.event_id for query in queries])
        policies = await self._matching.policies(self._tx, self._tenant_id)
        asked = [place for place, query in enumerate(queries) if query.face.event_id not in known]
        for place in asked:
            if queries[place].space not in policies:
                raise UnknownSpaceError(place, queries[place].space)
        candidates = await self._proposed([queries[place] for place in asked], [hits[place] for place in asked])
        made: dict[int, Decision] = {}
        strangers: list[int] = []
        for place, proposed in zip(asked, candidates, strict=True):
            query = queries[place]
            decision = recognise(query.face, proposed, policies[query.space])
            if decision is None:
                strangers.append(place)
            else:
                made[place] = decision
        if strangers:
            by_place = dict(zip(asked, candidates, strict=True))
            made |= await self._judge({place: queries[place] for place in strangers}, by_place, policies)
        await self._teach(queries, made, policies)
        await self._write(queries, made)
        decisions = [made[place] if place in made else known[q.face.event_id] for place, q in enumerate(queries)]
        return decisions, bool(self._enrolments)

    async def _decided_before(self, ids: Sequence[EventId]) -> dict[EventId, Decision]:
        """The first decisions. Asked again, so about to be committed: nobody whom they name is a leftover yet."""
        known = await store.decisions(self._tx, ids)
        if not known:
            return known
        await store.touch_provisional(self._tx, {decision.customer_id for decision in known.values()})
        # Read again under that lock: a leftover may have gone meanwhile, its decision with it.
        return await store.decisions(self._tx, ids)

    async def _proposed(self, queries: Sequence[Query], hits: Sequence[list[Hit]]) -> list[list[Candidate]]:
        """The index's hits, and the embeddings of hinted staff, as candidates with today's people."""
        owners = await store.owners(self._tx, {hit.id for found in hits for hit in found})
        candidates = [
            [
                Candidate(owners[hit.id].person, hit.id, hit.similarity, Reason.INDEX)
                for hit in found
                if hit.id in owners and owners[hit.id].known_at(query.face.site_id)
            ]
            for query, found in zip(queries, hits, strict=True)
        ]
        for space in {query.space for query in queries if query.staff_hint is not None}:
            hinted = {q.staff_hint for q in queries if q.space == space and q.staff_hint is not None}
            staff = await store.owners_of_staff(self._tx, space, hinted)
            vectors = await self._vectors(staff)
            for query, found in zip(queries, candidates, strict=True):
                if query.space == space and query.staff_hint is not None:
                    theirs = {id_: owner for id_, owner in staff.items() if owner.person.id == query.staff_hint}
                    found.extend(_compare(query, theirs, vectors, Reason.STAFF_HINT))
        return candidates

    async def _judge(
        self,
        strangers: Mapping[int, Query],
        proposed: Mapping[int, list[Candidate]],
        policies: Mapping[str, Policy],
    ) -> dict[int, Decision]:
        """Under the tenant's lock: compare exactly with all that is fresh and with one another; found customers."""
        await lock(self._tx, ("enrol", self._tenant_id))
        made: dict[int, Decision] = {}
        for space in sorted({query.space for query in strangers.values()}):
            fresh = await store.owners_of_fresh(self._tx, space, STALENESS)
            vectors = await self._vectors(fresh)
            companions: dict[EmbeddingId, Owner] = {}
            for place, query in strangers.items():
                if query.space != space:
                    continue
                found = [
                    *proposed[place],
                    *_compare(query, fresh, vectors, Reason.RECENT),
                    *_compare(query, companions, vectors, Reason.SAME_BATCH),
                ]
                policy = policies[space]
                decision = recognise(query.face, found, policy)
                if decision is None:
                    customer_id = CustomerId(self._ids.uuid7(query.capture_time))
                    decision = judge_stranger(query.face, found, policy, customer_id)
                if decision.verdict is Verdict.ENROLLED and decision.person is not None:
                    self._found(query, CustomerId(decision.person.id))
                    companions[EmbeddingId(query.face.event_id)] = Owner(decision.person)
                    vectors[EmbeddingId(query.face.event_id)] = query.vector
                made[place] = decision
        return made

    def _found(self, query: Query, customer_id: CustomerId) -> None:
        self._founded.append((customer_id, query))
        self._enrol(query, customer_id)

    def _enrol(self, query: Query, customer_id: CustomerId) -> None:
        id_ = EmbeddingId(query.face.event_id)
        sealed = self._vault.seal(id_, query.vector)
        self._enrolments.append(
            store.Enrolment(id_, customer_id, query.face.event_id, query.space, sealed, query.face.quality)
        )

    async def _teach(
        self, queries: Sequence[Query], made: Mapping[int, Decision], policies: Mapping[str, Policy]
    ) -> None:
        """Let good, sure and different faces of known customers join the gallery."""
        matched = {place: d.customer_id for place, d in made.items() if d.verdict is Verdict.MATCHED and d.customer_id}
        founded_here = {customer for customer, _ in self._founded}
        counts = await store.embedding_counts(self._tx, set(matched.values())) if matched else {}
        for place, customer_id in matched.items():
            query = queries[place]
            held = counts.get(customer_id, 0)
            if customer_id not in founded_here and teaches(query.face, made[place], policies[query.space], held):
                self._enrol(query, customer_id)
                counts[customer_id] = held + 1

    async def _write(self, queries: Sequence[Query], made: Mapping[int, Decision]) -> None:
        founded = [(customer, query.face.event_id, query.face.site_id) for customer, query in self._founded]
        await store.insert_founded(self._tx, self._tenant_id, founded)
        await store.insert_embeddings(self._tx, self._tenant_id, self._enrolments)
        recorded = [
            store.Recorded(
                decision,
                queries[place].face.site_id,
                queries[place].capture_time,
                queries[place].space,
                queries[place].face.quality,
            )
            for place, decision in made.items()
        ]
        await store.insert_decisions(self._tx, self._tenant_id, recorded)

    async def _vectors(self, ids: Mapping[EmbeddingId, Owner]) -> dict[EmbeddingId, Vector]:
        """The vectors of embeddings, fetched and opened where they are not remembered."""
        missing = self._vault.unknown(ids)
        sealed = await store.sealed_vectors(self._tx, missing) if missing else {}
        opened = {id_: self._vault.open(id_, vector) for id_, vector in sealed.items()}
        for id_ in ids:
            remembered = self._vault.recall(id_)
            if id_ not in opened and remembered is not None:
                opened[id_] = remembered
        return opened


def _compare(
    query: Query, owners: Mapping[EmbeddingId, Owner], vectors: Mapping[EmbeddingId, Vector], found_by: Reason
) -> list[Candidate]:
    """The exact comparison of one face with the embeddings of ``owners``, as candidates."""
    held = [id_ for id_, owner in owners.items() if id_ in vectors and owner.known_at(query.face.site_id)]
    if not held:
        return []
    similarities = np.clip(np.stack([vectors[id_] for id_ in held]) @ query.vector, -1.0, 1.0)
    # The closest few are enough: the rest would not be kept, and a shop's fresh faces can be thousands.
    nearest = np.argsort(-similarities, kind="stable")[: 4 * TOP_K]
    return [Candidate(owners[held[i]].person, held[i], float(similarities[i]), found_by) for i in nearest]
