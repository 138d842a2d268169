"""The real Envoy before stand-ins of the four services.

They take any call of the contracts over mTLS and write it down. A stand-in answers UNIMPLEMENTED with NOT_BUILT_YET, as
the services do for what a later version has, but for the few RPCs that a test gives an answer.
"""

from __future__ import annotations

import importlib
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import httpx
from footfall.registry.v1 import auth_pb2
from google.protobuf import any_pb2, descriptor_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status

from gateway.contract import PACKAGES, services_of
from gateway.render import command, write
from gateway.settings import GatewaySettings
from mesh.roles import Role
from mesh.tls import Tls
from stack.certificates import Authority, issue, make_ca
from tests.support.mesh import TokenIssuer
from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
DESCRIPTORS = ROOT / "gen" / "footfall.binpb"
READY_SECONDS = 20.0
TENANT = UUID("0197a1c2-0000-7000-8000-00000000000a")
GET_JWKS = "/footfall.registry.v1.AuthService/GetJwks"

Answer = Callable[[bytes, grpc.ServicerContext], Any]
"""What a stand-in does with a call: bytes for a unary answer, an iterator of bytes for a stream."""


def eventually(condition: Callable[[], Any], what: str, seconds: float = READY_SECONDS) -> Any:
    """Wait until ``condition`` gives something true, and return it; AssertionError naming ``what`` else."""
    end = time.monotonic() + seconds
    pause = threading.Event()
    while time.monotonic() < end:
        if result := condition():
            return result
        pause.wait(0.02)
    raise AssertionError(f"did not happen within {seconds:g} s: {what}")


@dataclass(frozen=True)
class Call:
    """One call that reached a service."""

    service: str
    """The stand-in's package: registry, …"""
    rpc: str
    """``/footfall.<package>.v1.<Service>/<Method>``."""
    metadata: dict[str, str]
    request: bytes
    """The first message."""


@dataclass
class Mesh:
    """The stand-ins' shared memory."""

    calls: list[Call] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    keys: list[TokenIssuer] = field(default_factory=list)

    def jwks(self, _request: bytes, _context: grpc.ServicerContext) -> bytes:
        """What GetJwks answers now."""
        keys = [auth_pb2.JsonWebKey(**key.jwk()) for key in self.keys]
        return auth_pb2.GetJwksResponse(keys=keys).SerializeToString()

    def calls_of(self, rpc: str) -> list[Call]:
        """The calls of one RPC."""
        return [call for call in self.calls if call.rpc == rpc]


def token_of_a_viewer(issuer: TokenIssuer, **claims: Any) -> str:
    """A token of a viewer of TENANT, whose claims are replaced by ``claims`` or, with None, left out."""
    return issuer.signed({**issuer.body(Role.VIEWER, tenant_id=TENANT), **claims})


def methods() -> dict[str, descriptor_pb2.MethodDescriptorProto]:
    """Every RPC of the contracts by its path."""
    files = descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file
    return {
        f"/{file.package}.{service.name}/{method.name}": method
        for file in files
        if file.package.startswith("footfall.")
        for service in file.service
        for method in service.method
    }


def not_built_yet(context: grpc.ServicerContext) -> None:
    """End the call as the services do for an RPC of a later version."""
    info = any_pb2.Any()
    info.Pack(error_details_pb2.ErrorInfo(reason="NOT_BUILT_YET", domain="footfall"))
    status = status_pb2.Status(code=grpc.StatusCode.UNIMPLEMENTED.value[0], message="not built yet", details=[info])
    context.abort_with_status(rpc_status.to_status(status))


class _AnyRpc(grpc.GenericRpcHandler):
    """Takes every RPC of one package."""

    def __init__(self, mesh: Mesh, package: str) -> None:
        self._mesh = mesh
        self._package = package
        self._methods = {path: method for path, method in methods().items() if f".{package}.v1." in path}

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        method = self._methods.get(details.method)
        if method is None:
            return None

        def handle(request: Any, context: grpc.ServicerContext) -> Any:
            first = next(iter(request), b"") if method.client_streaming else request
            metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
            self._mesh.calls.append(Call(self._package, details.method, metadata, first))
            answer = self._mesh.answers.get(details.method)
            if answer is None:
                not_built_yet(context)
                raise AssertionError("abort raises")
            return answer(first, context)

        if method.client_streaming and method.server_streaming:
            return grpc.stream_stream_rpc_method_handler(_streamed(handle))
        if method.client_streaming:
            return grpc.stream_unary_rpc_method_handler(handle)
        if method.server_streaming:
            return grpc.unary_stream_rpc_method_handler(_streamed(handle))
        return grpc.unary_unary_rpc_method_handler(handle)


def _streamed(handle: Callable[[Any, grpc.ServicerContext], Any]) -> Callable[[Any, grpc.ServicerContext], Any]:
    def stream(request: Any, context: grpc.ServicerContext) -> Iterator[bytes]:
        yield from handle(request, context)

    return stream


@contextmanager
def stand_in(mesh: Mesh, package: str, tls: Tls, port: int = 0) -> Iterator[int]:
    """One service for the length of the block; gives its port."""
    server = grpc.server(futures.ThreadPoolExecutor(32), handlers=[_AnyRpc(mesh, package)])
    servicer = health.HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    if package == "registry":
        reflection.enable_server_reflection([*_reflected(), reflection.SERVICE_NAME], server)
    bound = server.add_secure_port(f"127.0.0.1:{port}", tls.server_credentials())
    server.start()
    try:
        yield bound
    finally:
        server.stop(0).wait()


