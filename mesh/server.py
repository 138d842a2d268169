"""A service's life: NOT_SERVING → SERVING → graceful end.

`__main__.py` of every service:

    from mesh.server import main
    from svc_ingest.settings import IngestSettings
    from svc_ingest.wiring import build

    if __name__ == "__main__":
        main("svc-ingest", IngestSettings, build)

`wiring.py` of every service:

    @asynccontextmanager
    async def build(settings: IngestSettings, clock: Clock, ids: Ids) -> AsyncIterator[Service]:
        async with Database.connect(settings.database_url.get_secret_value(), …) as database:
            yield Service(mounts=[…], policy=POLICY, verifier=…, revocations=…, checks={"database": database.check}, …)

`build` must not need another process: services start in any order, and serve when their checks pass.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import structlog
import uvloop
from footfall.type.v1 import problem_pb2
from grpc_channelz.v1 import channelz
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection

from mesh import telemetry
from mesh.access import Policy, check_complete
from mesh.auth import POLL_SECONDS, Revocations, TokenVerifier
from mesh.clock import Clock, SystemClock
from mesh.errors import MeshError, Unavailable
from mesh.ids import Ids, SystemIds
from mesh.interceptors import CrossTenant, chain
from mesh.metrics_http import MetricsServer
from mesh.mounts import Mount, generic_handler, unbuilt
from mesh.settings import ServiceSettings, SettingsError, SettingsT, describe, load
from mesh.streams import OpenStreams
from mesh.tasks import Background, Supervisor
from mesh.tls import Tls

__all__ = ["Mount", "Service", "main", "running", "serve", "unbuilt"]

MIB: Final = 1024 * 1024
GRACE_SECONDS: Final = 15.0  # open calls may go on so long after the stop
DRAIN_SECONDS: Final = 5.0  # the drain hooks together
CHECK_SECONDS: Final = 1.0  # between two rounds of readiness checks
CHECK_TIMEOUT_SECONDS: Final = 3.0  # of one check
EX_CONFIG: Final = 78  # sysexits.h: the configuration is wrong
EX_UNAVAILABLE: Final = 69  # … or an address is taken

_log = structlog.get_logger(__name__)

Check = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Service:
    """What wiring.py hands to the server.

    Attributes:
        mounts: the gRPC services.
        policy: one rule per RPC of the mounts; the server does not start on a gap.
        verifier: of tokens.
        revocations: polled while the server runs; None where there are none.
        checks: readiness by name; each raises while its dependency is away. All pass: SERVING.
        background: loops that run while the server does.
        on_drain: awaited when the end begins, before streams are ended: the place for a GoAway.
        on_cross_tenant: told when a system_admin looks into a tenant: the place for the audit.
        reflected: services that reflection names beside the mounts, their modules imported: the registry's tells of
            every service that the gateway routes, because the gateway asks no other.
        max_receive_bytes: of one message; ingest takes 24 MiB, so that a snapshot that is too large is one event's
            problem and not its stream's.
        max_concurrent_rpcs: calls and streams at once; the rest gets RESOURCE_EXHAUSTED.
    """

    mounts: Sequence[Mount]
    policy: Policy
    verifier: TokenVerifier
    revocations: Revocations | None = None
    checks: Mapping[str, Check] = field(default_factory=dict)
    background: Sequence[Background] = ()
    on_drain: Sequence[Callable[[], Awaitable[None]]] = ()
    on_cross_tenant: CrossTenant | None = None
    reflected: Sequence[str] = ()
    max_receive_bytes: int = 4 * MIB
    max_concurrent_rpcs: int = 10_000


class Server:
    """One gRPC server with its health, metrics and background work. `start`, then `stop`.

    Args:
        service: what is served.
        listen: host:port; port 0 lets the system choose.
        tls: this peer's key material; every client must show a certificate of the same CA.
        clock: of expiry and of background work.
        metrics_listen: host:port of /metrics and /healthz; None: not served.

    Raises:
        IncompletePolicyError: an RPC without a rule, or a rule without an RPC.
    """

    def __init__(
        self, service: Service, *, listen: str, tls: Tls, clock: Clock, metrics_listen: str | None = None
    ) -> None:
        check_complete(service.policy, [mount.service for mount in service.mounts])
        self._service = service
        self._listen = listen
        self._tls = tls
        self._metrics_listen = metrics_listen
        self._metrics: MetricsServer | None = None
        self._supervisor = Supervisor(clock)
        self._streams = OpenStreams(service.revocations, clock)
        self._health = health_aio.HealthServicer()
        self._ready = asyncio.Event()
        self._failing: frozenset[str] | None = None
        self._server: Any = None
        self._stopping: asyncio.Task[None] | None = None
        self.port = 0

    @property
    def streams(self) -> OpenStreams:
        """The streams that are open now."""
        return self._streams

    @property
    def metrics_port(self) -> int:
        """Where /metrics is served; 0 when it is not."""
        return self._metrics.port if self._metrics is not None else 0

    async def start(self) -> None:
        """Listens. Health says NOT_SERVING until every check has passed.

        Raises:
            RuntimeError, OSError: an address is taken.
        """
        service = self._service
        self._server = grpc.aio.server(
            interceptors=chain(
                service.policy, service.verifier, service.revocations, self._streams, service.on_cross_tenant
            ),
            options=_options(service.max_receive_bytes),
            maximum_concurrent_rpcs=service.max_concurrent_rpcs,
        )
        descriptors = [mount.service for mount in service.mounts]
        self._server.add_generic_rpc_handlers([generic_handler(mount) for mount in service.mounts])
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        channelz.add_channelz_servicer(self._server)
        names = [descriptor.full_name for descriptor in (*descriptors, *_INFRASTRUCTURE)]
        reflection.enable_server_reflection([*names, *service.reflected, reflection.SERVICE_NAME], self._server)
        await self._announce(serving=False)
        self.port = self._server.add_secure_port(self._listen, self._tls.server_credentials())
        if self._metrics_listen is not None:
            self._metrics = MetricsServer(self._metrics_listen, lambda: self.is_ready)
        await self._server.start()
        self._supervisor.every(CHECK_SECONDS, "readiness", self._check)
        self._supervisor.every(POLL_SECONDS, "streams", self._streams.look)
        if service.revocations is not None:
            self._supervisor.every(POLL_SECONDS, "revocations", service.revocations.refresh)
        for background in service.background:
            self._supervisor.start(background)
        _log.info(
            "listening", address=self._listen, port=self.port, services=names, unbuilt=len(unbuilt(service.mounts))
        )

    @property
    def is_ready(self) -> bool:
        """Whether health says SERVING."""
        return self._ready.is_set()

    async def ready(self) -> None:
        """Waits until health says SERVING."""
        await self._ready.wait()

    async def stop(self, grace: float = GRACE_SECONDS) -> None:
        """The graceful end: health says NOT_SERVING, streams hear GoAway and end, unary calls finish, work stops.

        Args:
            grace: seconds that open calls may still take.

        Safe to call again: whoever calls later waits for the first.
        """
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(grace))
        await asyncio.shield(self._stopping)

    async def _stop(self, grace: float) -> None:
        _log.info("stopping", streams=len(self._streams))
        self._ready.clear()
        await self._health.enter_graceful_shutdown()
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                for hook in self._service.on_drain:
                    await hook()
        except Exception:  # noqa: BLE001 (a hook that fails or hangs must not keep the process alive)
            _log.exception("drain_failed")
        if self._server is not None:
            stopping = asyncio.create_task(self._server.stop(grace))
            self._streams.end_all(
                Unavailable("this replica stops: another answers", reason=problem_pb2.ERROR_REASON_SHUTTING_DOWN)
            )
            await stopping
        await self._supervisor.stop()
        if self._metrics is not None:
            await asyncio.to_thread(self._metrics.stop)
        _log.info("stopped")

    async def _announce(self, *, serving: bool) -> None:
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for mount in self._service.mounts:
            await self._health.set(mount.service.full_name, status)
        await self._health.set("", status)

    async def _check(self) -> None:
        results = await asyncio.gather(*(_passes(check) for check in self._service.checks.values()))
        failing = frozenset(name for name, passed in zip(self._service.checks, results, strict=True) if not passed)
        if failing == self._failing:
            return
        self._failing = failing
        _log.info("readiness", serving=not failing, failing=sorted(failing))
        await self._announce(serving=not failing)
        if failing:
            self._ready.clear()
        else:
            self._ready.set()


async def _passes(check: Check) -> bool:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            await check()
    except (MeshError, OSError, TimeoutError, grpc.RpcError) as error:
        _log.debug("check_failed", error=type(error).__name__)
        return False
    except Exception:  # noqa: BLE001 (a check that fails in a way nobody foresaw has failed all the same)
        _log.exception("check_broken")
        return False
    return True


@asynccontextmanager
async def running(
    service: Service,
    *,
    tls: Tls,
    listen: str = "127.0.0.1:0",
    clock: Clock | None = None,
    metrics_listen: str | None = None,
    grace: float = GRACE_SECONDS,
) -> AsyncIterator[Server]:
    """A server for the length of the block, SERVING when it is entered: tests and tools."""
    server = Server(service, listen=listen, tls=tls, clock=clock or SystemClock(), metrics_listen=metrics_listen)
    try:
        await server.start()
        await server.ready()
        yield server
    finally:
        await server.stop(grace)


async def serve(service: Service, settings: ServiceSettings, clock: Clock) -> None:
    """Serves until SIGTERM or SIGINT, then ends gracefully. A second signal ends at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = Server(
        service,
        listen=settings.listen,
        tls=Tls.of(settings),
        clock=clock,
        metrics_listen=settings.metrics_listen,
    )
    try:
        await server.start()
        await stop.wait()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        await server.stop()


