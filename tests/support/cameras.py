"""Cameras to test with: a film whose frames tell their number, served as a file, by HTTP, and by RTSP."""

import contextlib
import http.server
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.support.ports import free_port

WIDTH: Final = 320
HEIGHT: Final = 240
RTSP_SERVER: Final = Path(__file__).with_name("rtsp_server.py")
SYSTEM_PYTHON: Final = Path("/usr/bin/python3")


def picture(number: int) -> NDArray[np.uint8]:
    """A frame that tells its number: eight black or white bars, the bits of number modulo 256, over a red stripe.

    The stripe shows whether the colours arrive as BGR.
    """
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for bit in range(8):
        if number >> bit & 1:
            image[: HEIGHT // 2, bit * WIDTH // 8 : (bit + 1) * WIDTH // 8] = 255
    image[HEIGHT * 3 // 4 :] = (0, 0, 255)
    return image


def number_of(image: NDArray[np.uint8]) -> int:
    """What `picture` wrote, after a lossy codec."""
    row = image[HEIGHT // 4, :, 1]
    return sum(int(row[bit * WIDTH // 8 + WIDTH // 16] > 127) << bit for bit in range(8))


def is_red_below(image: NDArray[np.uint8]) -> bool:
    """Whether the stripe is red where BGR has it."""
    blue, green, red = (int(value) for value in image[HEIGHT - 10, WIDTH // 2])
    return red > 180 and blue < 80 and green < 80


def write_film(path: Path, frames: int, *, rate: float = 10.0, first: int = 0) -> Path:
    """An MP4 of `picture(first)`, `picture(first + 1)`, …"""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), rate, (WIDTH, HEIGHT))
    for number in range(first, first + frames):
        writer.write(picture(number))
    writer.release()
    return path


class MjpegCamera:
    """Serves an endless MJPEG stream on loopback, with a password if one is set."""

    def __init__(
        self,
        *,
        rate: float = 20.0,
        authorization: str = "",
        shows: Callable[[int], NDArray[np.uint8]] = picture,
    ) -> None:
        camera = self
        self._shows = shows
        self.viewers = 0
        self.frozen = threading.Event()
        self._stopped = threading.Event()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if authorization and self.headers.get("Authorization") != authorization:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                    self.end_headers()
                    return
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                camera.viewers += 1
                with contextlib.suppress(OSError):
                    camera._serve(self.wfile, 1 / rate)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        self.port = self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/video.mjpg"

    def _serve(self, out: "object", interval: float) -> None:
        number = 0
        while not self._stopped.wait(interval):
            if self.frozen.is_set():
                continue
            jpeg = cv2.imencode(".jpg", self._shows(number))[1].tobytes()
            number += 1
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            out.write(head.encode() + jpeg + b"\r\n")  # type: ignore[attr-defined]

    def close(self) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def rtsp_reason() -> str | None:
    """Why no RTSP camera can run here; None when one can."""
    if shutil.which("ffmpeg") is None:
        return "ffmpeg is not installed"
    probe = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    found = SYSTEM_PYTHON.exists() and subprocess.run([SYSTEM_PYTHON, "-c", probe], capture_output=True, check=False)
    return None if found and found.returncode == 0 else "gst-rtsp-server is not installed"


@contextlib.contextmanager
def rtsp_camera(film: Path, *, user: str = "", password: str = "") -> Iterator[str]:
    """Serves a film by RTSP, from its beginning for every viewer; yields the URL. The film is made H.264 first."""
    encoded = film.with_suffix(".h264.mp4")
    if not encoded.exists():
        encode = ["ffmpeg", "-v", "error", "-y", "-i", str(film), "-c:v", "libx264", "-profile:v", "baseline"]
        subprocess.run([*encode, "-g", "15", "-pix_fmt", "yuv420p", str(encoded)], check=True)
    port = free_port()
    arguments = [str(SYSTEM_PYTHON), str(RTSP_SERVER), str(encoded), str(port), user, password]
    server = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert server.stdout is not None
        assert server.stdout.readline().strip() == b"ready"
        yield f"rtsp://127.0.0.1:{port}/film"
    finally:
        server.kill()
        server.wait()
        if server.stdout is not None:
            server.stdout.close()
