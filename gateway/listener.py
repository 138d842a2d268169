"""What the gateway listens on: the one door to the network, and a loopback door to the public keys."""

from __future__ import annotations

from gateway import filters
from gateway.clusters import call, sds
from gateway.contract import JWKS_PATH, JWKS_SERVICE, Service
from gateway.replies import local_replies
from gateway.routes import virtual_host
from gateway.settings import GatewaySettings
from gateway.typed import Config, address, extension, seconds

# Headers by which we or Envoy tell who asks, or how a call is to be treated: never taken from outside.
# x-tenant-id is judged later, when the token is known.
OURS = (
    "x-request-id",
    "x-jwt-payload",
    "x-envoy-original-path",
    "x-envoy-upstream-rq-timeout-ms",
    "x-envoy-upstream-rq-per-try-timeout-ms",
    "x-envoy-retry-on",
    "x-envoy-retry-grpc-on",
    "x-envoy-max-retries",
    "x-envoy-expected-rq-timeout-ms",
    "x-envoy-hedge-on-per-try-timeout",
    "x-envoy-upstream-alt-stat-name",
)

# No query strings: the signature of a picture's address is a credential.
LOG_LINE = {
    "time": "%START_TIME%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "method": "%REQ(:METHOD)%",
    "path": "%PATH(NQ:ORIG_OR_PATH)%",
    "rpc": "%PATH(NQ:PATH)%",
    "status": "%RESPONSE_CODE%",
    "grpc_status": "%GRPC_STATUS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "flags": "%RESPONSE_FLAGS%",
    "milliseconds": "%DURATION%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "upstream": "%UPSTREAM_HOST%",
    "route": "%ROUTE_NAME%",
    "tenant_id": "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:jwt:tenant_id)%",
    "subject": "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:jwt:sub)%",
    "address": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
}


def edge(settings: GatewaySettings, services: tuple[Service, ...]) -> Config:
    """TLS, HTTP/2 and HTTP/1.1, for browsers, agents and everybody else."""
    manager = extension(
        "envoy.filters.network.http_connection_manager",
        "HttpConnectionManager",
        stat_prefix="edge",
        use_remote_address=True,
        # An id of our own for every request (see OURS): what comes from outside could be anything.
        generate_request_id=True,
        always_set_request_id_in_response=True,
        request_id_extension={"typed_config": extension("", "UuidRequestId", pack_trace_reason=False)["typed_config"]},
        server_header_transformation="OVERWRITE",
        server_name="footfall",
        normalize_path=True,
        merge_slashes=True,
        path_with_escaped_slashes_action="REJECT_REQUEST",
        stream_idle_timeout=seconds(settings.stream_idle_seconds),
        request_headers_timeout="10s",
        max_request_headers_kb=64,  # a token that names 500 sites has 25 KiB
        common_http_protocol_options={
            "idle_timeout": "3600s",
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        http2_protocol_options={
            "max_concurrent_streams": 200,
            "initial_stream_window_size": 1 << 20,
            "initial_connection_window_size": 4 << 20,
            "connection_keepalive": {"interval": "30s", "timeout": "10s"},
        },
        http_protocol_options={"enable_trailers": True},
        early_header_mutation_extensions=[
            extension("ours", "EarlyHeaderMutation", mutations=[{"remove": name} for name in OURS])
        ],
        local_reply_config=local_replies(),
        access_log=[_access_log(settings)],
        http_filters=filters.http_filters(settings, services),
        route_config={
            "name": "footfall",
            "max_direct_response_body_size_bytes": 1 << 20,
            "virtual_hosts": [virtual_host(settings, services)],
        },
    )
    tls = extension(
        "tls",
        "DownstreamTlsContext",
        common_tls_context={
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            "tls_certificate_sds_secret_configs": [sds(settings, "edge")],
        },
    )
    return {
        "name": "edge",
        "address": address(settings.host, settings.port),
        "per_connection_buffer_limit_bytes": 1 << 20,
        "filter_chains": [{"transport_socket": tls, "filters": [manager]}],
    }


def keys(settings: GatewaySettings, services: tuple[Service, ...]) -> Config:
    """The registry's JWK Set, for the token filter: GetJwks, transcoded."""
    auth = tuple(service for service in services if service.full_name == JWKS_SERVICE)
    manager = extension(
        "envoy.filters.network.http_connection_manager",
        "HttpConnectionManager",
        stat_prefix="keys",
        http_filters=[
            extension(filters.TRANSCODER, "Transcoder", **_fields(filters.transcoder(settings, auth))),
            extension("envoy.filters.http.router", "Router"),
        ],
        route_config={
            "virtual_hosts": [
                {
                    "name": "keys",
                    "domains": ["*"],
                    "routes": [
                        {"match": {"path": JWKS_PATH}, "route": call(settings, "registry")},
                        {"match": {"path": f"/{JWKS_SERVICE}/GetJwks"}, "route": call(settings, "registry")},
                    ],
                }
            ]
        },
    )
    return {
        "name": "keys",
        "address": address("127.0.0.1", settings.keys_port),
        "filter_chains": [{"filters": [manager]}],
    }


def _fields(config: Config) -> Config:
    return {name: value for name, value in config.items() if name != "@type"}


def _access_log(settings: GatewaySettings) -> Config:
    line = {"json_format": LOG_LINE, "omit_empty_values": True}
    return extension("file", "FileAccessLog", path=settings.access_log, log_format=line)
