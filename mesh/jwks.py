"""Where the public keys of tokens come from: the registry, over the mesh."""

from __future__ import annotations

import grpc
from footfall.registry.v1 import auth_pb2, auth_pb2_grpc

from mesh.auth import JwkSet, JwksSource


def jwks_from_registry(registry: grpc.aio.Channel) -> JwksSource:
    """Asks AuthService.GetJwks.

    Args:
        registry: a channel to svc-registry.
    """
    stub = auth_pb2_grpc.AuthServiceStub(registry)

    async def fetch() -> JwkSet:
        answer = await stub.GetJwks(auth_pb2.GetJwksRequest(), timeout=5)
        return {
            "keys": [
                {"kty": key.kty, "use": key.use, "alg": key.alg, "kid": key.kid, "n": key.n, "e": key.e}
                for key in answer.keys
            ]
        }

    return fetch
