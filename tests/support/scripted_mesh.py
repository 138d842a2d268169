"""A mesh that says what a test wants: the four RPCs that an agent calls, over real gRPC, with an independent ledger.

It speaks the contract's own messages; everything that decides anything is a field or a function that a test sets.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import betterproto2
import grpc
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from footfall_messages.footfall.identity import v1 as identity
from footfall_messages.footfall.ingest import v1 as ingest
from footfall_messages.footfall.registry import v1 as registry

WORKER_ID = "019a9000-0000-7000-8000-00000000beef"
API_KEY = "a-worker-key-of-the-tests"
SPOOL_KEY: RSAPrivateKey = generate_private_key(65537, 3072)

Status = ingest.FaceOutcomeStatus
Answer = Callable[[ingest.FaceDetected], ingest.FaceOutcome]


def accepted(event: ingest.FaceDetected) -> ingest.FaceOutcome:
    """The usual answer."""
    snapshot = ingest.SnapshotStatus.STORED if event.snapshot else ingest.SnapshotStatus.UNSPECIFIED
    return ingest.FaceOutcome(event_id=event.id, status=Status.ACCEPTED, snapshot_status=snapshot)


@dataclass
class ScriptedIngest:
    """What StreamFaces does."""

    credit: int = 256
    answer: Answer = accepted
    drop_before_batch: set[int] = field(default_factory=set)
    """Numbers of batches, over all streams, at which the stream breaks before anything of it is taken."""
    drop_after_batch: set[int] = field(default_factory=set)
    """… at which it breaks after the batch was taken and before it is answered."""
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    """While it is cleared, batches are taken and not answered."""

    first: dict[str, Status] = field(default_factory=dict)
    """The ledger: every event that was ever taken, and its first answer."""
    bodies: dict[str, bytes] = field(default_factory=dict)
    events: dict[str, ingest.FaceDetected] = field(default_factory=dict)
    snapshots: dict[str, bytes] = field(default_factory=dict)
    """Sent on their own."""
    unequal: list[str] = field(default_factory=list)
    """Events that a replay brought otherwise than before."""
    batches: int = 0
    streams: int = 0
    unanswered: int = 0
    most_unanswered: int = 0
    snapshot_status: ingest.SnapshotStatus = ingest.SnapshotStatus.STORED

    def __post_init__(self) -> None:
        self.hold.set()

    def take(self, event: ingest.FaceDetected) -> ingest.FaceOutcome:
        """Judges an event as ingest does: once, then DUPLICATE; a rejected one is judged anew."""
        body = bytes(event)
        if self.bodies.setdefault(event.id, body) != body and event.snapshot:
            self.unequal.append(event.id)
        known = self.first.get(event.id)
        if known in (Status.ACCEPTED, Status.QUARANTINED):
            return ingest.FaceOutcome(event_id=event.id, status=Status.DUPLICATE, first_status=known)
        outcome = self.answer(event)
        if outcome.status != Status.UNSPECIFIED:
            self.first[event.id] = outcome.status
            self.events[event.id] = event
        return outcome

    async def stream_faces(self, requests: AsyncIterator[ingest.StreamFacesRequest], context: Any) -> Any:
        self.streams += 1
        self.unanswered = 0
        yield ingest.StreamFacesResponse(credit=self.credit)
        async for request in requests:
            self.batches += 1
            number = self.batches
            self.unanswered += len(request.events)
            self.most_unanswered = max(self.most_unanswered, self.unanswered)
            if number in self.drop_before_batch:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "gone before it was taken")
            outcomes = [self.take(event) for event in request.events]
            if number in self.drop_after_batch:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "gone before it was answered")
            await self.hold.wait()
            for snapshot in request.snapshots:
                self.snapshots[snapshot.event_id] = snapshot.jpeg
            self.unanswered -= len(request.events)
            yield ingest.StreamFacesResponse(
                credit=self.credit,
                batch=request.batch,
                outcomes=outcomes,
                snapshot_outcomes=[
                    ingest.SnapshotOutcome(event_id=one.event_id, status=self.snapshot_status)
                    for one in request.snapshots
                ],
            )


@dataclass
class ScriptedRegistry:
    """What Connect does: one worker, and leases that a test sets."""

    timing: tuple[float, float, float] = (0.2, 15.0, 20.0)
    """Heartbeat, stop_after, ttl; seconds."""
    leases: list[registry.CameraLease] = field(default_factory=list)
    renews: Callable[[registry.LeaseRef], bool] = lambda _: True
    silent: bool = False
    """Heartbeats are not answered."""
    keep: bool = True
    """Held leases are kept."""
    clock_ahead: timedelta = timedelta()
    down: bool = False
    """Streams are refused."""

    heard: list[registry.ConnectRequest] = field(default_factory=list)
    sessions: int = 0
    revision: int = 0
    tokens: list[str] = field(default_factory=list)
    _outgoing: "asyncio.Queue[registry.ConnectResponse] | None" = None

    def said(self, kind: str) -> list[Any]:
        """Everything of one kind that the worker said."""
        return [getattr(one, kind) for one in self.heard if getattr(one, kind) is not None]

    def want(self, *leases: registry.CameraLease) -> None:
        """Changes what is desired, and tells it."""
        self.leases = list(leases)
        self.revision += 1
        self.tell(registry.ConnectResponse(desired=self._desired()))

    def tell(self, message: registry.ConnectResponse) -> None:
        """Says something now, if a session stands."""
        if self._outgoing is not None:
            self._outgoing.put_nowait(message)

    def _desired(self) -> registry.Desired:
        return registry.Desired(revision=self.revision, leases=self.leases)

    async def connect(self, requests: AsyncIterator[registry.ConnectRequest], context: Any) -> Any:
        if self.down:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the registry is down")
        self.tokens.append(dict(context.invocation_metadata())["authorization"])
        self.sessions += 1
        outgoing: asyncio.Queue[registry.ConnectResponse] = asyncio.Queue()
        self._outgoing = outgoing
        listening = asyncio.create_task(self._listen(requests, outgoing))
        try:
            while True:
                message = await outgoing.get()
                yield message
                if message.go_away is not None:
                    return
        finally:
            listening.cancel()

    async def _listen(
        self,
        requests: AsyncIterator[registry.ConnectRequest],
        outgoing: "asyncio.Queue[registry.ConnectResponse]",
    ) -> None:
        async for request in requests:
            self.heard.append(request)
            if request.hello is not None:
                outgoing.put_nowait(registry.ConnectResponse(welcome=self._welcome(request.hello)))
                outgoing.put_nowait(registry.ConnectResponse(desired=self._desired()))
            elif request.heartbeat is not None and not self.silent:
                renewed = [one.lease for one in request.heartbeat.cameras if one.lease and self.renews(one.lease)]
                ack = registry.HeartbeatAck(seq=request.heartbeat.seq, renewed=renewed, server_time=self._now())
                outgoing.put_nowait(registry.ConnectResponse(heartbeat_ack=ack))

    def _welcome(self, hello: registry.Hello) -> registry.Welcome:
        heartbeat, stop_after, ttl = (timedelta(seconds=seconds) for seconds in self.timing)
        held = [one.lease for one in hello.held if one.lease]
        der = SPOOL_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return registry.Welcome(
            generation=self.sessions,
            heartbeat_interval=heartbeat,
            stop_after=stop_after,
            lease_ttl=ttl,
            keep=held if self.keep else [],
            drop=[] if self.keep else held,
            server_time=self._now(),
            spool_public_key=registry.SpoolPublicKey(key_id="pair-1", der=der),
        )

    def _now(self) -> datetime:
        return datetime.now(UTC) + self.clock_ahead

    async def unwrap(self, request: registry.UnwrapSpoolKeyRequest, _context: Any) -> registry.UnwrapSpoolKeyResponse:
        padding = OAEP(MGF1(SHA256()), SHA256(), WORKER_ID.encode())
        return registry.UnwrapSpoolKeyResponse(key=SPOOL_KEY.decrypt(request.wrapped_key, padding))


@dataclass
class ScriptedMesh:
    """All of it, on one port."""

    intake: ScriptedIngest = field(default_factory=ScriptedIngest)
    fleet: ScriptedRegistry = field(default_factory=ScriptedRegistry)
    gallery: list[identity.WatchGalleryResponse] = field(default_factory=list)
    token_seconds: float = 900
    tokens_issued: int = 0
    refuse_tokens: grpc.StatusCode | None = None
    port: int = 0

    def connect(self) -> grpc.aio.Channel:
        """A connection of its own."""
        return grpc.aio.insecure_channel(
            f"127.0.0.1:{self.port}",
            options=[("grpc.use_local_subchannel_pool", 1), ("grpc.initial_reconnect_backoff_ms", 50),
                     ("grpc.max_reconnect_backoff_ms", 100)],
        )  # fmt: skip

    async def issue_token(self, request: registry.IssueTokenRequest, context: Any) -> registry.IssueTokenResponse:
        if self.refuse_tokens is not None:
            await context.abort(self.refuse_tokens, "no token")
        assert request.api_key is not None
        assert request.api_key.key == API_KEY
        self.tokens_issued += 1
        return registry.IssueTokenResponse(
            access_token=f"token-{self.tokens_issued}",
            token_type="Bearer",
            expires_in=timedelta(seconds=self.token_seconds),
            worker_id=WORKER_ID,
            tenant_id=str(UUID(int=7)),
        )

    async def watch_gallery(self, _request: identity.WatchGalleryRequest, _context: Any) -> Any:
        yield identity.WatchGalleryResponse(reset=identity.GalleryReset())
        for message in self.gallery:
            yield message
        staff = len({one.entry.staff_id for one in self.gallery if one.entry})
        yield identity.WatchGalleryResponse(
            checkpoint=identity.GalleryCheckpoint(revision=1, staff_count=staff, hint_threshold=0.5)
        )
        await asyncio.Event().wait()

    @contextlib.asynccontextmanager
    async def serving(self, port: int = 0, tls: tuple[bytes, bytes] | None = None) -> AsyncIterator["ScriptedMesh"]:
        """Serves on loopback, on a port that the system chooses unless one is given. `tls`: PEM key and certificate."""
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers([_handlers(self)])
        place = f"127.0.0.1:{port}"
        if tls is None:
            self.port = server.add_insecure_port(place)
        else:
            self.port = server.add_secure_port(place, grpc.ssl_server_credentials([tls]))
        await server.start()
        try:
            yield self
        finally:
            await server.stop(None)


def _handlers(mesh: ScriptedMesh) -> grpc.GenericRpcHandler:
    methods: dict[str, tuple[str, Any, type[betterproto2.Message]]] = {
        "/footfall.registry.v1.AuthService/IssueToken": ("unary", mesh.issue_token, registry.IssueTokenRequest),
        "/footfall.registry.v1.WorkerService/Connect": ("bidi", mesh.fleet.connect, registry.ConnectRequest),
        "/footfall.registry.v1.WorkerService/UnwrapSpoolKey": (
            "unary",
            mesh.fleet.unwrap,
            registry.UnwrapSpoolKeyRequest,
        ),
        "/footfall.ingest.v1.IngestService/StreamFaces": ("bidi", mesh.intake.stream_faces, ingest.StreamFacesRequest),
        "/footfall.identity.v1.StaffService/WatchGallery": (
            "stream",
            mesh.watch_gallery,
            identity.WatchGalleryRequest,
        ),
    }
    make = {
        "unary": grpc.unary_unary_rpc_method_handler,
        "stream": grpc.unary_stream_rpc_method_handler,
        "bidi": grpc.stream_stream_rpc_method_handler,
    }

    class Handlers(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> Any:
            if details.method not in methods:
                return None
            kind, behaviour, request = methods[details.method]
            return make[kind](behaviour, request_deserializer=request.parse, response_serializer=bytes)

    return Handlers()


def lease(
    uri: str,
    *,
    camera_id: str | None = None,
    epoch: int = 1,
    state: registry.LeaseState = registry.LeaseState.ACTIVE,
    policy: registry.OutagePolicy = registry.OutagePolicy.PINNED,
    frame_rate: float = 10.0,
    **settings: Any,
) -> registry.CameraLease:
    """A camera to watch."""
    return registry.CameraLease(
        camera_id=camera_id or str(uuid4()),
        state=state,
        epoch=epoch,
        outage_policy=policy,
        source=registry.LeaseSource(uri=uri),
        settings=registry.LeaseSettings(frame_rate=frame_rate, min_face_pixels=16, snapshots=True, **settings),
    )


def watched(mesh: ScriptedMesh) -> Sequence[registry.CameraReport]:
    """The camera reports of the last heartbeat."""
    beats = mesh.fleet.said("heartbeat")
    return beats[-1].cameras if beats else []
