"""The rules of staff: reach, and how a worker's gallery catches up."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from mesh.ids import EmbeddingId, SiteId, StaffId
from svc_identity.staff.domain import Roll, hint_threshold, may_change, may_see, to_tell

site_sets = st.frozensets(st.integers(1, 4).map(lambda number: SiteId(UUID(int=number))))
rolls = st.dictionaries(
    st.integers(1, 6).map(lambda number: StaffId(UUID(int=number))),
    st.frozensets(st.integers(1, 5).map(lambda number: EmbeddingId(UUID(int=number))), min_size=1),
)


@given(site_sets, site_sets)
def test_who_may_change_somebody_sees_them_too(reach: frozenset[SiteId], works_at: frozenset[SiteId]) -> None:
    assert may_see(reach, works_at) or not may_change(reach, works_at)


@given(site_sets)
def test_whoever_is_held_to_no_site_reaches_everybody(works_at: frozenset[SiteId]) -> None:
    assert may_see(None, works_at)
    assert may_change(None, works_at)


@given(site_sets)
def test_those_who_work_everywhere_are_seen_by_all_and_changed_by_nobody_held_to_sites(
    reach: frozenset[SiteId],
) -> None:
    assert may_see(reach, frozenset())
    assert not may_change(reach, frozenset())


@given(rolls, rolls)
def test_told_what_it_lacks_a_worker_holds_what_it_should(held: Roll, current: Roll) -> None:
    holds = dict(held)
    told = to_tell(held, current)
    for staff_id in told:
        if staff_id in current:
            holds[staff_id] = current[staff_id]
        else:
            del holds[staff_id]
    assert holds == dict(current)
    assert len(told) == len(set(told))


@given(rolls)
def test_whoever_lacks_nothing_is_told_nothing(roll: Roll) -> None:
    assert to_tell(roll, dict(roll)) == []


@given(st.floats(-1, 1))
def test_a_hint_needs_more_than_the_threshold_and_never_more_than_sameness(threshold: float) -> None:
    assert threshold <= hint_threshold(threshold) <= 1.0
