"""Would this picture be taken for this staff member? As matching would decide, and keeping nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np

from mesh.audit import Audit
from mesh.auth import Caller
from mesh.database import Tx
from mesh.ids import CustomerId, EmbeddingId, StaffId
from svc_identity.matching import store as matches
from svc_identity.matching.domain import Candidate, Owner, Person, PersonKind, Reason, closest_people
from svc_identity.matching.service import STALENESS, TOP_K, Matching
from svc_identity.staff import store
from svc_identity.staff.domain import NewFace, may_see
from svc_identity.staff.roster import Roster
from svc_identity.vectors.port import Hit, VectorIndex
from svc_identity.vectors.vault import VectorVault


@dataclass(frozen=True, slots=True)
class Recognition:
    """What a face would be taken for."""

    recognised: bool
    #: Cosine with the staff member's closest face; None when they have none in this space.
    similarity: float | None
    threshold: float
    #: The closest people whom the caller may see, best first.
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoSearch:
    """
    Attributes:
        index: proposes.
        matching: whose policies decide.
    """

    audit: Audit
    index: VectorIndex
    vault: VectorVault
    matching: Matching
    roster: Roster

    async def propose(self, caller: Caller, face: NewFace) -> list[Hit]:
        """What the index has that is like the face; outside of any transaction."""
        (hits,) = await self.index.search(face.space, caller.tenant, face.vector[np.newaxis, :], TOP_K)
        return hits

    async def test(self, tx: Tx, caller: Caller, staff_id: StaffId, face: NewFace, hits: Sequence[Hit]) -> Recognition:
        """The answer, audited as a photo search.

        Raises:
            NotFound: no such staff member of the caller's.
        """
        member = await self.roster.get(tx, caller, staff_id)
        policy = (await self.matching.policies(tx, caller.tenant))[face.space]
        owners = await matches.owners(tx, {hit.id for hit in hits})
        proposed = [
            Candidate(owners[hit.id].person, hit.id, hit.similarity, Reason.INDEX) for hit in hits if hit.id in owners
        ]
        fresh = await self._compared(tx, face, await matches.owners_of_fresh(tx, face.space, STALENESS))
        # A suspended one is recognised by nobody; how like the picture is, is told all the same.
        faces = await self._theirs(tx, staff_id, face.space)
        theirs = await self._compared(tx, face, faces)
        people = closest_people([*proposed, *fresh, *([] if member.entered.suspended else theirs)])
        best = people[0] if people else None
        recognised = best is not None and best.similarity >= policy.threshold and best.person.id == staff_id
        await self.audit.record(
            tx, caller, "staff.test_recognition", target_kind="staff", target_id=staff_id, details={"space": face.space}
        )
        return Recognition(
            recognised,
            max((candidate.similarity for candidate in theirs), default=None),
            policy.threshold,
            await self._visible(tx, caller, people),
        )

    async def _theirs(self, tx: Tx, staff_id: StaffId, space: str) -> dict[EmbeddingId, Owner]:
        person = Person(PersonKind.STAFF, staff_id)
        return dict.fromkeys(await matches.embeddings_of(tx, space, staff_id), Owner(person))

    async def _compared(self, tx: Tx, face: NewFace, owners: dict[EmbeddingId, Owner]) -> list[Candidate]:
        missing = self.vault.unknown(owners)
        sealed = await matches.sealed_vectors(tx, missing) if missing else {}
        opened = {id_: self.vault.open(id_, vector) for id_, vector in sealed.items()}
        found = []
        for id_, owner in owners.items():
            vector = opened.get(id_)
            if vector is None:
                vector = self.vault.recall(id_)
            if vector is not None:
                similarity = float(np.clip(vector @ face.vector, -1.0, 1.0))
                found.append(Candidate(owner.person, id_, similarity, Reason.RECENT))
        return found

    async def _visible(self, tx: Tx, caller: Caller, people: Sequence[Candidate]) -> tuple[Candidate, ...]:
        """Those of whom somebody held to sites may hear: staff of their sites, customers who were seen there."""
        if caller.visible_sites is None:
            return tuple(people)
        customers = {CustomerId(one.person.id) for one in people if one.person.kind is PersonKind.CUSTOMER}
        shown: set[UUID] = {*await matches.seen_customers(tx, customers)}
        for one in people:
            if one.person.kind is PersonKind.STAFF:
                member = await store.get_staff(tx, StaffId(one.person.id))
                if member is not None and may_see(caller.visible_sites, member.entered.site_ids):
                    shown.add(one.person.id)
        return tuple(one for one in people if one.person.id in shown)
