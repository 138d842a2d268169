"""Envoy's messages by short names, so that the configuration reads as what it does."""

from __future__ import annotations

from typing import Any

Config = dict[str, Any]

TYPES = {
    "HttpConnectionManager": "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    "DownstreamTlsContext": "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
    "UpstreamTlsContext": "extensions.transport_sockets.tls.v3.UpstreamTlsContext",
    "Secret": "extensions.transport_sockets.tls.v3.Secret",
    "HttpProtocolOptions": "extensions.upstreams.http.v3.HttpProtocolOptions",
    "EarlyHeaderMutation": "extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
    "UuidRequestId": "extensions.request_id.uuid.v3.UuidRequestIdConfig",
    "FileAccessLog": "extensions.access_loggers.file.v3.FileAccessLog",
    "CelFilter": "extensions.access_loggers.filters.cel.v3.ExpressionFilter",
    "HealthCheck": "extensions.filters.http.health_check.v3.HealthCheck",
    "Lua": "extensions.filters.http.lua.v3.Lua",
    "Cors": "extensions.filters.http.cors.v3.Cors",
    "CorsPolicy": "extensions.filters.http.cors.v3.CorsPolicy",
    "GrpcWeb": "extensions.filters.http.grpc_web.v3.GrpcWeb",
    "Buffer": "extensions.filters.http.buffer.v3.Buffer",
    "BufferPerRoute": "extensions.filters.http.buffer.v3.BufferPerRoute",
    "Transcoder": "extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
    "Jwt": "extensions.filters.http.jwt_authn.v3.JwtAuthentication",
    "LocalRateLimit": "extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
    "HeaderMutation": "extensions.filters.http.header_mutation.v3.HeaderMutation",
    "HeaderMutationPerRoute": "extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute",
    "FileServer": "extensions.filters.http.file_server.v3.FileServerConfig",
    "Router": "extensions.filters.http.router.v3.Router",
    "FilterConfig": "config.route.v3.FilterConfig",
    "PreviousHosts": "extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
    "Connections": "extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
}


def typed(kind: str, /, **fields: Any) -> Config:
    """A ``typed_config`` of the kind that TYPES names."""
    return {"@type": f"type.googleapis.com/envoy.{TYPES[kind]}", **fields}


def extension(name: str, kind: str, /, **fields: Any) -> Config:
    """A named extension with its ``typed_config``."""
    return {"name": name, "typed_config": typed(kind, **fields)}


def address(host: str, port: int) -> Config:
    """A TCP socket's address."""
    return {"socket_address": {"address": host, "port_value": port}}


def seconds(count: float) -> str:
    """A duration."""
    return f"{count:g}s"
