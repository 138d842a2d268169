"""Page tokens (AIP-158): opaque, signed, and good only for the tenant, the RPC and the filters they were made for.

position = tokens.decode(request, tenant_id)                  # None on the first page
rows = await store.list(tx, after=position, limit=size + 1)
answer.next_page_token = tokens.encode(request, tenant_id, [rows[size - 1].id]) if len(rows) > size else ""
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import struct
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from footfall.type.v1 import problem_pb2
from google.protobuf.message import Message

from mesh.clock import Clock
from mesh.errors import InvalidField
from mesh.ids import TenantId
from mesh.keyring import KeyRing, sign, verify

DEFAULT_SIZE: Final = 50
MOST_SIZE: Final = 500
LIFE: Final = timedelta(hours=24)
_SIGNATURE_BYTES: Final = 16
_OUTSIDE_THE_FILTER: Final = ("page_token", "page_size")


class PageTokens:
    """Makes and reads page tokens.

    Args:
        ring: whose derived keys sign.
        clock: tokens live for a day.
    """

    def __init__(self, ring: KeyRing, clock: Clock) -> None:
        self._keys = ring.derive("paging")
        self._clock = clock

    def encode(self, request: Message, tenant_id: TenantId | None, position: Sequence[object]) -> str:
        """The token of the next page.

        Args:
            request: the list request at hand.
            tenant_id: in which it is answered.
            position: where the page ended: strings, numbers, None, UUIDs (as strings back) or aware datetimes (ditto).
        """
        body = json.dumps(list(position), default=_plain, separators=(",", ":")).encode()
        payload = struct.pack(">I", int(self._clock.now().timestamp())) + body
        signature = sign(self._keys, _binding(request, tenant_id) + payload)
        return base64.urlsafe_b64encode(signature + payload).rstrip(b"=").decode()

    def decode(self, request: Message, tenant_id: TenantId | None) -> list[Any] | None:
        """Where the last page ended; None for the first page.

        Raises:
            InvalidField: PAGE_TOKEN_INVALID: changed, of other filters, another RPC or tenant, or too old.
        """
        token: str = request.page_token  # type: ignore[attr-defined]  # every list request has it; a contract test says so
        if not token:
            return None
        try:
            raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except (binascii.Error, ValueError):
            raise _invalid() from None
        signature, payload = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        if len(payload) < 4 or not verify(self._keys, _binding(request, tenant_id) + payload, signature):
            raise _invalid()
        age = self._clock.now().timestamp() - struct.unpack(">I", payload[:4])[0]
        if age > LIFE.total_seconds():
            raise _invalid()
        position: list[Any] = json.loads(payload[4:])
        return position


def page_size(asked: int, default: int = DEFAULT_SIZE, most: int = MOST_SIZE) -> int:
    """How many items the page holds: 0 asks for the default, and more than `most` is cut to it (AIP-158).

    Raises:
        InvalidField: negative.
    """
    if asked < 0:
        raise InvalidField("page_size", "must not be negative")
    return min(asked or default, most)


def _binding(request: Message, tenant_id: TenantId | None) -> bytes:
    """What the token is good for: the RPC's request type, the tenant, and every field but the paging ones."""
    filters = type(request)()
    filters.CopyFrom(request)
    for name in _OUTSIDE_THE_FILTER:
        if name in request.DESCRIPTOR.fields_by_name:
            filters.ClearField(name)
    digest = hashlib.sha256(filters.SerializeToString(deterministic=True)).digest()
    return f"{request.DESCRIPTOR.full_name}|{tenant_id or ''}|".encode() + digest


def _plain(value: object) -> str:
    if isinstance(value, UUID):
        return str(value)
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    msg = f"a page position holds no {type(value).__name__}"
    raise TypeError(msg)


def _invalid() -> InvalidField:
    return InvalidField(
        "page_token",
        "is not one of this query: start again without it",
        reason=problem_pb2.ERROR_REASON_PAGE_TOKEN_INVALID,
    )
