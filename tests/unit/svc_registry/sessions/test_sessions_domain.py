"""The rules of workers and their sessions."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.ids import CameraId, LeaseEpoch
from schema.registry import WORKER_STATES
from svc_registry.sessions.domain import (
    HEARD,
    TRANSITIONS,
    Greeting,
    PastSession,
    Ref,
    Standing,
    Timing,
    WorkerState,
    WorkerTransitionError,
    greet,
    move,
    settle,
    state_when_heard,
    state_when_silent,
)

OLD, NEW, NEWEST = UUID(int=1), UUID(int=2), UUID(int=3)
OUT = {WorkerState.MAINTENANCE, WorkerState.QUARANTINED}


def test_the_states_are_those_of_the_table() -> None:
    assert {state.value for state in WorkerState} == set(WORKER_STATES)
    assert set(TRANSITIONS) == set(WorkerState)


@pytest.mark.parametrize("before", WorkerState)
@pytest.mark.parametrize("after", WorkerState)
def test_a_worker_goes_only_where_the_table_says(before: WorkerState, after: WorkerState) -> None:
    if after is before or after in TRANSITIONS[before]:
        assert move(before, after) is after
    else:
        with pytest.raises(WorkerTransitionError):
            move(before, after)


def test_a_lost_worker_comes_back_by_a_hello_alone() -> None:
    assert not TRANSITIONS[WorkerState.LOST] & HEARD
    assert WorkerState.CONNECTING in TRANSITIONS[WorkerState.LOST]


@given(
    st.sampled_from(sorted(HEARD | {WorkerState.CONNECTING, WorkerState.SUSPECT} | OUT)),
    st.booleans(),
    st.sampled_from(["", "no models"]),
    st.integers(0, 5),
    st.integers(0, 5),
)
def test_a_heard_worker_is_what_it_says_and_what_people_want(
    state: WorkerState, drain: bool, reason: str, slots: int, held: int
) -> None:
    after = state_when_heard(Standing(state, drain=drain, unhealthy_reason=reason, slots=slots, held=held))
    if state in OUT:
        assert after is state
    elif drain:
        assert after is (WorkerState.DRAINING if held else WorkerState.DRAINED)
    elif reason:
        assert after is WorkerState.UNHEALTHY
    else:
        assert after is (WorkerState.READY if held < slots else WorkerState.FULL)


@given(st.sampled_from(WorkerState), st.floats(0, 100))
def test_silence_never_makes_a_worker_better(state: WorkerState, seconds: float) -> None:
    timing = Timing()
    after = state_when_silent(state, timedelta(seconds=seconds), timing)
    if state in OUT | {WorkerState.ENROLLED, WorkerState.LOST} or seconds < 10:
        assert after is state
    elif seconds < 20:
        assert after is WorkerState.SUSPECT
    else:
        assert after is WorkerState.LOST


@pytest.mark.parametrize(("heartbeat", "stop_after", "ttl"), [(5, 9.999, 20), (5, 20, 20), (5, 15, 15)])
def test_a_camera_stops_before_its_lease_is_free_and_after_two_heartbeats(
    heartbeat: float, stop_after: float, ttl: float
) -> None:
    with pytest.raises(ValueError, match="two heartbeats"):
        Timing(timedelta(seconds=heartbeat), timedelta(seconds=stop_after), timedelta(seconds=ttl))


# -- Hello ------------------------------------------------------------------------------------------------------------


def test_a_first_a_resumed_and_a_newer_boot_are_welcome() -> None:
    past = [PastSession(1, OLD), PastSession(2, NEW)]
    assert greet(WorkerState.ENROLLED, OLD, [], removed=False) is Greeting.WELCOME
    assert greet(WorkerState.READY, NEW, past, removed=False) is Greeting.WELCOME
    assert greet(WorkerState.LOST, NEWEST, past, removed=False) is Greeting.WELCOME


def test_a_boot_that_was_superseded_and_comes_again_is_one_of_two() -> None:
    past = [PastSession(1, OLD), PastSession(2, NEW)]
    assert greet(WorkerState.READY, OLD, past, removed=False) is Greeting.QUARANTINED


def test_a_removed_worker_hears_that_before_anything_else() -> None:
    assert greet(WorkerState.QUARANTINED, NEW, [], removed=True) is Greeting.REMOVED
    assert greet(WorkerState.QUARANTINED, NEW, [], removed=False) is Greeting.QUARANTINED
    assert greet(WorkerState.READY, NEW, [], removed=False, stolen=True) is Greeting.QUARANTINED


refs = st.lists(
    st.builds(
        lambda camera, epoch: Ref(CameraId(UUID(int=camera)), LeaseEpoch(epoch)), st.integers(0, 5), st.integers(1, 3)
    )
)


@given(refs, refs)
def test_every_lease_is_kept_dropped_or_ended(held: list[Ref], owned: list[Ref]) -> None:
    settlement = settle(held, set(owned))
    assert set(settlement.keep) == set(held) & set(owned)
    assert set(settlement.drop) == set(held) - set(owned)
    assert set(settlement.end) == set(owned) - set(held)
    assert len(settlement.keep) + len(settlement.drop) == len(set(held))
