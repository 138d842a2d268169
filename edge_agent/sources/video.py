"""Sources that OpenCV decodes: network cameras, USB cameras, and recordings."""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
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

WRITTEN_FOR: Final = 3.0
"""Seconds that a film in a folder must have been left alone before it is taken for whole."""

_CLOSED: Final = -2
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

    def open_device(self, device: int | Path) -> bool:
        """Opens a USB camera anew; false when there is none. By number the backend differs: V4L2, AVFoundation."""
        self.close()
        if isinstance(device, Path):
            return self._keep(cv2.VideoCapture(str(device), cv2.CAP_V4L2))
        return self._keep(cv2.VideoCapture(device, cv2.CAP_ANY))

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

    def __init__(self, target: str | int | Path, clock: Clock) -> None:
        """`target`: an URL with its credentials, or the number or path of a USB device. `clock`: the agent's."""
        self._target, self._clock = target, clock
        self._capture = _Capture()

    @property
    def recorded(self) -> bool:
        """See `Source.recorded`."""
        return False

    def open(self) -> None:
        """See `Source.open`."""
        if isinstance(self._target, int | Path):
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
    """One film, or a folder of films in the order of their start times; a folder goes on when a new film appears."""

    def __init__(self, path: Path, start: datetime | None = None) -> None:
        """`path`: already known to be allowed. `start`: of a single film; otherwise its name tells."""
        self._path, self._given_start = path, start
        self._shown: set[Path] = set()
        self._at_open: frozenset[Path] = frozenset()
        self._start: datetime | None = None
        self._index = _CLOSED
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
        self._shown, self._index = set(), -1
        self._at_open = frozenset(self._path.iterdir()) if self._path.is_dir() else frozenset()
        if not self._next_film() and not self._path.is_dir():
            raise SourceError(Fault.UNSUPPORTED, "the recording cannot be decoded")

    def read(self, *, after: datetime | None = None) -> Frame | None:
        """See `Source.read`."""
        if self._index == _CLOSED:
            raise SourceError(Fault.UNREACHABLE, "the source is not open")
        while self._start is not None or self._next_film():
            frame = self._read_film(self._start, after) if self._start is not None else None
            if frame is not None:
                return frame
            self._start = None
        return None

    def close(self) -> None:
        """See `Source.close`."""
        self._capture.close()
        self._start, self._index = None, _CLOSED

    def _read_film(self, start: datetime, after: datetime | None) -> Frame | None:
        while self._capture.grab():
            self._index += 1
            captured = start + self._capture.position()
            if after is not None and captured < after:
                continue
            image = self._capture.retrieve()
            if image is not None:
                return Frame(image, captured, self._index, recorded=True)
        return None

    def _next_film(self) -> bool:
        """Opens the next film that can be decoded; false when there is none."""
        for path, start in self._films():
            self._shown.add(path)
            if self._capture.open_stream(str(path), ffmpeg.RECORDING):
                self._start = start
                return True
        return False

    def _films(self) -> list[tuple[Path, datetime]]:
        """Films that were not shown yet, in order."""
        if not self._path.is_dir():
            start = self._given_start or recording_start(self._path)
            return [] if start is None or self._path in self._shown else [(self._path, start)]
        films = [
            (start, path)
            for path in self._path.iterdir()
            if path.suffix.lower() in RECORDING_SUFFIXES
            and path not in self._shown
            and (start := recording_start(path)) is not None
            # A film that appears later may still be being written.
            and (path in self._at_open or time.time() - path.stat().st_mtime > WRITTEN_FOR)
        ]
        return [(path, start) for start, path in sorted(films)]


class FilmAsCamera:
    """A film that does not tell when it was made: shown at its own speed, as if it were being captured now."""

    def __init__(self, path: Path, clock: Clock) -> None:
        """`path`: already known to be allowed. `clock`: the agent's."""
        self._path, self._clock = path, clock
        self._opened = 0.0
        self._capture = _Capture()

    @property
    def recorded(self) -> bool:
        """See `Source.recorded`."""
        return False

    def open(self) -> None:
        """See `Source.open`."""
        if not self._path.exists():
            raise SourceError(Fault.UNREACHABLE, "the recording is not there")
        if not self._capture.open_stream(str(self._path), ffmpeg.RECORDING):
            raise SourceError(Fault.UNSUPPORTED, "the recording cannot be decoded")
        self._opened = self._clock.monotonic()

    def read(self, *, after: datetime | None = None) -> Frame | None:
        """See `Source.read`."""
        while self._capture.grab():
            early = self._opened + self._capture.position().total_seconds() - self._clock.monotonic()
            if early > 0:
                time.sleep(early)
            captured = self._clock.now()
            image = None if after is not None and captured < after else self._capture.retrieve()
            if image is not None:
                return Frame(image, captured, self._capture.index, recorded=False)
        return None

    def close(self) -> None:
        """See `Source.close`."""
        self._capture.close()
