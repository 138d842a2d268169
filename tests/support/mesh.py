"""What a test needs to call a service for real: certificates of every peer, tokens, a server on loopback, a channel.

issuer = TokenIssuer()
async with running(build_service(verifier=issuer.verifier()), tls=peers("svc-ingest")) as server:
    async with connect(server, peers("gateway"), token=issuer.token(Role.VIEWER, tenant_id=tenant)) as channel:
        await visit_pb2_grpc.VisitServiceStub(channel).ListVisits(visit_pb2.ListVisitsRequest())
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import grpc
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from mesh.access import Role
from mesh.auth import TokenVerifier
from mesh.clock import Clock, SystemClock
from mesh.tls import Tls

Peers = Callable[[str], Tls]


class TokenIssuer:
    """Signs tokens as the registry does, and any that it would not.

    Args:
        clock: of iat and exp.
    """

    def __init__(self, clock: Clock | None = None, kid: str = "test-key") -> None:
        self.clock = clock or SystemClock()
        self.kid = kid
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    async def jwks(self) -> Mapping[str, Any]:
        """The public keys, as AuthService.GetJwks gives them."""
        return {"keys": [self.jwk()]}

    def jwk(self) -> dict[str, str]:
        """The public key as a JSON Web Key."""
        key = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return {"kty": key["kty"], "use": "sig", "alg": "RS256", "kid": self.kid, "n": key["n"], "e": key["e"]}

    def verifier(self) -> TokenVerifier:
        """A verifier that believes this issuer."""
        return TokenVerifier(self.jwks, "footfall", "footfall", self.clock)

    def token(self, role: Role, **claims: Any) -> str:
        """A token of 15 minutes. Named claims as for `body`."""
        return self.signed(self.body(role, **claims))

    def signed(self, body: Mapping[str, Any]) -> str:
        """Any body, signed; a claim that is None is left out."""
        present = {name: value for name, value in body.items() if value is not None}
        return jwt.encode(present, self.key, algorithm="RS256", headers={"kid": self.kid})

    def forged(self, body: Mapping[str, Any], algorithm: str) -> str:
        """A body by an algorithm we never use: "none" leaves it unsigned, "HS256" takes the public key for a secret."""
        secret = "" if algorithm == "none" else self.jwk()["n"]
        return jwt.encode(dict(body), secret, algorithm=algorithm, headers={"kid": self.kid})

    def body(
        self,
        role: Role,
        *,
        tenant_id: UUID | None = None,
        subject_id: UUID | None = None,
        site_ids: Iterable[UUID] | None = None,
        worker_id: UUID | None = None,
        camera_ids: Iterable[UUID] | None = None,
        family: UUID | None = None,
        life: timedelta = timedelta(minutes=15),
        **claims: Any,
    ) -> dict[str, Any]:
        """The claims of a token; `claims` stand above everything else."""
        at = self.clock.now()
        return {
            "iss": "footfall",
            "aud": "footfall",
            "sub": str(subject_id or uuid4()),
            "role": role.value,
            "tenant_id": str(tenant_id) if tenant_id else None,
            "site_ids": [str(site) for site in site_ids] if site_ids is not None else None,
            "worker_id": str(worker_id) if worker_id else None,
            "camera_ids": [str(camera) for camera in camera_ids] if camera_ids is not None else None,
            "fam": str(family or uuid4()),
            "jti": str(uuid4()),
            "iat": int(at.timestamp()),
            "exp": int((at + life).timestamp()),
            **claims,
        }


def connect(
    target: str, peer: str, tls: Tls, *, token: str | None = None, metadata: Mapping[str, str] | None = None
) -> grpc.aio.Channel:
    """A plain channel as another peer, its token and metadata on every call. Use it as an async context manager.

    Args:
        target: host:port.
        peer: whom it expects there.
        tls: as whom it calls.
        token: sent as a bearer.
        metadata: sent along.
    """
    extra = list((metadata or {}).items())
    if token is not None:
        extra.append(("authorization", f"Bearer {token}"))
    return grpc.aio.secure_channel(
        target,
        tls.channel_credentials(),
        options=[("grpc.ssl_target_name_override", peer), ("grpc.max_send_message_length", 64 * 1024 * 1024)],
        interceptors=[_Unary(extra), _UnaryStream(extra), _StreamUnary(extra), _Stream(extra)],
    )


def reason(error: grpc.RpcError) -> str:
    """ErrorInfo.reason of a refusal; "" when it has none."""
    status = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status is not None else ():
        if detail.Unpack(info):
            return str(info.reason)
    return ""


def fields(error: grpc.RpcError) -> list[str]:
    """The field paths of a refusal's BadRequest."""
    status = rpc_status.from_call(error)
    bad = error_details_pb2.BadRequest()
    for detail in status.details if status is not None else ():
        if detail.Unpack(bad):
            return [violation.field for violation in bad.field_violations]
    return []


class _Adding:
    def __init__(self, extra: list[tuple[str, str]]) -> None:
        self._extra = extra

    def _with(self, details: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
        return grpc.aio.ClientCallDetails(
            method=details.method,
            timeout=details.timeout,
            metadata=grpc.aio.Metadata(*(details.metadata or ()), *self._extra),
            credentials=details.credentials,
            wait_for_ready=details.wait_for_ready,
        )


class _Unary(_Adding, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(self._with(client_call_details), request)


class _UnaryStream(_Adding, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(self._with(client_call_details), request)


class _StreamUnary(_Adding, grpc.aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await continuation(self._with(client_call_details), request_iterator)


class _Stream(_Adding, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await continuation(self._with(client_call_details), request_iterator)
