"""svc_ingest in this process, with everything real but identity, and events to send to it.

async with running_ingest(database, peers, tmp_path) as ingest:
    async with ingest.stream(tenant) as stream:
        (outcome,) = await stream.send(face(tenant, at=now))
"""

from __future__ import annotations

import asyncio
import base64
import io
import random
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
from footfall.ingest.v1 import event_pb2, feed_pb2_grpc, ingest_pb2, ingest_pb2_grpc
from footfall.type.v1 import embedding_pb2, face_pb2
from PIL import Image

from mesh.access import Role
from mesh.clock import Clock, SystemClock
from mesh.ids import SystemIds
from mesh.objects import FolderStore, ObjectStore
from mesh.server import Server, running
from mesh.tls import Tls
from svc_ingest.events.matching import FakeMatcher, Matcher
from svc_ingest.settings import IngestSettings
from svc_ingest.wiring import NAME, assemble
from tests.support.database import TestDatabase
from tests.support.mesh import TokenIssuer, connect
from tests.support.seed import SeededTenant

SPACE = "test@1"
MASTER_KEYS = "test:" + base64.b64encode(bytes(range(32))).decode()
IDS = SystemIds()


def vector(person: object, *, noise: float = 0.0, seed: object = 0) -> bytes:
    """A unit vector that is this person's own; with `noise`, a little beside it."""
    base, other = _direction(f"person:{person}"), _direction(f"noise:{person}:{seed}")
    mixed = [a + noise * b for a, b in zip(base, other, strict=True)]
    norm = sum(value * value for value in mixed) ** 0.5
    return struct.pack("<512f", *(value / norm for value in mixed))


def _direction(seed: str) -> list[float]:
    chance = random.Random(seed)  # noqa: S311 (the same in every run)
    raw = [chance.gauss(0, 1) for _ in range(512)]
    norm = sum(value * value for value in raw) ** 0.5
    return [value / norm for value in raw]


def jpeg(shade: int = 128, side: int = 64) -> bytes:
    """A picture that the header check likes."""
    out = io.BytesIO()
    Image.new("RGB", (side, side), (shade % 256, 80, 120)).save(out, "JPEG")
    return out.getvalue()


def face(
    tenant: SeededTenant,
    *,
    at: datetime,
    person: object = "anybody",
    epoch: int = 1,
    quality: float = 0.8,
    seconds: float = 0,
    snapshot: bytes | None = None,
    camera_id: UUID | None = None,
    event_id: UUID | None = None,
) -> event_pb2.FaceDetected:
    """An event as a good agent sends it; tests break what they are about.

    Args:
        seconds: how long the track lasts after `at`.
    """
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)
    event = event_pb2.FaceDetected(
        id=str(event_id or IDS.uuid7(at)),
        camera_id=str(camera_id or tenant.camera_id),
        lease_epoch=epoch,
        embedding=embedding_pb2.Embedding(space=SPACE, vector=vector(person)),
        quality=face_pb2.FaceQuality(detection_score=0.9, overall=quality, face_pixels=120),
        box=face_pb2.BoundingBox(left=0.4, top=0.3, width=0.1, height=0.2),
        snapshot=snapshot,
    )
    event.capture_time.FromDatetime(at)
    event.track_start_time.FromDatetime(at)
    event.track_end_time.FromDatetime(at + timedelta(seconds=seconds))
    return event


def now() -> datetime:
    """A moment that lies safely in the past, to the millisecond."""
    at = datetime.now(UTC) - timedelta(seconds=30)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


@dataclass
class FaceSender:
    """One open StreamFaces, as an agent holds it."""

    call: Any
    credit: int = 0
    sent: int = 0
    answers: dict[int, ingest_pb2.StreamFacesResponse] = field(default_factory=dict)

    async def open(self) -> int:
        """Waits for the first credit."""
        first = await self.call.read()
        if first is grpc.aio.EOF:
            await self.call  # raises the status
        self.credit = first.credit
        return self.credit

    async def push(self, *events: event_pb2.FaceDetected, snapshots: Sequence[event_pb2.FaceSnapshot] = ()) -> int:
        """Sends one batch without waiting for its answer; returns its number."""
        self.sent += 1
        await self.call.write(ingest_pb2.StreamFacesRequest(batch=self.sent, events=events, snapshots=snapshots))
        return self.sent

    async def answer(self, batch: int) -> ingest_pb2.StreamFacesResponse:
        """The answer to a batch, whatever comes before it."""
        while batch not in self.answers:
            response = await self.call.read()
            if response is grpc.aio.EOF:
                code = await self.call.code()
                raise grpc.aio.AioRpcError(
                    code,
                    await self.call.initial_metadata(),
                    await self.call.trailing_metadata(),
                    details=await self.call.details(),
                )
            self.credit = response.credit
            if response.batch:
                self.answers[response.batch] = response
        return self.answers[batch]

    async def send(self, *events: event_pb2.FaceDetected) -> list[event_pb2.FaceOutcome]:
        """One batch and its answer."""
        return list((await self.answer(await self.push(*events))).outcomes)

    async def send_snapshots(self, *snapshots: event_pb2.FaceSnapshot) -> list[event_pb2.SnapshotOutcome]:
        """One batch of snapshots alone, and its answer."""
        return list((await self.answer(await self.push(snapshots=snapshots))).snapshot_outcomes)


