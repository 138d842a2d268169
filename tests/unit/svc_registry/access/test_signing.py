"""Keys are published before they sign, and stay until the last token that they signed has run out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svc_registry.access.signing.domain import KeyLife, Rotation, RotationPolicy, plan, signing_kid

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
POLICY = RotationPolicy(period=30 * DAY, lead=timedelta(hours=1), overlap=timedelta(minutes=16))


def apply(keys: list[KeyLife], rotation: Rotation, overlap: timedelta, name: str) -> list[KeyLife]:
    kept = [key for key in keys if key.kid not in rotation.drop]
    if rotation.retire is not None:
        kid, at = rotation.retire
        kept = [replace(key, retire_time=at, expire_time=at + overlap) if key.kid == kid else key for key in kept]
    if rotation.activate_time is not None:
        kept.append(KeyLife(name, rotation.activate_time))
    return kept


def test_the_first_key_signs_at_once() -> None:
    rotation = plan([], POLICY, START)
    assert rotation == Rotation(activate_time=START)


def test_a_young_key_is_left_alone() -> None:
    assert plan([KeyLife("a", START)], POLICY, START + 29 * DAY) == Rotation()


def test_a_successor_is_published_a_lead_before_it_signs() -> None:
    now = START + POLICY.period - POLICY.lead
    rotation = plan([KeyLife("a", START)], POLICY, now)
    assert rotation == Rotation(activate_time=START + POLICY.period, retire=("a", START + POLICY.period))


def test_a_registry_that_slept_through_the_rotation_still_publishes_first() -> None:
    now = START + 40 * DAY
    rotation = plan([KeyLife("a", START)], POLICY, now)
    assert rotation.activate_time == now + POLICY.lead
    assert rotation.retire == ("a", now + POLICY.lead)


def test_a_rotation_under_way_is_not_begun_again() -> None:
    now = START + POLICY.period - POLICY.lead / 2
    keys = [KeyLife("a", START, START + POLICY.period, START + 31 * DAY), KeyLife("b", START + POLICY.period)]
    assert plan(keys, POLICY, now) == Rotation()


def test_a_key_that_has_expired_is_dropped() -> None:
    keys = [KeyLife("a", START, START + DAY, START + 2 * DAY), KeyLife("b", START + DAY)]
    assert plan(keys, POLICY, START + 2 * DAY).drop == ("a",)


def test_a_policy_that_publishes_too_late_is_refused() -> None:
    with pytest.raises(ValueError, match="before its use"):
        RotationPolicy(period=DAY, lead=DAY, overlap=DAY)


@given(st.lists(st.integers(1, 45 * 24 * 60), min_size=1, max_size=60))
def test_whenever_the_registry_looks_there_is_one_key_to_sign_with_and_it_was_published_in_time(
    looks: list[int],
) -> None:
    keys: list[KeyLife] = []
    published: dict[str, datetime] = {}
    signed_until: dict[str, datetime] = {}
    now = START
    for number, minutes in enumerate(looks):
        rotation = plan(keys, POLICY, now)
        for kid in rotation.drop:
            assert signed_until.get(kid, now) + POLICY.overlap <= now, "a token of it may still live"
        keys = apply(keys, rotation, POLICY.overlap, str(number))
        for key in keys:
            published.setdefault(key.kid, now)
        assert plan(keys, POLICY, now).activate_time is None, "once is enough"
        current = signing_kid(keys, now)
        assert current is not None
        signs = next(key for key in keys if key.kid == current)
        assert current == "0" or published[current] + POLICY.lead <= signs.activate_time
        signed_until[current] = now
        now += timedelta(minutes=minutes)
