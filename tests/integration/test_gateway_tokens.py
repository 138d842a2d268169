"""No call passes the gateway without a token that the registry has signed for it, and keys change without a restart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import grpc
import pytest

from mesh.roles import Role
from tests.support.gateway import GET_JWKS, TENANT, Gateway, eventually, running_gateway, token_of_a_viewer
from tests.support.mesh import TokenIssuer

LIST_VISITS = "/footfall.reports.v1.VisitService/ListVisits"
REFLECT = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
ISSUE_TOKEN = "/footfall.registry.v1.AuthService/IssueToken"

Credential = Callable[[TokenIssuer], str]
UNACCEPTABLE: dict[str, tuple[Credential, str]] = {
    "malformed": (lambda _: "not-a-token", "TOKEN_INVALID"),
    "not signed": (lambda key: key.forged(key.body(Role.VIEWER, tenant_id=TENANT), "none"), "TOKEN_INVALID"),
    "signed with our public key as a secret": (
        lambda key: key.forged(key.body(Role.VIEWER, tenant_id=TENANT), "HS256"),
        "TOKEN_INVALID",
    ),
    "signed by somebody else under our key's name": (
        lambda key: token_of_a_viewer(TokenIssuer(kid=key.kid)),
        "TOKEN_INVALID",
    ),
    "signed with an unknown key": (lambda _: token_of_a_viewer(TokenIssuer(kid="unknown")), "TOKEN_INVALID"),
    "expired": (lambda key: key.token(Role.VIEWER, tenant_id=TENANT, life=timedelta(seconds=-60)), "TOKEN_EXPIRED"),
    "for another audience": (lambda key: token_of_a_viewer(key, aud="somebody-else"), "TOKEN_INVALID"),
    "of another issuer": (lambda key: token_of_a_viewer(key, iss="somebody-else"), "TOKEN_INVALID"),
    "without an end": (lambda key: token_of_a_viewer(key, exp=None), "TOKEN_INVALID"),
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


def status_of(gateway: Gateway, token: str) -> int:
    with gateway.client(token) as client:
        return client.get("/v1/visits").status_code


@pytest.mark.parametrize("kind", UNACCEPTABLE)
def test_an_unacceptable_token_is_refused_in_json(gateway: Gateway, kind: str) -> None:
    credential, expected = UNACCEPTABLE[kind]
    gateway.mesh.calls.clear()

    with gateway.client(credential(gateway.key)) as client:
        response = client.get("/v1/visits")

    assert response.status_code == 401
    assert response.json()["code"] == 16
    assert response.json()["details"][0]["reason"] == expected
    assert gateway.mesh.calls_of(LIST_VISITS) == []


@pytest.mark.parametrize("kind", UNACCEPTABLE)
def test_an_unacceptable_token_is_refused_in_grpc_with_the_same_words(gateway: Gateway, kind: str) -> None:
    credential, expected = UNACCEPTABLE[kind]
    gateway.mesh.calls.clear()

    refused = gateway.call(LIST_VISITS, token=credential(gateway.key))

    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAUTHENTICATED, expected)
    assert gateway.mesh.calls_of(LIST_VISITS) == []


def test_a_call_without_a_token_is_refused(gateway: Gateway) -> None:
    with gateway.client() as client:
        response = client.get("/v1/visits")
    refused = gateway.call(LIST_VISITS)

    assert (response.status_code, response.json()["details"][0]["reason"]) == (401, "TOKEN_MISSING")
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_MISSING")


def test_reflection_needs_a_token(gateway: Gateway) -> None:
    assert gateway.call(REFLECT).code is grpc.StatusCode.UNAUTHENTICATED


def test_signing_in_and_the_public_keys_need_none(gateway: Gateway) -> None:
    with gateway.client() as client:
        keys = client.get("/v1/auth/jwks")
        token = client.post("/v1/auth/token", json={})

    assert keys.json()["keys"][0] == gateway.key.jwk()
    assert token.status_code == 501
    assert len(gateway.mesh.calls_of(ISSUE_TOKEN)) == 1


def test_the_token_is_passed_on_for_the_service_to_verify_again(gateway: Gateway) -> None:
    token = gateway.token()
    gateway.mesh.calls.clear()

    assert status_of(gateway, token) == 501

    assert gateway.mesh.calls_of(LIST_VISITS)[0].metadata["authorization"] == f"Bearer {token}"


def test_a_new_key_is_taken_up_and_an_old_one_dropped_without_a_restart(gateway: Gateway) -> None:
    successor = TokenIssuer(kid="successor")
    assert status_of(gateway, token_of_a_viewer(successor)) == 401

    gateway.mesh.keys.append(successor)
    eventually(lambda: status_of(gateway, token_of_a_viewer(successor)) == 501, "the new key is known")
    assert status_of(gateway, gateway.token()) == 501

    gateway.mesh.keys.remove(gateway.key)
    eventually(lambda: status_of(gateway, gateway.token()) == 401, "the old key is forgotten")
    assert status_of(gateway, token_of_a_viewer(successor)) == 501

    gateway.mesh.keys[:] = [gateway.key]
    eventually(lambda: status_of(gateway, gateway.token()) == 501, "the old key is back")


def test_known_keys_outlive_the_registry(gateway: Gateway) -> None:
    failures: list[bool] = []

    def away(_request: bytes, context: grpc.ServicerContext) -> bytes:
        failures.append(True)
        context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        raise AssertionError("abort raises")

    gateway.mesh.answers[GET_JWKS] = away
    try:
        eventually(lambda: len(failures) > 2, "the gateway has asked for keys in vain")
        assert status_of(gateway, gateway.token()) == 501
    finally:
        gateway.mesh.answers[GET_JWKS] = gateway.mesh.jwks


def test_without_any_keys_yet_a_token_is_not_called_bad(tmp_path_factory: pytest.TempPathFactory) -> None:
    def away(_request: bytes, context: grpc.ServicerContext) -> bytes:
        context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        raise AssertionError("abort raises")

    with running_gateway(tmp_path_factory.mktemp("gateway"), jwks=away) as gateway:
        with gateway.client(gateway.token()) as client:
            response = client.get("/v1/visits")
        refused = gateway.call(LIST_VISITS, token=gateway.token())

    assert (response.status_code, response.json()["details"][0]["reason"]) == (503, "DEPENDENCY_UNAVAILABLE")
    assert response.json()["code"] == 14
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
