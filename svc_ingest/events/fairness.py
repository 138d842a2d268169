"""Turns for batches: so many at once, and each tenant its share, however much another one sends.

A tenant that waits alone goes next; where several wait, they take turns. Within a tenant: first come, first served.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mesh.ids import TenantId


class FairTurns:
    """A semaphore with a queue per tenant.

    Args:
        most: turns at once.
    """

    def __init__(self, most: int) -> None:
        self._free = most
        self._queues: OrderedDict[TenantId, deque[asyncio.Future[None]]] = OrderedDict()

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return sum(len(queue) for queue in self._queues.values())

    @asynccontextmanager
    async def turn(self, tenant_id: TenantId) -> AsyncIterator[None]:
        """Waits for a turn, and has it for the length of the block."""
        await self._take(tenant_id)
        try:
            yield
        finally:
            self._give()

    async def _take(self, tenant_id: TenantId) -> None:
        if self._free > 0:  # then nobody waits
            self._free -= 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue = self._queues.setdefault(tenant_id, deque())
        queue.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._give()  # the turn came in the same moment: somebody else shall have it
            else:
                self._leave(tenant_id, place)
            raise

    def _give(self) -> None:
        """Hands the turn to the tenant whose last one is longest ago."""
        if not self._queues:
            self._free += 1
            return
        tenant_id, queue = next(iter(self._queues.items()))
        queue.popleft().set_result(None)
        if queue:
            self._queues.move_to_end(tenant_id)
        else:
            del self._queues[tenant_id]

    def _leave(self, tenant_id: TenantId, place: asyncio.Future[None]) -> None:
        queue = self._queues[tenant_id]
        queue.remove(place)
        if not queue:
            del self._queues[tenant_id]
