"""A service's life: NOT_SERVING, SERVING while its checks pass, and a graceful end; health, reflection, metrics."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import grpc
import pytest
from footfall.registry.v1 import auth_pb2, auth_pb2_grpc
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from mesh.clock import SystemClock
from mesh.errors import Unavailable
from mesh.server import Server, Service, running
from mesh.tls import Tls
from stack.certificates import issue, make_ca
from tests.support.mesh import Peers, TokenIssuer, connect
from tests.support.mesh_service import AUTH, Auth, service
from tests.support.waiting import until

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


class Check:
    """A dependency that is away until told otherwise."""

    def __init__(self) -> None:
        self.away = True

    async def __call__(self) -> None:
        if self.away:
            raise Unavailable("away")


@pytest.fixture
def issuer() -> TokenIssuer:
    return TokenIssuer()


@asynccontextmanager
async def _started(made: Service, tls: Tls, **options: Any) -> AsyncIterator[Server]:
    server = Server(made, listen="127.0.0.1:0", tls=tls, clock=SystemClock(), **options)
    await server.start()
    try:
        yield server
    finally:
        await server.stop(grace=0)


def _connect(server: Server, peers: Peers, peer: str = "gateway") -> grpc.aio.Channel:
    return connect(f"127.0.0.1:{server.port}", "svc-registry", peers(peer))


def _health_stub(channel: grpc.aio.Channel) -> Any:  # its type tells of none of its methods
    return health_pb2_grpc.HealthStub(channel)


async def _health(channel: grpc.aio.Channel, name: str = "") -> int:
    status: int = (await _health_stub(channel).Check(health_pb2.HealthCheckRequest(service=name))).status
    return status


async def test_a_service_serves_only_while_its_checks_pass(issuer: TokenIssuer, peers: Peers) -> None:
    check = Check()
    made = service(issuer, checks={"database": check})
    async with _started(made, peers("svc-registry")) as server, _connect(server, peers) as channel:
        watched: list[int] = []

        async def watch() -> None:
            request = health_pb2.HealthCheckRequest(service=AUTH.full_name)
            async for answer in _health_stub(channel).Watch(request):
                watched.append(answer.status)

        watching = asyncio.create_task(watch())
        await until(lambda: watched == [NOT_SERVING])
        assert await _health(channel) == NOT_SERVING
        check.away = False
        await server.ready()
        await until(lambda: watched[-1] == SERVING)
        assert await _health(channel) == SERVING
        check.away = True
        await until(lambda: watched[-1] == NOT_SERVING)
        check.away = False
        await until(lambda: watched == [NOT_SERVING, SERVING, NOT_SERVING, SERVING])
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def test_every_mounted_service_has_its_own_health(issuer: TokenIssuer, peers: Peers) -> None:
    async with (
        running(service(issuer), tls=peers("svc-registry"), grace=0) as server,
        _connect(server, peers) as channel,
    ):
        assert await _health(channel, "footfall.ingest.v1.FeedService") == SERVING
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await _health(channel, "footfall.ingest.v1.Unknown")
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_stop_says_not_serving_first_and_lets_calls_finish(issuer: TokenIssuer, peers: Peers) -> None:
    entered, finish = asyncio.Event(), asyncio.Event()

    class Slow(Auth):
        async def GetJwks(self, request: auth_pb2.GetJwksRequest, context: object) -> auth_pb2.GetJwksResponse:
            entered.set()
            await finish.wait()
            return auth_pb2.GetJwksResponse()

    slow = Slow()  # type: ignore[abstract]  # the rest is not built
    statuses: list[int] = []

    async def hook() -> None:
        statuses.append(await _health(health_channel))

    async with (
        running(service(issuer, slow, on_drain=[hook]), tls=peers("svc-registry"), grace=10) as server,
        _connect(server, peers) as channel,
        _connect(server, peers) as health_channel,
    ):
        call = asyncio.create_task(_jwks(channel))
        await entered.wait()
        stopping = asyncio.create_task(server.stop())
        await until(lambda: statuses == [NOT_SERVING])
        finish.set()
        assert await call == auth_pb2.GetJwksResponse()
        await stopping
        await server.stop()  # a second stop does nothing
    assert statuses == [NOT_SERVING]


async def _jwks(channel: grpc.aio.Channel) -> auth_pb2.GetJwksResponse:
    return await auth_pb2_grpc.AuthServiceStub(channel).GetJwks(auth_pb2.GetJwksRequest())


async def test_a_drain_hook_that_fails_does_not_keep_the_process_alive(issuer: TokenIssuer, peers: Peers) -> None:
    async def hook() -> None:
        raise ValueError

    async with running(service(issuer, on_drain=[hook]), tls=peers("svc-registry"), grace=0):
        pass


async def test_reflection_tells_the_contracts(issuer: TokenIssuer, peers: Peers) -> None:
    async with (
        running(service(issuer), tls=peers("svc-registry"), grace=0) as server,
        _connect(server, peers) as channel,
    ):
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
        async for answer in call:
            names = {item.name for item in answer.list_services_response.service}
    assert {AUTH.full_name, "grpc.health.v1.Health", "footfall.ingest.v1.FeedService"} <= names


async def test_sockets_are_shown_to_the_operator_alone(issuer: TokenIssuer, peers: Peers) -> None:
    request = channelz_pb2.GetServersRequest()
    async with (
        running(service(issuer), tls=peers("svc-registry"), grace=0) as server,
        _connect(server, peers, "operator") as channel,
    ):
        assert (await channelz_pb2_grpc.ChannelzStub(channel).GetServers(request)).server
        async with _connect(server, peers) as gateway:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await channelz_pb2_grpc.ChannelzStub(gateway).GetServers(request)
            assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


def _get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


async def test_metrics_and_health_are_told_over_http(issuer: TokenIssuer, peers: Peers) -> None:
    check = Check()
    made = service(issuer, checks={"database": check})
    async with _started(made, peers("svc-registry"), metrics_listen="127.0.0.1:0") as server:
        port = server.metrics_port
        assert await asyncio.to_thread(_get, port, "/healthz") == (503, "service unavailable\n")
        check.away = False
        await server.ready()
        assert await asyncio.to_thread(_get, port, "/healthz") == (200, "ok\n")
        async with _connect(server, peers) as channel:
            await _jwks(channel)
        status, text = await asyncio.to_thread(_get, port, "/metrics")
        assert status == 200
        assert 'footfall_rpc_handled_total{code="OK",method="/footfall.registry.v1.AuthService/GetJwks"}' in text
        assert (await asyncio.to_thread(_get, port, "/elsewhere"))[0] == 404


async def test_two_servers_cannot_share_an_address(issuer: TokenIssuer, peers: Peers) -> None:
    async with running(service(issuer), tls=peers("svc-registry"), grace=0) as server:
        second = Server(
            service(issuer), listen=f"127.0.0.1:{server.port}", tls=peers("svc-registry"), clock=SystemClock()
        )
        with pytest.raises(RuntimeError, match=str(server.port)):
            await second.start()
        await second.stop(grace=0)


async def test_a_renewed_certificate_is_shown_without_a_restart(issuer: TokenIssuer, tmp_path: Path) -> None:
    folder = tmp_path / "certificates"
    authority = make_ca(folder)
    tls, gateway = issue(authority, "svc-registry"), issue(authority, "gateway")
    async with running(service(issuer), tls=tls, grace=0) as server:
        address = f"127.0.0.1:{server.port}"
        async with connect(address, "svc-registry", gateway) as channel:
            await _jwks(channel)
        issue(authority, "svc-registry", names=("renewed.example",))
        async with connect(address, "renewed.example", gateway) as channel:  # a name that the first one did not bear
            await _jwks(channel)


async def test_a_certificate_of_another_authority_is_refused(issuer: TokenIssuer, peers: Peers, tmp_path: Path) -> None:
    stranger = issue(make_ca(tmp_path / "other"), "gateway")
    ours = peers("svc-registry")
    tls = type(ours)(ca=ours.ca, cert=stranger.cert, key=stranger.key)
    async with (
        running(service(issuer), tls=ours, grace=0) as server,
        connect(f"127.0.0.1:{server.port}", "svc-registry", tls) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError):
            await auth_pb2_grpc.AuthServiceStub(channel).GetJwks(auth_pb2.GetJwksRequest(), timeout=5)


PROGRAM = """
import sys
from contextlib import asynccontextmanager
from mesh.server import main
from mesh.settings import ServiceSettings
from tests.support.mesh import TokenIssuer
from tests.support.mesh_service import service

