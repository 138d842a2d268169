"""Passwords stay with their host, masks are simple polygons, and how a camera fares follows from who watches it."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from mesh.ids import CameraId
from mesh.keyring import DecryptionError, Key, KeyRing
from svc_registry.directory.cameras.credentials import seal, unseal
from svc_registry.directory.cameras.domain import (
    CameraState,
    Corner,
    Credentials,
    CredentialsFate,
    SourceChange,
    Watch,
    camera_state,
    credentials_fate,
    is_simple,
)

RING = KeyRing([Key("test", bytes(32))])
SECRET = Credentials("admin", "s3cret")


@pytest.mark.parametrize(
    ("change", "fate"),
    [
        (SourceChange("rtsp://cam-1/other"), CredentialsFate.KEEP),
        (SourceChange("rtsp://CAM-1:8554/live"), CredentialsFate.KEEP),
        (SourceChange("rtsp://evil.test/live"), CredentialsFate.FORGET),
        (SourceChange("usb:0"), CredentialsFate.FORGET),
        (SourceChange("rtsp://evil.test/live", credentials=SECRET), CredentialsFate.REPLACE),
        (SourceChange("rtsp://cam-1/live", clear_credentials=True), CredentialsFate.FORGET),
    ],
)
def test_a_password_is_kept_for_the_same_host_alone(change: SourceChange, fate: CredentialsFate) -> None:
    assert credentials_fate("rtsp://cam-1/live", change) is fate


def test_a_password_is_sealed_for_one_camera() -> None:
    mine, yours = CameraId(UUID(int=1)), CameraId(UUID(int=2))
    sealed = seal(RING, mine, SECRET)
    assert b"s3cret" not in sealed
    assert unseal(RING, mine, sealed) == SECRET
    with pytest.raises(DecryptionError):
        unseal(RING, yours, sealed)


def test_credentials_do_not_print() -> None:
    assert "s3cret" not in repr(SECRET)


@pytest.mark.parametrize(
    ("mask", "simple"),
    [
        ([(0, 0), (1, 0), (0, 1)], True),
        ([(0, 1), (1, 0), (0, 0)], True),  # the other direction
        ([(0, 0), (0.5, 0), (1, 0), (1, 1), (0, 1)], True),  # a corner on a straight edge
        ([(0, 0), (1, 0), (0.5, 0.25), (1, 1), (0, 1)], True),  # concave
        ([(0, 0), (1, 1), (1, 0), (0, 1)], False),  # a bow tie
        ([(0, 0), (1, 0), (0.5, 0)], False),  # folded flat
        ([(0, 0), (0, 0), (1, 1)], False),  # a corner twice
        ([(0, 0), (1, 0), (1, 1), (0.5, 0), (0, 1)], False),  # touches its own edge
    ],
)
def test_a_mask_is_a_simple_polygon(mask: list[Corner], simple: bool) -> None:
    assert is_simple(mask) is simple


WATCHED = Watch("ACTIVE", 3, "READY", "WATCHING", 3)


@pytest.mark.parametrize(
    ("watch", "state"),
    [
        (Watch(), CameraState.UNASSIGNED),
        (replace(WATCHED, lease_state="PENDING"), CameraState.UNASSIGNED),
        (replace(WATCHED, lease_state="EXPIRED"), CameraState.UNASSIGNED),
        (WATCHED, CameraState.WATCHING),
        (replace(WATCHED, lease_state="RELEASING"), CameraState.WATCHING),
        (replace(WATCHED, activity="PAUSED"), CameraState.PAUSED),
        (replace(WATCHED, activity="FAILING"), CameraState.FAILING),
        (replace(WATCHED, activity="FINISHED"), CameraState.FINISHED),
        (replace(WATCHED, activity=None), CameraState.OPENING),
        (replace(WATCHED, epoch=4), CameraState.OPENING),  # the report is the previous holder's
        (replace(WATCHED, worker_state="SUSPECT"), CameraState.DARK),
        (replace(WATCHED, worker_state="LOST"), CameraState.DARK),
        (replace(WATCHED, parked=True), CameraState.PARKED),
    ],
)
def test_how_a_camera_fares(watch: Watch, state: CameraState) -> None:
    assert camera_state(watch, disabled=False) is state
    assert camera_state(watch, disabled=True) is CameraState.DISABLED
