"""The real gateway before the real mesh server: what the one passes on, the other verifies again and understands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from anyio.from_thread import start_blocking_portal
from footfall.reports.v1 import job_pb2, visit_pb2, visit_pb2_grpc

from mesh.access import Policy, Role, Rule
from mesh.auth import current_caller
from mesh.server import Mount, Service, running
from stack.certificates import issue
from tests.support.gateway import TENANT, Gateway, eventually, running_gateway
from tests.support.ports import free_port

VISITS = visit_pb2.DESCRIPTOR.services_by_name["VisitService"]
JOBS = job_pb2.DESCRIPTOR.services_by_name["JobService"]
READERS = Rule(roles=frozenset({Role.VIEWER, Role.TENANT_ADMIN}))
POLICY: Policy = {
    f"/{service.full_name}/{method.name}": READERS for service in (VISITS, JOBS) for method in service.methods
}


class Visits(visit_pb2_grpc.VisitServiceServicer):
    """Answers with what it knows of the caller."""

    async def ListVisits(
        self, request: visit_pb2.ListVisitsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> visit_pb2.ListVisitsResponse:
        caller = current_caller()
        return visit_pb2.ListVisitsResponse(next_page_token=f"{caller.peer} {caller.tenant_id} {caller.request_id}")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    port = free_port()
    folder = tmp_path_factory.mktemp("gateway")
    with start_blocking_portal() as portal, running_gateway(folder, reports=(f"127.0.0.1:{port}",), wait=False) as made:
        server = running(
            Service(
                mounts=[Mount(VISITS, Visits()), Mount(JOBS)],  # type: ignore[abstract]  # ExplainVisit: not built
                policy=POLICY,
                verifier=made.key.verifier(),
            ),
            tls=issue(made.authority, "svc-reports"),
            listen=f"127.0.0.1:{port}",
            grace=0,
        )
        with portal.wrap_async_context_manager(server):
            eventually(made.is_ready, "the server's health is found")
            yield made


def test_the_service_knows_the_peer_the_tenant_and_the_request(gateway: Gateway) -> None:
    with gateway.client(gateway.token()) as client:
        answer = client.get("/v1/visits")

    assert answer.status_code == 200, answer.text
    assert answer.json()["nextPageToken"] == f"gateway {TENANT} {answer.headers['x-request-id']}"


def test_an_rpc_that_a_later_version_has_answers_501(gateway: Gateway) -> None:
    with gateway.client(gateway.token()) as client:
        answer = client.get("/v1/jobs")

    assert (answer.status_code, answer.json()["details"][0]["reason"]) == (501, "NOT_BUILT_YET")


def test_a_role_that_may_not_is_told_so_in_json(gateway: Gateway) -> None:
    with gateway.client(gateway.token(role="WORKER")) as client:
        answer = client.get("/v1/visits")

    assert (answer.status_code, answer.json()["details"][0]["reason"]) == (403, "ROLE_NOT_ALLOWED")


def test_a_field_that_breaks_a_rule_is_named_in_json(gateway: Gateway) -> None:
    with gateway.client(gateway.token()) as client:
        answer = client.get("/v1/visits", params={"page_size": 501})

    violations = [detail["fieldViolations"] for detail in answer.json()["details"] if "fieldViolations" in detail]
    assert answer.status_code == 400
    assert [violation["field"] for violation in violations[0]] == ["page_size"]
