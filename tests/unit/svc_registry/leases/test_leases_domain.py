"""The rules of leases: their life, their policy, and who gets which camera."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.ids import CameraId, LeaseEpoch, SiteId, WorkerId
from svc_registry.directory.cameras.domain import OutagePolicy
from svc_registry.leases.domain import (
    BEGINNINGS,
    TRANSITIONS,
    Camera,
    Candidate,
    EndReason,
    Held,
    LeaseState,
    LeaseTransitionError,
    Plan,
    Situation,
    assign,
    choose,
    decide,
    end_of,
    ended_state,
    is_to_be_parked,
    is_to_be_regranted,
    may_watch,
    move,
    outage_policy,
)


def site(number: int) -> SiteId:
    return SiteId(UUID(int=1000 + number))


def worker_id(number: int) -> WorkerId:
    return WorkerId(UUID(int=2000 + number))


def a_camera(number: int, at: int = 0, **fields: Any) -> Camera:
    return replace(Camera(CameraId(UUID(int=3000 + number)), site(at), 8.0), **fields)


def a_worker(number: int, at: int = 0, *, slots: int = 4, held: int = 0, rate: float = 100.0) -> Candidate:
    return Candidate(worker_id(number), site(at), slots, held, rate)


HELD = Held(
    camera_id=a_camera(0).id,
    epoch=LeaseEpoch(3),
    worker_id=worker_id(0),
    policy=OutagePolicy.FAILOVER,
    wanted_policy=OutagePolicy.FAILOVER,
)


def situation(held: Held | None, camera: Camera | None = None, successor: WorkerId | None = None) -> Situation:
    policy = held.wanted_policy if held else OutagePolicy.FAILOVER
    return Situation(camera or a_camera(0), policy, LeaseEpoch(3), held, successor)


# -- life -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", LeaseState)
@pytest.mark.parametrize("after", LeaseState)
def test_a_lease_goes_only_where_the_table_says(before: LeaseState, after: LeaseState) -> None:
    if after in TRANSITIONS[before]:
        assert move(before, after) is after
    else:
        with pytest.raises(LeaseTransitionError):
            move(before, after)


@given(st.lists(st.sampled_from(LeaseState), max_size=12), st.sampled_from(sorted(BEGINNINGS)))
def test_a_lease_that_has_ended_never_lives_again(path: list[LeaseState], begin: LeaseState) -> None:
    state, ended = begin, False
    for step in path:
        if step in TRANSITIONS[state]:
            assert not ended
            state = move(state, step)
            ended = state in {LeaseState.RELEASED, LeaseState.EXPIRED, LeaseState.REJECTED}


@pytest.mark.parametrize("reason", EndReason)
def test_every_reason_ends_an_active_lease(reason: EndReason) -> None:
    assert move(LeaseState.ACTIVE, ended_state(reason))


# -- policy -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "workers", "expected"),
    [
        (None, 0, OutagePolicy.PINNED),
        (None, 1, OutagePolicy.PINNED),
        (None, 2, OutagePolicy.FAILOVER),
        (OutagePolicy.FAILOVER, 1, OutagePolicy.FAILOVER),
        (OutagePolicy.PINNED, 9, OutagePolicy.PINNED),
    ],
)
def test_a_camera_is_pinned_where_nobody_could_take_over(
    chosen: OutagePolicy | None, workers: int, expected: OutagePolicy
) -> None:
    assert outage_policy(chosen, workers) is expected


def test_a_policy_changes_only_under_a_holder_that_listens() -> None:
    changed = replace(HELD, wanted_policy=OutagePolicy.PINNED)
    assert is_to_be_regranted(changed)
    assert not is_to_be_regranted(replace(changed, session_lives=False))
    assert not is_to_be_regranted(HELD)


# -- placement --------------------------------------------------------------------------------------------------------

cameras = st.lists(
    st.builds(
        lambda at, pinned, rate: (at, pinned, rate),
        st.integers(0, 2),
        st.one_of(st.none(), st.integers(0, 5)),
        st.floats(1, 30),
    ),
    max_size=20,
).map(
    lambda drawn: [
        a_camera(n, at, frame_rate=rate, pinned_worker_id=None if pinned is None else worker_id(pinned))
        for n, (at, pinned, rate) in enumerate(drawn)
    ]
)
workers = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 6), st.integers(0, 6), st.floats(-10, 200), st.booleans()), max_size=6
).map(
    lambda drawn: [
        replace(a_worker(n, at, slots=slots, held=held, rate=rate), any_site=anywhere)
        for n, (at, slots, held, rate, anywhere) in enumerate(drawn)
    ]
)


@given(cameras, workers)
def test_nobody_gets_more_than_it_is_willing_to_watch_or_what_it_may_not(
    wanted: list[Camera], crew: list[Candidate]
) -> None:
    placed = assign(wanted, crew)
    by_id = {camera.id: camera for camera in wanted}
    for worker in crew:
        given_to = [by_id[camera] for camera, holder in placed.items() if holder == worker.id]
        assert worker.held + len(given_to) <= max(worker.slots, worker.held)
        assert all(may_watch(worker, camera) for camera in given_to)


@given(cameras, workers)
def test_a_camera_waits_only_while_nobody_has_room_for_it(wanted: list[Camera], crew: list[Candidate]) -> None:
    placed = assign(wanted, crew)
    room = {worker.id: worker for worker in crew}
    for camera in wanted:
        if camera.id in placed:
            room[placed[camera.id]] = room[placed[camera.id]].with_camera(camera)
    for camera in wanted:
        if camera.id not in placed:
            assert choose(camera, room.values()) is None


@given(cameras, workers)
def test_the_same_fleet_is_always_placed_alike(wanted: list[Camera], crew: list[Candidate]) -> None:
    assert assign(wanted, crew) == assign(wanted, list(reversed(crew)))


@given(st.integers(0, 12), st.integers(1, 4))
def test_equal_workers_share_equally(many: int, crew: int) -> None:
    placed = assign([a_camera(n) for n in range(many)], [a_worker(n, slots=12, rate=1000) for n in range(crew)])
    shares = [list(placed.values()).count(worker_id(n)) for n in range(crew)]
    assert max(shares) - min(shares) <= 1
    assert sum(shares) == many


def test_a_camera_goes_to_a_worker_that_has_not_failed_on_it() -> None:
    camera = a_camera(0, failures={worker_id(0): 1})
    assert choose(camera, [a_worker(0), a_worker(1, held=3)]) == worker_id(1)


def test_a_camera_is_parked_after_three_failures_wherever_they_were() -> None:
    assert not is_to_be_parked({worker_id(0): 2})
    assert is_to_be_parked({worker_id(0): 3})
    assert is_to_be_parked({worker_id(0): 1, worker_id(1): 1, worker_id(2): 1})


# -- what has to change -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, None),
        ({"wanted": False}, EndReason.CAMERA_DISABLED),
        ({"worker_gone": True}, EndReason.WORKER_REMOVED),
        ({"worker_out": True}, EndReason.WORKER_OUT_OF_SERVICE),
        ({"newer_session": True}, EndReason.NOT_HELD),
        ({"expired": True}, EndReason.EXPIRED),
        ({"session_lives": False}, None),
        ({"draining": True}, None),
    ],
)
def test_a_lease_ends_for_a_reason(fields: dict[str, Any], reason: EndReason | None) -> None:
    assert end_of(replace(HELD, **fields), may_expire=True) is reason


def test_nothing_expires_until_some_replica_has_renewed_for_a_whole_ttl() -> None:
    silent = replace(HELD, expired=True)
    assert not decide([situation(silent)], [a_worker(1)], may_expire=False)
    plan = decide([situation(silent)], [a_worker(1)], may_expire=True)
    assert plan.ends == [(silent, EndReason.EXPIRED)]
    assert plan.grants == {HELD.camera_id: worker_id(1)}


def test_an_unwanted_camera_goes_to_nobody() -> None:
    plan = decide([situation(replace(HELD, wanted=False))], [a_worker(1)], may_expire=True)
    assert plan.grants == {}


def test_a_draining_workers_camera_moves_once_and_never_to_itself() -> None:
    leaving = replace(HELD, draining=True)
    assert decide([situation(leaving)], [a_worker(0), a_worker(1)], may_expire=True).moves == {
        HELD.camera_id: worker_id(1)
    }
    assert not decide([situation(leaving)], [a_worker(0)], may_expire=True)
    assert not decide([situation(leaving, successor=worker_id(1))], [a_worker(1)], may_expire=True)


def test_a_fleet_that_is_as_it_should_be_is_left_alone() -> None:
    assert decide([situation(HELD)], [a_worker(1)], may_expire=True) == Plan([], [], {}, {})
