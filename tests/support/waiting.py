"""Waiting for what must come true, instead of sleeping and hoping."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable


async def until(condition: Callable[[], Awaitable[object] | object], *, within: float = 30.0) -> None:
    """Returns once `condition()` holds (or what it awaits does), looking again whenever other tasks have run.

    Raises TimeoutError after `within` seconds: a bound for a broken test, not a measure of anything.
    """
    async with asyncio.timeout(within):
        while True:
            answer = condition()
            if await answer if inspect.isawaitable(answer) else answer:
                return
            await asyncio.sleep(0.005)
