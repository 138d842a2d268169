"""Waiting for what must come true, instead of sleeping and hoping."""

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object], *, within: float = 30.0) -> None:
    """Returns once `condition()` holds, looking again whenever other tasks have run.

    Raises TimeoutError after `within` seconds: a bound for a broken test, not a measure of anything.
    """
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110  what is waited for has no event of its own
            await asyncio.sleep(0.005)
