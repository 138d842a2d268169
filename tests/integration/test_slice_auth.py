"""Nobody who is not let in gets in: refused at the gateway, and again at each service by those who come past it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, Final
from uuid import uuid4

import grpc
import jwt
import pytest
from footfall.identity.v1 import staff_pb2, staff_pb2_grpc
from footfall.ingest.v1 import event_pb2, feed_pb2_grpc, image_pb2, ingest_pb2, ingest_pb2_grpc
from footfall.registry.v1 import site_pb2, site_pb2_grpc
from footfall.reports.v1 import visit_pb2, visit_pb2_grpc

from tests.support.ingest import jpeg
from tests.support.mesh import TokenIssuer, reason
from tests.support.slice import Shop, event
from tests.support.stack import Mesh, Refused, eventually

Credential = Callable[[Mesh, str], str | None]


def _with_another_key(_: Mesh, token: str) -> str:
    """Every word is right, and so is the key's name: only the key is not."""
    stranger = TokenIssuer(kid=jwt.get_unverified_header(token)["kid"])
    return stranger.signed(jwt.decode(token, options={"verify_signature": False}))


def _altered(_: Mesh, token: str) -> str:
    """Signed by the registry, and changed since."""
    head, body, signature = token.split(".")
    claims = jwt.decode(token, options={"verify_signature": False})
    other = jwt.encode({**claims, "tenant_id": str(uuid4())}, "k" * 32).split(".")[1]
    assert other != body
    return f"{head}.{other}.{signature}"


UNACCEPTABLE: Final[dict[str, tuple[Credential, str]]] = {
    "none at all": (lambda _mesh, _token: None, "TOKEN_MISSING"),
    "not a token": (lambda _mesh, _token: "not-a-token", "TOKEN_INVALID"),
    "forged with another key": (_with_another_key, "TOKEN_INVALID"),
    "altered after it was signed": (_altered, "TOKEN_INVALID"),
    "expired": (lambda mesh, token: mesh.forge(token, exp=int(time.time()) - 120), "TOKEN_EXPIRED"),
    "for another audience": (lambda mesh, token: mesh.forge(token, aud="somebody-else"), "TOKEN_INVALID"),
    "of another issuer": (lambda mesh, token: mesh.forge(token, iss="somebody-else"), "TOKEN_INVALID"),
}

Ask = Callable[[grpc.aio.Channel], Awaitable[Any]]

# One harmless question per service. Each is answered to a tenant's administrator, as the first test shows.
QUESTIONS: Final[dict[str, tuple[str, Ask]]] = {
    "svc-registry": (
        "/v1/sites",
        lambda channel: site_pb2_grpc.SiteServiceStub(channel).ListSites(site_pb2.ListSitesRequest()),
    ),
    "svc-ingest": (
        "/v1/images:urls?ids=0197a1c2-0000-7000-8000-00000000000a",
        lambda channel: feed_pb2_grpc.FeedServiceStub(channel).GetImageUrls(
            image_pb2.GetImageUrlsRequest(ids=["0197a1c2-0000-7000-8000-00000000000a"])
        ),
    ),
    "svc-identity": (
        "/v1/staff",
        lambda channel: staff_pb2_grpc.StaffServiceStub(channel).ListStaff(staff_pb2.ListStaffRequest()),
    ),
    "svc-reports": (
        "/v1/visits",
        lambda channel: visit_pb2_grpc.VisitServiceStub(channel).ListVisits(visit_pb2.ListVisitsRequest()),
    ),
}


@pytest.fixture(scope="module")
def ours(real_mesh: Mesh) -> Shop:
    """A tenant."""
    return Shop.open(real_mesh, "ours")


@pytest.fixture(scope="module")
def theirs(real_mesh: Mesh) -> Shop:
    """Another tenant, in whose shop somebody was seen."""
    shop = Shop.open(real_mesh, "theirs")
    assert shop.sees("their customer", snapshot=jpeg())["match"] == "MATCH_NEW"
    return shop


