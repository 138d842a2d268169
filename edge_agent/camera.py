"""One camera at work: its capture, its eye, its book of coverage, and its events into the spool."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from edge_agent.coverage import CoverageBook
from edge_agent.eye import Eye, Seen, Sighting, recorded_event_id
from edge_agent.gallery import Gallery
from edge_agent.inference import Inference
from edge_agent.messages import face_detected
from edge_agent.plan import Plan, Report, Trouble
from edge_agent.session.timing import UNKNOWN_UNCERTAINTY, ClockOffset
from edge_agent.sources.capture import Activity, Capture, Pace
from edge_agent.sources.port import Frame
from edge_agent.sources.slot import End
from edge_agent.spool.records import NewEvent, Slice
from edge_agent.spool.spool import Spool, SpoolUnwritableError
from edge_agent.tracking.domain import Rules
from mesh.clock import Clock
from mesh.ids import CameraId, EventId, Ids, LeaseEpoch
from vision.demo import NotADemoFilm

RATE_WINDOW: Final = 10.0
"""Seconds over which the analysed frame rate is told."""

SILENCE: Final = 5.0
"""Seconds without a frame after which open tracks end: their people are not there any more, or nobody will know."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Farewell:
    """What a camera leaves when it stops."""

    epoch: LeaseEpoch | None
    end_time: datetime | None
    """Of the last frame watched under that epoch."""
    last_event_id: EventId | None


@dataclass(slots=True)
class WorkerClock:
    """The agent's wall clock beside the server's, as last measured."""

    clock: Clock
    offset: ClockOffset | None = None

    def server_now(self) -> datetime:
        """The best guess of server time."""
        return self.clock.now() + (self.offset.offset if self.offset else timedelta())

    def uncertainty(self) -> timedelta:
        """How far it may be off either way."""
        return self.offset.uncertainty(self.clock.monotonic()) if self.offset else UNKNOWN_UNCERTAINTY


@dataclass(slots=True)
class Workshop:
    """What all cameras of an agent share."""

    boot_id: UUID
    clock: WorkerClock
    ids: Ids
    inference: Inference
    spool: Spool
    rules: Rules
    make_capture: Callable[[CameraId, Plan, Pace], Capture]
    recorded_speed: float
    same_face: float
    """Cosine from which on two shots of one camera, a moment apart, show one person."""
    gallery: Gallery = field(default_factory=Gallery)


