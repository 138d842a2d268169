"""Camera passwords at rest: sealed for one camera, opened for the holder of its lease alone."""

from __future__ import annotations

import json

from mesh.ids import CameraId
from mesh.keyring import KeyRing
from svc_registry.directory.cameras.domain import Credentials


def seal(ring: KeyRing, camera_id: CameraId, credentials: Credentials) -> bytes:
    """The credentials as `cameras.credentials` holds them."""
    plain = json.dumps([credentials.username, credentials.password]).encode()
    return ring.encrypt(plain, _place(camera_id))


def unseal(ring: KeyRing, camera_id: CameraId, sealed: bytes) -> Credentials:
    """The inverse of `seal`.

    Raises:
        DecryptionError: damaged, another camera's, or of a key that is not on the ring.
    """
    username, password = json.loads(ring.decrypt(sealed, _place(camera_id)))
    return Credentials(username, password)


def _place(camera_id: CameraId) -> bytes:
    return b"camera:" + camera_id.bytes
