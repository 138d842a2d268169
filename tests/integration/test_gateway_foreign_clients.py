"""A client that is not ours, and knows nothing but the address, finds its way by reflection: buf curl."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from footfall.ingest.v1 import feed_pb2
from footfall.reports.v1 import visit_pb2
from grpc_health.v1 import health_pb2

from gateway.contract import MESH_ONLY_SERVICES, services_of
from tests.support.gateway import DESCRIPTORS, ROOT, Gateway, running_gateway

BUF = ROOT / "node_modules" / ".bin" / "buf"
SCHEMA = str(DESCRIPTORS)
VISIT = visit_pb2.ListVisitsResponse(next_page_token="more")

pytestmark = pytest.mark.skipif(not BUF.exists(), reason="buf is not installed: npm ci")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    def watch(_request: bytes, _context: grpc.ServicerContext) -> Iterator[bytes]:
        for number in range(3):
            yield feed_pb2.WatchVisitsResponse(keepalive=feed_pb2.Keepalive(), cursor=f"c{number}").SerializeToString()

    with running_gateway(tmp_path_factory.mktemp("gateway")) as running:
        answers = running.mesh.answers
        answers["/footfall.reports.v1.VisitService/ListVisits"] = lambda _request, _context: VISIT.SerializeToString()
        answers["/footfall.ingest.v1.FeedService/WatchVisits"] = watch
        yield running


def curl(gateway: Gateway, *arguments: str, token: str | None = "") -> subprocess.CompletedProcess[str]:
    """buf curl against the gateway; ``token`` empty: a good one, None: none."""
    command = [str(BUF), "curl", "--cacert", str(gateway.ca), *arguments]
    if token is not None:
        bearer = f"authorization: Bearer {token or gateway.token()}"
        command += ["-H", bearer] if "--schema" in arguments else ["-H", bearer, "--reflect-header", bearer]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=Path("/"))


def test_reflection_lists_what_the_gateway_routes_and_nothing_for_the_mesh(gateway: Gateway) -> None:
    result = curl(gateway, "--protocol", "grpc", "--list-services", gateway.url)

    listed = set(result.stdout.split())
    assert listed >= {service.full_name for service in services_of(DESCRIPTORS.read_bytes())}, result.stderr
    assert listed.isdisjoint(MESH_ONLY_SERVICES)


def test_a_unary_call_by_reflection(gateway: Gateway) -> None:
    url = f"{gateway.url}/footfall.reports.v1.VisitService/ListVisits"

    result = curl(gateway, "--protocol", "grpc", "-d", '{"page_size": 5}', url)

    assert json.loads(result.stdout) == {"nextPageToken": "more"}, result.stderr


@pytest.mark.parametrize("protocol", ["grpc", "grpcweb"])
def test_a_unary_call(gateway: Gateway, protocol: str) -> None:
    url = f"{gateway.url}/footfall.reports.v1.VisitService/ListVisits"

    result = curl(gateway, "--schema", SCHEMA, "--protocol", protocol, "-d", "{}", url)

    assert json.loads(result.stdout) == {"nextPageToken": "more"}, result.stderr


@pytest.mark.parametrize("protocol", ["grpc", "grpcweb"])
def test_a_stream(gateway: Gateway, protocol: str) -> None:
    url = f"{gateway.url}/footfall.ingest.v1.FeedService/WatchVisits"

    result = curl(gateway, "--schema", SCHEMA, "--protocol", protocol, "-d", "{}", url)

    assert result.stdout.count('"cursor"') == 3, result.stderr


@pytest.mark.parametrize("protocol", ["grpc", "grpcweb"])
def test_a_rich_error_arrives_whole(gateway: Gateway, protocol: str) -> None:
    url = f"{gateway.url}/footfall.registry.v1.SiteService/ListSites"

    result = curl(gateway, "--schema", SCHEMA, "--protocol", protocol, "-d", "{}", url)

    error = json.loads(result.stderr)
    assert error["code"] == "unimplemented"
    assert error["details"][0]["type"] == "google.rpc.ErrorInfo"


@pytest.mark.parametrize("protocol", ["grpc", "grpcweb"])
def test_without_a_token_it_is_unauthenticated(gateway: Gateway, protocol: str) -> None:
    url = f"{gateway.url}/footfall.reports.v1.VisitService/ListVisits"

    result = curl(gateway, "--schema", SCHEMA, "--protocol", protocol, "-d", "{}", url, token=None)

    assert json.loads(result.stderr)["code"] == "unauthenticated"


def test_health_needs_no_token(gateway: Gateway) -> None:
    request = health_pb2.HealthCheckRequest().SerializeToString()

    outcome = gateway.call("/grpc.health.v1.Health/Check", request)

    answer = health_pb2.HealthCheckResponse.FromString(outcome.messages[0])
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
