"""The services behind the gateway: who they are, whether they live, how often a call is tried."""

from __future__ import annotations

import ipaddress

from gateway.contract import PACKAGES
from gateway.settings import GatewaySettings
from gateway.typed import Config, address, extension, seconds, typed

KEYS_CLUSTER = "keys"


def cluster_name(package: str) -> str:
    """The peer that serves a package; also its certificate's name."""
    return f"svc-{package}"


def clusters(settings: GatewaySettings) -> list[Config]:
    """One cluster per service, and the gateway's own listener of public keys."""
    keys: Config = {
        "name": KEYS_CLUSTER,
        "type": "STATIC",
        "load_assignment": _assignment(KEYS_CLUSTER, (f"127.0.0.1:{settings.keys_port}",)),
    }
    return [*(_service(settings, package) for package in PACKAGES), keys]


def _service(settings: GatewaySettings, package: str) -> Config:
    name = cluster_name(package)
    targets = settings.targets(package)
    return {
        "name": name,
        "type": "STATIC" if all(_is_ip(target) for target in targets) else "STRICT_DNS",
        "connect_timeout": "2s",
        "lb_policy": "LEAST_REQUEST",
        "load_assignment": _assignment(name, targets),
        "circuit_breakers": {
            "thresholds": [{"max_requests": settings.streams, "max_pending_requests": 1024, "max_retries": 100}]
        },
        # A replica that answers 503 three times in a row rests; gRPC errors of a service that works are not counted.
        "outlier_detection": {
            "consecutive_gateway_failure": 3,
            "enforcing_consecutive_gateway_failure": 100,
            "consecutive_5xx": 0,
            "enforcing_consecutive_5xx": 0,
            "interval": "1s",
            "base_ejection_time": "10s",
            "max_ejection_percent": 50,
        },
        "health_checks": [
            {
                "timeout": "2s",
                "interval": "2s",
                "no_traffic_interval": "2s",
                "unhealthy_interval": "1s",
                "unhealthy_threshold": 2,
                "healthy_threshold": 1,
                "always_log_health_check_failures": False,
                # The empty name: the process as a whole.
                "grpc_health_check": {"service_name": ""},
            }
        ],
        # Every replica is in rotation until its first check, so that a start needs no waiting.
        "ignore_health_on_host_removal": True,
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": typed(
                "HttpProtocolOptions",
                explicit_http_config={
                    "http2_protocol_options": {"connection_keepalive": {"interval": "30s", "timeout": "10s"}}
                },
            )
        },
        "transport_socket": extension(
            "tls",
            "UpstreamTlsContext",
            sni=name,
            common_tls_context={
                "alpn_protocols": ["h2"],
                "tls_certificate_sds_secret_configs": [sds(settings, "peer")],
                "combined_validation_context": {
                    "default_validation_context": {
                        "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": name}}]
                    },
                    "validation_context_sds_secret_config": sds(settings, "peer_ca"),
                },
            },
        ),
    }


def sds(settings: GatewaySettings, name: str) -> Config:
    """A secret that is read from a file of the state folder, and read again when the certificate's folder changes."""
    path = str(settings.state / f"{name}.yaml")
    return {"name": name, "sds_config": {"resource_api_version": "V3", "path_config_source": {"path": path}}}


def secrets(settings: GatewaySettings) -> dict[str, Config]:
    """File name → content of the secrets that :func:`sds` refers to. They hold paths, no key material."""

    def certificate(name: str, cert: object, key: object, folder: object) -> Config:
        return _secret(
            name,
            tls_certificate={
                "certificate_chain": {"filename": str(cert)},
                "private_key": {"filename": str(key)},
                "watched_directory": {"path": str(folder)},
            },
        )

    authority = _secret(
        "peer_ca",
        validation_context={
            "trusted_ca": {"filename": str(settings.peer_ca)},
            "watched_directory": {"path": str(settings.peer_ca.parent)},
        },
    )
    return {
        "edge.yaml": certificate("edge", settings.tls_cert, settings.tls_key, settings.tls_cert.parent),
        "peer.yaml": certificate("peer", settings.peer_cert, settings.peer_key, settings.peer_cert.parent),
        "peer_ca.yaml": authority,
    }


def _secret(name: str, **content: Config) -> Config:
    return {"resources": [typed("Secret", name=name, **content)]}


def retries() -> Config:
    """Once more, elsewhere, when the request cannot have reached a handler."""
    return {
        "retry_on": "connect-failure,refused-stream",
        "num_retries": 3,
        "retry_back_off": {"base_interval": "0.05s", "max_interval": "0.5s"},
        "retry_host_predicate": [extension("envoy.retry_host_predicates.previous_hosts", "PreviousHosts")],
        "host_selection_retry_max_attempts": 3,
    }


def call(settings: GatewaySettings, package: str) -> Config:
    """A route's action: one call that ends."""
    timeout = seconds(settings.rpc_timeout_seconds)
    return {"cluster": cluster_name(package), "timeout": timeout, "retry_policy": retries()}


def stream(package: str, idle_seconds: float = 0) -> Config:
    """A route's action: a call without a time limit, and by default without one on silence either."""
    return {
        "cluster": cluster_name(package),
        "timeout": "0s",
        "idle_timeout": seconds(idle_seconds),
        "retry_policy": retries(),
    }


def _assignment(name: str, targets: tuple[str, ...]) -> Config:
    endpoints = []
    for target in targets:
        host, _, port = target.rpartition(":")
        endpoints.append({"endpoint": {"address": address(host.strip("[]"), int(port))}})
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]}


def _is_ip(target: str) -> bool:
    try:
        ipaddress.ip_address(target.rpartition(":")[0].strip("[]"))
    except ValueError:
        return False
    return True
