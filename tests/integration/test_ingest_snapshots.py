"""Snapshots: durable on their own, refused on their own, gone when their time is over."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from footfall.ingest.v1 import event_pb2
from footfall.type.v1 import problem_pb2

from mesh.clock import FakeClock
from mesh.database import Database
from mesh.errors import Unavailable
from mesh.objects import FolderStore
from mesh.tls import Tls
from svc_ingest.events.sweep import Sweep
from tests.support.database import TestDatabase
from tests.support.ingest import RunningIngest, face, jpeg, now, running_ingest
from tests.support.seed import SeededTenant, seed_tenant

Outcome = event_pb2.FaceOutcome


class MoodyStore(FolderStore):
    """The folder, away whenever a test says so."""

    away = False

    async def put(self, key: str, data: bytes, content_type: str, expire_time: datetime | None = None) -> None:
        if self.away:
            raise Unavailable("away")
        await super().put(key, data, content_type, expire_time)

    async def delete(self, key: str) -> None:
        if self.away:
            raise Unavailable("away")
        await super().delete(key)


@pytest.fixture
def tenant(database: TestDatabase) -> SeededTenant:
    return seed_tenant(database)


@pytest.fixture
def store(tmp_path: Path) -> MoodyStore:
    return MoodyStore(tmp_path / "images")


@pytest.fixture
async def ingest(
    database: TestDatabase, peers: Callable[[str], Tls], tmp_path: Path, store: MoodyStore
) -> AsyncIterator[RunningIngest]:
    async with running_ingest(database, peers, tmp_path, images=store) as running:
        yield running


def _alone(event: event_pb2.FaceDetected, picture: bytes) -> event_pb2.FaceSnapshot:
    return event_pb2.FaceSnapshot(event_id=event.id, jpeg=picture)


async def test_a_snapshot_that_is_no_picture_is_refused_and_harms_its_event_not(
    ingest: RunningIngest, tenant: SeededTenant
) -> None:
    bad = [b"GIF89a" + bytes(100), jpeg()[:-20], b"\xff\xd8\xff\xd9", jpeg(side=4)]
    events = [face(tenant, at=now(), person=number, snapshot=one) for number, one in enumerate(bad)]
    async with ingest.stream(tenant) as stream:
        outcomes = await stream.send(*events)
    for outcome in outcomes:
        assert outcome.status == Outcome.STATUS_ACCEPTED
        assert outcome.snapshot_status == event_pb2.SNAPSHOT_STATUS_REFUSED
        assert outcome.snapshot_problem.reason == problem_pb2.ERROR_REASON_SNAPSHOT_INVALID
        assert outcome.snapshot_problem.violations[0].field == "snapshot"
    assert ingest.rows("SELECT count(*) FROM face_images") == [(0,)]


async def test_while_the_image_store_is_away_events_are_durable_and_their_snapshots_pending(
    ingest: RunningIngest, tenant: SeededTenant, store: MoodyStore
) -> None:
    picture = jpeg()
    event = face(tenant, at=now(), snapshot=picture)
    async with ingest.stream(tenant) as stream:
        store.away = True
        (outcome,) = await stream.send(event)
        assert outcome.status == Outcome.STATUS_ACCEPTED
        assert outcome.snapshot_status == event_pb2.SNAPSHOT_STATUS_PENDING
        (still,) = await stream.send_snapshots(_alone(event, picture))
        assert still.status == event_pb2.SNAPSHOT_STATUS_PENDING
        store.away = False
        (stored,) = await stream.send_snapshots(_alone(event, picture))
        (again,) = await stream.send_snapshots(_alone(event, jpeg(shade=1)))
    assert stored.status == again.status == event_pb2.SNAPSHOT_STATUS_STORED
    ((key, size),) = ingest.rows("SELECT object_key, bytes FROM face_images")
    assert (await store.get(key)).data == picture
    assert size == len(picture)
    # The visit has a picture now, and the feed says so.
    assert ingest.rows("SELECT kind FROM visit_feed ORDER BY seq") == [("CREATED",), ("UPDATED",)]


async def test_a_replay_brings_its_snapshot_too(ingest: RunningIngest, tenant: SeededTenant, store: MoodyStore) -> None:
    event = face(tenant, at=now(), snapshot=jpeg())
    async with ingest.stream(tenant) as stream:
        store.away = True
        await stream.send(event)
        store.away = False
        (again,) = await stream.send(event)
    assert again.status == Outcome.STATUS_DUPLICATE
    assert again.snapshot_status == event_pb2.SNAPSHOT_STATUS_STORED


async def test_a_snapshot_of_an_event_that_is_not_the_workers_is_not_kept(
    ingest: RunningIngest, database: TestDatabase, tenant: SeededTenant, store: MoodyStore
) -> None:
    stranger = seed_tenant(database, name="Other")
    event = face(tenant, at=now())
    async with ingest.stream(tenant) as stream:
        await stream.send(event)
        unknown = event_pb2.FaceSnapshot(event_id=str(uuid4()), jpeg=jpeg())
        (outcome,) = await stream.send_snapshots(unknown)
        assert outcome.status == event_pb2.SNAPSHOT_STATUS_NOT_KEPT
    async with ingest.stream(stranger) as stream:
        (outcome,) = await stream.send_snapshots(_alone(event, jpeg()))
    assert outcome.status == event_pb2.SNAPSHOT_STATUS_NOT_KEPT
    assert [key async for key in store.keys("t/")] == []


async def test_a_malformed_snapshot_is_refused_with_its_field_named_beside_its_neighbours(
    ingest: RunningIngest, tenant: SeededTenant
) -> None:
    event = face(tenant, at=now())
    async with ingest.stream(tenant) as stream:
        await stream.send(event)
        huge = event_pb2.FaceSnapshot(event_id=event.id, jpeg=b"\xff\xd8" + bytes(20 * 1024 * 1024))
        nameless = event_pb2.FaceSnapshot(event_id="x", jpeg=jpeg())
        outcomes = await stream.send_snapshots(huge, nameless, _alone(event, jpeg()))
    assert [outcome.status for outcome in outcomes] == [
        event_pb2.SNAPSHOT_STATUS_REFUSED,
        event_pb2.SNAPSHOT_STATUS_REFUSED,
        event_pb2.SNAPSHOT_STATUS_STORED,
    ]
    assert [outcome.problem.violations[0].field for outcome in outcomes[:2]] == ["jpeg", "event_id"]


async def test_a_picture_past_its_time_is_not_kept(ingest: RunningIngest, tenant: SeededTenant) -> None:
    old = face(tenant, at=now() - timedelta(days=31), snapshot=jpeg())
    async with ingest.stream(tenant) as stream:
        (outcome,) = await stream.send(old)
    assert outcome.status == Outcome.STATUS_ACCEPTED
    assert outcome.snapshot_status == event_pb2.SNAPSHOT_STATUS_NOT_KEPT
    assert ingest.rows("SELECT embedding FROM face_events") == [(None,)]


async def test_after_31_days_pictures_embeddings_and_held_events_are_gone_and_visits_stay(
    ingest: RunningIngest, database: TestDatabase, tenant: SeededTenant, store: MoodyStore
) -> None:
    held = face(tenant, at=now(), person="held", epoch=9, snapshot=jpeg())
    async with ingest.stream(tenant) as stream:
        await stream.send(face(tenant, at=now(), person="anna", snapshot=jpeg()), held)
    clock = FakeClock(datetime.now(UTC))
    async with Database.connect(database.url("svc_ingest")) as connected:
        sweep = Sweep(connected, store, clock, feed_life=timedelta(days=7))
        await sweep.run()
        assert ingest.rows("SELECT count(*) FROM face_images WHERE state = 'STORED'") == [(2,)]
        clock.advance(31 * 86_400)
        store.away = True
        await sweep.run()  # nothing is forgotten that could not be removed
        assert ingest.rows("SELECT count(*) FROM face_images WHERE object_key IS NOT NULL") == [(2,)]
        store.away = False
        await sweep.run()
    assert [key async for key in store.keys("t/")] == []
    assert (
        ingest.rows("SELECT state, object_key, delete_time IS NOT NULL FROM face_images")
        == [("DELETED", None, True)] * 2
    )
    assert ingest.rows("SELECT count(*) FROM face_events WHERE embedding IS NOT NULL") == [(0,)]
    assert ingest.rows("SELECT state, payload FROM quarantined_events") == [("DISCARDED", None)]
    assert ingest.rows("SELECT count(*) FROM visits WHERE state = 'LIVE'") == [(1,)]
    # What was discarded stays a duplicate, without its picture.
    async with ingest.stream(tenant) as stream:
        (again,) = await stream.send(held)
    assert (again.status, again.first_status) == (Outcome.STATUS_DUPLICATE, Outcome.STATUS_QUARANTINED)
    assert again.snapshot_status == event_pb2.SNAPSHOT_STATUS_NOT_KEPT


async def test_old_lines_of_the_feed_are_removed_and_what_was_never_written_is_swept(
    ingest: RunningIngest, database: TestDatabase, tenant: SeededTenant, store: MoodyStore
) -> None:
    async with ingest.stream(tenant) as stream:
        await stream.send(face(tenant, at=now()))
    await store.put("t/nobody/faces/left-behind.jpg", b"x", "image/jpeg", datetime.now(UTC) + timedelta(days=1))
    clock = FakeClock(datetime.now(UTC) + timedelta(days=8, minutes=1))
    async with Database.connect(database.url("svc_ingest")) as connected:
        sweep = Sweep(connected, store, clock, feed_life=timedelta(days=7))
        await sweep.make_partitions()
        await sweep.run()
        await sweep.remove_orphans()
    assert ingest.rows("SELECT count(*) FROM visit_feed") == [(0,)]
    assert [key async for key in store.keys("t/")] == []
