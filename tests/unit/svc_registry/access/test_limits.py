"""Too many failures have to wait; successes cost nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest
from footfall.type.v1 import problem_pb2

from mesh.clock import FakeClock
from mesh.errors import ResourceExhausted
from svc_registry.access.tokens.limits import Limit, SignInLimits, network

ANNE = [("address", "10.0.0.1"), ("user", "anne@acme.test")]
BERT = [("address", "10.0.0.1"), ("user", "bert@acme.test")]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def limits(clock: FakeClock) -> SignInLimits:
    return SignInLimits({"user": Limit(3, timedelta(seconds=30)), "address": Limit(5, timedelta(seconds=10))}, clock)


def fail(limits: SignInLimits, keys: list[tuple[str, str]], times: int) -> None:
    for _ in range(times):
        limits.attempt(keys)


def test_the_failure_beyond_the_limit_has_to_wait(limits: SignInLimits) -> None:
    fail(limits, ANNE, 3)
    with pytest.raises(ResourceExhausted) as refused:
        limits.attempt(ANNE)
    assert refused.value.reason == problem_pb2.ERROR_REASON_RATE_LIMITED
    assert refused.value.retry_after == timedelta(seconds=30)


def test_one_failure_is_forgiven_after_its_time(limits: SignInLimits, clock: FakeClock) -> None:
    fail(limits, ANNE, 3)
    clock.advance(29.9)
    with pytest.raises(ResourceExhausted):
        limits.attempt(ANNE)
    clock.advance(0.1)
    limits.attempt(ANNE)
    with pytest.raises(ResourceExhausted):
        limits.attempt(ANNE)


def test_one_address_cannot_try_everybody(limits: SignInLimits) -> None:
    fail(limits, ANNE, 3)
    fail(limits, BERT, 2)
    with pytest.raises(ResourceExhausted):
        limits.attempt([("address", "10.0.0.1"), ("user", "carl@acme.test")])
    limits.attempt([("address", "10.0.0.2"), ("user", "carl@acme.test")])


def test_a_refused_attempt_costs_nothing_elsewhere(limits: SignInLimits) -> None:
    fail(limits, ANNE, 3)
    for _ in range(10):
        with pytest.raises(ResourceExhausted):
            limits.attempt(ANNE)
    limits.attempt(BERT)


def test_successes_are_given_back(limits: SignInLimits) -> None:
    for _ in range(100):
        limits.attempt(ANNE)
        limits.succeeded(ANNE)


def test_many_attempts_at_once_are_held_to_the_limit(limits: SignInLimits) -> None:
    # All are taken before the first one is judged.
    fail(limits, ANNE, 3)
    with pytest.raises(ResourceExhausted):
        limits.attempt(ANNE)
    limits.succeeded(ANNE)
    limits.attempt(ANNE)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3::9", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("unix:/tmp/socket", "unix:/tmp/socket"),
        ("", ""),
    ],
)
def test_an_ipv6_address_stands_for_its_whole_network(address: str, name: str) -> None:
    assert network(address) == name
