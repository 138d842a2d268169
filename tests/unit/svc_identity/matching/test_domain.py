"""The rules of matching: whoever is similar enough is the person, and a stranger is new only if the face is good."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.ids import CustomerId, EmbeddingId, EventId, SiteId
from svc_identity.matching.domain import (
    KEPT_CANDIDATES,
    Candidate,
    Face,
    Owner,
    Person,
    PersonKind,
    Policy,
    Reason,
    Verdict,
    closest_people,
    forbidden,
    judge_stranger,
    recognise,
    teaches,
)

SITE, ELSEWHERE = SiteId(UUID(int=1)), SiteId(UUID(int=2))
NEW = CustomerId(UUID(int=99))

similarities = st.floats(-1, 1, width=32)
qualities = st.floats(0, 1, width=32)
people = st.builds(Person, st.sampled_from(PersonKind), st.integers(1, 8).map(lambda number: UUID(int=number)))
candidate_lists = st.lists(
    st.builds(
        Candidate,
        people,
        st.integers(1, 10_000).map(lambda number: EmbeddingId(UUID(int=number))),
        similarities,
        st.sampled_from([Reason.INDEX, Reason.RECENT, Reason.SAME_BATCH]),
    ),
    max_size=30,
)
policies = st.builds(Policy, threshold=st.floats(-0.5, 0.9), founding_quality=qualities)
faces = st.builds(Face, st.just(EventId(UUID(int=7))), st.just(SITE), qualities)


def candidate(person: int, similarity: float, kind: PersonKind = PersonKind.CUSTOMER, embedding: int = 1) -> Candidate:
    return Candidate(Person(kind, UUID(int=person)), EmbeddingId(UUID(int=embedding)), similarity, Reason.INDEX)


FACE = Face(EventId(UUID(int=7)), SITE, 0.9)
POLICY = Policy(threshold=0.4, founding_quality=0.35)


@given(candidate_lists)
def test_each_person_stands_once_by_their_closest_embedding_best_first(candidates: list[Candidate]) -> None:
    closest = closest_people(candidates)
    best: dict[Person, float] = {}
    for one in candidates:
        best[one.person] = max(best.get(one.person, -1.0), one.similarity)
    assert len(closest) == min(len(best), KEPT_CANDIDATES)
    assert [one.similarity for one in closest] == sorted(best.values(), reverse=True)[:KEPT_CANDIDATES]
    assert all(best[one.person] == one.similarity for one in closest)


@given(candidate_lists, st.randoms())
def test_the_order_in_which_candidates_came_decides_nothing(candidates: list[Candidate], chance: object) -> None:
    unique = {(one.person, one.embedding_id): one for one in candidates}
    one_each = list({one.embedding_id: one for one in unique.values()}.values())
    shuffled = list(one_each)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert closest_people(shuffled) == closest_people(one_each)


def test_of_equals_staff_come_first_and_then_the_older_embedding() -> None:
    customer, staff = candidate(1, 0.7), candidate(2, 0.7, PersonKind.STAFF, embedding=9)
    older, newer = candidate(3, 0.6, embedding=3), candidate(4, 0.6, embedding=4)
    assert closest_people([newer, customer, older, staff]) == (staff, customer, older, newer)


@given(faces, candidate_lists, policies)
def test_whoever_is_similar_enough_is_recognised_and_nobody_else(
    face: Face, candidates: list[Candidate], policy: Policy
) -> None:
    best = max((one.similarity for one in candidates), default=-2.0)
    decision = recognise(face, candidates, policy)
    if best < policy.threshold:
        assert decision is None
        return
    assert decision is not None
    assert decision.similarity == best
    assert decision.candidates[0].person == decision.person
    assert decision.person is not None
    expected = Verdict.STAFF if decision.person.kind is PersonKind.STAFF else Verdict.MATCHED
    assert decision.verdict is expected
    assert (decision.customer_id is None) != (decision.staff_id is None)


@pytest.mark.parametrize(("similarity", "known"), [(0.4, True), (0.3999, False)])
def test_the_threshold_itself_is_enough(similarity: float, known: bool) -> None:
    assert (recognise(FACE, [candidate(1, similarity)], POLICY) is not None) is known


@given(faces, candidate_lists, policies)
def test_a_stranger_is_founded_exactly_if_the_face_is_good_enough(
    face: Face, candidates: list[Candidate], policy: Policy
) -> None:
    decision = judge_stranger(face, candidates, policy, NEW)
    if face.quality >= policy.founding_quality:
        assert (decision.verdict, decision.customer_id) == (Verdict.ENROLLED, NEW)
        assert decision.embedding_id == face.event_id
    else:
        assert (decision.verdict, decision.person, decision.embedding_id) == (Verdict.UNDECIDED, None, None)
    assert decision.similarity == max((one.similarity for one in candidates), default=None)
    assert decision.threshold == policy.threshold


@given(faces, candidate_lists, policies, st.integers(0, 20))
def test_only_a_good_sure_and_different_face_of_a_customer_teaches(
    face: Face, candidates: list[Candidate], policy: Policy, held: int
) -> None:
    decision = recognise(face, candidates, policy)
    if decision is None or not teaches(face, decision, policy, held):
        return
    assert decision.verdict is Verdict.MATCHED
    assert face.quality >= policy.founding_quality
    assert held < policy.max_embeddings
    assert decision.similarity is not None
    assert policy.threshold + policy.teach_margin <= decision.similarity < policy.teach_below


def test_each_condition_of_teaching_counts() -> None:
    sure = recognise(FACE, [candidate(1, 0.6)], POLICY)
    assert sure is not None
    assert teaches(FACE, sure, POLICY, 9)
    assert not teaches(FACE, sure, POLICY, 10)
    assert not teaches(replace(FACE, quality=0.2), sure, POLICY, 0)
    for similarity in (0.45, 0.85):  # doubtful; known already
        decision = recognise(FACE, [candidate(1, similarity)], POLICY)
        assert decision is not None
        assert not teaches(FACE, decision, POLICY, 0)
    staff = recognise(FACE, [candidate(1, 0.6, PersonKind.STAFF)], POLICY)
    assert staff is not None
    assert not teaches(FACE, staff, POLICY, 0)


def test_a_forbidden_face_is_nobodys() -> None:
    decision = forbidden(FACE, POLICY)
    assert (decision.verdict, decision.person, decision.candidates) == (Verdict.REJECTED, None, ())


def test_a_tenants_decision_stands_above_the_models_and_leaves_the_rest() -> None:
    assert POLICY.changed(None, None) == POLICY
    assert POLICY.changed(0.5, None) == replace(POLICY, threshold=0.5)
    assert POLICY.changed(None, 0.0) == replace(POLICY, founding_quality=0.0)


def test_staff_are_known_at_their_sites_and_customers_everywhere() -> None:
    person = Person(PersonKind.STAFF, UUID(int=1))
    assert Owner(person).known_at(SITE)
    assert Owner(person, frozenset({SITE})).known_at(SITE)
    assert not Owner(person, frozenset({ELSEWHERE})).known_at(SITE)
