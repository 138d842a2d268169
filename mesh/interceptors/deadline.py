"""Fifth: how much time is there? What remains is passed on to the services called from here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mesh import deadline
from mesh.access import Policy
from mesh.errors import DeadlineTooShort
from mesh.interceptors.auth import rule_of
from mesh.interceptors.base import Interceptor, Rpc, refuse


class Deadline(Interceptor):
    """Gives unary calls their rule's default where they bring no deadline, refuses what cannot be done in time, and
    stops the handler when its time is over. Streams live as long as their client wants."""

    name = "deadline budget"

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self._policy = policy

    @asynccontextmanager
    async def around(self, rpc: Rpc) -> AsyncIterator[None]:
        left = _time_left(rpc)
        if rpc.streaming:
            deadline.set_remaining(left)
            yield
            return
        rule = rule_of(self._policy, rpc.method)
        budget = rule.default_seconds if left is None else left
        if budget < rule.least_seconds:
            await refuse(rpc.context, DeadlineTooShort("less time is left than this needs; nothing was done"))
        deadline.set_remaining(budget)
        try:
            async with asyncio.timeout(budget) as scope:
                yield
        except TimeoutError:
            if not scope.expired():
                raise  # the handler's own
            await refuse(rpc.context, DeadlineTooShort("the time was over; nothing was done"))


def _time_left(rpc: Rpc) -> float | None:
    """Seconds; None when the client set no deadline (which gRPC's own types forget)."""
    return rpc.context.time_remaining()