@asynccontextmanager
async def build(settings, clock, ids):
    yield service(TokenIssuer())
    print("closed", flush=True)

main("svc-registry", ServiceSettings, build)
"""


@pytest.fixture
def environment(peers: Peers) -> dict[str, str]:
    tls = peers("svc-registry")
    return {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "FOOTFALL_LISTEN": "127.0.0.1:0",
        "FOOTFALL_METRICS_LISTEN": "127.0.0.1:0",
        "FOOTFALL_DATABASE_URL": "postgresql://svc_registry:hunter2@127.0.0.1:1/footfall",
        "FOOTFALL_MASTER_KEYS": "a:c2VjcmV0",
        "FOOTFALL_TLS_CA": str(tls.ca),
        "FOOTFALL_TLS_CERT": str(tls.cert),
        "FOOTFALL_TLS_KEY": str(tls.key),
    }


def _program(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_check_config_prints_the_settings_with_secrets_hidden(environment: dict[str, str]) -> None:
    done = _program(environment, "--check-config")
    assert done.returncode == 0
    assert "FOOTFALL_LISTEN=127.0.0.1:0" in done.stdout
    assert "hunter2" not in done.stdout


def test_wrong_settings_end_the_program_and_each_is_named(environment: dict[str, str]) -> None:
    del environment["FOOTFALL_LISTEN"]
    environment["FOOTFALL_DATABASE_URL"] = "hunter2"
    done = _program(environment)
    assert done.returncode == 78
    assert sorted(line.partition(":")[0] for line in done.stderr.splitlines()) == [
        "FOOTFALL_DATABASE_URL",
        "FOOTFALL_LISTEN",
    ]
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_program_gracefully(environment: dict[str, str], number: signal.Signals) -> None:
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        while '"serving":true' not in child.stderr.readline():
            pass
        child.send_signal(number)
        out, err = child.communicate(timeout=30)
    assert child.returncode == 0
    assert out == "closed\n"
    assert '"event":"stopped"' in err


def test_an_address_that_is_taken_is_named(environment: dict[str, str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        environment["FOOTFALL_LISTEN"] = f"127.0.0.1:{taken.getsockname()[1]}"
        done = _program(environment)
    assert done.returncode == 69
    assert environment["FOOTFALL_LISTEN"] in done.stderr
