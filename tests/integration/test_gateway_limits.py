"""Each tenant has a rate of its own, each address has one for signing in, and nothing is larger than it may be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest

from tests.support.gateway import Gateway, running_gateway

LIST_VISITS = "/footfall.reports.v1.VisitService/ListVisits"
BURST = 5
MAX_BODY = 64 * 1024


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    limits: dict[str, Any] = {
        "tenant_requests_per_second": 1,
        "tenant_burst": BURST,
        "address_requests_per_second": 1,
        "address_burst": BURST,
        "max_body_bytes": MAX_BODY,
    }
    with running_gateway(tmp_path_factory.mktemp("gateway"), **limits) as running:
        yield running


def tenant(number: int) -> str:
    """A tenant whose bucket no other test has drawn from."""
    return f"0197a1c2-0000-7000-8000-{number:012d}"


def exhaust(gateway: Gateway, token: str) -> httpx.Response:
    """Ask until refused; the refusal."""
    with gateway.client(token) as client:
        answers = [client.get("/v1/visits") for _ in range(2 * BURST + 2)]
    assert [answer.status_code for answer in answers[:BURST]] == [501] * BURST
    return next(answer for answer in answers if answer.status_code != 501)


def test_a_tenant_beyond_its_rate_is_told_when_to_come_back(gateway: Gateway) -> None:
    refused = exhaust(gateway, gateway.token(tenant_id=tenant(1)))

    assert (refused.status_code, refused.json()["code"]) == (429, 8)
    assert refused.json()["details"][0]["reason"] == "RATE_LIMITED"
    assert int(refused.headers["retry-after"]) >= 0


def test_another_tenant_is_not_slowed_down(gateway: Gateway) -> None:
    exhaust(gateway, gateway.token(tenant_id=tenant(2)))

    with gateway.client(gateway.token(tenant_id=tenant(3))) as client:
        assert client.get("/v1/visits").status_code == 501


def test_users_of_one_tenant_share_its_rate(gateway: Gateway) -> None:
    exhaust(gateway, gateway.token(tenant_id=tenant(4)))

    with gateway.client(gateway.token(tenant_id=tenant(4), sub=tenant(99))) as client:
        assert client.get("/v1/visits").status_code == 429


def test_grpc_is_told_resource_exhausted(gateway: Gateway) -> None:
    token = gateway.token(tenant_id=tenant(5))
    exhaust(gateway, token)

    refused = gateway.call(LIST_VISITS, token=token)

    assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")


def test_grpc_web_is_told_the_same_with_http_200_because_clients_read_no_other(gateway: Gateway) -> None:
    token = gateway.token(tenant_id=tenant(6))
    exhaust(gateway, token)

    with gateway.client(token) as client:
        headers = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
        refused = client.post(LIST_VISITS, content=b"\0\0\0\0\0", headers=headers)

    assert refused.status_code == 200
    assert refused.headers["grpc-status"] == "8"


def test_signing_in_is_limited_by_address(gateway: Gateway) -> None:
    with gateway.client() as client:
        answers = [client.post("/v1/auth/token", json={}).status_code for _ in range(2 * BURST + 2)]

    assert answers[:BURST] == [501] * BURST
    assert 429 in answers


def test_a_body_that_is_too_large_is_refused(gateway: Gateway) -> None:
    gateway.mesh.calls.clear()
    with gateway.client(gateway.token(tenant_id=tenant(7))) as client:
        refused = client.post("/v1/customers", content=b'{"customer": "' + b"x" * MAX_BODY + b'"}')

    assert (refused.status_code, refused.json()["details"][0]["reason"]) == (413, "PAYLOAD_TOO_LARGE")
    assert gateway.mesh.calls_of("/footfall.identity.v1.CustomerService/CreateCustomer") == []
