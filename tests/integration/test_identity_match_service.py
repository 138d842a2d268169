"""MatchFaces over the wire: who may ask, in which tenant, and what is refused by name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import numpy as np
import pytest
from footfall.identity.v1 import match_pb2, match_pb2_grpc
from footfall.type.v1 import problem_pb2

from mesh.access import Role
from mesh.tls import Tls
from tests.support.database import TestDatabase
from tests.support.faces import person_vector, shot
from tests.support.identity import RunningIdentity, query, running_identity
from tests.support.mesh import connect, fields, reason
from tests.support.seed import seed_tenant

Decision = match_pb2.MatchDecision


@pytest.fixture
async def identity(
    database: TestDatabase, peers: Callable[[str], Tls], tmp_path: Path
) -> AsyncIterator[RunningIdentity]:
    async with running_identity(database, peers, tmp_path) as running:
        yield running


def asked(*faces: match_pb2.FaceQuery) -> match_pb2.MatchFacesRequest:
    return match_pb2.MatchFacesRequest(faces=faces)


async def test_ingest_asks_about_a_batch_and_gets_a_decision_for_each_face(identity: RunningIdentity) -> None:
    tenant = seed_tenant(identity.database)
    first, second = query(tenant, person_vector(1)), query(tenant, shot(1, 0.7))
    async with identity.matching(tenant) as stub:
        answer = await stub.MatchFaces(asked(first, second, query(tenant, person_vector(2), quality=0.1)))
        one, same, poor = answer.decisions
        again = (await stub.MatchFaces(asked(first))).decisions[0]
    assert [one.event_id, same.event_id] == [first.event_id, second.event_id]
    assert (one.verdict, same.verdict) == (Decision.VERDICT_ENROLLED, Decision.VERDICT_MATCHED)
    assert one.customer_id == same.customer_id
    assert same.candidates[0].customer_id == one.customer_id
    assert (poor.verdict, poor.WhichOneof("person")) == (Decision.VERDICT_UNDECIDED, None)
    assert again == one


@pytest.mark.parametrize("peer", ["gateway", "operator", "svc-registry", "svc-reports"])
async def test_no_other_peer_may_ask_whatever_token_it_brings(identity: RunningIdentity, peer: str) -> None:
    tenant = seed_tenant(identity.database)
    token = identity.issuer.token(Role.TENANT_ADMIN, tenant_id=tenant.tenant_id)
    metadata = {"x-tenant-id": str(tenant.tenant_id)}
    async with connect(identity.target, "svc-identity", identity.peers(peer), token=token, metadata=metadata) as line:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await match_pb2_grpc.MatchServiceStub(line).MatchFaces(asked(query(tenant, person_vector(1))))
    assert reason(refused.value) == "PEER_NOT_ALLOWED"
    assert identity.rows("SELECT count(*) FROM match_decisions") == [(0,)]


async def test_without_a_tenant_nothing_is_decided(identity: RunningIdentity) -> None:
    tenant = seed_tenant(identity.database)
    async with connect(identity.target, "svc-identity", identity.peers("svc-ingest")) as line:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await match_pb2_grpc.MatchServiceStub(line).MatchFaces(asked(query(tenant, person_vector(1))))
    assert reason(refused.value) == "TENANT_REQUIRED"


async def test_one_face_in_two_tenants_is_two_people(identity: RunningIdentity) -> None:
    ours, theirs = seed_tenant(identity.database), seed_tenant(identity.database, name="Other")
    people = set()
    for tenant in (ours, theirs):
        async with identity.matching(tenant) as stub:
            (decision,) = (await stub.MatchFaces(asked(query(tenant, person_vector(1))))).decisions
        assert decision.verdict == Decision.VERDICT_ENROLLED
        assert not decision.candidates
        people.add(decision.customer_id)
    assert len(people) == 2


async def test_a_vector_that_is_none_is_refused_by_its_place_in_the_batch(identity: RunningIdentity) -> None:
    tenant = seed_tenant(identity.database)
    spoilt = person_vector(2).copy()
    spoilt[7] = np.nan
    for wrong in (spoilt, person_vector(2) * np.float32(2)):
        async with identity.matching(tenant) as stub:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.MatchFaces(asked(query(tenant, person_vector(1)), query(tenant, wrong)))
        assert reason(refused.value) == "EMBEDDING_INVALID"
        assert fields(refused.value) == ["faces[1].embedding.vector"]
    assert identity.rows("SELECT count(*) FROM match_decisions") == [(0,)]


async def test_a_face_of_a_space_that_is_not_used_here_is_rejected_and_its_neighbours_are_not(
    identity: RunningIdentity,
) -> None:
    tenant = seed_tenant(identity.database)
    strange, good = query(tenant, person_vector(1), space="facenet@1"), query(tenant, person_vector(2))
    async with identity.matching(tenant) as stub:
        rejected, enrolled = (await stub.MatchFaces(asked(strange, good))).decisions
        assert (rejected.event_id, rejected.verdict) == (strange.event_id, Decision.VERDICT_REJECTED)
        assert rejected.problem.reason == problem_pb2.ERROR_REASON_EMBEDDING_SPACE_UNKNOWN
        assert [violation.field for violation in rejected.problem.violations] == ["embedding.space"]
        assert enrolled.verdict == Decision.VERDICT_ENROLLED
        # A tenant may use fewer spaces than the installation has.
        with identity.database.superuser() as connection:
            connection.execute(
                """UPDATE tenants SET settings = '{"embedding_spaces": ["other@1"]}' WHERE id = %s""",
                (tenant.tenant_id,),
            )
        (now_strange,) = (await stub.MatchFaces(asked(query(tenant, person_vector(3))))).decisions
    assert now_strange.problem.reason == problem_pb2.ERROR_REASON_EMBEDDING_SPACE_UNKNOWN