def _reflected() -> list[str]:
    """All services that the gateway routes; reflection answers out of the modules that are imported."""
    descriptors = DESCRIPTORS.read_bytes()
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors).file:
        if file.package.startswith("footfall."):
            importlib.import_module(file.name.removesuffix(".proto").replace("/", ".") + "_pb2")
    return [service.full_name for service in services_of(descriptors)]


@dataclass(frozen=True)
class Outcome:
    """How a gRPC call went."""

    code: grpc.StatusCode
    messages: list[bytes]
    reason: str
    """Of its ErrorInfo, or empty."""


@dataclass
class Gateway:
    """A running gateway, and what is behind it."""

    settings: GatewaySettings
    mesh: Mesh
    key: TokenIssuer
    authority: Authority
    process: subprocess.Popen[bytes]

    @property
    def ca(self) -> Path:
        """Whom its clients trust."""
        return self.authority.file

    @property
    def url(self) -> str:
        """Its address."""
        return f"https://localhost:{self.settings.port}"

    def token(self, **claims: Any) -> str:
        """A token of a viewer of TENANT, whose claims are replaced by ``claims`` or, with None, left out."""
        return token_of_a_viewer(self.key, **claims)

    def client(self, token: str | None = None, **options: Any) -> httpx.Client:
        """An HTTP/2 client; ``token`` is sent with every request."""
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        return httpx.Client(base_url=self.url, verify=_trust(self.ca), http2=True, headers=headers, **options)

    def channel(self) -> grpc.Channel:
        """A gRPC channel."""
        credentials = grpc.ssl_channel_credentials(self.ca.read_bytes())
        return grpc.secure_channel(f"localhost:{self.settings.port}", credentials)

    def call(self, rpc: str, request: bytes = b"", *, token: str | None = None, **metadata: str) -> Outcome:
        """One gRPC call of one message, to its end. On the wire a unary call is a stream of one message."""
        credentials = {} if token is None else {"authorization": f"Bearer {token}"}
        headers = tuple((name.replace("_", "-"), value) for name, value in {**credentials, **metadata}.items())
        messages: list[bytes] = []
        with self.channel() as channel:
            call: Any = channel.stream_stream(rpc, lambda message: message, lambda message: message)(
                iter([request]), metadata=headers
            )
            try:
                messages.extend(call)
            except grpc.RpcError:
                return Outcome(call.code(), messages, _reason(call))
        return Outcome(call.code(), messages, "")

    def admin(self, path: str) -> httpx.Response:
        """Ask Envoy itself."""
        return httpx.get(f"http://127.0.0.1:{self.settings.admin_port}{path}")

    def drain(self) -> None:
        """Tell Envoy to end gracefully."""
        for order in ("healthcheck/fail", "drain_listeners?graceful&skip_exit"):
            httpx.post(f"http://127.0.0.1:{self.settings.admin_port}/{order}")

    def access_log(self) -> list[str]:
        """The lines written so far; Envoy is told to write them out now."""
        httpx.post(f"http://127.0.0.1:{self.settings.admin_port}/reopen_logs")
        return Path(self.settings.access_log).read_text().splitlines()

    def is_ready(self) -> bool:
        """Whether all services are found alive."""
        return self._answers("/readyz")

    def listens(self) -> bool:
        """Whether it takes requests."""
        return self._answers("/healthz")

    def _answers(self, path: str) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"envoy ended: {(self.settings.state / 'envoy.log').read_text()}")
        try:
            with self.client() as client:
                return client.get(path).status_code == 200
        except httpx.HTTPError:
            return False


def _reason(call: Any) -> str:
    status = rpc_status.from_call(call)
    info = error_details_pb2.ErrorInfo()
    if status is None or not status.details or not status.details[0].Unpack(info):
        return ""
    return str(info.reason)


def _trust(ca: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(ca))


@contextmanager
def running_gateway(
    folder: Path, *, jwks: Answer | None = None, wait: bool = True, **changes: Any
) -> Iterator[Gateway]:
    """Envoy and four stand-ins for the length of the block.

    Args:
        folder: for its files.
        jwks: answers for the public keys, instead of ``Mesh.jwks``.
        wait: until it is ready; else until it listens.
        changes: settings. A service that is named here has no stand-in.
    """
    authority = make_ca(folder)
    peers = {name: issue(authority, name) for name in ("gateway", *(f"svc-{package}" for package in PACKAGES))}
    mesh = Mesh(keys=[TokenIssuer(kid="first")])
    mesh.answers[GET_JWKS] = jwks or mesh.jwks
    with ExitStack() as stack:
        targets = {
            package: f"127.0.0.1:{stack.enter_context(stand_in(mesh, package, peers[f'svc-{package}']))}"
            for package in PACKAGES
            if package not in changes
        }
        values: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": free_port(),
            "admin_port": free_port(),
            "keys_port": free_port(),
            "state": folder / "gateway",
            "tls_cert": peers["gateway"].cert,
            "tls_key": peers["gateway"].key,
            "peer_cert": peers["gateway"].cert,
            "peer_key": peers["gateway"].key,
            "peer_ca": authority.file,
            "descriptors": DESCRIPTORS,
            "web_root": None,
            "access_log": str(folder / "access.log"),
            "keys_cache_seconds": 1,
            **{package: (target,) for package, target in targets.items()},
            **changes,
        }
        settings = GatewaySettings(**values)
        config = write(settings)
        log = stack.enter_context((settings.state / "envoy.log").open("wb"))
        process = subprocess.Popen(command(config), stdout=log, stderr=subprocess.STDOUT)
        try:
            gateway = Gateway(settings, mesh, mesh.keys[0], authority, process)
            started = gateway.is_ready if wait else gateway.listens
            eventually(started, f"the gateway has started ({settings.state / 'envoy.log'})")
            yield gateway
        finally:
            process.kill()
            process.wait()
