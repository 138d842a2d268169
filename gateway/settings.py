"""What the gateway is told: ``FOOTFALL_GATEWAY_<NAME>`` in the environment, or arguments of GatewaySettings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parent.parent
MEBIBYTE = 1 << 20


def _is_target(target: str) -> str:
    host, separator, port = target.rpartition(":")
    if not host or not separator or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{target!r} is not host:port")
    return target


Target = Annotated[str, AfterValidator(_is_target)]
"""``host:port`` of one replica; the host may be a name or an address."""
Port = Annotated[int, Field(gt=0, lt=65536)]


class GatewaySettings(BaseSettings):
    """Everything that differs between two gateways. Immutable; lists are JSON in the environment."""

    model_config = SettingsConfigDict(env_prefix="FOOTFALL_GATEWAY_", frozen=True, extra="forbid")

    # -- where it listens ------------------------------------------------------------------------------------------
    host: str = "0.0.0.0"  # noqa: S104  the gateway is the one process that faces the network
    port: Port = 8443
    admin_port: Port = 8409
    """Envoy's own interface, on loopback: /ready, /stats/prometheus, /drain_listeners."""
    keys_port: Port = 8408
    """On loopback: the registry's public keys as plain HTTP, for the token filter (it cannot speak gRPC)."""

    # -- files -----------------------------------------------------------------------------------------------------
    state: Path = ROOT / ".footfall" / "gateway"
    """Its folder: the configuration and what it refers to are written here."""
    tls_cert: Path = Path("/etc/footfall/gateway/tls.crt")
    tls_key: Path = Path("/etc/footfall/gateway/tls.key")
    """What browsers and agents see. Renewed files are taken up without a restart."""
    peer_cert: Path = Path("/etc/footfall/peer/tls.crt")
    peer_key: Path = Path("/etc/footfall/peer/tls.key")
    """What services see: the certificate of the peer ``gateway``."""
    peer_ca: Path = Path("/etc/footfall/peer/ca.crt")
    """Who signs the mesh's certificates."""
    descriptors: Path = ROOT / "gen" / "footfall.binpb"
    """The contracts, as `make gen` writes them."""
    web_root: Path | None = ROOT / "web" / "dist"
    """The built UI; a plain page says so while there is none."""
    access_log: str = "/dev/stdout"

    # -- the mesh: every replica of each service -------------------------------------------------------------------
    registry: tuple[Target, ...] = ("127.0.0.1:8401",)
    ingest: tuple[Target, ...] = ("127.0.0.1:8402",)
    identity: tuple[Target, ...] = ("127.0.0.1:8403",)
    reports: tuple[Target, ...] = ("127.0.0.1:8404",)

    # -- tokens ----------------------------------------------------------------------------------------------------
    token_issuer: str = "footfall"  # noqa: S105  a name
    token_audience: str = "footfall"  # noqa: S105  a name
    keys_cache_seconds: Annotated[int, Field(ge=1, le=60)] = 30
    """How old a public key may be here: the registry publishes a new one 60 s before its first use."""

    # -- browsers of other origins ---------------------------------------------------------------------------------
    cors_origins: tuple[str, ...] = ()

    # -- limits ----------------------------------------------------------------------------------------------------
    tenant_requests_per_second: Annotated[int, Field(ge=1)] = 200
    tenant_burst: Annotated[int, Field(ge=1)] = 400
    tenants: Annotated[int, Field(ge=1)] = 10_000
    """As many tenants have a rate of their own at once; the least recently seen are forgotten."""
    address_requests_per_second: Annotated[int, Field(ge=1)] = 50
    address_burst: Annotated[int, Field(ge=1)] = 200
    """Without a token (signing in, pictures), each client address has a rate."""
    addresses: Annotated[int, Field(ge=1)] = 10_000
    connections: Annotated[int, Field(ge=1)] = 20_000
    """From outside, at once."""
    streams: Annotated[int, Field(ge=1)] = 20_000
    """Open requests to one service at once: every worker holds several for ever."""
    max_body_bytes: Annotated[int, Field(ge=1)] = 33 * MEBIBYTE
    """Of a JSON request: the largest message that a service takes, 24 MiB, in base64: it names the field at fault."""
    rpc_timeout_seconds: Annotated[int, Field(ge=1)] = 60
    """Of a call that is not a stream."""
    stream_idle_seconds: Annotated[int, Field(ge=1)] = 300
    """Of everything but the streams that are meant to stay open."""

    def targets(self, package: str) -> tuple[Target, ...]:
        """The replicas that serve ``footfall.<package>.v1``."""
        replicas: dict[str, tuple[Target, ...]] = {
            "registry": self.registry,
            "ingest": self.ingest,
            "identity": self.identity,
            "reports": self.reports,
        }
        return replicas[package]
