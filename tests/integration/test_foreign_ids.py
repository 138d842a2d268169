"""Another tenant's ids answer as ids that there are not: the same code, reason and words, in every RPC."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from uuid import UUID, uuid4

import httpx
import pytest

from tests.support.ingest import jpeg
from tests.support.slice import Shop
from tests.support.stack import Mesh

_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIMES: Final = re.compile(r'"\d{4}-\d\d-\d\dT[^"]*"')
_DAYS: Final = "start_time=2026-01-05T00:00:00Z&end_time=2026-01-08T00:00:00Z"
_PASSWORD: Final = "correct horse battery"

# Method, address and body; {site}, {camera}, … stand for an id of that kind.
READ_OR_CHANGED: Final[tuple[tuple[str, str, Mapping[str, Any] | None], ...]] = (
    ("GET", "/v1/tenants/{tenant}", None),
    ("PATCH", "/v1/tenants/{tenant}?update_mask=displayName", {"displayName": "mine"}),
    ("GET", "/v1/users/{user}", None),
    ("PATCH", "/v1/users/{user}?update_mask=displayName", {"displayName": "mine"}),
    ("POST", "/v1/users/{user}:setPassword", {"password": _PASSWORD}),
    ("DELETE", "/v1/users/{user}", None),
    ("DELETE", "/v1/apiKeys/{api_key}", None),
    ("POST", "/v1/apiKeys", {"displayName": "k", "role": "ROLE_WORKER", "siteIds": ["{site}"]}),
    ("GET", "/v1/sites/{site}", None),
    ("GET", "/v1/sites/{site}/rules", None),
    ("PATCH", "/v1/sites/{site}?update_mask=displayName", {"displayName": "mine"}),
    ("DELETE", "/v1/sites/{site}", None),
    ("GET", "/v1/cameras/{camera}", None),
    ("PATCH", "/v1/cameras/{camera}?update_mask=displayName", {"displayName": "mine"}),
    ("DELETE", "/v1/cameras/{camera}", None),
    (
        "POST",
        "/v1/cameras",
        {"siteId": "{site}", "displayName": "c", "role": "CAMERA_ROLE_ENTRANCE", "source": {"uri": "usb:0"}},
    ),
    ("GET", "/v1/workers/{worker}", None),
    ("POST", "/v1/workers/{worker}:drain", {}),
    ("GET", "/v1/customers/{customer}", None),
    ("GET", "/v1/staff/{staff}", None),
    ("GET", "/v1/staff/{staff}/faces", None),
    ("PATCH", "/v1/staff/{staff}?update_mask=displayName", {"displayName": "mine"}),
    ("DELETE", "/v1/staff/{staff}", None),
    ("GET", "/v1/visits/{visit}:explain", None),
    ("GET", "/v1/visits?site_ids={site}", None),
    ("GET", f"/v1/reports/visitors?grain=GRAIN_DAY&site_ids={{site}}&{_DAYS}", None),
    ("GET", f"/v1/reports/distribution?dimension=DIMENSION_SITE&site_ids={{site}}&{_DAYS}", None),
    ("GET", f"/v1/reports/export?grain=GRAIN_DAY&site_ids={{site}}&{_DAYS}", None),
)
FILTERED: Final = (
    "/v1/cameras?site_ids={site}",
    "/v1/workers?site_ids={site}",
    "/v1/leases?camera_ids={camera}",
    "/v1/leases?worker_ids={worker}",
    "/v1/customers?site_ids={site}",
    "/v1/visits?camera_ids={camera}",
    "/v1/visits?customer_id={customer}",
    "/v1/images:urls?ids={image}",
)


@pytest.fixture(scope="module")
def their_ids(real_mesh: Mesh) -> dict[str, str]:
    """One id of each kind that another tenant has."""
    shop = Shop.open(real_mesh, "theirs")
    seen = shop.sees("their customer", snapshot=jpeg())
    _, worker = shop.tenant.worker_key(shop.site_id)
    return {
        "tenant": shop.tenant.id,
        "user": shop.admin.get("/v1/users")["users"][0]["id"],
        "api_key": shop.admin.get("/v1/apiKeys")["apiKeys"][0]["id"],
        "site": shop.site_id,
        "camera": shop.camera_id,
        "worker": worker,
        "customer": seen["personId"],
        "visit": seen["visitId"],
        "image": seen["eventId"],
        "staff": shop.admin.post("/v1/staff", {"displayName": "Their clerk"})["staff"]["id"],
    }


@pytest.fixture(scope="module")
def we(real_mesh: Mesh) -> Iterator[httpx.Client]:
    """A tenant that asks."""
    with real_mesh.client(real_mesh.tenant("ours").token) as client:
        yield client


def ask(client: httpx.Client, method: str, path: str, body: object, ids: Mapping[str, str]) -> tuple[int, str]:
    """Status and body, without what differs between any two answers: ids and times."""
    text = None if body is None else json.dumps(body)
    for kind, one in ids.items():
        path, text = path.replace(f"{{{kind}}}", one), text and text.replace(f"{{{kind}}}", one)
    answer = client.request(method, path, content=text, headers={"content-type": "application/json"})
    return answer.status_code, _TIMES.sub('"TIME"', _UUID.sub("ID", answer.text))


def absent(ids: Mapping[str, str]) -> dict[str, str]:
    """Ids of the same moments that nobody has."""
    return {kind: str(UUID(one[:14] + str(uuid4())[14:])) for kind, one in ids.items()}


@pytest.mark.parametrize(("method", "path", "body"), READ_OR_CHANGED)
def test_a_foreign_id_is_not_found_like_an_absent_one(
    we: httpx.Client, their_ids: dict[str, str], method: str, path: str, body: Mapping[str, Any] | None
) -> None:
    foreign = ask(we, method, path, body, their_ids)

    assert foreign == ask(we, method, path, body, absent(their_ids))
    assert foreign[0] == 404
    assert "NOT_FOUND" in foreign[1]


@pytest.mark.parametrize("path", FILTERED)
def test_a_foreign_id_filters_like_an_absent_one(we: httpx.Client, their_ids: dict[str, str], path: str) -> None:
    foreign = ask(we, "GET", path, None, their_ids)

    assert foreign == ask(we, "GET", path, None, absent(their_ids))
    assert foreign[0] == 200
    assert "ID" not in foreign[1]
