"""Who may call what: the peer by its certificate, the person by its token, the tenant by neither's word alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
from footfall.registry.v1 import api_key_pb2, auth_pb2, auth_pb2_grpc, user_pb2

from mesh.access import IncompletePolicyError, Role
from mesh.auth import Caller, Revocations
from mesh.server import running
from tests.support.mesh import Peers, TokenIssuer, connect, fields, reason
from tests.support.mesh_service import Auth, service

TENANT, OTHER = uuid4(), uuid4()
Call = Callable[..., AbstractAsyncContextManager[auth_pb2_grpc.AuthServiceStub]]


@pytest.fixture(scope="module")
def issuer() -> TokenIssuer:
    return TokenIssuer()


@pytest.fixture
def auth() -> Auth:
    return Auth()  # type: ignore[abstract]  # the rest is not built


@pytest.fixture
def call(issuer: TokenIssuer, auth: Auth, peers: Peers) -> Call:
    """Opens a stub as a peer, with a token and metadata, on a server of the test's own."""

    @asynccontextmanager
    async def opened(
        peer: str = "gateway", token: str | None = None, metadata: Mapping[str, str] | None = None, **changes: Any
    ) -> AsyncIterator[auth_pb2_grpc.AuthServiceStub]:
        async with (
            running(service(issuer, auth, **changes), tls=peers("svc-registry"), grace=0) as server,
            connect(f"127.0.0.1:{server.port}", "svc-registry", peers(peer), token=token, metadata=metadata) as channel,
        ):
            yield auth_pb2_grpc.AuthServiceStub(channel)

    return opened


