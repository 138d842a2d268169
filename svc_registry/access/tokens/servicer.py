"""AuthService: tokens and keys, between protobuf and the domain."""

from __future__ import annotations

from urllib.parse import unquote
from uuid import UUID

from footfall.registry.v1 import auth_pb2
from google.protobuf.duration_pb2 import Duration

from mesh.access import GATEWAY, Role
from mesh.auth import Caller, current_caller
from mesh.ids import SYSTEM_TENANT_ID
from mesh.interceptors.base import Context
from svc_registry.access.signing.service import SigningKeys
from svc_registry.access.tokens.domain import SubjectKind
from svc_registry.access.tokens.limits import network
from svc_registry.access.tokens.service import Issued, Tokens
from svc_registry.wire import role_to_proto


class TokenServicer:
    """The RPCs of AuthService that make and end tokens."""

    def __init__(self, tokens: Tokens, signing: SigningKeys) -> None:
        self._tokens = tokens
        self._signing = signing

    async def IssueToken(self, request: auth_pb2.IssueTokenRequest, context: Context) -> auth_pb2.IssueTokenResponse:
        caller = current_caller()
        address = client_address(caller, context)
        match request.WhichOneof("grant"):
            case "password":
                grant = request.password
                issued = await self._tokens.by_password(caller, address, grant.email, grant.password)
            case "api_key":
                issued = await self._tokens.by_api_key(caller, address, request.api_key.key)
            case _:
                issued = await self._tokens.by_refresh_token(caller, address, request.refresh.refresh_token)
        return _to_proto(issued)

    async def RevokeToken(
        self, request: auth_pb2.RevokeTokenRequest, _context: Context
    ) -> auth_pb2.RevokeTokenResponse:
        caller = current_caller()
        match request.WhichOneof("target"):
            case "refresh_token":
                await self._tokens.revoke_refresh_token(caller, request.refresh_token)
            case "user_id":
                await self._tokens.revoke_user(caller, UUID(request.user_id))
            case _:
                await self._tokens.revoke_own(caller)
        return auth_pb2.RevokeTokenResponse()

    async def GetJwks(self, _request: auth_pb2.GetJwksRequest, _context: Context) -> auth_pb2.GetJwksResponse:
        key_set = await self._signing.jwks()
        return auth_pb2.GetJwksResponse(keys=[auth_pb2.JsonWebKey(**key) for key in key_set["keys"]])


def client_address(caller: Caller, context: Context) -> str:
    """Where a call comes from: what the gateway saw (the last of x-forwarded-for, which it appends), else the peer."""
    if caller.peer == GATEWAY:
        for key, value in context.invocation_metadata() or ():
            if key == "x-forwarded-for" and isinstance(value, str):
                return network(value.rsplit(",", 1)[-1].strip())
    # "ipv4:127.0.0.1:5000", "ipv6:%5B::1%5D:5000": without the port, which is new with every connection.
    return network(unquote(context.peer()).partition(":")[2].rpartition(":")[0].strip("[]"))


def _to_proto(issued: Issued) -> auth_pb2.IssueTokenResponse:
    life = Duration()
    life.FromTimedelta(issued.life)
    principal = issued.principal
    response = auth_pb2.IssueTokenResponse(
        access_token=issued.access_token,
        token_type="Bearer",  # noqa: S106 (RFC 6750, no secret)
        expires_in=life,
        refresh_token=issued.refresh_token,
        role=role_to_proto(Role(principal.role)),
        tenant_id="" if principal.tenant_id == SYSTEM_TENANT_ID else str(principal.tenant_id),
        site_ids=sorted(map(str, principal.site_ids or ())),
        worker_id=str(principal.worker_id or ""),
    )
    if principal.kind is SubjectKind.USER:
        response.user_id = str(principal.subject_id)
    else:
        response.api_key_id = str(principal.subject_id)
    return response
