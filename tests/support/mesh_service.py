"""A small service for tests of the mesh: AuthService and IngestService of the contracts, served by a few lines each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

from footfall.ingest.v1 import feed_pb2, feed_pb2_grpc, ingest_pb2, ingest_pb2_grpc
from footfall.registry.v1 import auth_pb2, auth_pb2_grpc, user_pb2

from mesh.access import READERS, WORKERS, Policy, Rule, TenantFrom, rules
from mesh.auth import Caller, current_caller, reauthenticate
from mesh.mounts import Mount
from mesh.server import Service
from tests.support.mesh import TokenIssuer

AUTH = auth_pb2.DESCRIPTOR.services_by_name["AuthService"]
INGEST = ingest_pb2.DESCRIPTOR.services_by_name["IngestService"]
FEED = feed_pb2.DESCRIPTOR.services_by_name["FeedService"]

POLICY: Policy = {
    **rules(
        AUTH,
        Rule(roles=READERS),
        IssueToken=Rule(public=True, tenant=TenantFrom.NONE),
        GetJwks=Rule(peers=frozenset({"gateway", "svc-ingest"}), public=True, tenant=TenantFrom.NONE),
        ListUsers=Rule(roles=READERS),
        GetUser=Rule(roles=READERS, peers=frozenset({"gateway", "svc-ingest"}), tenant=TenantFrom.METADATA),
        CreateUser=Rule(peers=frozenset({"svc-ingest"}), tenant=TenantFrom.METADATA),
        RevokeApiKey=Rule(roles=READERS, default_seconds=0.05),
    ),
    **rules(INGEST, Rule(roles=READERS), StreamFaces=Rule(roles=WORKERS)),
    **rules(FEED, Rule(roles=READERS)),
}


class Auth(auth_pb2_grpc.AuthServiceServicer):
    """Remembers who called; a test may answer in its place."""

    def __init__(self) -> None:
        self.callers: list[Caller] = []
        self.error: BaseException | None = None
        self.answers: dict[str, Callable[[Any, Any], Awaitable[Any]]] = {}

    async def IssueToken(self, request: Any, context: Any) -> Any:
        return await self._answer("IssueToken", request, context, auth_pb2.IssueTokenResponse())

    async def GetJwks(self, request: Any, context: Any) -> Any:
        return await self._answer("GetJwks", request, context, auth_pb2.GetJwksResponse())

    async def ListUsers(self, request: Any, context: Any) -> Any:
        return await self._answer("ListUsers", request, context, user_pb2.ListUsersResponse())

    async def GetUser(self, request: Any, context: Any) -> Any:
        return await self._answer("GetUser", request, context, user_pb2.GetUserResponse())

    async def CreateUser(self, request: Any, context: Any) -> Any:
        return await self._answer("CreateUser", request, context, user_pb2.CreateUserResponse())

    async def RevokeApiKey(self, request: Any, context: Any) -> Any:
        await asyncio.Event().wait()

    async def _answer(self, name: str, request: Any, context: Any, otherwise: Any) -> Any:
        self.callers.append(current_caller())
        if self.error is not None:
            raise self.error
        answer = self.answers.get(name)
        return otherwise if answer is None else await answer(request, context)


class Ingest(ingest_pb2_grpc.IngestServiceServicer):
    """Answers each batch with its number; tells how its streams ended."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.ended = asyncio.Event()
        self.next_token: str | None = None

    async def StreamFaces(self, request_iterator: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        try:
            self.opened.set()
            yield ingest_pb2.StreamFacesResponse(credit=64)
            async for request in request_iterator:
                if self.next_token is not None:
                    await reauthenticate(self.next_token)
                yield ingest_pb2.StreamFacesResponse(batch=request.batch)
        finally:
            self.ended.set()


class Feed(feed_pb2_grpc.FeedServiceServicer):
    """A stream that says one thing and then waits; or talks without end."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.ended = asyncio.Event()
        self.endless = False

    async def WatchVisits(self, request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            self.opened.set()
            yield feed_pb2.WatchVisitsResponse(cursor="x")
            while self.endless:
                yield feed_pb2.WatchVisitsResponse(cursor="x" * 65536)
            await asyncio.Event().wait()
        finally:
            self.ended.set()


def service(issuer: TokenIssuer, auth: Auth | None = None, ingest: Ingest | None = None, **changes: Any) -> Service:
    """The service with these servicers; `changes` replace fields of it."""
    return replace(
        Service(
            mounts=[
                Mount(AUTH, auth or Auth()),  # type: ignore[abstract]  # the rest is not built
                Mount(INGEST, ingest or Ingest()),  # type: ignore[abstract]  # the rest is not built
                Mount(FEED, changes.pop("feed", None)),
            ],
            policy=POLICY,
            verifier=issuer.verifier(),
        ),
        **changes,
    )
