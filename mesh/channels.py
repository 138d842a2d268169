"""Channels to other services: mTLS, retries where a retry is safe, and what must travel along.

Every call made under an RPC (or under `auth.acting`) carries x-request-id, x-tenant-id, the caller's token when there
is one, and a deadline no longer than what the caller has left.

    async with channel(settings.identity_target, "svc-identity", Tls.of(settings)) as identity:
        stub = match_pb2_grpc.MatchServiceStub(identity)
        answer = await stub.MatchFaces(request, timeout=2)
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import grpc

from mesh import deadline, telemetry
from mesh.auth import find_caller
from mesh.tls import Tls

DEFAULT_SECONDS: Final = 10.0  # of a unary call, when neither it nor its caller has a deadline
MIB: Final = 1024 * 1024

# Retried inside gRPC, with backoff and jitter. UNAVAILABLE alone: the request did not reach a handler, or the handler
# said that nothing was written. DEADLINE_EXCEEDED and INTERNAL are the caller's to judge, by request_id.
_SERVICE_CONFIG: Final = json.dumps(
    {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.05s",
                    "maxBackoff": "1s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ],
        "retryThrottling": {"maxTokens": 50, "tokenRatio": 0.2},
    }
)


def channel(
    target: str, peer: str, tls: Tls, *, max_receive_bytes: int = 4 * MIB, default_seconds: float = DEFAULT_SECONDS
) -> grpc.aio.Channel:
    """A channel to a peer; use it as an async context manager. Streams deserve a channel of their own.

    Args:
        target: host:port, or any gRPC target ("dns:///…", "ipv4:a:1,b:2" for several replicas).
        peer: the name that its certificate must bear, whatever the host is called.
        tls: our own key material.
        max_receive_bytes: of one message.
        default_seconds: the deadline of unary calls where nobody has set one.
    """
    return grpc.aio.secure_channel(
        target,
        tls.channel_credentials(),
        options=[
            ("grpc.ssl_target_name_override", peer),
            ("grpc.service_config", _SERVICE_CONFIG),
            ("grpc.max_receive_message_length", max_receive_bytes),
            ("grpc.max_send_message_length", 32 * MIB),
            ("grpc.max_metadata_size", 64 * 1024),
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.http2.ping_timeout_ms", 10_000),
            ("grpc.http2.max_pings_without_data", 0),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.min_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 5_000),
        ],
        interceptors=[
            _UnaryUnary(default_seconds),
            _UnaryStream(None),
            _StreamUnary(default_seconds),
            _StreamStream(None),
        ],
    )


def outgoing_metadata() -> list[tuple[str, str]]:
    """What a call made here and now carries: request id, tenant and token of the caller at hand."""
    caller = find_caller()
    metadata = [("x-request-id", telemetry.request_id() or telemetry.new_request_id())]
    if caller is not None and caller.tenant_id is not None:
        metadata.append(("x-tenant-id", str(caller.tenant_id)))
    if caller is not None and caller.token is not None:
        metadata.append(("authorization", f"Bearer {caller.token}"))
    return metadata


def _budget(asked: float | None, default: float | None) -> float | None:
    """The deadline of a call: what it asks for (or the default), but never more than the caller has left."""
    wanted = asked if asked is not None else default
    left = deadline.remaining()
    return wanted if left is None else left if wanted is None else min(wanted, left)


class _Propagation:
    def __init__(self, default_seconds: float | None) -> None:
        self._default_seconds = default_seconds

    def _details(self, details: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
        given = list(details.metadata or ())
        named = {key for key, _ in given}
        return grpc.aio.ClientCallDetails(
            method=details.method,
            timeout=_budget(details.timeout, self._default_seconds),
            metadata=grpc.aio.Metadata(*given, *(pair for pair in outgoing_metadata() if pair[0] not in named)),
            credentials=details.credentials,
            wait_for_ready=details.wait_for_ready,
        )


_Continue = Callable[[grpc.aio.ClientCallDetails, Any], Any]


# gRPC files an interceptor under the first kind that it is an instance of: so one class per kind.
class _UnaryUnary(_Propagation, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self, continuation: _Continue, client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(self._details(client_call_details), request)


class _UnaryStream(_Propagation, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(
        self, continuation: _Continue, client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(self._details(client_call_details), request)


class _StreamUnary(_Propagation, grpc.aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(
        self, continuation: _Continue, client_call_details: grpc.aio.ClientCallDetails, request_iterator: Any
    ) -> Any:
        return await continuation(self._details(client_call_details), request_iterator)


class _StreamStream(_Propagation, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(
        self, continuation: _Continue, client_call_details: grpc.aio.ClientCallDetails, request_iterator: Any
    ) -> Any:
        return await continuation(self._details(client_call_details), request_iterator)
