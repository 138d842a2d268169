"""The rules of matching: pure, over the candidates that the index and the record brought together.

A face is compared with *people*, each by their closest embedding. Whoever is at least as similar as the tenant's
threshold for that embedding space is the person. If nobody is, a good face founds a new customer, while a poor one
stays undecided: it may confirm a person, never found one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import UUID

from mesh.ids import CustomerId, EmbeddingId, EventId, SiteId, StaffId

#: How many people are kept with a decision, for ExplainVisit.
KEPT_CANDIDATES = 5


class PersonKind(StrEnum):
    """Whom an embedding can belong to."""

    CUSTOMER = "CUSTOMER"
    STAFF = "STAFF"


class Verdict(StrEnum):
    """As footfall.identity.v1.MatchDecision.Verdict."""

    MATCHED = "MATCHED"
    ENROLLED = "ENROLLED"
    STAFF = "STAFF"
    UNDECIDED = "UNDECIDED"
    REJECTED = "REJECTED"


class Reason(StrEnum):
    """As footfall.identity.v1.MatchDecision.Reason."""

    INDEX = "INDEX"
    RECENT = "RECENT"
    SAME_BATCH = "SAME_BATCH"
    STAFF_HINT = "STAFF_HINT"
    NOBODY_SIMILAR = "NOBODY_SIMILAR"
    QUALITY_LOW = "QUALITY_LOW"
    FORBIDDEN = "FORBIDDEN"


@dataclass(frozen=True)
class Person:
    """A customer or a staff member; today's, where people were merged."""

    kind: PersonKind
    id: UUID


@dataclass(frozen=True)
class Owner:
    """Whose an embedding is, and where they are recognised."""

    person: Person
    #: The sites of a staff member; None: everywhere. Elsewhere they are customers like others.
    sites: frozenset[SiteId] | None = None

    def known_at(self, site_id: SiteId) -> bool:
        """Whether a face seen there may be taken for this person."""
        return self.sites is None or site_id in self.sites


@dataclass(frozen=True)
class Candidate:
    """One embedding that was compared with a face, and whose it is."""

    person: Person
    embedding_id: EmbeddingId
    #: Cosine, in [-1, 1].
    similarity: float
    #: Who brought it: INDEX, RECENT, SAME_BATCH or STAFF_HINT.
    found_by: Reason


@dataclass(frozen=True)
class Policy:
    """What a tenant decides by, in one embedding space."""

    #: Cosine from which two faces are one person, in [-1, 1]. It belongs to the model: there is no universal value.
    threshold: float
    #: Quality in [0, 1] below which a face founds nobody and teaches nothing.
    founding_quality: float
    #: A person's gallery takes a new embedding only below this similarity: closer ones teach nothing.
    teach_below: float = 0.80
    #: … and only this far above the threshold: a doubtful match must not pull a person towards somebody else.
    teach_margin: float = 0.10
    #: Embeddings that one person may have.
    max_embeddings: int = 10

    def changed(self, threshold: float | None, founding_quality: float | None) -> Policy:
        """This policy with what somebody decided otherwise; None leaves a value as it is."""
        return replace(
            self,
            threshold=self.threshold if threshold is None else threshold,
            founding_quality=self.founding_quality if founding_quality is None else founding_quality,
        )


@dataclass(frozen=True)
class Face:
    """What a decision needs to know of a face, besides its candidates."""

    event_id: EventId
    site_id: SiteId
    #: In [0, 1].
    quality: float


@dataclass(frozen=True)
class Decision:
    """Who a face is, and why."""

    event_id: EventId
    verdict: Verdict
    reason: Reason
    #: None for UNDECIDED and REJECTED.
    person: Person | None
    #: The embedding that was matched, or the one that is enrolled.
    embedding_id: EmbeddingId | None
    #: Cosine of the best candidate; None when the gallery was empty.
    similarity: float | None
    threshold: float
    #: The closest people, best first.
    candidates: tuple[Candidate, ...]

    @property
    def customer_id(self) -> CustomerId | None:
        """The customer, when it is one."""
        if self.person is None or self.person.kind is not PersonKind.CUSTOMER:
            return None
        return CustomerId(self.person.id)

    @property
    def staff_id(self) -> StaffId | None:
        """The staff member, when it is one."""
        if self.person is None or self.person.kind is not PersonKind.STAFF:
            return None
        return StaffId(self.person.id)


def closest_people(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Each person once, by their closest embedding, best first, at most :data:`KEPT_CANDIDATES`.

    Ties go to staff (a person who works there must not be counted), then to the smaller embedding id (the older one).
    """
    best: dict[Person, Candidate] = {}
    for candidate in sorted(candidates, key=_order):
        best.setdefault(candidate.person, candidate)
    return tuple(best.values())[:KEPT_CANDIDATES]


def _order(candidate: Candidate) -> tuple[float, bool, UUID]:
    return (-candidate.similarity, candidate.person.kind is PersonKind.CUSTOMER, candidate.embedding_id)


def recognise(face: Face, candidates: Iterable[Candidate], policy: Policy) -> Decision | None:
    """The decision, if somebody is similar enough; None when the face looks like nobody that was compared."""
    people = closest_people(candidates)
    if not people or people[0].similarity < policy.threshold:
        return None
    best = people[0]
    verdict = Verdict.STAFF if best.person.kind is PersonKind.STAFF else Verdict.MATCHED
    return Decision(
        face.event_id,
        verdict,
        best.found_by,
        best.person,
        best.embedding_id,
        best.similarity,
        policy.threshold,
        people,
    )


def judge_stranger(face: Face, candidates: Iterable[Candidate], policy: Policy, customer_id: CustomerId) -> Decision:
    """The decision on a face that looks like nobody: found the customer ``customer_id``, or leave it undecided.

    An enrolled face's embedding takes the event's id, so a repeat enrols the same one.
    """
    people = closest_people(candidates)
    similarity = people[0].similarity if people else None
    if face.quality < policy.founding_quality:
        return Decision(
            face.event_id, Verdict.UNDECIDED, Reason.QUALITY_LOW, None, None, similarity, policy.threshold, people
        )
    return Decision(
        face.event_id,
        Verdict.ENROLLED,
        Reason.NOBODY_SIMILAR,
        Person(PersonKind.CUSTOMER, customer_id),
        EmbeddingId(face.event_id),
        similarity,
        policy.threshold,
        people,
    )


def teaches(face: Face, decision: Decision, policy: Policy, known_embeddings: int) -> bool:
    """Whether a matched face joins its customer's gallery: good, sure, and different from what is known.

    Staff learn from photographs that somebody chose, never from cameras. ``known_embeddings``: how many they have.
    """
    return (
        decision.verdict is Verdict.MATCHED
        and decision.similarity is not None
        and face.quality >= policy.founding_quality
        and known_embeddings < policy.max_embeddings
        and policy.threshold + policy.teach_margin <= decision.similarity < policy.teach_below
    )


def forbidden(face: Face, policy: Policy) -> Decision:
    """The decision on a face that must not be matched: the person was erased."""
    return Decision(face.event_id, Verdict.REJECTED, Reason.FORBIDDEN, None, None, None, policy.threshold, ())
