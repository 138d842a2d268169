"""Sources that OpenCV decodes: network cameras, USB cameras, and recordings."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge_agent.sources import ffmpeg
from edge_agent.sources.address import recording_start
from edge_agent.sources.port import Fault, Frame, Image, SourceError
from mesh.clock import Clock

OPEN_TIMEOUT_MS: Final = 5_000
"""A camera that has not answered by then is away."""

READ_TIMEOUT_MS: Final = 5_000
"""FFmpeg gives a read up after this long; the frame's age shows a frozen camera earlier."""

_TIMEOUTS: Final = (
    *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_TIMEOUT_MS),
    *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_TIMEOUT_MS),
)

RECORDING_SUFFIXES: Final = frozenset({".mp4", ".mkv", ".avi", ".mov", ".ts", ".webm", ".m4v"})


class _Capture:
    """A cv2.VideoCapture with the habits that all our sources share."""

    def __init__(self) -> None:
        self._capture: cv2.VideoCapture | None = None
        self._index = -1

    def open_device(self, number: int) -> bool:
        """Opens a USB camera anew; false when there is none. The backend differs by system: V4L2, AVFoundation."""
        self.close()
        return self._keep(cv2.VideoCapture(number, cv2.CAP_ANY))

    def open_stream(self, target: str, options: Mapping[str, str], parameters: Sequence[int] = ()) -> bool:
        """Opens an URL or a file anew by FFmpeg; false when that could not."""
        self.close()
        with ffmpeg.ffmpeg_options(options):
            return self._keep(cv2.VideoCapture(target, cv2.CAP_FFMPEG, list(parameters)))

    def _keep(self, capture: cv2.VideoCapture) -> bool:
        if not capture.isOpened():
            capture.release()
            return False
        self._capture, self._index = capture, -1
        return True

    def grab(self) -> bool:
        """Steps to the next frame without decoding it whole; false when none came."""
        if self._capture is None:
            raise SourceError(Fault.UNREACHABLE, "the source is not open")
        self._index += 1
        return bool(self._capture.grab())

    def retrieve(self) -> Image | None:
        """The frame that `grab` stepped to; None when it cannot be decoded."""
        if self._capture is None:
            return None
        decoded, image = self._capture.retrieve()
        if not decoded or image is None:
            return None
        pixels: Image = np.asarray(image, np.uint8)
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR).astype(np.uint8) if pixels.ndim == 2 else pixels

    def position(self) -> timedelta:
        """Of the frame that `grab` stepped to, from the start of the file."""
        if self._capture is None:
            return timedelta()
        milliseconds = self._capture.get(cv2.CAP_PROP_POS_MSEC)
        if milliseconds <= 0 and self._index > 0:
            # Containers without timestamps: by the frame's number.
            rate = self._capture.get(cv2.CAP_PROP_FPS)
            milliseconds = self._index / (rate if rate > 0 else 25.0) * 1000.0
        return timedelta(milliseconds=milliseconds)

    def length(self) -> timedelta:
        """Of the whole file; zero when it does not tell."""
        if self._capture is None:
            return timedelta()
        rate, frames = self._capture.get(cv2.CAP_PROP_FPS), self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        return timedelta(seconds=max(0.0, frames / rate)) if rate > 0 else timedelta()

    @property
    def index(self) -> int:
        """Of the frame that `grab` stepped to."""
        return self._index

    def close(self) -> None:
        """Releases the device or connection."""
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()


class LiveSource:
    """A camera of now: RTSP, MJPEG over HTTP, USB. The wall clock at arrival is the time of capture."""

    def __init__(self, target: str | int, clock: Clock) -> None:
        """`target`: an URL with its credentials, or the number of a USB device. `clock`: the agent's."""
        self._target, self._clock = target, clock
        self._capture = _Capture()

    @property
    def recorded(self) -> bool:
        """See `Source.recorded`."""
        return False

    def open(self) -> None:
        """See `Source.open`."""
        if isinstance(self._target, int):
            opened = self._capture.open_device(self._target)
        else:
            options = ffmpeg.RTSP if self._target.lower().startswith("rtsp") else ffmpeg.HTTP
            opened = self._capture.open_stream(self._target, options, _TIMEOUTS)
        if not opened:
            raise SourceError(Fault.UNREACHABLE, "the camera does not answer, or with no picture")

    def read(self, *, after: datetime | None = None) -> Frame | None:
        """See `Source.read`."""
        while True:
            if not self._capture.grab():
                raise SourceError(Fault.UNREACHABLE, "the camera stopped sending pictures")
            captured = self._clock.now()
            if after is None or captured >= after:
                break
        image = self._capture.retrieve()
        if image is None:
            raise SourceError(Fault.UNSUPPORTED, "the camera's pictures cannot be decoded")
        return Frame(image, captured, self._capture.index, recorded=False)

    def close(self) -> None:
        """See `Source.close`."""
        self._capture.close()


class RecordingSource:
    """One or several files, played in the order of their start times, once."""

    def __init__(self, path: Path) -> None:
        """`path`: a file, or a folder of files whose names tell when they start. Already known to be allowed."""
        self._path = path
        self._waiting: list[Path] = []
        self._start: datetime | None = None
        self._ended = False
        self._index = -1
        self._capture = _Capture()

    @property
    def recorded(self) -> bool:
        """See `Source.recorded`."""
        return True

    def open(self) -> None:
        """See `Source.open`."""
        self.close()
        if not self._path.exists():
            raise SourceError(Fault.UNREACHABLE, "the recording is not there")
        self._waiting = _in_order(self._path) if self._path.is_dir() else [self._path]
        if not self._waiting:
            raise SourceError(Fault.UNREACHABLE, "the folder holds no recording named by its start time")
        self._ended, self._index = False, -1
        self._next_file()

    def read(self, *, after: datetime | None = None) -> Frame | None:
        """See `Source.read`."""
        if self._ended:
            return None
        if self._start is None:
            raise SourceError(Fault.UNREACHABLE, "the source is not open")
        while True:
            if not self._capture.grab():
                if not self._next_file():
                    return None
                continue
            self._index += 1
            captured = self._start + self._capture.position()
            if after is not None and captured < after:
                continue
            image = self._capture.retrieve()
            if image is not None:
                return Frame(image, captured, self._index, recorded=True)

    def close(self) -> None:
        """See `Source.close`."""
        self._capture.close()
        self._start = None
        self._ended = False

    def _next_file(self) -> bool:
        """Steps to the next file that opens; false at the end. Raises `SourceError` when not one of them opened."""
        while self._waiting:
            path = self._waiting.pop(0)
            if self._capture.open_stream(str(path), ffmpeg.RECORDING):
                self._start = recording_start(path) or _start_by_modification(path, self._capture)
                return True
        self._ended = True
        if self._start is None:
            raise SourceError(Fault.UNSUPPORTED, "the recording cannot be decoded")
        return False


def _in_order(folder: Path) -> list[Path]:
    named = [(recording_start(path), path) for path in folder.iterdir() if path.suffix.lower() in RECORDING_SUFFIXES]
    return [path for _, path in sorted((start, path) for start, path in named if start is not None)]


def _start_by_modification(path: Path, capture: _Capture) -> datetime:
    """For a file whose name tells no start: it was last written when it ended."""
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return written - capture.length()
