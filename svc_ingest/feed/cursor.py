"""Where a reader of the feed stands, as an opaque word: signed, bound to the tenant, and good for so many days."""

from __future__ import annotations

import base64
import binascii
import struct
from datetime import timedelta
from typing import Final

from footfall.type.v1 import problem_pb2

from mesh.clock import Clock
from mesh.errors import MeshError
from mesh.ids import TenantId
from mesh.keyring import KeyRing, sign, verify
from svc_ingest.feed.domain import Position

_PAYLOAD: Final = struct.Struct(">QQI")  # xid, seq, seconds since 1970 at which it was made


class Cursors:
    """Makes and reads cursors.

    Args:
        ring: whose derived keys sign.
        clock: of a cursor's age.
        life: how long the feed keeps what came after a cursor.
    """

    def __init__(self, ring: KeyRing, clock: Clock, life: timedelta) -> None:
        self._keys = ring.derive("feed-cursor")
        self._clock = clock
        self._life = life

    def encode(self, tenant_id: TenantId, position: Position) -> str:
        """The cursor of everything up to `position`."""
        payload = _PAYLOAD.pack(position.xid, position.seq, int(self._clock.now().timestamp()))
        signature = sign(self._keys, tenant_id.bytes + payload)
        return base64.urlsafe_b64encode(payload + signature).rstrip(b"=").decode()

    def decode(self, tenant_id: TenantId, cursor: str) -> Position:
        """Where the reader stood.

        Raises:
            MeshError: CURSOR_INVALID: not one of ours, of another tenant, or too old.
        """
        try:
            raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        except (binascii.Error, ValueError):
            raise cursor_invalid() from None
        payload, signature = raw[: _PAYLOAD.size], raw[_PAYLOAD.size :]
        if len(payload) < _PAYLOAD.size or not verify(self._keys, tenant_id.bytes + payload, signature):
            raise cursor_invalid()
        xid, seq, made = _PAYLOAD.unpack(payload)
        if made < (self._clock.now() - self._life).timestamp():
            raise cursor_invalid()
        return Position(xid, seq)


def cursor_invalid() -> MeshError:
    """The refusal: list, then watch anew."""
    return MeshError(
        problem_pb2.ERROR_REASON_CURSOR_INVALID, "the cursor is too old, or of another feed: list, then watch anew"
    )
