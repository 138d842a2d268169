"""Credit: one window, shared by tenants and then by streams."""

from __future__ import annotations

from contextlib import ExitStack
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from mesh.ids import TenantId
from svc_ingest.events.credit import Credits, share

A, B = TenantId(uuid4()), TenantId(uuid4())


@given(st.integers(64, 10**6), st.integers(1, 500), st.integers(1, 5000))
def test_a_share_is_a_power_of_two_within_its_bounds(window: int, tenants: int, streams: int) -> None:
    part = share(window, tenants, streams, least=16, most=256)
    assert 16 <= part <= 256
    assert part & (part - 1) == 0


@given(st.integers(64, 10**6), st.integers(1, 50), st.integers(1, 50))
def test_what_is_shared_out_stays_within_the_window_while_nobody_is_at_the_least(
    window: int, tenants: int, streams: int
) -> None:
    part = share(window, tenants, streams, least=16, most=256)
    assert part == 16 or part * tenants * streams <= window


def test_a_tenant_with_many_streams_takes_nothing_from_one_with_few() -> None:
    credits_ = Credits(1024, least=16, most=256)
    changes: list[str] = []
    with ExitStack() as stack:
        lonely = stack.enter_context(credits_.open(A, lambda: changes.append("lonely")))
        assert lonely.events == 256
        crowd = [stack.enter_context(credits_.open(B, lambda: changes.append("crowd"))) for _ in range(16)]
        assert lonely.events == 256
        assert {one.events for one in crowd} == {32}
        assert "lonely" not in changes
    assert "crowd" in changes


def test_credit_comes_back_when_streams_end() -> None:
    credits_ = Credits(64, least=16, most=64)
    changed: list[int] = []
    with credits_.open(A, lambda: changed.append(first.events)) as first:
        assert first.events == 64
        with credits_.open(A, lambda: None) as second:
            assert (first.events, second.events) == (32, 32)
        assert first.events == 64
    assert changed == [32, 64]
