"""Who somebody is, is never taken from what they say: only a system_admin's x-tenant-id passes the gateway."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.gateway import Gateway, running_gateway

LIST_VISITS = "/footfall.reports.v1.VisitService/ListVisits"
OTHER_TENANT = "0197a1c2-0000-7000-8000-00000000000b"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


def metadata_at_the_service(gateway: Gateway, token: str, headers: dict[str, str]) -> dict[str, str]:
    gateway.mesh.calls.clear()
    with gateway.client(token) as client:
        client.get("/v1/visits", headers=headers)
    (call,) = gateway.mesh.calls_of(LIST_VISITS)
    return call.metadata


@pytest.mark.parametrize(
    "role", ["TENANT_ADMIN", "viewer", "worker", "SYSTEM_ADMINISTRATOR", 1, None, ["SYSTEM_ADMIN"]]
)
def test_the_tenant_header_is_taken_from_everybody_else(gateway: Gateway, role: object) -> None:
    metadata = metadata_at_the_service(gateway, gateway.token(role=role), {"x-tenant-id": OTHER_TENANT})

    assert "x-tenant-id" not in metadata


@pytest.mark.parametrize("role", ["SYSTEM_ADMIN", "system_admin"])
def test_a_system_admin_names_the_tenant_to_look_at(gateway: Gateway, role: str) -> None:
    token = gateway.token(role=role, tenant_id=None)

    assert metadata_at_the_service(gateway, token, {"x-tenant-id": OTHER_TENANT})["x-tenant-id"] == OTHER_TENANT
    gateway.mesh.calls.clear()
    gateway.call(LIST_VISITS, token=token, x_tenant_id=OTHER_TENANT)
    assert gateway.mesh.calls_of(LIST_VISITS)[0].metadata["x-tenant-id"] == OTHER_TENANT


def test_it_is_taken_from_a_grpc_caller_too(gateway: Gateway) -> None:
    gateway.mesh.calls.clear()

    gateway.call(LIST_VISITS, token=gateway.token(), x_tenant_id=OTHER_TENANT)

    assert "x-tenant-id" not in gateway.mesh.calls_of(LIST_VISITS)[0].metadata


def test_it_is_taken_from_a_call_without_a_token(gateway: Gateway) -> None:
    gateway.mesh.calls.clear()

    with gateway.client() as client:
        client.post("/v1/auth/token", json={}, headers={"x-tenant-id": OTHER_TENANT})

    (call,) = gateway.mesh.calls_of("/footfall.registry.v1.AuthService/IssueToken")
    assert "x-tenant-id" not in call.metadata


def test_headers_that_are_envoys_own_are_not_taken_from_outside(gateway: Gateway) -> None:
    forged = {"x-jwt-payload": "e30", "x-envoy-original-path": "/forged", "x-envoy-upstream-rq-timeout-ms": "1"}

    metadata = metadata_at_the_service(gateway, gateway.token(), forged)

    assert "x-jwt-payload" not in metadata
    assert "x-envoy-upstream-rq-timeout-ms" not in metadata
    assert metadata["x-envoy-original-path"] == "/v1/visits"
