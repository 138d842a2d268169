"""One camera's capture: a thread that opens its source, reads at the wanted rate, and begins anew when it breaks."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final

import structlog

from edge_agent.sources.port import Fault, Frame, Source, SourceError
from edge_agent.sources.slot import End, FrameSlot
from footfall_client.backoff import FullJitter
from mesh.clock import Clock

FROZEN_AFTER: Final = 10.0
"""Seconds without a new frame after which an open camera counts as frozen. FFmpeg itself notices after about 9 s."""

STABLE_AFTER: Final = 10.0
"""Seconds of frames after which the next failure counts as the first."""

NEW_FILM_EVERY: Final = 2.0
"""Seconds between two looks for a new film after the last has ended."""

LARGEST_STEP: Final = timedelta(seconds=2)
"""A longer step between two frames of recordings is the gap between two files: playback does not wait for it."""

_log = structlog.get_logger(__name__)


class Activity(Enum):
    """What a capture does."""

    OPENING = auto()
    WATCHING = auto()
    FAILING = auto()
    ENDED = auto()


@dataclass(frozen=True, slots=True)
class Health:
    """How a capture fares."""

    activity: Activity
    frame_age: float | None = None
    """Seconds since the newest frame; None before the first."""
    fault: Fault | None = None
    """For FAILING."""
    message: str = ""
    """For FAILING; for people, without address or credentials."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast frames are wanted."""

    frame_rate: float
    """Frames per second of the picture's own time."""
    recorded_speed: float = 1.0
    """Recordings: times as fast as they were filmed; 0 means as fast as they can be analysed."""

    def due(self, due: datetime | None, captured: datetime) -> datetime:
        """When the frame after one captured at `captured` is wanted, given when that one was: keeps the mean rate."""
        interval = timedelta(seconds=1 / self.frame_rate)
        following = (due or captured) + interval
        return following if following > captured else captured + interval

    @property
    def slack(self) -> timedelta:
        """A frame that comes this little before it is due is taken: rates of camera and analysis may be the same."""
        return timedelta(seconds=0.2 / self.frame_rate)


class Capture:
    """Frames of one camera, for as long as they are wanted."""

    def __init__(
        self, make: Callable[[], Source], *, pace: Pace, clock: Clock, backoff: FullJitter, camera: str
    ) -> None:
        """`make`: makes the source, or raises `SourceError`. `camera`: its id, for logs. Starts nothing."""
        self._make, self._pace, self._clock, self._backoff, self._camera = make, pace, clock, backoff, camera
        self._frozen_after = max(FROZEN_AFTER, 3 / pace.frame_rate)
        self._stop = threading.Event()
        self._slot: FrameSlot | None = None
        self._thread: threading.Thread | None = None
        self._health = Health(Activity.OPENING)
        self._newest: float | None = None
        self._recorded = False

    @property
    def health(self) -> Health:
        """As of now. A camera that is open and silent is FAILING: the frame's age tells, not the connection."""
        health, newest = self._health, self._newest
        age = None if newest is None else self._clock.monotonic() - newest
        frozen = health.activity is Activity.WATCHING and age is not None and age > self._frozen_after
        if frozen and not self._recorded:
            return Health(Activity.FAILING, age, Fault.FROZEN, "the camera sends no new picture")
        return Health(health.activity, age, health.fault, health.message)

    async def frames(self) -> AsyncIterator[Frame | End]:
        """Starts the thread; yields until `stop`. After the end of a recording a new film may begin."""
        self._slot = FrameSlot(asyncio.get_running_loop())
        self._thread = threading.Thread(target=self._run, args=(self._slot,), name=f"capture-{self._camera}")
        self._thread.daemon = True  # a read that hangs in a driver must not hold the process
        self._thread.start()
        while (frame := await self._slot.get()) is not None:
            yield frame

    async def stop(self, patience: float = 6.0) -> None:
        """Ends the thread; waits `patience` seconds for a read that hangs, then leaves it to end by itself."""
        self._stop.set()
        if self._slot is not None:
            self._slot.close()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, patience)

    def _run(self, slot: FrameSlot) -> None:
        try:
            while not self._stop.is_set():
                started = self._clock.monotonic()
                try:
                    self._watch(slot)
                except SourceError as error:
                    self._failed(error, watched=self._clock.monotonic() - started)
                    self._stop.wait(self._backoff.next())
        finally:
            slot.close()

    def _watch(self, slot: FrameSlot) -> None:
        """Opens and reads until nobody wants frames any more. Raises `SourceError`."""
        source = self._make()
        try:
            source.open()
            due, playback = None, _Playback(self._pace.recorded_speed, self._clock)
            while not self._stop.is_set():
                frame = source.read(after=None if due is None else due - self._pace.slack)
                if frame is None:
                    due, playback = None, _Playback(self._pace.recorded_speed, self._clock)
                    self._ended(slot)
                    continue
                due = self._pace.due(due, frame.capture_time)
                self._newest, self._recorded = self._clock.monotonic(), frame.recorded
                self._health = Health(Activity.WATCHING)
                if (frame.recorded and self._stop.wait(playback.wait(frame.capture_time))) or not slot.put(frame):
                    return
        finally:
            source.close()

    def _ended(self, slot: FrameSlot) -> None:
        """Says so once, then looks for a new film now and then."""
        if self._health.activity is not Activity.ENDED:
            self._health = Health(Activity.ENDED)
            slot.put(End.OF_FILM)
        self._stop.wait(NEW_FILM_EVERY)

    def _failed(self, error: SourceError, watched: float) -> None:
        if watched >= STABLE_AFTER and self._health.activity is Activity.WATCHING:
            self._backoff.reset()
        self._health = Health(Activity.FAILING, None, error.fault, error.message)
        _log.warning("capture_failed", camera_id=self._camera, fault=error.fault.value, problem=error.message)


class _Playback:
    """The wall time at which a recording's frames are due."""

    def __init__(self, speed: float, clock: Clock) -> None:
        self._speed, self._clock = speed, clock
        self._began: float | None = None
        self._shown = timedelta()
        self._last: datetime | None = None

    def wait(self, captured: datetime) -> float:
        """Seconds until the frame may be shown; 0 when it is late."""
        if self._speed <= 0:
            return 0.0
        now = self._clock.monotonic()
        if self._began is None or self._last is None:
            self._began = now
        else:
            self._shown += min(captured - self._last, LARGEST_STEP)
        self._last = captured
        return max(0.0, self._began + self._shown.total_seconds() / self._speed - now)
