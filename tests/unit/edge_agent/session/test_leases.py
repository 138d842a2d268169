"""Leases as the worker keeps them: what it may watch, and until when."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.session.domain import (
    Lease,
    Leases,
    Phase,
    Policy,
    Ref,
    Timing,
    Watch,
    awaits_renewal,
    desired,
    given_up,
    held,
    is_alive,
    next_change,
    reconnect_window,
    renewed,
    to_renew,
    to_watch,
    welcomed,
)
from mesh.ids import CameraId, LeaseEpoch

HALL, DOOR = CameraId(UUID(int=1)), CameraId(UUID(int=2))
SERVER_TIME = datetime(2026, 11, 18, 9, tzinfo=UTC)
STOP_AFTER = Timing().stop_after


def lease(
    camera: CameraId = HALL,
    *,
    epoch: int = 1,
    phase: Phase = Phase.ACTIVE,
    policy: Policy = Policy.FAILOVER,
    release_deadline: datetime | None = None,
) -> Lease[str]:
    return Lease(camera, phase, LeaseEpoch(epoch), policy, "plan", release_deadline=release_deadline)


def told(*leases: Lease[str], revision: int = 1) -> Leases[str]:
    return desired(Leases(), revision, leases)


def watching(state: Leases[str], now: float) -> dict[CameraId, int | None]:
    return {camera: watch.epoch for camera, watch in to_watch(state, now, SERVER_TIME).items()}


def test_a_lease_that_was_never_renewed_starts_nothing() -> None:
    state = told(lease())
    assert watching(state, 0) == {}
    assert awaits_renewal(state, 0)


def test_a_lease_that_waits_for_its_renewal_keeps_an_open_source_open_and_emits_nothing() -> None:
    assert to_watch(told(lease()), 0, SERVER_TIME, [HALL]) == {HALL: Watch("plan", None)}


def test_a_failover_lease_lives_until_stop_after_counted_from_the_sending_of_the_heartbeat() -> None:
    state = renewed(told(lease()), [Ref(HALL, LeaseEpoch(1))], sent_at=100.0)
    assert watching(state, 100.0 + STOP_AFTER - 0.001) == {HALL: 1}
    assert watching(state, 100.0 + STOP_AFTER) == {}
    assert to_watch(state, 100.0 + STOP_AFTER, SERVER_TIME, [HALL]) == {}, "not even held open"


def test_a_pinned_lease_that_was_renewed_once_never_ends_by_silence() -> None:
    state = renewed(told(lease(policy=Policy.PINNED)), [Ref(HALL, LeaseEpoch(1))], sent_at=0)
    assert watching(state, 1e9) == {HALL: 1}
    assert held(state, 1e9) == [Ref(HALL, LeaseEpoch(1))]


def test_an_answer_never_shortens_a_deadline() -> None:
    refs = [Ref(HALL, LeaseEpoch(1))]
    state = renewed(renewed(told(lease()), refs, sent_at=50), refs, sent_at=40)
    assert watching(state, 50 + STOP_AFTER - 0.001) == {HALL: 1}


def test_a_lease_that_the_answer_does_not_name_is_not_renewed() -> None:
    state = told(lease(HALL), lease(DOOR))
    state = renewed(state, [Ref(HALL, LeaseEpoch(1)), Ref(DOOR, LeaseEpoch(1))], sent_at=0)
    state = renewed(state, [Ref(DOOR, LeaseEpoch(1))], sent_at=10)
    assert watching(state, STOP_AFTER + 1) == {DOOR: 1}


def test_the_renewal_of_another_epoch_is_worth_nothing() -> None:
    state = renewed(told(lease(epoch=2)), [Ref(HALL, LeaseEpoch(1))], sent_at=0)
    assert watching(state, 0) == {}


def test_a_new_epoch_begins_unrenewed() -> None:
    state = renewed(told(lease(epoch=1)), [Ref(HALL, LeaseEpoch(1))], sent_at=0)
    state = desired(state, 2, [lease(epoch=2)])
    assert watching(state, 1) == {}
    assert not is_alive(state, Ref(HALL, LeaseEpoch(1)), 1)


def test_a_pending_lease_is_opened_emits_nothing_and_is_not_renewed() -> None:
    state = told(lease(phase=Phase.PENDING, epoch=0))
    assert watching(state, 0) == {HALL: None}
    assert to_renew(state) == []
    assert not awaits_renewal(state, 0)


def test_an_older_telling_is_ignored_and_the_same_one_again_is_harmless() -> None:
    state = told(lease(), revision=5)
    assert desired(state, 4, []) is state
    assert desired(state, 5, [lease()]).desired == state.desired


def test_what_is_not_desired_any_more_is_let_go_and_its_deadline_forgotten() -> None:
    state = renewed(told(lease()), [Ref(HALL, LeaseEpoch(1))], sent_at=0)
    state = desired(state, 2, [])
    assert watching(state, 0) == {}
    assert watching(desired(state, 3, [lease()]), 0) == {}


def test_a_releasing_lease_is_watched_until_its_deadline() -> None:
    until = SERVER_TIME + timedelta(seconds=30)
    state = told(lease(phase=Phase.RELEASING, policy=Policy.PINNED, release_deadline=until))
    state = renewed(state, [Ref(HALL, LeaseEpoch(1))], sent_at=0)
    assert to_watch(state, 0, until - timedelta(milliseconds=1)) == {HALL: Watch("plan", LeaseEpoch(1))}
    assert to_watch(state, 0, until) == {}


def test_a_new_session_keeps_what_it_names_with_the_deadline_it_had() -> None:
    state = renewed(told(lease(HALL), lease(DOOR)), [Ref(HALL, LeaseEpoch(1)), Ref(DOOR, LeaseEpoch(1))], sent_at=0)
    state = welcomed(state, [Ref(DOOR, LeaseEpoch(1))], Timing(stop_after=45))
    assert watching(state, 1) == {DOOR: 1}
    assert watching(state, STOP_AFTER) == {}


def test_a_new_session_may_begin_its_revisions_anew() -> None:
    state = welcomed(told(lease(), revision=99), [], Timing())
    assert desired(state, 1, [lease(DOOR)]).desired.keys() == {DOOR}


def test_a_camera_that_was_given_up_is_gone_until_it_is_told_anew() -> None:
    state = given_up(told(lease(HALL), lease(DOOR)), HALL)
    assert to_renew(state) == [Ref(DOOR, LeaseEpoch(1))]


def test_a_worker_hurries_back_within_a_third_of_what_is_left() -> None:
    state = renewed(told(lease()), [Ref(HALL, LeaseEpoch(1))], sent_at=0)
    assert reconnect_window(state, 3.0) == pytest.approx((STOP_AFTER - 3.0) / 3)
    assert reconnect_window(state, STOP_AFTER) is None
    pinned = renewed(told(lease(policy=Policy.PINNED)), [Ref(HALL, LeaseEpoch(1))], sent_at=0)
    assert reconnect_window(pinned, 3.0) is None


@given(
    sent=st.lists(st.floats(0, 1000), min_size=1, max_size=20),
    lag=st.floats(0, 60),
    policy=st.sampled_from(Policy),
)
def test_no_event_is_captured_later_than_stop_after_the_last_renewed_sending(
    sent: list[float], lag: float, policy: Policy
) -> None:
    state = told(lease(policy=policy))
    for sent_at in sorted(sent):
        state = renewed(state, [Ref(HALL, LeaseEpoch(1))], sent_at)
    now = max(sent) + lag
    alive = is_alive(state, Ref(HALL, LeaseEpoch(1)), now)
    assert alive == (policy is Policy.PINNED or lag < STOP_AFTER or now < max(sent) + STOP_AFTER)
    ahead = next_change(state, now)
    assert ahead is None or ahead > 0
