import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from mesh.clock import FakeClock, SystemClock
from tests.support.waiting import until

START = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_real_clock_is_aware() -> None:
    assert SystemClock().now().tzinfo is UTC


def test_time_of_the_fake_passes_only_when_told() -> None:
    clock = FakeClock(START)
    assert (clock.now(), clock.monotonic()) == (START, 0.0)
    clock.advance(899.999)
    assert clock.now() == START + timedelta(seconds=899.999)
    assert clock.monotonic() == 899.999


def test_time_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="back"):
        FakeClock().advance(-1)


def test_a_naive_start_is_refused() -> None:
    with pytest.raises(ValueError, match="naive"):
        FakeClock(datetime(2026, 1, 1))  # noqa: DTZ001 (the point)


async def test_sleepers_wake_when_their_time_has_come_and_not_before() -> None:
    clock = FakeClock(START)
    woken: list[str] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(name)

    tasks = [asyncio.create_task(sleeper("late", 10)), asyncio.create_task(sleeper("early", 5))]
    await until(lambda: clock.sleepers == 2)
    clock.advance(4.999)
    await asyncio.sleep(0)
    assert woken == []
    clock.advance(0.001)
    await until(lambda: woken == ["early"])
    clock.advance(5)
    await asyncio.gather(*tasks)
    assert woken == ["early", "late"]


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = FakeClock()
    task = asyncio.create_task(clock.sleep(5))
    await until(lambda: clock.sleepers == 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert clock.sleepers == 0