class Camera:
    """Watches until it is stopped. Events are emitted only under an epoch, and only while `alive` says so."""

    def __init__(self, camera_id: CameraId, plan: Plan, shop: Workshop, alive: Callable[[LeaseEpoch], bool]) -> None:
        """`alive`: whether events may be captured under an epoch at this very moment. Starts nothing."""
        self._id, self.plan, self._shop, self._alive = camera_id, plan, shop, alive
        self._capture = shop.make_capture(camera_id, plan, Pace(plan.frame_rate, shop.recorded_speed))
        self._eye = Eye(shop.inference.analyser, plan.eye, shop.rules, shop.same_face)
        self._busy = asyncio.Lock()
        self._wanted: tuple[LeaseEpoch | None, bool] = (None, False)
        self._epoch: LeaseEpoch | None = None
        self._paused = False
        self._books: dict[LeaseEpoch, CoverageBook] = {}
        self._looks: deque[float] = deque()
        self._last_frame: float | None = None
        self._last_time: datetime | None = None
        self._last_event: EventId | None = None
        self._oldest: datetime | None = None
        self._recorded = False
        self._ended = False
        self._trouble: Trouble | None = None
        self.delivers = asyncio.Event()
        """Set by the first frame."""

    def watch(self, epoch: LeaseEpoch | None, *, paused: bool) -> None:
        """From the next frame on: emit under `epoch` (None: emit nothing), or only hold the source open."""
        self._wanted = (epoch, paused)

    async def run(self) -> None:
        """Watches until `stop`."""
        async for frame in self._capture.frames():
            async with self._busy:
                await self._obey()
                if isinstance(frame, End):
                    await self._flush()
                else:
                    await self._look(frame)
                self._ended = isinstance(frame, End)

    async def tick(self) -> None:
        """To be called every second or so: ends tracks that a silent camera left open."""
        async with self._busy:
            await self._obey()
            silent = self._last_frame is not None and self._shop.clock.clock.monotonic() - self._last_frame > SILENCE
            if silent and self._oldest is not None:
                await self._flush()

    async def stop(self) -> Farewell:
        """Ends the capture and the tracks; their events are in the spool when this returns."""
        await self._capture.stop()
        async with self._busy:
            await self._flush()
        return Farewell(self._epoch, self._last_time, self._last_event)

    def report(self) -> Report:
        """As of now."""
        health, now = self._capture.health, self._shop.clock.clock.monotonic()
        while self._looks and self._looks[0] < now - RATE_WINDOW:
            self._looks.popleft()
        trouble = Trouble(health.fault.value, health.message) if health.fault else self._trouble
        activity = Activity.FAILING if trouble else health.activity
        if activity is Activity.ENDED and not self._ended:
            # The film was read; its last people are not events yet.
            activity = Activity.WATCHING
        rate = len(self._looks) / RATE_WINDOW
        return Report(activity, self._paused, health.frame_age, rate, trouble, self._watermark(activity))

    def take_coverage(self) -> Sequence[Slice]:
        """Totals of the quarters that changed since the last call."""
        return [changed for book in self._books.values() for changed in book.take_changes()]

    def _watermark(self, activity: Activity) -> datetime:
        if self._oldest is not None:
            return self._oldest
        if self._recorded and self._last_time is not None and activity is not Activity.ENDED:
            return self._last_time
        return self._shop.clock.server_now()

    async def _obey(self) -> None:
        """Takes up what `watch` said last. Tracks end under the epoch that they began under."""
        epoch, paused = self._wanted
        if (epoch, paused) == (self._epoch, self._paused):
            return
        await self._flush()
        if epoch != self._epoch:
            self._last_time = self._last_event = None
        self._epoch, self._paused = epoch, paused

    async def _look(self, frame: Frame) -> None:
        self.delivers.set()
        self._last_frame, self._recorded = self._shop.clock.clock.monotonic(), frame.recorded
        epoch = self._epoch
        if epoch is None or self._paused or not self._alive(epoch):
            await self._flush()
            return
        measured = self._shop.clock.offset
        offset = measured.offset if measured else timedelta()
        try:
            seen = await self._shop.inference.run(lambda: self._eye.look(frame, offset))
        except NotADemoFilm as error:
            self._trouble = Trouble("MODEL_MISSING", str(error))
            return
        self._trouble = None
        self._looks.append(self._last_frame)
        self._last_time = frame.capture_time if frame.recorded else frame.capture_time + offset
        self._book(epoch).frame(self._last_time)
        await self._keep(seen, epoch)

    async def _flush(self) -> None:
        """Ends the tracks; what follows was not watched without a break."""
        if self._epoch is None:
            return
        self._book(self._epoch).interrupted()
        if self._oldest is not None:
            await self._keep(await self._shop.inference.run(self._eye.finish), self._epoch)

    async def _keep(self, seen: Seen, epoch: LeaseEpoch) -> None:
        book = self._book(epoch)
        for time in seen.passed:
            book.passage(time, usable=False)
        for sighting in seen.sightings:
            book.passage(sighting.capture_time, usable=await self._store(sighting, epoch))
        self._oldest = seen.oldest

    async def _store(self, sighting: Sighting, epoch: LeaseEpoch) -> bool:
        """Into the spool; false when the disk took it not: then it is a face that was seen, and no event."""
        clock = self._shop.clock
        if sighting.recorded:
            event_id = recorded_event_id(self._id, sighting.capture_time, sighting.box)
        else:
            event_id = EventId(self._shop.ids.uuid7(sighting.capture_time))
        body = face_detected(
            sighting,
            event_id=event_id,
            camera_id=self._id,
            epoch=epoch,
            space=self._shop.inference.models.embedder.space,
            offset=timedelta() if sighting.recorded or clock.offset is None else clock.offset.offset,
            uncertainty=timedelta() if sighting.recorded else clock.uncertainty(),
            staff=self._shop.gallery.recognise(sighting.embedding),
        )
        event = NewEvent(event_id, self._id, epoch, sighting.capture_time, bytes(body), sighting.snapshot)
        try:
            await self._shop.spool.put(event)
        except SpoolUnwritableError as error:
            _log.error("passage_lost", camera_id=str(self._id), problem=str(error))
            return False
        self._last_event = event_id
        _log.info("passage", camera_id=str(self._id), event_id=str(event_id), epoch=epoch)
        return True

    def _book(self, epoch: LeaseEpoch) -> CoverageBook:
        if epoch not in self._books:
            self._books[epoch] = CoverageBook(self._shop.boot_id, self._id, epoch, self.plan.frame_rate)
        return self._books[epoch]
