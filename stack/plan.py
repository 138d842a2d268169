"""The mesh at one desk as nodes for the supervisor: what runs, with what, and what waits for what."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
from collections.abc import Sequence

import psutil

from gateway import render
from gateway.settings import GatewaySettings
from stack import admin, agents, certificates, oneshot, secrets
from stack.children import Child, Node, Step, python, tethered
from stack.environment import DATABASE, TOKEN_NAME, Database, Surroundings, base
from stack.health import GrpcHealth, http
from stack.ports import LOOPBACK, SERVICES
from stack.postgres import Postgres
from stack.up import Ensemble, Options

CLUSTER = "cluster"
POSTGRES = "postgres"
MIGRATIONS = "migrations"
"""Roles, the database and its schema (schema/bootstrap.py)."""
ADMIN = "first admin"
GATEWAY = "gateway"

_DRAIN_SECONDS = 1.0
_DRAIN_POLL_SECONDS = 0.05


async def compose(options: Options) -> Ensemble:
    """The whole mesh, with folders, secrets, certificates and the gateway's configuration laid out for it.

    Raises UnsafeSecretsError, PostgresError, ValueError, OSError.
    """
    around, postgres = await asyncio.to_thread(_lay_out, options)
    probes = {
        name: GrpcHealth(around.ports.service(name), service_name(name), around.tls("operator")) for name in SERVICES
    }
    nodes: list[Node] = []
    if postgres is not None:
        nodes += database(postgres)
    nodes.append(migrations(around, after=(POSTGRES,) if postgres is not None else ()))
    nodes += [_service(around, name, probe) for name, probe in probes.items()]
    nodes.append(_gateway(around))
    login = admin.load(around.home)
    if login is None or not login.made:
        nodes.append(_first_admin(around))
    return Ensemble(
        nodes=nodes,
        late=lambda: agents.children(around),
        gateway=around.gateway_url,
        closers=[probe.close for probe in probes.values()],
    )


def service_name(name: str) -> str:
    """registry → svc-registry: the peer, the child and its log."""
    return f"svc-{name}"


def surroundings(options: Options) -> tuple[Surroundings, Postgres | None]:
    """With the secrets, made now if this is the first start; and the embedded server, unless the operator has one."""
    kept = secrets.load_or_make(options.home)
    postgres = None
    if options.database_url is None:
        postgres = Postgres(options.home.postgres, options.ports.postgres, kept.superuser)
        database = Database.embedded(postgres.url(), options.ports.postgres)
    else:
        database = Database.named(options.database_url)
    return Surroundings(options.home, options.ports, kept, database, options.listen), postgres


def _lay_out(options: Options) -> tuple[Surroundings, Postgres | None]:
    around, postgres = surroundings(options)
    authority = certificates.make_ca(around.home.certificates)
    for peer in certificates.PEERS:
        certificates.issue(authority, peer, names=_reached_as(options.listen) if peer == GATEWAY else ())
    render.write(gateway_settings(around))
    return around, postgres


def _reached_as(listen: str) -> tuple[str, ...]:
    """Names and addresses by which agents and browsers of other machines may call this one."""
    if ipaddress.ip_address(listen).is_loopback:
        return ()
    addresses = [address for of in psutil.net_if_addrs().values() for address in of if address.family == socket.AF_INET]
    outside = [address.address for address in addresses if not ipaddress.ip_address(address.address).is_loopback]
    return (socket.gethostname(), *sorted(outside))


def database(postgres: Postgres) -> Sequence[Node]:
    """The embedded server, and before it its cluster."""

    async def prepare() -> None:
        await asyncio.to_thread(postgres.prepare)

    async def ready(pid: int) -> bool:
        return postgres.is_ready(pid)

    command = postgres.command()
    server = Child(
        name=POSTGRES,
        argv=command.argv,
        env=command.env,
        ready=ready,
        cwd=command.cwd,
        after=(CLUSTER,),
        stop_signal=command.stop_signal,
    )
    return [Step(CLUSTER, prepare), server]


def migrations(around: Surroundings, after: tuple[str, ...]) -> Step:
    """Roles, the database and its schema, made or brought up to date."""

    async def migrate() -> None:
        order = {
            "url": around.database.admin_url,
            "passwords": dict(around.secrets.roles),
            "database": DATABASE,
        }
        await oneshot.run(
            python("stack.migrate"), env=base(around.environ), cwd=around.home.root, stdin=json.dumps(order)
        )

    return Step(MIGRATIONS, migrate, after)


def _service(around: Surroundings, name: str, probe: GrpcHealth) -> Child:
    return Child(
        name=service_name(name),
        argv=python(f"svc_{name}"),
        env=around.service(name),
        ready=probe,
        cwd=around.home.root,
        after=(MIGRATIONS,),
    )


def _first_admin(around: Surroundings) -> Step:
    async def make() -> None:
        await admin.ensure(around)

    return Step(ADMIN, make, after=(MIGRATIONS,))


def gateway_settings(around: Surroundings) -> GatewaySettings:
    """What the gateway is told here."""

    def target(name: str) -> tuple[str, ...]:
        return (f"{LOOPBACK}:{around.ports.service(name)}",)

    tls = around.tls("gateway")
    return GatewaySettings(
        host=around.gateway_host,
        port=around.ports.gateway,
        admin_port=around.ports.gateway_admin,
        keys_port=around.ports.jwks,
        state=around.home.gateway,
        tls_cert=tls.cert,
        tls_key=tls.key,
        peer_cert=tls.cert,
        peer_key=tls.key,
        peer_ca=tls.ca,
        registry=target("registry"),
        ingest=target("ingest"),
        identity=target("identity"),
        reports=target("reports"),
        token_issuer=TOKEN_NAME,
        token_audience=TOKEN_NAME,
    )


def _gateway(around: Surroundings) -> Child:
    port = around.ports.gateway_admin

    async def ready(_: int) -> bool:
        return await http(port, "/ready") is not None and _all_healthy(await http(port, "/clusters?format=json"))

    async def drain() -> None:
        # Envoy's SIGTERM cuts open calls at once: close the listeners first, and let the short calls end.
        await http(port, "/drain_listeners?graceful", method="POST")
        async with asyncio.timeout(_DRAIN_SECONDS):
            while _busy(await http(port, "/stats?format=json&filter=downstream_rq_active")):  # noqa: ASYNC110
                await asyncio.sleep(_DRAIN_POLL_SECONDS)

    return Child(
        name=GATEWAY,
        argv=tethered(render.command(around.home.gateway / render.CONFIG, drain_seconds=1)),
        env=base(around.environ),
        ready=ready,
        cwd=around.home.root,
        # Its first health checks then find them up. It needs none of them to run.
        after=tuple(service_name(name) for name in SERVICES),
        before_stop=drain,
    )


def _all_healthy(clusters: bytes | None) -> bool:
    """Whether Envoy's active health checks find every endpoint up (admin interface, /clusters?format=json)."""
    try:
        statuses = json.loads(clusters or b"").get("cluster_statuses", [])
    except ValueError:
        return False
    healths = [host.get("health_status", {}) for status in statuses for host in status.get("host_statuses", [])]
    return not any(health.get("failed_active_health_check", False) for health in healths)


def _busy(stats: bytes | None) -> bool:
    """Whether calls are open (admin interface, /stats?format=json)."""
    try:
        return any(stat.get("value", 0) for stat in json.loads(stats or b"").get("stats", []))
    except ValueError:
        return False
