"""Streams live long, and still end with their reason: a revoked or expired token, a malformed message, a stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import grpc
import pytest
from footfall.ingest.v1 import event_pb2, feed_pb2, feed_pb2_grpc, ingest_pb2, ingest_pb2_grpc
from google.protobuf.message import Message

from mesh.access import Role
from mesh.auth import Revocations
from mesh.clock import FakeClock
from mesh.server import Server, running
from tests.support.mesh import Peers, TokenIssuer, connect, fields, reason
from tests.support.mesh_service import Feed, Ingest, service
from tests.support.waiting import until

TENANT, FAMILY, WORKER = uuid4(), uuid4(), uuid4()
Outgoing = asyncio.Queue[ingest_pb2.StreamFacesRequest | None]
Served = Callable[..., AbstractAsyncContextManager[tuple[Server, grpc.aio.Channel]]]
BATCH = ingest_pb2.StreamFacesRequest(batch=1, events=[event_pb2.FaceDetected()])


class Watch:
    """A client's side of a stream: what came, and how it ended."""

    def __init__(self, stream: AsyncIterable[Message]) -> None:
        self.stream = stream
        self.came: list[Any] = []
        self.error: grpc.aio.AioRpcError | None = None
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for message in self.stream:
                self.came.append(message)
        except grpc.aio.AioRpcError as error:
            self.error = error

    async def refusal(self) -> grpc.aio.AioRpcError:
        await self.task
        assert self.error is not None
        return self.error

    async def ended(self) -> str:
        error = await self.refusal()
        return reason(error) or error.code().name


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime(2026, 5, 1, tzinfo=UTC))


@pytest.fixture
def issuer(clock: FakeClock) -> TokenIssuer:
    return TokenIssuer(clock)


@pytest.fixture
def ingest() -> Ingest:
    return Ingest()  # type: ignore[abstract]  # the rest is not built


@pytest.fixture
def feed() -> Feed:
    return Feed()  # type: ignore[abstract]  # the rest is not built


@pytest.fixture
def served(issuer: TokenIssuer, ingest: Ingest, feed: Feed, peers: Peers, clock: FakeClock) -> Served:
    @asynccontextmanager
    async def opened(token: str, **changes: Any) -> AsyncIterator[tuple[Server, grpc.aio.Channel]]:
        made = service(issuer, ingest=ingest, feed=feed, **changes)
        async with (
            running(made, tls=peers("svc-ingest"), clock=clock, grace=5) as server,
            connect(f"127.0.0.1:{server.port}", "svc-ingest", peers("gateway"), token=token) as channel,
        ):
            yield server, channel

    return opened


def _worker(issuer: TokenIssuer, **claims: Any) -> str:
    return issuer.token(Role.WORKER, **{"tenant_id": TENANT, "subject_id": WORKER, **claims})


async def _open_faces(channel: grpc.aio.Channel, ingest: Ingest) -> tuple[Watch, Outgoing]:
    outgoing: Outgoing = asyncio.Queue()

    async def requests() -> AsyncIterator[ingest_pb2.StreamFacesRequest]:
        while (message := await outgoing.get()) is not None:
            yield message

    watch = Watch(ingest_pb2_grpc.IngestServiceStub(channel).StreamFaces(requests()))
    await ingest.opened.wait()
    await until(lambda: watch.came)
    return watch, outgoing


async def _open_feed(channel: grpc.aio.Channel, feed: Feed) -> Watch:
    watch = Watch(feed_pb2_grpc.FeedServiceStub(channel).WatchVisits(feed_pb2.WatchVisitsRequest()))
    await feed.opened.wait()
    await until(lambda: watch.came)
    return watch


async def test_a_bidi_stream_answers_batch_by_batch(served: Served, issuer: TokenIssuer, ingest: Ingest) -> None:
    async with served(_worker(issuer)) as (_, channel):
        watch, outgoing = await _open_faces(channel, ingest)
        await outgoing.put(BATCH)
        await until(lambda: len(watch.came) == 2)
        assert [message.batch for message in watch.came] == [0, 1]
        await outgoing.put(None)
        await watch.task
        assert watch.error is None
    assert ingest.ended.is_set()


async def test_a_malformed_message_ends_the_stream_with_its_field_named(
    served: Served, issuer: TokenIssuer, ingest: Ingest
) -> None:
    async with served(_worker(issuer)) as (_, channel):
        watch, outgoing = await _open_faces(channel, ingest)
        await outgoing.put(ingest_pb2.StreamFacesRequest(batch=0, events=[event_pb2.FaceDetected()]))
        assert await watch.ended() == "INVALID_FIELD"
        assert fields(await watch.refusal()) == ["batch"]
    assert ingest.ended.is_set()


async def test_a_revocation_reaches_an_open_stream_within_ten_seconds(
    served: Served, issuer: TokenIssuer, feed: Feed, clock: FakeClock
) -> None:
    revoked: dict[str, datetime] = {}

    async def source() -> dict[str, datetime]:
        return revoked

    token = issuer.token(Role.VIEWER, tenant_id=TENANT, family=FAMILY)
    async with served(token, revocations=Revocations(source)) as (_, channel):
        watch = await _open_feed(channel, feed)
        revoked[str(FAMILY)] = clock.now()
        passed = 0.0
        while watch.error is None and passed < 10:
            clock.advance(0.5)
            passed += 0.5
            for _ in range(20):
                await asyncio.sleep(0)
        assert await watch.ended() == "TOKEN_REVOKED"
        assert (await watch.refusal()).code() is grpc.StatusCode.UNAUTHENTICATED
    assert feed.ended.is_set()


