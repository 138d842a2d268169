"""Every HTTP route of the contracts reaches its RPC through the real Envoy, and nothing else does."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest
from footfall.ingest.v1 import image_pb2
from footfall.reports.v1 import visit_pb2
from google.api import httpbody_pb2

from gateway.contract import MESH_ONLY_SERVICES
from scripts.proto_image import Binding, Image
from tests.support.gateway import DESCRIPTORS, Gateway, eventually, methods, running_gateway

ID = "0197a1c2-0000-7000-8000-000000000001"
IMAGE = Image.read(DESCRIPTORS)
ROUTES: list[tuple[str, Binding]] = [
    (f"/{service.full_name}/{method.name}", binding)
    for service in IMAGE.services()
    for method in service.methods
    for binding in IMAGE.bindings(method)
]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture(scope="module")
def client(gateway: Gateway) -> Iterator[httpx.Client]:
    with gateway.client(gateway.token()) as client:
        yield client


def reason(response: httpx.Response) -> str:
    """The ErrorInfo's reason of a JSON error."""
    return str(response.json()["details"][0]["reason"])


@pytest.mark.parametrize(("rpc", "binding"), ROUTES, ids=[f"{binding.verb} {binding.path}" for _, binding in ROUTES])
def test_the_route_reaches_its_rpc(gateway: Gateway, client: httpx.Client, rpc: str, binding: Binding) -> None:
    gateway.mesh.calls.clear()
    path = re.sub(r"\{[^}]*\}", ID, binding.path)

    response = client.request(binding.verb, path, content=b"{}" if binding.body else b"")

    reached = [call for call in gateway.mesh.calls if call.metadata.get("user-agent", "").startswith("python-httpx")]
    assert [(call.service, call.rpc) for call in reached] == [(rpc.split(".")[1], rpc)]
    if rpc not in gateway.mesh.answers:
        assert (response.status_code, reason(response)) == (501, "NOT_BUILT_YET")


@pytest.mark.parametrize("rpc", methods())
def test_grpc_goes_to_the_service_of_its_package_and_never_to_what_is_for_the_mesh(gateway: Gateway, rpc: str) -> None:
    gateway.mesh.calls.clear()

    outcome = gateway.call(rpc, token=gateway.token(), x_test="mine")

    reached = [(call.service, call.rpc) for call in gateway.mesh.calls if call.metadata.get("x-test") == "mine"]
    is_for_the_mesh = rpc.split("/")[1] in MESH_ONLY_SERVICES
    assert reached == ([] if is_for_the_mesh else [(rpc.split(".")[1], rpc)])
    if rpc not in gateway.mesh.answers:
        assert (outcome.code, outcome.reason) == (
            grpc.StatusCode.UNIMPLEMENTED,
            "" if is_for_the_mesh else "NOT_BUILT_YET",
        )


def test_query_parameters_are_taken_in_both_spellings_and_nested(gateway: Gateway, client: httpx.Client) -> None:
    gateway.mesh.calls.clear()

    client.get("/v1/visits", params={"page_size": "7", "siteIds": [ID, ID]})

    request = visit_pb2.ListVisitsRequest.FromString(gateway.mesh.calls[0].request)
    assert (request.page_size, list(request.site_ids)) == (7, [ID, ID])


@pytest.mark.parametrize(
    ("query", "message"),
    [("nonsense=1", 'Could not find field "nonsense"'), ("page_size=many", "page_size: invalid value")],
)
def test_a_query_that_the_contract_does_not_know_is_refused(client: httpx.Client, query: str, message: str) -> None:
    response = client.get(f"/v1/visits?{query}")

    assert (response.status_code, reason(response)) == (400, "INVALID_FIELD")
    assert response.json()["code"] == 3
    assert message in response.json()["message"]
    assert response.json()["details"][0]["metadata"]["request_id"] == response.headers["x-request-id"]


def test_a_body_that_is_not_json_is_refused(client: httpx.Client) -> None:
    response = client.post("/v1/customers", content=b"{no")

    assert (response.status_code, reason(response)) == (400, "INVALID_FIELD")


def test_an_address_without_an_rpc_is_not_found(client: httpx.Client) -> None:
    response = client.get("/v1/nothing")

    assert (response.status_code, reason(response)) == (404, "NOT_FOUND")


def test_an_image_is_sent_as_it_is_and_needs_no_token(gateway: Gateway) -> None:
    picture = httpbody_pb2.HttpBody(content_type="image/jpeg", data=b"\xff\xd8 not really a picture \xff\xd9")
    rpc = "/footfall.ingest.v1.FeedService/GetImage"
    gateway.mesh.answers[rpc] = lambda _request, _context: picture.SerializeToString()

    with gateway.client() as anonymous:
        response = anonymous.get(f"/v1/images/{ID}", params={"sig": "a-signature"})

    assert (response.status_code, response.headers["content-type"]) == (200, "image/jpeg")
    assert response.content == picture.data
    request = image_pb2.GetImageRequest.FromString(gateway.mesh.calls_of(rpc)[-1].request)
    assert (request.id, request.sig) == (ID, "a-signature")


@pytest.mark.parametrize("path", [f"/v1/images/{ID}?sig=a-signature", "/v1/sites", "/v1/nothing"])
def test_no_cache_keeps_an_answer_and_no_browser_guesses_what_it_is(client: httpx.Client, path: str) -> None:
    headers = client.get(path).headers

    assert headers.get_list("cache-control") == ["no-store"]
    assert headers.get_list("x-content-type-options") == ["nosniff"]


def test_the_access_log_is_json_with_the_request_id_and_without_signatures(gateway: Gateway) -> None:
    with gateway.client() as anonymous:
        response = anonymous.get(f"/v1/images/{ID}", params={"sig": "a-secret-signature"})

    request_id = response.headers["x-request-id"]

    def logged() -> dict[str, Any] | None:
        lines = [json.loads(line) for line in gateway.access_log()]
        return next((line for line in lines if line.get("request_id") == request_id), None)

    line = eventually(logged, "the request is logged")
    assert line["path"] == f"/v1/images/{ID}"
    assert line["rpc"] == "/footfall.ingest.v1.FeedService/GetImage"
    assert "a-secret-signature" not in json.dumps(line)


def test_the_request_id_reaches_the_service_and_is_the_gateways_own(gateway: Gateway, client: httpx.Client) -> None:
    gateway.mesh.calls.clear()

    response = client.get("/v1/sites", headers={"x-request-id": "chosen-by-the-caller"})

    assert gateway.mesh.calls[0].metadata["x-request-id"] == response.headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", response.headers["x-request-id"])
