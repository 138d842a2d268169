"""Cursors: opaque, bound to their tenant, and good for as long as the feed keeps what follows."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.clock import FakeClock
from mesh.errors import MeshError
from mesh.ids import TenantId
from mesh.keyring import Key, KeyRing
from svc_ingest.feed.cursor import Cursors
from svc_ingest.feed.domain import Position

RING = KeyRing([Key("one", bytes(32))])
TENANT = TenantId(uuid4())
WEEK = timedelta(days=7)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_a_cursor_leads_back_to_its_position(xid: int, seq: int) -> None:
    cursors = Cursors(RING, FakeClock(), WEEK)
    assert cursors.decode(TENANT, cursors.encode(TENANT, Position(xid, seq))) == Position(xid, seq)


def _invalid(cursors: Cursors, cursor: str, tenant: TenantId = TENANT) -> None:
    with pytest.raises(MeshError) as refused:
        cursors.decode(tenant, cursor)
    assert refused.value.reason_name == "CURSOR_INVALID"


def test_another_tenants_cursor_is_none() -> None:
    cursors = Cursors(RING, FakeClock(), WEEK)
    _invalid(cursors, cursors.encode(TENANT, Position(1, 2)), TenantId(uuid4()))


@pytest.mark.parametrize("garbage", ["x", "äöü", "AAAA", "A" * 64, "=" * 8])
def test_garbage_is_none(garbage: str) -> None:
    _invalid(Cursors(RING, FakeClock(), WEEK), garbage)


def test_a_cursor_of_other_keys_is_none() -> None:
    other = Cursors(KeyRing([Key("two", bytes(range(32)))]), FakeClock(), WEEK)
    _invalid(Cursors(RING, FakeClock(), WEEK), other.encode(TENANT, Position(1, 2)))


def test_a_cursor_from_before_what_the_feed_keeps_is_none() -> None:
    clock = FakeClock()
    cursors = Cursors(RING, clock, WEEK)
    cursor = cursors.encode(TENANT, Position(1, 2))
    clock.advance(WEEK.total_seconds())
    assert cursors.decode(TENANT, cursor) == Position(1, 2)
    clock.advance(1)
    _invalid(cursors, cursor)