async def refused(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str]:
    """Code and reason of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return error.value.code(), reason(error.value)


# -- tokens -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", QUESTIONS)
async def test_a_good_token_is_answered_both_ways(ours: Shop, service: str) -> None:
    path, ask = QUESTIONS[service]

    ours.admin.get(path)
    async with ours.mesh.grpc(ours.admin.token) as channel:
        await ask(channel)
    async with ours.mesh.peer(service, ours.admin.token) as channel:
        await ask(channel)


@pytest.mark.parametrize("service", QUESTIONS)
@pytest.mark.parametrize("kind", UNACCEPTABLE)
async def test_an_unacceptable_token_is_refused_at_the_gateway_in_grpc_and_in_json(
    ours: Shop, kind: str, service: str
) -> None:
    credential, expected = UNACCEPTABLE[kind]
    path, ask = QUESTIONS[service]
    token = credential(ours.mesh, ours.admin.token)

    async with ours.mesh.grpc(token) as channel:
        assert await refused(ask(channel)) == (grpc.StatusCode.UNAUTHENTICATED, expected)
    with pytest.raises(Refused) as error:
        ours.mesh.call("GET", path, token)
    assert (error.value.status, error.value.reason) == (401, expected)


@pytest.mark.parametrize("service", QUESTIONS)
@pytest.mark.parametrize("kind", UNACCEPTABLE)
async def test_an_unacceptable_token_is_refused_again_by_the_service_itself(
    ours: Shop, kind: str, service: str
) -> None:
    credential, expected = UNACCEPTABLE[kind]

    async with ours.mesh.peer(service, credential(ours.mesh, ours.admin.token)) as channel:
        assert await refused(QUESTIONS[service][1](channel)) == (grpc.StatusCode.UNAUTHENTICATED, expected)


async def test_a_token_that_was_signed_out_is_refused_everywhere_within_seconds(ours: Shop) -> None:
    admin = ours.tenant.user("TENANT_ADMIN")
    token = admin.token
    ours.mesh.call("POST", "/v1/auth/token:revoke", token, json={})

    for path, _ in QUESTIONS.values():
        eventually(lambda path=path: _reason_of(ours.mesh, path, token) == "TOKEN_REVOKED", f"{path} has heard of it")  # type: ignore[misc]


def _reason_of(mesh: Mesh, path: str, token: str) -> str:
    try:
        mesh.call("GET", path, token)
    except Refused as error:
        return error.reason
    return ""


# -- peers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", QUESTIONS)
async def test_without_a_certificate_of_the_mesh_there_is_no_connection(
    ours: Shop, service: str, peers: Callable[[str], Any]
) -> None:
    trusted = ours.mesh.ca.read_bytes()
    stranger = peers("gateway")  # the right name, by an authority that is not this mesh's
    strangers = {
        "no certificate": grpc.ssl_channel_credentials(trusted),
        "another authority's": grpc.ssl_channel_credentials(
            trusted, stranger.key.read_bytes(), stranger.cert.read_bytes()
        ),
    }
    for credentials in strangers.values():
        options = [("grpc.ssl_target_name_override", service)]
        async with grpc.aio.secure_channel(ours.mesh.target(service), credentials, options) as channel:
            code, _ = await refused(QUESTIONS[service][1](channel))
            assert code is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("service", QUESTIONS)
async def test_a_neighbour_does_not_get_what_is_for_people(ours: Shop, service: str) -> None:
    neighbour = "svc-ingest" if service != "svc-ingest" else "svc-reports"

    async with ours.mesh.peer(service, ours.admin.token, as_peer=neighbour) as channel:
        assert await refused(QUESTIONS[service][1](channel)) == (
            grpc.StatusCode.PERMISSION_DENIED,
            "PEER_NOT_ALLOWED",
        )


# -- other tenants ----------------------------------------------------------------------------------------------------


def _theirs(theirs: Shop) -> dict[str, str]:
    """Something of everything that has an id."""
    visit = theirs.admin.get("/v1/visits")["visits"][0]
    staff = theirs.admin.post("/v1/staff", {"displayName": "Theirs"})["staff"]["id"]
    worker = theirs.tenant.worker_key(theirs.site_id, "theirs")[1]
    return {
        "/v1/sites/{}": theirs.site_id,
        "/v1/cameras/{}": theirs.camera_id,
        "/v1/workers/{}": worker,
        "/v1/users/{}": theirs.admin.id,
        "/v1/staff/{}": staff,
        "/v1/customers/{}": visit["customerId"],
        "/v1/visits/{}:explain": visit["id"],
    }


def test_another_tenants_ids_are_answered_as_ids_that_never_were(ours: Shop, theirs: Shop) -> None:
    for path, known in _theirs(theirs).items():
        theirs.admin.get(path.format(known))  # there it is, for those whose it is
        answers = []
        for wanted in (known, str(uuid4())):
            with pytest.raises(Refused) as error:
                ours.admin.get(path.format(wanted))
            answers.append((error.value.status, error.value.reason, error.value.text.replace(wanted, "ID")))
        assert answers[0] == answers[1]
        assert answers[0][:2] == (404, "NOT_FOUND")


def test_lists_hold_nothing_of_another_tenant_whatever_is_asked(ours: Shop, theirs: Shop) -> None:
    image = theirs.admin.get("/v1/visits")["visits"][0]["imageId"]
    assert len(theirs.admin.get("/v1/images:urls", ids=image)["images"]) == 1

    assert ours.admin.get("/v1/visits").get("visits", []) == []
    with pytest.raises(Refused, match="NOT_FOUND"):
        ours.admin.get("/v1/visits", site_ids=theirs.site_id)
    assert ours.admin.get("/v1/images:urls", ids=image).get("images", []) == []
    assert ours.admin.get("/v1/customers").get("customers", []) == []
    assert [site["id"] for site in ours.admin.get("/v1/sites")["sites"]] == [ours.site_id]
    assert [camera["id"] for camera in ours.admin.get("/v1/cameras")["cameras"]] == [ours.camera_id]


async def test_another_tenants_camera_takes_no_event_at_the_gateway_or_past_it(ours: Shop, theirs: Shop) -> None:
    request = ingest_pb2.IngestFaceRequest(event=event(theirs.camera_id))
    for channel_of in (ours.mesh.grpc, lambda token: ours.mesh.peer("svc-ingest", token)):
        async with channel_of(ours.integrator) as channel:
            answer = await ingest_pb2_grpc.IngestServiceStub(channel).IngestFace(request)
        assert answer.outcome.status == event_pb2.FaceOutcome.STATUS_REJECTED
        assert [violation.field for violation in answer.outcome.problem.violations] == ["camera_id"]


async def test_another_tenants_ids_are_not_found_past_the_gateway_either(ours: Shop, theirs: Shop) -> None:
    visit_id = theirs.admin.get("/v1/visits")["visits"][0]["id"]
    staff_id = theirs.admin.post("/v1/staff", {"displayName": "Theirs"})["staff"]["id"]
    questions: dict[str, Ask] = {
        "svc-registry": lambda channel: site_pb2_grpc.SiteServiceStub(channel).GetSite(
            site_pb2.GetSiteRequest(id=theirs.site_id)
        ),
        "svc-identity": lambda channel: staff_pb2_grpc.StaffServiceStub(channel).GetStaff(
            staff_pb2.GetStaffRequest(id=staff_id)
        ),
        "svc-reports": lambda channel: visit_pb2_grpc.VisitServiceStub(channel).ExplainVisit(
            visit_pb2.ExplainVisitRequest(id=visit_id)
        ),
    }
    for service, ask in questions.items():
        async with ours.mesh.peer(service, ours.admin.token) as channel:
            assert await refused(ask(channel)) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


@pytest.mark.parametrize("service", QUESTIONS)
async def test_naming_another_tenant_is_for_a_system_admin_alone(ours: Shop, theirs: Shop, service: str) -> None:
    # Past the gateway the name is refused.
    async with ours.mesh.peer(service, ours.admin.token, x_tenant_id=theirs.tenant.id) as channel:
        assert await refused(QUESTIONS[service][1](channel)) == (grpc.StatusCode.PERMISSION_DENIED, "ROLE_NOT_ALLOWED")
    # The gateway takes it away before anybody could believe it.
    answer = ours.mesh.call("GET", "/v1/sites", ours.admin.token, headers={"x-tenant-id": theirs.tenant.id})
    assert [site["id"] for site in answer["sites"]] == [ours.site_id]


def test_a_system_admins_look_into_a_tenant_is_written_down(theirs: Shop) -> None:
    headers = {"x-tenant-id": theirs.tenant.id}
    answer = theirs.mesh.call("GET", "/v1/sites", theirs.mesh.operator.token, headers=headers)

    assert [site["id"] for site in answer["sites"]] == [theirs.site_id]
    with theirs.mesh.database() as connection:
        looks = connection.execute(
            "SELECT count(*) FROM audit_entries WHERE tenant_id = %s AND action = 'tenant.look'", [theirs.tenant.id]
        ).fetchone()
    assert looks is not None
    assert looks[0] >= 1