async def _refused(answer: Awaitable[object]) -> tuple[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await answer
    return refused.value.code().name, reason(refused.value)


LIST = user_pb2.ListUsersRequest()
GET = user_pb2.GetUserRequest(id=str(uuid4()))


async def test_a_call_with_a_token_has_its_caller(call: Call, issuer: TokenIssuer, auth: Auth) -> None:
    user = uuid4()
    async with call(token=issuer.token(Role.VIEWER, tenant_id=TENANT, subject_id=user)) as stub:
        await stub.ListUsers(LIST)
    (caller,) = auth.callers
    assert (caller.peer, caller.role, caller.tenant_id) == ("gateway", Role.VIEWER, TENANT)
    assert caller.subject_id == user


async def test_a_call_without_a_token_is_refused(call: Call) -> None:
    async with call() as stub:
        assert await _refused(stub.ListUsers(LIST)) == ("UNAUTHENTICATED", "TOKEN_MISSING")


async def test_an_operator_needs_a_token_too(call: Call) -> None:
    async with call("operator") as stub:
        assert await _refused(stub.ListUsers(LIST)) == ("UNAUTHENTICATED", "TOKEN_MISSING")


@pytest.mark.parametrize(
    ("token", "why"),
    [
        (lambda issuer: issuer.token(Role.VIEWER, tenant_id=TENANT, life=timedelta(seconds=-1)), "TOKEN_EXPIRED"),
        (lambda issuer: issuer.token(Role.VIEWER, tenant_id=TENANT, aud="elsewhere"), "TOKEN_INVALID"),
        (lambda _: TokenIssuer().token(Role.VIEWER, tenant_id=TENANT), "TOKEN_INVALID"),
        (lambda _: "nonsense", "TOKEN_INVALID"),
    ],
    ids=["expired", "wrong audience", "forged", "nonsense"],
)
async def test_a_bad_token_is_refused(
    call: Call, issuer: TokenIssuer, auth: Auth, token: Callable[[TokenIssuer], str], why: str
) -> None:
    async with call(token=token(issuer)) as stub:
        assert await _refused(stub.ListUsers(LIST)) == ("UNAUTHENTICATED", why)
    assert auth.callers == []


async def test_another_scheme_than_bearer_is_refused(call: Call) -> None:
    async with call(metadata={"authorization": "Basic dXNlcjpwYXNz"}) as stub:
        assert await _refused(stub.ListUsers(LIST)) == ("UNAUTHENTICATED", "TOKEN_INVALID")


async def test_a_role_that_is_not_on_the_list_is_refused(call: Call, issuer: TokenIssuer) -> None:
    async with call(token=issuer.token(Role.WORKER, tenant_id=TENANT)) as stub:
        assert await _refused(stub.ListUsers(LIST)) == ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")


async def test_a_peer_that_is_not_on_the_list_is_refused_whatever_its_token(call: Call, issuer: TokenIssuer) -> None:
    async with call("svc-reports", token=issuer.token(Role.TENANT_ADMIN, tenant_id=TENANT)) as stub:
        assert await _refused(stub.ListUsers(LIST)) == ("PERMISSION_DENIED", "PEER_NOT_ALLOWED")


async def test_who_comes_through_the_gateway_cannot_call_what_is_for_services(call: Call, issuer: TokenIssuer) -> None:
    request = user_pb2.CreateUserRequest()
    async with call(token=issuer.token(Role.SYSTEM_ADMIN)) as stub:
        assert await _refused(stub.CreateUser(request)) == ("PERMISSION_DENIED", "PEER_NOT_ALLOWED")


async def test_without_a_certificate_nobody_is_heard(issuer: TokenIssuer, peers: Peers) -> None:
    async with running(service(issuer), tls=peers("svc-registry"), grace=0) as server:
        credentials = grpc.ssl_channel_credentials(peers("gateway").ca.read_bytes())
        options = [("grpc.ssl_target_name_override", "svc-registry")]
        async with grpc.aio.secure_channel(f"127.0.0.1:{server.port}", credentials, options=options) as channel:
            answer = auth_pb2_grpc.AuthServiceStub(channel).GetJwks(auth_pb2.GetJwksRequest(), timeout=5)
            assert (await _refused(answer))[0] in ("UNAVAILABLE", "DEADLINE_EXCEEDED")


async def test_a_public_rpc_asks_for_no_token_and_ignores_a_bad_one(call: Call, auth: Auth) -> None:
    request = auth_pb2.GetJwksRequest()
    for token in (None, "nonsense"):
        async with call(token=token) as stub:
            await stub.GetJwks(request)
    assert [(caller.role, caller.tenant_id) for caller in auth.callers] == [(None, None)] * 2


async def test_a_public_rpc_knows_who_brings_a_good_token(call: Call, issuer: TokenIssuer, auth: Auth) -> None:
    async with call(token=issuer.token(Role.VIEWER, tenant_id=TENANT)) as stub:
        await stub.GetJwks(auth_pb2.GetJwksRequest())
    assert auth.callers[0].tenant_id == TENANT


async def test_a_tenant_cannot_be_chosen_by_a_header(call: Call, issuer: TokenIssuer, auth: Auth) -> None:
    for role in Role:
        if role is Role.SYSTEM_ADMIN:
            continue
        token = issuer.token(role, tenant_id=TENANT, site_ids=[])
        async with call(token=token, metadata={"x-tenant-id": str(OTHER)}) as stub:
            assert (await _refused(stub.GetUser(GET)))[0] == "PERMISSION_DENIED"
    assert auth.callers == []


async def test_naming_ones_own_tenant_does_no_harm(call: Call, issuer: TokenIssuer, auth: Auth) -> None:
    async with call(token=issuer.token(Role.VIEWER, tenant_id=TENANT), metadata={"x-tenant-id": str(TENANT)}) as stub:
        await stub.ListUsers(LIST)
    assert auth.callers[0].tenant_id == TENANT


async def test_a_system_admin_names_the_tenant_and_that_is_told(call: Call, issuer: TokenIssuer, auth: Auth) -> None:
    told: list[tuple[UUID | None, str]] = []

    async def tell(caller: Caller, method: str) -> None:
        told.append((caller.tenant_id, method))

    token = issuer.token(Role.SYSTEM_ADMIN)
    async with call(token=token, metadata={"x-tenant-id": str(TENANT)}, on_cross_tenant=tell) as stub:
        await stub.ListUsers(LIST)
    assert auth.callers[0].tenant_id == TENANT
    assert told == [(TENANT, "/footfall.registry.v1.AuthService/ListUsers")]


async def test_a_look_into_a_tenant_that_cannot_be_told_does_not_happen(
    call: Call, issuer: TokenIssuer, auth: Auth
) -> None:
    async def fail(caller: Caller, method: str) -> None:
        raise OSError

    token = issuer.token(Role.SYSTEM_ADMIN)
    async with call(token=token, metadata={"x-tenant-id": str(TENANT)}, on_cross_tenant=fail) as stub:
        assert await _refused(stub.ListUsers(LIST)) == ("UNAVAILABLE", "DEPENDENCY_UNAVAILABLE")
    assert auth.callers == []


async def test_a_system_admin_must_name_the_tenant(call: Call, issuer: TokenIssuer) -> None:
    async with call(token=issuer.token(Role.SYSTEM_ADMIN)) as stub:
        assert await _refused(stub.ListUsers(LIST)) == ("INVALID_ARGUMENT", "TENANT_REQUIRED")


async def test_a_tenant_is_named_by_a_uuid(call: Call, issuer: TokenIssuer) -> None:
    async with call(token=issuer.token(Role.SYSTEM_ADMIN), metadata={"x-tenant-id": "acme"}) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.ListUsers(LIST)
    assert fields(refused.value) == ["x-tenant-id"]


async def test_a_service_is_believed_its_tenant_where_the_rule_says_so(call: Call, auth: Auth) -> None:
    async with call("svc-ingest", metadata={"x-tenant-id": str(TENANT)}) as stub:
        await stub.GetUser(GET)
        await stub.GetJwks(auth_pb2.GetJwksRequest())
    assert auth.callers[0].tenant_id == TENANT
    assert auth.callers[0].role is None


async def test_a_service_must_name_its_tenant(call: Call) -> None:
    async with call("svc-ingest") as stub:
        assert await _refused(stub.GetUser(GET)) == ("INVALID_ARGUMENT", "TENANT_REQUIRED")


async def test_a_service_that_acts_for_a_person_is_held_to_that_persons_role_and_tenant(
    call: Call, issuer: TokenIssuer, auth: Auth
) -> None:
    good = issuer.token(Role.VIEWER, tenant_id=TENANT)
    async with call("svc-ingest", token=good, metadata={"x-tenant-id": str(TENANT)}) as stub:
        await stub.GetUser(GET)
    assert auth.callers[0].role is Role.VIEWER
    async with call("svc-ingest", token=good, metadata={"x-tenant-id": str(OTHER)}) as stub:
        assert (await _refused(stub.GetUser(GET)))[0] == "PERMISSION_DENIED"
    worker = issuer.token(Role.WORKER, tenant_id=TENANT)
    async with call("svc-ingest", token=worker, metadata={"x-tenant-id": str(TENANT)}) as stub:
        assert await _refused(stub.GetUser(GET)) == ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")


async def test_a_revoked_token_is_refused(call: Call, issuer: TokenIssuer) -> None:
    family = uuid4()

    async def source() -> dict[str, datetime]:
        return {str(family): issuer.clock.now()}

    revocations = Revocations(source)
    await revocations.refresh()
    token = issuer.token(Role.VIEWER, tenant_id=TENANT, family=family)
    async with call(token=token, revocations=revocations) as stub:
        assert await _refused(stub.ListUsers(LIST)) == ("UNAUTHENTICATED", "TOKEN_REVOKED")


async def test_a_malformed_request_is_refused_with_its_fields_named(call: Call) -> None:
    async with call() as stub:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.IssueToken(auth_pb2.IssueTokenRequest(password=auth_pb2.PasswordGrant(email="a@b.c")))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert fields(refused.value) == ["password.password"]


async def test_nothing_is_validated_for_someone_who_may_not_call(call: Call) -> None:
    async with call() as stub:
        assert await _refused(stub.GetUser(user_pb2.GetUserRequest(id="x"))) == ("UNAUTHENTICATED", "TOKEN_MISSING")


async def test_an_rpc_that_is_not_built_yet_says_so_but_not_to_everyone(call: Call, issuer: TokenIssuer) -> None:
    request = api_key_pb2.ListApiKeysRequest()
    async with call(token=issuer.token(Role.VIEWER, tenant_id=TENANT)) as stub:
        assert await _refused(stub.ListApiKeys(request)) == ("UNIMPLEMENTED", "NOT_BUILT_YET")
    async with call() as stub:
        assert await _refused(stub.ListApiKeys(request)) == ("UNAUTHENTICATED", "TOKEN_MISSING")


async def test_a_gap_in_the_table_keeps_the_server_from_starting(issuer: TokenIssuer, peers: Peers) -> None:
    with pytest.raises(IncompletePolicyError, match="no rule for"):
        async with running(service(issuer, policy={}), tls=peers("svc-registry")):
            pass


async def test_every_call_has_an_id_and_the_caller_hears_it(call: Call, issuer: TokenIssuer, auth: Auth) -> None:
    async with call(token=issuer.token(Role.VIEWER, tenant_id=TENANT), metadata={"x-request-id": "order-4711"}) as stub:
        answer = stub.ListUsers(LIST)
        await answer
        assert dict(await answer.trailing_metadata())["x-request-id"] == "order-4711"
    assert auth.callers[0].request_id == "order-4711"
    async with call() as stub:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.ListUsers(LIST)
    made = dict(refused.value.trailing_metadata())["x-request-id"]
    assert str(UUID(str(made))) == made
