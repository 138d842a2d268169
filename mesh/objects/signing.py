"""Signed image paths: whoever holds one may see that one image until it expires, without a token.

The path is `/v1/images/{id}?sig=…`, the same whichever store holds the image; the signature covers tenant, image and
expiry, and tells the tenant, so that the image can be looked up under its policies.
"""

from __future__ import annotations

import base64
import binascii
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from footfall.type.v1 import problem_pb2

from mesh.clock import Clock
from mesh.errors import PermissionDenied
from mesh.ids import ImageId, TenantId
from mesh.keyring import KeyRing, sign, verify

LIFE: Final = timedelta(minutes=15)
_PAYLOAD: Final = struct.Struct(">16sI")  # tenant, expiry in seconds since 1970


@dataclass(frozen=True, slots=True)
class SignedPath:
    """A path and when it ends.

    Attributes:
        path: below the gateway's address.
        expire_time: it is refused from then on.
    """

    path: str
    expire_time: datetime


class ImageSigner:
    """Makes and checks signed image paths.

    Args:
        ring: whose derived keys sign.
        clock: expiry is judged on it.
        life: of a path.
    """

    def __init__(self, ring: KeyRing, clock: Clock, life: timedelta = LIFE) -> None:
        self._keys = ring.derive("images")
        self._clock = clock
        self._life = life

    def path(self, tenant_id: TenantId, image_id: ImageId) -> SignedPath:
        """The path of an image of the tenant."""
        expire = int((self._clock.now() + self._life).timestamp())
        payload = _PAYLOAD.pack(tenant_id.bytes, expire)
        signature = base64.urlsafe_b64encode(payload + sign(self._keys, payload + image_id.bytes)).rstrip(b"=")
        address = f"/v1/images/{image_id}?sig={signature.decode()}&expire={expire}"
        return SignedPath(address, datetime.fromtimestamp(expire, UTC))

    def check(self, image_id: ImageId, signature: str, expire: int) -> TenantId:
        """Whose image it is, when the signature is good and of this expiry (seconds since 1970).

        Raises:
            PermissionDenied: SIGNATURE_INVALID.
        """
        refusal = PermissionDenied(
            "the image's address is not valid, or no longer", reason=problem_pb2.ERROR_REASON_SIGNATURE_INVALID
        )
        try:
            raw = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
        except (binascii.Error, ValueError):
            raise refusal from None
        payload, seal = raw[: _PAYLOAD.size], raw[_PAYLOAD.size :]
        if len(payload) < _PAYLOAD.size or not verify(self._keys, payload + image_id.bytes, seal):
            raise refusal
        tenant, signed_expire = _PAYLOAD.unpack(payload)
        if expire != signed_expire or expire <= self._clock.now().timestamp():
            raise refusal
        return TenantId(UUID(bytes=tenant))
