"""The Matcher that asks svc_identity, over the mesh."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import grpc
from footfall.identity.v1 import match_pb2, match_pb2_grpc
from footfall.type.v1 import embedding_pb2, problem_pb2

from mesh.auth import acting
from mesh.errors import Internal, MeshError, Unavailable, from_rpc_error, reason_name
from mesh.ids import CustomerId, EmbeddingId, StaffId, TenantId
from mesh.telemetry import request_id
from svc_ingest.events.domain import Decision, Reason, Refusal, Verdict, Violation
from svc_ingest.events.matching import FaceQuery

SECONDS: Final = 10.0  # of one call
PEER: Final = "svc-ingest"

_VERDICTS: Final = {
    match_pb2.MatchDecision.VERDICT_MATCHED: Verdict.MATCHED,
    match_pb2.MatchDecision.VERDICT_ENROLLED: Verdict.ENROLLED,
    match_pb2.MatchDecision.VERDICT_STAFF: Verdict.STAFF,
    match_pb2.MatchDecision.VERDICT_REJECTED: None,
}


class IdentityMatcher:
    """MatchService of a mesh peer.

    Args:
        channel: to svc_identity, of mesh.channels: it says who we are, and for which tenant.
        seconds: the deadline of one call.
    """

    def __init__(self, channel: grpc.aio.Channel, seconds: float = SECONDS) -> None:
        self._stub = match_pb2_grpc.MatchServiceStub(channel)
        self._seconds = seconds

    async def match(self, tenant_id: TenantId, faces: Sequence[FaceQuery]) -> Sequence[Decision]:
        """See Matcher."""
        request = match_pb2.MatchFacesRequest(faces=[_to_proto(face) for face in faces])
        # For ourselves: a worker's token is no business of identity's. The request id goes along.
        with acting(PEER, tenant_id, request_id() or None):
            try:
                answer = await self._stub.MatchFaces(request, timeout=self._seconds)
            except grpc.RpcError as error:
                raise _understood(error) from error
        if len(answer.decisions) != len(faces):
            raise Internal
        return [_from_proto(decision) for decision in answer.decisions]


def _understood(error: grpc.RpcError) -> MeshError:
    """Every refusal but a bug means: not now. Identity judges faces one by one, never the call."""
    known = from_rpc_error(error)
    if isinstance(known, Internal):
        return known
    return Unavailable("identity is not available", retry_after=known.retry_after)


def _to_proto(face: FaceQuery) -> match_pb2.FaceQuery:
    query = match_pb2.FaceQuery(
        event_id=str(face.event_id),
        site_id=str(face.site_id),
        embedding=embedding_pb2.Embedding(space=face.space, vector=face.vector),
        quality=face.quality,
        staff_hint_id=str(face.staff_hint_id) if face.staff_hint_id else None,
    )
    query.capture_time.FromDatetime(face.capture_time)
    if face.sample_vector is not None:
        query.sample_embedding.CopyFrom(embedding_pb2.Embedding(space=face.space, vector=face.sample_vector))
    return query


def _from_proto(decision: match_pb2.MatchDecision) -> Decision:
    verdict = _VERDICTS.get(decision.verdict, Verdict.UNDECIDED)
    person = decision.WhichOneof("person")
    return Decision(
        verdict,
        customer_id=CustomerId(UUID(decision.customer_id)) if person == "customer_id" else None,
        staff_id=StaffId(UUID(decision.staff_id)) if person == "staff_id" else None,
        embedding_id=EmbeddingId(UUID(decision.embedding_id)) if decision.HasField("embedding_id") else None,
        similarity=decision.similarity if decision.HasField("similarity") else None,
        threshold=decision.threshold,
        refusal=_refusal(decision.problem) if verdict is None else None,
    )


def _refusal(problem: problem_pb2.Problem) -> Refusal:
    try:
        reason = Reason(reason_name(problem.reason))
    except ValueError:  # a newer identity's word
        reason = Reason.PERSON_ERASED
    violations = tuple(Violation(violation.field, violation.description) for violation in problem.violations)
    return Refusal(reason, problem.message or "must not be matched", violations)
