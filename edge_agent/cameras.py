"""All cameras of the agent: what is wanted is a level, and each camera follows it at its own speed."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from edge_agent.camera import Camera, Farewell
from edge_agent.plan import Plan, Report
from edge_agent.session.domain import Watch
from edge_agent.spool.spool import Spool
from mesh.clock import Clock
from mesh.ids import CameraId

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FirstFrame:
    """A camera delivers pictures."""

    camera_id: CameraId


@dataclass(frozen=True, slots=True)
class Stopped:
    """A camera is no longer watched, and everything it saw is in the spool."""

    camera_id: CameraId
    farewell: Farewell


Notice = FirstFrame | Stopped


class Cameras:
    """Starts, changes and stops cameras until they are what was asked for last."""

    def __init__(self, make: Callable[[CameraId, Plan], Camera], spool: Spool, clock: Clock) -> None:
        """`make`: makes a camera that has not begun."""
        self._make, self._spool, self._clock = make, spool, clock
        self._wanted: dict[CameraId, Watch[Plan]] = {}
        self._at_work: dict[CameraId, Camera] = {}
        self._keepers: dict[CameraId, asyncio.Task[None]] = {}
        self._changed: dict[CameraId, asyncio.Event] = {}
        self.notices: asyncio.Queue[Notice] = asyncio.Queue()

    def watch(self, wanted: Mapping[CameraId, Watch[Plan]]) -> None:
        """What to do from now on with every camera; one that is not named stops."""
        self._wanted = dict(wanted)
        for camera_id, watch in self._wanted.items():
            # At once, not when its keeper gets round to it: an epoch that ended must see no further frame.
            if (camera := self._at_work.get(camera_id)) is not None and camera.plan == watch.plan:
                camera.watch(watch.epoch, paused=watch.paused)
            if camera_id not in self._keepers or self._keepers[camera_id].done():
                self._changed[camera_id] = asyncio.Event()
                self._keepers[camera_id] = asyncio.create_task(self._keep(camera_id), name=f"camera-{camera_id}")
        for event in self._changed.values():
            event.set()

    def reports(self) -> dict[CameraId, Report]:
        """Of the cameras at work."""
        return {camera_id: camera.report() for camera_id, camera in self._at_work.items()}

    async def tick(self) -> None:
        """To be called every second or so: ends forgotten tracks."""
        for camera in list(self._at_work.values()):
            await camera.tick()

    async def write_coverage(self) -> None:
        """Puts what changed into the spool."""
        changed = [slice_ for camera in self._at_work.values() for slice_ in camera.take_coverage()]
        await self._spool.put_coverage(changed)

    async def stop(self) -> None:
        """Stops every camera; what they saw is in the spool when this returns."""
        self.watch({})
        await asyncio.gather(*self._keepers.values())

    async def _keep(self, camera_id: CameraId) -> None:
        """One camera's keeper: lives until the camera is let go."""
        changed = self._changed[camera_id]
        while True:
            changed.clear()
            watch = self._wanted.get(camera_id)
            if watch is None:
                return
            await self._work(camera_id, watch.plan, changed)

    async def _work(self, camera_id: CameraId, plan: Plan, changed: asyncio.Event) -> None:
        """Watches by one plan, until it is no longer wanted so."""
        camera = self._make(camera_id, plan)
        self._at_work[camera_id] = camera
        running = asyncio.create_task(camera.run(), name=f"watch-{camera_id}")
        first = asyncio.create_task(self._tell_first_frame(camera_id, camera))
        try:
            while (watch := self._wanted.get(camera_id)) is not None and watch.plan == plan:
                camera.watch(watch.epoch, paused=watch.paused)
                await _either(changed, running)
                changed.clear()
                if running.done():
                    self._failed(camera_id, running)
                    await self._clock.sleep(1)
                    break
        finally:
            first.cancel()
            farewell = await camera.stop()
            await asyncio.gather(running, return_exceptions=True)
            await self._spool.put_coverage(camera.take_coverage())
            del self._at_work[camera_id]
            self.notices.put_nowait(Stopped(camera_id, farewell))

    async def _tell_first_frame(self, camera_id: CameraId, camera: Camera) -> None:
        await camera.delivers.wait()
        self.notices.put_nowait(FirstFrame(camera_id))

    def _failed(self, camera_id: CameraId, running: asyncio.Task[None]) -> None:
        error = None if running.cancelled() else running.exception()
        _log.error("camera_task_ended", camera_id=str(camera_id), exc_info=error)


async def _either(changed: asyncio.Event, running: asyncio.Task[None]) -> None:
    """Returns when something changed or the camera's task is done; leaves the task running."""
    waiting = asyncio.ensure_future(changed.wait())
    try:
        await asyncio.wait({waiting, running}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
