"""Which events are believed: the rules, one by one and read aloud."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from footfall.type.v1 import problem_pb2
from hypothesis import given
from hypothesis import strategies as st

from mesh.ids import CameraId, CustomerId, EventId, LeaseEpoch, SiteId, TenantId, VisitId, WorkerId
from svc_ingest.events.domain import (
    Camera,
    Earlier,
    Epoch,
    Face,
    Grounds,
    Limits,
    Outcome,
    PrivacyMode,
    Reason,
    Refusal,
    Sender,
    Sighting,
    Status,
    Verdict,
)
from svc_ingest.events.judgement import (
    duplicate,
    judge,
    keeps_embedding,
    refused,
    repeated,
    wants_picture,
)

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
WORKER = WorkerId(uuid4())
SITE = SiteId(uuid4())
CAMERA_ID = CameraId(uuid4())
LIMITS = Limits()
SECOND = timedelta(seconds=1)
MILLISECOND = timedelta(milliseconds=1)

SENDER = Sender(TenantId(uuid4()), WORKER, site_ids=frozenset({SITE}))
INTEGRATOR = Sender(SENDER.tenant_id, None, camera_ids=frozenset({CAMERA_ID}))
CAMERA = Camera(SITE, PrivacyMode.FULL)
EPOCH = Epoch(WORKER, NOW - timedelta(hours=1))
GROUNDS = Grounds(CAMERA, EPOCH)


def sighting(at: datetime = NOW, *, epoch: int = 1, embedding: bool = True, uncertainty_ms: int = 0) -> Sighting:
    face = Face(0.8, 0.9, 100, None, (0, 0, 1, 1), space="s@1", vector=b"v" if embedding else None)
    return Sighting(
        EventId(uuid4()), CAMERA_ID, LeaseEpoch(epoch), at, at, at, 0, uncertainty_ms, face, body_hash=b"body"
    )


def why(event: Sighting, grounds: Grounds = GROUNDS, sender: Sender = SENDER) -> tuple[Reason, bool] | None:
    refusal = judge(event, grounds, sender, LIMITS, NOW)
    return None if refusal is None else (refusal.reason, refusal.hold)


def test_an_event_under_its_running_lease_is_taken() -> None:
    assert why(sighting()) is None


def test_the_reasons_are_words_of_the_contract() -> None:
    for reason in Reason:
        assert f"ERROR_REASON_{reason}" in problem_pb2.ErrorReason.keys()  # noqa: SIM118 (an enum wrapper, no dict)


def test_a_clock_may_be_a_minute_fast_and_not_a_millisecond_more() -> None:
    assert why(sighting(NOW + LIMITS.future)) is None
    assert why(sighting(NOW + LIMITS.future + MILLISECOND)) == (Reason.CAPTURE_TIME_IN_FUTURE, False)
    track = replace(sighting(), track_end_time=NOW + LIMITS.future + MILLISECOND)
    assert why(track) == (Reason.CAPTURE_TIME_IN_FUTURE, False)


def test_what_lies_before_retention_is_too_old() -> None:
    long_lease = replace(GROUNDS, epoch=replace(EPOCH, grant_time=NOW - timedelta(days=999)))
    edge = NOW - CAMERA.embedding_retention
    assert why(sighting(edge), long_lease) is None
    assert why(sighting(edge - MILLISECOND), long_lease) == (Reason.CAPTURE_TIME_TOO_OLD, False)


def test_an_erased_persons_event_does_not_bring_them_back() -> None:
    assert why(sighting(), replace(GROUNDS, erased=True)) == (Reason.PERSON_ERASED, False)


def test_an_unknown_camera_is_not_found() -> None:
    assert why(sighting(), Grounds()) == (Reason.NOT_FOUND, False)


def test_a_worker_knows_the_cameras_of_its_site_and_those_that_were_leased_to_it() -> None:
    elsewhere = replace(CAMERA, site_id=SiteId(uuid4()))
    assert why(sighting(), Grounds(elsewhere, EPOCH)) is None
    foreign = replace(EPOCH, worker_id=WorkerId(uuid4()))
    assert why(sighting(), Grounds(elsewhere, foreign)) == (Reason.NOT_FOUND, False)
    assert why(sighting(), Grounds(elsewhere, None)) == (Reason.NOT_FOUND, False)


class TestTheLease:
    def test_that_was_never_granted_or_to_another_worker_holds_the_event_back(self) -> None:
        assert why(sighting(), Grounds(CAMERA, None)) == (Reason.LEASE_EPOCH_STALE, True)
        foreign = replace(EPOCH, worker_id=WorkerId(uuid4()))
        assert why(sighting(), Grounds(CAMERA, foreign)) == (Reason.LEASE_EPOCH_STALE, True)

    def test_covers_its_two_ends_with_a_little_slack(self) -> None:
        end = NOW - timedelta(minutes=10)
        lease = Grounds(CAMERA, replace(EPOCH, end_time=end))
        for inside in (EPOCH.grant_time - LIMITS.lease_skew, EPOCH.grant_time, end, end + LIMITS.lease_skew):
            assert why(sighting(inside), lease) is None
        for outside in (EPOCH.grant_time - LIMITS.lease_skew - MILLISECOND, end + LIMITS.lease_skew + MILLISECOND):
            assert why(sighting(outside), lease) == (Reason.LEASE_EPOCH_STALE, True)

    @given(st.integers(-(10**7), 10**7))
    def test_of_recorded_footage_is_held_to_the_epoch_and_not_to_its_time(self, seconds: int) -> None:
        recorded = replace(CAMERA, recorded=True)
        at = min(NOW, NOW + seconds * SECOND)
        ended = replace(EPOCH, end_time=NOW - timedelta(minutes=30))
        assert why(sighting(at), Grounds(recorded, ended)) is None
        foreign = replace(ended, worker_id=WorkerId(uuid4()))
        assert why(sighting(at), Grounds(recorded, foreign)) == (Reason.LEASE_EPOCH_STALE, True)

    def test_of_a_worker_names_an_epoch(self) -> None:
        assert why(sighting(epoch=0)) == (Reason.INVALID_FIELD, False)


def test_an_agent_unsure_of_its_clock_is_held_back() -> None:
    edge = int(LIMITS.clock_uncertainty.total_seconds() * 1000)
    assert why(sighting(uncertainty_ms=edge)) is None
    assert why(sighting(uncertainty_ms=edge + 1)) == (Reason.CLOCK_UNCERTAIN, True)
    recorded = Grounds(replace(CAMERA, recorded=True), EPOCH)
    assert why(sighting(uncertainty_ms=edge + 1), recorded) is None


class TestAnIntegrator:
    def test_sends_for_the_cameras_that_its_key_names_without_a_lease(self) -> None:
        assert why(sighting(epoch=0), Grounds(CAMERA), INTEGRATOR) is None

    def test_sends_for_no_other_camera(self) -> None:
        for cameras in (frozenset({CameraId(uuid4())}), frozenset[CameraId](), None):
            other = replace(INTEGRATOR, camera_ids=cameras)
            assert why(sighting(epoch=0), Grounds(CAMERA), other) == (Reason.CAMERA_NOT_ALLOWED, False)

    def test_holds_no_leases(self) -> None:
        assert why(sighting(epoch=1), GROUNDS, INTEGRATOR) == (Reason.INVALID_FIELD, False)


class TestACamera:
    def test_that_is_disabled_gives_only_what_the_lease_that_this_ended_had_seen(self) -> None:
        off = replace(CAMERA, enabled=False)
        assert why(sighting(), Grounds(off, EPOCH)) == (Reason.CAMERA_DISABLED, False)
        ended = replace(EPOCH, end_time=NOW - timedelta(minutes=1))
        assert why(sighting(NOW - timedelta(minutes=2)), Grounds(off, ended)) is None
        assert why(sighting(NOW), Grounds(off, ended)) == (Reason.CAMERA_DISABLED, False)
        assert why(sighting(epoch=0), Grounds(off), INTEGRATOR) == (Reason.CAMERA_DISABLED, False)

    def test_that_was_taken_away_keeps_what_it_saw_before(self) -> None:
        gone = replace(CAMERA, enabled=False, delete_time=NOW - timedelta(minutes=1))
        ended = replace(EPOCH, end_time=gone.delete_time)
        assert why(sighting(NOW - timedelta(minutes=2)), Grounds(gone, ended)) is None
        assert why(sighting(NOW), Grounds(gone, ended)) == (Reason.NOT_FOUND, False)


class TestThePrivacyMode:
    def test_anonymous_takes_passages_and_no_embedding(self) -> None:
        quiet = Grounds(replace(CAMERA, privacy_mode=PrivacyMode.ANONYMOUS), EPOCH)
        assert why(sighting(embedding=False), quiet) is None
        assert why(sighting(), quiet) == (Reason.PRIVACY_MODE_FORBIDS, False)

    @pytest.mark.parametrize("mode", [PrivacyMode.FULL, PrivacyMode.NO_SNAPSHOTS, PrivacyMode.SAME_DAY])
    def test_any_other_wants_an_embedding(self, mode: PrivacyMode) -> None:
        grounds = Grounds(replace(CAMERA, privacy_mode=mode), EPOCH)
        assert why(sighting(embedding=False), grounds) == (Reason.INVALID_FIELD, False)

    def test_only_full_keeps_pictures_and_only_of_people_who_count_or_wait(self) -> None:
        for mode in PrivacyMode:
            camera = replace(CAMERA, privacy_mode=mode)
            for verdict in (*Verdict, None):
                wanted = mode is PrivacyMode.FULL and verdict in (Verdict.MATCHED, Verdict.ENROLLED, None)
                assert wants_picture(camera, verdict, NOW, NOW) == wanted

    def test_decides_whose_embedding_is_written(self) -> None:
        kept = [mode for mode in PrivacyMode if keeps_embedding(replace(CAMERA, privacy_mode=mode), NOW, NOW)]
        assert kept == [PrivacyMode.FULL, PrivacyMode.NO_SNAPSHOTS]


def test_a_picture_is_kept_until_the_tenants_retention_ends() -> None:
    edge = NOW - CAMERA.image_retention
    assert wants_picture(CAMERA, Verdict.MATCHED, edge + MILLISECOND, NOW)
    assert not wants_picture(CAMERA, Verdict.MATCHED, edge, NOW)
    assert not keeps_embedding(CAMERA, edge, NOW)


class TestAReplay:
    earlier = Earlier(
        CAMERA_ID, WORKER, LeaseEpoch(1), NOW, body_hash=b"body", verdict=Verdict.MATCHED,
        customer_id=CustomerId(uuid4()), similarity=0.7, visit_id=VisitId(uuid4()),
    )  # fmt: skip

    def test_gets_the_first_answer(self) -> None:
        outcome = duplicate(sighting(), self.earlier, SENDER)
        assert outcome == Outcome(
            Status.DUPLICATE,
            first_status=Status.ACCEPTED,
            verdict=Verdict.MATCHED,
            person_id=self.earlier.customer_id,
            similarity=0.7,
            visit_id=self.earlier.visit_id,
        )
        held = replace(self.earlier, quarantined=True, verdict=None, customer_id=None, similarity=None, visit_id=None)
        assert duplicate(sighting(), held, SENDER).first_status is Status.QUARANTINED

    @pytest.mark.parametrize(
        "changed",
        [
            {"camera_id": CameraId(uuid4())},
            {"worker_id": WorkerId(uuid4())},
            {"lease_epoch": LeaseEpoch(2)},
            {"capture_time": NOW + MILLISECOND},
            {"body_hash": b"another"},
        ],
    )
    def test_with_other_content_is_another_event(self, changed: dict[str, object]) -> None:
        outcome = duplicate(sighting(), replace(self.earlier, **changed), SENDER)  # type: ignore[arg-type]
        assert outcome.status is Status.REJECTED
        assert outcome.refusal is not None
        assert outcome.refusal.reason is Reason.REQUEST_ID_REUSED

    def test_within_a_batch_is_answered_like_any_other(self) -> None:
        first = sighting()
        accepted = Outcome(Status.ACCEPTED, verdict=Verdict.ENROLLED)
        assert repeated(first, first, accepted) == replace(
            accepted, status=Status.DUPLICATE, first_status=Status.ACCEPTED
        )
        rejected = refused(_some_refusal())
        assert repeated(first, first, rejected) == rejected
        other = replace(first, body_hash=b"another")
        assert repeated(other, first, accepted).status is Status.REJECTED


def _some_refusal() -> Refusal:
    refusal = judge(sighting(), Grounds(), SENDER, LIMITS, NOW)
    assert refusal is not None
    return refusal
