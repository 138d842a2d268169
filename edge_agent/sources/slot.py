"""The hand-over of frames from a capture thread to the event loop: room for one."""

import asyncio
import threading
from enum import Enum, auto

from edge_agent.sources.port import Frame


class End(Enum):
    """What follows the last frame of a recording."""

    OF_FILM = auto()
    """Nothing more for now; a new film may come."""


class FrameSlot:
    """One frame in waiting. Live: the newest replaces it, so that analysis never lags. Recorded: the thread waits."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """`loop`: where frames are taken."""
        self._loop = loop
        self._changed = threading.Condition()
        self._arrived = asyncio.Event()
        self._frame: Frame | End | None = None
        self._closed = False
        self._replaced = 0

    @property
    def replaced(self) -> int:
        """Frames that gave way to a newer one: analysis is slower than the camera."""
        return self._replaced

    def put(self, frame: Frame | End) -> bool:
        """From the thread. False when nobody will take frames any more."""
        with self._changed:
            if isinstance(frame, End) or frame.recorded:
                self._changed.wait_for(lambda: self._frame is None or self._closed)
            if self._closed:
                return False
            self._replaced += self._frame is not None
            self._frame = frame
        return self._wake()

    def close(self) -> None:
        """From either side: a waiting frame may still be taken, no other comes."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._wake()

    async def get(self) -> Frame | End | None:
        """The next frame; None after `close`."""
        while True:
            with self._changed:
                self._arrived.clear()
                frame, self._frame = self._frame, None
                if frame is not None:
                    self._changed.notify_all()
                    return frame
                if self._closed:
                    return None
            await self._arrived.wait()

    def _wake(self) -> bool:
        try:
            self._loop.call_soon_threadsafe(self._arrived.set)
        except RuntimeError:  # the loop has ended before the thread
            return False
        return True
