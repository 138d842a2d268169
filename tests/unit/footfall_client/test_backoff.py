"""Full jitter: every delay lies between nothing and the cap."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footfall_client.backoff import FullJitter


def test_the_ceiling_doubles_up_to_the_cap_and_starts_anew_after_a_success() -> None:
    backoff = FullJitter(base=1, cap=10, uniform=lambda: 1.0)
    assert [backoff.next() for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    backoff.reset()
    assert backoff.next() == 1


def test_the_servers_wish_stands_below_every_delay() -> None:
    assert FullJitter(base=1, cap=10, uniform=lambda: 0.0).next(at_least=7) == 7


@given(uniform=st.floats(0, 1, exclude_max=True), failures=st.integers(0, 5000))
def test_no_delay_is_negative_or_beyond_the_cap_however_often_it_failed(uniform: float, failures: int) -> None:
    backoff = FullJitter(base=0.5, cap=30, uniform=lambda: uniform)
    for _ in range(min(failures, 200)):
        backoff.next()
    assert 0 <= backoff.next() <= 30


@pytest.mark.parametrize(("base", "cap"), [(0, 1), (-1, 1), (2, 1)])
def test_a_backoff_that_cannot_work_is_refused(base: float, cap: float) -> None:
    with pytest.raises(ValueError, match="base"):
        FullJitter(base=base, cap=cap)