@dataclass
class RunningIngest:
    """svc_ingest, and ways to reach it."""

    server: Server
    issuer: TokenIssuer
    peers: Callable[[str], Tls]
    matcher: Matcher
    images: ObjectStore
    database: TestDatabase

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    def worker_token(self, tenant: SeededTenant) -> str:
        return self.issuer.token(
            Role.WORKER, tenant_id=tenant.tenant_id, worker_id=tenant.worker_id, site_ids=[tenant.site_id]
        )

    def channel(self, token: str | None, peer: str = "gateway", **metadata: str) -> grpc.aio.Channel:
        """A channel as the gateway's with this token."""
        return connect(self.target, NAME, self.peers(peer), token=token, metadata=metadata or None)

    @asynccontextmanager
    async def stream(self, tenant: SeededTenant, token: str | None = None) -> AsyncIterator[FaceSender]:
        """An open StreamFaces of the tenant's worker, its first credit received."""
        async with self.channel(token or self.worker_token(tenant)) as channel:
            sender = FaceSender(ingest_pb2_grpc.IngestServiceStub(channel).StreamFaces())
            await sender.open()
            try:
                yield sender
            finally:
                sender.call.cancel()

    @asynccontextmanager
    async def feed(self, tenant: SeededTenant, role: Role = Role.TENANT_ADMIN, **claims: Any) -> AsyncIterator[Any]:
        """A stub of FeedService."""
        token = self.issuer.token(role, tenant_id=tenant.tenant_id, **claims)
        async with self.channel(token) as channel:
            yield feed_pb2_grpc.FeedServiceStub(channel)

    def rows(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """What lies in the database, for the test's eyes."""
        with self.database.superuser() as connection:
            return connection.execute(sql, parameters).fetchall()


@asynccontextmanager
async def running_ingest(
    database: TestDatabase,
    peers: Callable[[str], Tls],
    folder: Path,
    *,
    matcher: Matcher | None = None,
    images: ObjectStore | None = None,
    clock: Clock | None = None,
    issuer: TokenIssuer | None = None,
    **settings: Any,
) -> AsyncIterator[RunningIngest]:
    """The real service on a free port of loopback: mTLS, tokens, PostgreSQL and the folder store; a fake Matcher.

    Args:
        database: migrated.
        folder: for images.
        matcher: another identity than the fake.
        images: another store than the folder.
        settings: of IngestSettings.
    """
    clock = clock or SystemClock()
    issuer = issuer or TokenIssuer(clock)
    matcher = matcher or FakeMatcher()
    tls = peers(NAME)
    images = images or FolderStore(folder / "images")
    given = IngestSettings(
        **{
            "listen": "127.0.0.1:0",
            "metrics_listen": "127.0.0.1:0",
            "database_url": database.url("svc_ingest"),
            "tls_ca": tls.ca,
            "tls_cert": tls.cert,
            "tls_key": tls.key,
            "master_keys": MASTER_KEYS,
            "registry_target": "127.0.0.1:1",
            "identity_target": "127.0.0.1:1",
            "images": f"folder://{folder / 'images'}",
            **settings,
        }
    )
    async with (
        assemble(given, clock, IDS, jwks=issuer.jwks, matcher=matcher, images=images) as service,
        running(service, tls=tls, clock=clock, grace=0.5) as server,
    ):
        yield RunningIngest(server, issuer, peers, matcher, images, database)


async def collect(call: Any, wanted: Callable[[list[Any]], bool], within: float = 20.0) -> list[Any]:
    """Reads messages of a stream until enough came."""
    messages: list[Any] = []
    async with asyncio.timeout(within):
        while not wanted(messages):
            message = await call.read()
            if message is grpc.aio.EOF:
                break
            messages.append(message)
    return messages
