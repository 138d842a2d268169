"""The two peers that svc_ingest asks, over real mTLS: the registry's keys, and identity with a Matcher behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from footfall.identity.v1 import match_pb2, match_pb2_grpc
from footfall.registry.v1 import auth_pb2, auth_pb2_grpc
from footfall.type.v1 import problem_pb2

from mesh.access import Rule, TenantFrom, rules
from mesh.auth import current_caller
from mesh.ids import EventId, SiteId, StaffId
from mesh.server import Mount, Server, Service, running
from mesh.tls import Tls
from svc_ingest.events.domain import Decision, Verdict
from svc_ingest.events.matching import FaceQuery, Matcher
from tests.support.mesh import TokenIssuer

AUTH = auth_pb2.DESCRIPTOR.services_by_name["AuthService"]
MATCH = match_pb2.DESCRIPTOR.services_by_name["MatchService"]
_VERDICTS = {
    Verdict.MATCHED: match_pb2.MatchDecision.VERDICT_MATCHED,
    Verdict.ENROLLED: match_pb2.MatchDecision.VERDICT_ENROLLED,
    Verdict.STAFF: match_pb2.MatchDecision.VERDICT_STAFF,
    Verdict.UNDECIDED: match_pb2.MatchDecision.VERDICT_UNDECIDED,
    None: match_pb2.MatchDecision.VERDICT_REJECTED,
}


class KeysServicer(auth_pb2_grpc.AuthServiceServicer):
    """AuthService, as far as GetJwks."""

    def __init__(self, issuer: TokenIssuer) -> None:
        self._issuer = issuer

    async def GetJwks(self, request: auth_pb2.GetJwksRequest, context: Any) -> auth_pb2.GetJwksResponse:
        (key,) = (await self._issuer.jwks())["keys"]
        names = ("kty", "use", "alg", "kid", "n", "e")
        return auth_pb2.GetJwksResponse(keys=[auth_pb2.JsonWebKey(**{name: key[name] for name in names})])


class MatcherServicer(match_pb2_grpc.MatchServiceServicer):
    """MatchService with any Matcher behind it."""

    def __init__(self, matcher: Matcher) -> None:
        self._matcher = matcher

    async def MatchFaces(self, request: match_pb2.MatchFacesRequest, context: Any) -> match_pb2.MatchFacesResponse:
        faces = [_query(face) for face in request.faces]
        decisions = await self._matcher.match(current_caller().tenant, faces)
        answers = [_decision(face, decision) for face, decision in zip(faces, decisions, strict=True)]
        return match_pb2.MatchFacesResponse(decisions=answers)


@asynccontextmanager
async def running_keys(peers: Callable[[str], Tls], issuer: TokenIssuer) -> AsyncIterator[Server]:
    """svc-registry, as far as ingest needs it."""
    policy = rules(AUTH, Rule(public=True, peers=frozenset({"svc-ingest"}), tenant=TenantFrom.NONE))
    service = Service([Mount(AUTH, KeysServicer(issuer))], policy, issuer.verifier())  # type: ignore[abstract]
    async with running(service, tls=peers("svc-registry"), grace=0.2) as server:
        yield server


@asynccontextmanager
async def running_matcher(peers: Callable[[str], Tls], issuer: TokenIssuer, matcher: Matcher) -> AsyncIterator[Server]:
    """svc-identity, as far as ingest needs it."""
    policy = rules(MATCH, Rule(peers=frozenset({"svc-ingest"}), tenant=TenantFrom.METADATA))
    service = Service([Mount(MATCH, MatcherServicer(matcher))], policy, issuer.verifier())
    async with running(service, tls=peers("svc-identity"), grace=0.2) as server:
        yield server


def _query(face: match_pb2.FaceQuery) -> FaceQuery:
    return FaceQuery(
        event_id=EventId(UUID(face.event_id)),
        site_id=SiteId(UUID(face.site_id)),
        capture_time=face.capture_time.ToDatetime(),
        space=face.embedding.space,
        vector=face.embedding.vector,
        quality=face.quality,
        sample_vector=face.sample_embedding.vector if face.HasField("sample_embedding") else None,
        staff_hint_id=StaffId(UUID(face.staff_hint_id)) if face.HasField("staff_hint_id") else None,
    )


def _decision(face: FaceQuery, decision: Decision) -> match_pb2.MatchDecision:
    problem = None
    if decision.refusal is not None:
        reason = problem_pb2.ErrorReason.Value(f"ERROR_REASON_{decision.refusal.reason}")
        problem = problem_pb2.Problem(reason=reason, message=decision.refusal.message)
    answer = match_pb2.MatchDecision(
        event_id=str(face.event_id),
        verdict=_VERDICTS[decision.verdict],
        embedding_id=str(decision.embedding_id) if decision.embedding_id else None,
        similarity=decision.similarity,
        threshold=decision.threshold or 0.0,
        problem=problem,
    )
    if decision.customer_id is not None:
        answer.customer_id = str(decision.customer_id)
    if decision.staff_id is not None:
        answer.staff_id = str(decision.staff_id)
    return answer
