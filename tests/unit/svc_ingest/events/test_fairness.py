"""Turns: so many at once, and no tenant waits for another's whole queue."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from mesh.ids import TenantId
from svc_ingest.events.fairness import FairTurns
from tests.support.waiting import until

BUSY, QUIET = TenantId(uuid4()), TenantId(uuid4())


class Room:
    """Takes turns and remembers in which order they came."""

    def __init__(self, most: int) -> None:
        self.turns = FairTurns(most)
        self.order: list[str] = []
        self.inside = 0
        self.most_inside = 0
        self.doors: dict[str, asyncio.Event] = {}

    def enter(self, tenant: TenantId, name: str) -> asyncio.Task[None]:
        self.doors[name] = asyncio.Event()

        async def work() -> None:
            async with self.turns.turn(tenant):
                self.order.append(name)
                self.inside += 1
                self.most_inside = max(self.most_inside, self.inside)
                await self.doors[name].wait()
                self.inside -= 1

        return asyncio.create_task(work())


async def test_no_more_are_inside_than_there_are_turns() -> None:
    room = Room(2)
    tasks = [room.enter(BUSY, str(number)) for number in range(6)]
    await until(lambda: room.turns.waiting == 4)
    for door in room.doors.values():
        door.set()
    await asyncio.gather(*tasks)
    assert room.most_inside == 2
    assert room.order == ["0", "1", "2", "3", "4", "5"]


async def test_tenants_that_wait_take_turns() -> None:
    room = Room(1)
    tasks = [room.enter(BUSY, f"busy {number}") for number in range(4)]
    await until(lambda: room.turns.waiting == 3)
    tasks += [room.enter(QUIET, f"quiet {number}") for number in range(2)]
    await until(lambda: room.turns.waiting == 5)
    for door in room.doors.values():
        door.set()
    await asyncio.gather(*tasks)
    assert room.order == ["busy 0", "busy 1", "quiet 0", "busy 2", "quiet 1", "busy 3"]


async def test_who_gives_up_waiting_takes_no_turn_with_it() -> None:
    room = Room(1)
    first, waiting = room.enter(BUSY, "first"), room.enter(QUIET, "waiting")
    await until(lambda: room.turns.waiting == 1)
    waiting.cancel()
    await until(lambda: room.turns.waiting == 0)
    room.doors["first"].set()
    await first
    last = room.enter(BUSY, "last")
    room.doors["last"].set()
    await last
    assert room.order == ["first", "last"]


async def test_a_turn_that_comes_with_the_cancellation_is_passed_on() -> None:
    room = Room(1)
    first, unlucky, lucky = (room.enter(BUSY, name) for name in ("first", "unlucky", "lucky"))
    await until(lambda: room.turns.waiting == 2)
    room.doors["first"].set()
    first.add_done_callback(lambda _: unlucky.cancel())
    room.doors["lucky"].set()
    await asyncio.wait_for(lucky, 5)
    room.doors["unlucky"].set()
    await asyncio.gather(unlucky, return_exceptions=True)
    assert "lucky" in room.order
