"""The filters that every request passes, in order."""

from __future__ import annotations

from pathlib import Path

from gateway.clusters import KEYS_CLUSTER, cluster_name
from gateway.contract import JWKS_PATH, PACKAGES, PUBLIC_RPCS, Service
from gateway.replies import error_info_table
from gateway.settings import GatewaySettings
from gateway.typed import Config, extension, seconds, typed

LUA = Path(__file__).resolve().parent / "lua"

HEALTH = "envoy.filters.http.health_check"
CORS = "envoy.filters.http.cors"
BUFFER = "envoy.filters.http.buffer"
TRANSCODER = "envoy.filters.http.grpc_json_transcoder"
JWT = "envoy.filters.http.jwt_authn"
RATE_LIMIT = "envoy.filters.http.local_ratelimit"
HEADERS = "envoy.filters.http.header_mutation"
FILES = "envoy.filters.http.file_server"

READY_PATH = "/readyz"
CLAIMS = "jwt"


def http_filters(settings: GatewaySettings, services: tuple[Service, ...]) -> list[Config]:
    """The chain. Responses pass it the other way round."""
    return [
        _ready(),
        extension("footfall.errors", "Lua", default_source_code=_errors_source()),
        extension(CORS, "Cors"),
        extension("envoy.filters.http.grpc_web", "GrpcWeb"),
        {**extension(BUFFER, "Buffer", max_request_bytes=settings.max_body_bytes), "disabled": True},
        {"name": TRANSCODER, "disabled": True, "typed_config": transcoder(settings, services)},
        extension(JWT, "Jwt", **_tokens(settings)),
        extension("footfall.tenant", "Lua", default_source_code={"inline_string": (LUA / "tenant.lua").read_text()}),
        extension(RATE_LIMIT, "LocalRateLimit", stat_prefix="off"),
        extension(HEADERS, "HeaderMutation", mutations={}),
        {**extension(FILES, "FileServer", manager_config=file_manager()), "disabled": True},
        extension("envoy.filters.http.router", "Router", suppress_envoy_headers=True),
    ]


def transcoder(settings: GatewaySettings, services: tuple[Service, ...], *, events: bool = False) -> Config:
    """JSON ↔ gRPC. ``events``: streams as server-sent events instead of a message a line."""
    streams = "stream_sse_style_delimited" if events else "stream_newline_delimited"
    return typed(
        "Transcoder",
        proto_descriptor=str(settings.state / "contracts.binpb"),
        services=[service.full_name for service in services],
        convert_grpc_status=True,
        print_options={"always_print_primitive_fields": True, streams: True},
        request_validation_options={
            "reject_unknown_method": True,
            "reject_unknown_query_parameters": True,
            "reject_binding_body_field_collisions": True,
        },
        max_request_body_size=settings.max_body_bytes,
    )


def file_manager() -> Config:
    """The threads that read the UI's files; one for all routes."""
    return {"id": "ui", "thread_pool": {"thread_count": 1}}


def tenant_rate(settings: GatewaySettings) -> Config:
    """Of a token's tenant; a system_admin's requests share one bucket."""
    claim = {"key": JWT, "path": [{"key": CLAIMS}, {"key": "tenant_id"}]}
    action = {
        "metadata": {
            "descriptor_key": "tenant",
            "source": "DYNAMIC",
            "default_value": "none",
            "metadata_key": claim,
        }
    }
    return _rate(
        "tenant", action, settings.tenant_requests_per_second, settings.tenant_burst, distinct=settings.tenants
    )


def address_rate(settings: GatewaySettings) -> Config:
    """Of a client address, where there is no token."""
    return _rate(
        "remote_address",
        {"remote_address": {}},
        settings.address_requests_per_second,
        settings.address_burst,
        distinct=settings.addresses,
    )


def off() -> Config:
    """Switches a filter off on a route."""
    return typed("FilterConfig", disabled=True)


def _rate(key: str, action: Config, per_second: int, burst: int, *, distinct: int) -> Config:
    """A token bucket for each value of ``key``: an entry without a value stands for any."""
    bucket = {"max_tokens": burst, "tokens_per_fill": per_second, "fill_interval": "1s"}
    return typed(
        "LocalRateLimit",
        stat_prefix=key,
        token_bucket={"max_tokens": 1_000_000, "tokens_per_fill": 1_000_000, "fill_interval": "1s"},
        always_consume_default_token_bucket=False,
        filter_enabled={"default_value": {"numerator": 100}},
        filter_enforced={"default_value": {"numerator": 100}},
        rate_limited_as_resource_exhausted=True,
        enable_x_ratelimit_headers="DRAFT_VERSION_03",
        enable_retry_after_header=True,
        max_dynamic_descriptors=distinct,
        rate_limits=[{"actions": [action]}],
        descriptors=[{"entries": [{"key": key}], "token_bucket": bucket}],
    )


def _tokens(settings: GatewaySettings) -> Config:
    """Verifies tokens with the registry's keys. Every contract needs one, but the public RPCs and gRPC's health."""
    provider: Config = {
        "issuer": settings.token_issuer,
        "audiences": [settings.token_audience],
        "require_expiration": True,
        "clock_skew_seconds": 5,
        "forward": True,  # services verify again
        "remote_jwks": {
            "http_uri": {
                "uri": f"http://127.0.0.1:{settings.keys_port}{JWKS_PATH}",
                "cluster": KEYS_CLUSTER,
                "timeout": "2s",
            },
            "cache_duration": seconds(settings.keys_cache_seconds),
            # Fetched ahead of need and kept while the registry is away. Without fast_listener the door would wait for
            # keys that come through it.
            "async_fetch": {"fast_listener": True, "failed_refetch_duration": "1s"},
        },
        "payload_in_metadata": CLAIMS,
    }
    rules: list[Config] = [
        *({"match": {"path": "/{}/{}".format(*rpc.rsplit(".", 1))}} for rpc in sorted(PUBLIC_RPCS)),
        {"match": {"prefix": "/footfall."}, "requires": {"provider_name": "footfall"}},
        {"match": {"prefix": "/grpc.reflection."}, "requires": {"provider_name": "footfall"}},
    ]
    return {"bypass_cors_preflight": True, "providers": {"footfall": provider}, "rules": rules}


def _ready() -> Config:
    """200 while each service has a live replica and the gateway is not draining, else 503."""
    path = {"name": ":path", "string_match": {"exact": READY_PATH}}
    return extension(
        HEALTH,
        "HealthCheck",
        pass_through_mode=False,
        headers=[path],
        cluster_min_healthy_percentages={cluster_name(package): {"value": 1} for package in PACKAGES},
    )


def _errors_source() -> Config:
    return {"inline_string": (LUA / "errors.lua").read_text().replace("__ERROR_INFO__", error_info_table())}
