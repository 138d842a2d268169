"""One conformance suite for every source of pictures, run on what this machine can offer."""

import base64
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from edge_agent.sources.address import Credentials
from edge_agent.sources.factory import source_maker
from edge_agent.sources.fake import ScriptedSource
from edge_agent.sources.port import Fault, Source, SourceError
from mesh.clock import SystemClock
from tests.support.cameras import (
    HEIGHT,
    WIDTH,
    MjpegCamera,
    is_red_below,
    number_of,
    picture,
    rtsp_camera,
    rtsp_reason,
    write_film,
)

START = datetime(2026, 11, 18, 9, tzinfo=UTC)
FRAMES = 30


@dataclass(frozen=True)
class Kind:
    """A way to see the film of `FRAMES` numbered pictures, 10 a second."""

    name: str
    make: Callable[[], Source]


@pytest.fixture(params=["fake", "file", "folder", "film", "mjpeg", "rtsp", "usb"])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kind]:
    clock = SystemClock()

    def from_uri(uri: str) -> Callable[[], Source]:
        return source_maker(uri, Credentials(), files=tmp_path, clock=clock)

    match request.param:
        case "fake":
            script = [(START + timedelta(seconds=number / 10), picture(number)) for number in range(FRAMES)]
            yield Kind("fake", lambda: ScriptedSource(script))
        case "file":
            film = write_film(tmp_path / "2026-11-18T09-00-00Z.mp4", FRAMES)
            yield Kind("file", from_uri(f"file:{film}"))
        case "folder":
            write_film(tmp_path / "2026-11-18T09-00-02Z.mp4", 10, first=20)
            write_film(tmp_path / "2026-11-18T09-00-00Z.mp4", 20)
            yield Kind("folder", from_uri(f"folder:{tmp_path}"))
        case "film":
            yield Kind("film", from_uri(f"file:{write_film(tmp_path / 'undated.mp4', FRAMES)}"))
        case "mjpeg":
            camera = MjpegCamera()
            yield Kind("mjpeg", from_uri(camera.url))
            camera.close()
        case "rtsp":
            if reason := rtsp_reason():
                pytest.skip(f"no RTSP camera can run here: {reason}")
            with rtsp_camera(write_film(tmp_path / "film.mp4", FRAMES)) as uri:
                yield Kind("rtsp", from_uri(uri))
        case _:
            if not list(Path("/dev").glob("video*")):
                pytest.skip("no USB camera is connected to this machine")
            yield Kind("usb", from_uri("usb:0"))


@pytest.fixture
def source(kind: Kind) -> Iterator[Source]:
    made = kind.make()
    yield made
    made.close()


def test_frames_are_bgr_pictures_of_the_right_order_and_shape(kind: Kind, source: Source) -> None:
    if kind.name == "usb":
        pytest.skip("what a real camera sees is not known")
    source.open()
    frames = [source.read() for _ in range(10)]

    numbers = [number_of(frame.image) for frame in frames if frame]
    assert numbers == list(range(numbers[0], numbers[0] + 10))
    assert all(frame and frame.image.shape == (HEIGHT, WIDTH, 3) and frame.image.dtype == "uint8" for frame in frames)
    assert all(frame and is_red_below(frame.image) for frame in frames)


def test_times_are_aware_and_never_go_back(source: Source) -> None:
    source.open()
    frames = [frame for _ in range(10) if (frame := source.read())]

    times = [frame.capture_time for frame in frames]
    assert all(time.utcoffset() == timedelta(0) for time in times)
    assert times == sorted(times)
    assert [frame.index for frame in frames] == list(range(10))


def test_a_recording_tells_the_time_it_was_filmed_and_a_camera_the_time_of_now(source: Source) -> None:
    before = datetime.now(UTC)
    source.open()
    frame = source.read()

    assert frame
    assert frame.recorded == source.recorded
    if source.recorded:
        assert frame.capture_time == START
    else:
        assert before <= frame.capture_time <= datetime.now(UTC)


def test_frames_that_nobody_wants_are_skipped(source: Source) -> None:
    source.open()
    first = source.read()
    assert first

    wanted = first.capture_time + timedelta(seconds=0.25)
    frame = source.read(after=wanted)

    assert frame
    assert wanted <= frame.capture_time < wanted + timedelta(seconds=2)
    assert frame.index > 1


