"""MatchService on the wire."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any, Final
from uuid import UUID

import numpy as np
from footfall.identity.v1 import match_pb2, match_pb2_grpc
from footfall.type.v1 import embedding_pb2, problem_pb2

from mesh.auth import current_caller
from mesh.errors import InvalidField
from mesh.ids import EventId, SiteId, TenantId
from svc_identity.matching.domain import Candidate, Decision, Face, Verdict
from svc_identity.matching.service import Matching, Query, UnknownSpaceError
from svc_identity.vectors.port import BadVectorError, Vector, checked
from svc_identity.wire import person_field

_FORBIDDEN: Final = problem_pb2.Problem(
    reason=problem_pb2.ERROR_REASON_PERSON_ERASED, message="this face must not be matched"
)


class MatchServicer(match_pb2_grpc.MatchServiceServicer):
    """Turns batches into queries, and decisions into messages."""

    def __init__(self, matching: Matching) -> None:
        self._matching = matching

    async def MatchFaces(self, request: match_pb2.MatchFacesRequest, context: Any) -> match_pb2.MatchFacesResponse:
        queries = [_query(position, face) for position, face in enumerate(request.faces)]
        if len({query.face.event_id for query in queries}) < len(queries):
            raise InvalidField("faces", "each event id once")
        known = await self._decide(current_caller().tenant, queries)
        return match_pb2.MatchFacesResponse(
            decisions=[
                decision_message(known[query.face.event_id]) if query.face.event_id in known else _not_used_here(query)
                for query in queries
            ]
        )

    async def _decide(self, tenant_id: TenantId, queries: Sequence[Query]) -> dict[EventId, Decision]:
        """Decisions on all but those of spaces that the tenant does not use, which are no fault of the rest."""
        asked = list(queries)
        while asked:
            try:
                return {decision.event_id: decision for decision in await self._matching.match(tenant_id, asked)}
            except UnknownSpaceError as error:
                asked = [query for query in asked if query.space != error.space]
        return {}


def _not_used_here(query: Query) -> match_pb2.MatchDecision:
    return match_pb2.MatchDecision(
        event_id=str(query.face.event_id),
        verdict=match_pb2.MatchDecision.VERDICT_REJECTED,
        problem=problem_pb2.Problem(
            reason=problem_pb2.ERROR_REASON_EMBEDDING_SPACE_UNKNOWN,
            message=f"embedding space {query.space} is not used here",
            violations=[problem_pb2.FieldViolation(field="embedding.space", description="is not used here")],
        ),
    )


def _query(position: int, face: match_pb2.FaceQuery) -> Query:
    return Query(
        face=Face(EventId(UUID(face.event_id)), SiteId(UUID(face.site_id)), face.quality),
        capture_time=face.capture_time.ToDatetime(tzinfo=UTC),
        space=face.embedding.space,
        vector=vector_of(face.embedding, f"faces[{position}].embedding.vector"),
        staff_hint=UUID(face.staff_hint_id) if face.HasField("staff_hint_id") else None,
    )


def vector_of(embedding: embedding_pb2.Embedding, field: str) -> Vector:
    """The vector (512,) of an embedding; EMBEDDING_INVALID, naming ``field``, if it has a NaN or another length."""
    try:
        vector: Vector = checked(np.frombuffer(embedding.vector, dtype="<f4")[np.newaxis, :])[0]
    except (BadVectorError, ValueError) as error:
        raise InvalidField(field, str(error), reason=problem_pb2.ERROR_REASON_EMBEDDING_INVALID) from error
    return vector


def decision_message(decision: Decision) -> match_pb2.MatchDecision:
    """A decision on the wire."""
    message = match_pb2.MatchDecision(
        event_id=str(decision.event_id),
        verdict=match_pb2.MatchDecision.Verdict.Value(f"VERDICT_{decision.verdict.value}"),
        reason=match_pb2.MatchDecision.Reason.Value(f"REASON_{decision.reason.value}"),
        threshold=decision.threshold,
        candidates=[candidate_message(candidate) for candidate in decision.candidates],
        problem=_FORBIDDEN if decision.verdict is Verdict.REJECTED else None,
        **person_field(decision.person),
    )
    if decision.embedding_id is not None:
        message.embedding_id = str(decision.embedding_id)
    if decision.similarity is not None:
        message.similarity = decision.similarity
    return message


def candidate_message(candidate: Candidate) -> match_pb2.Candidate:
    """A candidate on the wire."""
    return match_pb2.Candidate(
        similarity=candidate.similarity,
        embedding_id=str(candidate.embedding_id),
        **person_field(candidate.person),
    )
