"""Events reach ingest exactly once and none is let go without an answer, whatever becomes of the streams."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import grpc
import pytest
from footfall_messages.footfall.ingest import v1 as ingest
from footfall_messages.footfall.type import v1 as types

from edge_agent.spool.crypto import SpoolKey, WrappedKey
from edge_agent.spool.records import Limits, NewEvent
from edge_agent.spool.spool import Spool
from edge_agent.uplink import Uplink
from footfall_client.backoff import FullJitter
from footfall_client.token import ApiKey, Tokens
from mesh.clock import SystemClock
from mesh.ids import CameraId, EventId, LeaseEpoch, SystemIds
from tests.support.scripted_mesh import API_KEY, ScriptedMesh, Status, accepted
from tests.support.waiting import until

CAMERA = CameraId(UUID(int=5))
NOW = datetime(2026, 11, 18, 9, tzinfo=UTC)
IDS = SystemIds()


def event(number: int, *, snapshot: bytes | None = b"\xff\xd8 picture") -> NewEvent:
    at = NOW + timedelta(seconds=number)
    event_id = EventId(IDS.uuid7(at))
    body = ingest.FaceDetected(id=str(event_id), camera_id=str(CAMERA), lease_epoch=1, capture_time=at)
    return NewEvent(event_id, CAMERA, LeaseEpoch(1), at, bytes(body), snapshot)


@pytest.fixture
async def mesh() -> AsyncIterator[ScriptedMesh]:
    async with ScriptedMesh().serving() as serving:
        yield serving


@pytest.fixture
async def spool(tmp_path: Path) -> AsyncIterator[Spool]:
    opened = await open_spool(tmp_path / "spool")
    yield opened
    await opened.close()


async def open_spool(folder: Path, limits: Limits | None = None) -> Spool:
    boot = uuid4()
    spool = await Spool.open(folder, boot, limits or Limits())
    spool._events.lay_down_key(WrappedKey(boot, "pair", b"wrapped"), SpoolKey())
    return spool


@contextlib.asynccontextmanager
async def sending(mesh: ScriptedMesh, spool: Spool) -> AsyncIterator[None]:
    clock = SystemClock()
    tokens = Tokens(mesh.connect, ApiKey(API_KEY), clock)
    uplink = Uplink(mesh.connect, tokens, spool, clock, FullJitter(base=0.01, cap=0.02))
    running = asyncio.create_task(uplink.run())
    try:
        yield
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def drained(spool: Spool) -> None:
    async def is_empty() -> bool:
        return (await spool.ledger()).spooled == 0

    await until(is_empty)


async def test_every_event_arrives_once_with_its_snapshot(mesh: ScriptedMesh, spool: Spool) -> None:
    events = [event(number) for number in range(200)]
    for one in events[:100]:
        await spool.put(one)
    async with sending(mesh, spool):
        for one in events[100:]:
            await spool.put(one)
        await drained(spool)

    assert set(mesh.intake.first) == {str(one.id) for one in events}
    assert all(one.snapshot == b"\xff\xd8 picture" for one in mesh.intake.events.values())
    assert mesh.intake.streams == 1
    ledger = await spool.ledger()
    assert (ledger.stored, ledger.accepted, ledger.balanced) == (200, 200, True)


async def test_a_stream_that_breaks_before_or_after_a_batch_was_taken_loses_and_doubles_nothing(
    mesh: ScriptedMesh, spool: Spool
) -> None:
    mesh.intake.credit = 10
    mesh.intake.drop_before_batch = {2, 7}
    mesh.intake.drop_after_batch = {4, 5, 9}
    for number in range(80):
        await spool.put(event(number))
    async with sending(mesh, spool):
        await drained(spool)

    assert len(mesh.intake.first) == 80
    assert mesh.intake.unequal == []
    assert mesh.intake.streams == 6
    ledger = await spool.ledger()
    assert (ledger.accepted, ledger.balanced) == (80, True)


async def test_no_more_is_sent_than_the_credit_allows_and_zero_pauses(mesh: ScriptedMesh, spool: Spool) -> None:
    mesh.intake.credit = 7
    mesh.intake.hold.clear()
    for number in range(40):
        await spool.put(event(number))
    async with sending(mesh, spool):
        await until(lambda: mesh.intake.unanswered == 7)
        mesh.intake.credit = 0
        mesh.intake.hold.set()
        await until(lambda: mesh.intake.unanswered == 0)
        assert (await spool.ledger()).spooled >= 33 - 7
        assert mesh.intake.most_unanswered <= 7


async def test_refused_and_quarantined_events_are_let_go_and_counted_by_reason(
    mesh: ScriptedMesh, spool: Spool
) -> None:
    verdicts = [
        (Status.REJECTED, types.ErrorReason.INVALID_FIELD),
        (Status.QUARANTINED, types.ErrorReason.LEASE_EPOCH_STALE),
        (Status.ACCEPTED, types.ErrorReason.UNSPECIFIED),
    ]

    def judge(one: ingest.FaceDetected) -> ingest.FaceOutcome:
        status, reason = verdicts[len(mesh.intake.first) % 3]
        return ingest.FaceOutcome(event_id=one.id, status=status, problem=types.Problem(reason=reason))

    mesh.intake.answer = judge
    for number in range(30):
        await spool.put(event(number))
    async with sending(mesh, spool):
        await drained(spool)

    ledger = await spool.ledger()
    assert (ledger.accepted, ledger.rejected, ledger.quarantined, ledger.balanced) == (10, 10, 10, True)
    assert await spool.reasons() == {"rejected:INVALID_FIELD": 10, "quarantined:LEASE_EPOCH_STALE": 10}


async def test_a_picture_whose_event_is_durable_is_sent_again_on_its_own(mesh: ScriptedMesh, spool: Spool) -> None:
    mesh.intake.answer = lambda one: ingest.FaceOutcome(
        event_id=one.id, status=Status.ACCEPTED, snapshot_status=ingest.SnapshotStatus.PENDING
    )
    kept = event(1)
    await spool.put(kept)

    async def no_snapshot_waits() -> bool:
        return not await spool.snapshots_after(0, 1)

    async with sending(mesh, spool):
        await until(lambda: mesh.intake.snapshots)
        await until(lambda: not spool._in_flight)
        await until(no_snapshot_waits)
    assert mesh.intake.snapshots == {str(kept.id): b"\xff\xd8 picture"}


async def test_an_answer_that_is_not_durable_keeps_the_event(mesh: ScriptedMesh, spool: Spool) -> None:
    unknown = [True]

    def judge(one: ingest.FaceDetected) -> ingest.FaceOutcome:
        return ingest.FaceOutcome(event_id=one.id, status=Status.UNSPECIFIED) if unknown[0] else accepted(one)

    mesh.intake.answer = judge
    await spool.put(event(1))
    async with sending(mesh, spool):
        await until(lambda: mesh.intake.batches == 1)
    assert (await spool.ledger()).spooled == 1

    unknown[0] = False
    async with sending(mesh, spool):
        await drained(spool)
    assert (await spool.ledger()).accepted == 1


async def test_a_mesh_that_was_away_gets_everything_when_it_is_back(spool: Spool) -> None:
    mesh = ScriptedMesh()
    async with mesh.serving():
        port = mesh.port
    for number in range(20):
        await spool.put(event(number))
    async with sending(mesh, spool):
        async with mesh.serving(port):
            await until(lambda: len(mesh.intake.first) == 20)
        for number in range(20, 40):
            await spool.put(event(number))
        async with mesh.serving(port):
            await drained(spool)
    assert len(mesh.intake.first) == 40


async def test_a_token_that_was_refused_is_replaced(mesh: ScriptedMesh, spool: Spool) -> None:
    mesh.refuse_tokens = grpc.StatusCode.UNAVAILABLE
    await spool.put(event(1))
    async with sending(mesh, spool):
        await asyncio.sleep(0)
        mesh.refuse_tokens = None
        await drained(spool)
    assert mesh.tokens_issued == 1


async def test_sent_equals_accepted_rejected_quarantined_spooled_and_evicted(tmp_path: Path) -> None:
    """The accounting of the whole road, with a spool that overflows while streams break."""
    spool = await open_spool(tmp_path, Limits(max_events=40))
    verdicts = [Status.ACCEPTED, Status.REJECTED, Status.QUARANTINED]
    mesh = ScriptedMesh()
    mesh.intake.answer = lambda one: ingest.FaceOutcome(
        event_id=one.id, status=verdicts[UUID(one.id).int % 3], snapshot_status=ingest.SnapshotStatus.STORED
    )
    mesh.intake.credit = 8
    mesh.intake.drop_before_batch = {3, 11}
    mesh.intake.drop_after_batch = {6, 8, 14}
    made = [event(number) for number in range(150)]
    async with mesh.serving():
        for one in made[:70]:
            await spool.put(one)
        async with sending(mesh, spool):
            for one in made[70:]:
                await spool.put(one)
                await asyncio.sleep(0)
            await until(lambda: mesh.intake.batches >= 16)
        ledger = await spool.ledger()
    taken = mesh.intake.first
    spooled = {str(one.id) for one in await spool.after(0, 1000)}
    await spool.close()

    assert ledger.balanced
    assert ledger.stored == len(made)
    assert ledger.evicted >= 30
    # Ingest's own books agree: what was taken and is spooled still waits for its answer, or was evicted after sending.
    for status, counted in zip(verdicts, (ledger.accepted, ledger.rejected, ledger.quarantined), strict=True):
        settled = sum(one == status for event_id, one in taken.items() if event_id not in spooled)
        assert counted <= settled <= counted + ledger.evicted
    assert len(taken.keys() | spooled) + ledger.evicted >= len(made)
