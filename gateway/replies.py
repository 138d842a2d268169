"""What the gateway answers by itself: errors in the shape of google.rpc.Status, and the plain page without a UI."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass

from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from gateway.typed import Config, extension

DOMAIN = "footfall"
ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"


@dataclass(frozen=True)
class Refusal:
    """One kind of refusal: how it is recognised, and what is answered."""

    http: int
    """Envoy's own status."""
    code: int
    """google.rpc.Code."""
    reason: str
    """An ErrorReason without its prefix; empty when Envoy cannot know."""
    details: str = ""
    """Part of Envoy's response code details; empty: any."""
    answer_http: int | None = None
    """Another HTTP status than Envoy's."""


TOKEN_INVALID = (
    "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections",
    "Jwt header is an invalid Base64url encoded",
    "Jwt header is an invalid JSON",
    "Jwt header [alg] field is required and must be a string",
    "Jwt header [alg] is not supported",
    "Jwt payload is an invalid Base64url encoded",
    "Jwt payload is an invalid JSON",
    "Jwt signature is an invalid Base64url encoded",
    "Jwt verification fails",
    "Jwt issuer is not configured",
    "Jwt not yet valid",
    "Jwks doesn't have key to match kid or alg from Jwt",
    "Audiences in Jwt are not allowed",
    "Missing exp claim",
)
MESSAGES = {
    **dict.fromkeys(TOKEN_INVALID, (code_pb2.UNAUTHENTICATED, "TOKEN_INVALID")),
    "Jwt is missing": (code_pb2.UNAUTHENTICATED, "TOKEN_MISSING"),
    "Jwt is expired": (code_pb2.UNAUTHENTICATED, "TOKEN_EXPIRED"),
    "Jwks remote fetch is failed": (code_pb2.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE"),
    "local_rate_limited": (code_pb2.RESOURCE_EXHAUSTED, "RATE_LIMITED"),
}
"""The filters' words, which gRPC callers get as their status message, and what they mean."""

REFUSALS = (
    Refusal(401, code_pb2.UNAUTHENTICATED, "TOKEN_MISSING", "Jwt_is_missing"),
    Refusal(401, code_pb2.UNAUTHENTICATED, "TOKEN_EXPIRED", "Jwt_is_expired"),
    Refusal(401, code_pb2.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", "Jwks_remote_fetch", answer_http=503),
    Refusal(401, code_pb2.UNAUTHENTICATED, "TOKEN_INVALID"),
    # Envoy calls a wrong audience 403; to us it is a token that is not ours.
    Refusal(403, code_pb2.UNAUTHENTICATED, "TOKEN_INVALID", "jwt_authn", answer_http=401),
    Refusal(400, code_pb2.INVALID_ARGUMENT, "INVALID_FIELD"),
    Refusal(404, code_pb2.NOT_FOUND, "NOT_FOUND"),
    Refusal(413, code_pb2.INVALID_ARGUMENT, "PAYLOAD_TOO_LARGE"),
    Refusal(429, code_pb2.RESOURCE_EXHAUSTED, "RATE_LIMITED"),
    Refusal(503, code_pb2.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE"),
    Refusal(504, code_pb2.DEADLINE_EXCEEDED, ""),
)


def local_replies() -> Config:
    """JSON bodies for JSON callers; gRPC callers have their status in headers, and no body."""
    for_json = [_mapper(refusal, f"footfall.json_{index}") for index, refusal in enumerate(REFUSALS)]
    for_grpc = [
        {"filter": _all([*_signs(refusal, f"footfall.grpc_{index}")]), "status_code": refusal.answer_http}
        for index, refusal in enumerate(REFUSALS)
        if refusal.answer_http is not None
    ]
    return {"mappers": [*for_json, _other(), *for_grpc]}


def error_info_table() -> str:
    """A Lua table from the filters' messages to ``grpc-status-details-bin``."""
    rows = [f'  ["{message}"] = "{_details(message, *meaning)}",' for message, meaning in MESSAGES.items()]
    return "\n".join(["{", *rows, "}"])


def _details(message: str, code: int, reason: str) -> str:
    info = any_pb2.Any()
    info.Pack(error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN))
    status = status_pb2.Status(code=code, message=message, details=[info])
    return base64.b64encode(status.SerializeToString(deterministic=True)).decode().rstrip("=")


def _mapper(refusal: Refusal, key: str) -> Config:
    info = {
        "@type": ERROR_INFO,
        "reason": refusal.reason,
        "domain": DOMAIN,
        "metadata": {"request_id": "%REQ(X-REQUEST-ID)%"},
    }
    mapper: Config = {
        "filter": _all([*_signs(refusal, key), _speaks_json()]),
        "body_format_override": _body(refusal.code, [info] if refusal.reason else []),
    }
    if refusal.answer_http is not None:
        mapper["status_code"] = refusal.answer_http
    return mapper


def _signs(refusal: Refusal, key: str) -> Iterator[Config]:
    """How a refusal is recognised. ``key``: every comparison must bear a name of its own."""
    yield _status("EQ", refusal.http, key)
    if refusal.details:
        expression = f"response.code_details.contains('{refusal.details}')"
        cel = extension("envoy.access_loggers.extension_filters.cel", "CelFilter", expression=expression)
        yield {"extension_filter": cel}


def _all(signs: list[Config]) -> Config:
    return {"and_filter": {"filters": signs}} if len(signs) > 1 else signs[0]


def _other() -> Config:
    signs = _all([_status("GE", 400, "footfall.json_other"), _speaks_json()])
    return {"filter": signs, "body_format_override": _body("%GRPC_STATUS_NUMBER%", [])}


def _body(code: int | str, details: list[Config]) -> Config:
    return {
        "content_type": "application/json",
        "json_format": {"code": code, "message": "%LOCAL_REPLY_BODY%", "details": details},
    }


def _status(operator: str, value: int, key: str) -> Config:
    comparison = {"op": operator, "value": {"default_value": value, "runtime_key": key}}
    return {"status_code_filter": {"comparison": comparison}}


def _speaks_json() -> Config:
    """Transcoded (the transcoder leaves x-envoy-original-path), or never gRPC."""
    transcoded = {"name": "x-envoy-original-path", "present_match": True}
    not_grpc = {
        "name": "content-type",
        "string_match": {"prefix": "application/grpc"},
        "invert_match": True,
        "treat_missing_header_as_empty": True,
    }
    return {"or_filter": {"filters": [{"header_filter": {"header": header}} for header in (transcoded, not_grpc)]}}