def test_a_recording_ends_and_shows_nothing_twice(kind: Kind, source: Source) -> None:
    if not source.recorded:
        pytest.skip(f"a camera ({kind.name}) has no end")
    source.open()
    frames = []
    while (frame := source.read()) is not None:
        frames.append(frame)

    assert [number_of(frame.image) for frame in frames] == list(range(FRAMES))
    offsets = [round((frame.capture_time - START).total_seconds(), 3) for frame in frames]
    assert offsets == [number / 10 for number in range(FRAMES)]
    assert source.read() is None


def test_a_source_that_was_closed_can_be_opened_again(source: Source) -> None:
    source.open()
    assert source.read()
    source.close()
    source.close()
    with pytest.raises(SourceError):
        source.read()

    source.open()
    frame = source.read()
    assert frame
    assert frame.index == 0


def test_a_source_that_is_not_open_says_so(source: Source) -> None:
    with pytest.raises(SourceError) as refused:
        source.read()
    assert refused.value.fault is Fault.UNREACHABLE


def test_a_camera_with_a_password_is_seen_with_it_and_not_without() -> None:
    right = "Basic " + base64.b64encode(b"eye:p@ss/word").decode()
    camera = MjpegCamera(authorization=right)
    try:
        with_password = source_maker(camera.url, Credentials("eye", "p@ss/word"), files=None, clock=SystemClock())()
        with_password.open()
        assert with_password.read()
        with_password.close()

        without = source_maker(camera.url, Credentials(), files=None, clock=SystemClock())()
        with pytest.raises(SourceError) as refused:
            without.open()
        assert "127.0.0.1" not in str(refused.value)
    finally:
        camera.close()


def test_an_rtsp_camera_with_a_password_is_seen_with_it_and_not_without(tmp_path: Path) -> None:
    if reason := rtsp_reason():
        pytest.skip(f"no RTSP camera can run here: {reason}")
    with rtsp_camera(write_film(tmp_path / "film.mp4", FRAMES), user="eye", password="p@ss") as uri:
        with_password = source_maker(uri, Credentials("eye", "p@ss"), files=None, clock=SystemClock())()
        with_password.open()
        assert with_password.read()
        with_password.close()

        without = source_maker(uri, Credentials(), files=None, clock=SystemClock())()
        with pytest.raises(SourceError):
            without.open()


def test_a_camera_that_answers_with_a_playlist_of_local_files_is_refused(tmp_path: Path) -> None:
    """FFmpeg would otherwise follow what a compromised camera names."""
    write_film(tmp_path / "secret.mp4", FRAMES)
    playlist = tmp_path / "2026-11-18T09-00-00Z.mp4"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{tmp_path}/secret.mp4\n#EXT-X-ENDLIST\n")

    source = source_maker(f"file:{playlist}", Credentials(), files=tmp_path, clock=SystemClock())()
    with pytest.raises(SourceError) as refused:
        source.open()
    assert refused.value.fault is Fault.UNSUPPORTED


def test_a_broken_file_in_a_folder_does_not_end_the_others(tmp_path: Path) -> None:
    (tmp_path / "2026-11-18T08-00-00Z.mp4").write_bytes(b"not a film")
    write_film(tmp_path / "2026-11-18T09-00-00Z.mp4", FRAMES)

    source = source_maker(f"folder:{tmp_path}", Credentials(), files=tmp_path, clock=SystemClock())()
    source.open()
    frame = source.read()
    source.close()

    assert frame
    assert frame.capture_time == START


def test_a_folder_goes_on_when_a_new_film_appears(tmp_path: Path) -> None:
    write_film(tmp_path / "2026-11-18T09-00-00Z.mp4", 3)
    source = source_maker(f"folder:{tmp_path}", Credentials(), files=tmp_path, clock=SystemClock())()
    source.open()
    while source.read():
        pass

    film = write_film(tmp_path / "2026-11-18T10-00-00Z.mp4", 3, first=7)
    assert source.read() is None, "it may still be being written"
    long_ago = film.stat().st_mtime - 60
    os.utime(film, (long_ago, long_ago))

    frame = source.read()
    source.close()
    assert frame
    assert (number_of(frame.image), frame.capture_time) == (7, START + timedelta(hours=1))


def test_the_registry_may_tell_when_a_film_was_made(tmp_path: Path) -> None:
    film = write_film(tmp_path / "undated.mp4", 3)
    source = source_maker(f"file:{film}", Credentials(), start=START, files=tmp_path, clock=SystemClock())()
    source.open()
    frame = source.read()
    source.close()
    assert frame
    assert (frame.recorded, frame.capture_time) == (True, START)
