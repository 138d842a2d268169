"""Addresses: what is understood, what is refused, and what is never shown."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge_agent.sources.address import Credentials, Kind, allowed_path, parse, recording_start
from edge_agent.sources.port import Fault, SourceError


@pytest.mark.parametrize(
    ("uri", "kind"),
    [
        ("rtsp://10.0.0.7/ch1", Kind.RTSP),
        ("RTSPS://camera.local:322/ch1?x=1", Kind.RTSP),
        ("http://10.0.0.7/video.mjpg", Kind.HTTP),
        ("https://[fd00::1]:8443/video", Kind.HTTP),
        ("usb:0", Kind.USB),
        ("usb:/dev/video2", Kind.USB),
        ("usb:/dev/v4l/by-id/usb-Logitech_C920-index0", Kind.USB),
        ("file:hall.mp4", Kind.FILE),
        ("file:///films/hall.mp4", Kind.FILE),
        ("folder:films", Kind.FOLDER),
    ],
)
def test_every_kind_of_source_has_an_address(uri: str, kind: Kind) -> None:
    assert parse(uri).kind is kind


@pytest.mark.parametrize(
    "uri",
    ["", "gopher://x", "usb:", "usb:-1", "usb:/etc/passwd", "usb:/dev/../etc/passwd", "rtsp:", "rtsp://", "file:", "x"],
)
def test_an_address_that_nothing_understands_is_refused(uri: str) -> None:
    with pytest.raises(SourceError) as refused:
        parse(uri)
    assert refused.value.fault is Fault.UNSUPPORTED


def test_credentials_reach_the_url_escaped_and_replace_those_in_the_address() -> None:
    address = parse("rtsp://old:secret@10.0.0.7:554/ch1", Credentials("eye", "p@ss/w:rd"))
    assert address.url == "rtsp://eye:p%40ss%2Fw%3Ard@10.0.0.7:554/ch1"


def test_credentials_in_an_address_are_dropped_when_none_are_given_apart() -> None:
    assert parse("rtsp://old:secret@10.0.0.7/ch1").url == "rtsp://10.0.0.7/ch1"


def test_an_address_shows_neither_itself_nor_its_credentials() -> None:
    credentials = Credentials("eye", "hidden")
    shown = repr(parse("rtsp://10.0.0.7/ch1", credentials)) + repr(credentials)
    assert "10.0.0.7" not in shown
    assert "hidden" not in shown
    assert "eye" not in shown


def test_files_are_closed_unless_the_operator_opened_a_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as refused:
        allowed_path(tmp_path / "hall.mp4", None)
    assert refused.value.fault is Fault.NOT_ALLOWED


def test_a_relative_recording_lies_in_the_opened_folder(tmp_path: Path) -> None:
    assert allowed_path(Path("hall.mp4"), tmp_path) == (tmp_path / "hall.mp4").resolve()


@pytest.mark.parametrize("path", ["/etc/passwd", "../outside.mp4", "inner/../../outside.mp4"])
def test_nothing_outside_the_opened_folder_is_read(path: str, tmp_path: Path) -> None:
    root = tmp_path / "films"
    root.mkdir()
    with pytest.raises(SourceError) as refused:
        allowed_path(Path(path), root)
    assert refused.value.fault is Fault.NOT_ALLOWED
    assert path not in refused.value.message


def test_a_link_that_leads_out_of_the_opened_folder_is_not_followed(tmp_path: Path) -> None:
    root = tmp_path / "films"
    root.mkdir()
    (root / "link.mp4").symlink_to(tmp_path / "outside.mp4")
    with pytest.raises(SourceError):
        allowed_path(Path("link.mp4"), root)


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("2026-11-18T09-00-00Z.mp4", datetime(2026, 11, 18, 9, tzinfo=UTC)),
        ("entrance 2026-11-18T09-00-00.25Z.mkv", datetime(2026, 11, 18, 9, 0, 0, 250_000, tzinfo=UTC)),
        ("hall.mp4", None),
        ("2026-13-40T09-00-00Z.mp4", None),
    ],
)
def test_a_recordings_name_tells_when_it_starts(name: str, start: datetime | None) -> None:
    assert recording_start(Path(name)) == start
