"""From service to service: request id, tenant, token and deadline travel by themselves; retries where they are safe."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NoReturn
from uuid import uuid4

import grpc
import pytest
from footfall.ingest.v1 import feed_pb2, feed_pb2_grpc, ingest_pb2, ingest_pb2_grpc
from footfall.registry.v1 import api_key_pb2, auth_pb2, auth_pb2_grpc, user_pb2

from mesh import deadline, telemetry
from mesh.access import Role
from mesh.auth import acting, current_caller
from mesh.channels import channel, outgoing_metadata
from mesh.errors import Conflict, Unavailable
from mesh.ids import TenantId
from mesh.jwks import jwks_from_registry
from mesh.server import running
from tests.support.mesh import Peers, TokenIssuer, connect, reason
from tests.support.mesh_service import Auth, Feed, Ingest, service

TENANT = TenantId(uuid4())
GET = user_pb2.GetUserRequest(id=str(uuid4()))


@pytest.fixture(scope="module")
def issuer() -> TokenIssuer:
    return TokenIssuer()


@pytest.fixture
def behind() -> Auth:
    """The servicer that the service at hand calls."""
    return Auth()  # type: ignore[abstract]  # the rest is not built


@pytest.fixture
async def downstream(issuer: TokenIssuer, behind: Auth, peers: Peers) -> AsyncIterator[str]:
    async with running(service(issuer, behind), tls=peers("svc-registry"), grace=0) as server:
        yield f"127.0.0.1:{server.port}"


def _channel(target: str, peers: Peers) -> AbstractAsyncContextManager[grpc.aio.Channel]:
    return channel(target, "svc-registry", peers("svc-ingest"))


@asynccontextmanager
async def _front(
    issuer: TokenIssuer, peers: Peers, downstream: str, **claims: Any
) -> AsyncIterator[tuple[auth_pb2_grpc.AuthServiceStub, list[float | None]]]:
    """A service whose ListUsers calls the one behind it; and a stub of it, as a viewer behind the gateway has."""
    async with _channel(downstream, peers) as behind:
        stub = auth_pb2_grpc.AuthServiceStub(behind)

        front = Auth()  # type: ignore[abstract]  # the rest is not built
        left: list[float | None] = []

        async def ask(request: user_pb2.ListUsersRequest, context: object) -> user_pb2.ListUsersResponse:
            left.append(deadline.remaining())
            await stub.GetUser(GET)
            return user_pb2.ListUsersResponse()

        front.answers["ListUsers"] = ask
        token = issuer.token(Role.VIEWER, tenant_id=TENANT, **claims)
        async with (
            running(service(issuer, front), tls=peers("svc-registry"), grace=0) as server,
            connect(
                f"127.0.0.1:{server.port}",
                "svc-registry",
                peers("gateway"),
                token=token,
                metadata={"x-request-id": "order-4711"},
            ) as opened,
        ):
            yield auth_pb2_grpc.AuthServiceStub(opened), left


async def test_the_caller_and_its_request_travel_on(
    issuer: TokenIssuer, peers: Peers, downstream: str, behind: Auth
) -> None:
    subject = uuid4()
    async with _front(issuer, peers, downstream, subject_id=subject) as (stub, _):
        await stub.ListUsers(user_pb2.ListUsersRequest())
    (caller,) = behind.callers
    assert (caller.peer, caller.request_id) == ("svc-ingest", "order-4711")
    assert (caller.tenant_id, caller.subject_id, caller.role) == (TENANT, subject, Role.VIEWER)


async def test_what_remains_of_the_deadline_travels_on(
    issuer: TokenIssuer, peers: Peers, downstream: str, behind: Auth
) -> None:
    arrived = []

    async def look(
        request: user_pb2.GetUserRequest,
        context: grpc.aio.ServicerContext[user_pb2.GetUserRequest, user_pb2.GetUserResponse],
    ) -> user_pb2.GetUserResponse:
        arrived.append(context.time_remaining())
        return user_pb2.GetUserResponse()

    behind.answers["GetUser"] = look
    async with _front(issuer, peers, downstream) as (stub, left):
        await stub.ListUsers(user_pb2.ListUsersRequest(), timeout=3)
        assert left[0] is not None
        assert 0 < arrived[0] <= left[0] + 0.1 <= 3.1
        await stub.ListUsers(user_pb2.ListUsersRequest())
        assert 3 < arrived[1] <= 10.1


async def test_another_services_refusal_reaches_the_caller_in_its_own_words(
    issuer: TokenIssuer, peers: Peers, downstream: str, behind: Auth
) -> None:
    async def refuse(request: user_pb2.GetUserRequest, context: object) -> NoReturn:
        raise Conflict("read again")

    behind.answers["GetUser"] = refuse
    async with _front(issuer, peers, downstream) as (stub, _):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.ListUsers(user_pb2.ListUsersRequest())
    assert (reason(refused.value), refused.value.details()) == ("CONFLICT", "read again")


async def test_a_service_that_acts_for_itself_names_its_tenant(peers: Peers, downstream: str, behind: Auth) -> None:
    async with _channel(downstream, peers) as opened:
        with acting("svc-ingest", TENANT, "nightly"):
            await auth_pb2_grpc.AuthServiceStub(opened).GetUser(GET)
    (caller,) = behind.callers
    assert (caller.tenant_id, caller.role, caller.request_id) == (TENANT, None, "nightly")


async def test_a_call_made_by_nobody_still_has_an_id(peers: Peers, downstream: str, behind: Auth) -> None:
    assert telemetry.request_id() == ""
    async with _channel(downstream, peers) as opened:
        await auth_pb2_grpc.AuthServiceStub(opened).GetJwks(auth_pb2.GetJwksRequest())
    assert len(behind.callers[0].request_id) == 36
    assert [key for key, _ in outgoing_metadata()] == ["x-request-id"]


async def test_what_a_call_says_itself_is_not_said_twice(peers: Peers, downstream: str, behind: Auth) -> None:
    other = uuid4()
    async with _channel(downstream, peers) as opened:
        with acting("svc-ingest", TENANT):
            metadata = (("x-tenant-id", str(other)),)
            await auth_pb2_grpc.AuthServiceStub(opened).GetUser(GET, metadata=metadata)
    assert behind.callers[0].tenant_id == other


async def test_a_refusal_that_says_nothing_was_written_is_retried(peers: Peers, downstream: str, behind: Auth) -> None:
    tries = []

    async def second_time(request: auth_pb2.GetJwksRequest, context: object) -> auth_pb2.GetJwksResponse:
        tries.append(current_caller().request_id)
        if len(tries) < 3:
            raise Unavailable("away")
        return auth_pb2.GetJwksResponse()

    behind.answers["GetJwks"] = second_time
    async with _channel(downstream, peers) as opened:
        await auth_pb2_grpc.AuthServiceStub(opened).GetJwks(auth_pb2.GetJwksRequest())
    assert len(tries) == 3
    assert len(set(tries)) == 1


async def test_a_bug_is_not_retried(peers: Peers, downstream: str, behind: Auth) -> None:
    tries = []

    async def bug(request: auth_pb2.GetJwksRequest, context: object) -> NoReturn:
        tries.append(1)
        raise ValueError

    behind.answers["GetJwks"] = bug
    async with _channel(downstream, peers) as opened:
        with pytest.raises(grpc.aio.AioRpcError):
            await auth_pb2_grpc.AuthServiceStub(opened).GetJwks(auth_pb2.GetJwksRequest())
    assert tries == [1]


async def test_a_peer_that_is_not_who_it_should_be_is_not_talked_to(
    issuer: TokenIssuer, peers: Peers, behind: Auth
) -> None:
    async with (
        running(service(issuer, behind), tls=peers("svc-reports"), grace=0) as server,
        _channel(f"127.0.0.1:{server.port}", peers) as opened,
    ):
        with pytest.raises(grpc.aio.AioRpcError):
            await auth_pb2_grpc.AuthServiceStub(opened).GetJwks(auth_pb2.GetJwksRequest(), timeout=2)
    assert behind.callers == []


async def test_a_service_that_is_away_fails_fast(peers: Peers) -> None:
    async with _channel("127.0.0.1:1", peers) as opened:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await auth_pb2_grpc.AuthServiceStub(opened).GetJwks(auth_pb2.GetJwksRequest(), timeout=30)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_streams_pass_through_a_channel_like_calls(issuer: TokenIssuer, peers: Peers) -> None:
    feed = Feed()  # type: ignore[abstract]  # the rest is not built
    ingest = Ingest()  # type: ignore[abstract]  # the rest is not built
    viewer = issuer.token(Role.VIEWER, tenant_id=TENANT)
    made = service(issuer, ingest=ingest, feed=feed)
    async with (
        running(made, tls=peers("svc-ingest"), grace=0) as server,
        channel(f"127.0.0.1:{server.port}", "svc-ingest", peers("gateway")) as opened,
    ):
        metadata = (("authorization", f"Bearer {viewer}"),)
        watch = feed_pb2_grpc.FeedServiceStub(opened).WatchVisits(feed_pb2.WatchVisitsRequest(), metadata=metadata)
        seen = await watch.read()
        assert isinstance(seen, feed_pb2.WatchVisitsResponse)
        assert seen.cursor == "x"
        watch.cancel()

        worker = issuer.token(Role.WORKER, tenant_id=TENANT)

        async def batches() -> AsyncIterator[ingest_pb2.StreamFacesRequest]:
            yield ingest_pb2.StreamFacesRequest(batch=0)

        faces = ingest_pb2_grpc.IngestServiceStub(opened).StreamFaces(
            batches(), metadata=(("authorization", f"Bearer {worker}"),)
        )
        welcome = await faces.read()
        assert isinstance(welcome, ingest_pb2.StreamFacesResponse)
        assert welcome.credit == 64
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await faces.read()
        assert reason(refused.value) == "INVALID_FIELD"


async def test_the_registrys_keys_are_read_over_the_mesh(
    issuer: TokenIssuer, peers: Peers, downstream: str, behind: Auth
) -> None:
    jwks = await issuer.jwks()

    async def keys(request: auth_pb2.GetJwksRequest, context: object) -> auth_pb2.GetJwksResponse:
        return auth_pb2.GetJwksResponse(keys=[auth_pb2.JsonWebKey(**jwks["keys"][0])])

    behind.answers["GetJwks"] = keys
    async with _channel(downstream, peers) as opened:
        assert await jwks_from_registry(opened)() == jwks


async def test_a_deadline_is_no_longer_than_what_is_left(peers: Peers, downstream: str) -> None:
    async with _channel(downstream, peers) as opened:
        deadline.set_remaining(0.05)
        try:
            with pytest.raises(grpc.aio.AioRpcError) as refused, acting("svc-ingest", TENANT):
                await auth_pb2_grpc.AuthServiceStub(opened).RevokeApiKey(
                    api_key_pb2.RevokeApiKeyRequest(id=str(uuid4())), timeout=60
                )
        finally:
            deadline.set_remaining(None)
    assert refused.value.code() in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.PERMISSION_DENIED)


async def test_calls_at_once_do_not_mix_up_their_callers(peers: Peers, downstream: str, behind: Auth) -> None:
    tenants = [TenantId(uuid4()) for _ in range(20)]
    async with _channel(downstream, peers) as opened:
        stub = auth_pb2_grpc.AuthServiceStub(opened)

        async def call(tenant: TenantId) -> None:
            with acting("svc-ingest", tenant):
                await asyncio.sleep(0)
                await stub.GetUser(GET)

        await asyncio.gather(*(call(tenant) for tenant in tenants))
    assert {caller.tenant_id for caller in behind.callers} == set(tenants)
