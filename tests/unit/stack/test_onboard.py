"""Addresses of cameras, as people write them."""

from __future__ import annotations

import pytest

from stack.onboard import Source


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("rtsp://10.0.0.5/stream1", Source("rtsp://10.0.0.5/stream1")),
        ("rtsp://root:p%40ss@cam.local:8554/a?b=c", Source("rtsp://cam.local:8554/a?b=c", "root", "p@ss")),
        ("rtsp://root@cam.local/", Source("rtsp://cam.local/", "root", "")),
        ("usb:0", Source("usb:0")),
        ("folder:///films/door", Source("folder:///films/door")),
    ],
)
def test_credentials_never_stay_in_the_address(address: str, expected: Source) -> None:
    assert Source.parse(address) == expected


def test_a_password_is_not_shown() -> None:
    assert "hunter2" not in repr(Source.parse("rtsp://me:hunter2@cam/x"))
