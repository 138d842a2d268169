"""Options for FFmpeg, which OpenCV reads from one environment variable of the process at every open."""

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping
from typing import Final

VARIABLE: Final = "OPENCV_FFMPEG_CAPTURE_OPTIONS"

# A camera must not be able to answer with a playlist that names files or hosts of the inner network: hence the lists of
# what FFmpeg may speak and read.
_LIVE: Final = {
    "fflags": "nobuffer",
    "flags": "low_delay",
    # Small probes: open in 0.3 s instead of 1.9 s.
    "analyzeduration": "200000",
    "probesize": "65536",
}

RTSP: Final[Mapping[str, str]] = _LIVE | {
    # A lost UDP packet smears faces.
    "rtsp_transport": "tcp",
    "protocol_whitelist": "rtsp,rtp,tcp,tls,udp,crypto",
    "format_whitelist": "rtsp,rtp,sdp,mpegts",
}
HTTP: Final[Mapping[str, str]] = _LIVE | {
    "protocol_whitelist": "http,https,tcp,tls,crypto",
    "format_whitelist": "mpjpeg,mjpeg,jpeg_pipe,mpegts,mov,matroska",
}
# Without nobuffer: it drops the first key frame of a file.
RECORDING: Final[Mapping[str, str]] = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,matroska,webm,avi,mpegts,mpeg,h264,hevc",
}


class _OneAtATime:
    """Lets opens with the same options run side by side (a dead camera takes seconds), and others wait for them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._value = ""
        self._users = 0

    @contextlib.contextmanager
    def use(self, value: str) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: self._users == 0 or self._value == value)
            self._value = os.environ[VARIABLE] = value
            self._users += 1
        try:
            yield
        finally:
            with self._changed:
                self._users -= 1
                self._changed.notify_all()


_OPTIONS: Final = _OneAtATime()


@contextlib.contextmanager
def ffmpeg_options(options: Mapping[str, str]) -> Iterator[None]:
    """While the context lasts, captures are opened with these options. Blocks while others are being opened."""
    with _OPTIONS.use("|".join(f"{key};{value}" for key, value in options.items())):
        yield
