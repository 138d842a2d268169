"""The one thread in which models run: off the event loop, shared fairly by all cameras."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from mesh.clock import Clock
from vision.manifest import Models
from vision.pipeline import FaceAnalyser

T = TypeVar("T")

FIRST_GUESS: Final = 0.03
"""Seconds per frame until the first frames have been measured."""
HEADROOM: Final = 0.8
"""Of the thread's time that may be planned for."""
WINDOW: Final = 10.0
"""Seconds over which the load is measured."""


class Inference:
    """Runs work in the inference thread, first come, first served, and knows how busy it is."""

    def __init__(self, load: Callable[[], Models], clock: Clock) -> None:
        """`load`: opens the models; called in the thread, by `start`."""
        self._load, self._clock = load, clock
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inference")
        self._recent: deque[tuple[float, float]] = deque()
        self._models: Models | None = None
        self._analyser: FaceAnalyser | None = None

    async def start(self) -> None:
        """Loads the models. Raises what `load` raises."""
        self._models = await self._in_thread(self._load)
        self._analyser = FaceAnalyser(self._models.detector, self._models.embedder)

    @property
    def analyser(self) -> FaceAnalyser:
        """To be used by work in the thread only. Raises RuntimeError before `start`."""
        if self._analyser is None:
            raise RuntimeError("the models are not loaded yet")
        return self._analyser

    @property
    def models(self) -> Models:
        """What was loaded. Raises RuntimeError before `start`."""
        if self._models is None:
            raise RuntimeError("the models are not loaded yet")
        return self._models

    async def run(self, work: Callable[[], T]) -> T:
        """Runs `work` in the thread, and counts it as load."""
        started = 0.0

        def timed() -> T:
            nonlocal started
            started = self._clock.monotonic()
            return work()

        answer = await self._in_thread(timed)
        self._recent.append((started, self._clock.monotonic() - started))
        return answer

    @property
    def spare_frame_rate(self) -> float:
        """Frames per second that the thread can still take."""
        now = self._clock.monotonic()
        while self._recent and self._recent[0][0] < now - WINDOW:
            self._recent.popleft()
        busy = sum(duration for _, duration in self._recent)
        each = busy / len(self._recent) if busy > 0 else FIRST_GUESS
        return max(0.0, HEADROOM / each - len(self._recent) / WINDOW)

    async def close(self) -> None:
        """Ends the thread, after the work in hand."""
        await asyncio.to_thread(self._executor.shutdown, wait=True)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)
