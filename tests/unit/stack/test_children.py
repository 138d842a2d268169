"""The order of starting, and the wait before starting again."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.children import LONGEST_DELAY_SECONDS, Step, backoff_seconds, in_order


async def nothing() -> None:
    """Does nothing."""


def steps(**after: tuple[str, ...]) -> list[Step]:
    return [Step(name, nothing, names) for name, names in after.items()]


def test_each_wave_comes_after_what_it_names() -> None:
    nodes = steps(gateway=("registry", "ingest"), registry=("db",), ingest=("db",), db=())
    assert in_order(nodes) == [["db"], ["ingest", "registry"], ["gateway"]]


def test_a_circle_is_named() -> None:
    with pytest.raises(ValueError, match="these wait for one another: a, b"):
        in_order(steps(a=("b",), b=("a",), c=()))


def test_waiting_for_nobody_known_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing is called elsewhere"):
        in_order(steps(a=("elsewhere",)))


def test_names_are_unique() -> None:
    with pytest.raises(ValueError, match="same name"):
        in_order([*steps(a=()), *steps(a=())])


@given(failures=st.integers(1, 10_000), seed=st.integers())
def test_the_wait_is_bounded(failures: int, seed: int) -> None:
    seconds = backoff_seconds(failures, random.Random(seed))  # noqa: S311
    assert 0 <= seconds <= min(LONGEST_DELAY_SECONDS, 0.2 * 2 ** min(failures, 60))


def test_the_first_wait_is_short_and_later_ones_spread_over_the_whole_bound() -> None:
    rng = random.Random(7)  # noqa: S311
    assert max(backoff_seconds(1, rng) for _ in range(100)) <= 0.2
    late = [backoff_seconds(50, rng) for _ in range(200)]
    assert min(late) < 3
    assert max(late) > 27
