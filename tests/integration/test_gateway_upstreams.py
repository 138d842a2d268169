"""Services come, go and multiply behind the gateway, and certificates are renewed; nothing of it needs a restart."""

from __future__ import annotations

import queue
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from gateway.render import check
from gateway.settings import GatewaySettings
from stack.certificates import issue
from tests.support.gateway import DESCRIPTORS, ROOT, Gateway, Mesh, eventually, running_gateway, stand_in
from tests.support.ports import free_port

WATCH_VISITS = "/footfall.ingest.v1.FeedService/WatchVisits"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    with running_gateway(tmp_path) as running:
        yield running


def test_envoy_accepts_the_configuration_of_the_real_contracts() -> None:
    assert check(GatewaySettings(descriptors=DESCRIPTORS)) is None


def test_the_command_checks_too() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "gateway.render", "--check"], cwd=ROOT, capture_output=True, check=False
    )

    assert result.returncode == 0, result.stderr


def test_envoys_refusal_is_told(tmp_path: Path) -> None:
    broken = GatewaySettings(descriptors=DESCRIPTORS, host="not an address")

    assert "not an address" in str(check(broken))


def test_a_second_replica_takes_over_when_the_first_is_gone(tmp_path: Path) -> None:
    port = free_port()
    first = f"127.0.0.1:{free_port()}"
    with running_gateway(tmp_path, reports=(first, f"127.0.0.1:{port}"), wait=False) as gateway:
        mesh = Mesh()
        with stand_in(mesh, "reports", issue(gateway.authority, "svc-reports"), port):
            eventually(gateway.is_ready, "the second replica is found")
            with gateway.client(gateway.token()) as client:
                answers = {client.get("/v1/visits").status_code for _ in range(20)}

    assert answers == {501}
    assert len(mesh.calls) == 20


def test_while_a_service_is_away_its_calls_fail_the_others_do_not_and_it_is_found_again(tmp_path: Path) -> None:
    port = free_port()
    with running_gateway(tmp_path, reports=(f"127.0.0.1:{port}",), wait=False) as gateway, ExitStack() as stack:
        client = stack.enter_context(gateway.client(gateway.token()))
        eventually(lambda: client.get("/readyz").status_code == 503, "the gateway is up, and not ready")
        eventually(lambda: client.get("/v1/sites").status_code == 501, "the registry answers")
        away = client.get("/v1/visits")

        mesh = Mesh()
        stack.enter_context(stand_in(mesh, "reports", issue(gateway.authority, "svc-reports"), port))
        eventually(lambda: client.get("/v1/visits").status_code == 501, "reports is found")

    assert (away.status_code, away.json()["code"]) == (503, 14)
    assert away.json()["details"][0]["reason"] == "DEPENDENCY_UNAVAILABLE"


def test_a_server_that_shows_another_peers_certificate_is_not_spoken_to(tmp_path: Path) -> None:
    port = free_port()
    with running_gateway(tmp_path, reports=(f"127.0.0.1:{port}",), wait=False) as gateway:
        mesh = Mesh()
        with (
            stand_in(mesh, "reports", issue(gateway.authority, "svc-ingest"), port),
            gateway.client(gateway.token()) as client,
        ):
            eventually(lambda: client.get("/v1/sites").status_code == 501, "the registry answers")
            answer = client.get("/v1/visits")

    assert answer.status_code == 503
    assert mesh.calls == []


def test_a_renewed_certificate_is_shown_without_a_restart(gateway: Gateway) -> None:
    def shown() -> str:
        return ssl.get_server_certificate(("127.0.0.1", gateway.settings.port))

    before = shown()
    issue(gateway.authority, "gateway", names=("renewed.example",))

    eventually(lambda: shown() != before, "the new certificate is shown")


def test_a_stream_goes_on_while_the_gateway_drains_and_load_balancers_are_told(gateway: Gateway) -> None:
    messages: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def watch(_request: bytes, _context: grpc.ServicerContext) -> Iterator[bytes]:
        while (message := messages.get(timeout=30)) is not None:
            yield message

    gateway.mesh.answers[WATCH_VISITS] = watch
    with gateway.channel() as channel:
        call: Any = channel.unary_stream(WATCH_VISITS, lambda message: message, lambda message: message)(
            b"", metadata=(("authorization", f"Bearer {gateway.token()}"),)
        )
        messages.put(b"before")
        assert next(call) == b"before"

        gateway.drain()

        eventually(lambda: not gateway.is_ready(), "load balancers are told")
        messages.put(b"after")
        assert next(call) == b"after"
        messages.put(None)
        assert list(call) == []
