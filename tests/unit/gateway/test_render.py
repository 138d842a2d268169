"""What is rendered says what the settings say; that Envoy takes it is tests/integration's promise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.render import render, write
from gateway.settings import GatewaySettings
from tests.unit.gateway.test_contract import contracts


@pytest.fixture
def settings(tmp_path: Path) -> GatewaySettings:
    descriptors = tmp_path / "contracts.in"
    descriptors.write_bytes(contracts())
    return GatewaySettings(
        state=tmp_path / "state",
        descriptors=descriptors,
        web_root=None,
        host="192.0.2.1",
        ingest=("10.0.0.1:8402", "[::1]:8402"),
        registry=("registry.footfall.svc:8401",),
    )


def configuration(settings: GatewaySettings) -> Any:
    return yaml.safe_load(render(settings))


def routes(settings: GatewaySettings) -> dict[str, Any]:
    edge = configuration(settings)["static_resources"]["listeners"][0]
    manager = edge["filter_chains"][0]["filters"][0]["typed_config"]
    return {route["name"]: route for route in manager["route_config"]["virtual_hosts"][0]["routes"]}


def test_the_same_settings_render_the_same_text(settings: GatewaySettings) -> None:
    assert render(settings) == render(settings)


def test_every_replica_is_an_endpoint_and_names_are_resolved(settings: GatewaySettings) -> None:
    clusters = {cluster["name"]: cluster for cluster in configuration(settings)["static_resources"]["clusters"]}

    endpoints = clusters["svc-ingest"]["load_assignment"]["endpoints"][0]["lb_endpoints"]
    addresses = [endpoint["endpoint"]["address"]["socket_address"]["address"] for endpoint in endpoints]
    assert addresses == ["10.0.0.1", "::1"]
    assert clusters["svc-ingest"]["type"] == "STATIC"
    assert clusters["svc-registry"]["type"] == "STRICT_DNS"


def test_a_watch_has_no_time_limit_a_download_none_but_on_silence_and_a_call_has_one(settings: GatewaySettings) -> None:
    found = routes(settings)

    watch = found["footfall.ingest.v1.FeedService.WatchVisits"]["route"]
    download = found["footfall.ingest.v1.FeedService.Export"]["route"]
    call = found["footfall.ingest.v1.FeedService"]["route"]

    assert (watch["timeout"], watch["idle_timeout"]) == ("0s", "0s")
    assert (download["timeout"], download["idle_timeout"]) == ("0s", "300s")
    assert call["timeout"] == "60s"


def test_what_is_for_the_mesh_has_no_route(settings: GatewaySettings) -> None:
    assert "MatchService" not in render(settings)


def test_admin_and_keys_listen_on_the_loopback_only(settings: GatewaySettings) -> None:
    configured = configuration(settings)
    edge, keys = configured["static_resources"]["listeners"]

    assert edge["address"]["socket_address"]["address"] == settings.host
    assert keys["address"]["socket_address"]["address"] == "127.0.0.1"
    assert configured["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"


def test_what_is_written_holds_no_key_material(settings: GatewaySettings) -> None:
    config = write(settings)

    assert config == settings.state / "envoy.yaml"
    assert {path.name for path in settings.state.iterdir()} == {
        "contracts.binpb",
        "edge.yaml",
        "envoy.yaml",
        "peer.yaml",
        "peer_ca.yaml",
    }
    assert "PRIVATE KEY" not in "".join(path.read_text() for path in settings.state.glob("*.yaml"))
