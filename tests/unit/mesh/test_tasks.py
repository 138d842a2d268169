import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest

from mesh.clock import FakeClock
from mesh.tasks import Background, Supervisor
from tests.support.waiting import until


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def supervisor(clock: FakeClock) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(clock)
    yield supervisor
    await supervisor.stop()


async def test_work_is_done_at_once_and_again_after_each_pause(supervisor: Supervisor, clock: FakeClock) -> None:
    turns: list[float] = []

    async def work() -> None:
        turns.append(clock.monotonic())

    supervisor.every(10, "work", work)
    await until(lambda: clock.sleepers == 1)
    clock.advance(8.9)  # ± 10 %
    await asyncio.sleep(0)
    assert turns == [0]
    clock.advance(2.2)
    await until(lambda: len(turns) == 2)


async def test_a_failure_is_logged_and_the_work_goes_on(supervisor: Supervisor, clock: FakeClock) -> None:
    turns: list[int] = []

    async def work() -> None:
        turns.append(1)
        if len(turns) < 3:
            raise ValueError

    supervisor.every(1, "work", work)
    for _ in range(2):
        await until(lambda: clock.sleepers == 1)
        clock.advance(30)
    await until(lambda: len(turns) >= 3)


async def test_failures_in_a_row_wait_longer_each_time_up_to_a_limit(supervisor: Supervisor, clock: FakeClock) -> None:
    turns: list[float] = []

    async def work() -> None:
        turns.append(clock.monotonic())
        raise ValueError

    supervisor.keep("work", work)
    while len(turns) < 12:
        await until(lambda: clock.sleepers == 1)
        clock.advance(0.25)
        await asyncio.sleep(0)
    pauses = [later - earlier for earlier, later in pairwise(turns)]
    assert pauses[0] <= 0.75
    assert all(0.25 <= pause <= 30.25 for pause in pauses)
    assert pauses[-1] >= 15


async def test_one_failing_task_does_not_stop_the_others(supervisor: Supervisor, clock: FakeClock) -> None:
    done = asyncio.Event()

    async def fails() -> None:
        raise ValueError

    async def works() -> None:
        done.set()

    supervisor.start(Background("fails", fails))
    supervisor.start(Background("works", works, 1))
    await done.wait()


async def test_all_work_ends_together(clock: FakeClock) -> None:
    supervisor, ended = Supervisor(clock), []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(1)

    supervisor.keep("one", work)
    supervisor.keep("two", work)
    await asyncio.sleep(0)
    await supervisor.stop()
    assert ended == [1, 1]
