"""svc_identity in this process, with everything real: mTLS, tokens, PostgreSQL, Milvus Lite, the folder store.

async with running_identity(database, peers, tmp_path) as identity:
    async with identity.matching(tenant) as stub:
        await stub.MatchFaces(match_pb2.MatchFacesRequest(faces=[query(tenant, vector)]))
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
from footfall.identity.v1 import customer_pb2_grpc, match_pb2, match_pb2_grpc, staff_pb2_grpc
from footfall.type.v1 import embedding_pb2

from mesh.access import Role
from mesh.clock import Clock, SystemClock
from mesh.ids import SystemIds
from mesh.objects import FolderStore
from mesh.server import Server, running
from mesh.tls import Tls
from svc_identity.settings import IdentitySettings
from svc_identity.vectors.milvus import MilvusIndex
from svc_identity.vectors.port import Vector, VectorIndex
from svc_identity.wiring import NAME, Ports, assemble
from tests.support.database import TestDatabase
from tests.support.mesh import TokenIssuer, connect
from tests.support.seed import SeededTenant

#: The space of demo vision, which svc_identity uses without weights.
SPACE = "demo@1"
MASTER_KEYS = "test:" + base64.b64encode(bytes(range(32))).decode()
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
IDS = SystemIds()


def embedding(vector: Vector, space: str = SPACE) -> embedding_pb2.Embedding:
    """A vector (512,) on the wire."""
    return embedding_pb2.Embedding(space=space, vector=vector.astype("<f4").tobytes())


def query(
    tenant: SeededTenant,
    vector: Vector,
    *,
    quality: float = 0.9,
    space: str = SPACE,
    at: datetime = NOON,
    event_id: UUID | None = None,
) -> match_pb2.FaceQuery:
    """One face as svc_ingest asks about it."""
    face = match_pb2.FaceQuery(
        event_id=str(event_id or IDS.uuid7(at)),
        site_id=str(tenant.site_id),
        embedding=embedding(vector, space),
        quality=quality,
    )
    face.capture_time.FromDatetime(at)
    return face


@dataclass
class RunningIdentity:
    """svc_identity, and ways to reach it."""

    server: Server
    issuer: TokenIssuer
    peers: Callable[[str], Tls]
    database: TestDatabase
    images: FolderStore
    index: VectorIndex

    @property
    def target(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self.server.port}"

    def channel(self, token: str | None, peer: str = "gateway", **metadata: str) -> grpc.aio.Channel:
        """A channel as this peer with this token."""
        return connect(self.target, NAME, self.peers(peer), token=token, metadata=metadata or None)

    @asynccontextmanager
    async def matching(self, tenant: SeededTenant, peer: str = "svc-ingest") -> AsyncIterator[Any]:
        """A stub of MatchService as this peer, for this tenant."""
        metadata = {"x-tenant-id": str(tenant.tenant_id)}
        async with connect(self.target, NAME, self.peers(peer), metadata=metadata) as channel:
            yield match_pb2_grpc.MatchServiceStub(channel)

    @asynccontextmanager
    async def staff(self, tenant: SeededTenant, role: Role = Role.TENANT_ADMIN, **claims: Any) -> AsyncIterator[Any]:
        """A stub of StaffService as somebody of the tenant."""
        async with self.channel(self.issuer.token(role, tenant_id=tenant.tenant_id, **claims)) as channel:
            yield staff_pb2_grpc.StaffServiceStub(channel)

    @asynccontextmanager
    async def customers(
        self, tenant: SeededTenant, role: Role = Role.TENANT_ADMIN, **claims: Any
    ) -> AsyncIterator[Any]:
        """A stub of CustomerService as somebody of the tenant."""
        async with self.channel(self.issuer.token(role, tenant_id=tenant.tenant_id, **claims)) as channel:
            yield customer_pb2_grpc.CustomerServiceStub(channel)

    async def pictures(self) -> list[str]:
        """The keys of everything in the image store."""
        return [key async for key in self.images.keys("t/")]

    def rows(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """What lies in the database, for the test's eyes."""
        with self.database.superuser() as connection:
            return connection.execute(sql, parameters).fetchall()


def identity_settings(
    database: TestDatabase, peers: Callable[[str], Tls], folder: Path, **settings: Any
) -> IdentitySettings:
    """The settings of a test's svc_identity, everything it keeps in `folder`."""
    tls = peers(NAME)
    return IdentitySettings(
        **{
            "listen": "127.0.0.1:0",
            "metrics_listen": "127.0.0.1:0",
            "database_url": database.url("svc_identity"),
            "tls_ca": tls.ca,
            "tls_cert": tls.cert,
            "tls_key": tls.key,
            "master_keys": MASTER_KEYS,
            "registry_target": "127.0.0.1:1",
            "images": f"folder://{folder / 'images'}",
            "vectors": str(folder / "vectors"),
            "models": None,
            "housekeeping_seconds": 0.2,
            **settings,
        }
    )


@asynccontextmanager
async def running_identity(
    database: TestDatabase,
    peers: Callable[[str], Tls],
    folder: Path,
    *,
    index: VectorIndex | None = None,
    clock: Clock | None = None,
    issuer: TokenIssuer | None = None,
    **settings: Any,
) -> AsyncIterator[RunningIdentity]:
    """The real service on a free port of loopback: mTLS, tokens, PostgreSQL, Milvus Lite and the folder store.

    Args:
        database: migrated.
        folder: for images and vectors.
        index: another one than Milvus Lite; the caller closes it.
        settings: of IdentitySettings; `models=path` for real weights instead of demo vision.
    """
    clock = clock or SystemClock()
    issuer = issuer or TokenIssuer(clock)
    given = identity_settings(database, peers, folder, **settings)
    images = FolderStore(folder / "images")
    used = index or MilvusIndex(given.index_uri, timeout=given.vectors_seconds)
    try:
        async with (
            assemble(given, clock, IDS, Ports(issuer.jwks, images, used)) as service,
            running(service, tls=peers(NAME), clock=clock, grace=0.5) as server,
        ):
            yield RunningIdentity(server, issuer, peers, database, images, used)
    finally:
        if index is None:
            await used.close()
