"""The gateway serves the UI and lets named origins in; monitors learn whether it lives and whether the mesh does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gateway import Gateway, eventually, running_gateway

CONSOLE = "https://console.example.com"
PAGE = "<!doctype html><title>Footfall</title><script src=/assets/app-1.js></script>"


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    dist = tmp_path_factory.mktemp("dist")
    (dist / "assets").mkdir()
    (dist / "index.html").write_text(PAGE)
    (dist / "favicon.svg").write_text("<svg/>")
    (dist / "assets" / "app-1.js").write_text("console.log('hello')")
    return dist


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, dist: Path) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    with running_gateway(folder, web_root=dist, cors_origins=(CONSOLE,)) as running:
        yield running


@pytest.mark.parametrize("path", ["/", "/visits", "/sites/0197a1c2-0000-7000-8000-000000000001/cameras"])
def test_every_page_of_the_ui_is_the_same_file(gateway: Gateway, path: str) -> None:
    with gateway.client() as client:
        page = client.get(path)

    assert (page.status_code, page.text) == (200, PAGE)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-cache"
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]


def test_its_assets_are_kept_for_ever_and_its_other_files_are_asked_for_again(gateway: Gateway) -> None:
    with gateway.client() as client:
        script, icon = client.get("/assets/app-1.js"), client.get("/favicon.svg")

    assert (script.text, script.headers["content-type"]) == ("console.log('hello')", "text/javascript; charset=utf-8")
    assert "immutable" in script.headers["cache-control"]
    assert (icon.text, icon.headers["content-type"]) == ("<svg/>", "image/svg+xml")
    assert icon.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("path", ["/assets/../../ca.key", "/assets/%2e%2e/%2e%2e/ca.key", "/assets/gone.js"])
def test_no_file_outside_of_the_ui_is_served(gateway: Gateway, path: str) -> None:
    with gateway.client() as client:
        answer = client.get(path)

    assert answer.status_code in (400, 404) or answer.text == PAGE


def test_a_new_build_is_served_without_a_restart(gateway: Gateway, dist: Path) -> None:
    fresh = dist / "index.html.new"
    fresh.write_text(PAGE.replace("app-1", "app-2"))
    fresh.rename(dist / "index.html")

    def is_new() -> bool:
        with gateway.client() as client:
            return "app-2" in client.get("/").text

    try:
        eventually(is_new, "the new page is served")
    finally:
        fresh.write_text(PAGE)
        fresh.rename(dist / "index.html")
        eventually(lambda: not is_new(), "the old page is back")


def test_without_a_build_a_plain_page_says_so(tmp_path: Path) -> None:
    with running_gateway(tmp_path, web_root=tmp_path / "nothing-here") as gateway, gateway.client() as client:
        page = client.get("/")

    assert page.status_code == 200
    assert "has not been built" in page.text


def test_a_named_origin_may_ask_before_it_calls(gateway: Gateway) -> None:
    asks = {
        "origin": CONSOLE,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,x-grpc-web",
    }
    with gateway.client() as client:
        json_answer = client.options("/v1/visits", headers=asks)
        grpc_answer = client.options("/footfall.reports.v1.VisitService/ListVisits", headers=asks)

    for answer in (json_answer, grpc_answer):
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == CONSOLE
        assert "authorization" in answer.headers["access-control-allow-headers"]


def test_another_origin_is_told_nothing(gateway: Gateway) -> None:
    with gateway.client() as client:
        asks = {"origin": "https://evil.example.com", "access-control-request-method": "POST"}
        answer = client.options("/v1/visits", headers=asks)

    assert "access-control-allow-origin" not in answer.headers


def test_an_answer_lets_a_named_origin_read_the_status(gateway: Gateway) -> None:
    with gateway.client(gateway.token()) as client:
        answer = client.get("/v1/visits", headers={"origin": CONSOLE})

    assert answer.headers["access-control-allow-origin"] == CONSOLE
    assert "grpc-status" in answer.headers["access-control-expose-headers"]


def test_healthz_and_readyz_need_no_token(gateway: Gateway) -> None:
    with gateway.client() as client:
        assert client.get("/healthz").text == "ok\n"
        assert client.get("/readyz").status_code == 200


def test_what_is_neither_a_page_nor_an_rpc_is_not_found(gateway: Gateway) -> None:
    with gateway.client() as client:
        assert client.post("/anything").status_code == 404
        assert client.delete("/").status_code == 404
