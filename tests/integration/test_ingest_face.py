"""IngestFace: the side road of integrations, with the same judgement as the stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
from footfall.ingest.v1 import event_pb2, ingest_pb2, ingest_pb2_grpc
from footfall.type.v1 import problem_pb2

from mesh.access import Role
from mesh.tls import Tls
from tests.support.database import TestDatabase
from tests.support.ingest import RunningIngest, face, jpeg, now, running_ingest
from tests.support.mesh import fields, reason
from tests.support.seed import SeededTenant, seed_tenant

Outcome = event_pb2.FaceOutcome


@pytest.fixture
def tenant(database: TestDatabase) -> SeededTenant:
    return seed_tenant(database)


@pytest.fixture
async def ingest(database: TestDatabase, peers: Callable[[str], Tls], tmp_path: Path) -> AsyncIterator[RunningIngest]:
    async with running_ingest(database, peers, tmp_path) as running:
        yield running


@asynccontextmanager
async def integrator(ingest: RunningIngest, tenant: SeededTenant, cameras: Iterable[UUID]) -> AsyncIterator[Any]:
    token = ingest.issuer.token(Role.WORKER, tenant_id=tenant.tenant_id, camera_ids=cameras)
    async with ingest.channel(token) as channel:
        yield ingest_pb2_grpc.IngestServiceStub(channel).IngestFace


def request(event: event_pb2.FaceDetected) -> ingest_pb2.IngestFaceRequest:
    return ingest_pb2.IngestFaceRequest(event=event)


async def test_an_integrator_sends_for_its_cameras_without_a_lease(ingest: RunningIngest, tenant: SeededTenant) -> None:
    event = face(tenant, at=now(), epoch=0, snapshot=jpeg())
    async with integrator(ingest, tenant, [tenant.camera_id]) as ingest_face:
        first = (await ingest_face(request(event))).outcome
        again = (await ingest_face(request(event))).outcome
    assert first.status == Outcome.STATUS_ACCEPTED
    assert first.snapshot_status == event_pb2.SNAPSHOT_STATUS_STORED
    assert (again.status, again.first_status) == (Outcome.STATUS_DUPLICATE, Outcome.STATUS_ACCEPTED)
    assert again.visit_id == first.visit_id
    assert ingest.rows("SELECT worker_id FROM face_events") == [(None,)]


async def test_a_camera_that_the_key_does_not_name_is_refused_in_an_ok_answer(
    ingest: RunningIngest, tenant: SeededTenant
) -> None:
    async with integrator(ingest, tenant, [uuid4()]) as ingest_face:
        outcome = (await ingest_face(request(face(tenant, at=now(), epoch=0)))).outcome
    assert outcome.status == Outcome.STATUS_REJECTED
    assert outcome.problem.reason == problem_pb2.ERROR_REASON_CAMERA_NOT_ALLOWED


async def test_a_malformed_event_is_an_invalid_argument_that_names_the_field(
    ingest: RunningIngest, tenant: SeededTenant
) -> None:
    short = face(tenant, at=now(), epoch=0)
    short.embedding.vector = b"\0" * 12
    zero = face(tenant, at=now(), epoch=0)
    zero.embedding.vector = bytes(2048)
    other_time = face(tenant, at=now(), epoch=0)
    other_time.id = str(uuid4())[:14] + "7" + str(uuid4())[15:]
    cases = [
        (short, "INVALID_FIELD", "event.embedding.vector"),
        (zero, "EMBEDDING_INVALID", "event.embedding.vector"),
        (other_time, "INVALID_FIELD", "event.id"),
    ]
    async with integrator(ingest, tenant, [tenant.camera_id]) as ingest_face:
        for event, why, field in cases:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await ingest_face(request(event))
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert reason(refused.value) == why
            assert fields(refused.value) == [field]


async def test_what_the_stream_rejects_is_an_ok_answer_here_too(ingest: RunningIngest, tenant: SeededTenant) -> None:
    async with integrator(ingest, tenant, [tenant.camera_id]) as ingest_face:
        outcome = (await ingest_face(request(face(tenant, at=now() + timedelta(hours=1), epoch=0)))).outcome
    assert outcome.status == Outcome.STATUS_REJECTED
    assert outcome.problem.reason == problem_pb2.ERROR_REASON_CAPTURE_TIME_IN_FUTURE


async def test_no_token_a_foreign_peer_and_another_role_are_refused(
    ingest: RunningIngest, tenant: SeededTenant
) -> None:
    ask = request(face(tenant, at=now(), epoch=0))
    cases = [
        (None, "gateway", "TOKEN_MISSING"),
        (ingest.worker_token(tenant), "svc-reports", "PEER_NOT_ALLOWED"),
        (ingest.issuer.token(Role.VIEWER, tenant_id=tenant.tenant_id), "gateway", "ROLE_NOT_ALLOWED"),
        (ingest.issuer.token(Role.WORKER, tenant_id=tenant.tenant_id, aud="others"), "gateway", "TOKEN_INVALID"),
    ]
    for token, peer, why in cases:
        async with ingest.channel(token, peer=peer) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await ingest_pb2_grpc.IngestServiceStub(channel).IngestFace(ask)
            assert reason(refused.value) == why
    assert ingest.rows("SELECT count(*) FROM face_events") == [(0,)]