Build = Callable[[SettingsT, Clock, Ids], AbstractAsyncContextManager[Service]]


def main(name: str, settings_type: type[SettingsT], build: Build[SettingsT], argv: Sequence[str] | None = None) -> None:
    """A service's whole program. `--check-config` validates and prints the settings, secrets hidden, and exits.

    Exits with 78 when the settings are wrong, each variable named on standard error; 69 when an address is taken.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {name.replace('-', '_')}", description=f"Footfall's {name}")
    parser.add_argument("--check-config", action="store_true", help="validate the settings, print them, and exit")
    arguments = parser.parse_args(argv)
    try:
        settings = load(settings_type)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(EX_CONFIG)
    if arguments.check_config:
        sys.stdout.write(f"{describe(settings)}\n")
        return
    telemetry.configure_logging(name, settings.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(settings, build))


async def _run(settings: SettingsT, build: Build[SettingsT]) -> None:
    if not isinstance(settings, ServiceSettings):
        msg = "a service's settings are ServiceSettings"
        raise TypeError(msg)
    clock = SystemClock()
    async with build(settings, clock, SystemIds()) as service:
        try:
            await serve(service, settings, clock)
        except (RuntimeError, OSError) as error:
            if "bind" not in str(error).lower() and "address" not in str(error).lower():
                raise
            _log.error("address_taken", listen=settings.listen, metrics_listen=settings.metrics_listen)
            sys.exit(EX_UNAVAILABLE)


_INFRASTRUCTURE: Final[tuple[Any, ...]] = (health_pb2.DESCRIPTOR.services_by_name["Health"],)


def _options(max_receive_bytes: int) -> list[tuple[str, Any]]:
    """What keeps connections alive, and a server alive under a storm of them (measured; each of these acts)."""
    return [
        ("grpc.max_receive_message_length", max_receive_bytes),
        ("grpc.max_send_message_length", 32 * MIB),
        ("grpc.max_metadata_size", 64 * 1024),  # a token that names 500 sites has 25 KB
        ("grpc.so_reuseport", 0),  # a port that is taken is an error, not half of the calls
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ("grpc.http2.ping_timeout_ms", 10_000),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.server.max_pending_requests", 20_000),
        ("grpc.server.max_pending_requests_hard_limit", 30_000),
        ("grpc.enable_channelz", 1),
    ]
