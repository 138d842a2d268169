"""StreamFaces: every event gets its one durable answer, whatever its neighbours are."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import grpc
import pytest
from footfall.ingest.v1 import event_pb2, ingest_pb2_grpc, quarantine_pb2
from footfall.type.v1 import problem_pb2

from mesh.access import Role
from mesh.tls import Tls
from tests.support.database import TestDatabase
from tests.support.ingest import FaceSender, RunningIngest, face, jpeg, now, running_ingest, vector
from tests.support.mesh import reason
from tests.support.seed import SeededTenant, seed_site, seed_tenant

Outcome = event_pb2.FaceOutcome


@pytest.fixture
def tenant(database: TestDatabase) -> SeededTenant:
    return seed_tenant(database)


@pytest.fixture
async def ingest(database: TestDatabase, peers: Callable[[str], Tls], tmp_path: Path) -> AsyncIterator[RunningIngest]:
    async with running_ingest(database, peers, tmp_path) as running:
        yield running


@pytest.fixture
async def stream(ingest: RunningIngest, tenant: SeededTenant) -> AsyncIterator[FaceSender]:
    async with ingest.stream(tenant) as opened:
        yield opened


async def test_a_face_becomes_a_visit_and_is_answered_after_the_commit(
    ingest: RunningIngest, tenant: SeededTenant, stream: FaceSender
) -> None:
    assert stream.credit == 256
    (outcome,) = await stream.send(face(tenant, at=now(), person="anna", seconds=12, snapshot=jpeg()))
    assert outcome.status == Outcome.STATUS_ACCEPTED
    assert outcome.match == event_pb2.MATCH_NEW
    assert outcome.snapshot_status == event_pb2.SNAPSHOT_STATUS_STORED
    ((visit_id, customer_id, count, dwell),) = ingest.rows(
        "SELECT id, customer_id, sighting_count, dwell_seconds FROM visits"
    )
    assert (str(visit_id), str(customer_id), count, dwell) == (outcome.visit_id, outcome.person_id, 1, 12)


async def test_a_second_sighting_is_known_and_prolongs_the_visit(
    ingest: RunningIngest, tenant: SeededTenant, stream: FaceSender
) -> None:
    at = now() - timedelta(minutes=20)
    (first,) = await stream.send(face(tenant, at=at, person="anna"))
    (second,) = await stream.send(face(tenant, at=at + timedelta(minutes=10), person="anna"))
    assert second.match == event_pb2.MATCH_KNOWN
    assert second.similarity == pytest.approx(1.0, abs=1e-5)
    assert (second.person_id, second.visit_id) == (first.person_id, first.visit_id)
    assert ingest.rows("SELECT sighting_count, dwell_seconds FROM visits") == [(2, 600)]


async def test_a_face_too_poor_to_found_anybody_is_kept_and_counts_for_nobody(
    ingest: RunningIngest, tenant: SeededTenant, stream: FaceSender
) -> None:
    (outcome,) = await stream.send(face(tenant, at=now(), quality=0.1, snapshot=jpeg()))
    assert outcome.status == Outcome.STATUS_ACCEPTED
    assert outcome.match == event_pb2.MATCH_UNDECIDED
    assert outcome.snapshot_status == event_pb2.SNAPSHOT_STATUS_NOT_KEPT
    assert not outcome.HasField("visit_id")
    assert ingest.rows("SELECT count(*) FROM visits") == [(0,)]
    assert ingest.rows("SELECT verdict FROM face_events") == [("UNDECIDED",)]


async def test_staff_are_recognised_and_never_counted(
    ingest: RunningIngest, tenant: SeededTenant, stream: FaceSender
) -> None:
    staff_id = uuid4()
    ingest.matcher.enrol_staff(tenant.tenant_id, staff_id, vector("bob"))  # type: ignore[attr-defined]  # the fake
    (outcome,) = await stream.send(face(tenant, at=now(), person="bob"))
    assert outcome.match == event_pb2.MATCH_STAFF
    assert outcome.person_id == str(staff_id)
    assert ingest.rows("SELECT count(*) FROM visits") == [(0,)]


def _short_embedding(event: event_pb2.FaceDetected) -> None:
    event.embedding.vector = event.embedding.vector[:1024]


def _nan(event: event_pb2.FaceDetected) -> None:
    event.embedding.vector = struct.pack("<f", float("nan")) + event.embedding.vector[4:]


def _infinity(event: event_pb2.FaceDetected) -> None:
    event.embedding.vector = struct.pack("<f", float("inf")) + event.embedding.vector[4:]


def _wrong_norm(event: event_pb2.FaceDetected) -> None:
    event.embedding.vector = struct.pack("<512f", *([0.5] * 512))


def _no_embedding(event: event_pb2.FaceDetected) -> None:
    event.ClearField("embedding")


def _sample_of_another_space(event: event_pb2.FaceDetected) -> None:
    event.sample_embedding.space = "other@1"
    event.sample_embedding.vector = event.embedding.vector


def _no_uuid(event: event_pb2.FaceDetected) -> None:
    event.id = "not-a-uuid"


def _another_millisecond(event: event_pb2.FaceDetected) -> None:
    event.capture_time.FromMilliseconds(event.capture_time.ToMilliseconds() - 1)
    event.track_start_time.CopyFrom(event.capture_time)


def _best_shot_outside_of_its_track(event: event_pb2.FaceDetected) -> None:
    event.track_start_time.FromMilliseconds(event.capture_time.ToMilliseconds() + 1)
    event.track_end_time.FromMilliseconds(event.capture_time.ToMilliseconds() + 2)


def _unknown_camera(event: event_pb2.FaceDetected) -> None:
    event.camera_id = str(uuid4())


def _huge_snapshot(event: event_pb2.FaceDetected) -> None:
    event.snapshot = b"\xff\xd8" + bytes(20 * 1024 * 1024)


def _no_epoch(event: event_pb2.FaceDetected) -> None:
    event.lease_epoch = 0


def _box_outside_of_the_frame(event: event_pb2.FaceDetected) -> None:
    event.box.left = 1.5


MALFORMED = [
    (_short_embedding, "embedding.vector", problem_pb2.ERROR_REASON_INVALID_FIELD),
    (_nan, "embedding.vector", problem_pb2.ERROR_REASON_EMBEDDING_INVALID),
    (_infinity, "embedding.vector", problem_pb2.ERROR_REASON_EMBEDDING_INVALID),
    (_wrong_norm, "embedding.vector", problem_pb2.ERROR_REASON_EMBEDDING_INVALID),
    (_no_embedding, "embedding", problem_pb2.ERROR_REASON_INVALID_FIELD),
    (_sample_of_another_space, "sample_embedding.space", problem_pb2.ERROR_REASON_INVALID_FIELD),
    (_no_uuid, "id", problem_pb2.ERROR_REASON_INVALID_FIELD),
    (_another_millisecond, "id", problem_pb2.ERROR_REASON_INVALID_FIELD),
    (_best_shot_outside_of_its_track, "", problem_pb2.ERROR_REASON_INVALID_FIELD),
    (_unknown_camera, "camera_id", problem_pb2.ERROR_REASON_NOT_FOUND),
    (_huge_snapshot, "snapshot", problem_pb2.ERROR_REASON_INVALID_FIELD),
    (_no_epoch, "lease_epoch", problem_pb2.ERROR_REASON_INVALID_FIELD),
    (_box_outside_of_the_frame, "box.left", problem_pb2.ERROR_REASON_INVALID_FIELD),
]


async def test_each_malformed_event_is_refused_with_its_field_named_and_its_neighbours_are_accepted(
    ingest: RunningIngest, tenant: SeededTenant, stream: FaceSender
) -> None:
    for number, (spoil, field, why) in enumerate(MALFORMED):
        bad = face(tenant, at=now(), person=f"bad {number}")
        spoil(bad)
        before, after = (face(tenant, at=now(), person=f"{side} {number}") for side in ("before", "after"))
        outcomes = await stream.send(before, bad, after)
        assert [outcome.event_id for outcome in outcomes] == [before.id, bad.id, after.id]
        assert [outcome.status for outcome in outcomes] == [
            Outcome.STATUS_ACCEPTED,
            Outcome.STATUS_REJECTED,
            Outcome.STATUS_ACCEPTED,
        ], spoil.__name__
        problem = outcomes[1].problem
        assert problem.reason == why, spoil.__name__
        assert field in [violation.field for violation in problem.violations], spoil.__name__
    assert ingest.rows("SELECT count(*) FROM face_events") == [(2 * len(MALFORMED),)]


async def test_a_future_event_and_one_before_retention_are_refused(
    ingest: RunningIngest, tenant: SeededTenant, stream: FaceSender
) -> None:
    future = face(tenant, at=now() + timedelta(minutes=5))
    old = face(tenant, at=now() - timedelta(days=366))
    outcomes = await stream.send(future, old)
    assert [outcome.problem.reason for outcome in outcomes] == [
        problem_pb2.ERROR_REASON_CAPTURE_TIME_IN_FUTURE,
        problem_pb2.ERROR_REASON_CAPTURE_TIME_TOO_OLD,
    ]
    assert {outcome.problem.violations[0].field for outcome in outcomes} == {"capture_time"}


async def test_another_tenants_camera_does_not_exist(
    ingest: RunningIngest, database: TestDatabase, tenant: SeededTenant, stream: FaceSender
) -> None:
    other = seed_tenant(database, name="Other")
    (outcome,) = await stream.send(face(other, at=now()))
    assert outcome.status == Outcome.STATUS_REJECTED
    assert outcome.problem.reason == problem_pb2.ERROR_REASON_NOT_FOUND


async def test_a_camera_of_another_site_that_was_never_leased_to_the_worker_does_not_exist(
    ingest: RunningIngest, database: TestDatabase, tenant: SeededTenant, stream: FaceSender
) -> None:
    elsewhere = seed_site(database, tenant)
    (outcome,) = await stream.send(face(tenant, at=now(), camera_id=elsewhere.camera_id))
    assert outcome.problem.reason == problem_pb2.ERROR_REASON_NOT_FOUND


async def test_an_event_after_its_epochs_end_is_quarantined_and_never_matched(
    ingest: RunningIngest, database: TestDatabase, tenant: SeededTenant, stream: FaceSender
) -> None:
    at = now()
    with database.superuser() as connection:
        connection.execute(
            "UPDATE lease_epochs SET end_time = %s WHERE camera_id = %s", (at - timedelta(seconds=60), tenant.camera_id)
        )
    late = face(tenant, at=at, snapshot=jpeg())
    in_time = face(tenant, at=at - timedelta(seconds=70), person="in time")
    held, taken = await stream.send(late, in_time)
    assert held.status == Outcome.STATUS_QUARANTINED
    assert held.problem.reason == problem_pb2.ERROR_REASON_LEASE_EPOCH_STALE
    assert held.match == event_pb2.MATCH_UNSPECIFIED
    assert held.snapshot_status == event_pb2.SNAPSHOT_STATUS_STORED
    assert taken.status == Outcome.STATUS_ACCEPTED
    assert ingest.rows("SELECT id::text, state, reason FROM quarantined_events") == [
        (late.id, "WAITING", "LEASE_EPOCH_STALE")
    ]
    (again,) = await stream.send(late)
    assert (again.status, again.first_status) == (Outcome.STATUS_DUPLICATE, Outcome.STATUS_QUARANTINED)


async def test_an_unsure_clock_is_quarantined_unless_the_footage_is_recorded(
    ingest: RunningIngest, database: TestDatabase, tenant: SeededTenant, stream: FaceSender
) -> None:
    unsure = face(tenant, at=now(), person="one")
    unsure.clock_uncertainty_ms = 86_400_000
    (outcome,) = await stream.send(unsure)
    assert outcome.problem.reason == problem_pb2.ERROR_REASON_CLOCK_UNCERTAIN
    with database.superuser() as connection:
        connection.execute("UPDATE cameras SET source_uri = 'file:///films/door.mp4'")
        connection.execute("UPDATE lease_epochs SET grant_time = now()")
    recorded = face(tenant, at=now() - timedelta(days=3), person="two")
    recorded.clock_uncertainty_ms = 86_400_000
    (outcome,) = await stream.send(recorded)
    assert outcome.status == Outcome.STATUS_ACCEPTED


async def test_a_disabled_camera_gives_nothing_but_what_its_last_lease_had_seen(
    ingest: RunningIngest, database: TestDatabase, tenant: SeededTenant, stream: FaceSender
) -> None:
    at = now()
    with database.superuser() as connection:
        connection.execute("UPDATE cameras SET enabled = false")
        connection.execute("UPDATE lease_epochs SET end_time = %s", (at - timedelta(seconds=60),))
    before, after = await stream.send(
        face(tenant, at=at - timedelta(seconds=70), person="before"), face(tenant, at=at, person="after")
    )
    assert before.status == Outcome.STATUS_ACCEPTED
    assert after.problem.reason == problem_pb2.ERROR_REASON_CAMERA_DISABLED


async def test_a_tombstone_is_refused_and_so_is_what_identity_forbids(
    ingest: RunningIngest, database: TestDatabase, tenant: SeededTenant, stream: FaceSender
) -> None:
    erased, forbidden = face(tenant, at=now(), person="a"), face(tenant, at=now(), person="b")
    with database.superuser() as connection:
        connection.execute(
            "INSERT INTO event_tombstones (tenant_id, event_id, expire_time) VALUES (%s, %s, now() + interval '1 day')",
            (tenant.tenant_id, erased.id),
        )
    ingest.matcher.forbid(tenant.tenant_id, [UUID(forbidden.id)])  # type: ignore[attr-defined]  # the fake
    outcomes = await stream.send(erased, forbidden)
    assert {outcome.problem.reason for outcome in outcomes} == {problem_pb2.ERROR_REASON_PERSON_ERASED}
    assert {outcome.status for outcome in outcomes} == {Outcome.STATUS_REJECTED}
    assert ingest.rows("SELECT count(*) FROM face_events") == [(0,)]


async def test_a_replay_gets_its_first_answer_and_another_event_under_the_id_is_refused(
    ingest: RunningIngest, tenant: SeededTenant, stream: FaceSender
) -> None:
    event = face(tenant, at=now(), person="anna")
    (first,) = await stream.send(event)
    (again,) = await stream.send(event)
    assert (again.status, again.first_status) == (Outcome.STATUS_DUPLICATE, Outcome.STATUS_ACCEPTED)
    assert (again.person_id, again.visit_id, again.match) == (first.person_id, first.visit_id, first.match)
    forged = face(tenant, at=now(), person="anna")
    forged.id = event.id
    forged.capture_time.CopyFrom(event.capture_time)
    forged.track_start_time.CopyFrom(event.capture_time)
    forged.lease_epoch = 7
    (refused,) = await stream.send(forged)
    assert refused.problem.reason == problem_pb2.ERROR_REASON_REQUEST_ID_REUSED
    assert ingest.rows("SELECT count(*), max(sighting_count) FROM visits") == [(1, 1)]


async def test_the_same_event_twice_in_one_batch_is_one_event(
    ingest: RunningIngest, tenant: SeededTenant, stream: FaceSender
) -> None:
    event = face(tenant, at=now(), person="anna")
    first, second = await stream.send(event, event)
    assert first.status == Outcome.STATUS_ACCEPTED
    assert (second.status, second.first_status) == (Outcome.STATUS_DUPLICATE, Outcome.STATUS_ACCEPTED)
    assert second.visit_id == first.visit_id


async def test_an_anonymous_site_counts_a_passage_and_takes_no_embedding(
    ingest: RunningIngest, database: TestDatabase, stream: FaceSender
) -> None:
    quiet = seed_tenant(database, name="Quiet", privacy_mode="ANONYMOUS")
    with_embedding = face(quiet, at=now(), snapshot=jpeg())
    passage = face(quiet, at=now(), snapshot=jpeg())
    passage.ClearField("embedding")
    async with ingest.stream(quiet) as quiet_stream:
        refused, counted = await quiet_stream.send(with_embedding, passage)
    assert refused.problem.reason == problem_pb2.ERROR_REASON_PRIVACY_MODE_FORBIDS
    assert refused.problem.violations[0].field == "embedding"
    assert counted.status == Outcome.STATUS_ACCEPTED
    assert counted.match == event_pb2.MATCH_ANONYMOUS
    assert counted.snapshot_status == event_pb2.SNAPSHOT_STATUS_NOT_KEPT
    assert ingest.rows("SELECT verdict, embedding FROM face_events") == [("ANONYMOUS", None)]
    assert ingest.rows("SELECT count(*) FROM dirty_days WHERE site_id = %s", quiet.site_id) == [(1,)]


@pytest.mark.parametrize(("mode", "embedding_is_kept"), [("NO_SNAPSHOTS", True), ("SAME_DAY", False)])
async def test_a_site_without_pictures_keeps_none(
    ingest: RunningIngest, database: TestDatabase, mode: str, embedding_is_kept: bool
) -> None:
    tenant = seed_tenant(database, name=mode, privacy_mode=mode)
    async with ingest.stream(tenant) as stream:
        (outcome,) = await stream.send(face(tenant, at=now(), snapshot=jpeg()))
    assert outcome.status == Outcome.STATUS_ACCEPTED
    assert outcome.snapshot_status == event_pb2.SNAPSHOT_STATUS_NOT_KEPT
    assert ingest.rows("SELECT embedding IS NOT NULL FROM face_events") == [(embedding_is_kept,)]
    assert [key async for key in ingest.images.keys("t/")] == []


async def test_embeddings_and_quarantined_events_are_encrypted_at_rest(
    ingest: RunningIngest, tenant: SeededTenant, stream: FaceSender
) -> None:
    event = face(tenant, at=now(), person="anna")
    event.sample_embedding.CopyFrom(event.embedding)
    await stream.send(event)
    ((embedding, sample),) = ingest.rows("SELECT embedding, second_embedding FROM face_events")
    for stored in (embedding, sample):
        assert len(stored) > 2048
        assert event.embedding.vector[:64] not in stored


async def test_batches_out_of_number_end_the_stream(ingest: RunningIngest, tenant: SeededTenant) -> None:
    async with ingest.stream(tenant) as stream:
        stream.sent = 4
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stream.send(face(tenant, at=now()))
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "PROTOCOL_VIOLATED" in str(refused.value.trailing_metadata())


async def test_only_workers_send_faces(ingest: RunningIngest, tenant: SeededTenant) -> None:
    token = ingest.issuer.token(Role.TENANT_ADMIN, tenant_id=tenant.tenant_id)
    async with ingest.channel(token) as channel:
        call = ingest_pb2_grpc.IngestServiceStub(channel).StreamFaces()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await FaceSender(call).open()
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert reason(refused.value) == "ROLE_NOT_ALLOWED"


async def test_unbuilt_rpcs_say_so(ingest: RunningIngest, tenant: SeededTenant) -> None:
    token = ingest.issuer.token(Role.TENANT_ADMIN, tenant_id=tenant.tenant_id)
    async with ingest.channel(token) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ingest_pb2_grpc.IngestServiceStub(channel).ListQuarantinedEvents(
                quarantine_pb2.ListQuarantinedEventsRequest()
            )
    assert reason(refused.value) == "NOT_BUILT_YET"
