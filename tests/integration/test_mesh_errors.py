"""What a handler raises reaches its caller as a reason, never as driver text, and never keeps the handler running."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import asyncpg
import grpc
import pytest
from footfall.registry.v1 import api_key_pb2, auth_pb2_grpc, user_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from sqlalchemy import exc
from structlog.testing import capture_logs

from mesh.access import Role
from mesh.errors import Conflict, InvalidField, MeshError, NotFound, ResourceExhausted, Unavailable, to_status
from mesh.server import running
from tests.support.mesh import Peers, TokenIssuer, connect, fields, reason
from tests.support.mesh_service import Auth, service

SECRET = "password=hunter2 host=10.0.0.5"


@pytest.fixture
def auth() -> Auth:
    return Auth()  # type: ignore[abstract]  # the rest is not built


@pytest.fixture
async def stub(auth: Auth, peers: Peers) -> AsyncIterator[auth_pb2_grpc.AuthServiceStub]:
    issuer = TokenIssuer()
    token = issuer.token(Role.VIEWER, tenant_id=uuid4())
    async with (
        running(service(issuer, auth), tls=peers("svc-registry"), grace=0) as server,
        connect(f"127.0.0.1:{server.port}", "svc-registry", peers("gateway"), token=token) as channel,
    ):
        yield auth_pb2_grpc.AuthServiceStub(channel)


async def _answer(stub: auth_pb2_grpc.AuthServiceStub, auth: Auth, error: BaseException) -> grpc.aio.AioRpcError:
    auth.error = error
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.ListUsers(user_pb2.ListUsersRequest())
    assert SECRET not in (refused.value.details() or "")
    assert SECRET.encode() not in (rpc_status.from_call(refused.value).SerializeToString())
    return refused.value


async def test_a_refusal_arrives_with_code_reason_and_message(stub: auth_pb2_grpc.AuthServiceStub, auth: Auth) -> None:
    error = await _answer(stub, auth, Conflict("read again"))
    assert (error.code(), reason(error), error.details()) == (grpc.StatusCode.ABORTED, "CONFLICT", "read again")


async def test_a_field_at_fault_arrives_with_its_path(stub: auth_pb2_grpc.AuthServiceStub, auth: Auth) -> None:
    error = await _answer(stub, auth, InvalidField("camera.source.uri", "is wrong"))
    assert fields(error) == ["camera.source.uri"]


async def test_a_wait_arrives_as_retry_info(stub: auth_pb2_grpc.AuthServiceStub, auth: Auth) -> None:
    error = await _answer(stub, auth, ResourceExhausted("too fast", retry_after=timedelta(seconds=3)))
    retry = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(retry) for detail in rpc_status.from_call(error).details)
    assert retry.retry_delay.ToTimedelta() == timedelta(seconds=3)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (ExceptionGroup("", [Conflict("x")]), "CONFLICT"),
        (ExceptionGroup("", [ValueError(SECRET), ExceptionGroup("", [Conflict("x")])]), "CONFLICT"),
        (ExceptionGroup("", [ConnectionRefusedError(SECRET)]), "DEPENDENCY_UNAVAILABLE"),
        (ExceptionGroup("", [ValueError(SECRET), KeyError(SECRET)]), "INTERNAL"),
    ],
    ids=["one", "among others", "away", "bugs"],
)
async def test_a_refusal_out_of_a_task_group_arrives_as_itself(
    stub: auth_pb2_grpc.AuthServiceStub, auth: Auth, error: BaseException, why: str
) -> None:
    assert reason(await _answer(stub, auth, error)) == why


async def test_foreign_and_absent_ids_answer_alike(stub: auth_pb2_grpc.AuthServiceStub, auth: Auth) -> None:
    first = await _answer(stub, auth, NotFound("camera", "1"))
    assert first.details() == "there is no such camera"


@pytest.mark.parametrize(
    "error",
    [
        ValueError(SECRET),
        KeyError(SECRET),
        exc.ProgrammingError(SECRET, {}, asyncpg.UndefinedTableError(SECRET)),
        exc.InvalidRequestError(SECRET),
        RuntimeError(SECRET),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_bug_is_internal_logged_with_the_request_id_and_not_told(
    stub: auth_pb2_grpc.AuthServiceStub, auth: Auth, error: BaseException
) -> None:
    with capture_logs() as lines:
        answer = await _answer(stub, auth, error)
    assert (answer.code(), reason(answer)) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    (bug,) = [line for line in lines if line["event"] == "bug"]
    assert bug["exc_info"] is error


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (ConnectionRefusedError(SECRET), "DEPENDENCY_UNAVAILABLE"),
        (exc.DBAPIError(SECRET, {}, asyncpg.CannotConnectNowError(SECRET)), "DEPENDENCY_UNAVAILABLE"),
        (asyncpg.ConnectionDoesNotExistError(SECRET), "DEPENDENCY_UNAVAILABLE"),
        (asyncpg.TooManyConnectionsError(SECRET), "DEPENDENCY_UNAVAILABLE"),
        (exc.TimeoutError(SECRET), "OVERLOADED"),
        (exc.DBAPIError(SECRET, {}, asyncpg.QueryCanceledError(SECRET)), "OVERLOADED"),
        (exc.DBAPIError(SECRET, {}, asyncpg.SerializationError(SECRET)), "CONFLICT"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
async def test_a_database_that_is_away_is_unavailable_and_not_a_bug(
    stub: auth_pb2_grpc.AuthServiceStub, auth: Auth, error: BaseException, why: str
) -> None:
    assert reason(await _answer(stub, auth, error)) == why


def _downstream(error: MeshError | None, code: grpc.StatusCode) -> grpc.aio.AioRpcError:
    trailing = grpc.aio.Metadata()
    if error is not None:
        trailing.add("grpc-status-details-bin", to_status(error).SerializeToString())
    message = error.message if error else SECRET
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details=message)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (_downstream(Unavailable("away"), grpc.StatusCode.UNAVAILABLE), "DEPENDENCY_UNAVAILABLE"),
        (_downstream(InvalidField("vector", "is wrong"), grpc.StatusCode.INVALID_ARGUMENT), "INVALID_FIELD"),
        (_downstream(None, grpc.StatusCode.UNAVAILABLE), "DEPENDENCY_UNAVAILABLE"),
        (_downstream(None, grpc.StatusCode.DEADLINE_EXCEEDED), "DEADLINE_TOO_SHORT"),
        (_downstream(None, grpc.StatusCode.UNKNOWN), "INTERNAL"),
        (_downstream(None, grpc.StatusCode.UNAUTHENTICATED), "INTERNAL"),
    ],
    ids=["away", "field", "unreachable", "late", "unknown", "our own mistake"],
)
async def test_another_services_refusal_is_passed_on_in_its_own_words(
    stub: auth_pb2_grpc.AuthServiceStub, auth: Auth, error: BaseException, why: str
) -> None:
    assert reason(await _answer(stub, auth, error)) == why


async def test_a_call_that_takes_too_long_is_stopped(stub: auth_pb2_grpc.AuthServiceStub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.RevokeApiKey(api_key_pb2.RevokeApiKeyRequest(id=str(uuid4())))
    assert reason(refused.value) == "DEADLINE_TOO_SHORT"


async def test_a_call_with_no_time_left_is_not_begun(stub: auth_pb2_grpc.AuthServiceStub, auth: Auth) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.ListUsers(user_pb2.ListUsersRequest(), timeout=0.0005)
    assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert auth.callers == []
