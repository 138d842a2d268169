"""Background work under one roof: a loop that fails is logged, waits and starts again; all end together.

supervisor = Supervisor(clock)
supervisor.every(1.0, "reconcile", reconcile)          # waits between the end of one turn and the next
supervisor.keep("hints", listener.run)                 # runs for ever; restarted when it ends
await supervisor.stop()
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog

from mesh import telemetry
from mesh.clock import Clock
from mesh.errors import Unavailable

FIRST_BACKOFF: Final = 0.5  # seconds, doubled at each failure in a row
MOST_BACKOFF: Final = 30.0
HEALTHY_SECONDS: Final = 60.0  # a task that ran so long starts again at the first backoff
JITTER: Final = 0.1  # of the interval, so that replicas do not act in step

_log = structlog.get_logger(__name__)
_failures = telemetry.counter("task_failures", "Failures of background tasks", ["task"])

Work = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Background:
    """One piece of background work, as wiring.py names it.

    Attributes:
        name: for the log and the metrics.
        work: an async callable.
        every_seconds: None: it runs for ever by itself; else it is called again so long after each end.
    """

    name: str
    work: Work
    every_seconds: float | None = None


class Supervisor:
    """Runs background work until `stop`.

    Args:
        clock: sleeps between turns.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, background: Background) -> None:
        """Starts one piece of work."""
        task = asyncio.create_task(self._supervise(background), name=background.name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def every(self, seconds: float, name: str, work: Work) -> None:
        """Calls `work` at once, then each time `seconds` (± 10 %) after its end."""
        self.start(Background(name, work, seconds))

    def keep(self, name: str, work: Work) -> None:
        """Keeps `work` running for ever."""
        self.start(Background(name, work))

    async def stop(self) -> None:
        """Cancels everything and waits for its end."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _supervise(self, background: Background) -> None:
        failures = 0
        while True:
            started = self._clock.monotonic()
            try:
                with telemetry.request_scope():
                    await background.work()
            except Exception as error:  # noqa: BLE001 (whatever it was, the others and the next turn go on)
                if self._clock.monotonic() - started > HEALTHY_SECONDS:
                    failures = 0
                failures += 1
                _failures.labels(background.name).inc()
                if isinstance(error, Unavailable | OSError):  # a dependency is away: no bug, so no traceback
                    _log.warning("task_waits", task=background.name, failures=failures, error=str(error))
                else:
                    _log.exception("task_failed", task=background.name, failures=failures)
                most = min(MOST_BACKOFF, FIRST_BACKOFF * 2 ** min(failures - 1, 16))
                await self._clock.sleep(random.uniform(most / 2, most))  # noqa: S311 (jitter, no secret)
                continue
            failures = 0
            pause = background.every_seconds if background.every_seconds is not None else FIRST_BACKOFF
            await self._clock.sleep(pause * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311