async def test_a_stream_ends_with_its_token(
    served: Served, issuer: TokenIssuer, ingest: Ingest, clock: FakeClock
) -> None:
    async with served(_worker(issuer)) as (server, channel):
        watch, _ = await _open_faces(channel, ingest)
        clock.advance(899)
        await server.streams.look()
        assert len(server.streams) == 1
        clock.advance(1)
        await server.streams.look()
        assert await watch.ended() == "TOKEN_EXPIRED"
    assert ingest.ended.is_set()


async def test_a_newer_token_prolongs_a_stream(
    served: Served, issuer: TokenIssuer, ingest: Ingest, clock: FakeClock
) -> None:
    async with served(_worker(issuer)) as (server, channel):
        watch, outgoing = await _open_faces(channel, ingest)
        clock.advance(600)
        ingest.next_token = _worker(issuer)
        await outgoing.put(BATCH)
        await until(lambda: len(watch.came) == 2)
        clock.advance(600)
        await server.streams.look()
        assert watch.error is None
        clock.advance(300)
        await server.streams.look()
        assert await watch.ended() == "TOKEN_EXPIRED"


@pytest.mark.parametrize(
    "claims", [{"subject_id": uuid4()}, {"tenant_id": uuid4()}, {"aud": "elsewhere"}], ids=["subject", "tenant", "aud"]
)
async def test_another_ones_token_prolongs_nothing(
    served: Served, issuer: TokenIssuer, ingest: Ingest, claims: dict[str, object]
) -> None:
    async with served(_worker(issuer)) as (_, channel):
        watch, outgoing = await _open_faces(channel, ingest)
        ingest.next_token = _worker(issuer, **claims)
        await outgoing.put(BATCH)
        assert await watch.ended() == "TOKEN_INVALID"


async def test_a_stream_that_is_writing_to_a_slow_reader_ends_too(
    served: Served, issuer: TokenIssuer, feed: Feed, clock: FakeClock
) -> None:
    feed.endless = True
    token = issuer.token(Role.VIEWER, tenant_id=TENANT)
    async with served(token) as (server, channel):
        stream = feed_pb2_grpc.FeedServiceStub(channel).WatchVisits(feed_pb2.WatchVisitsRequest())
        await stream.read()
        await until(lambda: any(open_.writing for open_ in server.streams.all()))
        clock.advance(900)
        await server.streams.look()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            async for _ in stream:
                pass
        assert reason(refused.value) == "TOKEN_EXPIRED"
        await until(lambda: not len(server.streams))
    assert feed.ended.is_set()


async def test_a_client_that_goes_ends_its_handler_at_once(served: Served, issuer: TokenIssuer, feed: Feed) -> None:
    async with served(issuer.token(Role.VIEWER, tenant_id=TENANT)) as (server, channel):
        stream = feed_pb2_grpc.FeedServiceStub(channel).WatchVisits(feed_pb2.WatchVisitsRequest())
        await stream.read()
        stream.cancel()
        await feed.ended.wait()
        await until(lambda: not len(server.streams))


async def test_a_client_that_goes_in_the_middle_of_a_write_ends_its_handler_too(
    served: Served, issuer: TokenIssuer, feed: Feed
) -> None:
    feed.endless = True
    async with served(issuer.token(Role.VIEWER, tenant_id=TENANT)) as (server, channel):
        stream = feed_pb2_grpc.FeedServiceStub(channel).WatchVisits(feed_pb2.WatchVisitsRequest())
        await stream.read()
        await until(lambda: any(open_.writing for open_ in server.streams.all()))
        stream.cancel()
        await feed.ended.wait()
        await until(lambda: not len(server.streams))


async def test_a_stop_ends_streams_with_its_reason_after_the_drain_hooks(
    served: Served, issuer: TokenIssuer, feed: Feed
) -> None:
    order: list[bool] = []

    async def hook() -> None:
        order.append(feed.ended.is_set())

    async with served(issuer.token(Role.VIEWER, tenant_id=TENANT), on_drain=[hook]) as (server, channel):
        watch = await _open_feed(channel, feed)
        stopping = asyncio.create_task(server.stop())
        assert await watch.ended() == "SHUTTING_DOWN"
        await stopping
    assert order[0] is False


async def test_a_role_may_not_open_anothers_stream(served: Served, issuer: TokenIssuer) -> None:
    async with served(issuer.token(Role.VIEWER, tenant_id=TENANT)) as (_, channel):
        watch = Watch(ingest_pb2_grpc.IngestServiceStub(channel).StreamFaces(_nothing()))
        assert await watch.ended() == "ROLE_NOT_ALLOWED"


async def _nothing() -> AsyncIterator[ingest_pb2.StreamFacesRequest]:
    return
    yield


async def test_a_stream_that_is_not_built_yet_says_so(issuer: TokenIssuer, peers: Peers) -> None:
    made = service(issuer)
    async with (
        running(made, tls=peers("svc-ingest"), clock=issuer.clock, grace=0) as server,
        connect(
            f"127.0.0.1:{server.port}",
            "svc-ingest",
            peers("gateway"),
            token=issuer.token(Role.VIEWER, tenant_id=TENANT),
        ) as channel,
    ):
        watch = Watch(feed_pb2_grpc.FeedServiceStub(channel).WatchVisits(feed_pb2.WatchVisitsRequest()))
        assert await watch.ended() == "NOT_BUILT_YET"
