"""Where a request goes: JSON to the transcoder and then, as gRPC, to the service that the contract's package names."""

from __future__ import annotations

from collections.abc import Iterator

from gateway import filters
from gateway.clusters import call, stream
from gateway.contract import PUBLIC_RPCS, Service
from gateway.settings import GatewaySettings
from gateway.typed import Config, typed

JSON_PREFIX = "/v1/"
GET_OR_HEAD = {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}}

CONTENT_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "ico": "image/x-icon",
    "js": "text/javascript; charset=utf-8",
    "json": "application/json",
    "map": "application/json",
    "png": "image/png",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
    "webmanifest": "application/manifest+json",
    "woff2": "font/woff2",
}
PAGE_SECURITY = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' blob: data:; style-src 'self' 'unsafe-inline';"
        " object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}
# Answers are people's doings, pictures of faces among them: no cache keeps one, and no browser guesses what it is.
ANSWER_SECURITY = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
NO_UI = """<!doctype html><meta charset="utf-8"><title>Footfall</title>
<p>The gateway is up. Its user interface has not been built on this machine.</p>
"""


def virtual_host(settings: GatewaySettings, services: tuple[Service, ...]) -> Config:
    """All routes. Each tenant's rate holds wherever no route says otherwise."""
    return {
        "name": "footfall",
        "domains": ["*"],
        "typed_per_filter_config": {
            filters.CORS: _cors(settings),
            filters.RATE_LIMIT: filters.tenant_rate(settings),
        },
        "response_headers_to_add": [
            {"header": {"key": name, "value": value}, "append_action": "ADD_IF_ABSENT"}
            for name, value in ANSWER_SECURITY.items()
        ],
        "routes": [
            *_json(settings, services),
            *(route for service in services for route in _service(settings, service)),
            *_grpc_utilities(settings),
            *_user_interface(settings),
        ],
    }


def _json(settings: GatewaySettings, services: tuple[Service, ...]) -> Iterator[Config]:
    """Only until the transcoder has found the RPC; then the request is routed anew by its path."""
    body = typed("BufferPerRoute", buffer={"max_request_bytes": settings.max_body_bytes})
    wants_events = {"name": "accept", "string_match": {"contains": "text/event-stream"}}
    for name, headers, events in (("json-events", [wants_events], True), ("json", [], False)):
        yield {
            "name": name,
            "match": {"prefix": JSON_PREFIX, **({"headers": headers} if headers else {})},
            "route": call(settings, "registry"),
            "typed_per_filter_config": {
                filters.TRANSCODER: filters.transcoder(settings, services, events=events),
                filters.BUFFER: body,
            },
        }


def _service(settings: GatewaySettings, service: Service) -> Iterator[Config]:
    """Streams and public RPCs one by one, the rest by the service's name."""
    for method in service.methods:
        is_public = f"{service.full_name}.{method.name}" in PUBLIC_RPCS
        if not (method.is_stream or is_public):
            continue
        action = call(settings, service.package)
        if method.is_stream:
            action = stream(service.package, settings.stream_idle_seconds if method.is_download else 0)
        route: Config = {
            "name": f"{service.full_name}.{method.name}",
            "match": {"path": f"/{service.full_name}/{method.name}"},
            "route": action,
        }
        if is_public:
            route["typed_per_filter_config"] = {filters.RATE_LIMIT: filters.address_rate(settings)}
        yield route
    yield {
        "name": service.full_name,
        "match": {"prefix": f"/{service.full_name}/"},
        "route": call(settings, service.package),
    }


def _grpc_utilities(settings: GatewaySettings) -> Iterator[Config]:
    """Reflection and health are every server's; the registry's stand for the mesh."""
    yield {
        "name": "reflection",
        "match": {"prefix": "/grpc.reflection."},
        "route": stream("registry", settings.stream_idle_seconds),
    }
    yield {
        "name": "health",
        "match": {"prefix": "/grpc.health.v1.Health/"},
        "route": stream("registry", settings.stream_idle_seconds),
        "typed_per_filter_config": {filters.RATE_LIMIT: filters.address_rate(settings)},
    }


def _user_interface(settings: GatewaySettings) -> Iterator[Config]:
    """The built files; any other address is the page itself, which routes in the browser."""
    unlimited = {filters.RATE_LIMIT: filters.off()}
    yield {
        "name": "healthz",
        "match": {"path": "/healthz"},
        "direct_response": {"status": 200, "body": {"inline_string": "ok\n"}},
        "typed_per_filter_config": unlimited,
    }
    root = settings.web_root
    page: Config = {"inline_string": NO_UI}
    if root is not None and (root / "index.html").is_file():
        page = {"filename": str(root / "index.html"), "watched_directory": {"path": str(root)}}
        for name, match, request_prefix, folder, cache in (
            ("ui-assets", {"prefix": "/assets/"}, "/assets/", f"{root}/assets/", "public, max-age=31536000, immutable"),
            ("ui-files", {"safe_regex": {"regex": r"/[\w-]+\.[a-z0-9.]+"}}, "/", f"{root}/", "no-cache"),
        ):
            yield {
                "name": name,
                "match": {**match, "headers": [GET_OR_HEAD]},
                "direct_response": {"status": 404},
                "typed_per_filter_config": {
                    **unlimited,
                    filters.FILES: typed(
                        "FileServer",
                        manager_config=filters.file_manager(),
                        path_mappings=[{"request_path_prefix": request_prefix, "file_path_prefix": folder}],
                        content_types=CONTENT_TYPES,
                        default_content_type="application/octet-stream",
                    ),
                    filters.HEADERS: _response_headers({"cache-control": cache, **PAGE_SECURITY}),
                },
            }
    yield {
        "name": "ui",
        "match": {"prefix": "/", "headers": [GET_OR_HEAD]},
        "direct_response": {"status": 200, "body": page},
        "typed_per_filter_config": {
            **unlimited,
            filters.HEADERS: _response_headers(
                {"content-type": "text/html; charset=utf-8", "cache-control": "no-cache", **PAGE_SECURITY}
            ),
        },
    }
    yield {
        "name": "nothing",
        "match": {"prefix": "/"},
        "direct_response": {"status": 404, "body": {"inline_string": "no such method"}},
        "typed_per_filter_config": unlimited,
    }


def _response_headers(headers: dict[str, str]) -> Config:
    mutations = [
        {"append": {"append_action": "OVERWRITE_IF_EXISTS_OR_ADD", "header": {"key": name, "value": value}}}
        for name, value in headers.items()
    ]
    return typed("HeaderMutationPerRoute", mutations={"response_mutations": mutations})


def _cors(settings: GatewaySettings) -> Config:
    return typed(
        "CorsPolicy",
        allow_origin_string_match=[{"exact": origin} for origin in settings.cors_origins],
        allow_methods="GET, POST, PUT, PATCH, DELETE, OPTIONS",
        allow_headers="authorization,content-type,x-grpc-web,x-user-agent,grpc-timeout,x-tenant-id",
        expose_headers="grpc-status,grpc-message,grpc-status-details-bin,x-request-id,retry-after",
        max_age="86400",
        forward_not_matching_preflights=False,
    )
