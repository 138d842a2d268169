"""Third: who is calling? The peer by its certificate, the person or machine by its token, both against the rule."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Final

from footfall.type.v1 import problem_pb2

from mesh import telemetry
from mesh.access import FRONT, OPERATOR, Policy, Rule, TenantFrom
from mesh.auth import Caller, CallerCell, Revocations, TokenVerifier, current_cell, enter, with_claims
from mesh.errors import MeshError, PermissionDenied, Unauthenticated
from mesh.interceptors.base import Interceptor, Rpc, refuse
from mesh.interceptors.errors import understood
from mesh.streams import OpenStreams
from mesh.tls import peer_name

HEADER: Final = "authorization"
_BEARER: Final = "bearer "
ANY_PEER: Final = "*"

# gRPC's own services, which no policy lists: every peer may ask for health and contracts, the operator for sockets.
INFRASTRUCTURE: Final = {
    "grpc.health.v1.Health": Rule(peers=frozenset({ANY_PEER}), public=True, tenant=TenantFrom.NONE),
    "grpc.reflection.v1alpha.ServerReflection": Rule(peers=frozenset({ANY_PEER}), public=True, tenant=TenantFrom.NONE),
    "grpc.channelz.v1.Channelz": Rule(peers=frozenset({OPERATOR}), public=True, tenant=TenantFrom.NONE),
}


def rule_of(policy: Policy, method: str) -> Rule:
    """The rule of an RPC.

    Raises:
        PermissionDenied: nobody said who may call it.
    """
    rule = policy.get(method) or INFRASTRUCTURE.get(method.strip("/").partition("/")[0])
    if rule is None:
        raise PermissionDenied("nobody may call this", reason=problem_pb2.ERROR_REASON_PEER_NOT_ALLOWED)
    return rule


class _EndedError(Exception):
    """The stream was ended while it was writing."""

    def __init__(self, verdict: MeshError) -> None:
        super().__init__()
        self.verdict = verdict


class Auth(Interceptor):
    """Establishes the `Caller`, and ends streams whose token is revoked or expires.

    - peer gateway or operator: a valid token, unless the rule is public;
    - another service: its token is the one of the person it acts for, when it carries one;
    - a public RPC: a token is not asked for; a valid one makes its bearer known.
    """

    name = "auth"

    def __init__(
        self, policy: Policy, verifier: TokenVerifier, revocations: Revocations | None, streams: OpenStreams
    ) -> None:
        super().__init__()
        self._policy = policy
        self._verifier = verifier
        self._revocations = revocations
        self._streams = streams

    @asynccontextmanager
    async def around(self, rpc: Rpc) -> AsyncIterator[None]:
        cell = CallerCell(Caller(peer=peer_name(rpc.context.auth_context()), request_id=telemetry.request_id()))
        enter(cell)
        try:
            cell.caller = await self._caller(rpc, cell.caller)
        except Exception as error:  # noqa: BLE001 (understood() tells ours from bugs, and logs those)
            await refuse(rpc.context, understood(error))
        if not rpc.streaming:
            yield
            return
        cell.reauthenticate = lambda token: self._prolong(cell, token)
        cell.stream = stream = self._streams.add(cell)
        try:
            yield
        except _EndedError as ended:
            await refuse(rpc.context, ended.verdict)
        except asyncio.CancelledError:
            if stream.verdict is None:
                raise  # the client went
            stream.task.uncancel()
            await refuse(rpc.context, stream.verdict)
        finally:
            self._streams.remove(stream)

    def sending(self, rpc: Rpc) -> None:  # noqa: ARG002
        if (stream := current_cell().stream) is not None:
            stream.writing = True

    def sent(self, rpc: Rpc) -> None:  # noqa: ARG002
        if (stream := current_cell().stream) is not None:
            stream.writing = False
            if stream.verdict is not None:
                raise _EndedError(stream.verdict)

    async def _caller(self, rpc: Rpc, caller: Caller) -> Caller:
        rule = rule_of(self._policy, rpc.method)
        if caller.peer not in rule.peers and ANY_PEER not in rule.peers:
            raise PermissionDenied(
                "the calling service is not on this RPC's list", reason=problem_pb2.ERROR_REASON_PEER_NOT_ALLOWED
            )
        token = _token(rpc)
        if rule.public:
            if token:
                with suppress(MeshError):
                    caller = await self._known(caller, token)
            return caller
        if token is None:
            if caller.peer in FRONT:
                raise Unauthenticated("the call carries no token", reason=problem_pb2.ERROR_REASON_TOKEN_MISSING)
            return caller
        caller = await self._known(caller, token)
        if rule.roles and caller.role not in rule.roles:
            raise PermissionDenied("your role does not allow this")
        return caller

    async def _known(self, caller: Caller, token: str) -> Caller:
        claims = await self._verifier.verify(token)
        if self._revocations is not None:
            self._revocations.raise_if_revoked(claims.family)
        return with_claims(caller, claims, token)

    async def _prolong(self, cell: CallerCell, token: str) -> Caller:
        before = cell.caller
        after = await self._known(before, token)
        if (after.subject_id, after.role) != (before.subject_id, before.role):
            raise Unauthenticated("the token is someone else's")
        if before.tenant_id not in (after.tenant_id, None) and after.tenant_id is not None:
            raise Unauthenticated("the token is another tenant's")
        return replace(after, tenant_id=before.tenant_id)


def _token(rpc: Rpc) -> str | None:
    value = rpc.header(HEADER)
    if not value:
        return None
    if not value.lower().startswith(_BEARER):
        raise Unauthenticated("the authorization is not a bearer token")
    return value[len(_BEARER) :].strip()
